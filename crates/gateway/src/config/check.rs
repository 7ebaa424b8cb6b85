//! Checks what was written against the table of settings and fills in what was not.
//!
//! The outcome is a tree that holds every key with its value in force. A value that is refused is reported, and its default stands
//! in for it, so that the rest can be checked too.

use std::collections::BTreeMap;

use super::path;
use super::problem::{Place, Problems};
use super::schema::{Bounds, Facts, Fallback, Key, Kind, Refusal, Syntax};
use super::suggest;
use super::tree::{self, Entry, Node, Value};
use super::values::secret::{MASK, Secret, SecretRule, SecretSource};

/// More words than these are not listed where another one is refused.
const LISTED: usize = 12;

/// The variables of the environment, by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// Checks one configuration.
pub(crate) struct Checker<'a> {
    variables: &'a Variables,
    problems: &'a mut Problems,
    facts: Facts,
}

impl<'a> Checker<'a> {
    /// Looks `{ env = ".." }` up in these variables and reports to these problems.
    pub(crate) fn new(variables: &'a Variables, problems: &'a mut Problems) -> Self {
        Self {
            variables,
            problems,
            facts: Facts::default(),
        }
    }

    /// The value in force, or nothing where it was refused.
    pub(crate) fn check(&mut self, kind: &Kind, key: &str, node: Node) -> Option<Node> {
        match kind {
            Kind::Bool => self.flag(key, node),
            Kind::Integer(bounds) => self.number(*bounds, key, node),
            Kind::Text(syntax) => self.text(syntax, key, node),
            Kind::Secret(rule) => self.secret(rule, key, &node),
            Kind::List { of, at_least } => self.list(of, *at_least, key, node),
            Kind::Map { key: syntax, of } => self.map(syntax, of, key, node),
            Kind::Table(keys) => self.table(keys, key, node),
            Kind::Array(keys) => self.array(keys, key, node),
            Kind::Either { text, table } => match &node.value {
                Value::Table(entries) if !is_reference(entries) => self.table(table, key, node),
                Value::Table(_) | Value::Text(_) => self.check(text, key, node),
                _ => self.refuse_type("a text or a table", key, &node),
            },
        }
    }

    fn refuse<T>(&mut self, place: &Place, key: &str, message: impl Into<String>) -> Option<T> {
        self.problems.add(place.clone(), key, message);
        None
    }

    fn refuse_type<T>(&mut self, expected: &str, key: &str, node: &Node) -> Option<T> {
        let message = format!("must be {expected}, not {}", node.value.describe());
        self.refuse(&node.place, key, message)
    }

    /// The value of the variable that `{ env = ".." }` names, read as the type of the key; any other value as it is.
    fn dereferenced(&mut self, key: &str, mut node: Node, read: impl Fn(&str) -> Option<Value>) -> Option<Node> {
        if let Value::Table(entries) = &node.value
            && is_reference(entries)
        {
            let (_, name) = self.reference(&["env"], key, &node)?;
            let text = self.variable(&name, key, &node.place)?;
            node.value = read(text.trim()).unwrap_or(Value::Text(text));
        }
        Some(node)
    }

    fn flag(&mut self, key: &str, node: Node) -> Option<Node> {
        let node = self.dereferenced(key, node, |text| text.parse().ok().map(Value::Bool))?;
        match node.value {
            Value::Bool(_) => Some(node),
            _ => self.refuse_type("true or false", key, &node),
        }
    }

    fn number(&mut self, bounds: Bounds, key: &str, node: Node) -> Option<Node> {
        let node = self.dereferenced(key, node, |text| text.parse().ok().map(Value::Integer))?;
        let Value::Integer(number) = node.value else {
            return self.refuse_type("a whole number", key, &node);
        };
        let Bounds { min, max, or_zero } = bounds;
        if (min..=max).contains(&number) || (or_zero && number == 0) {
            return Some(node);
        }
        let zero = if or_zero { "0 or " } else { "" };
        self.refuse(
            &node.place,
            key,
            format!("{number} is out of range; it may be {zero}{min} to {max}"),
        )
    }

    fn text(&mut self, syntax: &Syntax, key: &str, mut node: Node) -> Option<Node> {
        if let Value::Table(entries) = &node.value
            && is_reference(entries)
        {
            let (_, name) = self.reference(&["env"], key, &node)?;
            node.value = Value::Text(self.variable(&name, key, &node.place)?);
        }
        let Value::Text(text) = &node.value else {
            return self.refuse_type("a text", key, &node);
        };
        if (syntax.or_empty && text.is_empty()) || (syntax.check)(text).is_ok() {
            return Some(node);
        }
        let message = refusal_of(syntax, text);
        self.refuse(&node.place, key, message)
    }

