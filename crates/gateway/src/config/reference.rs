//! `docs/configuration.md`, made from the table of settings.

use std::fmt::Write;

use super::environment;
use super::not_built;
use super::schema::{Bounds, Fallback, Key, Kind};
use super::sections::Config;

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the table of settings in crates/gateway/src/config/sections. A test compares the two; to write it anew:
     BEKCI_WRITE_GENERATED=1 cargo test -p bekci-gateway generated -->

`bekci` reads one TOML file: the one that `--config` names, else `config/bekci.toml`, else `bekci.toml`. Without a file the
defaults below hold. `bekci config check` tells every mistake with its line and column, `bekci config show` the values in
force. [`config/bekci.schema.json`](../config/bekci.schema.json) lets an editor check and complete the file. Relative paths are
relative to the working directory.

## Environment variables

Every key has a variable, which wins over the file: `BEKCI__SECTION__KEY`, deeper `BEKCI__GUARDS__CUSTOMER__ACCESS_TTL_SECONDS`, a
route by its id `BEKCI__ROUTES__SHOP__UPSTREAM`. Capitals, with `_` for `-`. Lists and tables are written as TOML: `'[\"10.0.0.0/8\"]'`. A
`BEKCI__` variable that names no key is an error; one with a single underscore, as `BEKCI_SERVER_LISTEN`, is not read, and a warning names the key that is probably meant.

## Values from elsewhere

Any text, number or flag may be `{ env = \"NAME\" }`: the value of that variable. A secret may also be `{ file = \"/run/secrets/name\" }`: what that file
holds, without the line break at its end. Both can be said by a variable: `BEKCI__SECRETS__OTP__FILE=/run/secrets/otp`.

";

const NOT_BUILT: &str = "\
## Not in this version

Values of these keys that need what is not built yet are refused, with the place where they were written. Their defaults ask for nothing.

| key | what its other values need |
| --- | --- |
";

/// The reference.
pub(super) fn generate() -> String {
    let mut out = INTRODUCTION.to_owned();
    for section in Config::KEYS {
        let (title, variable) = match &section.kind {
            Kind::Array(_) => (format!("[[{}]]", section.name), vec![section.name, "ID"]),
            Kind::Map { .. } => (format!("[{}.<name>]", section.name), vec![section.name, "NAME"]),
            _ => (format!("[{}]", section.name), vec![section.name]),
        };
        // Writing to a String cannot fail.
        let _ = write!(out, "## `{title}`\n\n{}\n\n", sentence(section.doc));
        match &section.kind {
            Kind::Table(keys) | Kind::Array(keys) => table(&mut out, keys, &variable),
            Kind::Map {
                of: Kind::Table(keys), ..
            } => table(&mut out, keys, &variable),
            Kind::Map {
                of: Kind::Map { key, of },
                ..
            } => {
                let _ = writeln!(
                    out,
                    "Variables: `{}`.\n",
                    environment::variable_of(&[section.name, "NAME", "KEY"])
                );
                let _ = writeln!(out, "Each key is {}; it takes {}.\n", key.what, takes(of));
            }
            _ => {}
        }
    }
    out.push_str(NOT_BUILT);
    for (key, needs) in not_built::rows() {
        let _ = writeln!(out, "| `{}` | {needs} |", key.replace("*", "<any>"));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn table(out: &mut String, keys: &[Key], variable: &[&str]) {
    let segments: Vec<&str> = variable.iter().copied().chain(["KEY"]).collect();
    let _ = writeln!(out, "Variables: `{}`.\n", environment::variable_of(&segments));
    let _ = writeln!(out, "| key | takes | default | meaning |\n| --- | --- | --- | --- |");
    rows(out, keys, "");
    out.push('\n');
}

fn rows(out: &mut String, keys: &[Key], before: &str) {
    for key in keys {
        let name = format!("{before}{}", key.name);
        let cells = [format!("`{name}`"), takes(&key.kind), default(key), sentence(key.doc)];
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
        if let Kind::Table(inner) | Kind::Either { table: inner, .. } = &key.kind {
            rows(out, inner, &format!("{name}."));
        }
    }
}

fn default(key: &Key) -> String {
    match key.fallback {
        Fallback::Required => "required".to_owned(),
        Fallback::Absent => "none".to_owned(),
        Fallback::Toml(text) => format!("`{}`", text.replace('\'', "\"")),
        Fallback::Computed { says, .. } => says.to_owned(),
    }
}

fn takes(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Integer(Bounds { min, max, or_zero }) => {
            format!("{}{min} to {max}", if *or_zero { "0, or " } else { "" })
        }
        Kind::Text(syntax) => {
            let words: Vec<String> = syntax.choices.iter().map(|word| format!("`{word}`")).collect();
            let text = if words.is_empty() {
                syntax.what.to_owned()
            } else {
                words.join(", ")
            };
            if syntax.or_empty {
                format!("{text}; or empty")
            } else {
                text
            }
        }
        Kind::Secret(rule) => format!("secret: {}", rule.what),
        Kind::List { of, at_least } => {
            format!(
                "list{}, each {}",
                if *at_least > 0 { ", not empty" } else { "" },
                takes(of)
            )
        }
        Kind::Map { key, of } => format!("table: {} = {}", key.what, takes(of)),
        Kind::Table(_) => "table".to_owned(),
        Kind::Array(_) => "list of tables".to_owned(),
        Kind::Either { text, .. } => format!("{}; or a table", takes(text)),
    }
}

/// The lines of a doc comment as one.
pub(super) fn sentence(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}
