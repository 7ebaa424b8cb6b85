//! The calls under `/auth`, over a real store.

use actix_web::{
    App,
    test::{TestRequest, init_service},
    web,
};
use bekci::AnyAuth;
use sea_orm::{ActiveModelTrait, Set};
use serde_json::{Value, json};

use crate::{
    calls::{Answer, bearer, send},
    house::{House, PASSWORD},
    models::{
        admin::{self, Admin},
        customer::Customer,
    },
};

macro_rules! app {
    ($house:expr) => {{
        let bekci = &$house.bekci;
        init_service(
            App::new()
                .wrap(bekci.middleware())
                .configure(bekci.mount("/auth"))
                .service(
                    web::scope("/admin")
                        .wrap(bekci.require::<Admin>())
                        .route("/who", web::get().to(async |who: AnyAuth| who.key().to_string()))
                        .route("/do", web::post().to(async |_: AnyAuth| "done")),
                )
                .service(
                    web::scope("/shop")
                        .wrap(bekci.require::<Customer>())
                        .route("/who", web::get().to(async |who: AnyAuth| who.key().to_string())),
                ),
        )
        .await
    }};
}

fn post(path: &str, body: Value) -> TestRequest {
    TestRequest::post().uri(path).set_json(body)
}

fn login(path: &str, email: &str) -> TestRequest {
    post(path, json!({"email": email, "password": PASSWORD}))
}

fn text<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.body["data"][name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {answer:?}"))
}

/// The value of a cookie that the answer sets.
fn cookie<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let set = answer
        .cookies()
        .into_iter()
        .find(|set| set.starts_with(&format!("{name}=")));
    let set = set.unwrap_or_else(|| panic!("no {name} in {:?}", answer.cookies()));
    set.split(['=', ';']).nth(1).unwrap()
}

#[actix_web::test]
async fn a_password_opens_a_session_whose_token_is_good_at_its_guard_alone() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let app = app!(house);
    let answer = send(&app, login("/auth/admin/login", "ANN@example.com")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("x-request-id").is_some());
    assert!(answer.cookies().is_empty());
    let data = &answer.body["data"];
    assert_eq!(
        (&data["tokenType"], &data["expiresIn"]),
        (&json!("Bearer"), &json!(900))
    );
    assert_eq!(data["expiresAt"], "2027-01-15T08:15:00Z");
    assert_eq!(data["refreshTokenExpiresAt"], "2027-02-14T08:00:00Z");
    let expected = json!({
        "key": "admin:7", "model": "admin", "id": "7", "email": "ann@example.com", "primaryEmail": "ann@example.com",
        "name": "ann", "type": "authorized", "roles": [], "permissions": [],
    });
    assert_eq!(data["user"], expected);
    let token = text(&answer, "accessToken");
    let who = send(&app, bearer(TestRequest::get().uri("/admin/who"), token)).await;
    assert_eq!((who.status, who.body), (200, json!("admin:7")));
    let shop = send(&app, bearer(TestRequest::get().uri("/shop/who"), token)).await;
    assert_eq!(shop.refusal(), (401, "GUARD_MISMATCH"));
    let me = send(&app, bearer(TestRequest::get().uri("/auth/customer/me"), token)).await;
    assert_eq!(me.refusal(), (401, "GUARD_MISMATCH"));
    house.bekci.close().await;
}

