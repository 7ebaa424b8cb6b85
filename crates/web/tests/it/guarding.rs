//! What the middleware and the extractors make of a request.

use std::sync::{Arc, atomic::Ordering};

use actix_web::{
    App, HttpResponse, ResponseError,
    dev::{ServiceRequest, Transform, fn_service},
    test::{TestRequest, init_service},
    web,
};
use bekci::{AnyAuth, Auth, Refusal, core::Ban};
use serde::Deserialize;
use serde_json::json;

use crate::{
    calls::{bearer, send},
    town::{Admin, Customer, Nobody, Town, csrf_of},
};

#[derive(Deserialize)]
struct Post {
    title: String,
}

async fn write(who: Auth<Admin>, post: web::Json<Post>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"by": who.key().as_str(), "title": post.title}))
}

async fn whoami(who: AnyAuth) -> HttpResponse {
    HttpResponse::Ok().json(who.to_json())
}

async fn maybe(customer: Option<Auth<Customer>>, admin: Option<Auth<Admin>>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"customer": customer.is_some(), "admin": admin.is_some()}))
}

async fn delete(who: Auth<Admin>) -> Result<HttpResponse, Refusal> {
    who.demand("posts.delete")?;
    Ok(HttpResponse::NoContent().finish())
}

async fn forgotten(_: Auth<Admin>) -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[derive(Debug, thiserror::Error)]
#[error("the password is hunter2")]
struct Leak;

impl ResponseError for Leak {}

async fn leak() -> Result<HttpResponse, Leak> {
    Err(Leak)
}

macro_rules! app {
    ($town:expr) => {{
        let watch = $town.watch();
        init_service(
            App::new()
                .wrap(watch.middleware())
                .service(
                    web::scope("/admin")
                        .wrap(watch.require::<Admin>())
                        .route("/posts", web::post().to(write))
                        .route("/posts", web::delete().to(delete))
                        .route("/customers-only", web::get().to(|_: Auth<Customer>| async { "" }))
                        .route("/me", web::get().to(whoami)),
                )
                .service(
                    web::scope("/both")
                        .wrap(watch.require::<Customer>().or::<Admin>())
                        .route("/who", web::get().to(maybe))
                        .route("/admins", web::get().to(|_: Auth<Admin>| async { "" })),
                )
                .service(
                    web::scope("/editors")
                        .wrap(watch.require::<Admin>().role("editor"))
                        .route("/me", web::get().to(whoami)),
                )
                .service(
                    web::scope("/fresh")
                        .wrap(watch.require::<Admin>().fresh(300))
                        .route("/me", web::get().to(whoami)),
                )
                .service(
                    web::scope("/guests")
                        .wrap(watch.require::<Admin>().guest())
                        .route("/hello", web::get().to(|| async { "hello" }))
                        .route("/me", web::get().to(whoami)),
                )
                .route("/forgotten", web::get().to(forgotten))
                .route(
                    "/number/{n}",
                    web::get().to(|n: web::Path<u8>| async move { n.to_string() }),
                )
                .route("/leak", web::get().to(leak)),
        )
        .await
    }};
}

const BARE: &str = "Bearer realm=\"bekci\"";

#[actix_web::test]
async fn a_request_without_a_token_and_with_a_broken_body_is_401_and_asks_nobody() {
    let town = Town::new();
    let app = app!(town);
    let request = TestRequest::post()
        .uri("/admin/posts")
        .insert_header(("Content-Type", "application/json"))
        .set_payload("{");
    let answer = send(&app, request).await;
    assert_eq!(answer.refusal(), (401, "TOKEN_MISSING"));
    assert_eq!(answer.challenge(), Some(BARE));
    assert_eq!(town.reads.load(Ordering::SeqCst), 0);
}

#[actix_web::test]
async fn with_a_token_the_broken_body_is_400_a_wrong_type_415_and_a_missing_field_422() {
    let town = Town::new();
    let token = town.signed_in("admin:1", &[], &[]);
    let app = app!(town);
    for (kind, body, refusal) in [
        ("application/json", "{", (400, "MALFORMED_REQUEST")),
        ("text/plain", "{\"title\": \"a\"}", (415, "UNSUPPORTED_MEDIA_TYPE")),
        ("application/json", "{}", (422, "VALIDATION_FAILED")),
    ] {
        let request = bearer(TestRequest::post().uri("/admin/posts"), &token)
            .insert_header(("Content-Type", kind))
            .set_payload(body);
        assert_eq!(send(&app, request).await.refusal(), refusal, "{kind} {body}");
    }
}

