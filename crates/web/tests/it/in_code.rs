//! What an application calls in code: each call of docs/in-code.md, as it stands there.

use std::sync::Arc;

use actix_web::{App, HttpResponse, get, web};
use bekci::{
    Auth, Bekci, Credentials, Outcome, PolicyModel, Refusal, Standing, core::PrincipalKey, permission, permissions,
    testing,
};
use sea_orm::Set;
use serde_json::{Value, json};

use crate::models::admin::{self, Admin};

permissions! { pub mod posts { view, delete } }

const PASSWORD: &str = "nine wet lamps hum softly";

async fn ann(bekci: &Bekci) -> PrincipalKey {
    let ann = admin::ActiveModel {
        email: Set("ann@example.com".to_owned()),
        status: Set("active".to_owned()),
        ..Default::default()
    };
    let ann = bekci.accounts().create(ann).password(PASSWORD).await.unwrap();
    ann.committed.confirmed().unwrap();
    ann.key
}

#[actix_web::test]
async fn signing_in_from_code() {
    let bekci = testing::bekci(|bekci| bekci.guard::<Admin>()).await;
    let key = ann(&bekci).await;
    let guard = bekci.guard::<Admin>();

    let credentials = Credentials::password("ann@example.com", PASSWORD);
    let sign_in = guard.attempt(&credentials).device_name("office").await.unwrap();
    assert_eq!(sign_in.code.number(), 1);
    let Outcome::Full(signed_in) = sign_in.outcome else {
        panic!("refused")
    };
    assert_eq!(signed_in.key, key);
    let sessions = bekci.sessions().of(&key).await.unwrap();
    assert_eq!(sessions[0].device_name.as_deref(), Some("office"));

    let wrong = Credentials::password("ann@example.com", "wrong");
    let refused = guard.attempt(&wrong).await.unwrap();
    assert_eq!(
        (refused.code.name(), refused.code.number()),
        ("FAILURE_CREDENTIAL_INVALID", -2)
    );
    assert_eq!(refused.messages.len(), 1);
    assert!(matches!(refused.outcome, Outcome::Refused(_)));
    bekci.close().await;
}

#[actix_web::test]
async fn credentials_without_a_session() {
    let bekci = testing::bekci(|bekci| bekci.guard::<Admin>()).await;
    let key = ann(&bekci).await;
    let guard = bekci.guard::<Admin>();
    let credentials = Credentials::password("ann@example.com", PASSWORD);
    let wrong = Credentials::password("ann@example.com", "wrong");

    assert!(guard.validate(&credentials).await.unwrap());
    assert!(!guard.validate(&wrong).await.unwrap());
    assert!(guard.validate_for(&key, &credentials).await.unwrap());
    let other = PrincipalKey::parse("admin:999").unwrap();
    assert!(!guard.validate_for(&other, &credentials).await.unwrap());

    let who = guard.once(&credentials).await.unwrap().unwrap();
    assert_eq!((who.key(), who.kind()), (&key, Standing::Authorized));
    assert!(
        !who.is_fresh(time::Duration::minutes(5)),
        "no session, so nothing that could be fresh"
    );
    assert!(guard.once(&wrong).await.unwrap().is_none());
    assert!(bekci.sessions().of(&key).await.unwrap().is_empty());

    let ban = bekci::BanOrder {
        status: "banned".to_owned(),
        reason: Some("spam".to_owned()),
        ..Default::default()
    };
    bekci.store().ban(&key, &ban).await.unwrap().confirmed().unwrap();
    let refused = guard.once(&credentials).await.unwrap_err();
    assert_eq!(refused.code().as_str(), "ACCOUNT_BANNED");
    bekci.close().await;
}

#[actix_web::test]
async fn vouching_and_sessions() {
    let bekci = testing::bekci(|bekci| bekci.guard::<Admin>()).await;
    let key = ann(&bekci).await;
    let guard = bekci.guard::<Admin>();

    let issued = guard.issue(&key).await.unwrap();
    assert_eq!(issued.key, key);
    assert!(!guard.needs_rehash(&key).await.unwrap());
    assert!(bekci.identities().exists(&key).await.unwrap());

    let gone = PrincipalKey::parse("admin:999").unwrap();
    assert!(!bekci.identities().exists(&gone).await.unwrap());
    assert_eq!(
        guard.issue(&gone).await.unwrap_err().code().as_str(),
        "IDENTITY_NOT_FOUND"
    );
    assert!(!guard.needs_rehash(&gone).await.unwrap());

    let second = guard.issue(&key).await.unwrap();
    bekci.sessions().end(&key, second.session).await.unwrap();
    assert_eq!(
        bekci
            .sessions()
            .end(&gone, issued.session)
            .await
            .unwrap_err()
            .code()
            .as_str(),
        "NOT_FOUND"
    );
    assert_eq!(bekci.sessions().end_all(&key).await.unwrap(), 1);
    bekci.close().await;
}

