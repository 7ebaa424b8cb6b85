//! The management API against roles of a tenant that have the name of a global role: nobody takes or gives the global one by way of them.

use bekci::{
    Scope,
    core::{GuardName, PrincipalKey, TenantName},
};
use serde_json::json;

use crate::{
    admin::{ask, clerk, global, login, office, permissions, role, staffed},
    admin_rights::number,
    house::House,
};

fn acme(guard: &str) -> Scope {
    Scope {
        guard: GuardName::new(guard).unwrap(),
        tenant: Some(TenantName::new("acme").unwrap()),
    }
}

/// A house with a global role `manager`, which `admin:5` holds in acme, and a clerk who may give its name and not what it permits.
async fn managed(giving: &[&str]) -> (House, PrincipalKey) {
    let house = staffed().await;
    let rights = house.bekci.store().rights();
    rights
        .put_role(&global("admin"), &role("manager"), &permissions(&["refunds.make"]))
        .await
        .unwrap();
    let manager = house.admin(5, "ida").await;
    rights
        .assign_role(&manager, &acme("admin"), &[role("manager")])
        .await
        .unwrap();
    house.admin(7, "accomplice").await;
    let held: Vec<&str> = ["bekci.rights.write"]
        .into_iter()
        .chain(giving.iter().copied())
        .collect();
    clerk(&house, 6, "clerk", &held).await;
    (house, manager)
}

async fn holds(house: &House, key: &PrincipalKey, name: &str) -> bool {
    let found = house.bekci.store().directory().find(key).await.unwrap().unwrap();
    found.rights.iter().any(|scope| scope.roles.contains(&role(name)))
}

#[actix_web::test]
async fn a_role_of_a_tenant_that_would_shadow_a_global_one_is_refused() {
    for giving in [&[][..], &["bekci.roles.give.admin.*"][..]] {
        let (house, manager) = managed(giving).await;
        let app = office!(house.bekci);
        let token = login(&app, "admin", "clerk").await;
        for name in ["manager", "super-admin"] {
            let body = json!({"guard": "admin", "tenant": "acme", "name": name, "permissions": []});
            let answer = ask(&app, &token, "POST /roles", Some(body)).await;
            assert_eq!(answer.refusal(), (409, "CONFLICT"), "{name} {giving:?}: {answer:?}");
        }
        assert!(holds(&house, &manager, "manager").await);
        house.bekci.close().await;
    }
}

#[actix_web::test]
async fn a_role_is_not_renamed_to_or_away_from_the_name_of_a_global_one() {
    let (house, manager) = managed(&["bekci.roles.give.admin.*"]).await;
    let rights = house.bekci.store().rights();
    rights.put_role(&acme("admin"), &role("lead"), &[]).await.unwrap();
    rights.put_role(&acme("admin"), &role("auditor"), &[]).await.unwrap();
    rights
        .put_role(&global("admin"), &role("auditor"), &permissions(&["books.read"]))
        .await
        .unwrap();
    let app = office!(house.bekci);
    let token = login(&app, "admin", "clerk").await;
    let roles = rights.roles(&GuardName::new("admin").unwrap()).await.unwrap();
    let own = |name: &str| {
        let found = roles
            .iter()
            .find(|entry| entry.scope.tenant.is_some() && entry.name == role(name));
        found.unwrap().id
    };
    for (id, name) in [
        (own("lead"), "manager"),
        (own("lead"), "super-admin"),
        (own("auditor"), "x"),
    ] {
        let call = format!("PATCH /roles/{id}");
        let answer = ask(&app, &token, &call, Some(json!({"name": name}))).await;
        assert_eq!(answer.refusal(), (409, "CONFLICT"), "{name}: {answer:?}");
    }
    let answer = ask(&app, &token, &format!("DELETE /roles/{}", own("auditor")), None).await;
    assert_eq!(answer.refusal(), (409, "CONFLICT"), "{answer:?}");
    assert!(holds(&house, &manager, "manager").await);
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_role_is_added_and_deleted_only_by_who_may_give_its_name_and_reaches_its_holders() {
    let (house, manager) = managed(&["bekci.roles.give.admin.helper", "bekci.roles.give.admin.fresh"]).await;
    let rights = house.bekci.store().rights();
    // Held by somebody who outranks the clerk.
    rights.put_role(&global("admin"), &role("helper"), &[]).await.unwrap();
    rights.put_role(&global("admin"), &role("spare"), &[]).await.unwrap();
    rights
        .assign_role(&manager, &global("admin"), &[role("helper")])
        .await
        .unwrap();
    let app = office!(house.bekci);
    let token = login(&app, "admin", "clerk").await;
    let helper = number(&house, "admin", "helper").await;
    let spare = number(&house, "admin", "spare").await;
    for (call, body, missing) in [
        (
            "POST /roles".to_owned(),
            Some(json!({"guard": "admin", "name": "other"})),
            "role other or permission bekci.roles.give.admin.other",
        ),
        (
            format!("DELETE /roles/{spare}"),
            None,
            "role spare or permission bekci.roles.give.admin.spare",
        ),
        (format!("DELETE /roles/{helper}"), None, "permission refunds.make"),
        (
            format!("PUT /roles/{helper}/permissions"),
            Some(json!({"permissions": ["bekci.rights.write"]})),
            "permission refunds.make",
        ),
    ] {
        let answer = ask(&app, &token, &call, body.clone()).await;
        assert_eq!(answer.refusal(), (403, "FORBIDDEN"), "{call} {body:?}: {answer:?}");
        assert_eq!(answer.body["error"]["details"]["missing"], missing, "{call} {body:?}");
    }
    assert!(holds(&house, &manager, "helper").await);
    let added = ask(
        &app,
        &token,
        "POST /roles",
        Some(json!({"guard": "admin", "name": "fresh"})),
    )
    .await;
    assert_eq!(added.status, 200, "{added:?}");
    let id = added.body["data"]["id"].as_i64().unwrap();
    let removed = ask(&app, &token, &format!("DELETE /roles/{id}"), None).await;
    assert_eq!(removed.status, 200, "{removed:?}");
    house.bekci.close().await;
}

#[actix_web::test]
async fn a_permission_is_not_forgotten_by_who_does_not_reach_its_holders() {
    let (house, manager) = managed(&["stock.count"]).await;
    let rights = house.bekci.store().rights();
    rights
        .give(&manager, &global("admin"), &permissions(&["stock.count"]))
        .await
        .unwrap();
    let app = office!(house.bekci);
    let token = login(&app, "admin", "clerk").await;
    let guard = GuardName::new("admin").unwrap();
    let name = permissions(&["stock.count"]).remove(0);
    let (id, _) = house
        .bekci
        .store()
        .directory()
        .add_permission(&guard, &name)
        .await
        .unwrap();
    let answer = ask(&app, &token, &format!("DELETE /permissions/{id}"), None).await;
    assert_eq!(answer.refusal(), (403, "FORBIDDEN"), "{answer:?}");
    house.bekci.close().await;
}
