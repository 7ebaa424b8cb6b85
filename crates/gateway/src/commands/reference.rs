//! `docs/commands.md`, made from the definitions of the command line, and what each of them must have.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use crate::config::tests::files::is_generated;

const HEAD: &str = "\
# The commands

<!-- Made from the definitions in crates/gateway/src/commands. A test compares the two; to write it anew:
     BEKCI_WRITE_GENERATED=1 cargo test -p bekci-gateway generated -->

A command that changes something returns when the change is in force: every running node decides by it from then on. Each one is an event of the target
`bekci::audit` on standard error. What takes away for good asks for `--yes`. Secrets are read from standard input and are never arguments.

Every command takes `--config FILE` (else `config/bekci.toml`, then `bekci.toml`, then the built-in defaults) and `--output json`: one JSON value on standard output, with fields
that stay. A failure is then `{\"error\": {\"code\": …, \"message\": …}}`, with a code of [error-codes.md](error-codes.md) where there is one, else `null`.

| exit code | means |
| --- | --- |
| 0 | done |
| 1 | refused or failed; what it says why is on standard error |
| 2 | wrong usage |
";

/// The commands that do something, with their full names.
fn leaves(command: &Command, name: &str, found: &mut Vec<(String, Command)>) {
    let mut below = command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
        .peekable();
    if below.peek().is_none() {
        found.push((name.to_owned(), command.clone()));
    }
    for sub in below {
        leaves(sub, &format!("{name} {}", sub.get_name()), found);
    }
}

fn all() -> Vec<(String, Command)> {
    let mut found = Vec::new();
    leaves(&super::Arguments::command(), "bekci", &mut found);
    found
}

fn usage(argument: &Arg) -> String {
    let name = argument.get_long().map(|long| format!("--{long}"));
    let value = argument.get_value_names().and_then(|names| names.first());
    let value = value.filter(|_| argument.get_action().takes_values());
    let text = match (name, value) {
        (Some(name), Some(value)) => format!("{name} <{value}>"),
        (Some(name), None) => name,
        (None, value) => format!("<{}>", value.map_or(argument.get_id().as_str(), |value| value.as_str())),
    };
    format!("`{text}`{}", if argument.is_required_set() { "" } else { ", optional" })
}

fn generate() -> String {
    let mut text = HEAD.to_owned();
    for (name, command) in all() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        write!(text, "\n## `{name}`\n\n{about}.\n").unwrap();
        let arguments: Vec<&Arg> = command
            .get_arguments()
            .filter(|argument| !argument.is_global_set() && !["help", "version"].contains(&argument.get_id().as_str()))
            .collect();
        if !arguments.is_empty() {
            text.push_str("\n| argument | meaning |\n| --- | --- |\n");
        }
        for argument in arguments {
            let help = argument.get_help().map(|help| help.to_string().replace('|', "\\|"));
            writeln!(text, "| {} | {} |", usage(argument), help.unwrap_or_default()).unwrap();
        }
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines: Vec<&str> = examples.lines().skip(1).map(str::trim).collect();
        write!(text, "\n```sh\n{}\n```\n", lines.join("\n")).unwrap();
    }
    text
}

#[test]
fn the_generated_page_of_commands_is_that_of_their_definitions() {
    is_generated("docs/commands.md", &generate());
}

#[test]
fn every_command_and_every_group_of_them_has_an_example_that_calls_it() {
    fn look(command: &Command, name: &str) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(
            help.starts_with("Example") && help.contains(&format!("{name} "))
                || help.contains(&format!("{name}\n"))
                || help.ends_with(name),
            "{name} has no example of its own: {help:?}"
        );
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            look(sub, &format!("{name} {}", sub.get_name()));
        }
    }
    for command in super::Arguments::command().get_subcommands() {
        look(command, &format!("bekci {}", command.get_name()));
    }
}

#[test]
fn every_argument_is_explained() {
    for (name, command) in all() {
        for argument in command
            .get_arguments()
            .filter(|argument| argument.get_id() != "version")
        {
            assert!(argument.get_help().is_some(), "{name} {}", argument.get_id());
        }
    }
}

#[test]
fn the_definitions_do_not_contradict_each_other() {
    super::Arguments::command().debug_assert();
}

#[test]
fn no_command_takes_a_secret_as_an_argument() {
    for (name, command) in all() {
        for argument in command.get_arguments() {
            let long = argument.get_long().unwrap_or_default();
            let secret = ["password", "token", "secret"].contains(&long);
            assert!(!(secret && argument.get_action().takes_values()), "{name} --{long}");
        }
    }
}
