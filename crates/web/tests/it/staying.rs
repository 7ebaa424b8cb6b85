//! Remember-me in an application: by code, and by the middleware before its routes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{
    App, HttpResponse,
    cookie::Cookie,
    test::{TestRequest, init_service},
    web::{self, Data},
};
use bekci::{
    AnyAuth, Auth, Bekci, Credentials, Outcome, Refusal, SignedIn, async_trait,
    core::security::{MismatchReaction, SecurityMismatch, SessionListener},
};
use serde_json::json;

use crate::{
    calls::{Answer, send},
    house::{House, PASSWORD},
    models::{admin::Admin, customer::Customer},
};

const REMEMBER: &str = "bekci_customer_rm";

/// A sign-in of the application's own, with its own answer.
async fn enter(bekci: Data<Bekci>) -> Result<HttpResponse, Refusal> {
    let guard = bekci.guard::<Customer>();
    let credentials = Credentials::password("eve", PASSWORD);
    let sign_in = guard.attempt(&credentials).remember(true).await?;
    let mut answer = HttpResponse::Ok();
    if let Outcome::Full(signed_in) = &sign_in.outcome {
        for cookie in guard.cookies(signed_in)? {
            answer.cookie(cookie);
        }
    }
    Ok(answer.finish())
}

macro_rules! app {
    ($house:expr) => {{
        let bekci = &$house.bekci;
        init_service(
            App::new()
                .wrap(bekci.middleware())
                .app_data(Data::new(bekci.clone()))
                .configure(bekci.mount("/api/auth"))
                .route("/enter", web::post().to(enter))
                .service(
                    web::scope("/shop")
                        .wrap(bekci.require::<Customer>())
                        .route(
                            "/who",
                            web::get().to(async |who: Auth<Customer>| format!("{} {}", who.key(), who.is_remembered())),
                        )
                        .service(
                            web::scope("/inner")
                                .wrap(bekci.require::<Customer>())
                                .route("/who", web::get().to(async |who: AnyAuth| who.key().to_string())),
                        )
                        .route(
                            "/forget",
                            web::get().to(async |who: Auth<Customer>| who.forget_me().await.map(|was| was.to_string())),
                        ),
                )
                .service(
                    web::scope("/fresh")
                        .wrap(bekci.require::<Customer>().fresh(300))
                        .route("/x", web::get().to(async |_: AnyAuth| "in")),
                )
                .service(
                    web::scope("/admin")
                        .wrap(bekci.require::<Admin>())
                        .route("/x", web::get().to(async |_: AnyAuth| "in")),
                ),
        )
        .await
    }};
}

/// The value of a cookie that the answer sets; `None`: it sets none.
fn set(answer: &Answer, name: &str) -> Option<String> {
    let cookies = answer.cookies();
    let line = cookies
        .iter()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(line.split(';').next().unwrap().to_owned())
}

fn token(answer: &Answer) -> String {
    set(answer, REMEMBER).unwrap_or_else(|| panic!("no token: {answer:?}"))
}

fn navigate(path: &str, token: &str) -> TestRequest {
    TestRequest::get()
        .uri(path)
        .insert_header(("sec-fetch-mode", "navigate"))
        .cookie(Cookie::new(REMEMBER, token.to_owned()))
}

