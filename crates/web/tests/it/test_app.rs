//! `bekci::testing`: who acts in a test is somebody real.

use actix_web::{App, HttpResponse, delete, get, post, web};
use bekci::{AsPrincipal, Auth, Bekci, Fresh, Who, permission, permissions, testing};
use sea_orm::{ActiveModelTrait, Set};
use serde_json::{Value, json};

use crate::models::{
    admin::{self, Admin},
    customer::Customer,
};

permissions! { pub mod posts { view, delete } }

bekci::guard!(pub Kiosk = "kiosk" on crate::models::admin::Model);

#[delete("/posts/{id}")]
#[permission(posts::delete)]
async fn delete_post(who: Auth<Admin>, id: web::Path<i64>) -> HttpResponse {
    HttpResponse::Ok()
        .json(json!({"by": who.key().as_str(), "deleted": *id, "tenant": who.tenant().map(|t| t.as_str())}))
}

#[post("/posts")]
async fn create_post(who: Fresh<Admin, 300>, post: web::Json<Value>) -> HttpResponse {
    HttpResponse::Created().json(json!({"by": who.id(), "post": post.into_inner()}))
}

#[get("/whoami")]
async fn whoami(who: Auth<Admin>) -> HttpResponse {
    HttpResponse::Ok().json(who.to_json())
}

fn describe(who: Option<Auth<Customer>>) -> HttpResponse {
    HttpResponse::Ok().body(who.map_or("nobody".to_owned(), |who| who.key().to_string()))
}

fn routes(bekci: &Bekci) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let bekci = bekci.clone();
    move |config| {
        config
            .configure(bekci.mount("/auth"))
            .service(
                web::scope("/admin")
                    .wrap(bekci.require::<Admin>())
                    .service(delete_post)
                    .service(create_post)
                    .service(whoami),
            )
            .service(
                web::scope("/both")
                    .wrap(bekci.require::<Admin>().or::<Customer>())
                    .route(
                        "/maybe",
                        web::get().to(async |who: Option<Auth<Customer>>| describe(who)),
                    ),
            )
            .route(
                "/open/maybe",
                web::get().to(async |who: Option<Auth<Customer>>| describe(who)),
            );
    }
}

pub async fn admin(bekci: &Bekci, email: &str) -> admin::Model {
    let account = admin::ActiveModel {
        email: Set(email.to_owned()),
        status: Set("active".to_owned()),
        ..Default::default()
    };
    account.insert(&bekci.connection()).await.unwrap()
}

#[actix_web::test]
async fn who_acts_in_a_test_is_somebody_real() {
    let bekci = testing::bekci(|bekci| bekci.guard::<Admin>().guard::<Customer>()).await;
    let ann = admin(&bekci, "ann@example.com").await;
    let app = bekci
        .test_app(App::new().wrap(bekci.middleware()).configure(routes(&bekci)))
        .await;

    let answer = app.acting_as(&ann).can(posts::delete).delete("/admin/posts/7").await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let key = ann.principal_key().unwrap();
    assert_eq!(
        answer.json::<Value>(),
        json!({"by": key.as_str(), "deleted": 7, "tenant": null})
    );
    // Nothing of it is played: there is a session, and the grant is a row that another caller finds.
    assert_eq!(bekci.sessions().of(&key).await.unwrap().len(), 1);
    let me = app.acting_as(&key).get("/auth/admin/me").await.json::<Value>();
    assert_eq!(me["data"]["permissions"], json!(["posts.delete"]));
    assert_eq!(me["data"]["session"]["way"], "issued");

    let bob = admin(&bekci, "bob@example.com").await;
    let answer = app.acting_as(&bob).delete("/admin/posts/7").await;
    assert_eq!((answer.status(), answer.code()), (403, "FORBIDDEN".to_owned()));
    let answer = app
        .acting_as(&bob)
        .post("/admin/posts")
        .json(&json!({"title": "a"}))
        .await;
    assert_eq!(
        (answer.status(), answer.json::<Value>()["post"]["title"].clone()),
        (201, json!("a"))
    );
    assert_eq!(app.get("/admin/whoami").await.code(), "TOKEN_MISSING");
    bekci.close().await;
}

