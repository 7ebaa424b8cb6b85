//! The interleavings that must never decide by the old rights, each made with named points, not hoped for.

use std::{sync::Arc, time::Duration};

use bekci_core::{Consistency, ViewSource, testing::FakeClock};
use bekci_store::{CacheSettings, Store, StoreSettings};
use sea_orm::{ConnectionTrait, TransactionSession, TransactionTrait};

use crate::scene::{Ask, Scene, key, on_every_store, sign_in, until};

on_every_store! {
    nobody_sees_the_new_state_before_commit_nor_after_a_rollback,
    a_load_overtaken_by_an_invalidation_is_not_kept,
    a_request_never_joins_a_load_that_began_before_it,
    two_transactions_on_one_principal_have_two_ordered_versions,
    a_row_numbered_later_than_a_newer_one_is_applied_and_never_acknowledged_unseen,
    a_right_is_never_pieced_together_from_two_moments,
    a_node_that_missed_its_heartbeats_trusts_nothing_and_registers_anew,
    a_node_reaped_while_paused_decides_nothing_from_memory,
    a_node_away_for_longer_than_the_outbox_is_kept_drops_what_it_holds,
    a_writer_waits_for_the_longest_lease_of_a_stuck_node_and_no_longer,
    trust_is_leased_from_the_beginning_of_the_poll,
    an_unknown_outcome_is_said_and_the_retry_waits_all_the_same,
    a_caller_that_goes_away_does_not_cut_the_commit,
    without_the_database_memory_serves_until_trust_runs_out_and_then_nobody,
}

const GIVE: &str = "INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', '', 'buyer')";
const TAKE: &str = "DELETE FROM bekci_principal_roles WHERE id = '1'";

/// Settings with a clock that the test turns.
fn with_clock(scene: &Scene, clock: &Arc<FakeClock>, delta: Duration) -> StoreSettings {
    let cache = CacheSettings {
        max_staleness: Some(delta),
        ..scene.settings().cache
    };
    StoreSettings {
        cache,
        clock: Arc::clone(clock) as _,
        ..scene.settings()
    }
}

fn clock() -> Arc<FakeClock> {
    Arc::new(FakeClock::at(
        bekci_core::Clock::now(&bekci_store::SystemClock).unix_timestamp(),
    ))
}

async fn nobody_sees_the_new_state_before_commit_nor_after_a_rollback(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let before = Ask::of(&who, &scene.customer).view(&here).await.version;
    let transaction = here.connection().begin().await.unwrap();
    transaction.execute_unprepared(GIVE).await.unwrap();
    for node in [&here, &there] {
        assert!(!Ask::of(&who, &scene.customer).direct().can(node, "orders.view").await);
    }
    transaction.rollback().await.unwrap();
    for node in [&here, &there] {
        assert!(!Ask::of(&who, &scene.customer).direct().can(node, "orders.view").await);
        assert_eq!(Ask::of(&who, &scene.customer).view(node).await.version, before);
    }
}

async fn a_load_overtaken_by_an_invalidation_is_not_kept(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    here.connection().execute_unprepared(GIVE).await.unwrap();
    there.failpoints().hold("read.loaded");
    let slow = tokio::spawn({
        let (there, who, customer) = (there.clone(), who.clone(), Arc::clone(&scene.customer));
        async move { Ask::of(&who, &customer).can(&there, "orders.view").await }
    });
    there.failpoints().reached("read.loaded", 1).await;
    here.connection().execute_unprepared(TAKE).await.unwrap();
    there.failpoints().release("read.loaded");
    assert!(slow.await.unwrap(), "the request began before the change");
    assert!(
        !Ask::of(&who, &scene.customer).can(&there, "orders.view").await,
        "and what it loaded was not kept"
    );
}

async fn a_request_never_joins_a_load_that_began_before_it(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    here.connection().execute_unprepared(GIVE).await.unwrap();
    for consistency in [Consistency::L1, Consistency::Direct] {
        there.failpoints().hold("read.loaded");
        let ask = |there: Store, who, customer: Arc<bekci_core::AuthGuard>| async move {
            Ask {
                consistency,
                ..Ask::of(&who, &customer)
            }
            .can(&there, "orders.view")
            .await
        };
        let first = tokio::spawn(ask(there.clone(), who.clone(), Arc::clone(&scene.customer)));
        let held = tokio::time::timeout(Duration::from_secs(5), there.failpoints().reached("read.loaded", 1)).await;
        assert!(held.is_ok(), "{consistency:?}: nothing was loaded");
        here.connection().execute_unprepared(TAKE).await.unwrap();
        let second = tokio::spawn(ask(there.clone(), who.clone(), Arc::clone(&scene.customer)));
        there.failpoints().release("read.loaded");
        assert!(first.await.unwrap());
        assert!(
            !second.await.unwrap(),
            "{consistency:?}: it began after the change had returned"
        );
        here.connection().execute_unprepared(GIVE).await.unwrap();
    }
}

