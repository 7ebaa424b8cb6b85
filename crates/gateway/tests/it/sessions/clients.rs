//! Introspection and revocation of tokens by clients of the configuration.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    house::{CLIENT_SECRET, House, on_every_store},
    http::{Answer, Ask, ask, get, post},
    people::{Person, Tokens, call},
};

on_every_store!(
    an_access_token_is_active_until_its_session_ends_on_any_node,
    rights_are_those_of_now,
    a_banned_account_has_no_active_token_on_any_node,
    a_refresh_token_is_active_as_long_as_a_refresh_would_succeed,
    introspection_ends_no_session,
    revoking_either_token_ends_the_session_on_every_node,
    a_blocked_token_is_inactive,
    what_is_no_token_of_a_guard_is_inactive_without_a_reason,
    nothing_is_said_to_a_client_that_does_not_authenticate,
    a_request_that_is_no_form_is_refused,
);

const FORM: &str = "application/x-www-form-urlencoded";

fn basic(name: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
}

fn form(call: &str, body: &str) -> Ask {
    post(&format!("/auth/{call}")).body(FORM, body)
}

/// A call of the client `reporting`.
fn by_client(call: &str, token: &str) -> Ask {
    form(call, &format!("token={token}")).header("authorization", &basic("reporting", CLIENT_SECRET))
}

fn introspect(token: &str) -> Ask {
    by_client("introspect", token)
}

impl House {
    /// What both nodes say of a token.
    fn introspected(&self, token: &str) -> Value {
        let answers = [0, 1].map(|node| introspect(token).to(self.nodes[node].address));
        for answer in &answers {
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(answer.header("x-request-id").is_some());
        }
        assert_eq!(answers[0].json(), answers[1].json());
        answers[0].json()
    }

    fn is_active(&self, token: &str) -> bool {
        let described = self.introspected(token);
        if described["active"] == false {
            assert_eq!(described, json!({"active": false}));
        }
        described["active"] == true
    }

    fn manage(&self, method: &str, path: &str, body: &Value) -> Answer {
        let admin = self.person("admin", "super-admin").sign_in(self.address());
        let path = format!("/admin/v1{path}");
        let answer = ask(method, &path).bearer(&admin.access).json(body).to(self.address());
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer
    }
}

fn an_access_token_is_active_until_its_session_ends_on_any_node(house: &House) {
    let customer = house.customer();
    let tokens = customer.sign_in(house.address());
    let described = house.introspected(&tokens.access);
    let expected = json!({
        "active": true, "token_type": "Bearer", "iss": "https://bekci.test", "sub": customer.key(), "aud": "customer",
        "sid": tokens.session, "guard": "customer", "model": "customer", "roles": ["buyer"], "permissions": [],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&described[name], value, "{name}: {described}");
    }
    let time = |name: &str| described[name].as_i64().unwrap();
    assert_eq!(time("exp") - time("iat"), 900);
    assert_eq!(described["jti"].as_str().unwrap().len(), 32);
    assert_eq!(tokens.ask("POST", "logout").to(house.nodes[1].address).status, 200);
    assert!(!house.is_active(&tokens.access));
    assert!(!house.is_active(&tokens.refresh));
}

fn rights_are_those_of_now(house: &House) {
    let customer = house.customer();
    let tokens = customer.sign_in(house.address());
    assert_eq!(house.introspected(&tokens.access)["roles"], json!(["buyer"]));
    let path = format!("/principals/customer/{}/roles", customer.id);
    house.manage("PUT", &path, &json!({"guard": "customer", "roles": ["reader"]}));
    assert_eq!(house.introspected(&tokens.access)["roles"], json!(["reader"]));
    let granted = json!({"guard": "customer", "granted": ["reports.read"], "denied": []});
    house.manage("PUT", &path.replace("/roles", "/permissions"), &granted);
    assert_eq!(
        house.introspected(&tokens.access)["permissions"],
        json!(["reports.read"])
    );
}

fn a_banned_account_has_no_active_token_on_any_node(house: &House) {
    let customer = house.customer();
    let tokens = customer.sign_in(house.address());
    assert!(house.is_active(&tokens.access) && house.is_active(&tokens.refresh));
    let path = format!("/principals/customer/{}/status", customer.id);
    house.manage("PUT", &path, &json!({"status": "banned", "reason": "abuse"}));
    assert!(!house.is_active(&tokens.access));
    assert!(!house.is_active(&tokens.refresh));
    house.manage("PUT", &path, &json!({"status": "active"}));
    assert!(house.is_active(&tokens.access) && house.is_active(&tokens.refresh));
}

