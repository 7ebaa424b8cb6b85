//! Which sessions a sign-in ends, and who may not open one.

use std::sync::Arc;

use bekci_core::{
    TenantName,
    signin::{NewSession, Opened, SignInTenant},
};
use sea_orm::ConnectionTrait as _;
use time::Duration;

use super::{live, open, outcome, presented, ruled};
use crate::scene::{ADMIN, Scene, key, new_session, on_every_store, sign_in};

on_every_store! {
    of_20_sign_ins_at_once_a_unique_guard_keeps_one_session,
    a_unique_guard_ends_the_other_device_and_its_refresh_token,
    over_the_limit_the_oldest_end,
    a_sign_in_ends_the_session_that_it_replaces_and_nobody_elses,
    nobody_opens_a_session_of_an_account_that_is_banned_or_gone,
    a_session_is_for_a_tenant_that_its_account_belongs_to,
}

async fn of_20_sign_ins_at_once_a_unique_guard_keeps_one_session(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let unique = ruled(&scene, |rules| rules.unique = true);
    let start = Arc::new(tokio::sync::Barrier::new(20));
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = if n % 2 == 0 { here.clone() } else { there.clone() };
            let (session, start) = (new_session(&unique, &who), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                (session.id, open(&store, &session).await)
            })
        })
        .collect();
    let (mut opened, mut ended) = (Vec::new(), Vec::new());
    for task in tasks {
        let (id, others) = task.await.unwrap();
        opened.push(id);
        ended.extend(others);
    }
    for node in [&here, &there] {
        let survivors = live(&scene, node, &who).await;
        assert_eq!(survivors.len(), 1);
        assert!(opened.contains(&survivors[0]) && !ended.contains(&survivors[0]));
    }
    ended.sort_by_key(|id| id.0);
    ended.dedup();
    assert_eq!(ended.len(), 19, "each was told of once");
}

async fn a_unique_guard_ends_the_other_device_and_its_refresh_token(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let unique = ruled(&scene, |rules| rules.unique = true);
    let (first, second) = (
        new_session(&unique, &key("customer:1")),
        new_session(&unique, &key("customer:1")),
    );
    open(&here, &first).await;
    assert_eq!(open(&there, &second).await, [first.id]);
    let refresh = async |id| outcome(&here, &presented(&unique, id, 0, Duration::ZERO)).await;
    assert_eq!(refresh(first.id).await, bekci_core::RefreshOutcome::Invalid);
    assert_eq!(
        refresh(second.id).await,
        bekci_core::RefreshOutcome::Rotated { next: 1 }
    );
}

async fn over_the_limit_the_oldest_end(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    let few = ruled(&scene, |rules| rules.max_sessions = 3);
    let mut opened = Vec::new();
    for n in 0..7 {
        let session = NewSession {
            now: super::now() + Duration::seconds(n),
            ..new_session(&few, &who)
        };
        let ended = open(&here, &session).await;
        opened.push(session.id);
        let oldest: Vec<_> = opened.iter().rev().skip(3).take(1).copied().collect();
        assert_eq!(ended, oldest);
    }
    let mut kept = opened.split_off(4);
    kept.sort_by_key(|id| id.0);
    assert_eq!(live(&scene, &here, &who).await, kept);
    // A stricter limit than before ends all that are over it.
    let one = ruled(&scene, |rules| rules.max_sessions = 1);
    let last = new_session(&one, &who);
    assert_eq!(open(&here, &last).await.len(), 3);
    assert_eq!(live(&scene, &here, &who).await, [last.id]);
}

