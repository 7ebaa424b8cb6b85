//! The management API: who holds what, what roles permit, and that nobody gives what it does not hold.

use serde_json::{Value, json};

use crate::{
    admin::{ask, clerk, give, global, login, office, permissions, role, staffed},
    house::House,
};

/// The number of a role.
async fn number(house: &House, guard: &str, name: &str) -> i64 {
    let roles = house.bekci.rights().roles(&global(guard).guard).await.unwrap();
    roles.into_iter().find(|known| known.name == role(name)).unwrap().id
}

#[actix_web::test]
async fn a_role_taken_and_given_decides_the_very_next_request_on_every_node() {
    let house = staffed().await;
    let carl = house.customer("carl").await;
    let second = house.second_node().await;
    let (here, there) = (office!(house.bekci), office!(second));
    let (root, token) = (
        login(&here, "admin", "root").await,
        login(&here, "customer", "carl").await,
    );
    let path = format!("PUT /principals/customer/{}/roles", carl.id());
    for round in 0..20 {
        for (roles, status) in [(json!(["buyer"]), 200), (json!([]), 403)] {
            // Through either node; the guard is left out, since customers have one.
            let body = Some(json!({"roles": roles}));
            let changed = if round % 2 == 0 {
                ask(&here, &root, &path, body).await
            } else {
                ask(&there, &root, &path, body).await
            };
            assert_eq!(changed.status, 200, "{changed:?}");
            assert_eq!(
                ask(&here, &token, "GET //shop/order", None).await.status,
                status,
                "round {round}"
            );
            assert_eq!(
                ask(&there, &token, "GET //shop/order", None).await.status,
                status,
                "round {round}"
            );
        }
    }
    second.close().await;
    house.bekci.close().await;
}

#[actix_web::test]
async fn what_a_role_permits_and_that_it_is_there_decide_the_very_next_request() {
    let house = staffed().await;
    let carl = house.customer("carl").await;
    let second = house.second_node().await;
    let (here, there) = (office!(house.bekci), office!(second));
    let (root, token) = (
        login(&here, "admin", "root").await,
        login(&here, "customer", "carl").await,
    );
    let path = format!("PUT /principals/customer/{}/roles", carl.id());
    assert_eq!(
        ask(&here, &root, &path, Some(json!({"roles": ["buyer"]}))).await.status,
        200
    );
    let id = number(&house, "customer", "buyer").await;
    let steps = [
        (
            format!("PUT /roles/{id}/permissions"),
            Some(json!({"permissions": ["orders.view"]})),
            403,
        ),
        (
            format!("PUT /roles/{id}/permissions"),
            Some(json!({"permissions": ["orders.*"]})),
            200,
        ),
        (format!("PATCH /roles/{id}"), Some(json!({"name": "shopper"})), 200),
        (format!("DELETE /roles/{id}"), None, 403),
    ];
    for (call, body, status) in steps {
        let answer = ask(&here, &root, &call, body).await;
        assert_eq!(answer.status, 200, "{call}: {answer:?}");
        assert_eq!(
            ask(&here, &token, "GET //shop/order", None).await.status,
            status,
            "{call}"
        );
        assert_eq!(
            ask(&there, &token, "GET //shop/order", None).await.status,
            status,
            "{call}"
        );
    }
    second.close().await;
    house.bekci.close().await;
}

