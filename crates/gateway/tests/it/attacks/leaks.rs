//! What no answer tells: how the gateway is built, what it holds for others, and secrets.

use serde_json::json;

use crate::{
    house::{House, Kind, PASSWORD},
    http::{Answer, ask, get, post},
    people::call,
};

/// Traces of the inside.
const INSIDE: [&str; 20] = [
    "actix",
    "sqlx",
    "sqlite",
    "postgres",
    "SELECT",
    "redis",
    "casbin",
    "rust",
    ".rs",
    "panicked",
    "stack backtrace",
    "/tmp",
    "0.1.0",
    "hash",
    "$argon2",
    "serde",
    "127.0.0.1",
    "line 1 column",
    "os error",
    "bekci_",
];

fn tells_nothing(answer: &Answer, asked: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    for word in INSIDE {
        assert!(!text.contains(word), "{asked} tells {word:?}: {text}");
    }
    for header in ["server", "x-powered-by", "via", "x-aspnet-version"] {
        assert_eq!(answer.header(header), None, "{asked}");
    }
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{asked}");
    assert!(answer.header("x-request-id").is_some(), "{asked}");
    assert!(
        answer.header("content-type").unwrap().starts_with("application/json"),
        "{asked}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{asked}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{asked}");
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("frame-ancestors 'none'"), "{asked}: {policy}");
    assert_eq!(answer.header("access-control-allow-origin"), None, "{asked}");
}

#[test]
fn a_refusal_of_any_kind_tells_nothing_of_the_inside() {
    let house = House::shared(Kind::Sqlite);
    let address = house.address();
    let tokens = house.signed_in();
    let reader = house.person("admin", "support").sign_in(address);
    let mut statuses = Vec::new();
    for asked in [
        get("/me/x"),
        get("/me/x").bearer("x"),
        get("/me/x").bearer(&tokens.access).bearer("y"),
        get("/office/x").bearer(&tokens.access),
        get("/office/x").bearer(&reader.access),
        get("/nothing"),
        get("/public/%00"),
        ask("TRACE", "/public/x"),
        get("/auth/customer/login"),
        get("/auth/nobody/login"),
        post("/auth/customer/login").body("text/plain", "x"),
        post("/auth/customer/login").body("application/json", "{\"email\":"),
        post("/auth/customer/login").body("application/json", "{\"email\":1}"),
        post("/auth/customer/login").body("application/json", vec![b' '; 100_000]),
        post("/auth/customer/login").json(&json!({"email": "a@b.c", "password": "x"})),
        post("/auth/customer/login").json(&json!({"email": "", "password": "x"})),
        post("/auth/customer/token/refresh").json(&json!({"refreshToken": "x"})),
        get("/auth/customer/sessions/x").bearer(&tokens.access),
        ask("DELETE", "/auth/customer/sessions/x").bearer(&tokens.access),
        get("/admin/v1/roles"),
        get("/admin/v1/roles").bearer(&reader.access),
        get("/dead/x"),
        get("/hasty/slow?ms=20000"),
        get("/forward-auth"),
        get("/me/x").header("origin", "https://evil.test"),
        ask("OPTIONS", "/me/x")
            .header("origin", "null")
            .header("access-control-request-method", "DELETE"),
    ] {
        let name = String::from_utf8_lossy(&asked.bytes())
            .lines()
            .next()
            .unwrap()
            .to_owned();
        let answer = asked.to(address);
        assert!(answer.status >= 400, "{name}: {}", answer.verdict());
        tells_nothing(&answer, &name);
        statuses.push(answer.status);
    }
    for status in [400, 401, 403, 404, 405, 413, 415, 422, 502, 504] {
        assert!(statuses.contains(&status), "{status} is not among {statuses:?}");
    }
}

#[test]
fn no_answer_about_an_account_holds_what_it_signs_in_with() {
    let house = House::shared(Kind::Sqlite);
    let address = house.address();
    let admin = house.person("admin", "super-admin").sign_in(address);
    let customer = house.customer();
    let tokens = customer.sign_in(address);
    let key = format!("/admin/v1/principals/customer/{}", customer.id);
    for asked in [
        get(&call("customer", "me")).bearer(&tokens.access),
        get(&call("customer", "sessions")).bearer(&tokens.access),
        get(&key).bearer(&admin.access),
        get(&format!("{key}/sessions")).bearer(&admin.access),
        get("/admin/v1/principals/customer").bearer(&admin.access),
        get("/admin/v1/principals/admin").bearer(&admin.access),
        get("/.well-known/jwks.json"),
    ] {
        let name = String::from_utf8_lossy(&asked.bytes())
            .lines()
            .next()
            .unwrap()
            .to_owned();
        let answer = asked.to(address);
        assert_eq!(answer.verdict(), "200", "{name}");
        let text = String::from_utf8_lossy(&answer.body);
        let lower = text.to_lowercase();
        for word in ["argon2", "hash", "\"password\":", "\"d\":", "privatekey", "secret"] {
            assert!(!lower.contains(word), "{name} tells {word}: {text}");
        }
        for secret in [
            PASSWORD,
            &*tokens.access,
            &tokens.refresh,
            &admin.access,
            &admin.refresh,
        ] {
            assert!(!text.contains(secret), "{name}");
        }
    }
    let own = get(&call("customer", "me")).bearer(&tokens.access).to(address);
    assert_eq!(own.header("cache-control"), Some("no-store"));
    assert_eq!(own.json()["data"]["key"], customer.key());
}

#[test]
fn what_is_for_those_who_run_it_is_not_on_the_public_listener() {
    let house = House::shared(Kind::Sqlite);
    let admin = house.person("admin", "super-admin").sign_in(house.address());
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/debug",
        "/debug/pprof",
        "/.git/config",
        "/.env",
        "/actuator",
        "/swagger",
        "/server-status",
        "/config",
        "/admin",
        "/admin/v2/roles",
    ] {
        for asked in [get(path), get(path).bearer(&admin.access)] {
            assert_eq!(asked.to(house.address()).verdict(), "404 NOT_FOUND", "{path}");
        }
    }
    for path in [
        "/me/x",
        "/auth/admin/login",
        "/admin/v1/roles",
        "/forward-auth",
        "/public/x",
    ] {
        assert_eq!(
            get(path).bearer(&admin.access).to(house.nodes[0].ops).status,
            404,
            "{path}"
        );
    }
    let metrics = get("/metrics").to(house.nodes[0].ops);
    let text = String::from_utf8_lossy(&metrics.body);
    assert!(!text.contains('@') && !text.contains("customer:"), "{text}");
}