#[actix_web::test]
async fn a_principal_is_let_in_and_seen_by_the_handler() {
    let town = Town::new();
    let token = town.signed_in("admin:7", &["reader"], &["orders.view"]);
    let app = app!(town);
    let request = bearer(TestRequest::post().uri("/admin/posts"), &token).set_json(json!({"title": "Hello"}));
    let answer = send(&app, request).await;
    assert_eq!(
        (answer.status, answer.body),
        (200, json!({"by": "admin:7", "title": "Hello"}))
    );

    let answer = send(&app, bearer(TestRequest::get().uri("/admin/me"), &token)).await;
    assert_eq!(answer.body["roles"], json!(["reader"]));
    assert_eq!(answer.body["permissions"], json!(["orders.view", "posts.view"]));
    assert_eq!(answer.body["type"], "authorized");
    assert_eq!(answer.body["session"]["fresh"], true);
    assert_eq!(answer.body["attributes"], json!({"email": "7@example.com"}));
}

#[actix_web::test]
async fn another_guards_token_is_401_with_the_challenge_of_none() {
    let town = Town::new();
    let (admin, customer) = (
        town.signed_in("admin:1", &[], &[]),
        town.signed_in("customer:1", &[], &[]),
    );
    let app = app!(town);
    let answer = send(&app, bearer(TestRequest::get().uri("/admin/me"), &customer)).await;
    assert_eq!(answer.refusal(), (401, "GUARD_MISMATCH"));
    assert_eq!(answer.challenge(), Some(BARE));
    let renamed = TestRequest::get()
        .uri("/admin/me")
        .insert_header(("Cookie", format!("bekci_admin_at={customer}")));
    assert_eq!(send(&app, renamed).await.refusal(), (401, "GUARD_MISMATCH"));
    // What a client says about guards does not count.
    let request = bearer(TestRequest::get().uri("/admin/me?guard=customer"), &customer)
        .insert_header(("X-Guard", "customer"))
        .insert_header(("Cookie", "guard=customer"));
    assert_eq!(send(&app, request).await.refusal(), (401, "GUARD_MISMATCH"));
    // No superuser by accident: an admin is nobody where customers are asked for.
    let mixed = bearer(TestRequest::get().uri("/both/admins"), &customer);
    assert_eq!(send(&app, mixed).await.refusal(), (401, "GUARD_MISMATCH"));
    assert_eq!(
        send(&app, bearer(TestRequest::get().uri("/both/admins"), &admin))
            .await
            .status,
        200
    );
}

#[actix_web::test]
async fn a_route_with_two_guards_has_one_identity() {
    let town = Town::new();
    let (admin, customer) = (
        town.signed_in("admin:1", &[], &[]),
        town.signed_in("customer:1", &[], &[]),
    );
    let app = app!(town);
    let who = |request| send(&app, request);
    let answer = who(bearer(TestRequest::get().uri("/both/who"), &admin)).await;
    assert_eq!(answer.body, json!({"customer": false, "admin": true}));
    let cookies = format!("bekci_admin_at={admin}; bekci_customer_at={customer}");
    let answer = who(TestRequest::get().uri("/both/who").insert_header(("Cookie", cookies))).await;
    assert_eq!(answer.body, json!({"customer": true, "admin": false}));
}

