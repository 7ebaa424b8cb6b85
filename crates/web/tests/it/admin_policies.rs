//! The management API: policy lines, and changes that were answered 202.

use std::sync::Arc;

use actix_web::{App, web};
use bekci::{
    PolicyModel,
    core::{GuardChain, RouteRule},
};
use serde_json::{Value, json};

use crate::{
    admin::{ask, clerk, global, login, role, staffed_in},
    calls::Answer,
    house::House,
};

const MODEL: &str = include_str!("../../../../config/casbin_model.conf");
const BUYERS: &str = "p, role:customer:buyer, *, /shop/order, GET, allow";

/// A house with the shipped policy model and no line.
async fn judged() -> House {
    staffed_in(
        House::built("http://localhost", |builder| {
            builder.policy(Arc::new(PolicyModel::parse(MODEL).unwrap()))
        })
        .await,
    )
    .await
}

/// An application with the API, and a shop that asks the policy alone.
macro_rules! shop {
    ($house:expr) => {{
        let bekci = &$house.bekci;
        let chain = GuardChain::new([Arc::clone($house.guard("customer")), Arc::clone($house.guard("admin"))]);
        let mut rule = RouteRule::guarded("shop", chain);
        rule.policy = true;
        let app = App::new()
            .wrap(bekci.middleware())
            .configure(bekci.mount("/auth"))
            .configure(bekci.mount_admin("/admin/v1", "admin"))
            .service(
                web::scope("/shop")
                    .wrap(bekci.require_rule(rule))
                    .route("/order", web::get().to(async || "ordered")),
            );
        actix_web::test::init_service(app).await
    }};
}

fn lines(lines: &[&str]) -> Option<Value> {
    Some(json!({ "lines": lines }))
}

fn listed(answer: &Answer) -> Vec<&str> {
    let items = answer.body["data"]["items"].as_array().unwrap().iter();
    items.map(|item| item["line"].as_str().unwrap()).collect()
}

async fn buyer(house: &House) {
    let carl = house.customer("carl").await;
    let rights = house.bekci.store().rights();
    rights
        .assign_role(&carl, &global("customer"), &[role("buyer")])
        .await
        .unwrap();
}

#[actix_web::test]
async fn a_line_added_or_removed_decides_the_very_next_request() {
    let house = judged().await;
    buyer(&house).await;
    let app = shop!(house);
    let (root, carl) = (
        login(&app, "admin", "root").await,
        login(&app, "customer", "carl").await,
    );
    for round in 0..20 {
        let added = ask(&app, &root, "POST /policies", lines(&[BUYERS])).await;
        assert_eq!((added.status, &added.body["data"]["lines"][0]), (200, &json!(BUYERS)));
        assert_eq!(ask(&app, &carl, "GET //shop/order", None).await.status, 200, "{round}");
        let again = ask(&app, &root, "POST /policies", lines(&[BUYERS])).await;
        assert_eq!(again.status, 200, "one that is there already is no error");
        let removed = ask(&app, &root, "DELETE /policies", lines(&[BUYERS])).await;
        assert_eq!((removed.status, &removed.body["data"]["removed"]), (200, &json!(1)));
        let refused = ask(&app, &carl, "GET //shop/order", None).await;
        assert_eq!(refused.refusal(), (403, "POLICY_DENIED"), "{round}");
    }
    let gone = ask(&app, &root, "DELETE /policies", lines(&[BUYERS])).await;
    assert_eq!(gone.refusal(), (404, "NOT_FOUND"));
    house.bekci.close().await;
}

