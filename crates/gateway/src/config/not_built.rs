//! What the configuration can say and this version, or the gateway without an application's code, does not do. It is refused where somebody asks for it, so that nobody
//! believes to be protected by something that is not there. A default asks for nothing.
//!
//! Building one is deleting its line.

use super::path;
use super::problem::Problems;
use super::tree::{Node, Value};

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
    row("database.url", |url| begins(url, "mysql:"), "MySQL"),
    row("redis.url", |url| begins(url, "redis-cluster:"), "Redis Cluster"),
    row("redis.url", |url| begins(url, "redis-sentinel:"), "Redis Sentinel"),
    row("guards.*.carry_session_data", is_true, "data that goes from session to session"),
    row("guards.*.password_hash.bcrypt", any, "new hashes by bcrypt; old ones verify"),
    row("guards.*.redirect_uris.*", any, "sign-in by redirect"),
    row("guards.*.require_verified_email", is_true, "confirmation of addresses"),
    row("guards.*.remember_me_days", any, "the remember-me cookie"),
    row("guards.*.verification", |verification| is(verification, "email"), "one-time codes by mail"),
    in_code("guards.*.verification", |verification| is(verification, "custom"), "an application that checks its own code and confirms the sign-in (`confirm_verified`)"),
    row("guards.*.security_cookie_rotate_seconds", is_more_than_zero, "the rotating security cookie"),
    row("guards.*.rate_limit.otp_start", any, "one-time codes"),
    row("guards.*.rate_limit.register", any, "registration"),
    row("guards.*.sign_in.*", |way| !is(way, "password"), "that way to sign in"),
    row("guards.*.register", |register| !is(register, "closed"), "registration"),
    row("mail", any, "mail"),
    row("idp", any, "identity providers"),
    row("clients", any, "introspection and revocation for clients"),
    in_code("routes.*.kind", |kind| is(kind, "unverified"), "an application that confirms sign-ins (`confirm_verified`)"),
    row("otel", any, "OpenTelemetry"),
];

/// Reports every value that somebody gave and that nothing acts on.
pub(super) fn refuse(tree: &Node, problems: &mut Problems) {
    for row in NOT_BUILT {
        let segments: Vec<&str> = row.key.split('.').collect();
        visit(tree, "", &segments, &mut |key, node| {
            if node.place.is_given() && (row.refuses)(node) {
                problems.add(
                    node.place.clone(),
                    key,
                    format!("needs {}, which {} does not have", row.needs, row.without),
                );
            }
        });
    }
}

/// Each key of this table, with what its refused values need.
pub(super) fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    NOT_BUILT.iter().map(|row| (row.key, row.needs))
}

fn visit(node: &Node, key: &str, segments: &[&str], each: &mut dyn FnMut(&str, &Node)) {
    match (segments.split_first(), &node.value) {
        (None, _) => each(key, node),
        (Some((&"*", rest)), Value::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                let id = item.get("id").and_then(Node::text);
                let key = id.map_or_else(|| path::item(key, index), |id| path::key(key, id));
                visit(item, &key, rest, each);
            }
        }
        (Some((segment, rest)), Value::Table(entries)) => {
            for entry in entries.iter().filter(|entry| *segment == "*" || entry.key == *segment) {
                visit(&entry.node, &path::key(key, &entry.key), rest, each);
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

fn is_more_than_zero(node: &Node) -> bool {
    !matches!(node.value, Value::Integer(0))
}

fn begins(node: &Node, start: &str) -> bool {
    matches!(&node.value, Value::Secret(secret) if secret.starts_with(start))
}
