use actix_web::{App, web};
use bekci::{
    AsPrincipal, Auth, Bekci,
    core::PrincipalKey,
    testing::{self, TestApp, TestBekci},
};
use sea_orm::{ActiveModelTrait, Set};
use serde_json::{Value, json};

use crate::{
    models::{admin, customer},
    routes::{Orders, routes},
    setup,
};

async fn bekci() -> TestBekci {
    let bekci = testing::bekci(|builder| setup::guards(builder).unwrap()).await;
    setup::roles(&bekci).await.unwrap();
    bekci
}

async fn app(bekci: &Bekci) -> TestApp {
    let orders = web::Data::new(Orders::default());
    let app = App::new().wrap(bekci.middleware()).configure(routes(bekci, &orders));
    bekci.test_app(app).await.public("/health")
}

async fn cara(bekci: &Bekci) -> PrincipalKey {
    let cara = customer::ActiveModel {
        email: Set("cara@example.com".to_owned()),
        ..Default::default()
    };
    cara.insert(&bekci.connection()).await.unwrap().principal_key().unwrap()
}

async fn ada(bekci: &Bekci) -> PrincipalKey {
    let ada = admin::ActiveModel {
        email: Set("ada@example.com".to_owned()),
        status: Set("active".to_owned()),
        ..Default::default()
    };
    ada.insert(&bekci.connection()).await.unwrap().principal_key().unwrap()
}

#[actix_web::test]
async fn a_buyer_places_orders_in_the_tenant_where_she_is_one() {
    let bekci = bekci().await;
    let app = app(&bekci).await;
    let cara = app.acting_as(&cara(&bekci).await).in_tenant("acme").with_role("buyer");
    let placed = cara.post("/t/acme/shop/orders").json(&json!({"item": "lamp"})).await;
    assert_eq!(placed.status(), 201, "{placed:?}");
    let mine = cara.get("/t/acme/shop/orders").await;
    assert_eq!(mine.json::<Value>()[0]["item"], "lamp");
    let elsewhere = cara.get("/t/globex/shop/orders").await;
    assert_eq!((elsewhere.status(), elsewhere.code().as_str()), (403, "FORBIDDEN"));
    bekci.close().await;
}

#[actix_web::test]
async fn the_policy_lets_support_remove_orders_at_acme_alone() {
    let bekci = bekci().await;
    let app = app(&bekci).await;
    let ada = ada(&bekci).await;
    let at_acme = app.acting_as(&ada).in_tenant("acme").with_role("support");
    assert_eq!(at_acme.delete("/t/acme/desk/orders/7").await.status(), 404);
    let at_globex = app.acting_as(&ada).in_tenant("globex").with_role("support");
    assert_eq!(at_globex.get("/t/globex/desk/orders").await.status(), 200);
    let refused = at_globex.delete("/t/globex/desk/orders/7").await;
    assert_eq!((refused.status(), refused.code().as_str()), (403, "POLICY_DENIED"));
    bekci.close().await;
}

#[actix_web::test]
async fn tokens_that_are_over_open_nothing() {
    let bekci = bekci().await;
    let app = app(&bekci).await;
    let cara = app.acting_as(&cara(&bekci).await).in_tenant("acme").with_role("buyer");
    assert_eq!(
        cara.clone().expired().get("/t/acme/shop/orders").await.code(),
        "TOKEN_EXPIRED"
    );
    assert_eq!(
        cara.clone().revoked().get("/t/acme/shop/orders").await.code(),
        "TOKEN_INVALID"
    );
    bekci.close().await;
}

#[actix_web::test]
async fn no_guards_token_opens_anothers_routes() {
    let bekci = bekci().await;
    app(&bekci).await.assert_guard_isolation().await;
    bekci.close().await;
}

#[actix_web::test]
async fn who_was_seeded_can_sign_in_and_buy() {
    let bekci = bekci().await;
    setup::accounts(&bekci, "nine wet lamps hum softly").await.unwrap();
    let app = app(&bekci).await;
    let login = json!({"email": "CARA@example.com", "password": "nine wet lamps hum softly"});
    let signed_in = app.post("/auth/customer/login").json(&login).await;
    assert_eq!(signed_in.status(), 200, "{signed_in:?}");
    let token = signed_in.json::<Value>()["data"]["accessToken"]
        .as_str()
        .unwrap()
        .to_owned();
    let orders = app
        .get("/t/acme/shop/orders")
        .header("Authorization", &format!("Bearer {token}"));
    assert_eq!(orders.await.status(), 200);
    bekci.close().await;
}

mod partner {
    use bekci::AuthModel;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, AuthModel)]
    #[auth(guard = "partner", identifier = "email", password = "password_hash")]
    #[sea_orm(table_name = "partners")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub email: String,
        pub password_hash: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}
use partner::Partner;

#[actix_web::test]
async fn a_third_model_is_three_lines_and_as_far_from_the_others_as_they_are_from_each_other() {
    let bekci = testing::bekci(|builder| setup::guards(builder).unwrap().guard::<Partner>()).await;
    setup::roles(&bekci).await.unwrap();
    let orders = web::Data::new(Orders::default());
    let partners = web::scope("/partners")
        .wrap(bekci.require::<Partner>())
        .route("", web::get().to(async |who: Auth<Partner>| who.key().to_string()));
    let app = App::new()
        .wrap(bekci.middleware())
        .configure(routes(&bekci, &orders))
        .service(partners);
    let app = bekci.test_app(app).await.public("/health");
    app.assert_guard_isolation().await;
    bekci.close().await;
}
