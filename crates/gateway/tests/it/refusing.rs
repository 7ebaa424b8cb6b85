//! What is refused, and with which answer.

use serde_json::json;

use crate::{
    echo::Echo,
    forge,
    house::{House, Kind},
    http::{Answer, Wire, ask, get, post},
    people::{call, in_the_end},
};

fn house() -> &'static House {
    House::shared(Kind::Sqlite)
}

/// The `error` of an answer's challenge; `Some("")` where it has none.
fn challenge(answer: &Answer) -> Option<&str> {
    let challenge = answer.header("www-authenticate")?;
    let rest = challenge.strip_prefix("Bearer realm=\"bekci\"");
    let rest = rest.unwrap_or_else(|| panic!("{challenge}"));
    Some(
        rest.strip_prefix(", error=\"")
            .map_or("", |error| error.trim_end_matches('"')),
    )
}

#[test]
fn without_a_credential_every_guarded_route_is_401_with_a_bare_challenge() {
    for route in ["me", "office", "orders", "fresh", "both", "shop", "ws", "direct"] {
        let path = format!("/{route}/without");
        let answer = get(&path).to(house().address());
        assert_eq!(answer.verdict(), "401 TOKEN_MISSING", "{path}");
        assert_eq!(challenge(&answer), Some(""));
        assert!(answer.header("x-request-id").is_some());
        assert!(!Echo::shared().saw(&path));
    }
}

#[test]
fn a_broken_body_is_not_looked_at_before_the_credential() {
    for (kind, body) in [
        ("application/json", "{\"a\":"),
        ("text/plain", "x"),
        ("application/json", ""),
    ] {
        for path in ["/me/broken", "/auth/customer/logout-all"] {
            let answer = post(path).body(kind, body).to(house().address());
            assert_eq!(answer.verdict(), "401 TOKEN_MISSING", "{path} {body}");
        }
    }
    assert!(!Echo::shared().saw("/me/broken"));
}

#[test]
fn a_token_that_is_bad_expired_or_ended_is_an_invalid_token() {
    let house = house();
    let tokens = house.signed_in();
    let asked = |token: &str| get("/me/invalid").bearer(token).to(house.address());
    let (_, claims) = forge::read(&tokens.access);
    let issued = claims["iat"].as_i64().unwrap();
    let past = json!({"iat": issued - 1000, "exp": issued - 100});
    let expired = forge::changed(house, "customer", &tokens.access, &past);

    for (token, wanted) in [("x.y.z", "401 TOKEN_INVALID"), (&*expired, "401 TOKEN_EXPIRED")] {
        let answer = asked(token);
        assert_eq!(answer.verdict(), wanted);
        assert_eq!(challenge(&answer), Some("invalid_token"));
    }
    assert_eq!(tokens.ask("POST", "logout").to(house.address()).verdict(), "200");
    let answer = asked(&tokens.access);
    assert_eq!(
        (answer.verdict().as_str(), challenge(&answer)),
        ("401 TOKEN_INVALID", Some("invalid_token"))
    );
    assert!(!Echo::shared().saw("/me/invalid"));
}

#[test]
fn a_blocked_session_is_told_the_reason() {
    let house = house();
    let person = house.customer();
    let tokens = person.sign_in(house.address());
    let (_, claims) = forge::read(&tokens.access);
    for (column, value) in [("jti", &claims["jti"]), ("sid", &claims["sid"])] {
        let other = person.sign_in(house.address());
        house.sql(&format!(
            "INSERT INTO bekci_blocks (model, principal_id, {column}, reason, created_at) \
             SELECT 'customer', '{}', '{}', 'stolen', max(created_at) FROM bekci_sessions",
            person.id,
            value.as_str().unwrap(),
        ));
        let answer = in_the_end(
            &get("/me/x").bearer(&tokens.access),
            house.address(),
            "401 TOKEN_BLOCKED",
        );
        assert_eq!(challenge(&answer), Some("invalid_token"));
        assert_eq!(answer.json()["error"]["details"]["reason"], "stolen");
        assert_eq!(other.verdict(house.address()), "200");
        house.sql(&format!(
            "DELETE FROM bekci_blocks WHERE principal_id = '{}'",
            person.id
        ));
        in_the_end(&get("/me/x").bearer(&tokens.access), house.address(), "200");
    }
}

