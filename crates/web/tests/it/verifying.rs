//! Temporary identities over HTTP: the attacks first, then the way through.

use std::time::Duration;

use actix_web::{
    App, Either, HttpResponse,
    test::{TestRequest, init_service},
    web,
};
use bekci::{
    AnyAuth, Auth, Bekci, BuildError, Credentials, Fresh, GuardCalls, Outcome, Refusal, SignedIn, Temp, Verification,
    core::{Permission, PrincipalKey, RoleName},
    permission, permissions,
};
use sea_orm::{ActiveModelTrait as _, Set};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::{
    calls::{Answer, bearer, send},
    house::{House, PASSWORD, refused},
    models::admin::{self, Admin},
};

permissions! { pub mod orders { view } }

bekci::guard!(pub Kiosk = "kiosk" on crate::models::admin::Model);
bekci::guard!(pub Stand = "stand" on crate::models::admin::Model);

/// The code that the application has sent on a channel of its own.
const CODE: &str = "314159";

/// The application's own handler: its code is right, and the sign-in is verified.
async fn confirm(who: Temp<Kiosk>, code: String, bekci: web::Data<Bekci>) -> Result<HttpResponse, Refusal> {
    if code != CODE {
        return Ok(HttpResponse::UnprocessableEntity().finish());
    }
    let reference = who.verification_ref()?;
    let signed_in = bekci
        .guard::<Kiosk>()
        .confirm_verified(reference.expose_secret())
        .await?;
    Ok(
        HttpResponse::Ok()
            .json(json!({"accessToken": signed_in.access.expose_secret(), "key": signed_in.key.as_str()})),
    )
}

#[permission(orders::view)]
async fn asks_a_right(who: Temp<Kiosk>) -> String {
    who.key().to_string()
}

macro_rules! app {
    ($house:expr) => {{
        let bekci = &$house.bekci;
        let open = || bekci.require::<Kiosk>().unverified();
        let view = Permission::new("orders.view").unwrap();
        init_service(
            App::new()
                .wrap(bekci.middleware())
                .app_data(web::Data::new(bekci.clone()))
                .configure(bekci.mount("/auth"))
                .service(
                    web::scope("/verify")
                        .wrap(open())
                        .route("/who", web::get().to(async |who: Temp<Kiosk>| web::Json(who.to_json())))
                        .route(
                            "/rights",
                            web::get().to(async |who: Temp<Kiosk>| {
                                let rights = (who.can("orders.view"), who.roles().len(), who.permissions().len());
                                web::Json(json!([rights.0, rights.1, rights.2, who.to_map()]))
                            }),
                        )
                        .route("/confirm", web::post().to(confirm))
                        .route("/auth", web::get().to(async |who: Auth<Kiosk>| who.key().to_string()))
                        .route("/any", web::get().to(async |who: AnyAuth| who.key().to_string()))
                        .route(
                            "/fresh",
                            web::get().to(async |who: Fresh<Kiosk, 300>| who.key().to_string()),
                        )
                        .route(
                            "/maybe",
                            web::get().to(async |who: Option<Auth<Kiosk>>| who.map_or("nobody", |_| "somebody")),
                        )
                        .route(
                            "/either",
                            web::get().to(async |who: Either<Temp<Kiosk>, Auth<Kiosk>>| match who {
                                Either::Left(who) => who.kind().as_str(),
                                Either::Right(who) => who.kind().as_str(),
                            }),
                        )
                        .route("/right", web::get().to(asks_a_right))
                        .route(
                            "/leave",
                            web::post().to(async |who: Temp<Kiosk>| who.sign_out().await.map(|_| "left")),
                        ),
                )
                .service(
                    web::scope("/permission")
                        .wrap(open().permission(view.clone()))
                        .route("", web::get().to(done)),
                )
                .service(
                    web::scope("/role")
                        .wrap(open().role("boss"))
                        .route("", web::get().to(done)),
                )
                .service(
                    web::scope("/orders")
                        .wrap(bekci.require::<Kiosk>())
                        .route("", web::get().to(async |who: Auth<Kiosk>| who.key().to_string()))
                        .route("/temp", web::get().to(async |who: Temp<Kiosk>| who.key().to_string())),
                )
                .service(
                    web::scope("/guests")
                        .wrap(bekci.require::<Kiosk>().guest())
                        .route("", web::get().to(done)),
                )
                .service(
                    web::scope("/admin")
                        .wrap(bekci.require::<Admin>())
                        .route("", web::get().to(done)),
                )
                .service(
                    web::scope("/stand")
                        .wrap(bekci.require::<Stand>().unverified())
                        .route("", web::get().to(done)),
                ),
        )
        .await
    }};
}

