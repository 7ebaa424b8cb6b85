//! What is answered.

use super::scene::{ask, forward_auth, signed_in};

/// Every header that an answer of 200 has, with its value for customer 42.
const TOLD: [(&str, &str); 13] = [
    ("x-auth-guard", "customer"),
    ("x-auth-model", "customer"),
    ("x-auth-id", "42"),
    ("x-auth-key", "customer:42"),
    ("x-auth-tenant", ""),
    ("x-auth-roles", "buyer,support"),
    ("x-auth-permissions", "orders.view"),
    ("x-auth-session", "07070707070707070707070707070707"),
    ("x-auth-token", ""),
    ("x-auth-attr-email", "zo%C3%AB@b.c"),
    ("x-auth-attr-name", "Zo%C3%AB"),
    ("x-auth-attr-full-name", ""),
    ("x-auth-attr-company", ""),
];

#[actix_web::test]
async fn who_is_let_in_is_told_with_every_header() {
    let answer = ask(signed_in(forward_auth("GET", "/me/x")).insert_header(("X-Auth-Roles", "super"))).await;
    assert_eq!(answer.status, 200);
    for (name, value) in TOLD {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let told = answer.headers.keys().filter(|name| name.as_str().starts_with("x-auth"));
    assert_eq!(told.count(), TOLD.len());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("set-cookie"), None);
}

#[actix_web::test]
async fn on_a_route_for_anybody_every_header_is_told_empty() {
    let answer = ask(signed_in(forward_auth("GET", "/public/x")).insert_header(("X-Auth-Roles", "super"))).await;
    assert_eq!(answer.status, 200);
    for (name, _) in TOLD {
        assert_eq!(answer.header(name), Some(""), "{name}");
    }
}

#[actix_web::test]
async fn a_refusal_is_the_gateways_own_and_tells_no_identity() {
    for (path, token, status, code, challenge) in [
        ("/me/x", None, 401, "TOKEN_MISSING", Some("Bearer realm=\"bekci\"")),
        (
            "/me/x",
            Some("Bearer other"),
            401,
            "GUARD_MISMATCH",
            Some("Bearer realm=\"bekci\""),
        ),
        (
            "/me/x",
            Some("Bearer old"),
            401,
            "TOKEN_EXPIRED",
            Some("Bearer realm=\"bekci\", error=\"invalid_token\""),
        ),
        (
            "/manage/x",
            Some("Bearer good"),
            403,
            "FORBIDDEN",
            Some("Bearer realm=\"bekci\", error=\"insufficient_scope\""),
        ),
    ] {
        let request = forward_auth("GET", path);
        let request = token.into_iter().fold(request, |request, token| {
            request.insert_header(("Authorization", token))
        });
        let answer = ask(request).await;
        assert_eq!((answer.status, answer.code()), (status, code));
        assert_eq!(answer.header("www-authenticate"), challenge, "{code}");
        assert_eq!(answer.body["success"], false);
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("x-auth")));
    }
}

#[actix_web::test]
async fn two_different_credentials_are_refused() {
    let request = signed_in(forward_auth("GET", "/me/x")).insert_header(("Cookie", "bekci_customer_at=old"));
    let answer = ask(request).await;
    assert_eq!((answer.status, answer.code()), (400, "AMBIGUOUS_CREDENTIALS"));
}

#[actix_web::test]
async fn with_a_cookie_the_original_method_asks_for_proof_of_origin() {
    let by_cookie = |method: &str| forward_auth(method, "/me/x").insert_header(("Cookie", "bekci_customer_at=good"));
    assert_eq!(ask(by_cookie("GET")).await.status, 200);
    let answer = ask(by_cookie("POST")).await;
    assert_eq!((answer.status, answer.code()), (403, "CSRF_REJECTED"));
    let proven = by_cookie("POST").insert_header(("Sec-Fetch-Site", "same-origin"));
    assert_eq!(ask(proven).await.status, 200);
    // The method of the proxy's own question says nothing.
    let posted = by_cookie("GET").method(actix_web::http::Method::POST);
    assert_eq!(ask(posted).await.status, 200);
}

#[actix_web::test]
async fn a_websocket_is_for_pages_of_the_origin_that_is_asked_about() {
    let socket = |origin: &str| {
        forward_auth("GET", "/me/x")
            .insert_header(("X-Forwarded-Host", "app.test"))
            .insert_header(("Cookie", "bekci_customer_at=good"))
            .insert_header(("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="))
            .insert_header(("Origin", origin))
    };
    assert_eq!(ask(socket("https://app.test")).await.status, 200);
    assert_eq!(ask(socket("https://gw.test")).await.status, 200);
    let answer = ask(socket("https://evil.test")).await;
    assert_eq!((answer.status, answer.code()), (403, "CSRF_REJECTED"));
}
