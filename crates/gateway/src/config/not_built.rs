//! What the configuration can say and this version, or the gateway without an application's code, does not do. It is refused where somebody asks for it, so that nobody
//! believes to be protected by something that is not there. A default asks for nothing.
//!
//! Building one is deleting its line.

use super::path;
use super::problem::{Place, Problems};
use super::schema::{Fallback, Kind};
use super::sections::Config;
use super::show;
use super::tree::{self, Node, Value};

/// A key, for which values it is refused, and what would have to be built.
struct NotBuilt {
    /// The key; `*` stands for any name, id or place in a list.
    key: &'static str,
    /// Whether a value that somebody gave is refused.
    refuses: fn(&Node) -> bool,
    /// What the value needs.
    needs: &'static str,
    /// Who does not have that.
    without: &'static str,
}

const fn row(key: &'static str, refuses: fn(&Node) -> bool, needs: &'static str) -> NotBuilt {
    NotBuilt {
        key,
        refuses,
        needs,
        without: "this version of Bekci",
    }
}

/// What the library does for an application, and cannot be said in a file.
const fn in_code(key: &'static str, refuses: fn(&Node) -> bool, needs: &'static str) -> NotBuilt {
    NotBuilt {
        without: "the gateway alone",
        ..row(key, refuses, needs)
    }
}

#[rustfmt::skip]
const NOT_BUILT: &[NotBuilt] = &[
    row("guards.*.carry_session_data", is_true, "data that goes from session to session"),
    in_code("guards.*.verification", |verification| is(verification, "custom"), "an application that checks its own code and confirms the sign-in (`confirm_verified`)"),
    row("guards.*.sign_in.*", |way| ["apple", "facebook"].iter().any(|other| is(way, other)), "that way to sign in"),
    row("idp.*.client_secret", any, "sign-in by redirect"),
    row("idp.*.scopes", any, "sign-in by redirect"),
    row("idp.apple", any, "Apple's client secret and form posts"),
    row("idp.facebook", any, "Facebook's Graph"),
    row("otel", any, "OpenTelemetry"),
];

/// Reports every given value that nothing acts on. A value equal to the default asks for nothing, so that what `config show` prints can be used.
pub(super) fn refuse(tree: &Node, problems: &mut Problems) {
    for row in NOT_BUILT {
        let segments: Vec<&str> = row.key.split('.').collect();
        let root = Described {
            kind: Some(&Kind::Table(Config::KEYS)),
            fallback: None,
        };
        visit(tree, "", &segments, root, &mut |key, node, described| {
            if node.place.is_given() && (row.refuses)(node) && !described.is_default(node) {
                problems.add(
                    node.place.clone(),
                    key,
                    format!("needs {}, which {} does not have", row.needs, row.without),
                );
            }
        });
    }
}

/// What the table of settings says of a value.
#[derive(Clone, Copy)]
struct Described<'a> {
    kind: Option<&'a Kind>,
    fallback: Option<&'a Fallback>,
}

impl<'a> Described<'a> {
    /// What it says of the value below.
    fn below(self, segment: &str) -> Self {
        let nothing = Described {
            kind: None,
            fallback: None,
        };
        match self.kind {
            Some(Kind::Table(keys) | Kind::Array(keys) | Kind::Either { table: keys, .. }) => keys
                .iter()
                .find(|key| key.name == segment)
                .map_or(nothing, |key| Described {
                    kind: Some(&key.kind),
                    fallback: Some(&key.fallback),
                }),
            Some(Kind::Map { of, .. } | Kind::List { of, .. }) => Described {
                kind: Some(of),
                fallback: None,
            },
            _ => nothing,
        }
    }

    /// Whether the value is the default; a table is if each of its given values is.
    fn is_default(self, node: &Node) -> bool {
        if let (Some(Fallback::Toml(text)), false) = (self.fallback, matches!(node.value, Value::Table(_))) {
            let default = tree::parse_value(text, &Place::BuiltIn);
            return default.is_ok_and(|default| show::is_same(&default, node));
        }
        match (&node.value, self.kind) {
            (Value::Table(entries), Some(Kind::Table(_))) => entries
                .iter()
                .all(|entry| !entry.node.place.is_given() || self.below(&entry.key).is_default(&entry.node)),
            _ => false,
        }
    }
}

/// Each key of this table, with what its refused values need.
pub(super) fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    NOT_BUILT.iter().map(|row| (row.key, row.needs))
}

fn visit(
    node: &Node,
    key: &str,
    segments: &[&str],
    described: Described<'_>,
    each: &mut dyn FnMut(&str, &Node, Described<'_>),
) {
    match (segments.split_first(), &node.value) {
        (None, _) => each(key, node, described),
        (Some((&"*", rest)), Value::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                let id = item.get("id").and_then(Node::text);
                let key = id.map_or_else(|| path::item(key, index), |id| path::key(key, id));
                // An item of a list of tables is described as its table is.
                let described = match described.kind {
                    Some(Kind::Array(_)) => described,
                    _ => described.below("*"),
                };
                visit(item, &key, rest, described, each);
            }
        }
        (Some((segment, rest)), Value::Table(entries)) => {
            for entry in entries.iter().filter(|entry| *segment == "*" || entry.key == *segment) {
                let below = described.below(&entry.key);
                visit(&entry.node, &path::key(key, &entry.key), rest, below, each);
            }
        }
        (Some(_), _) => {}
    }
}

fn any(_: &Node) -> bool {
    true
}

fn is(node: &Node, text: &str) -> bool {
    node.text() == Some(text)
}

fn is_true(node: &Node) -> bool {
    matches!(node.value, Value::Bool(true))
}