#[actix_web::test]
async fn tokens_that_are_over_are_refused_each_for_its_own_reason() {
    let bekci = testing::bekci(|bekci| bekci.guard::<Admin>().guard::<Customer>()).await;
    let ann = admin(&bekci, "ann@example.com").await;
    let app = bekci
        .test_app(App::new().wrap(bekci.middleware()).configure(routes(&bekci)))
        .await;
    let caller = app.acting_as(&ann);
    assert_eq!(caller.get("/admin/whoami").await.status(), 200);
    let expired = caller.clone().expired().get("/admin/whoami").await;
    assert_eq!((expired.status(), expired.code()), (401, "TOKEN_EXPIRED".to_owned()));
    let revoked = caller.clone().revoked().get("/admin/whoami").await;
    assert_eq!((revoked.status(), revoked.code()), (401, "TOKEN_INVALID".to_owned()));
    assert_eq!(
        caller.get("/admin/whoami").await.status(),
        200,
        "the others' ends are not its own"
    );
    bekci.close().await;
}

#[actix_web::test]
async fn a_role_is_a_row_and_a_guard_is_named_where_a_model_has_two() {
    let bekci = testing::bekci(|bekci| {
        bekci
            .guard::<Admin>()
            .guard::<Kiosk>()
            .with(|guard| guard.sources.header = false)
            .guard::<Customer>()
    })
    .await;
    let ann = admin(&bekci, "ann@example.com").await;
    bekci
        .rights()
        .through::<Admin>()
        .put_role("editor", "posts.delete")
        .await
        .unwrap()
        .confirmed()
        .unwrap();
    let kiosk = web::scope("/kiosk")
        .wrap(bekci.require::<Kiosk>())
        .route("/till", web::post().to(async |who: Auth<Kiosk>| who.guard().to_owned()));
    let app = bekci
        .test_app(
            App::new()
                .wrap(bekci.middleware())
                .configure(routes(&bekci))
                .service(kiosk),
        )
        .await;
    let caller = app.acting_as(&ann).through::<Admin>().with_role("editor");
    assert_eq!(caller.delete("/admin/posts/7").await.status(), 200);
    // The kiosk takes cookies alone.
    let till = app.acting_as(&ann).through::<Kiosk>().post("/kiosk/till").await;
    assert_eq!((till.status(), till.text()), (200, "kiosk".to_owned()));
    bekci.close().await;
}

#[actix_web::test]
async fn somebody_who_may_be_nobody_is_500_where_nothing_could_have_admitted_anybody() {
    let bekci = testing::bekci(|bekci| bekci.guard::<Admin>().guard::<Customer>()).await;
    let ann = admin(&bekci, "ann@example.com").await;
    let app = bekci
        .test_app(App::new().wrap(bekci.middleware()).configure(routes(&bekci)))
        .await;
    let answer = app.acting_as(&ann).get("/both/maybe").await;
    assert_eq!((answer.status(), answer.text()), (200, "nobody".to_owned()));
    let answer = app.get("/open/maybe").await;
    assert_eq!((answer.status(), answer.code()), (500, "INTERNAL".to_owned()));
    assert!(!answer.text().contains("nobody"));
    bekci.close().await;
}

#[actix_web::test]
async fn a_fresh_extractor_refuses_an_old_sign_in_and_who_signs_out_is_out() {
    let clock = std::sync::Arc::new(testing::FakeClock::at(1_800_000_000));
    let at = clock.clone();
    let bekci = testing::bekci(|bekci| bekci.guard::<Admin>().guard::<Customer>().clock(at)).await;
    let ann = admin(&bekci, "ann@example.com").await;
    let leave = web::scope("/leave")
        .wrap(bekci.require::<Admin>())
        .route("/now", web::post().to(async |who: Auth<Admin>| leave(&who).await));
    let app = bekci
        .test_app(
            App::new()
                .wrap(bekci.middleware())
                .configure(routes(&bekci))
                .service(leave),
        )
        .await;
    let caller = app.acting_as(&ann);
    let write = || caller.post("/admin/posts").json(&json!({}));
    assert_eq!(write().await.status(), 201);
    clock.advance(std::time::Duration::from_secs(301));
    let answer = write().await;
    assert_eq!((answer.status(), answer.code()), (403, "FORBIDDEN".to_owned()));
    assert_eq!(
        answer.json::<Value>()["error"]["details"],
        json!({"freshWithinSeconds": 300})
    );

    assert_eq!(caller.post("/leave/now").await.status(), 200);
    assert_eq!(caller.get("/admin/whoami").await.code(), "TOKEN_INVALID");
    bekci.close().await;
}

async fn leave(who: &Who) -> Result<HttpResponse, bekci::Refusal> {
    let ended = who.destroy().await?;
    Ok(HttpResponse::Ok().json(json!({"ended": ended.ended_now})))
}
