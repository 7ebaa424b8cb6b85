//! Which row of the outbox an acknowledgement, a fence and a registration name, and what wakes those who wait for it.

use std::time::Duration;

use bekci_store::{Barrier, CacheSettings, Committed, Store, StoreSettings};
use sea_orm::{ConnectionTrait, TransactionTrait};
use tokio::task::JoinHandle;

use crate::{
    interleavings_nodes::{clock, committed, done, number, settings},
    scene::{Ask, Scene, key, on_every_store, until},
};

on_every_store! {
    nothing_is_acknowledged_before_it_is_applied,
    a_writer_whose_change_is_lost_fences_nobody,
    a_node_registers_only_in_a_database_that_has_its_cursor,
    a_hint_wakes_the_loop_and_an_acknowledgement_wakes_the_writer,
}

const GIVE: &str = "INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', '', 'buyer')";
const TAKE: &str = "DELETE FROM bekci_principal_roles WHERE id = '1'";
const GIVE_AND_TAKE: &str =
    "UPDATE customers SET status = CASE status WHEN 'active' THEN 'banned' ELSE 'active' END WHERE id = 3";
const PATIENCE: Duration = Duration::from_secs(120);
const A_WHILE: Duration = Duration::from_secs(5);
/// Longer than any test takes.
const AN_AGE: Duration = Duration::from_secs(36_000);

async fn run(store: &Store, sql: &str) -> Committed {
    let transaction = store.connection().begin().await.unwrap();
    transaction.execute_unprepared(sql).await.unwrap();
    transaction.commit_with(Barrier::Always).await.unwrap()
}

/// A node whose clock stands still, so that no lease ends.
async fn still(scene: &Scene) -> Store {
    scene
        .quiet_node(settings(scene, &clock(), Duration::from_secs(5)))
        .await
}

fn round(node: &Store) -> JoinHandle<Result<(), sea_orm::DbErr>> {
    let node = node.clone();
    tokio::spawn(async move { node.round().await })
}

async fn is_buyer(scene: &Scene, store: &Store) -> bool {
    Ask::of(&key("customer:1"), &scene.customer)
        .can(store, "orders.view")
        .await
}

async fn highest(scene: &Scene) -> i64 {
    number(scene, "SELECT max(position) FROM identity_outbox").await
}

async fn nodes(scene: &Scene) -> i64 {
    number(scene, "SELECT count(*) FROM coherence_nodes").await
}

async fn nothing_is_acknowledged_before_it_is_applied(scene: Scene) {
    let here = still(&scene).await;
    run(&here, GIVE).await;
    let other = still(&scene).await;
    assert!(is_buyer(&scene, &other).await);
    let write = committed(&here, TAKE).await;
    here.failpoints().release("barrier.look");
    let points = ["poll.seen", "poll.applied", "poll.acknowledge"];
    for point in points {
        other.failpoints().hold(point);
    }
    let polls = round(&other);
    for point in points {
        other.failpoints().reached(point, 1).await;
        let position = highest(&scene).await;
        let acknowledged = number(&scene, "SELECT min(acknowledged) FROM coherence_nodes").await;
        assert!(acknowledged < position, "{point}: {acknowledged}");
        assert!(!write.is_finished(), "{point}");
        // From memory until it is applied, which drops it; from then on as the change says.
        assert_eq!(is_buyer(&scene, &other).await, point == "poll.seen", "{point}");
        other.failpoints().release(point);
    }
    done(polls).await.unwrap();
    let position = done(write).await.position;
    assert_eq!(position, Some(highest(&scene).await));
}

async fn a_writer_whose_change_is_lost_fences_nobody(scene: Scene) {
    let writer_clock = clock();
    let writer = scene
        .quiet_node(settings(&scene, &writer_clock, Duration::from_secs(3)))
        .await;
    run(&writer, GIVE).await;
    let other = still(&scene).await;
    assert_eq!(nodes(&scene).await, 2);
    let write = committed(&writer, TAKE).await;
    // The database goes back to before the change. The other node polls there, finds nothing to acknowledge, and has a lease.
    let lost = highest(&scene).await;
    scene.outside(&format!("DELETE FROM identity_outbox WHERE position = {lost}"));
    other.round().await.unwrap();
    assert!(other.is_trusted());
    writer_clock.advance_uptime(Duration::from_secs(6));
    writer.failpoints().release("barrier.look");
    done(write).await;
    assert_eq!(nodes(&scene).await, 2, "a node with a lease keeps its row");
}

async fn a_node_registers_only_in_a_database_that_has_its_cursor(scene: Scene) {
    let here = scene.node().await;
    run(&here, GIVE).await;
    here.close().await;
    let stands = settings(&scene, &clock(), Duration::from_secs(5));
    let node = Store::open_quiet(scene.pool().await, stands).await.unwrap();
    node.failpoints().hold("register.cursor");
    let registers = round(&node);
    node.failpoints().reached("register.cursor", 1).await;
    let lost = highest(&scene).await;
    scene.outside(&format!("DELETE FROM identity_outbox WHERE position = {lost}"));
    node.failpoints().release("register.cursor");
    assert!(
        done(registers).await.is_err(),
        "it would acknowledge what may be given out again"
    );
    assert_eq!(nodes(&scene).await, 0);
    assert!(!node.is_trusted());
    node.round().await.unwrap();
    assert_eq!(nodes(&scene).await, 1);
    assert!(node.is_trusted());
}

/// Loops that would sleep for hours: only a hint lets a change return.
async fn a_hint_wakes_the_loop_and_an_acknowledgement_wakes_the_writer(scene: Scene) {
    if !scene.is_postgres() && scene.redis().is_none() {
        // There is nothing that sends hints: the poll is the pace.
        return;
    }
    let asleep = || StoreSettings {
        cache: CacheSettings {
            max_staleness: Some(AN_AGE),
            poll: AN_AGE,
            ..scene.settings().cache
        },
        ..scene.settings()
    };
    let writer = Store::open(scene.pool().await, asleep()).await.unwrap();
    let other = Store::open(scene.pool().await, asleep()).await.unwrap();
    until(|| writer.is_trusted() && other.is_trusted()).await;
    // A hint may get lost, which costs the rest of an interval: of hours here. And a look by the clock may find an acknowledgement before its hint comes.
    let mut returned = 0_u32;
    writer.failpoints().hold("barrier.woken");
    let changes = async {
        loop {
            for status in ["banned", "active"] {
                let sql = format!("UPDATE customers SET status = '{status}' WHERE id = 2");
                let call = tokio::time::timeout(A_WHILE, run(&writer, &sql)).await;
                returned += u32::from(call.is_ok());
            }
        }
    };
    let woken = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            () = writer.failpoints().reached("barrier.woken", 1) => {}
            () = changes => {}
        }
    });
    assert!(
        woken.await.is_ok(),
        "no acknowledgement woke the writer; {returned} changes returned"
    );
    writer.failpoints().release("barrier.woken");
    let returns = async {
        while tokio::time::timeout(A_WHILE, run(&writer, GIVE_AND_TAKE))
            .await
            .is_err()
        {}
    };
    let returned = tokio::time::timeout(PATIENCE, returns).await;
    assert!(returned.is_ok(), "no hint woke the loop of the other node");
    for node in [writer, other] {
        node.close().await;
    }
}
