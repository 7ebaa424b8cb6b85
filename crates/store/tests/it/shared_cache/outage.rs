//! Redis is not in the path of a write, and no decision needs it.

use bekci_store::{RedisSettings, Store, StoreSettings};
use bekci_test_support::Redis;
use sea_orm::ConnectionTrait;

use super::{may, with_redis};
use crate::scene::{Scene, key, sign_in, until};

with_redis! {
    everything_works_with_redis_stopped_paused_restarted_and_emptied,
}

async fn node(scene: &Scene, server: &Redis) -> Store {
    let settings = StoreSettings {
        redis: Some(RedisSettings {
            ca_file: None,
            url: server.url().into(),
            prefix: "bekci:".to_owned(),
        }),
        ..scene.settings()
    };
    let store = Store::open(scene.pool().await, settings).await.unwrap();
    until(|| store.is_trusted()).await;
    store
}

/// Gives and takes a right and opens and ends a session, each in force on both nodes at return.
async fn works(scene: &Scene, here: &Store, there: &Store, when: &str) {
    let who = key("customer:1");
    let db = here.connection();
    for (change, expected) in [
        (
            "INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', '', 'buyer')",
            true,
        ),
        ("DELETE FROM bekci_principal_roles WHERE id = '1'", false),
    ] {
        db.execute_unprepared(change).await.unwrap();
        assert_eq!(
            may(&[here, there], &who, &scene.customer, "orders.view").await,
            expected,
            "{when}"
        );
    }
    let sid = sign_in(there, &scene.customer, &who).await;
    let sessions = here.sign_in_store();
    let ended = sessions.end_sessions(
        &who,
        None,
        &bekci_core::signin::EndSessions::All,
        time::OffsetDateTime::UNIX_EPOCH,
    );
    assert_eq!(ended.await.unwrap(), [sid], "{when}");
}

async fn everything_works_with_redis_stopped_paused_restarted_and_emptied(scene: Scene) {
    let server = Redis::start();
    let (here, there) = (node(&scene, &server).await, node(&scene, &server).await);
    works(&scene, &here, &there, "at first").await;
    server.pause();
    works(&scene, &here, &there, "paused").await;
    let newcomer = node(&scene, &server).await;
    works(&scene, &newcomer, &there, "opened while paused").await;
    server.resume();
    works(&scene, &here, &there, "resumed").await;
    server.stop();
    works(&scene, &here, &there, "stopped").await;
    server.restart();
    works(&scene, &here, &there, "restarted").await;
    server.cli(&["FLUSHALL"]);
    works(&scene, &newcomer, &there, "emptied").await;
    // In the end it is used again by those who had to do without it.
    for n in 0..20_000 {
        let sql = format!("UPDATE customers SET name = 'x{n}' WHERE id = 1");
        here.connection().execute_unprepared(&sql).await.unwrap();
        may(&[&here], &key("customer:1"), &scene.customer, "orders.view").await;
        if server.cli(&["EXISTS", "bekci:customer:1"]).trim() == "1" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("Redis was never used again");
}