#[actix_web::test]
async fn a_sign_in_in_code_is_remembered_before_the_routes_of_its_guard() {
    let house = House::new().await;
    let eve = house.customer("eve").await;
    let app = app!(house);
    let entered = send(&app, TestRequest::post().uri("/enter")).await;
    assert_eq!(entered.status, 200, "{entered:?}");
    let refresh = entered
        .cookies()
        .into_iter()
        .find(|line| line.starts_with("bekci_customer_rt="));
    assert!(refresh.unwrap().contains("Path=/api/auth/customer"), "{entered:?}");
    let first = token(&entered);
    for path in ["/admin/x", "/fresh/x"] {
        let refused = send(&app, navigate(path, &first)).await;
        assert_eq!((refused.status, set(&refused, REMEMBER)), (401, None), "{path}");
    }
    let plain = TestRequest::get()
        .uri("/shop/who")
        .cookie(Cookie::new(REMEMBER, first.clone()));
    assert_eq!(send(&app, plain).await.status, 401);
    let answer = send(&app, navigate("/shop/who", &first)).await;
    assert_eq!(
        (answer.status, &answer.body),
        (200, &json!(format!("{eve} true"))),
        "{answer:?}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // Middleware further in sees the same session, and uses no token again.
    let second = token(&answer);
    let inner = send(&app, navigate("/shop/inner/who", &second)).await;
    assert_eq!((inner.status, &inner.body), (200, &json!(eve.to_string())));
    let third = token(&inner);
    assert_eq!(
        inner.cookies().iter().filter(|line| line.starts_with(REMEMBER)).count(),
        1
    );
    let access = set(&inner, "bekci_customer_at").unwrap();
    let forget = TestRequest::get()
        .uri("/shop/forget")
        .cookie(Cookie::new("bekci_customer_at", access));
    assert_eq!(send(&app, forget).await.body, json!(true));
    let gone = send(&app, navigate("/shop/who", &third)).await;
    assert_eq!((gone.status, token(&gone).as_str()), (401, ""));
}

#[actix_web::test]
async fn a_predecessor_is_good_for_ten_seconds_to_the_moment() {
    let house = House::new().await;
    house.customer("eve").await;
    let app = app!(house);
    let first = token(&send(&app, TestRequest::post().uri("/enter")).await);
    let second = token(&send(&app, navigate("/shop/who", &first)).await);
    house.clock.advance(Duration::from_secs(10));
    let again = send(&app, navigate("/shop/who", &first)).await;
    assert_eq!((again.status, token(&again)), (200, second.clone()));
    house.clock.advance(Duration::from_secs(1));
    let copy = send(&app, navigate("/shop/who", &first)).await;
    assert_eq!((copy.status, token(&copy).as_str()), (401, ""));
    assert_eq!(send(&app, navigate("/shop/who", &second)).await.status, 401);
}

#[actix_web::test]
async fn every_browser_of_an_account_is_forgotten_at_once_and_none_is_signed_out() {
    let house = House::new().await;
    let eve = house.customer("eve").await;
    let guard = house.bekci.guard::<Customer>();
    let app = app!(house);
    let mut signed_in: Vec<SignedIn> = Vec::new();
    for remember in [true, true, false] {
        let credentials = Credentials::password("eve", PASSWORD);
        let sign_in = guard.attempt(&credentials).remember(remember).await.unwrap();
        let Outcome::Full(full) = sign_in.outcome else { panic!() };
        assert_eq!(full.remember.is_some(), remember);
        signed_in.push(*full);
    }
    assert_eq!(guard.rotate_remember_token(&eve).await.unwrap(), 2);
    assert_eq!(guard.rotate_remember_token(&eve).await.unwrap(), 0);
    for one in &signed_in {
        let tokens = guard.cookies(one).unwrap();
        let value = |name: &str| {
            tokens
                .iter()
                .find(|cookie| cookie.name() == name)
                .map(|cookie| cookie.value())
        };
        if let Some(token) = value(REMEMBER) {
            assert_eq!(send(&app, navigate("/shop/who", token)).await.status, 401);
        }
        let access = Cookie::new("bekci_customer_at", value("bekci_customer_at").unwrap().to_owned());
        let lives = TestRequest::get().uri("/shop/who").cookie(access);
        assert_eq!(send(&app, lives).await.status, 200);
    }
}

/// Keeps sessions whose security cookie was copied.
#[derive(Debug)]
struct Lenient(Mutex<Vec<SecurityMismatch>>);

#[async_trait]
impl SessionListener for Lenient {
    async fn security_mismatch(&self, mismatch: &SecurityMismatch) -> MismatchReaction {
        self.0.lock().unwrap().push(mismatch.clone());
        MismatchReaction::KeepSession
    }
}

fn with_security(access: &str, security: &str) -> TestRequest {
    TestRequest::get()
        .uri("/shop/inner/who")
        .cookie(Cookie::new("bekci_customer_at", access.to_owned()))
        .cookie(Cookie::new("bekci_customer_st", security.to_owned()))
}

#[actix_web::test]
async fn a_security_cookie_is_exchanged_at_its_interval_and_a_copy_is_the_applications_to_answer() {
    let listener = Arc::new(Lenient(Mutex::default()));
    let house = House::built("http://localhost", |builder| {
        let builder = builder.with(|guard| guard.session.security_rotate = Some(time::Duration::seconds(30)));
        builder.session_listener(Arc::clone(&listener) as _)
    })
    .await;
    let eve = house.customer("eve").await;
    let app = app!(house);
    let entered = send(&app, TestRequest::post().uri("/enter")).await;
    let (access, first) = (
        set(&entered, "bekci_customer_at").unwrap(),
        set(&entered, "bekci_customer_st").unwrap(),
    );
    house.clock.advance(Duration::from_secs(29));
    let young = send(&app, with_security(&access, &first)).await;
    assert_eq!((young.status, young.cookies().len()), (200, 0));
    house.clock.advance(Duration::from_secs(1));
    // Two layers of middleware exchange it once.
    let old = send(&app, with_security(&access, &first)).await;
    assert_eq!((old.status, &old.body), (200, &json!(eve.to_string())), "{old:?}");
    assert_eq!(old.cookies().len(), 1);
    let second = set(&old, "bekci_customer_st").unwrap();
    let again = send(&app, with_security(&access, &first)).await;
    assert_eq!(
        (again.status, set(&again, "bekci_customer_st").as_deref()),
        (200, Some(&*second))
    );
    house.clock.advance(Duration::from_secs(30));
    let third = set(&send(&app, with_security(&access, &second)).await, "bekci_customer_st").unwrap();
    assert_ne!(third, second);
    // The first one is older than a predecessor.
    let copy = send(&app, with_security(&access, &first)).await;
    assert_eq!(copy.refusal(), (401, "SECURITY_TOKEN_INVALID"));
    assert_eq!(listener.0.lock().unwrap().len(), 1);
    assert_eq!(listener.0.lock().unwrap()[0].key, eve);
    // The application keeps the session.
    assert_eq!(send(&app, with_security(&access, &third)).await.status, 200);
}
