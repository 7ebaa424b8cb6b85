//! Temporary identities: when they wait, when they become permanent, and what ends them.

use std::sync::Arc;

use bekci_core::{
    AuthGuard, PrincipalKey, RefreshOutcome, SessionId, TenantName, TokenId,
    signin::{Confirmation, EndSessions, NewSession, Opened, OpenedTemporary, SignInTenant, Temporary},
};
use bekci_store::{BanOrder, Store};
use sea_orm::{ConnectionTrait as _, Statement};
use time::Duration;

use super::{live, open, outcome, presented, ruled};
use crate::scene::{Scene, key, new_session, on_every_store, sign_in};

on_every_store! {
    a_temporary_identity_waits_on_every_node_and_is_no_session_of_its_owner,
    another_attempt_is_given_the_one_that_waits_and_changes_nothing_of_it,
    of_20_confirmations_at_once_one_opens_a_session,
    what_comes_of_it_has_the_device_of_the_attempt_and_ends_what_it_replaces,
    only_its_own_guard_confirms_it_and_only_in_time,
    what_ends_sessions_ends_it,
    a_ban_refuses_it_and_leaves_it_waiting,
    one_that_ran_out_is_swept_by_the_next,
}

const TTL: Duration = Duration::minutes(5);

async fn wait_with(store: &Store, session: &NewSession) -> OpenedTemporary {
    let ends = session.now + TTL;
    store.sign_in_store().open_temporary(session, ends).await.unwrap()
}

async fn waits(store: &Store, session: &NewSession) -> Temporary {
    match wait_with(store, session).await {
        OpenedTemporary::Open(temporary) => temporary,
        other => panic!("{other:?}"),
    }
}

async fn confirm(
    store: &Store,
    guard: &Arc<AuthGuard>,
    temporary: SessionId,
    after: Duration,
) -> Option<(PrincipalKey, Opened)> {
    let order = Confirmation {
        guard: Arc::clone(guard),
        temporary,
        id: new_session(guard, &key("customer:1")).id,
        now: super::now() + after,
    };
    store.sign_in_store().confirm_temporary(&order).await.unwrap()
}

/// The column `text` of what a query gives.
async fn texts(scene: &Scene, sql: &str) -> Vec<String> {
    let db = scene.pool().await;
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let rows = db.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get("", "text").unwrap()).collect()
}

async fn is_confirmed(store: &Store, guard: &Arc<AuthGuard>, temporary: SessionId) -> bool {
    matches!(
        confirm(store, guard, temporary, Duration::ZERO).await,
        Some((_, Opened::Open { .. }))
    )
}

async fn a_temporary_identity_waits_on_every_node_and_is_no_session_of_its_owner(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let one = ruled(&scene, |rules| {
        rules.unique = true;
        rules.max_sessions = 1;
    });
    let before = sign_in(&here, &one, &who).await;
    let temporary = waits(&here, &new_session(&one, &who)).await;
    let lives = live(&scene, &there, &who).await;
    assert!(lives.contains(&before), "it ends nothing");
    assert!(lives.contains(&temporary.id));
    let listed = here.sign_in_store().sessions(&who).await.unwrap();
    assert_eq!(listed.iter().map(|entry| entry.id).collect::<Vec<_>>(), [before]);
    assert_eq!(here.sign_in_store().session_owner(temporary.id).await.unwrap(), None);
    let refresh = presented(&one, temporary.id, 0, Duration::ZERO);
    assert_eq!(outcome(&here, &refresh).await, RefreshOutcome::Invalid);
    // Nor does another sign-in make room of it.
    assert_eq!(open(&here, &new_session(&one, &who)).await, [before]);
    assert!(live(&scene, &here, &who).await.contains(&temporary.id));
}

async fn another_attempt_is_given_the_one_that_waits_and_changes_nothing_of_it(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    scene.outside("INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', 'acme', 'boss')");
    let who = key("customer:1");
    let first = waits(&here, &new_session(&scene.customer, &who)).await;
    assert!(!first.was_there);
    let later = NewSession {
        now: super::now() + Duration::minutes(2),
        ..new_session(&scene.customer, &who)
    };
    let again = waits(&there, &later).await;
    assert_eq!((again.id, again.was_there), (first.id, true));
    assert!((again.expires_at - first.expires_at).abs() < Duration::milliseconds(1));
    assert!(again.version >= first.version);
    // For another tenant and for another principal they are others.
    let acme = TenantName::new("acme").unwrap();
    let in_acme = NewSession {
        tenant: SignInTenant::Named(acme.clone()),
        ..new_session(&scene.customer, &who)
    };
    let in_acme = waits(&here, &in_acme).await;
    assert_eq!((in_acme.was_there, in_acme.tenant), (false, Some(acme)));
    let other = waits(&here, &new_session(&scene.customer, &key("customer:2"))).await;
    assert!(!other.was_there && ![first.id, in_acme.id].contains(&other.id));
    let foreign = NewSession {
        tenant: SignInTenant::Named(TenantName::new("other").unwrap()),
        ..new_session(&scene.customer, &who)
    };
    assert!(matches!(
        wait_with(&here, &foreign).await,
        OpenedTemporary::NotInTenant(_)
    ));
}

