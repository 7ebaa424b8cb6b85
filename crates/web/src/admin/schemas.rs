//! What the management API's bodies and answers are like.

use serde_json::{Value, json};

use crate::openapi::schema::{
    among, exactly, hex_id, key, list, name, number, one_of, open, or_null, pattern, permission as right,
    role as named, tenant, text, text_of, time, truth,
};

fn reason() -> Value {
    text_of(1, 500)
}

fn key_fields() -> [(&'static str, Value); 3] {
    [("key", key()), ("model", name()), ("id", text())]
}

fn account_fields() -> Vec<(&'static str, Value)> {
    let mut fields = key_fields().to_vec();
    fields.extend([
        ("status", or_null(text())),
        ("banned", truth()),
        ("verified", truth()),
        ("tenant", or_null(tenant())),
        ("attributes", open()),
    ]);
    fields
}

pub(super) fn account() -> Value {
    exactly(&account_fields())
}

pub(super) fn whole_account() -> Value {
    let scope = exactly(&[
        ("guard", name()),
        ("tenant", or_null(tenant())),
        ("roles", list(named())),
        ("granted", list(right())),
        ("denied", list(right())),
    ]);
    let ban = exactly(&[("reason", or_null(text())), ("until", or_null(time()))]);
    let block = exactly(&[
        ("jti", or_null(hex_id())),
        ("sid", or_null(hex_id())),
        ("reason", text()),
        ("until", or_null(time())),
    ]);
    let mut fields = account_fields();
    fields.extend([("ban", or_null(ban)), ("rights", list(scope)), ("blocks", list(block))]);
    exactly(&fields)
}

/// The model's identifiers and attributes by column, beside what every model may have.
pub(super) fn account_body() -> Value {
    json!({
        "type": "object",
        "properties": {
            "password": {"type": "string", "format": "password", "maxLength": 128},
            "verified": truth(),
            "tenant": or_null(tenant()),
        },
        "additionalProperties": {"type": ["string", "number", "boolean", "null"], "maxLength": 1000},
        "examples": [{"email": "ann@example.com", "name": "Ann"}],
    })
}

pub(super) fn added_account() -> Value {
    exactly(&key_fields())
}

pub(super) fn changed_account() -> Value {
    exactly(&[("key", key()), ("changed", list(text())), ("endedSessions", number(0))])
}

pub(super) fn key_alone() -> Value {
    exactly(&[("key", key())])
}

pub(super) fn id_alone() -> Value {
    exactly(&[("id", number(1))])
}

pub(super) fn status_body() -> Value {
    among(
        &["status"],
        &[
            ("status", pattern("^[!-~]{1,64}$")),
            ("reason", or_null(reason())),
            ("until", or_null(time())),
        ],
    )
}

pub(super) fn status() -> Value {
    exactly(&[
        ("key", key()),
        ("status", text()),
        ("banned", truth()),
        ("reason", or_null(text())),
        ("until", or_null(time())),
    ])
}

fn scope() -> [(&'static str, Value); 2] {
    [("guard", or_null(name())), ("tenant", or_null(tenant()))]
}

fn at_most_500(of: Value) -> Value {
    json!({"type": "array", "items": of, "maxItems": 500})
}

pub(super) fn roles_body() -> Value {
    let [guard, tenant] = scope();
    among(&["roles"], &[guard, tenant, ("roles", at_most_500(named()))])
}

pub(super) fn held_roles() -> Value {
    let [_, tenant] = scope();
    exactly(&[("key", key()), ("guard", name()), tenant, ("roles", list(named()))])
}

pub(super) fn permissions_body() -> Value {
    let [guard, tenant] = scope();
    let lists = [("granted", at_most_500(right())), ("denied", at_most_500(right()))];
    let [granted, denied] = lists;
    among(&["granted", "denied"], &[guard, tenant, granted, denied])
}

pub(super) fn held_permissions() -> Value {
    let [_, tenant] = scope();
    exactly(&[
        ("key", key()),
        ("guard", name()),
        tenant,
        ("granted", list(right())),
        ("denied", list(right())),
    ])
}

pub(super) fn session() -> Value {
    exactly(&[
        ("id", hex_id()),
        ("guard", name()),
        ("deviceName", or_null(text())),
        ("way", text()),
        ("createdAt", time()),
        ("lastUsedAt", time()),
    ])
}

pub(super) fn ended_sessions() -> Value {
    exactly(&[("key", key()), ("endedSessions", list(hex_id()))])
}

pub(super) fn role() -> Value {
    exactly(&[
        ("id", number(1)),
        ("guard", name()),
        ("tenant", or_null(tenant())),
        ("name", named()),
        ("permissions", list(right())),
    ])
}

pub(super) fn role_body() -> Value {
    let [guard, tenant] = scope();
    among(
        &["name"],
        &[guard, tenant, ("name", named()), ("permissions", at_most_500(right()))],
    )
}

pub(super) fn role_name_body() -> Value {
    among(&["name"], &[("name", named())])
}

pub(super) fn role_permissions_body() -> Value {
    among(&["permissions"], &[("permissions", at_most_500(right()))])
}

pub(super) fn permission() -> Value {
    exactly(&[("id", number(1)), ("guard", name()), ("name", right())])
}

pub(super) fn permission_body() -> Value {
    let [guard, _] = scope();
    among(&["name"], &[guard, ("name", right())])
}

/// As in a file: `p, subject, tenant, path, methods, effect`.
fn line_text() -> Value {
    json!({"type": "string", "examples": ["p, role:customer:buyer, *, /api/parcels/**, GET, allow"]})
}

pub(super) fn line() -> Value {
    exactly(&[
        ("id", number(1)),
        ("kind", text()),
        ("values", list(text())),
        ("line", or_null(line_text())),
    ])
}

pub(super) fn lines_body() -> Value {
    let lines = json!({"type": "array", "items": line_text(), "minItems": 1, "maxItems": 100});
    among(&["lines"], &[("lines", lines)])
}

pub(super) fn added_lines() -> Value {
    exactly(&[("lines", list(line_text()))])
}

pub(super) fn removed_lines() -> Value {
    exactly(&[("lines", list(line_text())), ("removed", number(1))])
}

pub(super) fn question() -> Value {
    let [guard, tenant] = scope();
    among(
        &["principal", "path", "method"],
        &[
            ("principal", key()),
            guard,
            ("roles", or_null(at_most_500(named()))),
            tenant,
            (
                "path",
                json!({"type": "string", "maxLength": 2048, "examples": ["/api/parcels/7"]}),
            ),
            (
                "method",
                json!({"type": "string", "minLength": 1, "maxLength": 32, "examples": ["GET"]}),
            ),
        ],
    )
}

pub(super) fn checked() -> Value {
    exactly(&[
        ("allowed", truth()),
        ("line", or_null(line_text())),
        ("reason", text()),
        ("principal", key()),
        ("guard", name()),
        ("roles", list(named())),
    ])
}

fn block_fields() -> [(&'static str, Value); 6] {
    [
        ("principal", or_null(key())),
        ("jti", or_null(hex_id())),
        ("sid", or_null(hex_id())),
        ("token", or_null(text())),
        ("reason", reason()),
        ("until", or_null(time())),
    ]
}

/// Either `principal` with `jti` or `sid`, or `token`.
pub(super) fn block_body() -> Value {
    among(&["reason"], &block_fields())
}

pub(super) fn unblock_body() -> Value {
    let [principal, jti, sid, token, (_, reason), _] = block_fields();
    among(&[], &[principal, jti, sid, token, ("reason", or_null(reason))])
}

pub(super) fn block() -> Value {
    exactly(&[
        ("principal", key()),
        ("jti", or_null(hex_id())),
        ("sid", or_null(hex_id())),
        ("reason", text()),
        ("until", or_null(time())),
    ])
}

pub(super) fn lifted() -> Value {
    exactly(&[
        ("principal", key()),
        ("jti", or_null(hex_id())),
        ("sid", or_null(hex_id())),
        ("lifted", number(1)),
    ])
}

pub(super) fn change() -> Value {
    exactly(&[
        ("effective", one_of(&["everywhere", "pending"])),
        ("position", number(0)),
    ])
}
