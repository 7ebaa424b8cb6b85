//! What the management API's bodies and answers are like.

use serde_json::{Map, Value, json};

use crate::openapi::schema::{
    account as account_key, among, exactly, guard, hex_id, key, line_of, list, name, nothing, number, one_of, open,
    or_null, pattern, permission as right, role as named, tenant, text, time, truth,
};

fn reason() -> Value {
    line_of(1, 500)
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
    [("guard", or_null(guard())), ("tenant", or_null(tenant()))]
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
    json!({"type": "string", "pattern": "^\\s*[^\\s#][^\\r\\n]*$", "examples": ["p, role:customer:buyer, *, /api/parcels/**, GET, allow"]})
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
            ("principal", account_key()),
            guard,
            ("roles", or_null(at_most_500(named()))),
            tenant,
            (
                "path",
                json!({"type": "string", "maxLength": 2048, "pattern": "^/", "examples": ["/api/parcels/7"]}),
            ),
            (
                "method",
                json!({"type": "string", "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}$", "examples": ["GET"]}),
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
        ("principal", or_null(account_key())),
        ("jti", or_null(hex_id())),
        ("sid", or_null(hex_id())),
        ("token", or_null(text())),
        ("reason", reason()),
        ("until", or_null(time())),
    ]
}

/// Of these fields the first are there and the others are not.
fn these(there: &[&str], left_out: &[&str]) -> Value {
    let said = there.iter().map(|name| (*name, text()));
    let unsaid = left_out.iter().map(|name| (*name, nothing()));
    let fields: Map<String, Value> = said.chain(unsaid).map(|(name, of)| (name.to_owned(), of)).collect();
    json!({"required": there, "properties": fields})
}

/// Either `principal` with `jti` or `sid`, or `token`, which says all of it and its end.
fn of_one_block(mut body: Value) -> Value {
    let ways = [
        these(&["principal", "jti"], &["sid", "token"]),
        these(&["principal", "sid"], &["jti", "token"]),
        these(&["token"], &["principal", "jti", "sid", "until"]),
    ];
    if let Some(body) = body.as_object_mut() {
        body.insert("oneOf".to_owned(), ways.into());
    }
    body
}

pub(super) fn invite_body() -> Value {
    among(
        &["email", "role"],
        &[
            ("guard", or_null(guard())),
            ("email", line_of(1, 254)),
            ("role", named()),
            ("tenant", or_null(tenant())),
            ("redirectUri", or_null(text())),
        ],
    )
}

pub(super) fn invite() -> Value {
    exactly(&[
        ("id", hex_id()),
        ("inviter", key()),
        ("email", line_of(1, 254)),
        ("role", named()),
        ("tenant", or_null(tenant())),
        ("createdAt", time()),
        ("expiresAt", time()),
    ])
}

pub(super) fn stats() -> Value {
    let amount = || or_null(json!({"type": "number", "minimum": 0}));
    let counted = |names: &[&'static str]| {
        let mut fields: Vec<(&str, Value)> = names.iter().map(|name| (*name, text())).collect();
        fields.push(("count", number(0)));
        exactly(&fields)
    };
    let durations = || {
        exactly(&[
            ("count", number(0)),
            ("p50Ms", amount()),
            ("p99Ms", amount()),
            ("maxMs", amount()),
        ])
    };
    exactly(&[
        ("since", time()),
        (
            "decisions",
            exactly(&[
                ("allowed", number(0)),
                ("refused", number(0)),
                ("unavailable", number(0)),
            ]),
        ),
        ("signIns", list(counted(&["guard", "way", "result"]))),
        ("limited", list(counted(&["guard", "limit"]))),
        (
            "cache",
            exactly(&[
                ("l1", number(0)),
                ("redis", number(0)),
                ("database", number(0)),
                ("hitRatio", amount()),
            ]),
        ),
        ("revocationLag", durations()),
        ("barrier", durations()),
    ])
}

pub(super) fn block_body() -> Value {
    of_one_block(among(&["reason"], &block_fields()))
}

pub(super) fn unblock_body() -> Value {
    let [principal, jti, sid, token, (_, reason), _] = block_fields();
    of_one_block(among(&[], &[principal, jti, sid, token, ("reason", or_null(reason))]))
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