    /// Which of `file` and `env` a reference has, and what it says.
    fn reference(&mut self, allowed: &[&'static str], key: &str, node: &Node) -> Option<(&'static str, String)> {
        if let [only] = node.entries()
            && let Some(source) = allowed.iter().find(|source| **source == only.key)
            && let Some(text) = only.node.text()
            && !text.is_empty()
        {
            return Some((source, text.to_owned()));
        }
        let shapes: Vec<_> = allowed
            .iter()
            .map(|source| format!("{{ {source} = \"..\" }}"))
            .collect();
        self.refuse(&node.place, key, format!("must be a text or {}", shapes.join(" or ")))
    }

    fn variable(&mut self, name: &str, key: &str, place: &Place) -> Option<String> {
        match self.variables.get(name) {
            Some(value) if value.contains(char::REPLACEMENT_CHARACTER) => self.refuse(
                place,
                key,
                format!("the environment variable {name} is not valid UTF-8"),
            ),
            Some(value) => Some(value.clone()),
            None => self.refuse(place, key, format!("the environment variable {name} is not set")),
        }
    }

    fn secret(&mut self, rule: &SecretRule, key: &str, node: &Node) -> Option<Node> {
        let secret = match &node.value {
            Value::Text(text) => Ok(Secret::from_text(SecretSource::Inline, text)),
            Value::Table(_) => match self.reference(&["file", "env"], key, node)? {
                ("file", file) => Secret::from_file(file.into(), rule),
                (_, name) => {
                    let value = self.variable(&name, key, &node.place)?;
                    Ok(Secret::from_text(SecretSource::Variable(name), &value))
                }
            },
            _ => return self.refuse_type("a text, { file = \"..\" } or { env = \"..\" }", key, node),
        };
        if matches!(&node.value, Value::Text(text) if text == MASK) {
            return self.refuse(
                &node.place,
                key,
                "is masked, as `bekci config show` prints it: write the secret, { file = \"..\" } or { env = \"..\" }",
            );
        }
        match secret.and_then(|secret| secret.checked(rule)) {
            Ok(secret) => Some(Node {
                value: Value::Secret(secret),
                place: node.place.clone(),
            }),
            Err(message) => self.refuse(&node.place, key, message),
        }
    }

    fn list(&mut self, of: &Kind, at_least: usize, key: &str, node: Node) -> Option<Node> {
        let Value::List(items) = node.value else {
            return self.refuse_type("a list", key, &node);
        };
        if items.len() < at_least {
            return self.refuse(&node.place, key, "must not be empty");
        }
        let mut good: Vec<Node> = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let Some(item) = self.check(of, &path::item(key, index), item) else {
                continue;
            };
            let text = item.text();
            if text.is_some() && good.iter().any(|other| other.text() == text) {
                self.problems.add(item.place, &path::item(key, index), "is there twice");
            } else {
                good.push(item);
            }
        }
        Some(Node {
            value: Value::List(good),
            place: node.place,
        })
    }

    fn map(&mut self, syntax: &Syntax, of: &Kind, key: &str, node: Node) -> Option<Node> {
        let Value::Table(entries) = node.value else {
            return self.refuse_type("a table", key, &node);
        };
        let mut good = Vec::new();
        for entry in entries {
            let key = path::key(key, &entry.key);
            if (syntax.check)(&entry.key).is_err() {
                let message = refusal_of(syntax, &entry.key);
                self.problems.add(entry.key_place, &key, message);
                continue;
            }
            if matches!(of, Kind::Table(_)) {
                self.facts.name.clone_from(&entry.key);
            }
            if let Some(node) = self.check(of, &key, entry.node) {
                good.push(Entry { node, ..entry });
            }
        }
        Some(Node {
            value: Value::Table(good),
            place: node.place,
        })
    }

