//! The management API: who may call it, and how. What its calls do is in `admin_accounts`, `admin_rights`, `admin_status` and `admin_sessions`.

use actix_http::Request;
use actix_web::{
    Error,
    body::MessageBody,
    dev::{Service, ServiceResponse},
    http::Method,
    test::TestRequest,
};
use bekci::{
    Scope,
    core::{GuardName, Permission, PrincipalKey, RoleName},
};
use serde_json::{Value, json};

use crate::{
    calls::{Answer, bearer, send},
    house::{House, PASSWORD},
};

/// An application with the API, a shop for buyers and a desk for admins who may see orders.
macro_rules! office {
    ($bekci:expr) => {{
        let bekci = &$bekci;
        actix_web::test::init_service(
            actix_web::App::new()
                .wrap(bekci.middleware())
                .configure(bekci.mount("/auth"))
                .configure(bekci.mount_admin("/admin/v1", "admin"))
                .service(
                    actix_web::web::scope("/shop")
                        .wrap(
                            bekci
                                .require::<crate::models::customer::Customer>()
                                .permission("orders.place"),
                        )
                        .route("/order", actix_web::web::get().to(async || "ordered")),
                )
                .service(
                    actix_web::web::scope("/desk")
                        .wrap(bekci.require::<crate::models::admin::Admin>().permission("orders.view"))
                        .route("/orders", actix_web::web::get().to(async || "orders")),
                ),
        )
        .await
    }};
}
pub(crate) use office;

pub fn permissions(texts: &[&str]) -> Vec<Permission> {
    texts.iter().map(|text| Permission::new(text).unwrap()).collect()
}

pub fn global(guard: &str) -> Scope {
    Scope::global(GuardName::new(guard).unwrap())
}

pub fn role(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

/// A house with roles, and `root`, who holds everything: `admin:1`.
pub async fn staffed() -> House {
    staffed_in(House::new().await).await
}

/// The same in a house that is there.
pub async fn staffed_in(house: House) -> House {
    let roles: [(&str, &str, &[&str]); 5] = [
        ("admin", "super-admin", &["*"]),
        ("admin", "support", &["orders.view"]),
        ("admin", "auditor", &[]),
        ("customer", "buyer", &["orders.view", "orders.place"]),
        ("customer", "reader", &["orders.view"]),
    ];
    for (guard, name, permits) in roles {
        let rights = house.bekci.store().rights();
        rights
            .put_role(&global(guard), &role(name), &permissions(permits))
            .await
            .unwrap();
    }
    let root = house.admin(1, "root").await;
    let rights = house.bekci.store().rights();
    rights
        .assign_role(&root, &global("admin"), &[role("super-admin")])
        .await
        .unwrap();
    house
}

/// An admin who holds just these permissions.
pub async fn clerk(house: &House, id: i64, name: &str, granted: &[&str]) -> PrincipalKey {
    let key = house.admin(id, name).await;
    give(house, &key, granted).await;
    key
}

pub async fn give(house: &House, key: &PrincipalKey, granted: &[&str]) {
    let rights = house.bekci.store().rights();
    rights.give(key, &global("admin"), &permissions(granted)).await.unwrap();
}

pub async fn login<S, B>(app: &S, guard: &str, name: &str) -> String
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
    let request = TestRequest::post().uri(&format!("/auth/{guard}/login")).set_json(body);
    let answer = send(app, request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["data"]["accessToken"].as_str().unwrap().to_owned()
}

/// A call under `/admin/v1`, or of another path that begins with two slashes.
pub async fn ask<S, B>(app: &S, token: &str, call: &str, body: Option<Value>) -> Answer
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let (method, path) = call.split_once(' ').unwrap();
    let path = match path.strip_prefix("//") {
        Some(other) => format!("/{other}"),
        None => format!("/admin/v1{path}"),
    };
    let request = TestRequest::default()
        .method(method.parse::<Method>().unwrap())
        .uri(&path);
    let request = bearer(request, token);
    send(
        app,
        match body {
            Some(body) => request.set_json(body),
            None => request,
        },
    )
    .await
}