#[test]
fn a_deleted_account_is_no_account() {
    let house = house();
    let person = house.customer();
    let tokens = person.sign_in(house.address());
    house.sql(&format!("DELETE FROM customers WHERE id = {}", person.id));
    let ask = get("/me/x").bearer(&tokens.access);
    let answer = in_the_end(&ask, house.address(), "401 IDENTITY_NOT_FOUND");
    assert_eq!(challenge(&answer), Some("invalid_token"));
    assert_eq!(tokens.refresh().to(house.address()).status, 401);
}

#[test]
fn a_known_principal_without_the_right_is_403_and_told_what_is_missing() {
    let house = house();
    let reader = house.person("customer", "reader").sign_in(house.address());
    let support = house.person("admin", "support").sign_in(house.address());
    for (tokens, path) in [(&reader, "/orders/lacking"), (&support, "/office/lacking")] {
        let answer = get(path).bearer(&tokens.access).to(house.address());
        assert_eq!(answer.verdict(), "403 FORBIDDEN");
        assert_eq!(challenge(&answer), Some("insufficient_scope"));
        assert!(answer.json()["error"]["details"]["missing"].is_string());
        assert!(!Echo::shared().saw(path));
    }
}

#[test]
fn a_sign_in_that_is_too_old_is_403_on_a_fresh_route() {
    let house = house();
    let person = house.person("admin", "super-admin");
    let tokens = person.sign_in(house.address());
    let ask = get("/fresh/x").bearer(&tokens.access);
    assert_eq!(ask.to(house.address()).verdict(), "200");
    let micros = 301_000_000;
    house.sql(&format!(
        "UPDATE bekci_sessions SET authenticated_at = authenticated_at - {micros} WHERE id = '{}'",
        tokens.session
    ));
    // The time of a sign-in never changes by itself, so nobody looks whether it has: a change of the account makes the node look.
    house.sql(&format!(
        "UPDATE admins SET name = 'Somebody Else' WHERE id = {}",
        person.id
    ));
    let answer = in_the_end(&ask, house.address(), "403 FORBIDDEN");
    assert_eq!(
        (answer.verdict().as_str(), challenge(&answer)),
        ("403 FORBIDDEN", Some("insufficient_scope"))
    );
    assert_eq!(answer.json()["error"]["details"]["freshWithinSeconds"], 300);
    assert_eq!(tokens.verdict(house.address()), "200", "elsewhere it is good");
}

#[test]
fn a_route_for_guests_lets_in_nobody_who_is_signed_in() {
    let house = house();
    let tokens = house.signed_in();
    assert_eq!(get("/guests/x").to(house.address()).verdict(), "200");
    let answer = get("/guests/x").bearer(&tokens.access).to(house.address());
    assert_eq!((answer.verdict().as_str(), challenge(&answer)), ("403 FORBIDDEN", None));
    assert_eq!(
        get("/guests/x").bearer("bad").to(house.address()).status,
        401,
        "bad is not none"
    );
}