fn a_refresh_token_is_active_as_long_as_a_refresh_would_succeed(house: &House) {
    let customer = house.customer();
    let first = customer.sign_in(house.address());
    let described = house.introspected(&first.refresh);
    let expected = json!({
        "active": true, "token_type": "refresh_token", "iss": "https://bekci.test", "sub": customer.key(),
        "aud": "customer", "sid": first.session, "guard": "customer", "model": "customer",
        "iat": described["iat"], "exp": described["iat"].as_i64().unwrap() + 2_592_000,
    });
    assert_eq!(described, expected);
    let refreshed = |tokens: &Tokens| Tokens::of("customer", &tokens.refresh().to(house.address()));
    let second = refreshed(&first);
    // Its parent is good for a while: a refresh by it gives the same token again.
    assert!(house.is_active(&first.refresh) && house.is_active(&second.refresh));
    let third = refreshed(&second);
    assert!(!house.is_active(&first.refresh));
    assert!(house.is_active(&second.refresh) && house.is_active(&third.refresh));
}

fn introspection_ends_no_session(house: &House) {
    let first = house.signed_in();
    let mut newest = first.clone();
    for _ in 0..3 {
        newest = Tokens::of("customer", &newest.refresh().to(house.address()));
    }
    // A refresh with it would be reuse, and end the session.
    assert!(!house.is_active(&first.refresh));
    assert_eq!(newest.verdict(house.address()), "200");
    assert_eq!(newest.refresh().to(house.address()).verdict(), "200");
}

fn revoking_either_token_ends_the_session_on_every_node(house: &House) {
    let customer = house.customer();
    let stays = customer.sign_in(house.address());
    for hint in ["access_token", "refresh_token", "of_another_kind"] {
        for by_refresh in [false, true] {
            let tokens = customer.sign_in(house.address());
            let token = if by_refresh { &tokens.refresh } else { &tokens.access };
            let revoke = form("revoke", &format!("token={token}&token_type_hint={hint}"))
                .header("authorization", &basic("reporting", CLIENT_SECRET));
            // Also a second time, at the other node.
            for node in &house.nodes {
                let answer = revoke.to(node.address);
                assert_eq!((answer.status, answer.json()), (200, json!({})));
                assert_eq!(tokens.verdict(node.address), "401 TOKEN_INVALID");
            }
            assert_eq!(
                tokens.refresh().to(house.address()).verdict(),
                "401 REFRESH_TOKEN_INVALID"
            );
        }
    }
    assert_eq!(stays.verdict(house.address()), "200", "another session");
    for unknown in ["unknown", "bkr_unknown", ""] {
        let expected = if unknown.is_empty() { 400 } else { 200 };
        assert_eq!(
            by_client("revoke", unknown).to(house.address()).status,
            expected,
            "{unknown}"
        );
    }
}

fn a_blocked_token_is_inactive(house: &House) {
    let customer = house.customer();
    let (blocked, stays) = (customer.sign_in(house.address()), customer.sign_in(house.address()));
    house.manage(
        "POST",
        "/blocks",
        &json!({"token": blocked.access, "reason": "lost phone"}),
    );
    assert!(!house.is_active(&blocked.access));
    assert!(house.is_active(&stays.access));
    let block = json!({"principal": customer.key(), "sid": stays.session, "reason": "lost too"});
    house.manage("POST", "/blocks", &block);
    assert!(!house.is_active(&stays.access));
    assert!(!house.is_active(&stays.refresh));
}

fn what_is_no_token_of_a_guard_is_inactive_without_a_reason(house: &House) {
    let tokens = house.signed_in();
    let echoed = get("/me/x").bearer(&tokens.access).to(house.address()).json();
    let internal = echoed["headers"]["x-auth-token"][0].as_str().unwrap().to_owned();
    let (head, signature) = tokens.access.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let cut = &tokens.refresh[..tokens.refresh.len() - 1];
    let long = "x".repeat(20_000);
    for token in [
        &*internal,
        &forged,
        cut,
        "x",
        "a.b.c",
        "%00",
        "%F0%9F%92%A9",
        "bkr_",
        &long,
    ] {
        assert_eq!(house.introspected(token), json!({"active": false}), "{token}");
    }
    assert!(house.is_active(&tokens.access));
    // Of every guard, also of one at a path of its own.
    let shop = Person {
        guard: "shop",
        ..house.person("shop", "keeper")
    }
    .sign_in(house.address());
    assert_eq!(house.introspected(&shop.access)["guard"], "shop");
    assert_eq!(house.introspected(&shop.refresh)["guard"], "shop");
}

