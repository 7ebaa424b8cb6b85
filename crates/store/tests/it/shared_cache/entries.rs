//! What is stored, and that no entry but the one of this very version is ever used.

use bekci_core::{Consistency, ViewSource};
use bekci_store::{Barrier, Store};
use sea_orm::{ConnectionTrait, TransactionTrait};

use super::{Outside, may, with_redis};
use crate::scene::{Ask, Scene, key, sign_in, until};

with_redis! {
    an_older_entry_put_back_at_any_time_never_decides,
    an_entry_is_readable_and_says_what_it_is,
    a_process_without_a_loop_stores_what_it_loads,
    an_entry_with_the_right_label_spares_the_load,
    a_bump_of_everything_makes_every_entry_useless,
    what_a_hook_named_is_stored_when_the_call_returns,
}

const GIVE: &str = "INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', '', 'buyer')";
const TAKE: &str = "DELETE FROM bekci_principal_roles WHERE id = '1'";

async fn an_older_entry_put_back_at_any_time_never_decides(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let (outside, who) = (Outside::of(&scene), key("customer:1"));
    let db = here.connection();
    // Entries of several versions, with and without the right, each kept by somebody.
    let mut kept = Vec::new();
    for change in [GIVE, TAKE, GIVE, TAKE] {
        db.execute_unprepared(change).await.unwrap();
        let expected = change == GIVE;
        assert_eq!(
            may(&[&here, &there], &who, &scene.customer, "orders.view").await,
            expected
        );
        let entry = outside.get("customer:1");
        assert!(!kept.contains(&entry), "each version has an entry of its own");
        kept.push(entry);
        for old in kept.iter().rev().skip(1) {
            outside.put("customer:1", old);
            for fresh in [false, true] {
                // A third node has nothing in memory: it asks the shared cache first.
                let newcomer = if fresh { Some(scene.node().await) } else { None };
                let nodes: Vec<_> = [&here, &there].into_iter().chain(&newcomer).collect();
                assert_eq!(may(&nodes, &who, &scene.customer, "orders.view").await, expected);
                if let Some(newcomer) = newcomer {
                    newcomer.close().await;
                    let now = Ask::of(&who, &scene.customer).direct().view(&here).await.version;
                    assert_eq!(
                        Outside::label(&outside.get("customer:1")).0,
                        now.0,
                        "what it loaded is there now"
                    );
                }
                outside.put("customer:1", old);
            }
            // Revived before, and there when, the next change comes.
            db.execute_unprepared("UPDATE customers SET name = name || '.' WHERE id = 1")
                .await
                .unwrap();
            assert_eq!(
                may(&[&there, &here], &who, &scene.customer, "orders.view").await,
                expected
            );
        }
    }
}

/// As a command does.
async fn a_process_without_a_loop_stores_what_it_loads(scene: Scene) {
    let here = scene.node().await;
    let (outside, who) = (Outside::of(&scene), key("customer:1"));
    here.connection().execute_unprepared(GIVE).await.unwrap();
    let command = Store::open_quiet(scene.pool().await, scene.settings()).await.unwrap();
    assert_eq!(outside.get("customer:1"), "");
    Ask::of(&who, &scene.customer).direct().view(&command).await;
    assert_ne!(outside.get("customer:1"), "");
}

async fn an_entry_is_readable_and_says_what_it_is(scene: Scene) {
    let here = scene.node().await;
    let (outside, who) = (Outside::of(&scene), key("customer:1"));
    here.connection().execute_unprepared(GIVE).await.unwrap();
    let sid = sign_in(&here, &scene.customer, &who).await;
    // A sign-in waits for no node. What this one has not applied yet is not stored.
    let nothing = here.connection().begin().await.unwrap();
    nothing.commit_with(Barrier::Always).await.unwrap();
    let view = Ask::of(&who, &scene.customer).direct().view(&here).await;
    let sealed: serde_json::Value = serde_json::from_str(&outside.get("customer:1")).unwrap();
    let entry = &sealed["entry"];
    assert_eq!(entry["key"], "customer:1");
    assert_eq!(entry["version"], view.version.0);
    assert_eq!((&entry["epoch"], &entry["schema"]), (&0.into(), &2.into()));
    assert_eq!(entry["payload"]["attributes"]["email"], "c1@example.com");
    assert_eq!(entry["payload"]["sessions"][0]["id"], sid.to_string());
    assert!(entry["payload"]["rights"].to_string().contains("buyer"));
    assert!(
        !entry.to_string().contains("orders.view"),
        "what a role permits is not in it"
    );
    let ttl: i64 = outside
        .server
        .cli(&["TTL", &outside.name("customer:1")])
        .trim()
        .parse()
        .unwrap();
    assert!((7_100..=7_200).contains(&ttl), "{ttl}");
}

