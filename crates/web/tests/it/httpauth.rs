//! Bekci's rules as a validator of actix-web-httpauth.

use actix_web::{App, web};
use bekci::{
    Auth, Bekci, core,
    httpauth::{extractors::bearer::BearerAuth, middleware::HttpAuthentication},
    testing,
};
use sea_orm::Set;
use serde_json::Value;

use crate::models::{admin, customer::Customer};

async fn somebody(bekci: &Bekci) -> core::PrincipalKey {
    let ann = admin::ActiveModel {
        email: Set("ann@example.com".to_owned()),
        status: Set("active".to_owned()),
        ..Default::default()
    };
    bekci.accounts().create(ann).await.unwrap().key
}

async fn both(who: Auth<admin::Admin>, credentials: BearerAuth) -> String {
    format!("{} {}", who.key(), credentials.token().split('.').count())
}

#[actix_web::test]
async fn a_validator_of_httpauth_decides_as_require_does() {
    let bekci = testing::bekci(|bekci| bekci.guard::<admin::Admin>().guard::<Customer>()).await;
    let ann = somebody(&bekci).await;
    let admins = || bekci.require::<admin::Admin>();
    let with_right = admins().permission("orders.view").validator();
    let app = App::new()
        .wrap(bekci.middleware())
        .service(
            web::scope("/by-httpauth")
                .wrap(HttpAuthentication::with_fn(admins().validator()))
                .route("", web::get().to(both)),
        )
        .service(web::scope("/by-bekci").wrap(admins()).route("", web::get().to(both)))
        .service(
            web::scope("/with-right")
                .wrap(HttpAuthentication::with_fn(with_right))
                .route("", web::get().to(both)),
        )
        .service(
            web::scope("/broken")
                .wrap(HttpAuthentication::with_fn(admins().role("No Role").validator()))
                .route("", web::get().to(both)),
        );
    let app = bekci.test_app(app).await;

    let ann = app.acting_as(&ann);
    let let_in = ann.get("/by-httpauth").await;
    assert_eq!((let_in.status(), let_in.text()), (200, "admin:1 3".to_owned()));
    assert_eq!(ann.get("/with-right").await.code(), "FORBIDDEN");
    assert_eq!(ann.clone().can("orders.view").get("/with-right").await.status(), 200);
    assert_eq!(ann.get("/broken").await.code(), "INTERNAL");
    assert_eq!(ann.clone().revoked().get("/by-httpauth").await.status(), 401);

    for header in [
        "",
        "Bearer",
        "Bearer a, Bearer b",
        "Bearer a b",
        "Basic YTpi",
        "Bearer é",
        "bearer x.y.z",
    ] {
        let told = async |path: &str| {
            let mut call = app.get(path);
            if !header.is_empty() {
                call = call.header("Authorization", header);
            }
            let answer = call.await;
            let challenge = answer.header("WWW-Authenticate").map(str::to_owned);
            (answer.status(), answer.code(), challenge)
        };
        let (theirs, ours) = (told("/by-httpauth").await, told("/by-bekci").await);
        assert_eq!(theirs, ours, "{header:?}");
        assert!(theirs.0 == 401 || theirs.0 == 400, "{header:?} {theirs:?}");
        assert!(theirs.2.unwrap().starts_with("Bearer realm=\"bekci\""), "{header:?}");
    }
    let two = app
        .get("/by-httpauth")
        .header("Authorization", "Bearer a")
        .header("Cookie", "bekci_admin_at=b")
        .await;
    assert_ne!(two.status(), 200);
    let body: Value = app.get("/by-httpauth").await.json();
    assert_eq!(body["error"]["code"], "TOKEN_MISSING");
    bekci.close().await;
}