async fn of_20_confirmations_at_once_one_opens_a_session(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let temporary = waits(&here, &new_session(&scene.customer, &who)).await.id;
    let start = Arc::new(tokio::sync::Barrier::new(20));
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = if n % 2 == 0 { here.clone() } else { there.clone() };
            let (guard, start) = (Arc::clone(&scene.customer), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                confirm(&store, &guard, temporary, Duration::ZERO).await
            })
        })
        .collect();
    let mut opened = 0;
    for task in tasks {
        match task.await.unwrap() {
            None => {}
            Some((confirmed, Opened::Open { .. })) => {
                assert_eq!(confirmed, who);
                opened += 1;
            }
            Some(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(opened, 1);
    for node in [&here, &there] {
        let lives = live(&scene, node, &who).await;
        assert!(lives.len() == 1 && lives[0] != temporary, "{lives:?}");
    }
    assert_eq!(
        texts(&scene, "SELECT session_id AS text FROM bekci_temporaries").await,
        [""; 0]
    );
}

async fn what_comes_of_it_has_the_device_of_the_attempt_and_ends_what_it_replaces(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    let own = sign_in(&here, &scene.customer, &who).await;
    let attempt = NewSession {
        device_name: Some("Ada's phone".to_owned()),
        replaces: Some(own),
        ..new_session(&scene.customer, &who)
    };
    let temporary = waits(&here, &attempt).await.id;
    assert!(
        live(&scene, &here, &who).await.contains(&own),
        "not before it is verified"
    );
    let Some((_, Opened::Open { ended, .. })) = confirm(&here, &scene.customer, temporary, Duration::ZERO).await else {
        panic!("it waits")
    };
    assert_eq!(ended, [own]);
    let listed = here.sign_in_store().sessions(&who).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].device_name.as_deref(), Some("Ada's phone"));
    assert_eq!(listed[0].way, "password");
    let new = listed[0].id;
    // Only from the device of the attempt a lost answer is had again.
    let rotate = presented(&scene.customer, new, 0, Duration::ZERO);
    assert_eq!(outcome(&here, &rotate).await, RefreshOutcome::Rotated { next: 1 });
    let lost = presented(&scene.customer, new, 0, Duration::minutes(2));
    assert_eq!(outcome(&here, &lost).await, RefreshOutcome::Recovered { next: 2 });
}

async fn only_its_own_guard_confirms_it_and_only_in_time(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    let temporary = waits(&here, &new_session(&scene.customer, &who)).await.id;
    let other = Arc::new(AuthGuard {
        name: bekci_core::GuardName::new("kiosk").unwrap(),
        ..AuthGuard::clone(&scene.customer)
    });
    for guard in [&scene.admin, &other] {
        assert_eq!(confirm(&here, guard, temporary, Duration::ZERO).await, None);
    }
    assert_eq!(
        confirm(&here, &scene.customer, TokenId([9; 16]), Duration::ZERO).await,
        None
    );
    assert_eq!(
        confirm(&here, &scene.customer, temporary, TTL + Duration::SECOND).await,
        None
    );
    // A session is nothing that could be confirmed.
    let session = sign_in(&here, &scene.customer, &who).await;
    assert_eq!(confirm(&here, &scene.customer, session, Duration::ZERO).await, None);
    assert!(is_confirmed(&here, &scene.customer, temporary).await);
    assert!(!is_confirmed(&here, &scene.customer, temporary).await);
}

async fn what_ends_sessions_ends_it(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    let wait = async || waits(&here, &new_session(&scene.customer, &who)).await.id;

    let temporary = wait().await;
    let end = here.sign_in_store();
    end.end_sessions(&who, None, &EndSessions::All, super::now())
        .await
        .unwrap();
    assert!(!is_confirmed(&here, &scene.customer, temporary).await);

    let temporary = wait().await;
    end.end_sessions(&who, Some(&scene.customer), &EndSessions::One(temporary), super::now())
        .await
        .unwrap();
    assert!(!is_confirmed(&here, &scene.customer, temporary).await);

    let temporary = wait().await;
    scene.outside("DELETE FROM customers WHERE id = 1");
    assert!(!is_confirmed(&here, &scene.customer, temporary).await);
    scene.outside("INSERT INTO customers (id, email, status) VALUES (1, 'again@example.com', 'active')");
    assert!(
        !is_confirmed(&here, &scene.customer, temporary).await,
        "nor for who has the id now"
    );
    assert!(!live(&scene, &here, &who).await.contains(&temporary));
}

async fn a_ban_refuses_it_and_leaves_it_waiting(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    let temporary = waits(&here, &new_session(&scene.customer, &who)).await.id;
    let order = BanOrder {
        status: "banned".to_owned(),
        reason: Some("fraud".to_owned()),
        until: None,
        by: None,
    };
    here.ban(&who, &order).await.unwrap();
    let Some((_, Opened::Banned(Some(ban)))) = confirm(&here, &scene.customer, temporary, Duration::ZERO).await else {
        panic!("banned")
    };
    assert_eq!(ban.reason.as_deref(), Some("fraud"));
    let refused = wait_with(&here, &new_session(&scene.customer, &who)).await;
    assert!(matches!(refused, OpenedTemporary::Banned(Some(_))), "{refused:?}");
    here.unban(&who).await.unwrap();
    assert!(
        is_confirmed(&here, &scene.customer, temporary).await,
        "a ban ends no session"
    );
}

async fn one_that_ran_out_is_swept_by_the_next(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    let first = NewSession {
        now: super::now() - TTL - Duration::SECOND,
        ..new_session(&scene.customer, &who)
    };
    let first = waits(&here, &first).await.id;
    assert!(!live(&scene, &here, &who).await.contains(&first), "its time is over");
    let second = waits(&here, &new_session(&scene.customer, &who)).await;
    assert!(second.id != first && !second.was_there);
    let left = texts(&scene, "SELECT session_id AS text FROM bekci_temporaries").await;
    assert_eq!(left, [second.id.to_string()]);
    let why = format!("SELECT end_reason AS text FROM bekci_sessions WHERE id = '{first}'");
    assert_eq!(texts(&scene, &why).await, ["not_verified"]);
}
