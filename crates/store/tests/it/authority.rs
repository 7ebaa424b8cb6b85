//! Changes on behalf of a caller: what was compared is what is written, whatever else is changed at the same time.

use std::sync::Arc;

use bekci_core::{Permission, PrincipalKey, RoleName, TenantName, signin::StoreError};
use bekci_store::{BanOrder, Caller, DirectoryError, NewRole, RoleEntry, Scope as Place, Store};
use sea_orm::ConnectionTrait;
use tokio::task::JoinSet;

use crate::scene::{Scene, key, on_every_store};

/// How many calls race in a round.
const CALLS: usize = 64;
const ROUNDS: usize = 3;

fn name(text: &str) -> RoleName {
    RoleName::new(text).unwrap()
}

fn permissions(texts: &[&str]) -> Vec<Permission> {
    texts.iter().map(|text| Permission::new(text).unwrap()).collect()
}

fn place(scene: &Scene, tenant: Option<&str>) -> Place {
    Place {
        guard: scene.customer.name.clone(),
        tenant: tenant.map(|tenant| TenantName::new(tenant).unwrap()),
    }
}

/// `customer:1` calls: it may give the name `manager`, and not what the global role of the name permits, which `customer:2` holds in acme.
async fn managed(scene: &Scene) -> (Store, Store) {
    let store = scene.node().await;
    let rights = store.rights();
    let (global, acme) = (place(scene, None), place(scene, Some("acme")));
    rights
        .put_role(&global, &name("manager"), &permissions(&["refunds.make"]))
        .await
        .unwrap();
    let held = permissions(&["bekci.rights.write", "bekci.roles.give.customer.*"]);
    rights.give(&key("customer:1"), &global, &held).await.unwrap();
    rights
        .assign_role(&key("customer:2"), &acme, &[name("manager")])
        .await
        .unwrap();
    let caller = store.on_behalf_of(Caller {
        key: key("customer:1"),
        guard: scene.customer.name.clone(),
        right: Permission::new("bekci.rights.write").unwrap(),
    });
    (store, caller)
}

