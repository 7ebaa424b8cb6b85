//! The management API: nobody gives what it does not hold, raises itself, or acts on who holds more.

use serde_json::json;

use crate::{
    admin::{ask, clerk, give, global, login, office, permissions, role, staffed},
    admin_rights::number,
};

#[actix_web::test]
async fn nobody_gives_what_it_does_not_hold() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let held = &[
        "bekci.rights.write",
        "orders.view",
        "stock.*",
        "bekci.roles.give.admin.support",
        "bekci.roles.give.customer.counter",
    ];
    clerk(&house, 6, "clerk", held).await;
    let app = office!(house.bekci);
    let clerk = login(&app, "admin", "clerk").await;
    let (supers, support) = (
        number(&house, "admin", "super-admin").await,
        number(&house, "admin", "support").await,
    );
    let (roles, rights) = ("PUT /principals/admin/5/roles", "PUT /principals/admin/5/permissions");
    let gives = |granted: &str| json!({"granted": [granted], "denied": []});
    let of = |call: &str, id: i64| call.replace("{id}", &id.to_string());
    let refused = [
        (
            roles.to_owned(),
            Some(json!({"roles": ["super-admin"]})),
            "permission *",
        ),
        (rights.to_owned(), Some(gives("*")), "permission *"),
        (rights.to_owned(), Some(gives("orders.*")), "permission orders.*"),
        (
            rights.to_owned(),
            Some(gives("bekci.principals.read")),
            "permission bekci.principals.read",
        ),
        // It permits nothing, but a route may ask for it by name.
        (
            roles.to_owned(),
            Some(json!({"roles": ["auditor"]})),
            "role auditor or permission bekci.roles.give.admin.auditor",
        ),
        (
            "POST /roles".into(),
            Some(json!({"guard": "admin", "name": "x", "permissions": ["a.b"]})),
            "permission a.b",
        ),
        (
            of("PUT /roles/{id}/permissions", support),
            Some(json!({"permissions": ["orders.view", "a"]})),
            "permission a",
        ),
        (
            of("PUT /roles/{id}/permissions", supers),
            Some(json!({"permissions": []})),
            "permission *",
        ),
        (
            of("PATCH /roles/{id}", supers),
            Some(json!({"name": "x"})),
            "permission *",
        ),
        (
            of("PATCH /roles/{id}", support),
            Some(json!({"name": "x"})),
            "role x or permission bekci.roles.give.admin.x",
        ),
        (of("DELETE /roles/{id}", supers), None, "permission *"),
    ];
    for (call, body, missing) in refused {
        let answer = ask(&app, &clerk, &call, body.clone()).await;
        assert_eq!(answer.refusal(), (403, "FORBIDDEN"), "{call} {body:?}: {answer:?}");
        assert_eq!(answer.body["error"]["details"]["missing"], missing, "{call} {body:?}");
    }
    for (call, body) in [
        (roles, json!({"roles": ["support"]})),
        (rights, gives("stock.count")),
        (rights, gives("stock.*")),
        (
            "POST /roles",
            json!({"guard": "customer", "name": "counter", "permissions": ["stock.count"]}),
        ),
    ] {
        let answer = ask(&app, &clerk, call, Some(body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_denial_counts_for_who_gives_and_lifting_one_is_giving() {
    let house = staffed().await;
    let ida = house.admin(5, "ida").await;
    let clerk_key = clerk(&house, 6, "clerk", &["bekci.rights.write", "orders.*"]).await;
    let rights = house.bekci.store().rights();
    rights
        .deny(&ida, &global("admin"), &permissions(&["refunds.make"]))
        .await
        .unwrap();
    rights
        .deny(&clerk_key, &global("admin"), &permissions(&["orders.delete"]))
        .await
        .unwrap();
    let app = office!(house.bekci);
    let token = login(&app, "admin", "clerk").await;
    let call = "PUT /principals/admin/5/permissions";
    let kept = json!(["refunds.make"]);
    for (granted, denied, missing) in [
        (json!(["orders.*"]), kept.clone(), "permission orders.*"),
        (json!(["orders.delete"]), kept.clone(), "permission orders.delete"),
        (json!([]), json!([]), "permission refunds.make"),
    ] {
        let answer = ask(&app, &token, call, Some(json!({"granted": granted, "denied": denied}))).await;
        assert_eq!(answer.refusal(), (403, "FORBIDDEN"));
        assert_eq!(answer.body["error"]["details"]["missing"], missing);
    }
    let answer = ask(
        &app,
        &token,
        call,
        Some(json!({"granted": ["orders.view"], "denied": kept})),
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    house.bekci.close().await;
}

#[actix_web::test]
async fn nobody_raises_itself() {
    let house = staffed().await;
    let key = clerk(&house, 6, "clerk", &["bekci.*", "orders.view"]).await;
    house
        .bekci
        .store()
        .rights()
        .deny(&key, &global("admin"), &permissions(&["refunds.make"]))
        .await
        .unwrap();
    let app = office!(house.bekci);
    let clerk = login(&app, "admin", "clerk").await;
    for (call, body) in [
        ("PUT /principals/admin/6/roles", json!({"roles": ["super-admin"]})),
        ("PUT /principals/admin/6/roles", json!({"roles": ["support"]})),
        (
            "PUT /principals/admin/6/permissions",
            json!({"granted": ["*"], "denied": []}),
        ),
        (
            "PUT /principals/admin/6/permissions",
            json!({"granted": ["bekci.*"], "denied": []}),
        ),
        ("PUT /principals/admin/6/status", json!({"status": "active"})),
        ("PATCH /principals/admin/6", json!({"verified": true})),
        (
            "PATCH /principals/admin/6",
            json!({"password": "a new and long phrase"}),
        ),
    ] {
        let answer = ask(&app, &clerk, call, Some(body.clone())).await;
        assert_eq!(answer.refusal(), (403, "FORBIDDEN"), "{call} {body}");
    }
    assert_eq!(
        ask(&app, &clerk, "PATCH /principals/admin/6", Some(json!({"name": "Me"})))
            .await
            .status,
        200
    );
    house.bekci.close().await;
}

#[actix_web::test]
async fn nobody_raises_itself_by_the_name_of_a_role_that_it_holds() {
    let house = staffed().await;
    let key = clerk(&house, 6, "clerk", &["bekci.*"]).await;
    house
        .bekci
        .store()
        .rights()
        .assign_role(&key, &global("admin"), &[role("support")])
        .await
        .unwrap();
    let app = office!(house.bekci);
    let clerk = login(&app, "admin", "clerk").await;
    let id = number(&house, "admin", "support").await;
    let auditor = number(&house, "admin", "auditor").await;
    assert_eq!(
        ask(&app, &clerk, &format!("DELETE /roles/{auditor}"), None)
            .await
            .status,
        200
    );
    let rename = |id| format!("PATCH /roles/{id}");
    let answer = ask(&app, &clerk, &rename(id), Some(json!({"name": "auditor"}))).await;
    assert_eq!(answer.refusal(), (403, "FORBIDDEN"));
    assert_eq!(answer.body["error"]["details"]["missing"], "permission *");
    let fresh = json!({"guard": "admin", "name": "fresh"});
    let fresh = ask(&app, &clerk, "POST /roles", Some(fresh)).await.body["data"]["id"].clone();
    let answer = ask(
        &app,
        &clerk,
        &rename(fresh.as_i64().unwrap()),
        Some(json!({"name": "auditor"})),
    )
    .await;
    assert_eq!(answer.status, 200, "a role that it does not hold: {answer:?}");
    house.bekci.close().await;
}

#[actix_web::test]
async fn nobody_acts_on_a_principal_that_holds_more() {
    let house = staffed().await;
    let key = clerk(&house, 6, "clerk", &["bekci.*"]).await;
    let app = office!(house.bekci);
    let (root, clerk) = (login(&app, "admin", "root").await, login(&app, "admin", "clerk").await);
    let stolen = json!({"token": root, "reason": "lost"});
    let jti = json!({"principal": "admin:1", "jti": "0123456789abcdef0123456789abcdef", "reason": "lost"});
    let calls = [
        ("PATCH /principals/admin/1", Some(json!({"name": "x"}))),
        (
            "PATCH /principals/admin/1",
            Some(json!({"password": "a new and long phrase"})),
        ),
        ("PATCH /principals/admin/1", Some(json!({"email": "mine@example.com"}))),
        ("PUT /principals/admin/1/status", Some(json!({"status": "banned"}))),
        ("PUT /principals/admin/1/roles", Some(json!({"roles": []}))),
        (
            "PUT /principals/admin/1/permissions",
            Some(json!({"granted": [], "denied": ["*"]})),
        ),
        ("DELETE /principals/admin/1/sessions", None),
        ("POST /blocks", Some(stolen)),
        ("POST /blocks", Some(jti)),
        ("DELETE /principals/admin/1", None),
    ];
    for (call, body) in &calls {
        let answer = ask(&app, &clerk, call, body.clone()).await;
        assert_eq!(answer.refusal(), (403, "FORBIDDEN"), "{call} {body:?}");
        assert_eq!(answer.body["error"]["details"]["missing"], "permission *", "{call}");
    }
    assert_eq!(ask(&app, &root, "GET //auth/admin/me", None).await.status, 200);
    // Who holds as much may.
    give(&house, &key, &["*"]).await;
    for (call, body) in calls {
        let answer = ask(&app, &clerk, call, body.clone()).await;
        assert_eq!(answer.status, 200, "{call} {body:?}: {answer:?}");
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn who_changes_credentials_could_sign_in_so_rights_in_every_guard_count() {
    let house = staffed().await;
    let carl = house.customer("carl").await;
    house
        .bekci
        .store()
        .rights()
        .assign_role(&carl, &global("customer"), &[role("buyer")])
        .await
        .unwrap();
    let key = clerk(&house, 6, "clerk", &["bekci.principals.*"]).await;
    let app = office!(house.bekci);
    let clerk = login(&app, "admin", "clerk").await;
    let path = format!("PATCH /principals/customer/{}", carl.id());
    let password = || Some(json!({"password": "a new and long phrase"}));
    let answer = ask(&app, &clerk, &path, password()).await;
    assert_eq!(answer.refusal(), (403, "FORBIDDEN"));
    give(&house, &key, &["orders.*", "bekci.roles.give.customer.buyer"]).await;
    assert_eq!(ask(&app, &clerk, &path, password()).await.status, 200);
    house.bekci.close().await;
}