#[actix_web::test]
async fn grants_and_denials_are_what_the_body_says_and_a_denial_wins() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let app = office!(house.bekci);
    let (root, ida) = (login(&app, "admin", "root").await, login(&app, "admin", "ida").await);
    let path = "PUT /principals/admin/5/permissions";
    for (granted, denied, status) in [
        (json!(["orders.*"]), json!([]), 200),
        (json!(["orders.*"]), json!(["orders.view"]), 403),
        (json!(["orders.view"]), json!([]), 200),
        (json!([]), json!([]), 403),
    ] {
        let body = json!({"guard": "admin", "granted": granted, "denied": denied});
        let answer = ask(&app, &root, path, Some(body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(ask(&app, &ida, "GET //desk/orders", None).await.status, status);
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn rights_of_one_tenant_are_kept_apart_from_global_ones() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let own = json!({"guard": "admin", "tenant": "acme", "name": "boss", "permissions": ["orders.view"]});
    assert_eq!(ask(&app, &root, "POST /roles", Some(own.clone())).await.status, 200);
    assert_eq!(
        ask(&app, &root, "POST /roles", Some(own)).await.refusal(),
        (409, "CONFLICT")
    );
    let globally = ask(
        &app,
        &root,
        "PUT /principals/admin/5/roles",
        Some(json!({"roles": ["boss"]})),
    )
    .await;
    assert_eq!(globally.refusal(), (422, "VALIDATION_FAILED"), "it is acme's alone");
    let body = json!({"tenant": "acme", "roles": ["boss", "support"]});
    assert_eq!(
        ask(&app, &root, "PUT /principals/admin/5/roles", Some(body))
            .await
            .status,
        200
    );
    let shown = ask(&app, &root, "GET /principals/admin/5", None).await;
    let expected =
        json!([{"guard": "admin", "tenant": "acme", "roles": ["boss", "support"], "granted": [], "denied": []}]);
    assert_eq!(shown.body["data"]["rights"], expected);
    for (query, count) in [
        ("guard=admin&tenant=acme", 1),
        ("guard=admin&tenant=", 3),
        ("guard=customer", 2),
        ("", 6),
    ] {
        let listed = ask(&app, &root, &format!("GET /roles?{query}"), None).await;
        assert_eq!(listed.body["data"]["items"].as_array().unwrap().len(), count, "{query}");
    }
    let first = ask(&app, &root, "GET /roles?limit=4", None).await;
    let next = first.body["data"]["next"].as_str().unwrap();
    let rest = ask(&app, &root, &format!("GET /roles?limit=4&after={next}"), None).await;
    assert_eq!(
        (
            rest.body["data"]["items"].as_array().unwrap().len(),
            &rest.body["data"]["next"]
        ),
        (2, &Value::Null)
    );
    house.bekci.close().await;
}

#[actix_web::test]
async fn names_and_guards_that_cannot_be_are_422_and_named() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let cases = [
        ("PUT /principals/admin/5/roles", json!({"roles": ["nope"]}), "roles"),
        (
            "PUT /principals/admin/5/roles",
            json!({"roles": ["a, b\np, mallory, *"]}),
            "roles",
        ),
        (
            "PUT /principals/admin/5/roles",
            json!({"guard": "customer", "roles": []}),
            "guard",
        ),
        (
            "PUT /principals/admin/5/roles",
            json!({"guard": "nope", "roles": []}),
            "guard",
        ),
        (
            "PUT /principals/admin/5/roles",
            json!({"tenant": "Not One", "roles": []}),
            "tenant",
        ),
        (
            "PUT /principals/admin/5/permissions",
            json!({"granted": ["orders.%"], "denied": []}),
            "granted",
        ),
        (
            "PUT /principals/admin/5/permissions",
            json!({"granted": ["a"], "denied": ["a"]}),
            "denied",
        ),
        ("PUT /principals/admin/5/permissions", json!({"granted": []}), "denied"),
        ("POST /roles", json!({"name": "fresh"}), "guard"),
        ("POST /roles", json!({"guard": "admin", "name": "Fresh"}), "name"),
        (
            "POST /roles",
            json!({"guard": "admin", "name": "fresh", "permissions": ["*.a"]}),
            "permissions",
        ),
        ("POST /permissions", json!({"guard": "admin", "name": ""}), "name"),
    ];
    for (call, body, field) in cases {
        let answer = ask(&app, &root, call, Some(body.clone())).await;
        assert_eq!(answer.refusal(), (422, "VALIDATION_FAILED"), "{body}: {answer:?}");
        assert!(
            !answer.body["error"]["details"]["fields"][field].is_null(),
            "{body}: {answer:?}"
        );
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn nobody_gives_what_it_does_not_hold() {
    let house = staffed().await;
    house.admin(5, "ida").await;
    let held = &[
        "bekci.rights.write",
        "orders.view",
        "stock.*",
        "bekci.roles.give.admin.support",
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
    let rights = house.bekci.rights();
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

#[actix_web::test]
async fn a_permission_that_is_deleted_is_taken_from_roles_and_from_whom_it_was_granted() {
    let house = staffed().await;
    let ida = house.admin(5, "ida").await;
    house.admin(7, "joe").await;
    let rights = house.bekci.rights();
    rights
        .give(&ida, &global("admin"), &permissions(&["orders.view"]))
        .await
        .unwrap();
    let app = office!(house.bekci);
    let (root, ida) = (login(&app, "admin", "root").await, login(&app, "admin", "ida").await);
    let joe = login(&app, "admin", "joe").await;
    assert_eq!(
        ask(
            &app,
            &root,
            "PUT /principals/admin/7/roles",
            Some(json!({"roles": ["support"]}))
        )
        .await
        .status,
        200
    );
    let listed = ask(&app, &root, "GET /permissions?guard=admin&limit=200", None).await;
    let items = listed.body["data"]["items"].as_array().unwrap().clone();
    let id = items.iter().find(|item| item["name"] == "orders.view").unwrap()["id"].clone();
    for token in [&ida, &joe] {
        assert_eq!(ask(&app, token, "GET //desk/orders", None).await.status, 200);
    }
    let call = format!("DELETE /permissions/{id}");
    assert_eq!(ask(&app, &root, &call, None).await.status, 200);
    for token in [&ida, &joe] {
        assert_eq!(ask(&app, token, "GET //desk/orders", None).await.status, 403);
    }
    assert_eq!(ask(&app, &root, &call, None).await.refusal(), (404, "NOT_FOUND"));
    let again = json!({"guard": "admin", "name": "orders.view"});
    assert_eq!(
        ask(&app, &root, "POST /permissions", Some(again.clone())).await.status,
        200
    );
    assert_eq!(
        ask(&app, &root, "POST /permissions", Some(again)).await.refusal(),
        (409, "CONFLICT")
    );
    house.bekci.close().await;
}
