//! A refresh against whatever ends or refuses its session: forced at each point where it holds an opinion, and run freely.

use std::sync::Arc;

use bekci_core::{
    RefreshOutcome, SessionId,
    signin::{EndSessions, Refreshed},
};
use bekci_store::{BanOrder, Store};
use bekci_test_support::rounds;
use time::Duration;

use super::{live, open, outcome, presented, refreshed, ruled};
use crate::scene::{Scene, key, new_session, on_every_store, sign_in};

on_every_store! {
    a_refresh_overtaken_by_a_sign_out_everywhere_leaves_nothing_alive,
    a_refresh_and_a_sign_out_everywhere_in_any_order_leave_nothing_alive,
    a_refresh_overtaken_by_a_ban_gives_no_token,
    a_refresh_and_a_ban_in_any_order_leave_nothing_to_refresh,
    sign_ins_and_sign_outs_of_one_principal_do_not_lock_each_other_out,
}

/// Where a refresh has judged the row, and where it has found its account well, but has not written yet.
const POINTS: [&str; 2] = ["refresh.judged", "refresh.confirmed"];

/// What a refresh is about to do: the generation presented, how much later, and whether the session was refreshed once before.
const CASES: [(u32, Duration, bool); 3] = [
    (0, Duration::ZERO, false),
    (0, Duration::ZERO, true),
    (0, Duration::minutes(5), true),
];

/// A session, refreshed once where the case wants it.
async fn session(scene: &Scene, store: &Store, refreshed_once: bool) -> SessionId {
    let sid = sign_in(store, &scene.customer, &key("customer:1")).await;
    if refreshed_once {
        outcome(store, &presented(&scene.customer, sid, 0, Duration::ZERO)).await;
    }
    sid
}

/// Refreshes on `there`, held at the point until `meanwhile` is done.
async fn overtaken(
    there: &Store,
    request: bekci_core::signin::RefreshRequest,
    point: &'static str,
    meanwhile: impl Future<Output = ()>,
) -> Refreshed {
    there.failpoints().hold(point);
    let refresh = tokio::spawn({
        let there = there.clone();
        async move { refreshed(&there, &request).await }
    });
    there.failpoints().reached(point, 1).await;
    meanwhile.await;
    there.failpoints().release(point);
    refresh.await.unwrap()
}

async fn sign_out(store: &Store) {
    let who = key("customer:1");
    let ended = store
        .sign_in_store()
        .end_sessions(&who, None, &EndSessions::All, super::now())
        .await;
    assert_eq!(ended.unwrap().len(), 1);
}

/// No session is alive on any node, and no generation refreshes.
async fn nothing_lives(scene: &Scene, nodes: [&Store; 2], sid: SessionId) {
    for node in nodes {
        assert_eq!(live(scene, node, &key("customer:1")).await, []);
        for generation in 0..3 {
            let given = refreshed(node, &presented(&scene.customer, sid, generation, Duration::ZERO)).await;
            assert_eq!((given.outcome, given.session), (RefreshOutcome::Invalid, None));
        }
    }
}

async fn a_refresh_overtaken_by_a_sign_out_everywhere_leaves_nothing_alive(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    for round in 0..rounds(200, 10_000) {
        let (generation, after, before) = CASES[round % CASES.len()];
        let point = POINTS[round / CASES.len() % POINTS.len()];
        let sid = session(&scene, &here, before).await;
        let request = presented(&scene.customer, sid, generation, after);
        let given = overtaken(&there, request, point, sign_out(&here)).await;
        if !(before && after.is_zero() && point == "refresh.confirmed") {
            assert_eq!(
                (given.outcome, given.session),
                (RefreshOutcome::Invalid, None),
                "{point}"
            );
        }
        nothing_lives(&scene, [&here, &there], sid).await;
    }
}

async fn a_refresh_and_a_sign_out_everywhere_in_any_order_leave_nothing_alive(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let mut refreshed_first = 0;
    for round in 0..rounds(200, 10_000) {
        let (generation, after, before) = CASES[round % CASES.len()];
        let sid = session(&scene, &here, before).await;
        let request = presented(&scene.customer, sid, generation, after);
        let refresh = async {
            // From "the sign-out is first" to "the refresh is", in small steps.
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            refreshed(&there, &request).await
        };
        let (given, ()) = tokio::join!(refresh, sign_out(&here));
        refreshed_first += usize::from(given.session.is_some());
        nothing_lives(&scene, [&here, &there], sid).await;
    }
    assert!(refreshed_first > 0, "the two never met");
}

fn order() -> BanOrder {
    BanOrder {
        status: "banned".to_owned(),
        ..BanOrder::default()
    }
}

async fn a_refresh_overtaken_by_a_ban_gives_no_token(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    for round in 0..rounds(30, 1_000) {
        let (generation, after, before) = CASES[round % CASES.len()];
        let sid = session(&scene, &here, before).await;
        let request = presented(&scene.customer, sid, generation, after);
        let ban = async { drop(here.ban(&who, &order()).await.unwrap()) };
        let given = overtaken(&there, request, "refresh.judged", ban).await;
        assert!(given.session.is_none() && given.banned.is_some(), "{given:?}");
        here.unban(&who).await.unwrap();
        sign_out(&here).await;
    }
}

async fn a_refresh_and_a_ban_in_any_order_leave_nothing_to_refresh(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    for round in 0..rounds(50, 5_000) {
        let (generation, after, before) = CASES[round % CASES.len()];
        let sid = session(&scene, &here, before).await;
        let request = presented(&scene.customer, sid, generation, after);
        let order = order();
        let (_, ban) = tokio::join!(refreshed(&there, &request), here.ban(&who, &order));
        ban.unwrap();
        for generation in 0..2 {
            for node in [&here, &there] {
                let given = refreshed(node, &presented(&scene.customer, sid, generation, Duration::ZERO)).await;
                assert_eq!(given.session, None);
            }
        }
        there.unban(&who).await.unwrap();
        drop(
            here.sign_in_store()
                .end_sessions(&who, None, &EndSessions::All, super::now())
                .await
                .unwrap(),
        );
    }
}

async fn sign_ins_and_sign_outs_of_one_principal_do_not_lock_each_other_out(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let unique = ruled(&scene, |rules| rules.unique = true);
    for _ in 0..rounds(10, 500) {
        for _ in 0..20 {
            sign_in(&here, &scene.customer, &who).await;
        }
        let tasks: Vec<_> = [&here, &there]
            .into_iter()
            .cycle()
            .take(4)
            .enumerate()
            .map(|(n, store)| {
                let (store, who, session) = (store.clone(), who.clone(), new_session(&unique, &who));
                tokio::spawn(async move {
                    if n < 2 {
                        open(&store, &session).await;
                    } else {
                        let sessions = Arc::clone(&store.sign_in_store());
                        let ended = sessions.end_sessions(&who, None, &EndSessions::All, super::now()).await;
                        drop(ended.unwrap());
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let left = live(&scene, &here, &who).await;
        assert!(left.len() <= 1, "{left:?}");
        assert_eq!(live(&scene, &there, &who).await, left);
    }
}
