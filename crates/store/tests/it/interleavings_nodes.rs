//! The interleavings of nodes that come, go, stall and die: what a writer waits for, and what it must not wait for.

use std::{sync::Arc, time::Duration};

use bekci_core::testing::FakeClock;
use bekci_store::{Barrier, CacheSettings, Committed, Store, StoreSettings};
use sea_orm::{ConnectionTrait, TransactionTrait};
use tokio::task::JoinHandle;

use crate::scene::{Ask, Scene, key, on_every_store, until};

on_every_store! {
    what_commits_while_a_node_registers_is_applied_there,
    a_call_that_changes_nothing_waits_for_its_own_node_too,
    a_database_clock_that_jumps_excuses_no_node,
    a_node_that_has_just_registered_has_acknowledged_what_was_before,
    a_lost_acknowledgement_is_sent_again,
    a_dead_node_costs_one_wait_and_no_more,
    a_node_that_is_fenced_before_its_acknowledgement_gains_no_lease,
    a_statement_of_the_loop_is_given_up_after_a_quarter_of_the_lease,
    a_stopped_holder_of_the_commit_lock_halts_nobody_for_longer_than_a_quarter_of_the_lease,
}

const GIVE: &str = "INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', '', 'buyer')";
const TAKE: &str = "DELETE FROM bekci_principal_roles WHERE id = '1'";
const GIVE_ANOTHER: &str = "INSERT INTO bekci_principal_roles VALUES ('customer', '2', 'customer', '', 'buyer')";
const TAKE_ANOTHER: &str = "DELETE FROM bekci_principal_roles WHERE id = '2'";
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn clock() -> Arc<FakeClock> {
    Arc::new(FakeClock::at(
        bekci_core::Clock::now(&bekci_store::SystemClock).unix_timestamp(),
    ))
}

pub(crate) fn settings(scene: &Scene, clock: &Arc<FakeClock>, delta: Duration) -> StoreSettings {
    StoreSettings {
        cache: CacheSettings {
            max_staleness: Some(delta),
            ..scene.settings().cache
        },
        clock: Arc::clone(clock) as _,
        ..scene.settings()
    }
}

async fn run(store: &Store, sql: &str) -> Committed {
    let transaction = store.connection().begin().await.unwrap();
    transaction.execute_unprepared(sql).await.unwrap();
    transaction.commit_with(Barrier::Always).await.unwrap()
}

/// A change that has committed and has not returned: it waits in its barrier.
pub(crate) async fn committed(store: &Store, sql: &'static str) -> JoinHandle<Committed> {
    store.failpoints().hold("barrier.look");
    let write = tokio::spawn({
        let store = store.clone();
        async move { run(&store, sql).await }
    });
    let reached = tokio::time::timeout(PATIENCE, store.failpoints().reached("barrier.look", 1)).await;
    assert!(reached.is_ok(), "the change did not commit");
    write
}

pub(crate) async fn done<T>(task: JoinHandle<T>) -> T {
    let ended = tokio::time::timeout(PATIENCE, task).await;
    ended.expect("it did not end").unwrap()
}

async fn can(scene: &Scene, store: &Store, who: &str) -> bool {
    Ask::of(&key(who), &scene.customer).can(store, "orders.view").await
}