#[actix_web::test]
async fn lines_that_do_not_load_are_422_and_the_policy_before_goes_on_deciding() {
    let house = judged().await;
    buyer(&house).await;
    let app = shop!(house);
    let (root, carl) = (
        login(&app, "admin", "root").await,
        login(&app, "customer", "carl").await,
    );
    assert_eq!(ask(&app, &root, "POST /policies", lines(&[BUYERS])).await.status, 200);
    for bad in [
        &["p, role:customer:buyer, *, /shop/order, GET"][..],
        &["p, Role:customer:buyer, *, /shop/order, GET, allow"],
        &["p, role:customer:buyer, *, shop, GET, allow"],
        &["p, role:customer:buyer, *, /shop/order, GET, maybe"],
        &["q, a, b"],
        &["# nothing"],
        &[""],
        &["p, role:customer:buyer, *, /a, GET, allow\np, role:customer:buyer, *, /b, GET, allow"],
        // A good line beside a bad one is not taken either.
        &["p, role:customer:reader, *, /x, GET, allow", "p, a"],
        &[],
    ] {
        let refused = ask(&app, &root, "POST /policies", lines(bad)).await;
        assert_eq!(refused.refusal(), (422, "VALIDATION_FAILED"), "{bad:?}: {refused:?}");
        assert!(
            refused.body["error"]["details"]["fields"]["lines"].is_string(),
            "{bad:?}"
        );
        assert_eq!(ask(&app, &carl, "GET //shop/order", None).await.status, 200, "{bad:?}");
    }
    let listing = ask(&app, &root, "GET /policies", None).await;
    assert_eq!(listed(&listing), [BUYERS]);
    house.bekci.close().await;
}