#[actix_web::test]
async fn an_unknown_account_and_a_wrong_password_are_one_answer() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    house.customer("bob").await;
    let app = app!(house);
    let mut answers = Vec::new();
    for (email, password) in [
        ("ann@example.com", "wrong"),
        ("nobody@example.com", PASSWORD),
        ("bob@example.com", PASSWORD),
    ] {
        let request = post("/auth/admin/login", json!({"email": email, "password": password}));
        let mut answer = send(&app, request).await;
        assert_eq!(answer.refusal(), (401, "CREDENTIAL_INVALID"), "{email}");
        assert_eq!(answer.challenge(), Some("Bearer realm=\"bekci\""));
        answer.body["error"]["requestId"].take();
        answers.push(answer.body);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    let result = json!({"name": "FAILURE_CREDENTIAL_INVALID", "code": -2});
    assert_eq!(answers[0]["error"]["details"]["result"], result);
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_body_that_is_not_what_was_asked_for_is_refused_before_any_account_is_read() {
    let house = House::new().await;
    let app = app!(house);
    let raw = |kind: &'static str, body: String| {
        TestRequest::post()
            .uri("/auth/customer/login")
            .insert_header(("Content-Type", kind))
            .set_payload(body)
    };
    let good = json!({"email": "a@b.c", "password": "x"});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body.to_string()
    };
    let json_kind = "application/json";
    let cases = [
        (json_kind, "{".to_owned(), (400, "MALFORMED_REQUEST")),
        (json_kind, String::new(), (400, "MALFORMED_REQUEST")),
        (json_kind, with("model", json!("admin")), (400, "MALFORMED_REQUEST")),
        (json_kind, with("provider", json!("admins")), (400, "MALFORMED_REQUEST")),
        (json_kind, with("guard", json!("admin")), (400, "MALFORMED_REQUEST")),
        (
            json_kind,
            "{\"email\": \"a\", \"email\": \"b\", \"password\": \"x\"}".to_owned(),
            (400, "MALFORMED_REQUEST"),
        ),
        (
            json_kind,
            "{\"email\": \"a@b.c\"}".to_owned(),
            (422, "VALIDATION_FAILED"),
        ),
        (
            json_kind,
            "{\"password\": \"x\"}".to_owned(),
            (422, "VALIDATION_FAILED"),
        ),
        // Fields in their order, as serde would take them.
        (
            json_kind,
            format!(" [{}, null, {}]", good["email"], good["password"]),
            (422, "VALIDATION_FAILED"),
        ),
        (json_kind, "[null".to_owned(), (400, "MALFORMED_REQUEST")),
        (json_kind, with("identifier", json!("b")), (422, "VALIDATION_FAILED")),
        (json_kind, with("password", json!(1)), (422, "VALIDATION_FAILED")),
        (json_kind, with("email", json!(" ")), (422, "VALIDATION_FAILED")),
        (json_kind, with("rememberMe", json!(true)), (422, "VALIDATION_FAILED")),
        (
            json_kind,
            with("deviceName", json!("x".repeat(66_000))),
            (413, "PAYLOAD_TOO_LARGE"),
        ),
        ("text/plain", good.to_string(), (415, "UNSUPPORTED_MEDIA_TYPE")),
        (
            "application/x-www-form-urlencoded",
            "email=a".to_owned(),
            (415, "UNSUPPORTED_MEDIA_TYPE"),
        ),
    ];
    for (kind, body, refusal) in cases {
        let short: String = body.chars().take(80).collect();
        let answer = send(&app, raw(kind, body)).await;
        assert_eq!(answer.refusal(), refusal, "{kind} {short}");
    }
    let missing = send(&app, raw(json_kind, "{\"email\": \"a@b.c\"}".to_owned())).await;
    assert_eq!(
        missing.body["error"]["details"]["fields"],
        json!({"password": "missing"})
    );
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_sign_out_with_a_body_that_is_none_ends_nothing() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let app = app!(house);
    let tokens = send(&app, login("/auth/admin/login", "ann@example.com")).await.body["data"].clone();
    let bearer = format!("Bearer {}", tokens["accessToken"].as_str().unwrap());
    for (body, refusal) in [
        (json!({"forget": "yes"}), (422, "VALIDATION_FAILED")),
        (json!({"forgot": true}), (400, "MALFORMED_REQUEST")),
    ] {
        let out = TestRequest::post()
            .uri("/auth/admin/logout")
            .insert_header(("Authorization", bearer.as_str()))
            .set_json(&body);
        assert_eq!(send(&app, out).await.refusal(), refusal, "{body}");
    }
    let me = TestRequest::get()
        .uri("/auth/admin/me")
        .insert_header(("Authorization", bearer.as_str()));
    assert_eq!(send(&app, me).await.status, 200);
    house.bekci.close().await;
}

#[actix_web::test]
async fn an_unknown_guard_and_an_unknown_call_are_told_apart_and_a_wrong_method_is_405() {
    let house = House::new().await;
    let app = app!(house);
    assert_eq!(
        send(&app, login("/auth/nobody/login", "a@b.c")).await.refusal(),
        (404, "GUARD_UNKNOWN")
    );
    assert_eq!(
        send(&app, login("/auth/admins/login", "a@b.c")).await.refusal(),
        (404, "GUARD_UNKNOWN")
    );
    assert_eq!(
        send(&app, login("/auth/admin/nothing", "a@b.c")).await.refusal(),
        (404, "NOT_FOUND")
    );
    assert_eq!(
        send(&app, TestRequest::get().uri("/auth/admin/logout")).await.status,
        405
    );
    house.bekci.close().await;
}