/// A number that the database holds.
pub(crate) async fn number(scene: &Scene, sql: &str) -> i64 {
    let db = scene.pool().await;
    let asked = sea_orm::Statement::from_string(db.get_database_backend(), sql.to_owned());
    let row = db.query_one_raw(asked).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

async fn what_commits_while_a_node_registers_is_applied_there(scene: Scene) {
    let here = scene.node().await;
    for point in ["register.cursor", "membership.registered"] {
        run(&here, GIVE).await;
        let node = Store::open_quiet(scene.pool().await, scene.settings()).await.unwrap();
        node.failpoints().hold(point);
        let round = tokio::spawn({
            let node = node.clone();
            async move { node.round().await }
        });
        node.failpoints().reached(point, 1).await;
        assert!(can(&scene, &node, "customer:1").await);
        let write = committed(&here, TAKE).await;
        node.failpoints().release(point);
        here.failpoints().release("barrier.look");
        done(round).await.unwrap();
        assert!(node.is_trusted(), "{point}");
        done(write).await;
        assert!(!can(&scene, &node, "customer:1").await, "{point}");
        node.close().await;
    }
}

async fn a_call_that_changes_nothing_waits_for_its_own_node_too(scene: Scene) {
    let there = scene.node().await;
    run(&there, GIVE).await;
    let own = scene.quiet_node(scene.settings()).await;
    assert!(can(&scene, &own, "customer:1").await);
    let first = committed(&there, TAKE).await;
    let second = run(&own, TAKE).await;
    assert_eq!(second.position, None, "the other call has done it");
    assert!(second.effective);
    assert!(
        !can(&scene, &own, "customer:1").await,
        "the second call has returned, at this very node"
    );
    there.failpoints().release("barrier.look");
    done(first).await;
}

async fn a_database_clock_that_jumps_excuses_no_node(scene: Scene) {
    let here = scene.node().await;
    run(&here, GIVE).await;
    let other = scene.quiet_node(scene.settings()).await;
    assert!(can(&scene, &other, "customer:1").await);
    scene.outside("UPDATE coherence_nodes SET seen_at = seen_at - 3600000000");
    let waits = here.metrics().barrier_waits;
    let write = committed(&here, TAKE).await;
    assert_eq!(here.metrics().barrier_waits, waits + 1, "the node has a lease");
    here.failpoints().release("barrier.look");
    assert!(can(&scene, &other, "customer:1").await, "the change has not returned");
    assert!(!write.is_finished());
    other.round().await.unwrap();
    done(write).await;
    assert!(!can(&scene, &other, "customer:1").await);
    // Nor is its row taken by one who looks at the clock.
    scene.outside("UPDATE coherence_nodes SET seen_at = seen_at - 3600000000");
    let looker = clock();
    let third = scene
        .quiet_node(settings(&scene, &looker, Duration::from_secs(1)))
        .await;
    for _ in 0..3 {
        looker.advance(Duration::from_millis(1_100));
        third.round().await.unwrap();
    }
    assert_eq!(number(&scene, "SELECT count(*) FROM coherence_nodes").await, 3);
}

async fn a_node_that_has_just_registered_has_acknowledged_what_was_before(scene: Scene) {
    let here = scene.node().await;
    run(&here, GIVE).await;
    let _other = scene.quiet_node(scene.settings()).await;
    let waits = here.metrics().barrier_waits;
    assert_eq!(run(&here, GIVE_NOTHING).await.position, None);
    assert_eq!(here.metrics().barrier_waits, waits);
}

/// Changes nothing.
const GIVE_NOTHING: &str = "DELETE FROM bekci_principal_roles WHERE id = '99'";

async fn a_lost_acknowledgement_is_sent_again(scene: Scene) {
    let here = scene.node().await;
    let other = scene.quiet_node(scene.settings()).await;
    let write = committed(&here, GIVE).await;
    other.failpoints().hold("poll.acknowledge");
    let round = tokio::spawn({
        let other = other.clone();
        async move { other.round().await }
    });
    other.failpoints().reached("poll.acknowledge", 1).await;
    scene.outside("ALTER TABLE coherence_nodes RENAME TO hidden_nodes");
    other.failpoints().release("poll.acknowledge");
    assert!(done(round).await.is_err());
    scene.outside("ALTER TABLE hidden_nodes RENAME TO coherence_nodes");
    other.round().await.unwrap();
    here.failpoints().release("barrier.look");
    let position = done(write).await.position.unwrap();
    assert_eq!(
        number(&scene, "SELECT min(acknowledged) FROM coherence_nodes").await,
        position
    );
}

async fn a_dead_node_costs_one_wait_and_no_more(scene: Scene) {
    let (writer_clock, dead_clock) = (clock(), clock());
    let writer = scene
        .quiet_node(settings(&scene, &writer_clock, Duration::from_secs(1)))
        .await;
    run(&writer, GIVE).await;
    run(&writer, GIVE_ANOTHER).await;
    let dead = scene
        .quiet_node(settings(&scene, &dead_clock, Duration::from_secs(3)))
        .await;
    assert!(can(&scene, &dead, "customer:2").await);
    let first = committed(&writer, TAKE).await;
    let waits = writer.metrics().barrier_waits;
    writer_clock.advance_uptime(Duration::from_millis(3_200));
    dead_clock.advance_uptime(Duration::from_millis(3_200));
    writer.failpoints().release("barrier.look");
    done(first).await;
    let second = tokio::time::timeout(PATIENCE, run(&writer, TAKE_ANOTHER)).await;
    assert!(second.is_ok(), "the clock stands still: a wait would have no end");
    assert_eq!(writer.metrics().barrier_waits, waits);
    // It comes back to life: with a row, a lease, and nothing of what it held.
    dead.round().await.unwrap();
    assert!(dead.is_trusted());
    assert!(!can(&scene, &dead, "customer:1").await && !can(&scene, &dead, "customer:2").await);
}

async fn a_node_that_is_fenced_before_its_acknowledgement_gains_no_lease(scene: Scene) {
    let writer_clock = clock();
    let writer = scene
        .quiet_node(settings(&scene, &writer_clock, Duration::from_secs(3)))
        .await;
    run(&writer, GIVE).await;
    run(&writer, GIVE_ANOTHER).await;
    let slow = scene.quiet_node(scene.settings()).await;
    assert!(can(&scene, &slow, "customer:2").await);
    let first = committed(&writer, TAKE).await;
    slow.failpoints().hold("poll.acknowledge");
    let round = tokio::spawn({
        let slow = slow.clone();
        async move { slow.round().await }
    });
    slow.failpoints().reached("poll.acknowledge", 1).await;
    writer_clock.advance_uptime(Duration::from_secs(6));
    writer.failpoints().release("barrier.look");
    done(first).await;
    run(&writer, TAKE_ANOTHER).await;
    slow.failpoints().release("poll.acknowledge");
    done(round).await.unwrap();
    assert!(
        !can(&scene, &slow, "customer:2").await,
        "the second change did not wait for it"
    );
    assert_eq!(
        number(&scene, "SELECT count(*) FROM coherence_nodes").await,
        2,
        "it has registered anew"
    );
}

async fn a_statement_of_the_loop_is_given_up_after_a_quarter_of_the_lease(scene: Scene) {
    if !scene.is_server() {
        // SQLite has no connection that could die.
        return;
    }
    let node = scene
        .quiet_node(settings(&scene, &clock(), Duration::from_secs(1)))
        .await;
    let locker = scene.pool().await;
    let held = locker.begin().await.unwrap();
    let (lock, unlock) = if scene.is_mariadb() {
        ("LOCK TABLES identity_outbox WRITE", "UNLOCK TABLES")
    } else {
        ("LOCK TABLE identity_outbox IN ACCESS EXCLUSIVE MODE", "SELECT 1")
    };
    held.execute_unprepared(lock).await.unwrap();
    let round = tokio::time::timeout(PATIENCE, node.round()).await;
    assert!(round.expect("the loop hangs").is_err());
    held.execute_unprepared(unlock).await.unwrap();
    held.rollback().await.unwrap();
    // Whatever the first connection does now, the next round has one that answers.
    let mut rounds = 0;
    while node.round().await.is_err() {
        rounds += 1;
        assert!(rounds < 20, "it never comes back");
    }
}

async fn a_stopped_holder_of_the_commit_lock_halts_nobody_for_longer_than_a_quarter_of_the_lease(scene: Scene) {
    if !scene.is_server() {
        return;
    }
    let delta = Duration::from_secs(1);
    let stopped = scene.quiet_node(settings(&scene, &clock(), delta)).await;
    let writer = scene.node().await;
    stopped.close().await;
    stopped.failpoints().hold("commit.before");
    let holder = tokio::spawn({
        let stopped = stopped.clone();
        async move {
            let transaction = stopped.connection().begin().await.unwrap();
            transaction.execute_unprepared(GIVE).await.unwrap();
            transaction.commit_with(Barrier::Always).await
        }
    });
    stopped.failpoints().reached("commit.before", 1).await;
    // The holder is still stopped, so that only the bound of its lock lets the other writer on.
    let other = tokio::time::timeout(PATIENCE, run(&writer, GIVE_ANOTHER)).await;
    assert!(other.is_ok());
    stopped.failpoints().release("commit.before");
    assert!(done(holder).await.is_err(), "its transaction was ended");
    until(|| writer.is_trusted()).await;
}
