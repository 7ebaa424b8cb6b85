//! A guard's calls at other paths, and answers without an envelope.

use actix_web::{
    App,
    test::{TestRequest, init_service},
};
use bekci::{Bekci, BuildError, Builder, core::AnswerShape};
use serde_json::{Value, json};

use crate::{
    calls::{Answer, bearer, send},
    house::{House, PASSWORD, refused},
    models::{admin::Admin, customer::Customer},
};

macro_rules! app {
    ($bekci:expr) => {{
        let bekci: &Bekci = &$bekci;
        init_service(App::new().wrap(bekci.middleware()).configure(bekci.mount("/auth"))).await
    }};
}

const SIGN_IN: &str = "/api/sign-in";
const REFRESH: &str = "/api/auth/refresh-token";
const LEAVE: &str = "/api/v1/users/me/logout-all";

fn aliased(shape: AnswerShape) -> impl FnOnce(Builder) -> Builder {
    move |builder| {
        builder.with(move |guard| {
            let aliases = [
                (SIGN_IN, "login"),
                (REFRESH, "token/refresh"),
                (LEAVE, "logout-all"),
                ("/api/me", "me"),
            ];
            guard.aliases = aliases.map(|(path, call)| (path.to_owned(), call.to_owned())).to_vec();
            guard.answer_shape = shape;
        })
    }
}

fn post(path: &str, body: &Value) -> TestRequest {
    TestRequest::post().uri(path).set_json(body)
}