async fn two_transactions_on_one_principal_have_two_ordered_versions(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let mut last = Ask::of(&who, &scene.customer).view(&here).await.version;
    for round in 0..10 {
        let write = |store: Store, permission: String| async move {
            let sql = format!(
                "INSERT INTO bekci_principal_permissions VALUES ('customer', '1', 'customer', '', '{permission}', false)"
            );
            let transaction = store.connection().begin().await.unwrap();
            transaction.execute_unprepared(&sql).await.unwrap();
            let committed = transaction.commit_with(bekci_store::Barrier::Always).await.unwrap();
            committed.version_of(&key("customer:1")).unwrap()
        };
        let a = tokio::spawn(write(here.clone(), format!("a.p{round}")));
        let b = tokio::spawn(write(there.clone(), format!("b.p{round}")));
        let (a, b) = (a.await.unwrap(), b.await.unwrap());
        assert!(a != b && a.min(b) > last, "{a:?} and {b:?} after {last:?}");
        last = a.max(b);
        for node in [&here, &there] {
            let view = Ask::of(&who, &scene.customer).view(node).await;
            assert_eq!(view.version, last);
            assert!(Ask::of(&who, &scene.customer).can(node, &format!("a.p{round}")).await);
            assert!(Ask::of(&who, &scene.customer).can(node, &format!("b.p{round}")).await);
        }
    }
}

async fn a_row_numbered_later_than_a_newer_one_is_applied_and_never_acknowledged_unseen(scene: Scene) {
    if !scene.is_server() {
        // SQLite has one writer: there is no row that was appended earlier and committed later.
        return;
    }
    let here = scene.node().await;
    let reader = scene
        .quiet_node(StoreSettings {
            cache: scene.settings().cache,
            ..scene.settings()
        })
        .await;
    let who = key("customer:1");
    assert!(!Ask::of(&who, &scene.customer).can(&reader, "orders.view").await);
    let slow = here.connection().begin().await.unwrap();
    slow.execute_unprepared(GIVE).await.unwrap();
    let raw = scene.pool().await;
    raw.execute_unprepared("UPDATE customers SET name = 'newer' WHERE id = 2")
        .await
        .unwrap();
    reader.round().await.unwrap();
    let slow = tokio::spawn(slow.commit());
    for _ in 0..200 {
        reader.round().await.unwrap();
        if slow.is_finished() {
            break;
        }
    }
    slow.await.unwrap().unwrap();
    assert!(Ask::of(&who, &scene.customer).can(&reader, "orders.view").await);
}

async fn a_right_is_never_pieced_together_from_two_moments(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let db = here.connection();
    for consistency in [Consistency::L1, Consistency::Direct] {
        db.execute_unprepared(GIVE).await.unwrap();
        // A load of everything: the identity is read, then held before the role table is.
        db.execute_unprepared("UPDATE bekci_roles SET name = name")
            .await
            .unwrap();
        db.execute_unprepared("INSERT INTO bekci_role_permissions (role_id, permission) SELECT id, 'other.thing' FROM bekci_roles WHERE name = 'buyer'").await.unwrap();
        there.failpoints().hold("read.identity");
        let piece = tokio::spawn({
            let (there, who, customer) = (there.clone(), who.clone(), Arc::clone(&scene.customer));
            async move {
                Ask {
                    consistency,
                    ..Ask::of(&who, &customer)
                }
                .can(&there, "vault.open")
                .await
            }
        });
        there.failpoints().reached("read.identity", 1).await;
        db.execute_unprepared(TAKE).await.unwrap();
        db.execute_unprepared("INSERT INTO bekci_role_permissions (role_id, permission) SELECT id, 'vault.open' FROM bekci_roles WHERE name = 'buyer'").await.unwrap();
        there.failpoints().release("read.identity");
        assert!(
            !piece.await.unwrap(),
            "{consistency:?}: at no moment did the principal hold it"
        );
        assert!(
            !Ask {
                consistency,
                ..Ask::of(&who, &scene.customer)
            }
            .can(&there, "vault.open")
            .await
        );
        db.execute_unprepared("DELETE FROM bekci_role_permissions WHERE permission IN ('vault.open', 'other.thing')")
            .await
            .unwrap();
    }
}