async fn an_entry_with_the_right_label_spares_the_load(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    Ask::of(&who, &scene.customer).view(&here).await;
    let there = scene.node().await;
    // The role table is loaded once, with somebody else's identity.
    Ask::of(&key("customer:2"), &scene.customer).view(&there).await;
    let before = there.metrics();
    let view = Ask::of(&who, &scene.customer).view(&there).await;
    assert_eq!(view.source, ViewSource::Redis);
    let after = there.metrics();
    assert_eq!(
        (after.shared_hits, after.identity_loads),
        (before.shared_hits + 1, before.identity_loads)
    );
    assert_eq!(Ask::of(&who, &scene.customer).view(&there).await.source, ViewSource::L1);
}

async fn a_bump_of_everything_makes_every_entry_useless(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let (outside, who) = (Outside::of(&scene), key("customer:1"));
    let db = here.connection();
    let text = if scene.is_mariadb() { "CHAR" } else { "TEXT" };
    // Two numbers crossed, since MariaDB ends a recursion after a thousand rounds.
    let others = format!(
        "INSERT INTO bekci_principal_roles WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 39) \
         SELECT 'customer', CAST(1000 + 40 * a.i + b.i AS {text}), 'customer', '', 'buyer' FROM n a CROSS JOIN n b"
    );
    let mut epoch = 0;
    for empties in ["DELETE FROM bekci_principal_roles", "TRUNCATE bekci_principal_roles"] {
        // MariaDB refuses it, and SQLite has none.
        if empties.starts_with("TRUNCATE") && !scene.is_postgres() {
            continue;
        }
        db.execute_unprepared(GIVE).await.unwrap();
        db.execute_unprepared(&others).await.unwrap();
        assert!(may(&[&here, &there], &who, &scene.customer, "orders.view").await);
        let old = outside.get("customer:1");
        db.execute_unprepared(empties).await.unwrap();
        for _ in 0..2 {
            assert!(!may(&[&here, &there], &who, &scene.customer, "orders.view").await);
            outside.put("customer:1", &old);
            let newcomer = scene.node().await;
            assert!(!may(&[&newcomer], &who, &scene.customer, "orders.view").await);
            newcomer.close().await;
            outside.put("customer:1", &old);
        }
        if scene.is_postgres() {
            outside.delete("customer:1");
            let newcomer = scene.node().await;
            may(&[&newcomer], &who, &scene.customer, "orders.view").await;
            newcomer.close().await;
            let now = Outside::label(&outside.get("customer:1")).1;
            assert!(now > epoch, "it was the epoch that moved");
            epoch = now;
        }
    }
}

async fn what_a_hook_named_is_stored_when_the_call_returns(scene: Scene) {
    use bekci_store::{Barrier, entity::principal_role};
    use sea_orm::{ActiveModelTrait, ActiveValue::Set, TransactionTrait};
    let here = scene.node().await;
    let (outside, who) = (Outside::of(&scene), key("customer:1"));
    Ask::of(&key("customer:2"), &scene.customer).view(&here).await;
    let role = principal_role::ActiveModel {
        model: Set("customer".to_owned()),
        id: Set("1".to_owned()),
        guard: Set("customer".to_owned()),
        tenant: Set(String::new()),
        role: Set("buyer".to_owned()),
    };
    outside.delete("customer:1");
    let transaction = here.connection().begin().await.unwrap();
    role.insert(&transaction).await.unwrap();
    assert_eq!(
        outside.get("customer:1"),
        "",
        "nothing leaves the database before COMMIT"
    );
    let committed = transaction.commit_with(Barrier::Auto).await.unwrap();
    let version = committed.version_of(&who).unwrap();
    // The call waits 50 ms at most for it; on a busy machine it may come a little later.
    until(|| !outside.get("customer:1").is_empty()).await;
    let entry = outside.get("customer:1");
    assert_eq!(Outside::label(&entry), (version.0, 0));
    assert!(entry.contains("buyer"));
    let there = scene.node().await;
    let direct = Ask {
        consistency: Consistency::Direct,
        ..Ask::of(&who, &scene.customer)
    };
    assert_eq!(direct.view(&there).await.version, version);
    assert_eq!(there.metrics().shared_refused, 0);
}