async fn done() -> &'static str {
    "done"
}

async fn house() -> (House, PrincipalKey) {
    let house = House::built("http://localhost", |builder| {
        builder
            .guard::<Kiosk>()
            .with(|guard| guard.verification = Verification::Custom)
            .guard::<Stand>()
            .with(|guard| guard.verification = Verification::Custom)
    })
    .await;
    let key = house.admin(7, "ann").await;
    (house, key)
}

fn login(password: &str) -> TestRequest {
    let body = json!({"email": "ann@example.com", "password": password});
    TestRequest::post().uri("/auth/kiosk/login").set_json(body)
}

fn get(path: &str) -> TestRequest {
    TestRequest::get().uri(path)
}

fn text<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let value = answer.body["data"][name].as_str();
    value.unwrap_or_else(|| panic!("no {name} in {answer:?}"))
}

fn guard(house: &House) -> GuardCalls<Kiosk> {
    house.bekci.guard::<Kiosk>()
}

/// A sign-in by code, waiting: its reference and its token.
async fn waiting(house: &House) -> (String, String) {
    let credentials = Credentials::password("ann@example.com", PASSWORD);
    let sign_in = guard(house).attempt(&credentials).await.unwrap();
    let Outcome::Temporary(temporary) = sign_in.outcome else {
        panic!("{sign_in:?}")
    };
    let reference = temporary.verification_ref.expose_secret().to_owned();
    (reference, temporary.token.expose_secret().to_owned())
}

async fn confirmed(house: &House, reference: &str) -> SignedIn {
    guard(house).confirm_verified(reference).await.unwrap()
}

