//! What waits for whom, counted.

use std::sync::Arc;

use bekci_core::{
    AuthGuard, RefreshOutcome, SessionId,
    signin::{EndSessions, RefreshRequest},
};
use bekci_store::{Barrier, MetricsSnapshot, Store};
use sea_orm::{ConnectionTrait, TransactionTrait};
use time::Duration;

use crate::scene::{Ask, Scene, key, new_session, on_every_store, sign_in, until};

on_every_store! {
    barriers_by_kind_of_call,
    a_write_with_no_other_node_waits_for_nobody,
    a_thousand_requests_for_one_cold_identity_load_it_once,
    a_clean_stop_takes_the_node_out,
    what_a_hook_named_is_warm_when_the_call_returns,
}

/// How many barriers, and how many that had somebody to wait for, a piece of work made.
async fn counted(store: &Store, work: impl Future<Output = ()>) -> (u64, u64) {
    let before: MetricsSnapshot = store.metrics();
    work.await;
    let after = store.metrics();
    (
        after.barriers - before.barriers,
        after.barrier_waits - before.barrier_waits,
    )
}

fn request(guard: &Arc<AuthGuard>, session: SessionId, generation: u32, after: Duration) -> RefreshRequest {
    RefreshRequest {
        guard: Arc::clone(guard),
        session,
        generation,
        device_hash: Some(b"device".to_vec()),
        by_cookie: false,
        now: bekci_core::Clock::now(&bekci_store::SystemClock) + after,
    }
}

async fn barriers_by_kind_of_call(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let sessions = here.sign_in_store();
    let session = new_session(&scene.customer, &who);
    let (made, _) = counted(&here, async { drop(sessions.open_session(&session).await.unwrap()) }).await;
    assert_eq!(made, 0, "a sign-in that ends no session");
    let refresh = async |generation, after| {
        sessions
            .refresh(&request(&scene.customer, session.id, generation, after))
            .await
            .unwrap()
            .outcome
    };
    let (made, _) = counted(&here, async {
        assert_eq!(refresh(0, Duration::ZERO).await, RefreshOutcome::Rotated { next: 1 })
    })
    .await;
    assert_eq!(made, 0, "ROTATED");
    let (made, _) = counted(&here, async {
        assert_eq!(
            refresh(0, Duration::ZERO).await,
            RefreshOutcome::Replayed { current: 1 }
        )
    })
    .await;
    assert_eq!(made, 0, "REPLAYED");
    let (made, _) = counted(&here, async {
        assert_eq!(
            refresh(0, Duration::minutes(5)).await,
            RefreshOutcome::Recovered { next: 2 }
        )
    })
    .await;
    assert_eq!(made, 1, "RECOVERED");
    let (made, _) = counted(&here, async {
        assert_eq!(refresh(1, Duration::minutes(5)).await, RefreshOutcome::Reused)
    })
    .await;
    assert_eq!(made, 1, "REUSED");

    let second = sign_in(&here, &scene.customer, &who).await;
    let end = async |which| {
        drop(
            sessions
                .end_sessions(&who, None, &which, bekci_core::Clock::now(&bekci_store::SystemClock))
                .await
                .unwrap(),
        )
    };
    assert_eq!(counted(&here, end(EndSessions::One(second))).await.0, 1, "sign-out");
    assert_eq!(
        counted(&here, end(EndSessions::One(second))).await.0,
        1,
        "sign-out again, which changes nothing"
    );
    assert_eq!(counted(&here, end(EndSessions::All)).await.0, 1, "sign-out everywhere");

    let first = sign_in(&here, &scene.customer, &who).await;
    let replacing = bekci_core::signin::NewSession {
        replaces: Some(first),
        ..new_session(&scene.customer, &who)
    };
    let (made, _) = counted(&here, async { drop(sessions.open_session(&replacing).await.unwrap()) }).await;
    assert_eq!(made, 1, "a sign-in that ends a session");

    let db = here.connection();
    let (made, _) = counted(&here, async {
        db.execute_unprepared("UPDATE customers SET notes = 'x'").await.unwrap();
    })
    .await;
    assert_eq!(made, 0, "a write that concerns nobody");
    // The other node is held before it can look, or it might be quicker than the writer's first look at it.
    there.failpoints().hold("poll.begin");
    there.failpoints().reached("poll.begin", 1).await;
    let waits = here.metrics().barrier_waits;
    let (made, waited) = counted(&here, async {
        let write = db.execute_unprepared("UPDATE customers SET name = 'Y' WHERE id = 1");
        let let_go = async {
            until(|| here.metrics().barrier_waits > waits).await;
            there.failpoints().release("poll.begin");
        };
        tokio::join!(write, let_go).0.unwrap();
    })
    .await;
    assert_eq!((made, waited), (1, 1), "a change of an identity, with another node");
    let nothing = db.begin().await.unwrap();
    let (made, _) = counted(&here, async {
        drop(nothing.commit_with(Barrier::Always).await.unwrap())
    })
    .await;
    assert_eq!(made, 1, "Barrier::Always on nothing");
    there.close().await;
}