#[actix_web::test]
async fn lines_are_paged_in_the_order_in_which_they_were_added() {
    let house = judged().await;
    let app = shop!(house);
    let root = login(&app, "admin", "root").await;
    let all: Vec<String> = (0..5)
        .map(|number| format!("p, role:customer:buyer, *, /shop/{number}, GET, allow"))
        .collect();
    for line in &all {
        assert_eq!(ask(&app, &root, "POST /policies", lines(&[line])).await.status, 200);
    }
    let (mut seen, mut call) = (Vec::new(), "GET /policies?limit=2".to_owned());
    loop {
        let page = ask(&app, &root, &call, None).await;
        assert_eq!(page.status, 200, "{page:?}");
        seen.extend(listed(&page).into_iter().map(str::to_owned));
        let Some(next) = page.body["data"]["next"].as_str() else {
            break;
        };
        call = format!("GET /policies?limit=2&after={next}");
    }
    assert_eq!(seen, all);
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_check_tells_the_line_that_decides() {
    let house = judged().await;
    buyer(&house).await;
    let carl = house.customer("cora").await;
    let app = shop!(house);
    let root = login(&app, "admin", "root").await;
    let denial = "p, role:customer:reader, *, /shop/**, POST, deny";
    assert_eq!(
        ask(&app, &root, "POST /policies", lines(&[BUYERS, denial]))
            .await
            .status,
        200
    );
    let question = |roles: Value, method: &str| {
        Some(json!({"principal": carl.as_str(), "roles": roles, "path": "/shop/order", "method": method}))
    };
    for (roles, method, allowed, line) in [
        (json!(["buyer"]), "GET", true, json!(BUYERS)),
        (json!(["reader"]), "POST", false, json!(denial)),
        (json!(["buyer"]), "DELETE", false, Value::Null),
        (json!([]), "GET", false, Value::Null),
    ] {
        let told = ask(&app, &root, "POST /policies/check", question(roles.clone(), method)).await;
        assert_eq!(told.status, 200, "{told:?}");
        let data = &told.body["data"];
        assert_eq!(
            (&data["allowed"], &data["line"]),
            (&json!(allowed), &line),
            "{roles} {method}"
        );
        assert_eq!(data["roles"], roles);
    }
    // By the roles that it holds, as of now.
    let own = Some(json!({"principal": carl.as_str(), "path": "/shop/order", "method": "GET"}));
    let before = ask(&app, &root, "POST /policies/check", own.clone()).await;
    assert_eq!(before.body["data"]["allowed"], false);
    let path = format!("PUT /principals/customer/{}/roles", carl.id());
    ask(&app, &root, &path, Some(json!({"roles": ["buyer"]}))).await;
    let after = ask(&app, &root, "POST /policies/check", own).await;
    assert_eq!(after.body["data"]["line"], BUYERS, "{after:?}");
    for (field, value) in [
        ("principal", json!("customer:no such id")),
        ("principal", json!("pilot:1")),
        ("principal", json!("customer:99999999-9999-4999-8999-999999999999")),
        ("guard", json!("admin")),
        ("path", json!("/shop/../order")),
        ("path", json!("shop")),
        ("method", json!("GE T")),
        ("method", json!("")),
        ("tenant", json!("Not A Tenant")),
    ] {
        let mut asked = json!({"principal": carl.as_str(), "path": "/shop/order", "method": "GET"});
        asked[field] = value.clone();
        let refused = ask(&app, &root, "POST /policies/check", Some(asked)).await;
        assert_eq!(
            refused.refusal(),
            (422, "VALIDATION_FAILED"),
            "{field} {value}: {refused:?}"
        );
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn who_reads_lines_changes_none_and_who_reads_no_accounts_is_not_told_their_roles() {
    let house = judged().await;
    clerk(&house, 2, "reader", &["bekci.policies.read"]).await;
    // Everything but the one permission.
    clerk(
        &house,
        3,
        "almost",
        &[
            "bekci.principals.*",
            "bekci.rights.*",
            "bekci.roles.*",
            "bekci.policies.read",
        ],
    )
    .await;
    let app = shop!(house);
    let myself = "p, role:admin:support, *, /shop/order, GET, allow";
    for name in ["reader", "almost"] {
        let token = login(&app, "admin", name).await;
        for call in ["POST /policies", "DELETE /policies"] {
            let refused = ask(&app, &token, call, lines(&[myself])).await;
            assert_eq!(refused.refusal(), (403, "FORBIDDEN"), "{name} {call}");
            assert_eq!(
                refused.body["error"]["details"]["missing"],
                "permission bekci.policies.manage"
            );
        }
    }
    let almost = login(&app, "admin", "almost").await;
    let give = Some(json!({"granted": ["bekci.policies.manage"], "denied": []}));
    let given = ask(&app, &almost, "PUT /principals/admin/2/permissions", give).await;
    assert_eq!(
        given.refusal(),
        (403, "FORBIDDEN"),
        "what it does not hold it does not give"
    );
    let reader = login(&app, "admin", "reader").await;
    let question = Some(json!({"principal": "admin:3", "path": "/x", "method": "GET"}));
    let refused = ask(&app, &reader, "POST /policies/check", question).await;
    assert_eq!(
        refused.body["error"]["details"]["missing"],
        "permission bekci.principals.read"
    );
    house.bekci.close().await;
}

#[actix_web::test]
async fn without_a_policy_model_lines_can_be_read_and_nothing_else() {
    let house = staffed_in(House::new().await).await;
    let app = shop!(house);
    let root = login(&app, "admin", "root").await;
    assert_eq!(ask(&app, &root, "GET /policies", None).await.status, 200);
    for call in ["POST /policies", "DELETE /policies"] {
        let refused = ask(&app, &root, call, lines(&[BUYERS])).await;
        assert_eq!(refused.refusal(), (409, "CONFLICT"), "{call}");
        assert_eq!(refused.body["error"]["details"]["reason"], "no policy model");
    }
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_position_that_was_given_holds_in_the_end_and_another_one_is_404() {
    let house = judged().await;
    clerk(&house, 2, "nobody", &[]).await;
    let app = shop!(house);
    let root = login(&app, "admin", "root").await;
    ask(&app, &root, "POST /policies", lines(&[BUYERS])).await;
    let nobody = login(&app, "admin", "nobody").await;
    for position in [0, 1] {
        let call = format!("GET /changes/{position}");
        let mut told = ask(&app, &nobody, &call, None).await;
        // This node acknowledges its own changes by its next look.
        for _ in 0..2_000 {
            if told.body["data"]["effective"] == "everywhere" {
                break;
            }
            actix_web::rt::time::sleep(std::time::Duration::from_millis(10)).await;
            told = ask(&app, &nobody, &call, None).await;
        }
        assert_eq!(
            told.body["data"],
            json!({"effective": "everywhere", "position": position}),
            "{told:?}"
        );
    }
    for other in ["1000000", "-1", "01", "x", "9223372036854775808"] {
        let told = ask(&app, &nobody, &format!("GET /changes/{other}"), None).await;
        assert_eq!(told.refusal(), (404, "NOT_FOUND"), "{other}");
    }
    house.bekci.close().await;
}
