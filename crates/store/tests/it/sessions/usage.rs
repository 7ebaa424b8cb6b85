//! A generation whose access token was accepted was not lost: its parent is not recovered any more, wherever the note of it is at that moment.

use bekci_core::RefreshOutcome;
use bekci_store::{Store, StoreSettings};
use sea_orm::ConnectionTrait;
use time::Duration;

use super::{outcome, presented, row};
use crate::scene::{Ask, Scene, key, on_every_store, sign_in};

on_every_store! {
    a_used_generation_is_not_taken_for_lost,
    a_note_counts_while_it_is_being_written,
    a_note_that_could_not_be_written_is_not_forgotten,
    nodes_that_write_their_notes_hinder_neither_each_other_nor_a_sign_out,
}

const LATE: Duration = Duration::minutes(5);

/// A session whose generation 1 was given and whose access token was accepted by this node.
async fn used(scene: &Scene, store: &Store) -> bekci_core::SessionId {
    let who = key("customer:1");
    let sid = sign_in(store, &scene.customer, &who).await;
    let first = presented(&scene.customer, sid, 0, Duration::ZERO);
    assert_eq!(outcome(store, &first).await, RefreshOutcome::Rotated { next: 1 });
    let view = Ask::of(&who, &scene.customer).view(store).await;
    store.identities().used(&view, sid, 0);
    store.identities().used(&view, sid, 1);
    store.identities().used(&view, sid, 0);
    sid
}

async fn a_used_generation_is_not_taken_for_lost(scene: Scene) {
    // No loops: nothing is written but by this test.
    let here = scene.quiet_node(scene.settings()).await;
    for flushed in [false, true] {
        let sid = used(&scene, &here).await;
        if flushed {
            here.flush_usage().await.unwrap();
        }
        let within = presented(&scene.customer, sid, 0, Duration::seconds(20));
        assert_eq!(outcome(&here, &within).await, RefreshOutcome::Replayed { current: 1 });
        let late = presented(&scene.customer, sid, 0, LATE);
        assert_eq!(
            outcome(&here, &late).await,
            RefreshOutcome::Reused,
            "flushed: {flushed}"
        );
    }
    let sid = used(&scene, &here).await;
    here.flush_usage().await.unwrap();
    // Out of the way: nobody turns its loop, so that a writer would wait for its lease to run out.
    here.close().await;
    let there = scene.quiet_node(scene.settings()).await;
    let late = presented(&scene.customer, sid, 0, LATE);
    assert_eq!(outcome(&there, &late).await, RefreshOutcome::Reused, "on another node");
}

async fn a_note_counts_while_it_is_being_written(scene: Scene) {
    let here = scene.quiet_node(scene.settings()).await;
    let sid = used(&scene, &here).await;
    here.failpoints().hold("usage.taken");
    let flush = tokio::spawn({
        let here = here.clone();
        async move { here.flush_usage().await }
    });
    here.failpoints().reached("usage.taken", 1).await;
    let late = presented(&scene.customer, sid, 0, LATE);
    assert_eq!(outcome(&here, &late).await, RefreshOutcome::Reused);
    here.failpoints().release("usage.taken");
    flush.await.unwrap().unwrap();
    assert!(row(&scene, sid).await.ends_with(" refresh_reused"));
}

async fn a_note_that_could_not_be_written_is_not_forgotten(scene: Scene) {
    let here = scene
        .quiet_node(StoreSettings {
            redis: None,
            ..scene.settings()
        })
        .await;
    let sid = used(&scene, &here).await;
    let db = scene.pool().await;
    let hide = "ALTER TABLE bekci_sessions RENAME TO hidden_sessions";
    db.execute_unprepared(hide).await.unwrap();
    assert!(here.flush_usage().await.is_err());
    db.execute_unprepared("ALTER TABLE hidden_sessions RENAME TO bekci_sessions")
        .await
        .unwrap();
    let late = presented(&scene.customer, sid, 0, LATE);
    assert_eq!(outcome(&here, &late).await, RefreshOutcome::Reused);
    here.flush_usage().await.unwrap();
}

async fn nodes_that_write_their_notes_hinder_neither_each_other_nor_a_sign_out(scene: Scene) {
    let nodes = [scene.node().await, scene.node().await];
    let who = key("customer:1");
    for round in 0..bekci_test_support::rounds(5, 50) {
        let mut sids = Vec::new();
        for _ in 0..30 {
            sids.push(sign_in(&nodes[0], &scene.customer, &who).await);
        }
        let view = Ask::of(&who, &scene.customer).view(&nodes[0]).await;
        for (node, store) in nodes.iter().enumerate() {
            for sid in &sids {
                store
                    .identities()
                    .used(&view, *sid, u32::try_from(round + node).unwrap());
            }
        }
        let sessions = nodes[0].sign_in_store();
        let (first, second, ended) = tokio::join!(
            nodes[0].flush_usage(),
            nodes[1].flush_usage(),
            sessions.end_sessions(&who, None, &bekci_core::signin::EndSessions::All, super::now()),
        );
        first.unwrap();
        second.unwrap();
        assert_eq!(ended.unwrap().len(), 30);
    }
}
