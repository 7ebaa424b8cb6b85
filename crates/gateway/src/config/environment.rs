//! `BEKCI__SECTION__KEY`: environment variables that stand in for keys of the file.

use super::check::Variables;
use super::problem::{Place, Problems};
use super::schema::{Fallback, Key, Kind};
use super::suggest;
use super::tree::{self, Node, Value};

/// What the names of these variables begin with.
pub(crate) const PREFIX: &str = "BEKCI__";

/// Puts the value of each `BEKCI__...` variable in place of what the file has, read by the type of its key. A variable that
/// names no key is reported.
pub(crate) fn apply(root: &mut Node, keys: &'static [Key], variables: &Variables, problems: &mut Problems) {
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let place = Place::Variable(name.as_str().into());
        let segments: Vec<&str> = rest.split("__").collect();
        if value.contains(char::REPLACEMENT_CHARACTER) {
            problems.add(place, "", "is not valid UTF-8");
            continue;
        }
        // On a copy: what a wrong name has made on its way must not be checked as if somebody had written it.
        let mut attempt = root.clone();
        match put(
            &Kind::Table(keys),
            &mut attempt,
            &segments,
            &Variable { value, place: &place },
        ) {
            Ok(()) => *root = attempt,
            Err(message) => problems.add(place, "", message),
        }
    }
}

struct Variable<'a> {
    value: &'a str,
    place: &'a Place,
}

fn put(kind: &Kind, node: &mut Node, segments: &[&str], variable: &Variable<'_>) -> Result<(), String> {
    let Some((segment, rest)) = segments.split_first() else {
        *node = read(kind, variable)?;
        return Ok(());
    };
    match kind {
        Kind::Table(keys) => put_key(keys, node, segment, rest, variable),
        Kind::Either { table: keys, .. } => {
            if !matches!(node.value, Value::Table(_)) {
                // Part of what the file gives as a whole, as `upstream = "http://.."`: the whole gives way.
                *node = Node {
                    value: Value::Table(Vec::new()),
                    place: variable.place.clone(),
                };
            }
            put_key(keys, node, segment, rest, variable)
        }
        Kind::Map { key: syntax, of } => {
            let written = node.entries().iter().map(|entry| entry.key.as_str());
            let known = written
                .chain(syntax.choices.iter().copied())
                .find(|key| upper(key) == *segment);
            let key = known.map_or_else(|| segment.to_ascii_lowercase(), str::to_owned);
            if upper(&key) != *segment || key.is_empty() {
                return Err(format!("names nothing: {segment:?} is no name in capitals"));
            }
            put(of, below(node, &key, of, None, variable)?, rest, variable)
        }
        Kind::Array(keys) => {
            let Value::List(items) = &mut node.value else {
                return Err(format!("names nothing: no {segment:?} in the file"));
            };
            let is_named = |item: &&mut Node| {
                item.get("id")
                    .and_then(Node::text)
                    .is_some_and(|id| upper(id) == *segment)
            };
            match items.iter_mut().find(is_named) {
                Some(item) => put(&Kind::Table(keys), item, rest, variable),
                None => Err(format!(
                    "names nothing: nothing in the file has the id {:?}",
                    segment.to_ascii_lowercase()
                )),
            }
        }
        Kind::Secret(_) => put_reference(node, &["FILE", "ENV"], segments, variable),
        Kind::Text(_) => put_reference(node, &["ENV"], segments, variable),
        Kind::Bool | Kind::Integer(_) | Kind::List { .. } => Err(format!(
            "names nothing: no key {:?} there",
            segment.to_ascii_lowercase()
        )),
    }
}

fn put_key(
    keys: &'static [Key],
    node: &mut Node,
    segment: &str,
    rest: &[&str],
    variable: &Variable<'_>,
) -> Result<(), String> {
    let Some(row) = keys.iter().find(|key| upper(key.name) == segment) else {
        let word = segment.to_ascii_lowercase();
        return Err(format!(
            "names nothing: unknown key {word}{}",
            suggest::hint(&word, keys.iter().map(|key| key.name))
        ));
    };
    put(
        &row.kind,
        below(node, row.name, &row.kind, Some(&row.fallback), variable)?,
        rest,
        variable,
    )
}