#[actix_web::test]
async fn cookies_are_set_as_the_contract_has_them_and_the_tokens_left_out_of_the_body() {
    let house = House::built("https://example.com", |builder| builder).await;
    house.admin(7, "ann").await;
    let app = app!(house);
    let request = post(
        "/auth/admin/login",
        json!({"email": "ann@example.com", "password": PASSWORD, "transport": "cookie"}),
    );
    let answer = send(&app, request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let data = &answer.body["data"];
    assert!(
        data.get("accessToken").is_none() && data.get("refreshToken").is_none(),
        "{data}"
    );
    let shapes: Vec<String> = answer
        .cookies()
        .iter()
        .map(|set| {
            set.split_once('=')
                .map(|(name, rest)| format!("{name}{}", &rest[rest.find(';').unwrap()..]))
                .unwrap()
        })
        .collect();
    assert_eq!(
        shapes,
        [
            "__Host-bekci_admin_at; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=900",
            "__Secure-bekci_admin_rt; HttpOnly; SameSite=Lax; Secure; Path=/auth/admin; Max-Age=2592000",
            "__Host-bekci_admin_csrf; SameSite=Lax; Secure; Path=/; Max-Age=2592000",
        ]
    );
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_browser_signs_in_does_refreshes_and_signs_out_by_cookie_with_proof_of_origin() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let app = app!(house);
    let request = json!({"email": "ann@example.com", "password": PASSWORD, "transport": "cookie"});
    let first = send(&app, post("/auth/admin/login", request)).await;
    let jar = |answer: &Answer| {
        let names = ["bekci_admin_at", "bekci_admin_rt", "bekci_admin_csrf"];
        names.map(|name| format!("{name}={}", cookie(answer, name))).join("; ")
    };
    let cookies = jar(&first);
    let csrf = cookie(&first, "bekci_admin_csrf").to_owned();
    let with = |path: &str| TestRequest::post().uri(path).insert_header(("Cookie", cookies.clone()));
    for path in [
        "/admin/do",
        "/auth/admin/token/refresh",
        "/auth/admin/logout",
        "/auth/admin/logout-all",
    ] {
        assert_eq!(send(&app, with(path)).await.refusal(), (403, "CSRF_REJECTED"), "{path}");
        let evil = with(path)
            .insert_header(("Sec-Fetch-Site", "cross-site"))
            .insert_header(("X-CSRF-Token", csrf.clone()));
        assert_eq!(send(&app, evil).await.refusal(), (403, "CSRF_REJECTED"), "{path}");
    }
    let done = send(&app, with("/admin/do").insert_header(("X-CSRF-Token", csrf.clone()))).await;
    assert_eq!(done.status, 200, "{done:?}");

    let refreshed = with("/auth/admin/token/refresh").insert_header(("Sec-Fetch-Site", "same-origin"));
    let second = send(&app, refreshed).await;
    assert_eq!(second.status, 200, "{second:?}");
    assert_ne!(cookie(&second, "bekci_admin_rt"), cookie(&first, "bekci_admin_rt"));
    assert_eq!(
        cookie(&second, "bekci_admin_csrf"),
        csrf,
        "other tabs go on with the token that they have"
    );
    assert!(second.body["data"].get("refreshToken").is_none());

    let cookies = jar(&second);
    let out = TestRequest::post()
        .uri("/auth/admin/logout")
        .insert_header(("Cookie", cookies.clone()));
    let out = send(&app, out.insert_header(("X-CSRF-Token", csrf))).await;
    assert_eq!(out.status, 200, "{out:?}");
    assert_eq!(out.header("clear-site-data"), Some("\"cache\""));
    assert_eq!(
        out.cookies(),
        [
            "bekci_admin_at=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0",
            "bekci_admin_rt=; HttpOnly; SameSite=Lax; Path=/auth/admin; Max-Age=0",
            "bekci_admin_csrf=; SameSite=Lax; Path=/; Max-Age=0",
            "bekci_admin_rm=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0",
        ]
    );
    let after = TestRequest::get().uri("/admin/who").insert_header(("Cookie", cookies));
    assert_eq!(send(&app, after).await.refusal(), (401, "TOKEN_INVALID"));
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_refresh_token_rotates_is_replayed_in_the_grace_and_ends_its_session_when_reused() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let app = app!(house);
    let first = send(&app, login("/auth/admin/login", "ann@example.com")).await;
    let refresh = |token: &str| post("/auth/admin/token/refresh", json!({"refreshToken": token}));
    let parent = text(&first, "refreshToken");
    let second = send(&app, refresh(parent)).await;
    assert_eq!(second.status, 200, "{second:?}");
    let current = text(&second, "refreshToken");
    let replayed = send(&app, refresh(parent)).await;
    assert_eq!(text(&replayed, "refreshToken"), current);

    house.clock.advance(std::time::Duration::from_secs(31));
    let reused = send(&app, refresh(parent)).await;
    assert_eq!(reused.refusal(), (401, "REFRESH_TOKEN_REUSED"));
    let who = bearer(TestRequest::get().uri("/admin/who"), text(&second, "accessToken"));
    assert_eq!(send(&app, who).await.refusal(), (401, "TOKEN_INVALID"));
    assert_eq!(
        send(&app, refresh(current)).await.refusal(),
        (401, "REFRESH_TOKEN_INVALID")
    );
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_refresh_token_of_another_guard_is_refused_and_its_session_lives_on() {
    let house = House::new().await;
    house.customer("bob").await;
    let app = app!(house);
    let signed_in = send(&app, login("/auth/customer/login", "bob@example.com")).await;
    let token = text(&signed_in, "refreshToken");
    let refresh = |path: &str| post(path, json!({"refreshToken": token}));
    assert_eq!(
        send(&app, refresh("/auth/admin/token/refresh")).await.refusal(),
        (401, "REFRESH_TOKEN_INVALID")
    );
    let swapped = TestRequest::post()
        .uri("/auth/admin/token/refresh")
        .insert_header(("Cookie", format!("bekci_admin_rt={token}")))
        .insert_header(("Sec-Fetch-Site", "same-origin"));
    assert_eq!(send(&app, swapped).await.refusal(), (401, "REFRESH_TOKEN_INVALID"));
    assert_eq!(send(&app, refresh("/auth/customer/token/refresh")).await.status, 200);
    let none = TestRequest::post().uri("/auth/customer/token/refresh");
    assert_eq!(send(&app, none).await.refusal(), (401, "TOKEN_MISSING"));
    let two = refresh("/auth/customer/token/refresh").insert_header(("Cookie", "bekci_customer_rt=other"));
    assert_eq!(send(&app, two).await.refusal(), (400, "AMBIGUOUS_CREDENTIALS"));
    house.clock.advance(std::time::Duration::from_secs(31 * 86_400));
    assert_eq!(send(&app, refresh("/auth/customer/token/refresh")).await.status, 401);
    house.bekci.close().await;
}

#[actix_web::test]
async fn signing_out_takes_effect_at_once_by_either_credential_and_twice() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let app = app!(house);
    let one = send(&app, login("/auth/admin/login", "ann@example.com")).await;
    let two = send(&app, login("/auth/admin/login", "ann@example.com")).await;
    let (access, refresh) = (text(&one, "accessToken"), text(&one, "refreshToken"));
    let logout = || TestRequest::post().uri("/auth/admin/logout");
    let who = |token: &str| bearer(TestRequest::get().uri("/admin/who"), token);
    assert_eq!(send(&app, logout()).await.refusal(), (401, "TOKEN_MISSING"));
    let mixed = bearer(logout(), access).set_json(json!({"refreshToken": text(&two, "refreshToken")}));
    assert_eq!(send(&app, mixed).await.refusal(), (400, "AMBIGUOUS_CREDENTIALS"));
    assert_eq!(send(&app, who(access)).await.status, 200);
    for _ in 0..2 {
        let out = send(&app, bearer(logout(), access)).await;
        assert_eq!(
            (out.status, text(&out, "sessionId")),
            (200, text(&one, "sessionId")),
            "{out:?}"
        );
        assert_eq!(send(&app, who(access)).await.refusal(), (401, "TOKEN_INVALID"));
    }
    assert_eq!(
        send(&app, logout().set_json(json!({"refreshToken": refresh})))
            .await
            .status,
        200
    );
    assert_eq!(send(&app, who(text(&two, "accessToken"))).await.status, 200);
    // An expired access token is enough beside a refresh token, and not without.
    house.clock.advance(std::time::Duration::from_secs(1_000));
    let stale = || bearer(logout(), text(&two, "accessToken"));
    assert_eq!(send(&app, stale()).await.refusal(), (401, "TOKEN_EXPIRED"));
    let both = stale().set_json(json!({"refreshToken": text(&two, "refreshToken")}));
    assert_eq!(send(&app, both).await.status, 200);
    house.bekci.close().await;
}

#[actix_web::test]
async fn signing_out_everywhere_ends_every_session() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let app = app!(house);
    let one = send(&app, login("/auth/admin/login", "ann@example.com")).await;
    let two = send(&app, login("/auth/admin/login", "ann@example.com")).await;
    let all = TestRequest::post().uri("/auth/admin/logout-all");
    assert_eq!(send(&app, all).await.refusal(), (401, "TOKEN_MISSING"));
    let all = bearer(
        TestRequest::post().uri("/auth/admin/logout-all"),
        text(&one, "accessToken"),
    );
    let answer = send(&app, all).await;
    assert_eq!(
        (answer.status, &answer.body["data"]["endedSessions"]),
        (200, &json!(2)),
        "{answer:?}"
    );
    for answer in [one, two] {
        let who = bearer(TestRequest::get().uri("/admin/who"), text(&answer, "accessToken"));
        assert_eq!(send(&app, who).await.refusal(), (401, "TOKEN_INVALID"));
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn one_sees_oneself_and_ends_ones_own_sessions_and_nobody_elses() {
    let house = House::new().await;
    house.customer("alice").await;
    house.customer("mallory").await;
    let app = app!(house);
    let named = json!({"identifier": "alice", "password": PASSWORD, "deviceName": "phone"});
    let alice = send(&app, post("/auth/customer/login", named)).await;
    let laptop = send(&app, login("/auth/customer/login", "alice@example.com")).await;
    let mallory = send(&app, login("/auth/customer/login", "mallory@example.com")).await;

    let me = send(
        &app,
        bearer(TestRequest::get().uri("/auth/customer/me"), text(&alice, "accessToken")),
    )
    .await;
    assert_eq!(me.body["data"]["attributes"], json!({"email": "alice@example.com"}));
    assert_eq!(me.body["data"]["session"]["id"], text(&alice, "sessionId"));
    assert_eq!(me.body["data"]["session"]["way"], "password");

    let list = bearer(
        TestRequest::get().uri("/auth/customer/sessions"),
        text(&alice, "accessToken"),
    );
    let list = send(&app, list).await;
    let shown: Vec<_> = list.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["current"], &entry["deviceName"]))
        .collect();
    assert_eq!(shown.len(), 2, "{list:?}");
    assert!(shown.contains(&(&json!(true), &json!("phone"))) && shown.contains(&(&json!(false), &Value::Null)));

    let end = |id: &str, token: &str| {
        bearer(
            TestRequest::delete().uri(&format!("/auth/customer/sessions/{id}")),
            token,
        )
    };
    let mallorys = text(&mallory, "accessToken");
    assert_eq!(
        send(&app, end(text(&alice, "sessionId"), mallorys)).await.refusal(),
        (404, "NOT_FOUND")
    );
    assert_eq!(
        send(&app, end("nonsense", mallorys)).await.refusal(),
        (404, "NOT_FOUND")
    );
    let shop = |answer: &Answer| bearer(TestRequest::get().uri("/shop/who"), text(answer, "accessToken"));
    assert_eq!(send(&app, shop(&alice)).await.status, 200);
    let ended = send(&app, end(text(&laptop, "sessionId"), text(&alice, "accessToken"))).await;
    assert_eq!(ended.status, 200, "{ended:?}");
    assert_eq!(send(&app, shop(&laptop)).await.refusal(), (401, "TOKEN_INVALID"));
    assert_eq!(send(&app, shop(&alice)).await.status, 200);
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_new_sign_in_ends_the_session_that_came_with_it() {
    let house = House::new().await;
    house.admin(7, "ann").await;
    let app = app!(house);
    let one = send(&app, login("/auth/admin/login", "ann@example.com")).await;
    let again = bearer(login("/auth/admin/login", "ann@example.com"), text(&one, "accessToken"));
    let two = send(&app, again).await;
    assert_eq!(two.status, 200);
    let who = |answer: &Answer| bearer(TestRequest::get().uri("/admin/who"), text(answer, "accessToken"));
    assert_eq!(send(&app, who(&one)).await.refusal(), (401, "TOKEN_INVALID"));
    assert_eq!(send(&app, who(&two)).await.status, 200);
    // Credentials that are no good do not hinder a sign-in.
    let rubbish = bearer(login("/auth/admin/login", "ann@example.com"), "rubbish");
    assert_eq!(send(&app, rubbish).await.status, 200);
    house.bekci.close().await;
}

#[actix_web::test]
async fn the_public_keys_are_for_everybody_and_short_lived_in_caches() {
    let house = House::new().await;
    let app = app!(house);
    let answer = send(&app, TestRequest::get().uri("/.well-known/jwks.json")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=30"));
    let keys = answer.body["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key["kty"] == "OKP" && key.get("d").is_none()));
    house.bekci.close().await;
}

#[actix_web::test]
async fn who_verifies_our_tokens_finds_issuer_and_keys_by_discovery() {
    let house = House::new().await;
    let app = app!(house);
    let answer = send(&app, TestRequest::get().uri("/.well-known/openid-configuration")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=30"));
    let origin = "http://localhost";
    assert_eq!(
        answer.body,
        json!({
            "issuer": origin,
            "jwks_uri": format!("{origin}/.well-known/jwks.json"),
            "id_token_signing_alg_values_supported": ["EdDSA"],
            "response_types_supported": ["none"],
            "subject_types_supported": ["public"],
        })
    );
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_guard_that_takes_no_cookies_sets_none() {
    let house = House::built("http://localhost", |builder| {
        builder.with(|guard| guard.sources.cookie = false)
    })
    .await;
    house.customer("bob").await;
    assert!(!house.guard("customer").sources.cookie);
    let app = app!(house);
    let body = json!({"email": "bob@example.com", "password": PASSWORD, "transport": "cookie"});
    let answer = send(&app, post("/auth/customer/login", body)).await;
    assert_eq!(answer.refusal(), (422, "VALIDATION_FAILED"));
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_ban_is_told_after_the_right_password_alone_and_refuses_at_once() {
    let house = House::new().await;
    let key = house.admin(7, "ann").await;
    let app = app!(house);
    let signed_in = send(&app, login("/auth/admin/login", "ann@example.com")).await;
    let ban = bekci::BanOrder {
        status: "banned".into(),
        reason: Some("spam".into()),
        until: None,
        by: None,
    };
    house.bekci.store().ban(&key, &ban).await.unwrap();
    let who = bearer(TestRequest::get().uri("/admin/who"), text(&signed_in, "accessToken"));
    let refresh = post(
        "/auth/admin/token/refresh",
        json!({"refreshToken": text(&signed_in, "refreshToken")}),
    );
    for request in [who, refresh, login("/auth/admin/login", "ann@example.com")] {
        let answer = send(&app, request).await;
        assert_eq!(answer.refusal(), (403, "ACCOUNT_BANNED"), "{answer:?}");
        assert_eq!(answer.body["error"]["details"]["reason"], "spam");
    }
    let wrong = post(
        "/auth/admin/login",
        json!({"email": "ann@example.com", "password": "wrong"}),
    );
    assert_eq!(send(&app, wrong).await.refusal(), (401, "CREDENTIAL_INVALID"));
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_change_of_rights_through_seaorm_is_in_force_when_it_returns() {
    let house = House::new().await;
    let key = house.admin(7, "ann").await;
    let app = app!(house);
    let signed_in = send(&app, login("/auth/admin/login", "ann@example.com")).await;
    let me = || {
        bearer(
            TestRequest::get().uri("/auth/admin/me"),
            text(&signed_in, "accessToken"),
        )
    };
    assert_eq!(send(&app, me()).await.body["data"]["attributes"]["name"], "ann");
    let renamed = admin::ActiveModel {
        id: Set(7),
        name: Set(Some("Ann B.".to_owned())),
        ..Default::default()
    };
    renamed.update(&house.bekci.connection()).await.unwrap();
    assert_eq!(send(&app, me()).await.body["data"]["attributes"]["name"], "Ann B.");
    let gone = admin::ActiveModel {
        id: Set(7),
        ..Default::default()
    };
    gone.delete(&house.bekci.connection()).await.unwrap();
    assert_eq!(send(&app, me()).await.refusal(), (401, "IDENTITY_NOT_FOUND"), "{key}");
    house.bekci.close().await;
}
