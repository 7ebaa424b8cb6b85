//! The search for drift: what was changed past the triggers is found, in memory and in Redis, and nothing else is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use bekci_core::Meter;
use bekci_store::{Drift, Store};
use bekci_test_support::Redis;
use sea_orm::ConnectionTrait;

use crate::scene::{Ask, Scene, key, on_every_store, sign_in, until};

on_every_store! {
    what_was_changed_past_the_triggers_is_found_in_memory_and_in_redis,
    an_entry_of_an_older_state_is_drift_only_under_the_version_of_now,
    while_writers_write_there_is_no_alarm,
    a_session_that_is_over_by_the_clock_is_no_drift,
    a_node_looks_by_itself,
}

const GIVE: &str = "INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', '', 'buyer')";
const TAKE: &str = "DELETE FROM bekci_principal_roles WHERE id = '1'";

#[derive(Debug, Default)]
struct Counted {
    compared: AtomicU32,
    drifting: AtomicU32,
}

impl Meter for Counted {
    fn cache_compared(&self, drifts: bool) {
        self.compared.fetch_add(1, Ordering::SeqCst);
        self.drifting.fetch_add(u32::from(drifts), Ordering::SeqCst);
    }
}

impl Counted {
    /// How many were compared by one look, and how many drifted.
    async fn look(&self, node: &Store) -> (u32, u32) {
        let before = (
            self.compared.load(Ordering::SeqCst),
            self.drifting.load(Ordering::SeqCst),
        );
        node.look_for_drift().await.unwrap();
        let after = (
            self.compared.load(Ordering::SeqCst),
            self.drifting.load(Ordering::SeqCst),
        );
        (after.0 - before.0, after.1 - before.1)
    }
}

/// A node that looks only when it is told to.
async fn node(scene: &Scene) -> (Store, Arc<Counted>) {
    let counted = Arc::new(Counted::default());
    let mut settings = scene.settings();
    settings.meter = counted.clone();
    settings.cache.drift_checks_per_minute = 0;
    let node = Store::open(scene.pool().await, settings).await.unwrap();
    until(|| node.is_trusted()).await;
    (node, counted)
}