#[actix_web::test]
async fn a_guard_that_was_not_registered_is_refused_and_signs_nobody_in() {
    let bekci = testing::bekci(|bekci| bekci.guard::<Admin>()).await;
    let guard = bekci.guard::<crate::models::customer::Customer>();
    let credentials = Credentials::password("ann@example.com", PASSWORD);
    assert_eq!(
        guard.attempt(&credentials).await.unwrap_err().code().as_str(),
        "INTERNAL"
    );
    assert_eq!(
        guard.validate(&credentials).await.unwrap_err().code().as_str(),
        "INTERNAL"
    );
    bekci.close().await;
}

#[actix_web::test]
async fn rights() {
    let bekci = testing::bekci(|bekci| bekci.guard::<Admin>()).await;
    let key = ann(&bekci).await;
    let rights = bekci.rights();
    let in_acme = rights.clone().in_tenant("acme");
    rights.put_role("editor", [posts::view, posts::delete]).await.unwrap();
    in_acme.assign_role(&key, "editor").await.unwrap();
    rights.deny(&key, posts::delete).await.unwrap();

    let app = App::new()
        .wrap(bekci.middleware())
        .service(web::scope("/me").wrap(bekci.require::<Admin>()).service(explain));
    let app = bekci.test_app(app).await;
    let answer: Value = app.acting_as(&key).get("/me/explain").await.json();
    assert_eq!(
        answer,
        json!({"view": "nothing grants it", "delete": "denied by posts.delete", "roles": []})
    );

    rights.assign_role(&key, "editor").await.unwrap();
    rights.revoke(&key, "posts.delete").await.unwrap();
    let answer: Value = app.acting_as(&key).get("/me/explain").await.json();
    let role = "permitted by role editor";
    assert_eq!(answer, json!({"view": role, "delete": role, "roles": ["editor"]}));

    rights.sync_roles(&key, [""; 0]).await.unwrap();
    in_acme.remove_role(&key, ["editor"]).await.unwrap();
    rights.sync_permissions(&key, "posts.view", [""; 0]).await.unwrap();
    in_acme.give(&key, posts::view).await.unwrap();
    let answer: Value = app.acting_as(&key).get("/me/explain").await.json();
    assert_eq!(
        answer,
        json!({"view": "granted by posts.view", "delete": "nothing grants it", "roles": []})
    );
    bekci.close().await;
}

#[get("/explain")]
async fn explain(who: Auth<Admin>) -> Result<HttpResponse, Refusal> {
    let told = |permission| who.explain(permission).map(|why| why.to_string()).unwrap_or_default();
    Ok(HttpResponse::Ok().json(json!({
        "view": told(posts::view),
        "delete": told(posts::delete),
        "roles": who.roles(),
    })))
}

#[get("/orders/{id}")]
#[permission(policy)]
async fn order(who: Auth<Admin>) -> String {
    who.key().to_string()
}

#[actix_web::test]
async fn a_handler_asks_the_policies() {
    let model = include_str!("../../../../config/casbin_model.conf");
    let policy = Arc::new(PolicyModel::parse(model).unwrap());
    let bekci = testing::bekci(|bekci| bekci.guard::<Admin>().policy(policy)).await;
    let key = ann(&bekci).await;
    let line = format!("p, principal:{key}, *, /back-office/orders/:id, GET, allow");
    let lines: Vec<_> = bekci::parse_csv(&line)
        .unwrap()
        .into_iter()
        .map(|numbered| numbered.line)
        .collect();
    bekci.store().policies().add(&lines).await.unwrap();
    let orders = web::scope("/back-office").wrap(bekci.require::<Admin>()).service(order);
    let elsewhere = web::scope("/elsewhere").wrap(bekci.require::<Admin>()).service(order);
    let app = App::new().wrap(bekci.middleware()).service(orders).service(elsewhere);
    let app = bekci.test_app(app).await;
    assert_eq!(app.acting_as(&key).get("/back-office/orders/7").await.status(), 200);
    let answer = app.acting_as(&key).get("/elsewhere/orders/7").await;
    assert_eq!((answer.status(), answer.code()), (403, "POLICY_DENIED".to_owned()));
    bekci.close().await;
}

#[actix_web::test]
async fn a_handler_that_asks_policies_where_there_are_none_is_500() {
    let bekci = testing::bekci(|bekci| bekci.guard::<Admin>()).await;
    let key = ann(&bekci).await;
    let orders = web::scope("/back-office").wrap(bekci.require::<Admin>()).service(order);
    let app = bekci
        .test_app(App::new().wrap(bekci.middleware()).service(orders))
        .await;
    assert_eq!(
        app.acting_as(&key).get("/back-office/orders/7").await.code(),
        "INTERNAL"
    );
    bekci.close().await;
}
