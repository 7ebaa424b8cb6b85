//! The configuration as a tree of values that know where they were written.

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problems};
use super::values::secret::Secret;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The value.
    pub(crate) value: Value,
    /// Where it was written; for a table with a header, where its name stands there.
    pub(crate) place: Place,
}

/// What a configuration can hold.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
    /// A secret that has been looked up already; a tree that was only read has none.
    Secret(Secret),
    /// A list.
    List(Vec<Node>),
    /// A table, in the order of its reader or its schema.
    Table(Vec<Entry>),
    /// What no key takes (a date, a fraction), by what to call it.
    Foreign(&'static str),
}

/// A key of a table with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) key_place: Place,
    /// The value.
    pub(crate) node: Node,
}

impl Node {
    /// A value that nobody wrote.
    pub(crate) fn built_in(value: Value) -> Self {
        Self {
            value,
            place: Place::BuiltIn,
        }
    }

    /// The value below a key of a table, or the element of a list of tables whose `id` is the key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            Value::List(items) => items
                .iter()
                .find(|item| item.get("id").and_then(Node::text) == Some(key)),
            Value::Bool(_) | Value::Integer(_) | Value::Text(_) | Value::Secret(_) | Value::Foreign(_) => None,
        }
    }

    /// The text, where it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, where it is a list; else none.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entries, where it is a table; else none.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of a key in a table, made by `or` where it is missing. Nothing where this is no table.
    pub(crate) fn entry(&mut self, key: &str, or: impl FnOnce() -> Node) -> Option<&mut Node> {
        let Value::Table(entries) = &mut self.value else {
            return None;
        };
        let at = entries.iter().position(|entry| entry.key == key);
        let at = at.unwrap_or_else(|| {
            let node = or();
            entries.push(Entry {
                key: key.to_owned(),
                key_place: node.place.clone(),
                node,
            });
            entries.len() - 1
        });
        entries.get_mut(at).map(|entry| &mut entry.node)
    }
}

impl Value {
    /// What to call the kind of value in a message.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Bool(_) => "true or false",
            Self::Integer(_) => "a number",
            Self::Text(_) | Self::Secret(_) => "a text",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Foreign(what) => what,
        }
    }
}

/// Reads a file's text. Every error of the syntax is added; then there is no tree.
pub(crate) fn parse_file(file: &str, text: &str, problems: &mut Problems) -> Option<Node> {
    let lines = Lines::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let at = |offset| lines.place(offset);
        return Some(Node {
            value: Value::Table(entries_of(table.get_ref(), &at)),
            place: lines.place(0),
        });
    }
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        problems.add(lines.place(offset), "", format!("is not TOML: {}", error.message()));
    }
    None
}

/// Reads one TOML value that stands in a variable or in the schema.
///
/// # Errors
/// What the syntax lacks.
pub(crate) fn parse_value(text: &str, place: &Place) -> Result<Node, String> {
    let value = DeValue::parse(text).map_err(|error| error.message().to_owned())?;
    Ok(Node {
        value: value_of(value.get_ref(), &|_| place.clone()),
        place: place.clone(),
    })
}

fn entries_of(table: &DeTable<'_>, at: &dyn Fn(usize) -> Place) -> Vec<Entry> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| {
            let key_place = at(key.span().start);
            // The span of a table with a header begins before its name, at the bracket.
            let is_behind_key = value.span().start >= key.span().end;
            let place = if is_behind_key {
                at(value.span().start)
            } else {
                key_place.clone()
            };
            let node = Node {
                value: value_of(value.get_ref(), at),
                place,
            };
            (
                key.span().start,
                Entry {
                    key: key.get_ref().to_string(),
                    key_place,
                    node,
                },
            )
        })
        .collect();
    // The parser sorts by name; a reader knows the order of the file.
    entries.sort_by_key(|(offset, _)| *offset);
    entries.into_iter().map(|(_, entry)| entry).collect()
}

fn value_of(value: &DeValue<'_>, at: &dyn Fn(usize) -> Place) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Foreign("a number beyond 64 bits"), Value::Integer),
        DeValue::Float(_) => Value::Foreign("a fraction"),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(_) => Value::Foreign("a date or time"),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Node {
                    value: value_of(item.get_ref(), at),
                    place: at(item.span().start),
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(entries_of(table, at)),
    }
}

/// Where each line of a text begins.
struct Lines<'a> {
    file: Arc<str>,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(file: &str, text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            file: file.into(),
            text,
            starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).map_or(0, |text| text.chars().count());
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place::File {
            file: self.file.clone(),
            line: number(line),
            column: number(before + 1),
        }
    }
}