    fn array(&mut self, keys: &'static [Key], key: &str, node: Node) -> Option<Node> {
        let Value::List(items) = node.value else {
            return self.refuse(&node.place, key, format!("is a list: write [[{key}]]"));
        };
        let mut good: Vec<Node> = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let id = item.get("id").and_then(Node::text).map(str::to_owned);
            let is_taken = id.as_deref().is_some_and(|id| {
                good.iter()
                    .any(|other| other.get("id").and_then(Node::text) == Some(id))
            });
            let key = id
                .as_deref()
                .filter(|_| !is_taken)
                .map_or_else(|| path::item(key, index), |id| path::key(key, id));
            if let (true, Some(id)) = (is_taken, &id) {
                let place = item.get("id").map_or_else(|| item.place.clone(), |id| id.place.clone());
                self.problems.add(
                    place,
                    &path::key(&key, "id"),
                    format!("{id:?} is the id of another one already"),
                );
            }
            good.extend(self.table(keys, &key, item).filter(|_| !is_taken));
        }
        Some(Node {
            value: Value::List(good),
            place: node.place,
        })
    }

    fn table(&mut self, keys: &'static [Key], key: &str, node: Node) -> Option<Node> {
        let Value::Table(entries) = node.value else {
            return self.refuse_type("a table", key, &node);
        };
        let (mut known, unknown): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|entry| keys.iter().any(|known| known.name == entry.key));
        for entry in unknown {
            let hint = self.hint_for(&entry.key, keys);
            self.problems.add(
                entry.key_place,
                &path::key(key, &entry.key),
                format!("unknown key{hint}"),
            );
        }
        let mut complete = Vec::new();
        for row in keys {
            let at = known.iter().position(|entry| entry.key == row.name);
            let given = at.map(|at| known.swap_remove(at));
            complete.extend(self.row(row, &path::key(key, row.name), given, &node.place));
        }
        Some(Node {
            value: Value::Table(complete),
            place: node.place,
        })
    }

    /// One key of a table: what was given, or what stands in for it.
    fn row(&mut self, row: &'static Key, key: &str, given: Option<Entry>, table: &Place) -> Option<Entry> {
        let key_place = given.as_ref().map_or(Place::BuiltIn, |entry| entry.key_place.clone());
        let is_given = given.is_some();
        let good = given.and_then(|entry| self.check(&row.kind, key, entry.node));
        let node = match good {
            Some(node) => node,
            None => match row.fallback {
                Fallback::Required if is_given => return None,
                Fallback::Required => return self.refuse(table, key, "is required"),
                Fallback::Absent => return None,
                Fallback::Toml(text) => {
                    let node = tree::parse_value(text, &Place::BuiltIn).ok()?;
                    self.check(&row.kind, key, node)?
                }
                Fallback::Computed { value, .. } => {
                    let node = Node::built_in(value(&self.facts));
                    self.check(&row.kind, key, node)?
                }
            },
        };
        self.learn(key, &node);
        Some(Entry {
            key: row.name.to_owned(),
            key_place,
            node,
        })
    }

    /// Takes down what computed defaults further down follow from.
    fn learn(&mut self, key: &str, node: &Node) {
        match (key, &node.value) {
            ("server.public_url", Value::Text(url)) => self.facts.public_url.clone_from(url),
            ("database.url", Value::Secret(url)) => self.facts.is_sqlite = url.starts_with("sqlite:"),
            _ => {}
        }
    }

    fn hint_for(&self, unknown: &str, keys: &[Key]) -> String {
        let near = suggest::hint(unknown, keys.iter().map(|key| key.name));
        if !near.is_empty() {
            return near;
        }
        match super::sections::Config::KEYS
            .iter()
            .find(|section| holds(&section.kind, unknown))
        {
            Some(section) => format!("; {} has a key of this name", section.name),
            None => String::new(),
        }
    }
}

/// Whether a section, or each of its members, has the key.
fn holds(kind: &Kind, name: &str) -> bool {
    match kind {
        Kind::Table(keys) | Kind::Array(keys) => keys.iter().any(|key| key.name == name),
        Kind::Map { of, .. } => holds(of, name),
        _ => false,
    }
}

/// Whether a table is `{ env = ".." }` or `{ file = ".." }`, or meant to be.
fn is_reference(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| entry.key == "env" || entry.key == "file")
}

/// Why a text is refused, with the text itself: so never for a secret.
fn refusal_of(syntax: &Syntax, text: &str) -> String {
    let shown: String = text.chars().take(80).collect();
    match (syntax.check)(text) {
        Err(Refusal::Because(reason)) => format!("{shown:?} {reason}"),
        Ok(()) | Err(Refusal::Malformed) if syntax.choices.is_empty() => format!("{shown:?} is not {}", syntax.what),
        Ok(()) | Err(Refusal::Malformed) if syntax.choices.len() > LISTED => {
            let hint = suggest::hint(text, syntax.choices.iter().copied());
            format!("{shown:?} is not {}{hint}", syntax.what)
        }
        Ok(()) | Err(Refusal::Malformed) => {
            let hint = suggest::hint(text, syntax.choices.iter().copied());
            format!("{shown:?} is not one of {}{hint}", syntax.choices.join(", "))
        }
    }
}