/// Asks until memory has it: the node has to have applied what came before.
async fn into_memory(scene: &Scene, node: &Store, id: &str) {
    let who = key(id);
    for _ in 0..20_000 {
        let view = Ask::of(&who, &scene.customer).view(node).await;
        if view.source == bekci_core::ViewSource::L1 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("memory never has {id}");
}

/// Rights are written from now on and nobody hears of it.
fn without_triggers(scene: &Scene) {
    if scene.is_postgres() {
        return scene.outside("ALTER TABLE bekci_principal_roles DISABLE TRIGGER USER");
    }
    if scene.is_mariadb() {
        let list = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = 'bekci_principal_roles'";
        let names = bekci_test_support::mariadb_cli(scene.url(), list);
        assert!(!names.is_empty());
        return names
            .lines()
            .for_each(|name| scene.outside(&format!("DROP TRIGGER {name}")));
    }
    let path = scene.url().trim_start_matches("sqlite://");
    let path = path.split('?').next().unwrap();
    let list = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'bekci_principal_roles'";
    let names = bekci_test_support::try_sqlite3_cli(path.as_ref(), list).unwrap();
    assert!(!names.is_empty());
    for name in names.lines() {
        scene.outside(&format!("DROP TRIGGER \"{name}\""));
    }
}

fn with_redis(scene: &Scene) -> u32 {
    u32::from(scene.redis().is_some())
}

async fn what_was_changed_past_the_triggers_is_found_in_memory_and_in_redis(scene: Scene) {
    let (node, counted) = node(&scene).await;
    let redis = with_redis(&scene);
    into_memory(&scene, &node, "customer:1").await;
    assert_eq!(counted.look(&node).await, (1 + redis, 0));
    let sound = Drift {
        compared: redis.into(),
        ..Drift::default()
    };
    assert_eq!(node.drift(10).await.unwrap(), sound);

    without_triggers(&scene);
    scene.outside(GIVE);
    assert_eq!(counted.look(&node).await, (1 + redis, 1 + redis));
    let found = node.drift(10).await.unwrap();
    let expected = if redis == 1 {
        vec![key("customer:1")]
    } else {
        Vec::new()
    };
    assert_eq!((found.drifting, found.refused), (expected, Vec::new()));

    node.touch(&[key("customer:1")]).await.unwrap();
    into_memory(&scene, &node, "customer:1").await;
    assert_eq!(counted.look(&node).await, (1 + redis, 0), "it was loaded again");
    assert_eq!(node.drift(10).await.unwrap().drifting, []);
    node.close().await;
}

/// With its right seal, as an old dump of Redis has it.
async fn an_entry_of_an_older_state_is_drift_only_under_the_version_of_now(scene: Scene) {
    let Some(settings) = scene.redis().cloned() else {
        let (node, _) = node(&scene).await;
        return assert_eq!(node.drift(10).await.unwrap(), Drift::default());
    };
    let (node, _) = node(&scene).await;
    let (redis, name) = (Redis::shared(), format!("{}customer:1", settings.prefix));
    let (who, db) = (key("customer:1"), node.connection());
    db.execute_unprepared(GIVE).await.unwrap();
    let old = Ask::of(&who, &scene.customer).direct().view(&node).await.version;
    let entry = redis.cli(&["GET", &name]).trim_end().to_owned();
    db.execute_unprepared(TAKE).await.unwrap();
    assert!(!Ask::of(&who, &scene.customer).direct().can(&node, "orders.view").await);
    assert_eq!(node.drift(10).await.unwrap().compared, 1);

    redis.cli(&["SET", &name, &entry, "EX", "600"]);
    let found = node.drift(10).await.unwrap();
    assert_eq!((found.outdated, found.drifting), (1, Vec::new()), "no node uses it");
    // The version was given out twice, which a restore without another epoch does.
    scene.outside(&format!(
        "UPDATE identity_versions SET version = {} WHERE identity_versions.key = 'customer:1'",
        old.0
    ));
    assert_eq!(node.drift(10).await.unwrap().drifting, [who]);

    let forged = entry.replacen("buyer", "owner", 1);
    assert_ne!(forged, entry);
    redis.cli(&["SET", &name, &forged, "EX", "600"]);
    let found = node.drift(10).await.unwrap();
    assert_eq!((found.refused, found.drifting), (vec![key("customer:1")], Vec::new()));
    node.close().await;
}

async fn while_writers_write_there_is_no_alarm(scene: Scene) {
    let (node, counted) = node(&scene).await;
    let (raw, stop) = (scene.pool().await, Arc::new(AtomicBool::new(false)));
    let written = Arc::new(AtomicU32::new(0));
    let guarded = tokio::spawn({
        let (node, stop, written) = (node.clone(), Arc::clone(&stop), Arc::clone(&written));
        async move {
            while !stop.load(Ordering::SeqCst) {
                for sql in [GIVE, TAKE] {
                    node.connection().execute_unprepared(sql).await.unwrap();
                    written.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    });
    let from_outside = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            while !stop.load(Ordering::SeqCst) {
                // One that finds the database busy is one that wrote nothing.
                let _written = raw
                    .execute_unprepared(
                        "UPDATE customers SET name = name || '.' WHERE id IN (1, 2) AND length(name) < 4000",
                    )
                    .await;
            }
        }
    });
    let (mut looks, mut compared) = (0_u32, 0);
    while looks < 60 || written.load(Ordering::SeqCst) < 40 {
        // The third is written by nobody, so that there is something to compare however fast the others are written.
        for id in ["customer:1", "customer:2", "customer:3"] {
            Ask::of(&key(id), &scene.customer).view(&node).await;
        }
        node.look_for_drift().await.unwrap();
        let found = node.drift(10).await.unwrap();
        assert_eq!((found.drifting, found.refused), (Vec::new(), Vec::new()));
        compared += found.compared;
        looks += 1;
    }
    stop.store(true, Ordering::SeqCst);
    guarded.await.unwrap();
    from_outside.await.unwrap();
    assert_eq!(counted.drifting.load(Ordering::SeqCst), 0);
    assert!(
        counted.compared.load(Ordering::SeqCst) > 0 || compared > 0,
        "nothing was looked at"
    );
    node.close().await;
}

async fn a_node_looks_by_itself(scene: Scene) {
    let counted = Arc::new(Counted::default());
    let mut settings = scene.settings();
    settings.meter = counted.clone();
    settings.cache.drift_checks_per_minute = 6_000;
    let node = Store::open(scene.pool().await, settings).await.unwrap();
    until(|| node.is_trusted()).await;
    into_memory(&scene, &node, "customer:1").await;
    without_triggers(&scene);
    scene.outside(GIVE);
    until(|| counted.drifting.load(Ordering::SeqCst) > 0).await;
    node.close().await;
}

async fn a_session_that_is_over_by_the_clock_is_no_drift(scene: Scene) {
    let (node, counted) = node(&scene).await;
    let redis = with_redis(&scene);
    let who = key("customer:1");
    sign_in(&node, &scene.customer, &who).await;
    into_memory(&scene, &node, "customer:1").await;
    assert_eq!(
        Ask::of(&who, &scene.customer).view(&node).await.identity.sessions.len(),
        1
    );
    // As if it had been long ago: no trigger watches the column.
    scene.outside("UPDATE bekci_sessions SET rotated_at = 0");
    assert_eq!(counted.look(&node).await, (1 + redis, 0));
    assert_eq!(node.drift(10).await.unwrap().drifting, []);
    node.close().await;
}