fn credentials(password: &str) -> Value {
    json!({"email": "bob@example.com", "password": password})
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[actix_web::test]
async fn an_alias_is_the_call_itself_with_its_guard_and_its_answers() {
    let house = House::built("http://localhost", aliased(AnswerShape::Envelope)).await;
    house.customer("bob").await;
    house.admin(7, "ann").await;
    let app = app!(house.bekci);
    let signed_in = send(&app, post(SIGN_IN, &credentials(PASSWORD))).await;
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let data = &signed_in.body["data"];
    let refreshed = send(
        &app,
        post(REFRESH, &json!({"refreshToken": text(data, "refreshToken")})),
    )
    .await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    let access = text(&refreshed.body["data"], "accessToken");
    let me = send(&app, bearer(TestRequest::get().uri("/api/me"), access)).await;
    assert_eq!((me.status, &me.body["data"]["model"]), (200, &"customer".into()));
    let other = send(&app, TestRequest::delete().uri("/api/me")).await;
    assert_eq!(
        (other.refusal(), other.header("allow")),
        ((405, "METHOD_NOT_ALLOWED"), Some("PATCH, GET, HEAD"))
    );

    let admin = json!({"email": "ann@example.com", "password": PASSWORD});
    let admin = send(&app, post("/auth/admin/login", &admin)).await;
    let foreign = text(&admin.body["data"], "accessToken");
    let refusal = send(&app, bearer(TestRequest::get().uri("/api/me"), foreign)).await;
    assert_eq!(refusal.refusal(), (401, "GUARD_MISMATCH"));

    let left = send(&app, bearer(TestRequest::post().uri(LEAVE), access)).await;
    assert_eq!((left.status, &left.body["data"]["endedSessions"]), (200, &1.into()));
    let after = send(&app, bearer(TestRequest::get().uri("/auth/customer/me"), access)).await;
    assert_eq!(after.refusal(), (401, "TOKEN_INVALID"));
    house.bekci.close().await;
}

#[actix_web::test]
async fn an_alias_has_the_limits_and_asks_the_proof_of_origin_of_its_call() {
    let house = House::built("http://localhost", aliased(AnswerShape::Envelope)).await;
    house.customer("bob").await;
    let app = app!(house.bekci);
    let mut body = credentials(PASSWORD);
    body["transport"] = "cookie".into();
    let signed_in = send(&app, post(SIGN_IN, &body)).await;
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let cookies: Vec<&str> = signed_in
        .cookies()
        .iter()
        .map(|set| set.split(';').next().unwrap())
        .collect();
    let cookies = cookies.join("; ");
    let csrf = cookies
        .split("bekci_customer_csrf=")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    for path in [REFRESH, LEAVE] {
        let with = || TestRequest::post().uri(path).insert_header(("cookie", cookies.clone()));
        assert_eq!(send(&app, with()).await.refusal(), (403, "CSRF_REJECTED"), "{path}");
        let foreign = with().insert_header(("sec-fetch-site", "cross-site"));
        assert_eq!(send(&app, foreign).await.refusal(), (403, "CSRF_REJECTED"), "{path}");
    }
    let leave = TestRequest::post()
        .uri(LEAVE)
        .insert_header(("cookie", cookies.clone()));
    let left = send(&app, leave.insert_header(("x-csrf-token", csrf))).await;
    assert_eq!(left.status, 200, "{left:?}");

    for n in 0..10 {
        let path = if n % 2 == 0 { SIGN_IN } else { "/auth/customer/login" };
        let answer = send(&app, post(path, &credentials("wrong"))).await;
        assert_eq!(answer.refusal(), (401, "CREDENTIAL_INVALID"), "{n}");
    }
    for path in [SIGN_IN, "/auth/customer/login"] {
        assert_eq!(
            send(&app, post(path, &credentials(PASSWORD))).await.refusal(),
            (429, "RATE_LIMITED"),
            "{path}"
        );
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn the_document_names_aliases_and_what_they_answer() {
    for shape in [AnswerShape::Envelope, AnswerShape::Flat] {
        let house = House::built("http://localhost", aliased(shape)).await;
        let _app = app!(house.bekci);
        let document = house.bekci.openapi();
        for (alias, path, method) in [
            (SIGN_IN, "/auth/customer/login", "post"),
            (LEAVE, "/auth/customer/logout-all", "post"),
            ("/api/me", "/auth/customer/me", "get"),
        ] {
            let (alias, call) = (&document["paths"][alias][method], &document["paths"][path][method]);
            for same in ["responses", "security", "summary", "tags", "requestBody"] {
                assert_eq!(alias[same], call[same], "{path} {same}");
            }
            assert_ne!(alias["operationId"], call["operationId"], "{path}");
            assert!(text(alias, "description").contains(path));
            let schema = &call["responses"]["200"]["content"]["application/json"]["schema"]["properties"];
            assert_eq!(
                schema.get("success").is_some(),
                shape == AnswerShape::Envelope,
                "{path} {schema}"
            );
        }
        let login = &document["paths"][SIGN_IN]["post"]["responses"]["200"]["content"]["application/json"]["schema"];
        let is_flat = login["properties"].get("refreshTokenExpiration").is_some();
        assert_eq!(is_flat, shape == AnswerShape::Flat, "{login}");
        let admin = &document["paths"]["/auth/admin/login"]["post"]["responses"]["200"];
        assert!(
            admin["content"]["application/json"]["schema"]["properties"]
                .get("success")
                .is_some()
        );
        house.bekci.close().await;
    }
}

#[actix_web::test]
async fn a_flat_guard_answers_without_an_envelope_and_refuses_as_every_guard() {
    let house = House::built("http://localhost", aliased(AnswerShape::Flat)).await;
    house.customer("bob").await;
    house.admin(7, "ann").await;
    let app = app!(house.bekci);
    let signed_in = send(&app, post("/auth/customer/login", &credentials(PASSWORD))).await;
    let names = |answer: &Answer| answer.body.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let wanted = [
        "expiration",
        "expiresIn",
        "refreshToken",
        "refreshTokenExpiration",
        "sessionId",
        "token",
        "tokenType",
        "user",
    ];
    assert_eq!(
        (signed_in.status, names(&signed_in)),
        (200, wanted.map(str::to_owned).to_vec())
    );
    assert_eq!(signed_in.header("cache-control"), Some("no-store"));
    let refresh = json!({"refreshToken": text(&signed_in.body, "refreshToken")});
    let refreshed = send(&app, post(REFRESH, &refresh)).await;
    assert_eq!(names(&refreshed), wanted);
    let access = text(&refreshed.body, "token");
    let me = send(&app, bearer(TestRequest::get().uri("/api/me"), access)).await;
    assert_eq!((me.status, &me.body["model"]), (200, &"customer".into()));
    let sessions = send(&app, bearer(TestRequest::get().uri("/auth/customer/sessions"), access)).await;
    assert_eq!(sessions.body.as_array().map(Vec::len), Some(1));

    let refusal = send(&app, post("/auth/customer/login", &credentials("wrong"))).await;
    assert_eq!(
        (refusal.refusal(), &refusal.body["success"]),
        ((401, "CREDENTIAL_INVALID"), &false.into())
    );
    let admin = json!({"email": "ann@example.com", "password": PASSWORD});
    let admin = send(&app, post("/auth/admin/login", &admin)).await;
    assert_eq!(
        (admin.status, &admin.body["success"]),
        (200, &true.into()),
        "another guard's are its own"
    );
    house.bekci.close().await;
}

#[actix_web::test]
async fn an_alias_that_cannot_be_is_refused_when_it_is_built() {
    let alias = |path: &'static str, call: &'static str| {
        refused(move |builder| {
            let builder = builder.guard::<Admin>().guard::<Customer>();
            builder.with(|guard| guard.aliases = vec![(path.to_owned(), call.to_owned())])
        })
    };
    for (path, call) in [
        ("/out", "log-out"),
        ("out", "logout"),
        ("/auth/customer/me", "logout"),
        ("/{x}", "logout"),
    ] {
        let error = alias(path, call).await;
        assert!(matches!(error, BuildError::Alias { .. }), "{path}: {error}");
    }
    let twice = alias("/auth/admin", "logout").await;
    assert!(twice.to_string().contains("the same auth_path"), "{twice}");
}