#[actix_web::test]
async fn two_credentials_are_400_and_a_bad_one_is_never_passed_over() {
    let town = Town::new();
    let (alice, mallory) = (town.signed_in("admin:1", &[], &[]), town.signed_in("admin:2", &[], &[]));
    let app = app!(town);
    let me = || TestRequest::get().uri("/admin/me");
    let header = |token: &str| ("Authorization", format!("Bearer {token}"));
    let ambiguous = [
        me().append_header(header(&alice)).append_header(header(&mallory)),
        me().append_header(header(&alice)).append_header(header("bad")),
        bearer(me(), &format!("{alice}, Bearer {mallory}")),
        bearer(me(), &mallory).insert_header(("Cookie", format!("bekci_admin_at={alice}"))),
        me().insert_header(("Cookie", format!("bekci_admin_at={alice}; bekci_admin_at={mallory}"))),
        me().append_header(("Cookie", format!("bekci_admin_at={alice}")))
            .append_header(("Cookie", format!("bekci_admin_at={mallory}"))),
    ];
    for (at, request) in ambiguous.into_iter().enumerate() {
        let answer = send(&app, request).await;
        assert_eq!(answer.refusal(), (400, "AMBIGUOUS_CREDENTIALS"), "case {at}");
        assert_eq!(
            answer.challenge(),
            Some("Bearer realm=\"bekci\", error=\"invalid_request\""),
            "case {at}"
        );
    }
    let cookie = ("Cookie", format!("bekci_admin_at={alice}"));
    let basic = me()
        .insert_header(("Authorization", "Basic YTpi"))
        .insert_header(cookie);
    assert_eq!(send(&app, basic).await.refusal(), (401, "TOKEN_INVALID"));
    let quoted = me().insert_header(("Cookie", format!("bekci_admin_at=\"{alice}\"")));
    assert_eq!(send(&app, quoted).await.refusal(), (401, "TOKEN_INVALID"));
}

#[actix_web::test]
async fn an_empty_credential_and_a_cookie_of_a_like_name_are_none_at_all() {
    let town = Town::new();
    let token = town.signed_in("admin:1", &[], &[]);
    let app = app!(town);
    let requests = [
        ("Authorization", "Bearer".to_owned()),
        ("Authorization", String::new()),
        ("Cookie", "bekci_admin_at=".to_owned()),
        ("Cookie", format!("BEKCI_ADMIN_AT={token}")),
        ("Cookie", format!("__Host-bekci_admin_at={token}")),
        ("Cookie", format!("bekci_admin_a={token}")),
    ];
    for header in requests {
        let answer = send(&app, TestRequest::get().uri("/admin/me").insert_header(header.clone())).await;
        assert_eq!(answer.refusal(), (401, "TOKEN_MISSING"), "{header:?}");
        assert_eq!(answer.challenge(), Some(BARE), "{header:?}");
    }
}

#[actix_web::test]
async fn an_unsafe_request_by_cookie_needs_proof_of_origin() {
    let town = Town::new();
    let token = town.signed_in("admin:1", &[], &[]);
    let app = app!(town);
    let other = town.signed_in("admin:2", &[], &[]);
    let (csrf, others) = (csrf_of("admin", 1), csrf_of("admin", 2));
    let cookie = format!("bekci_admin_at={token}; bekci_admin_csrf={csrf}");
    let post = || {
        TestRequest::post()
            .uri("/admin/posts")
            .insert_header(("Cookie", cookie.clone()))
            .set_json(json!({"title": "a"}))
    };
    let refused = [
        post(),
        post().insert_header(("Origin", "https://evil.example")),
        post().insert_header(("Sec-Fetch-Site", "cross-site")),
        post().insert_header(("Sec-Fetch-Site", "same-site")),
        post().insert_header(("X-CSRF-Token", "c")),
        post().insert_header(("X-CSRF-Token", others.clone())),
        post().insert_header(("X-CSRF-Token", csrf_of("customer", 1))),
        // Planted by a sibling host, with a value that it knows.
        post()
            .insert_header(("Cookie", format!("bekci_admin_at={token}; bekci_admin_csrf={others}")))
            .insert_header(("X-CSRF-Token", others.clone())),
        post()
            .insert_header(("X-CSRF-Token", csrf.clone()))
            .insert_header(("Sec-Fetch-Site", "cross-site")),
        post()
            .append_header(("X-CSRF-Token", csrf.clone()))
            .append_header(("X-CSRF-Token", "d")),
    ];
    for (at, request) in refused.into_iter().enumerate() {
        assert_eq!(send(&app, request).await.refusal(), (403, "CSRF_REJECTED"), "case {at}");
    }
    let allowed = [
        post().insert_header(("Sec-Fetch-Site", "same-origin")),
        post().insert_header(("X-CSRF-Token", csrf.clone())),
    ];
    for (at, request) in allowed.into_iter().enumerate() {
        assert_eq!(send(&app, request).await.status, 200, "case {at}");
    }
    let own = TestRequest::post()
        .uri("/admin/posts")
        .insert_header(("Cookie", format!("bekci_admin_at={other}")))
        .insert_header(("X-CSRF-Token", others))
        .set_json(json!({"title": "a"}));
    assert_eq!(send(&app, own).await.status, 200);
    // A header that is no token does not stand in for the proof.
    let bogus = post().insert_header(("Authorization", "Bearer bogus"));
    assert_eq!(send(&app, bogus).await.refusal(), (401, "GUARD_MISMATCH"));
    let get = TestRequest::get()
        .uri("/admin/me")
        .insert_header(("Cookie", cookie.clone()));
    assert_eq!(send(&app, get).await.status, 200);
}