#[test]
fn two_different_credentials_are_400_wherever_they_stand() {
    let house = house();
    let (one, other) = (house.signed_in(), house.signed_in());
    let name = "__Host-bekci_customer_at";
    let cookie = |tokens: &crate::people::Tokens| format!("{name}={}", tokens.access);
    let path = "/me/ambiguous";
    let both = format!("{}; {}", cookie(&one), cookie(&other));
    for asked in [
        get(path).bearer(&one.access).bearer(&other.access),
        get(path).bearer(&one.access).bearer("bad"),
        get(path).bearer(&one.access).header("cookie", &cookie(&other)),
        get(path).bearer(&one.access).header("cookie", &format!("{name}=bad")),
        get(path).header("cookie", &both),
        get(path)
            .header("cookie", &cookie(&one))
            .header("cookie", &cookie(&other)),
        get(path).bearer(&one.access).header("authorization", "Basic YTpi"),
    ] {
        let answer = asked.to(house.address());
        assert_eq!(answer.verdict(), "400 AMBIGUOUS_CREDENTIALS");
        assert_eq!(challenge(&answer), Some("invalid_request"));
    }
    assert!(!Echo::shared().saw(path));
    let same = get("/me/x").bearer(&one.access).header("cookie", &cookie(&one));
    assert_eq!(same.to(house.address()).verdict(), "200", "the same twice is one");
}

#[test]
fn what_is_not_routed_is_404_with_and_without_a_token() {
    let house = house();
    let tokens = house.signed_in();
    for path in [
        "/",
        "/nothing",
        "/mex",
        "/ME/x",
        "/me2/x",
        "/officex/y",
        "/healthz",
        "/metrics",
        "/readyz",
    ] {
        assert_eq!(get(path).to(house.address()).verdict(), "404 NOT_FOUND", "{path}");
        let answer = get(path).bearer(&tokens.access).to(house.address());
        assert_eq!(answer.verdict(), "404 NOT_FOUND", "{path}");
    }
    assert_eq!(
        post("/auth/partner/login")
            .json(&json!({}))
            .to(house.address())
            .verdict(),
        "404 GUARD_UNKNOWN"
    );
    assert_eq!(
        get(&call("customer", "nothing")).to(house.address()).verdict(),
        "404 NOT_FOUND"
    );
}

#[test]
fn a_path_that_is_not_canonical_is_400_before_any_decision() {
    let house = house();
    for path in [
        "/public/../office/x",
        "/public/%2e%2e/office/x",
        "/public/.%2e/office",
        "/public/..%2foffice/x",
        "/public/%2foffice",
        "/public/a%5cb",
        "/public\\..\\office",
        "/public//x",
        "/public/./x",
        "/public/%00",
        "/public/%0d%0aX",
        "/public/%ff",
        "/public/%zz",
        "/public/..;/office",
        "/public/x;y=1",
    ] {
        let answer = get(path).to(house.address());
        assert_eq!(answer.status, 400, "{path}: {}", answer.verdict());
    }
    let answer = get("/public/%61%2Db").to(house.address());
    assert_eq!(
        answer.json()["path"],
        "/public/a-b",
        "what was judged is what is forwarded"
    );
}

#[test]
fn methods_that_cannot_be_routed_reach_no_upstream() {
    let house = house();
    for method in ["TRACE", "CONNECT", "PROPFIND", "get", "GETX"] {
        let answer = ask(method, "/public/method").to(house.address());
        assert!(
            matches!(answer.status, 400 | 404 | 405 | 501),
            "{method}: {}",
            answer.status
        );
    }
    assert!(!Echo::shared().saw("/public/method"));
    let answer = post("/public/overridden")
        .header("x-http-method-override", "DELETE")
        .to(house.address());
    assert_eq!(answer.json()["method"], "POST");
    assert_eq!(answer.json()["headers"]["x-http-method-override"], json!(null));
}

#[test]
fn a_refusal_leaves_the_connection_usable_and_the_next_request_apart() {
    let house = house();
    let tokens = house.signed_in();
    let mut wire = Wire::open(house.address());
    for _ in 0..3 {
        assert_eq!(get("/me/x").bearer(&tokens.access).on(&mut wire).verdict(), "200");
        assert_eq!(get("/me/x").on(&mut wire).verdict(), "401 TOKEN_MISSING");
        assert_eq!(get("/nothing").on(&mut wire).verdict(), "404 NOT_FOUND");
    }
}