async fn a_write_with_no_other_node_waits_for_nobody(scene: Scene) {
    let here = scene.node().await;
    let db = here.connection();
    let work = async {
        for name in ["a", "b", "c"] {
            db.execute_unprepared(&format!("UPDATE customers SET name = '{name}' WHERE id = 1"))
                .await
                .unwrap();
        }
    };
    assert_eq!(counted(&here, work).await, (3, 0));
}

async fn a_thousand_requests_for_one_cold_identity_load_it_once(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    let customer = Arc::clone(&scene.customer);
    let loads = here.metrics().identity_loads;
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let (here, who, customer) = (here.clone(), who.clone(), Arc::clone(&customer));
            tokio::spawn(async move { Ask::of(&who, &customer).view(&here).await.identity.exists })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(here.metrics().identity_loads - loads, 1);
}

async fn a_clean_stop_takes_the_node_out(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    assert!(there.is_trusted());
    there.close().await;
    assert!(!there.is_trusted());
    let db = here.connection();
    let (made, waited) = counted(&here, async {
        db.execute_unprepared("UPDATE customers SET name = 'x' WHERE id = 1")
            .await
            .unwrap();
    })
    .await;
    assert_eq!((made, waited), (1, 0));
}

async fn what_a_hook_named_is_warm_when_the_call_returns(scene: Scene) {
    use bekci_store::entity::principal_role;
    use sea_orm::{ActiveModelTrait, ActiveValue::Set};
    let here = scene.node().await;
    let who = key("customer:1");
    // The role table is read once; it stays.
    Ask::of(&key("customer:2"), &scene.customer).view(&here).await;
    let role = principal_role::ActiveModel {
        model: Set("customer".to_owned()),
        id: Set("1".to_owned()),
        guard: Set("customer".to_owned()),
        tenant: Set(String::new()),
        role: Set("buyer".to_owned()),
    };
    let warm = |store: &Store| {
        store
            .identities()
            .warm(&Ask::of(&who, &scene.customer).need())
            .is_some()
    };
    let transaction = here.connection().begin().await.unwrap();
    role.clone().insert(&transaction).await.unwrap();
    transaction.commit_with(Barrier::Auto).await.unwrap();
    assert!(warm(&here), "within a transaction");
    let mut polls = here.metrics().polls;
    until(|| here.metrics().polls > polls + 2).await;
    assert!(warm(&here), "and it stays when the node loop sees its own change");
    role.delete(&here.connection()).await.unwrap();
    assert!(warm(&here), "outside one");
    polls = here.metrics().polls;
    until(|| here.metrics().polls > polls + 2).await;
    assert!(warm(&here));
}