#[actix_web::test]
async fn what_a_route_asks_must_be_held() {
    let town = Town::new();
    let (editor, reader) = (
        town.signed_in("admin:1", &["editor"], &[]),
        town.signed_in("admin:2", &["reader"], &[]),
    );
    let app = app!(town);
    let answer = send(&app, bearer(TestRequest::get().uri("/editors/me"), &reader)).await;
    assert_eq!(answer.refusal(), (403, "FORBIDDEN"));
    assert_eq!(answer.body["error"]["details"], json!({"missing": "role editor"}));
    assert_eq!(
        answer.challenge(),
        Some("Bearer realm=\"bekci\", error=\"insufficient_scope\"")
    );
    assert_eq!(
        send(&app, bearer(TestRequest::get().uri("/editors/me"), &editor))
            .await
            .status,
        200
    );

    assert_eq!(
        send(&app, bearer(TestRequest::delete().uri("/admin/posts"), &editor))
            .await
            .status,
        204
    );
    let answer = send(&app, bearer(TestRequest::delete().uri("/admin/posts"), &reader)).await;
    assert_eq!(answer.refusal(), (403, "FORBIDDEN"));
    assert_eq!(
        answer.body["error"]["details"],
        json!({"missing": "permission posts.delete"})
    );
}

#[actix_web::test]
async fn a_fresh_route_asks_for_a_young_sign_in_and_a_guest_route_for_none() {
    let town = Town::new();
    let token = town.signed_in("admin:1", &[], &[]);
    let app = app!(town);
    let fresh = || bearer(TestRequest::get().uri("/fresh/me"), &token);
    assert_eq!(send(&app, fresh()).await.status, 200);
    town.clock.advance(std::time::Duration::from_secs(301));
    let answer = send(&app, fresh()).await;
    assert_eq!(answer.refusal(), (403, "FORBIDDEN"));
    assert_eq!(answer.body["error"]["details"], json!({"freshWithinSeconds": 300}));

    let hello = || TestRequest::get().uri("/guests/hello");
    assert_eq!(send(&app, hello()).await.status, 200);
    assert_eq!(send(&app, bearer(hello(), &token)).await.refusal(), (403, "FORBIDDEN"));
    assert_eq!(
        send(&app, bearer(hello(), "bad")).await.refusal(),
        (401, "GUARD_MISMATCH")
    );
    assert_eq!(
        send(&app, TestRequest::get().uri("/guests/me")).await.refusal(),
        (401, "TOKEN_MISSING")
    );
}

#[actix_web::test]
async fn bans_ends_of_sessions_and_lost_accounts_are_told_apart() {
    let town = Town::new();
    let token = town.signed_in("admin:1", &[], &[]);
    let app = app!(town);
    let me = || bearer(TestRequest::get().uri("/admin/me"), &token);
    town.change("admin:1", |identity| {
        identity.banned = true;
        identity.ban = Some(Ban {
            reason: Some("spam".into()),
            until: None,
        });
    });
    let answer = send(&app, me()).await;
    assert_eq!(answer.refusal(), (403, "ACCOUNT_BANNED"));
    assert_eq!(answer.body["error"]["details"], json!({"reason": "spam"}));
    town.change("admin:1", |identity| identity.sessions = Box::default());
    let answer = send(&app, me()).await;
    assert_eq!(answer.refusal(), (401, "TOKEN_INVALID"));
    assert_eq!(
        answer.challenge(),
        Some("Bearer realm=\"bekci\", error=\"invalid_token\"")
    );
    town.change("admin:1", |identity| identity.exists = false);
    assert_eq!(send(&app, me()).await.refusal(), (401, "IDENTITY_NOT_FOUND"));
    town.clock.advance(std::time::Duration::from_secs(900));
    assert_eq!(send(&app, me()).await.refusal(), (401, "TOKEN_EXPIRED"));
}