/// Each call, a body that its grammar takes, and the permission that it asks.
pub fn calls() -> Vec<(&'static str, Option<Value>, &'static str)> {
    let sid = "0123456789abcdef0123456789abcdef";
    let lines = json!({"lines": ["p, role:admin:support, *, /x, GET, allow"]});
    let block = json!({"principal": "admin:99", "jti": sid, "reason": "lost"});
    vec![
        ("GET /principals/admin", None, "bekci.principals.read"),
        ("GET /principals/admin/99", None, "bekci.principals.read"),
        (
            "POST /principals/admin",
            Some(json!({"email": "new@example.com"})),
            "bekci.principals.write",
        ),
        (
            "PATCH /principals/admin/99",
            Some(json!({"name": "x"})),
            "bekci.principals.write",
        ),
        ("DELETE /principals/admin/99", None, "bekci.principals.delete"),
        (
            "PUT /principals/admin/99/status",
            Some(json!({"status": "banned"})),
            "bekci.principals.status",
        ),
        (
            "PUT /principals/admin/99/roles",
            Some(json!({"roles": []})),
            "bekci.rights.write",
        ),
        (
            "PUT /principals/admin/99/permissions",
            Some(json!({"granted": [], "denied": []})),
            "bekci.rights.write",
        ),
        ("GET /principals/admin/99/sessions", None, "bekci.sessions.read"),
        ("DELETE /principals/admin/99/sessions", None, "bekci.sessions.end"),
        (
            "DELETE /principals/admin/99/sessions/0123456789abcdef0123456789abcdef",
            None,
            "bekci.sessions.end",
        ),
        ("GET /roles", None, "bekci.rights.read"),
        ("GET /roles/99", None, "bekci.rights.read"),
        (
            "POST /roles",
            Some(json!({"guard": "admin", "name": "fresh"})),
            "bekci.rights.write",
        ),
        ("PATCH /roles/99", Some(json!({"name": "other"})), "bekci.rights.write"),
        ("DELETE /roles/99", None, "bekci.rights.write"),
        (
            "PUT /roles/99/permissions",
            Some(json!({"permissions": []})),
            "bekci.rights.write",
        ),
        ("GET /permissions", None, "bekci.rights.read"),
        (
            "POST /permissions",
            Some(json!({"guard": "admin", "name": "a.b"})),
            "bekci.rights.write",
        ),
        ("DELETE /permissions/99", None, "bekci.rights.write"),
        ("POST /blocks", Some(block.clone()), "bekci.blocks.write"),
        ("DELETE /blocks", Some(block), "bekci.blocks.write"),
        ("GET /stats", None, "bekci.stats.read"),
        ("GET /invites", None, "bekci.invites.read"),
        (
            "POST /invites",
            Some(json!({"guard": "admin", "email": "a@b.test", "role": "support"})),
            "bekci.invites.write",
        ),
        (
            "DELETE /invites/00000000000000000000000000000000",
            None,
            "bekci.invites.write",
        ),
        ("GET /policies", None, "bekci.policies.read"),
        (
            "POST /policies/check",
            Some(json!({"principal": "admin:99", "roles": ["support"], "path": "/x", "method": "GET"})),
            "bekci.policies.read",
        ),
        ("POST /policies", Some(lines.clone()), "bekci.policies.manage"),
        ("DELETE /policies", Some(lines), "bekci.policies.manage"),
    ]
}