#[actix_web::test]
async fn a_temporary_token_is_no_better_than_a_bad_one_on_any_other_route() {
    let (house, key) = house().await;
    let rights = house.bekci.store().rights();
    let scope = guard(&house).scope().unwrap();
    rights
        .put_role(
            &scope,
            &RoleName::new("boss").unwrap(),
            &[Permission::new("*").unwrap()],
        )
        .await
        .unwrap();
    rights
        .assign_role(&key, &scope, &[RoleName::new("boss").unwrap()])
        .await
        .unwrap();
    let app = app!(house);
    let (_, token) = waiting(&house).await;
    assert_eq!(send(&app, bearer(get("/verify/who"), &token)).await.status, 200);

    let bad = send(&app, bearer(get("/orders"), &token[..token.len() - 4])).await;
    for path in [
        "/orders",
        "/guests",
        "/auth/kiosk/me",
        "/auth/kiosk/sessions",
        "/orders/temp",
    ] {
        let mut answer = send(&app, bearer(get(path), &token)).await;
        assert_eq!(answer.refusal(), (401, "TOKEN_INVALID"), "{path}");
        assert_eq!(answer.challenge(), bad.challenge(), "{path}");
        answer.body["error"]["requestId"] = bad.body["error"]["requestId"].clone();
        assert_eq!(answer.body, bad.body, "{path}: nothing tells the one from the other");
    }
    for path in ["/admin", "/stand", "/auth/admin/me"] {
        let answer = send(&app, bearer(get(path), &token)).await;
        assert_eq!(answer.refusal(), (401, "GUARD_MISMATCH"), "{path}");
    }
    for call in ["logout", "logout-all"] {
        let request = TestRequest::post().uri(&format!("/auth/kiosk/{call}"));
        let answer = send(&app, bearer(request, &token)).await;
        assert_eq!(answer.refusal(), (401, "TOKEN_INVALID"), "{call}");
    }
    let refresh = TestRequest::post().uri("/auth/kiosk/token/refresh");
    let answer = send(&app, refresh.set_json(json!({"refreshToken": token}))).await;
    assert_eq!(answer.refusal(), (401, "REFRESH_TOKEN_INVALID"));
    // Where the route lets it in and the handler asks for who is signed in.
    for path in ["/verify/auth", "/verify/any", "/verify/fresh", "/verify/right"] {
        let answer = send(&app, bearer(get(path), &token)).await;
        assert_eq!(answer.refusal(), (401, "TOKEN_INVALID"), "{path}");
    }
    assert_eq!(send(&app, bearer(get("/verify/maybe"), &token)).await.body, "nobody");
    // Where the route asks a right that the account has.
    for path in ["/permission", "/role"] {
        let answer = send(&app, bearer(get(path), &token)).await;
        assert_eq!(answer.refusal(), (403, "FORBIDDEN"), "{path}");
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_temporary_identity_holds_nothing_of_what_its_account_has_until_it_is_verified() {
    let (house, key) = house().await;
    let scope = guard(&house).scope().unwrap();
    house
        .bekci
        .store()
        .rights()
        .give(&key, &scope, &[Permission::new("orders.*").unwrap()])
        .await
        .unwrap();
    let app = app!(house);
    let (reference, token) = waiting(&house).await;
    let answer = send(&app, bearer(get("/verify/rights"), &token)).await;
    assert_eq!(answer.body.as_array().unwrap()[..3], [json!(false), json!(0), json!(0)]);
    let flat = &answer.body[3];
    assert_eq!(
        (&flat["__type"], &flat["__isTemporary"]),
        (&json!("unverified"), &json!(true))
    );
    assert_eq!(
        (&flat["__isAuthenticated"], &flat["roles"]),
        (&json!(false), &json!([]))
    );
    let me = send(&app, bearer(get("/verify/who"), &token)).await.body;
    assert_eq!((&me["type"], &me["permissions"]), (&json!("unverified"), &json!([])));
    assert_eq!(
        (
            &me["session"]["temporary"],
            &me["session"]["authenticated"],
            &me["session"]["fresh"]
        ),
        (&json!(true), &json!(false), &json!(false))
    );
    let full = confirmed(&house, &reference).await;
    let token = full.access.expose_secret();
    assert_eq!(send(&app, bearer(get("/permission"), token)).await.status, 200);
    assert_eq!(
        send(&app, bearer(get("/verify/either"), token)).await.body,
        "authorized"
    );
    // Who is signed in is let in by the route, and is nobody to verify.
    let answer = send(&app, bearer(get("/verify/who"), token)).await;
    assert_eq!(answer.refusal(), (401, "TOKEN_INVALID"));
    house.bekci.close().await;
}

#[actix_web::test]
async fn it_dies_when_it_is_confirmed_runs_out_or_is_signed_out_everywhere() {
    let (house, key) = house().await;
    let app = app!(house);
    let dead = async |token: &str, reference: &str, code: &str| {
        let answer = send(&app, bearer(get("/verify/who"), token)).await;
        assert_eq!(answer.refusal(), (401, code));
        let refused = guard(&house).confirm_verified(reference).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "TOKEN_INVALID");
    };
    let (reference, token) = waiting(&house).await;
    let full = confirmed(&house, &reference).await;
    dead(&token, &reference, "TOKEN_INVALID").await;
    let orders = send(&app, bearer(get("/orders"), full.access.expose_secret())).await;
    assert_eq!((orders.status, orders.body), (200, json!("admin:7")));

    let (reference, token) = waiting(&house).await;
    house.bekci.sessions().end_all(&key).await.unwrap();
    dead(&token, &reference, "TOKEN_INVALID").await;

    let (reference, token) = waiting(&house).await;
    let left = send(&app, bearer(TestRequest::post().uri("/verify/leave"), &token)).await;
    assert_eq!(left.body, "left");
    dead(&token, &reference, "TOKEN_INVALID").await;

    let (reference, token) = waiting(&house).await;
    house.clock.advance(Duration::from_secs(299));
    assert_eq!(send(&app, bearer(get("/verify/who"), &token)).await.status, 200);
    house.clock.advance(Duration::from_secs(1));
    // The token's own time has the leeway of clocks that differ; what it stands for has none.
    dead(&token, &reference, "TOKEN_INVALID").await;
    house.clock.advance(Duration::from_secs(60));
    dead(&token, &reference, "TOKEN_EXPIRED").await;
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_ban_and_the_accounts_end_refuse_it() {
    let (house, key) = house().await;
    let app = app!(house);
    let (reference, token) = waiting(&house).await;
    let order = bekci::BanOrder {
        status: "banned".to_owned(),
        reason: Some("fraud".to_owned()),
        until: None,
        by: None,
    };
    house.bekci.store().ban(&key, &order).await.unwrap();
    let answer = send(&app, bearer(get("/verify/who"), &token)).await;
    assert_eq!(answer.refusal(), (403, "ACCOUNT_BANNED"));
    let refused = guard(&house).confirm_verified(&reference).await.unwrap_err();
    assert_eq!(refused.code().as_str(), "ACCOUNT_BANNED");
    // Told after the right password alone, and as without a verification.
    let answer = send(&app, login(PASSWORD)).await;
    assert_eq!(answer.refusal(), (403, "ACCOUNT_BANNED"));
    assert_eq!(send(&app, login("wrong")).await.refusal(), (401, "CREDENTIAL_INVALID"));
    house.bekci.store().unban(&key).await.unwrap();

    let gone = admin::ActiveModel {
        id: Set(7),
        ..Default::default()
    };
    gone.delete(&house.bekci.connection()).await.unwrap();
    let answer = send(&app, bearer(get("/verify/who"), &token)).await;
    assert_eq!(answer.refusal(), (401, "IDENTITY_NOT_FOUND"));
    let refused = guard(&house).confirm_verified(&reference).await.unwrap_err();
    assert_eq!(refused.code().as_str(), "TOKEN_INVALID");
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_reference_is_good_once_at_its_own_guard_and_cannot_be_guessed() {
    let (house, _) = house().await;
    let (reference, token) = waiting(&house).await;
    let stand = house.bekci.guard::<Stand>();
    let admin = house.bekci.guard::<Admin>();
    let app = app!(house);
    let who = send(&app, bearer(get("/verify/who"), &token)).await;
    // What the token tells of it is not enough.
    let session = who.body["session"]["id"].as_str().unwrap().to_owned();
    for guessed in ["", "bkv_", &session, &format!("bkv_{session}"), &token, &reference[1..]] {
        let refused = guard(&house).confirm_verified(guessed).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "TOKEN_INVALID", "{guessed}");
    }
    for refused in [
        stand.confirm_verified(&reference).await,
        admin.confirm_verified(&reference).await,
    ] {
        assert_eq!(refused.unwrap_err().code().as_str(), "TOKEN_INVALID");
    }
    let both = [guard(&house), guard(&house)];
    let all = futures_util::future::join_all(both.iter().map(|guard| guard.confirm_verified(&reference))).await;
    assert_eq!(all.iter().filter(|result| result.is_ok()).count(), 1, "{all:?}");
    house.bekci.close().await;
}

#[actix_web::test]
async fn login_answers_202_and_the_next_time_the_same_reference_with_another_number() {
    let (house, _) = house().await;
    let app = app!(house);
    let first = send(&app, login(PASSWORD)).await;
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!(first.body["success"], true);
    let mut names: Vec<_> = first.body["data"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "code",
            "expiresInSeconds",
            "result",
            "temporaryToken",
            "verificationRef"
        ]
    );
    let told = |answer: &Answer| {
        let data = &answer.body["data"];
        (
            data["result"].clone(),
            data["code"].clone(),
            data["expiresInSeconds"].clone(),
        )
    };
    assert_eq!(
        told(&first),
        (json!("TEMPORARY_AUTH_HAS_BEEN_CREATED"), json!(-4), json!(300))
    );
    assert!(first.cookies().is_empty());
    house.clock.advance(Duration::from_secs(100));
    let second = send(&app, login(PASSWORD)).await;
    assert_eq!(second.status, 202);
    assert_eq!(told(&second), (json!("FAILURE_UNVERIFIED"), json!(-5), json!(200)));
    assert_eq!(text(&second, "verificationRef"), text(&first, "verificationRef"));
    // The token of either is good, and a wrong code changes nothing.
    for answer in [&first, &second] {
        let request = TestRequest::post().uri("/verify/confirm").set_payload("000000");
        let answer = send(&app, bearer(request, text(answer, "temporaryToken"))).await;
        assert_eq!(answer.status, 422);
    }
    let request = TestRequest::post().uri("/verify/confirm").set_payload(CODE);
    let answer = send(&app, bearer(request, text(&second, "temporaryToken"))).await;
    assert_eq!((answer.status, &answer.body["key"]), (200, &json!("admin:7")));
    let access = answer.body["accessToken"].as_str().unwrap();
    assert_eq!(send(&app, bearer(get("/auth/kiosk/me"), access)).await.status, 200);
    let listed = send(&app, bearer(get("/auth/kiosk/sessions"), access)).await;
    assert_eq!(listed.body["data"].as_array().unwrap().len(), 1);
    house.bekci.close().await;
}

#[actix_web::test]
async fn by_cookie_the_token_is_a_cookie_of_its_own_that_only_these_routes_look_at() {
    let (house, _) = house().await;
    let app = app!(house);
    let body = json!({"email": "ann@example.com", "password": PASSWORD, "transport": "cookie"});
    let answer = send(&app, TestRequest::post().uri("/auth/kiosk/login").set_json(body)).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.body["data"].get("temporaryToken"), None);
    let cookies = answer.cookies();
    let token = cookies.iter().find(|set| set.starts_with("bekci_kiosk_tt=")).unwrap();
    for part in ["; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=300"] {
        assert!(token.contains(part), "{token}");
    }
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    let csrf = cookies.iter().find(|set| set.starts_with("bekci_kiosk_csrf=")).unwrap();
    let pair = |set: &str| set.split(';').next().unwrap().to_owned();
    let jar = format!("{}; {}", pair(token), pair(csrf));
    let with = |request: TestRequest| request.insert_header(("Cookie", jar.clone()));
    assert_eq!(send(&app, with(get("/verify/who"))).await.body["type"], "unverified");
    for path in ["/orders", "/auth/kiosk/me"] {
        assert_eq!(
            send(&app, with(get(path))).await.refusal(),
            (401, "TOKEN_MISSING"),
            "{path}"
        );
    }
    let post = || TestRequest::post().uri("/verify/confirm").set_payload(CODE);
    assert_eq!(send(&app, with(post())).await.refusal(), (403, "CSRF_REJECTED"));
    let value = pair(csrf).split_once('=').unwrap().1.to_owned();
    let answer = send(&app, with(post()).insert_header(("X-CSRF-Token", value))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let https = house_of_https().await;
    assert_eq!(https.guard("kiosk").cookies.temporary, "__Host-bekci_kiosk_tt");
    https.bekci.close().await;
    house.bekci.close().await;
}

async fn house_of_https() -> House {
    House::built("https://example.com", |builder| builder.guard::<Kiosk>()).await
}

#[actix_web::test]
async fn a_credential_that_is_not_enough_admits_nobody_for_one_request_either() {
    let (house, _) = house().await;
    let credentials = Credentials::password("ann@example.com", PASSWORD);
    let refused = guard(&house).once(&credentials).await.unwrap_err();
    assert_eq!(refused.code().as_str(), "UNVERIFIED");
    assert!(guard(&house).validate(&credentials).await.unwrap());
    assert!(house.bekci.guard::<Admin>().once(&credentials).await.unwrap().is_some());
    house.bekci.close().await;
}

#[actix_web::test]
async fn an_attempt_may_ask_for_it_where_the_guard_does_not() {
    let (house, _) = house().await;
    let admins = house.bekci.guard::<Admin>();
    let credentials = Credentials::password("ann@example.com", PASSWORD);
    let sign_in = admins
        .attempt(&credentials)
        .verification(Verification::Custom)
        .await
        .unwrap();
    assert_eq!((sign_in.code.number(), sign_in.messages.len()), (-4, 1));
    assert!(matches!(sign_in.outcome, Outcome::Temporary(_)));
    let sign_in = guard(&house)
        .attempt(&credentials)
        .verification(Verification::Off)
        .await
        .unwrap();
    assert_eq!(sign_in.code.number(), 1);
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_test_acts_as_somebody_who_is_not_verified_yet() {
    let (house, key) = house().await;
    let bekci = &house.bekci;
    let routes = web::scope("/verify")
        .wrap(bekci.require::<Kiosk>().unverified())
        .route("/who", web::get().to(async |who: Temp<Kiosk>| who.key().to_string()));
    let app = bekci
        .test_app(
            App::new()
                .wrap(bekci.middleware())
                .configure(bekci.mount("/auth"))
                .service(routes),
        )
        .await;
    let ann = app.acting_as(&key).through::<Kiosk>();
    assert_eq!(ann.clone().unverified().get("/verify/who").await.text(), "admin:7");
    assert_eq!(ann.clone().unverified().get("/auth/kiosk/me").await.status(), 401);
    assert_eq!(ann.get("/verify/who").await.status(), 401);
    assert_eq!(app.get("/verify/who").await.code(), "TOKEN_MISSING");
    app.assert_guard_isolation().await;
    bekci.close().await;
}

#[actix_web::test]
async fn a_time_to_wait_that_cannot_be_kept_is_refused_when_it_is_built() {
    let short = time::Duration::seconds(29);
    let error = refused(|builder| builder.guard::<Kiosk>().with(|guard| guard.temporary_ttl = short)).await;
    assert!(
        matches!(error, BuildError::TemporaryTtl(_, ttl) if ttl == short),
        "{error}"
    );
}