fn nothing_is_said_to_a_client_that_does_not_authenticate(house: &House) {
    let tokens = house.signed_in();
    let body = format!("token={}", tokens.access);
    let wrong = "another secret of a client";
    let headers = [
        basic("reporting", wrong),
        basic("reporting", ""),
        basic("billing", CLIENT_SECRET),
        basic("", CLIENT_SECRET),
        format!("Bearer {}", tokens.access),
        "Basic ####".to_owned(),
        "Basic".to_owned(),
    ];
    for call in ["introspect", "revoke"] {
        let by_header = headers
            .iter()
            .map(|header| form(call, &body).header("authorization", header));
        let in_body = [
            body.clone(),
            format!("{body}&client_id=reporting"),
            format!("{body}&client_secret={CLIENT_SECRET}"),
            format!("{body}&client_id=reporting&client_secret={wrong}").replace(' ', "+"),
        ];
        let in_body = in_body.iter().map(|body| form(call, body));
        for ask in by_header.chain(in_body) {
            let answer = ask.to(house.address());
            assert_eq!(answer.status, 401, "{ask:?}");
            assert_eq!(answer.json()["error"], "invalid_client");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Basic realm=\"bekci\", charset=\"UTF-8\"")
            );
        }
        let twice = form(call, &body)
            .header("authorization", &basic("reporting", CLIENT_SECRET))
            .header("authorization", &basic("reporting", CLIENT_SECRET));
        let two_ways = form(call, &format!("{body}&client_secret={wrong}").replace(' ', "+"))
            .header("authorization", &basic("reporting", CLIENT_SECRET));
        for ask in [twice, two_ways] {
            let answer = ask.to(house.address());
            assert_eq!(
                (answer.status, &answer.json()["error"]),
                (400, &json!("invalid_request"))
            );
        }
    }
    assert_eq!(tokens.verdict(house.address()), "200", "nothing was revoked");
    let good = format!("{body}&client_id=reporting&client_secret={CLIENT_SECRET}").replace(' ', "+");
    assert_eq!(form("introspect", &good).to(house.address()).json()["active"], true);
    // No guard has the name of a call.
    assert_eq!(
        post(&call("introspect", "login")).to(house.address()).verdict(),
        "404 GUARD_UNKNOWN"
    );
}

fn a_request_that_is_no_form_is_refused(house: &House) {
    let tokens = house.signed_in();
    let authorization = basic("reporting", CLIENT_SECRET);
    for call in ["introspect", "revoke"] {
        let path = format!("/auth/{call}");
        let by = |ask: Ask| ask.header("authorization", &authorization).to(house.address());
        let refused = |answer: Answer, status: u16| {
            assert_eq!(answer.status, status);
            assert_eq!(answer.json()["error"], "invalid_request");
            assert!(answer.json()["requestId"].is_string());
        };
        refused(by(post(&path).json(&json!({"token": tokens.access}))), 415);
        refused(by(post(&path)), 415);
        refused(by(form(call, "")), 400);
        refused(by(form(call, "token=")), 400);
        refused(by(form(call, "token=a&token=b")), 400);
        refused(by(form(call, "token=a&client_id=a&client_id=b")), 400);
        refused(by(form(call, &format!("token={}", "x".repeat(100_000)))), 413);
        for method in ["GET", "PUT", "DELETE"] {
            let answer = by(ask(method, &format!("{path}?token={}", tokens.access)));
            assert_eq!(answer.verdict(), "405 METHOD_NOT_ALLOWED");
        }
    }
    assert_eq!(tokens.verdict(house.address()), "200");
    let discovery = get("/.well-known/openid-configuration").to(house.address()).json();
    assert_eq!(
        discovery["introspection_endpoint"],
        "https://bekci.test/auth/introspect"
    );
    assert_eq!(discovery["revocation_endpoint"], "https://bekci.test/auth/revoke");
}
