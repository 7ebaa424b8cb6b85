//! The management API: who holds what, and what roles permit.

use serde_json::{Value, json};

use crate::{
    admin::{ask, global, login, office, permissions, role, staffed, staffed_in},
    house::House,
};

/// The number of a role.
pub async fn number(house: &House, guard: &str, name: &str) -> i64 {
    let roles = house.bekci.store().rights().roles(&global(guard).guard).await.unwrap();
    roles.into_iter().find(|known| known.name == role(name)).unwrap().id
}

#[actix_web::test]
async fn a_role_taken_and_given_decides_the_very_next_request_on_every_node() {
    let (house, second) = House::of_two_nodes().await;
    let house = staffed_in(house).await;
    let carl = house.customer("carl").await;
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
    let (house, second) = House::of_two_nodes().await;
    let house = staffed_in(house).await;
    let carl = house.customer("carl").await;
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
async fn a_permission_that_is_deleted_is_taken_from_roles_and_from_whom_it_was_granted() {
    let house = staffed().await;
    let ida = house.admin(5, "ida").await;
    house.admin(7, "joe").await;
    let rights = house.bekci.store().rights();
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
