//! The configuration in force, shown; and what differs between two.

use std::fmt::Write;

use serde_json::{Map, Value as Json};

use super::Change;
use super::path::{self, quoted};
use super::problem::Place;
use super::schema::{Key, Kind};
use super::sections::Config;
use super::tree::{Entry, Node, Value};
use super::values::secret::{ANY, SecretRule, Shown};

/// What a running gateway does not take over from a new file: the sockets and pools that it has, and what the process has set up once. A section, or a key.
const FIXED: [&str; 17] = [
    "server.listen",
    "server.ops_listen",
    "server.decision_listen",
    "server.tls",
    "server.workers",
    "server.shutdown_timeout_seconds",
    "database",
    "redis",
    "limits.head_timeout_seconds",
    "limits.upload_bytes_per_second",
    "limits.upload_grace_seconds",
    "limits.upload_seconds",
    "limits.send_timeout_seconds",
    "limits.keep_alive_seconds",
    "limits.max_connections",
    "log",
    "otel",
];

fn is_fixed(key: &str) -> bool {
    FIXED.iter().any(|fixed| {
        let rest = key.strip_prefix(fixed);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// The tree as TOML: each section with its keys, secrets masked.
pub(super) fn as_toml(tree: &Node) -> String {
    let mut out = String::new();
    for (entry, row) in rows(tree.entries(), Config::KEYS) {
        section(&mut out, &entry.key, &entry.node, &row.kind);
    }
    out
}

fn rows<'a>(entries: &'a [Entry], keys: &'static [Key]) -> impl Iterator<Item = (&'a Entry, &'static Key)> {
    entries
        .iter()
        .filter_map(|entry| Some((entry, keys.iter().find(|key| key.name == entry.key)?)))
}

fn section(out: &mut String, name: &str, node: &Node, kind: &Kind) {
    match kind {
        Kind::Table(keys) => {
            header(out, &format!("[{name}]"));
            for (entry, row) in rows(node.entries(), keys) {
                line(out, &entry.key, &entry.node, &row.kind);
            }
        }
        Kind::Array(keys) => {
            for item in node.items() {
                header(out, &format!("[[{name}]]"));
                for (entry, row) in rows(item.entries(), keys) {
                    line(out, &entry.key, &entry.node, &row.kind);
                }
            }
        }
        Kind::Map { of, .. } if matches!(of, Kind::Table(_) | Kind::Map { .. }) => {
            for entry in node.entries() {
                section(out, &path::key(name, &entry.key), &entry.node, of);
            }
        }
        Kind::Map { of, .. } => {
            header(out, &format!("[{name}]"));
            for entry in node.entries() {
                line(out, &path::key("", &entry.key), &entry.node, of);
            }
        }
        Kind::Bool | Kind::Integer(_) | Kind::Text(_) | Kind::Secret(_) | Kind::List { .. } | Kind::Either { .. } => {
            line(out, name, node, kind);
        }
    }
}

fn header(out: &mut String, text: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(text);
    out.push('\n');
}

fn line(out: &mut String, key: &str, node: &Node, kind: &Kind) {
    let value = toml_of(&masked(node, kind));
    // Writing to a String cannot fail.
    let _ = match &node.place {
        Place::BuiltIn => writeln!(out, "{key} = {value}"),
        given => writeln!(out, "{key} = {value}  # {given}"),
    };
}

/// A value without secrets.
fn masked(node: &Node, kind: &Kind) -> Json {
    match (&node.value, kind) {
        (Value::Secret(secret), kind) => {
            let rule: &SecretRule = if let Kind::Secret(rule) = kind { rule } else { &ANY };
            match secret.shown(rule) {
                Shown::Text(text) => Json::String(text),
                Shown::Reference(source, name) => {
                    Json::Object(Map::from_iter([(source.to_owned(), Json::String(name))]))
                }
            }
        }
        (Value::Bool(flag), _) => Json::Bool(*flag),
        (Value::Integer(number), _) => Json::from(*number),
        (Value::Text(text), _) => Json::String(text.clone()),
        (Value::List(items), Kind::List { of, .. }) => items.iter().map(|item| masked(item, of)).collect(),
        (Value::List(items), Kind::Array(keys)) => items.iter().map(|item| masked(item, &Kind::Table(keys))).collect(),
        (Value::Table(entries), Kind::Map { of, .. }) => entries
            .iter()
            .map(|entry| (entry.key.clone(), masked(&entry.node, of)))
            .collect(),
        (Value::Table(entries), Kind::Table(keys) | Kind::Either { table: keys, .. }) => rows(entries, keys)
            .map(|(entry, row)| (entry.key.clone(), masked(&entry.node, &row.kind)))
            .collect(),
        (Value::List(_) | Value::Table(_) | Value::Foreign(_), _) => Json::Null,
    }
}

fn toml_of(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(text),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_of).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Json::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{} = {}", path::key("", key), toml_of(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value.to_string(),
    }
}

/// The tree as JSON, secrets masked.
pub(super) fn as_json(tree: &Node) -> Json {
    masked(tree, &Kind::Table(Config::KEYS))
}

/// The keys whose values differ. A changed secret is a change, too, though both look alike.
pub(super) fn changes(old: &Node, new: &Node) -> Vec<Change> {
    let mut keys = Vec::new();
    differing("", old, new, &mut keys);
    keys.into_iter()
        .map(|key| Change {
            is_live: !is_fixed(&key),
            key,
        })
        .collect()
}

fn differing(key: &str, old: &Node, new: &Node, keys: &mut Vec<String>) {
    let (Value::Table(before), Value::Table(after)) = (&old.value, &new.value) else {
        if !is_same(old, new) {
            keys.push(key.to_owned());
        }
        return;
    };
    for entry in before {
        let key = path::key(key, &entry.key);
        match new.get(&entry.key) {
            Some(other) => differing(&key, &entry.node, other, keys),
            None => keys.push(key),
        }
    }
    let added = after.iter().filter(|entry| old.get(&entry.key).is_none());
    keys.extend(added.map(|entry| path::key(key, &entry.key)));
}

pub(super) fn is_same(old: &Node, new: &Node) -> bool {
    match (&old.value, &new.value) {
        (Value::Bool(old), Value::Bool(new)) => old == new,
        (Value::Integer(old), Value::Integer(new)) => old == new,
        (Value::Text(old), Value::Text(new)) => old == new,
        (Value::Secret(old), Value::Secret(new)) => old.is_same_as(new),
        (Value::List(old), Value::List(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| is_same(old, new))
        }
        (Value::Table(old), Value::Table(new)) => {
            let all_in = |old: &Entry| {
                new.iter()
                    .any(|new| new.key == old.key && is_same(&old.node, &new.node))
            };
            old.len() == new.len() && old.iter().all(all_in)
        }
        _ => false,
    }
}