#[actix_web::test]
async fn a_store_that_is_away_is_503_and_says_nothing_of_itself() {
    let town = Town::new();
    let token = town.signed_in("admin:1", &[], &[]);
    town.break_store();
    let app = app!(town);
    let answer = send(&app, bearer(TestRequest::get().uri("/admin/me"), &token)).await;
    assert_eq!(answer.refusal(), (503, "STORE_UNAVAILABLE"));
    assert!(!answer.body.to_string().contains("sqlite"));
}

#[actix_web::test]
async fn a_path_that_is_not_canonical_is_400_before_anything_is_asked() {
    let town = Town::new();
    let token = town.signed_in("admin:1", &[], &[]);
    let app = app!(town);
    for path in [
        "/admin//me",
        "/public/../admin/me",
        "/admin/%2e%2e/me",
        "/admin%2fme",
        "/admin/me;x",
    ] {
        let answer = send(&app, bearer(TestRequest::get().uri(path), &token)).await;
        assert_eq!(answer.refusal(), (400, "BAD_PATH"), "{path}");
    }
    assert_eq!(town.reads.load(Ordering::SeqCst), 0);
    assert_eq!(
        send(&app, bearer(TestRequest::get().uri("/%61dmin/me"), &token))
            .await
            .status,
        200
    );
}

#[actix_web::test]
async fn an_extractor_that_no_middleware_stands_before_is_500_and_never_anonymous() {
    let town = Town::new();
    let token = town.signed_in("admin:1", &[], &[]);
    let app = app!(town);
    for path in ["/forgotten", "/admin/customers-only"] {
        let answer = send(&app, bearer(TestRequest::get().uri(path), &token)).await;
        assert_eq!(answer.refusal(), (500, "INTERNAL"), "{path}");
        // The tests are a debug build; in a release build the log alone says it.
        let fix = answer.body["error"]["details"]["fix"].as_str().unwrap_or_default();
        assert_eq!(
            fix.contains("wrap it in bekci.require::<"),
            cfg!(debug_assertions),
            "{path}: {fix}"
        );
    }
}

#[actix_web::test]
async fn every_answer_has_a_request_id_and_errors_of_actix_have_the_contracts_shape() {
    let town = Town::new();
    let app = app!(town);
    let get = |path| TestRequest::get().uri(path).insert_header(("X-Request-Id", "abc-1"));
    for (path, refusal) in [
        ("/nothing", (404, "NOT_FOUND")),
        ("/admin/me", (401, "TOKEN_MISSING")),
        ("/number/300", (404, "NOT_FOUND")),
        ("/leak", (500, "INTERNAL")),
    ] {
        let answer = send(&app, get(path)).await;
        assert_eq!(answer.refusal(), refusal, "{path}");
        assert_eq!(answer.body["error"]["requestId"], "abc-1", "{path}");
        assert_eq!(answer.header("x-request-id"), Some("abc-1"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(!answer.body.to_string().contains("hunter2"), "{path}");
    }
    let answer = send(&app, get("/number/30")).await;
    assert_eq!((answer.status, answer.header("x-request-id")), (200, Some("abc-1")));
    let problem = get("/admin/me").insert_header(("Accept", "application/problem+json"));
    let answer = send(&app, problem).await;
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.body["code"], "TOKEN_MISSING");
}

#[actix_web::test]
async fn a_rule_that_cannot_be_kept_lets_the_server_not_start() {
    let town: Arc<Town> = Town::new();
    let watch = town.watch();
    let starts = async |require: bekci::Require| {
        let inner = fn_service(async |request: ServiceRequest| Ok(request.into_response(HttpResponse::Ok().finish())));
        require.new_transform(inner).await.is_ok()
    };
    assert!(starts(watch.require::<Admin>()).await);
    assert!(!starts(watch.require::<Nobody>()).await);
    assert!(!starts(watch.require::<Admin>().role("Not A Role")).await);
    assert!(!starts(watch.require::<Admin>().permission("*.view")).await);
    assert!(!starts(watch.require_rule(bekci::core::RouteRule::default())).await);
    assert!(starts(watch.require_rule(bekci::core::RouteRule::public("p"))).await);
}