async fn roles_in(store: &Store, of: &PrincipalKey, scope: &Place) -> Vec<String> {
    let found = store.directory().find(of).await.unwrap().unwrap();
    let held = found
        .rights
        .iter()
        .find(|held| held.guard == scope.guard && held.tenant == scope.tenant);
    held.map(|held| held.roles.iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}

async fn own_role(store: &Store, scope: &Place, named: &str) -> Option<RoleEntry> {
    let roles = store.rights().roles(&scope.guard).await.unwrap();
    roles
        .into_iter()
        .find(|role| role.scope == *scope && role.name == name(named))
}

fn is_missing<T: std::fmt::Debug>(result: &Result<T, StoreError>, right: &str) -> bool {
    matches!(result, Err(StoreError::MissingRight(missing)) if **missing == *right)
}

async fn no_call_takes_or_gives_a_global_role_by_a_shadow_of_it(scene: Scene) {
    let (store, caller) = managed(&scene).await;
    let acme = place(&scene, Some("acme"));
    let shadow = NewRole {
        scope: acme.clone(),
        name: name("manager"),
        permissions: Vec::new(),
    };
    let added = caller.directory().add_role(&shadow).await;
    assert!(
        matches!(added, Err(DirectoryError::Store(StoreError::Refused(_)))),
        "{added:?}"
    );
    let put = caller.rights().put_role(&acme, &name("manager"), &[]).await;
    assert!(matches!(put, Err(StoreError::Refused(_))), "{put:?}");
    assert_eq!(roles_in(&store, &key("customer:2"), &acme).await, ["manager"]);
    // One that the application made is deleted only by a caller that could give the global one.
    store.rights().put_role(&acme, &name("manager"), &[]).await.unwrap();
    let deleted = caller.rights().delete_role(&acme, &name("manager")).await;
    assert!(matches!(deleted, Err(StoreError::Refused(_))), "{deleted:?}");
    let id = own_role(&store, &acme, "manager").await.unwrap().id;
    let renamed = caller.directory().rename_role(id, &name("x")).await;
    assert!(
        matches!(renamed, Err(DirectoryError::Store(StoreError::Refused(_)))),
        "{renamed:?}"
    );
    assert_eq!(roles_in(&store, &key("customer:2"), &acme).await, ["manager"]);
    store.close().await;
}

async fn racing_calls_give_nobody_what_the_caller_may_not_give(scene: Scene) {
    let (store, caller) = managed(&scene).await;
    let (acme, accomplice) = (place(&scene, Some("acme")), key("customer:3"));
    for _ in 0..ROUNDS {
        store.rights().put_role(&acme, &name("manager"), &[]).await.unwrap();
        let mut racing = JoinSet::new();
        for call in 0..CALLS {
            let (store, caller, acme, accomplice) = (store.clone(), caller.clone(), acme.clone(), accomplice.clone());
            racing.spawn(async move {
                let shadow = name("manager");
                match call % 3 {
                    0 => drop(caller.rights().sync_roles(&accomplice, &acme, &[shadow]).await),
                    1 => drop(store.rights().delete_role(&acme, &shadow).await),
                    _ => drop(caller.rights().assign_role(&accomplice, &acme, &[shadow]).await),
                }
            });
        }
        racing.join_all().await;
        let held = roles_in(&store, &accomplice, &acme).await;
        let own = own_role(&store, &acme, "manager").await;
        assert!(held.is_empty() || own.is_some(), "{held:?} is the global role by now");
        store.rights().delete_role(&acme, &name("manager")).await.unwrap();
        assert_eq!(roles_in(&store, &accomplice, &acme).await, [""; 0]);
    }
    store.close().await;
}

async fn a_target_that_rises_meanwhile_is_out_of_reach_or_was_changed_before(scene: Scene) {
    let (store, caller) = managed(&scene).await;
    let (global, target) = (place(&scene, None), key("customer:3"));
    store.rights().put_role(&global, &name("plain"), &[]).await.unwrap();
    for _ in 0..ROUNDS {
        store.rights().sync_roles(&target, &global, &[]).await.unwrap();
        store
            .rights()
            .sync_permissions(&target, &global, &[], &[])
            .await
            .unwrap();
        let mut racing = JoinSet::new();
        for call in 0..CALLS {
            let (store, caller, global, target) = (store.clone(), caller.clone(), global.clone(), target.clone());
            racing.spawn(async move {
                match call {
                    // It rises once, and nobody below may take that away again.
                    31 => drop(
                        store
                            .rights()
                            .assign_role(&target, &global, &[name("manager")])
                            .await
                            .unwrap(),
                    ),
                    call if call % 2 == 0 => drop(caller.rights().sync_roles(&target, &global, &[name("plain")]).await),
                    _ => drop(
                        caller
                            .rights()
                            .deny(&target, &global, &permissions(&["refunds.make"]))
                            .await,
                    ),
                }
            });
        }
        racing.join_all().await;
        let held = roles_in(&store, &target, &global).await;
        assert!(held.contains(&"manager".to_owned()), "{held:?}");
        let sync = caller.rights().sync_roles(&target, &global, &[]).await;
        assert!(is_missing(&sync, "permission refunds.make"), "{sync:?}");
    }
    store.close().await;
}

async fn what_a_role_permits_does_not_grow_between_its_comparison_and_its_gift(scene: Scene) {
    let (store, caller) = managed(&scene).await;
    let (global, target) = (place(&scene, None), key("customer:3"));
    let growing = Arc::new(permissions(&["refunds.make"]));
    for _ in 0..ROUNDS {
        store.rights().put_role(&global, &name("helper"), &[]).await.unwrap();
        let mut racing = JoinSet::new();
        for call in 0..CALLS {
            let (store, caller, global) = (store.clone(), caller.clone(), global.clone());
            let (target, growing) = (target.clone(), Arc::clone(&growing));
            racing.spawn(async move {
                let helper = name("helper");
                if call == CALLS / 2 {
                    let grown = store.rights().put_role(&global, &helper, &growing).await;
                    return grown.map(|grown| grown.position);
                }
                let given = caller.rights().assign_role(&target, &global, &[helper]).await;
                // A call that changed nothing has no position.
                given.map(|given| given.position)
            });
        }
        let positions = racing.join_all().await;
        let grown = store.rights().roles(&global.guard).await.unwrap();
        assert!(
            grown
                .iter()
                .any(|role| role.name == name("helper") && role.permissions == *growing)
        );
        // It was given before the role grew, or not at all: afterwards the caller may not.
        let refused = positions
            .iter()
            .filter(|position| is_missing(position, "permission refunds.make"))
            .count();
        let again = caller.rights().assign_role(&target, &global, &[name("helper")]).await;
        assert!(
            is_missing(&again, "permission refunds.make"),
            "{again:?}, {refused} were refused"
        );
        store.rights().delete_role(&global, &name("helper")).await.unwrap();
    }
    store.close().await;
}

async fn a_caller_whose_right_is_gone_changes_nothing(scene: Scene) {
    let (store, caller) = managed(&scene).await;
    let (global, target) = (place(&scene, None), key("customer:3"));
    let order = BanOrder {
        status: "banned".to_owned(),
        ..BanOrder::default()
    };
    let superior = caller.ban(&key("customer:2"), &order).await;
    assert!(is_missing(&superior, "permission refunds.make"), "{superior:?}");
    store
        .rights()
        .revoke(&key("customer:1"), &global, &permissions(&["bekci.rights.write"]))
        .await
        .unwrap();
    let right = "permission bekci.rights.write";
    let denied = caller.rights().deny(&target, &global, &permissions(&["a.b"])).await;
    assert!(is_missing(&denied, right), "{denied:?}");
    let banned = caller.ban(&target, &order).await;
    assert!(is_missing(&banned, right), "{banned:?}");
    let removed = caller.directory().remove(&target).await;
    assert!(
        matches!(&removed, Err(DirectoryError::Store(StoreError::MissingRight(missing))) if **missing == *right),
        "{removed:?}"
    );
    assert!(store.directory().find(&target).await.unwrap().is_some());
    store.close().await;
}

/// A writer outside Bekci takes no lock of Bekci's: the rows themselves make it wait.
async fn a_role_deleted_by_raw_sql_leaves_no_membership_behind(scene: Scene) {
    let store = scene.node().await;
    let (pool, acme, target) = (scene.pool().await, place(&scene, Some("acme")), key("customer:3"));
    for _ in 0..ROUNDS {
        store.rights().put_role(&acme, &name("passing"), &[]).await.unwrap();
        let mut racing = JoinSet::new();
        for call in 0..CALLS {
            let (store, pool, acme, target) = (store.clone(), pool.clone(), acme.clone(), target.clone());
            racing.spawn(async move {
                if call == CALLS / 2 {
                    let sql = "DELETE FROM bekci_roles WHERE name = 'passing'";
                    pool.execute_unprepared(sql).await.unwrap();
                } else {
                    drop(store.rights().assign_role(&target, &acme, &[name("passing")]).await);
                }
            });
        }
        racing.join_all().await;
        assert_eq!(roles_in(&store, &target, &acme).await, [""; 0]);
    }
    store.close().await;
}

on_every_store!(
    no_call_takes_or_gives_a_global_role_by_a_shadow_of_it,
    racing_calls_give_nobody_what_the_caller_may_not_give,
    a_target_that_rises_meanwhile_is_out_of_reach_or_was_changed_before,
    what_a_role_permits_does_not_grow_between_its_comparison_and_its_gift,
    a_caller_whose_right_is_gone_changes_nothing,
    a_role_deleted_by_raw_sql_leaves_no_membership_behind,
);