#[actix_web::test]
async fn without_a_token_of_the_guard_every_call_is_401() {
    let house = staffed().await;
    house.customer("carl").await;
    let app = office!(house.bekci);
    let customer = login(&app, "customer", "carl").await;
    for (call, body, _) in calls() {
        let (method, path) = call.split_once(' ').unwrap();
        let bare = TestRequest::default()
            .method(method.parse().unwrap())
            .uri(&format!("/admin/v1{path}"));
        let answer = send(&app, bare).await;
        assert_eq!(answer.refusal(), (401, "TOKEN_MISSING"), "{call}");
        let answer = ask(&app, &customer, call, body).await;
        assert_eq!(answer.refusal(), (401, "GUARD_MISMATCH"), "{call}");
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn each_call_asks_its_permission_names_it_and_needs_no_other() {
    let house = staffed().await;
    clerk(&house, 2, "nobody", &[]).await;
    let app = office!(house.bekci);
    let nobody = login(&app, "admin", "nobody").await;
    // Far apart: one of the calls adds an account, which gets the next number.
    let mut id = 1_000;
    for (call, body, permission) in calls() {
        let answer = ask(&app, &nobody, call, body.clone()).await;
        assert_eq!(answer.refusal(), (403, "FORBIDDEN"), "{call}");
        assert_eq!(
            answer.body["error"]["details"]["missing"],
            format!("permission {permission}"),
            "{call}"
        );
        let name = format!("clerk{id}");
        // The name of a new role is a right of its own.
        let naming = (call == "POST /roles").then_some("bekci.roles.give.admin.fresh");
        let held: Vec<&str> = std::iter::once(permission).chain(naming).collect();
        clerk(&house, id, &name, &held).await;
        id += 10;
        let token = login(&app, "admin", &name).await;
        let answer = ask(&app, &token, call, body).await;
        assert!(
            ![401, 403, 405, 500, 503].contains(&answer.status),
            "{call}: {answer:?}"
        );
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn what_is_not_there_is_404_and_another_method_is_405() {
    let house = staffed().await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    for path in ["/audit", "/online", "/", "/principals"] {
        let answer = ask(&app, &root, &format!("GET {path}"), None).await;
        assert_eq!(answer.refusal(), (404, "NOT_FOUND"), "{path}");
    }
    let refused = ask(&app, &root, "PUT /roles", None).await;
    assert_eq!(refused.refusal(), (405, "METHOD_NOT_ALLOWED"));
    assert_eq!(refused.header("allow"), Some("GET, HEAD, POST"));
    for id in ["99", "01", "+1", "1%20", "x", "9223372036854775808"] {
        let answer = ask(&app, &root, &format!("GET /principals/admin/{id}"), None).await;
        assert_eq!(answer.refusal(), (404, "NOT_FOUND"), "{id}");
        let answer = ask(&app, &root, &format!("GET /roles/{id}"), None).await;
        assert_eq!(answer.refusal(), (404, "NOT_FOUND"), "{id}");
    }
    for path in ["/principals/pilot", "/principals/Admin", "/principals/pilot/1"] {
        let answer = ask(&app, &root, &format!("GET {path}"), None).await;
        assert_eq!(answer.refusal(), (404, "NOT_FOUND"), "{path}");
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_body_is_json_without_fields_that_nobody_asked_for() {
    let house = staffed().await;
    house.admin(99, "ida").await;
    let app = office!(house.bekci);
    let root = login(&app, "admin", "root").await;
    let existing = |call: &'static str| match call {
        "PATCH /roles/99" => "PATCH /roles/1",
        "PUT /roles/99/permissions" => "PUT /roles/1/permissions",
        call => call,
    };
    for (call, body, _) in calls().into_iter().filter(|(_, body, _)| body.is_some()) {
        let (method, path) = existing(call).split_once(' ').unwrap();
        let uri = format!("/admin/v1{path}");
        let request = || bearer(TestRequest::default().method(method.parse().unwrap()).uri(&uri), &root);
        let mut body = body.unwrap();
        let answer = send(&app, request().set_payload(body.to_string())).await;
        assert_eq!(answer.refusal(), (415, "UNSUPPORTED_MEDIA_TYPE"), "{call}");
        let plain = request()
            .insert_header(("content-type", "text/plain"))
            .set_payload(body.to_string());
        assert_eq!(
            send(&app, plain).await.refusal(),
            (415, "UNSUPPORTED_MEDIA_TYPE"),
            "{call}"
        );
        body["isAdmin"] = json!(true);
        let answer = send(&app, request().set_json(&body)).await;
        assert_eq!(answer.refusal(), (400, "MALFORMED_REQUEST"), "{call}: {answer:?}");
        assert_eq!(answer.body["error"]["details"]["unexpected"], "isAdmin", "{call}");
        let json = ("content-type", "application/json");
        let answer = send(&app, request().insert_header(json).set_payload("{")).await;
        assert_eq!(answer.refusal(), (400, "MALFORMED_REQUEST"), "{call}");
    }
    let twice = r#"{"name": "a", "name": "b"}"#;
    let request = bearer(TestRequest::patch().uri("/admin/v1/principals/admin/99"), &root);
    let answer = send(
        &app,
        request
            .insert_header(("content-type", "application/json"))
            .set_payload(twice),
    )
    .await;
    assert_eq!(answer.refusal(), (400, "MALFORMED_REQUEST"));
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_cookie_changes_nothing_without_proof_of_origin() {
    let house = staffed().await;
    let app = office!(house.bekci);
    let body = json!({"email": "root@example.com", "password": PASSWORD, "transport": "cookie"});
    let answer = send(&app, TestRequest::post().uri("/auth/admin/login").set_json(body)).await;
    let set = answer
        .cookies()
        .into_iter()
        .find(|set| set.starts_with("bekci_admin_at="))
        .unwrap();
    let cookie = set.split(';').next().unwrap().to_owned();
    let with_cookie = |method: Method, uri: &str| {
        TestRequest::default()
            .method(method)
            .uri(uri)
            .insert_header(("Cookie", cookie.as_str()))
    };
    let make = || with_cookie(Method::POST, "/admin/v1/permissions").set_json(json!({"guard": "admin", "name": "a.b"}));
    assert_eq!(send(&app, make()).await.refusal(), (403, "CSRF_REJECTED"));
    let foreign = make().insert_header(("Sec-Fetch-Site", "cross-site"));
    assert_eq!(send(&app, foreign).await.refusal(), (403, "CSRF_REJECTED"));
    let listed = send(&app, with_cookie(Method::GET, "/admin/v1/permissions")).await;
    assert!(!listed.body.to_string().contains("a.b"), "{listed:?}");
    let own = make().insert_header(("Sec-Fetch-Site", "same-origin"));
    assert_eq!(send(&app, own).await.status, 200);
    house.bekci.close().await;
}

#[actix_web::test]
async fn where_there_is_no_such_guard_nothing_is_mounted() {
    let house = House::new().await;
    let bekci = &house.bekci;
    let app = actix_web::App::new()
        .wrap(bekci.middleware())
        .configure(bekci.mount_admin("/admin/v1", "staff"));
    let app = actix_web::test::init_service(app).await;
    let answer = send(&app, TestRequest::get().uri("/admin/v1/roles")).await;
    assert_eq!(answer.refusal(), (404, "NOT_FOUND"));
    house.bekci.close().await;
}