/// `BEKCI__SECRETS__ROOT__FILE=path` for `{ file = "path" }`.
fn put_reference(node: &mut Node, allowed: &[&str], segments: &[&str], variable: &Variable<'_>) -> Result<(), String> {
    match segments {
        [source] if allowed.contains(source) => {
            let mut reference = Node {
                value: Value::Table(Vec::new()),
                place: variable.place.clone(),
            };
            reference.entry(&source.to_ascii_lowercase(), || Node {
                value: Value::Text(variable.value.to_owned()),
                place: variable.place.clone(),
            });
            *node = reference;
            Ok(())
        }
        _ => Err(format!("names nothing: a text has {} only", allowed.join(" and "))),
    }
}

/// The node of a key, made where the file has none: from its default, so that overriding one built-in guard leaves the other
/// where it is.
fn below<'a>(
    node: &'a mut Node,
    key: &str,
    kind: &Kind,
    fallback: Option<&Fallback>,
    variable: &Variable<'_>,
) -> Result<&'a mut Node, String> {
    let is_map = matches!(kind, Kind::Map { .. });
    let make = || match fallback {
        Some(Fallback::Toml(text)) if is_map => tree::parse_value(text, &Place::BuiltIn).ok(),
        _ => None,
    };
    let empty = || Node {
        value: Value::Table(Vec::new()),
        place: variable.place.clone(),
    };
    node.entry(key, || make().unwrap_or_else(empty))
        .ok_or_else(|| format!("cannot set {key}: the file has no table there"))
}

/// A variable's value by the type of its key. What does not fit stays a text, so that the check can say so.
fn read(kind: &Kind, variable: &Variable<'_>) -> Result<Node, String> {
    let text = variable.value;
    let is_structured = match kind {
        Kind::List { .. } | Kind::Map { .. } | Kind::Table(_) | Kind::Array(_) => true,
        Kind::Either { .. } => text.trim_start().starts_with('{'),
        Kind::Bool | Kind::Integer(_) | Kind::Text(_) | Kind::Secret(_) => false,
    };
    if is_structured {
        return tree::parse_value(text.trim(), variable.place)
            .map_err(|error| format!("must be a TOML value, as ['a', 'b'] or {{ key = 'a' }}: {error}"));
    }
    // What is no table stays a text: a secret may begin with a brace.
    if matches!(kind, Kind::Text(_) | Kind::Secret(_))
        && text.trim_start().starts_with('{')
        && let Ok(node) = tree::parse_value(text.trim(), variable.place)
        && matches!(node.value, Value::Table(_))
    {
        return Ok(node);
    }
    let value = match (kind, text.parse::<bool>(), text.parse::<i64>()) {
        (Kind::Bool, Ok(flag), _) => Value::Bool(flag),
        (Kind::Integer(_), _, Ok(number)) => Value::Integer(number),
        _ => Value::Text(text.to_owned()),
    };
    Ok(Node {
        value,
        place: variable.place.clone(),
    })
}

/// How a key is spelt in the name of a variable.
fn upper(key: &str) -> String {
    key.to_ascii_uppercase().replace('-', "_")
}

/// The variable that stands in for a key, as `BEKCI__SERVER__LISTEN`.
pub(crate) fn variable_of(segments: &[&str]) -> String {
    let parts: Vec<String> = segments.iter().map(|segment| upper(segment)).collect();
    format!("{PREFIX}{}", parts.join("__"))
}

/// Names of variables that look like a key of ours and are not read, since an underscore is missing.
pub(crate) fn probable_mistakes(variables: &Variables, keys: &'static [Key]) -> Vec<String> {
    let meant = |name: &str| {
        let rest = name.strip_prefix("BEKCI_").filter(|_| !name.starts_with(PREFIX))?;
        let named = |key: &&Key| {
            let rest = rest.strip_prefix(&upper(key.name));
            rest.is_some_and(|rest| rest.starts_with('_'))
        };
        let section = keys.iter().filter(named).max_by_key(|key| key.name.len())?;
        let below = rest.get(upper(section.name).len()..)?.trim_start_matches('_');
        Some(format!("{PREFIX}{}__{below}", upper(section.name)))
    };
    variables
        .keys()
        .filter_map(|name| Some(format!("{name} is not read; {} is probably meant", meant(name)?)))
        .collect()
}
