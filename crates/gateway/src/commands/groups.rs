//! The commands by purpose, as `bekci --help` lists them.

use std::fmt::Write;

use clap::{Command, CommandFactory, builder::StyledStr, builder::styling::Style};

use super::Arguments;

/// Headings with their commands; a test compares this list with the commands that exist.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Run", &["demo", "serve", "ready", "doctor", "explain"]),
    ("Set up", &["config", "migrate", "key"]),
    (
        "Accounts and rights",
        &["principal", "role", "permission", "grant", "revoke", "deny", "policy"],
    ),
    ("Sessions, tokens and cache", &["session", "token", "cache"]),
    ("Shell", &["completions", "manual", "help"]),
];

const HEADING: Style = Style::new().bold().underline();
const NAME: Style = Style::new().bold();

/// The command line with its commands grouped in the help.
pub(super) fn command() -> Command {
    let command = Arguments::command();
    let help = template(&command);
    command.help_template(help)
}

fn template(command: &Command) -> StyledStr {
    let names = GROUPS.iter().flat_map(|(_, names)| names.iter());
    let width = names.map(|name| name.len()).max().unwrap_or_default();
    let mut text = format!("{{about-with-newline}}\n{HEADING}Usage:{HEADING:#} {{usage}}\n");
    for (heading, names) in GROUPS {
        let _ = write!(text, "\n{HEADING}{heading}:{HEADING:#}\n");
        for name in names {
            let about = match *name {
                "help" => "Print this help, or that of a command".to_owned(),
                name => command
                    .find_subcommand(name)
                    .and_then(Command::get_about)
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            };
            let _ = writeln!(text, "  {NAME}{name:width$}{NAME:#}  {about}");
        }
    }
    let _ = write!(text, "\n{HEADING}Options:{HEADING:#}\n{{options}}");
    StyledStr::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_stands_in_one_group() {
        let mut listed: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        listed.sort_unstable();
        let command = Arguments::command();
        let mut known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        known.push("help");
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn the_help_has_each_command_below_its_heading() {
        let help = command().render_help().to_string();
        for (heading, names) in GROUPS {
            let after = help
                .split_once(&format!("\n{heading}:\n"))
                .unwrap_or_else(|| panic!("{help}"))
                .1;
            let group = after.split("\n\n").next().unwrap_or_default();
            for name in names {
                assert!(
                    group.lines().any(|line| line.trim_start().starts_with(name)),
                    "{name} in {group}"
                );
            }
        }
        assert!(help.contains("--config <FILE>"), "{help}");
    }
}