async fn a_node_that_missed_its_heartbeats_trusts_nothing_and_registers_anew(scene: Scene) {
    let clock = clock();
    let node = scene
        .quiet_node(with_clock(&scene, &clock, Duration::from_secs(1)))
        .await;
    let who = key("customer:1");
    Ask::of(&who, &scene.customer).view(&node).await;
    assert!(node.is_trusted());
    scene.outside("DELETE FROM coherence_nodes");
    clock.advance(Duration::from_millis(1_100));
    assert!(!node.is_trusted(), "the lease of the last poll has run out");
    node.round().await.unwrap();
    assert!(node.is_trusted());
    assert!(
        node.identities().warm(&Ask::of(&who, &scene.customer).need()).is_none(),
        "it dropped what it held"
    );
}

async fn a_node_reaped_while_paused_decides_nothing_from_memory(scene: Scene) {
    let clock = clock();
    let paused = scene
        .quiet_node(with_clock(&scene, &clock, Duration::from_secs(1)))
        .await;
    let here = scene.node().await;
    let who = key("customer:1");
    here.connection().execute_unprepared(GIVE).await.unwrap();
    paused.round().await.unwrap();
    assert!(Ask::of(&who, &scene.customer).can(&paused, "orders.view").await);
    scene.outside("DELETE FROM coherence_nodes WHERE delta_ms = 1000");
    clock.advance(Duration::from_secs(60));
    // A writer no longer waits for it.
    let waits = here.metrics().barrier_waits;
    here.connection().execute_unprepared(TAKE).await.unwrap();
    assert_eq!(here.metrics().barrier_waits, waits);
    assert!(!Ask::of(&who, &scene.customer).can(&paused, "orders.view").await);
    paused.round().await.unwrap();
    assert!(!Ask::of(&who, &scene.customer).can(&paused, "orders.view").await);
}

async fn a_node_away_for_longer_than_the_outbox_is_kept_drops_what_it_holds(scene: Scene) {
    let clock = clock();
    let away = scene
        .quiet_node(with_clock(&scene, &clock, Duration::from_secs(1)))
        .await;
    let who = key("customer:1");
    scene.outside(GIVE);
    away.round().await.unwrap();
    assert!(Ask::of(&who, &scene.customer).can(&away, "orders.view").await);
    scene.outside(TAKE);
    let writer = scene.quiet_node(scene.settings()).await;
    scene.outside("UPDATE coherence_nodes SET acknowledged = 1000000");
    assert!(writer.prune(-1_000_000).await.unwrap() > 0);
    away.round().await.unwrap();
    assert!(
        !Ask::of(&who, &scene.customer).can(&away, "orders.view").await,
        "its row was pruned before it saw it"
    );
}

async fn a_writer_waits_for_the_longest_lease_of_a_stuck_node_and_no_longer(scene: Scene) {
    let writer_clock = clock();
    let stuck_clock = clock();
    let stuck = scene
        .quiet_node(with_clock(&scene, &stuck_clock, Duration::from_secs(3)))
        .await;
    let writer = scene
        .quiet_node(with_clock(&scene, &writer_clock, Duration::from_secs(1)))
        .await;
    let who = key("customer:1");
    assert!(!Ask::of(&who, &scene.customer).can(&stuck, "orders.view").await);
    writer.failpoints().hold("barrier.look");
    let write = tokio::spawn({
        let writer = writer.clone();
        async move { writer.connection().execute_unprepared(GIVE).await.map(|_| ()) }
    });
    writer.failpoints().reached("barrier.look", 1).await;
    writer_clock.advance_uptime(Duration::from_millis(3_100));
    writer.failpoints().pass_one("barrier.look");
    // It has looked at the later time, and looks again.
    writer.failpoints().reached("barrier.look", 2).await;
    writer.failpoints().release("barrier.look");
    assert!(
        !write.is_finished(),
        "3.1 s is less than 1.05 times the stuck node's 3 s, though more than the writer's own Δ"
    );
    writer_clock.advance_uptime(Duration::from_millis(100));
    write.await.unwrap().unwrap();
    stuck_clock.advance_uptime(Duration::from_millis(3_200));
    assert!(!stuck.is_trusted());
    assert!(Ask::of(&who, &scene.customer).can(&stuck, "orders.view").await);
}