async fn a_sign_in_ends_the_session_that_it_replaces_and_nobody_elses(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let (who, other, admin) = (key("customer:1"), key("customer:2"), key(ADMIN));
    let own = sign_in(&here, &scene.customer, &who).await;
    let theirs = sign_in(&here, &scene.customer, &other).await;
    let admins = sign_in(&here, &scene.admin, &admin).await;
    let replacing = async |id| {
        let session = NewSession {
            replaces: Some(id),
            ..new_session(&scene.customer, &who)
        };
        open(&there, &session).await
    };
    for foreign in [theirs, admins, bekci_core::TokenId([9; 16])] {
        assert_eq!(replacing(foreign).await, []);
    }
    assert_eq!(live(&scene, &here, &other).await, [theirs]);
    assert_eq!(live(&scene, &here, &admin).await, [admins]);
    assert_eq!(replacing(own).await, [own]);
    assert!(!live(&scene, &here, &who).await.contains(&own));
    let refresh = presented(&scene.customer, own, 0, Duration::ZERO);
    assert_eq!(outcome(&here, &refresh).await, bekci_core::RefreshOutcome::Invalid);
    assert_eq!(replacing(own).await, [], "a second time there is nothing to end");
}

async fn nobody_opens_a_session_of_an_account_that_is_banned_or_gone(scene: Scene) {
    let here = scene.node().await;
    let attempt = async |text: &str, after| {
        let session = NewSession {
            now: super::now() + after,
            ..new_session(&scene.customer, &key(text))
        };
        here.sign_in_store().open_session(&session).await.unwrap()
    };
    for gone in ["customer:99", "customer:-1", "nobody:1"] {
        assert_eq!(attempt(gone, Duration::ZERO).await, Opened::Gone, "{gone}");
    }
    let until = super::now() + Duration::hours(1);
    let order = bekci_store::BanOrder {
        status: "banned".to_owned(),
        reason: Some("fraud".to_owned()),
        until: Some(until),
        by: None,
    };
    here.ban(&key("customer:1"), &order).await.unwrap();
    let Opened::Banned(Some(ban)) = attempt("customer:1", Duration::ZERO).await else {
        panic!("banned")
    };
    assert_eq!(ban.reason.as_deref(), Some("fraud"));
    assert!(live(&scene, &here, &key("customer:1")).await.is_empty());
    // The end of a ban lets in whoever signs in then.
    let open = attempt("customer:1", Duration::hours(1) + Duration::seconds(1)).await;
    assert!(matches!(open, Opened::Open { .. }), "{open:?}");
    for status in ["bannd", "Active", ""] {
        scene.outside(&format!("UPDATE customers SET status = '{status}' WHERE id = 2"));
        let refused = attempt("customer:2", Duration::ZERO).await;
        assert_eq!(refused, Opened::Inactive, "{status:?}");
    }
    scene.outside("UPDATE customers SET status = 'active' WHERE id = 2");
    let open = attempt("customer:2", Duration::ZERO).await;
    assert!(matches!(open, Opened::Open { .. }), "{open:?}");
}

async fn a_session_is_for_a_tenant_that_its_account_belongs_to(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    scene.outside("INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', 'acme', 'boss')");
    let named = |name: &str| SignInTenant::Named(TenantName::new(name).unwrap());
    let attempt = async |tenant: SignInTenant| {
        let session = NewSession {
            tenant,
            ..new_session(&scene.customer, &who)
        };
        here.sign_in_store().open_session(&session).await.unwrap()
    };
    let Opened::Open { tenant, .. } = attempt(named("acme")).await else {
        panic!("it holds a role there")
    };
    assert_eq!(tenant, TenantName::new("acme").ok());
    let opened = live(&scene, &here, &who).await;
    let stored = sign_in_tenants(&here, &who).await;
    assert_eq!(stored, ["acme"]);

    assert_eq!(
        attempt(named("other")).await,
        Opened::NotInTenant(TenantName::new("other").unwrap())
    );
    assert_eq!(
        live(&scene, &here, &who).await,
        opened,
        "nothing was opened and nothing ended"
    );
    // The model has no tenant column.
    let Opened::Open { tenant, .. } = attempt(SignInTenant::OfAccount).await else {
        panic!("it may sign in")
    };
    assert_eq!(tenant, None);
}

async fn sign_in_tenants(store: &bekci_store::Store, who: &bekci_core::PrincipalKey) -> Vec<String> {
    let sql = format!("SELECT tenant FROM bekci_sessions WHERE principal_id = '{}'", who.id());
    let statement = sea_orm::Statement::from_string(store.connection().get_database_backend(), sql);
    let rows = store.connection().query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get("", "tenant").unwrap()).collect()
}
