//! `bekci explain` beside running nodes: it says of each request what they do with it, in the words of their log.

use serde_json::{Value, json};

use crate::{
    forge,
    house::{House, Kind, on_sqlite_and_postgres},
    http::{Ask, ask},
    reloading::{LOOK_EVERY, LOOKS},
};

on_sqlite_and_postgres!(what_is_explained_is_what_every_node_answers, what_decided_is_named);

/// What `bekci explain` says about a request with this token.
fn explained(house: &House, method: &str, url: &str, token: Option<&str>) -> Value {
    let mut arguments = vec!["explain", method, url, "--output", "json"];
    arguments.extend(token.map(|_| "--token-stdin"));
    let ran = house.command(&arguments, token.unwrap_or_default());
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let code = if told["allowed"] == true { 0 } else { 1 };
    assert_eq!(ran.code, Some(code), "{ran:?}");
    told
}

fn as_principal(house: &House, key: &str, url: &str, more: &[&str]) -> Value {
    house.told(&[&["explain", "GET", url, "--principal", key][..], more].concat())
}

/// The verdict as the tests tell it.
fn verdict(told: &Value) -> String {
    match told["code"].as_str() {
        Some(code) => format!("{} {code}", told["status"]),
        None => told["status"].to_string(),
    }
}

fn what_is_explained_is_what_every_node_answers(house: &House) {
    let buyer = house.customer().sign_in(house.address()).access;
    let reader = house.person("customer", "reader").sign_in(house.address()).access;
    let support = house.person("admin", "support").sign_in(house.address()).access;
    let root = house.person("admin", "super-admin").sign_in(house.address()).access;
    let banned = house.customer();
    let banned_token = banned.sign_in(house.address()).access;
    house.told(&["principal", "ban", &banned.key(), "--reason", "fraud"]);
    let left = house.signed_in();
    assert_eq!(left.ask("POST", "logout").to(house.address()).status, 200);
    let expired = forge::changed(
        house,
        "customer",
        &buyer,
        &json!({"iat": 1_700_000_000, "exp": 1_700_000_900}),
    );
    let broken = format!("{}x", buyer.trim_end_matches('x'));
    for (method, path, token, expected) in [
        ("GET", "/public/x", None, "200"),
        ("GET", "/me/x", None, "401 TOKEN_MISSING"),
        ("GET", "/me/x", Some(&buyer), "200"),
        ("GET", "/me/x", Some(&root), "401 GUARD_MISMATCH"),
        ("GET", "/me/x", Some(&expired), "401 TOKEN_EXPIRED"),
        ("GET", "/me/x", Some(&broken), "401 TOKEN_INVALID"),
        ("GET", "/me/x", Some(&left.access), "401 TOKEN_INVALID"),
        ("GET", "/me/x", Some(&banned_token), "403 ACCOUNT_BANNED"),
        ("GET", "/orders/x", Some(&buyer), "200"),
        ("GET", "/orders/x", Some(&reader), "403 FORBIDDEN"),
        ("GET", "/office/x", Some(&support), "403 FORBIDDEN"),
        ("GET", "/office/x", Some(&root), "200"),
        ("GET", "/fresh/x", Some(&root), "200"),
        ("GET", "/guests/x", Some(&buyer), "403 FORBIDDEN"),
        ("POST", "/api/orders", Some(&buyer), "200"),
        ("DELETE", "/api/orders/1", Some(&buyer), "403 POLICY_DENIED"),
        ("GET", "/nowhere", Some(&buyer), "404 NOT_FOUND"),
        ("GET", "/me/../office", Some(&buyer), "400 BAD_PATH"),
        ("TRACE", "/me/x", Some(&buyer), "405 METHOD_NOT_ALLOWED"),
    ] {
        let told = explained(house, method, path, token.map(String::as_str));
        assert_eq!(verdict(&told), expected, "{method} {path}: {told}");
        for node in &house.nodes {
            let mut request: Ask = ask(method, path);
            if let Some(token) = token {
                request = request.bearer(token);
            }
            assert_eq!(request.to(node.address).verdict(), expected, "{method} {path}");
            let reason = told["reason"].as_str().unwrap_or_default();
            // Request events are written within 100 ms.
            let is_logged = || node.server.log().replace("\\\"", "\"").contains(reason);
            let mut looks = 0..LOOKS;
            while !is_logged() {
                assert!(looks.next().is_some(), "{reason} is not what the log says");
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }
}

fn what_decided_is_named(house: &House) {
    let buyer = house.customer();
    let told = as_principal(house, &buyer.key(), "/api/orders/1", &[]);
    assert_eq!(told["route"], "api");
    assert_eq!(
        told["policy"],
        json!({"allowed": true, "reason": "allowed by policy line: p, role:customer:buyer, *, /api/orders/**, GET|POST, allow"})
    );
    let other = told["routes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|route| route["route"] == "me");
    assert_eq!(other.unwrap()["why"], "its paths are /me/**");

    let admin = house.person("admin", "support");
    let told = as_principal(house, &admin.key(), "/office/x", &[]);
    assert_eq!(
        (&told["allowed"], &told["reason"]),
        (&json!(false), &json!("missing permission orders.manage"))
    );
    assert_eq!(told["asked"][1]["what"], "permission orders.manage");
    assert_eq!(
        told["asked"][1]["because"],
        json!(["nothing grants orders.manage; it holds the roles support"])
    );

    house.told(&["grant", &admin.key(), "--role", "super-admin"]);
    house.told(&["deny", &admin.key(), "--permission", "orders.*"]);
    let told = as_principal(house, &admin.key(), "/office/x", &[]);
    assert_eq!(told["asked"][1]["met"], false);
    assert_eq!(
        told["asked"][1]["because"],
        json!([
            "orders.* is denied to it globally, which wins",
            "role super-admin permits *"
        ])
    );

    let told = as_principal(house, &buyer.key(), "/me/x", &["--tenant", "acme"]);
    assert_eq!(
        (&told["code"], &told["reason"]),
        (&json!("FORBIDDEN"), &json!("not a member of tenant acme"))
    );
    let told = as_principal(house, "customer:999999999", "/me/x", &[]);
    assert_eq!(told["code"], "IDENTITY_NOT_FOUND");
    let told = as_principal(house, &buyer.key(), "/office/x", &[]);
    assert_eq!(told["code"], "GUARD_MISMATCH");
    let told = as_principal(house, &buyer.key(), "/auth/customer/me", &[]);
    assert_eq!(told["ownCall"], "a call of guard customer");
}

#[test]
fn to_explain_a_token_is_not_to_use_it() {
    let house = House::shared(Kind::Sqlite);
    let tokens = house.signed_in();
    let used = || {
        house.sql(&format!(
            "SELECT used_generation FROM bekci_sessions WHERE id = '{}'",
            tokens.session
        ))
    };
    let before = used();
    assert_eq!(explained(house, "GET", "/me/x", Some(&tokens.access))["allowed"], true);
    assert_eq!(used(), before);
}

#[test]
fn people_read_it_from_top_to_bottom() {
    let house = House::shared(Kind::Sqlite);
    let admin = house.person("admin", "support");
    let ran = house.command(&["explain", "GET", "/office/x", "--principal", &admin.key()], "");
    let order = [
        "GET bekci.test/office/x",
        "taken  office",
        "as if signed in just now through guard admin",
        &format!("{}, status active", admin.key()),
        "yes  signed in through guard admin",
        "NO   permission orders.manage",
        "nothing grants orders.manage; it holds the roles support",
        "REFUSED  403 FORBIDDEN: missing permission orders.manage",
        "route=\"office\" outcome=\"refused\" code=\"FORBIDDEN\"",
    ];
    let mut rest = ran.out.as_str();
    for part in order {
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("{part:?} is not below what stands before it:\n{}", ran.out));
        rest = &rest[at..];
    }
}

#[test]
fn a_question_that_is_none_is_refused() {
    let house = House::shared(Kind::Sqlite);
    for (arguments, code, said) in [
        (&["explain", "GET"][..], 2, "<URL>"),
        (&["explain", "G T", "/x"], 2, "G T"),
        (&["explain", "GET", "/x", "--principal", "42"], 2, "<model>:<id>"),
        (
            &["explain", "GET", "/x", "--principal", "customer:1", "--token-stdin"],
            2,
            "--principal",
        ),
        (&["explain", "GET", "/x", "--guard", "admin"], 2, "--principal"),
        (&["explain", "GET", "/me/x", "--principal", "customr:1"], 1, "NOT_FOUND"),
        (
            &[
                "explain",
                "GET",
                "/me/x",
                "--principal",
                "customer:1",
                "--guard",
                "admin",
            ],
            1,
            "VALIDATION_FAILED",
        ),
        (
            &["explain", "GET", "/me/x", "--principal", "customer:01"],
            1,
            "VALIDATION_FAILED",
        ),
    ] {
        let ran = house.command(arguments, "");
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
    }
}

/// The gate lets it in, and the server behind is dead: that is not "allowed".
#[test]
fn a_dead_upstream_is_not_explained_as_allowed() {
    let house = House::new(Kind::Sqlite, 1);
    let answered = ask("GET", "/dead/x").to(house.address());
    let told = explained(&house, "GET", "/dead/x", None);
    assert_eq!(verdict(&told), answered.verdict());
    assert_eq!(
        (&told["outcome"], &told["allowed"], &told["admitted"]),
        (&json!("unavailable"), &json!(false), &json!(true))
    );
    let text = house.command(&["explain", "GET", "/dead/x"], "").out;
    assert!(
        text.contains("ADMITTED, and answered with 502 UPSTREAM_UNAVAILABLE"),
        "{text}"
    );
    assert!(
        text.contains("outcome=\"unavailable\"") && !text.contains("ALLOWED"),
        "{text}"
    );
}