async fn trust_is_leased_from_the_beginning_of_the_poll(scene: Scene) {
    let clock = clock();
    let node = scene
        .quiet_node(with_clock(&scene, &clock, Duration::from_secs(1)))
        .await;
    node.failpoints().hold("poll.seen");
    let round = tokio::spawn({
        let node = node.clone();
        async move { node.round().await }
    });
    node.failpoints().reached("poll.seen", 1).await;
    clock.advance_uptime(Duration::from_millis(1_500));
    node.failpoints().release("poll.seen");
    round.await.unwrap().unwrap();
    assert!(!node.is_trusted(), "the answer is 1.5 s old, and Δ is 1 s");
}

async fn an_unknown_outcome_is_said_and_the_retry_waits_all_the_same(scene: Scene) {
    if !scene.is_server() {
        // SQLite is in this process: its COMMIT has an outcome, or the process has none either.
        return;
    }
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    here.connection().execute_unprepared(GIVE).await.unwrap();
    assert!(Ask::of(&who, &scene.customer).can(&there, "orders.view").await);
    here.failpoints().hold("commit.before");
    let write = tokio::spawn({
        let here = here.clone();
        async move {
            let transaction = here.connection().begin().await.unwrap();
            transaction.execute_unprepared(TAKE).await.unwrap();
            transaction.commit_with(bekci_store::Barrier::Always).await
        }
    });
    here.failpoints().reached("commit.before", 1).await;
    if scene.is_mariadb() {
        let ends = "BEGIN NOT ATOMIC FOR idle IN (SELECT trx_mysql_thread_id AS id FROM information_schema.INNODB_TRX t \
                    JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id WHERE p.DB = DATABASE() AND p.COMMAND = 'Sleep') \
                    DO KILL idle.id; END FOR; END";
        scene.outside(&format!("DELIMITER //\n{ends}//"));
    } else {
        scene.outside("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()");
    }
    here.failpoints().release("commit.before");
    let error = write.await.unwrap().unwrap_err();
    assert!(!error.to_string().is_empty());
    let retry = async {
        let transaction = here.connection().begin().await.unwrap();
        transaction.execute_unprepared(TAKE).await.unwrap();
        transaction.commit_with(bekci_store::Barrier::Always).await.unwrap()
    };
    assert!(retry.await.effective);
    assert!(!Ask::of(&who, &scene.customer).can(&there, "orders.view").await);
    let barriers = here.metrics().barriers;
    let again = here.connection().begin().await.unwrap();
    again.execute_unprepared(TAKE).await.unwrap();
    assert_eq!(
        again.commit_with(bekci_store::Barrier::Always).await.unwrap().position,
        None
    );
    assert_eq!(
        here.metrics().barriers,
        barriers + 1,
        "a retry that changes nothing waits all the same"
    );
}

async fn a_caller_that_goes_away_does_not_cut_the_commit(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    here.connection().execute_unprepared(GIVE).await.unwrap();
    assert!(Ask::of(&who, &scene.customer).can(&there, "orders.view").await);
    here.failpoints().hold("commit.before");
    let write = tokio::spawn({
        let here = here.clone();
        async move { here.connection().execute_unprepared(TAKE).await.map(|_| ()) }
    });
    here.failpoints().reached("commit.before", 1).await;
    let barriers = here.metrics().barriers;
    write.abort();
    here.failpoints().release("commit.before");
    until(|| here.metrics().barriers > barriers).await;
    for node in [&here, &there] {
        let gone = async || !Ask::of(&who, &scene.customer).direct().can(node, "orders.view").await;
        assert!(gone().await);
    }
}

async fn without_the_database_memory_serves_until_trust_runs_out_and_then_nobody(scene: Scene) {
    let clock = clock();
    let node = scene
        .quiet_node(with_clock(&scene, &clock, Duration::from_secs(5)))
        .await;
    let who = key("customer:1");
    let sid = sign_in(&node, &scene.customer, &who).await;
    // Memory keeps what is of the loop's position: the sign-in is past it until the loop has come there.
    node.round().await.unwrap();
    Ask::of(&who, &scene.customer).view(&node).await;
    scene.outside("ALTER TABLE identity_versions RENAME TO hidden_versions");
    let view = Ask::of(&who, &scene.customer).try_view(&node).await.unwrap();
    assert_eq!(view.source, ViewSource::L1);
    assert!(view.identity.session(sid, &scene.customer.name).is_some());
    assert!(
        Ask::of(&who, &scene.customer).direct().try_view(&node).await.is_err(),
        "direct never serves what is remembered"
    );
    clock.advance(Duration::from_secs(5));
    assert!(
        Ask::of(&who, &scene.customer).try_view(&node).await.is_err(),
        "cannot tell is its own answer"
    );
    scene.outside("ALTER TABLE hidden_versions RENAME TO identity_versions");
    assert!(Ask::of(&who, &scene.customer).try_view(&node).await.is_ok());
}
