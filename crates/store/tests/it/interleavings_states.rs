//! The interleavings in which a node could decide by a state that the database does not have, or never had.

use std::sync::Arc;

use bekci_core::{AccessRequest, Authorizer, Need, Permission, PolicyCompiler, PolicyLine, RoleName, TokenId, Verdict};
use bekci_store::{BanOrder, Barrier, BlockOrder, Scope, Store, StoreSettings};
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::scene::{Ask, Scene, key, on_every_store};

on_every_store! {
    raw_sql_without_a_position_is_seen_by_every_read_of_the_database,
    a_database_that_lost_commits_is_found_out_although_its_positions_were_given_out_again,
    an_entry_from_before_a_restore_is_used_by_nobody,
    an_entry_of_a_lost_commit_is_used_by_nobody_where_no_node_can_tell_that_it_was_lost,
    a_node_away_for_longer_than_the_outbox_is_kept_reads_by_nothing_that_it_holds,
    an_old_policy_is_not_put_back_by_a_read_that_was_under_way,
    an_old_identity_is_never_seen_with_a_newer_role_table,
    a_new_identity_is_never_seen_with_an_older_role_table,
    a_write_of_what_is_there_already_changes_no_version,
}

const GIVE: &str = "INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', '', 'buyer')";
const TAKE: &str = "DELETE FROM bekci_principal_roles WHERE id = '1'";
const GIVE_ANOTHER: &str = "INSERT INTO bekci_principal_roles VALUES ('customer', '2', 'customer', '', 'buyer')";
const GIVE_ONE: &str = "INSERT INTO bekci_principal_permissions VALUES ('customer', '1', 'customer', '', 'a.b', false)";
const GIVE_ONE_MORE: &str =
    "INSERT INTO bekci_principal_permissions VALUES ('customer', '1', 'customer', '', 'a.c', false)";
const ALLOW: &str = "INSERT INTO bekci_role_permissions (role_id, permission) SELECT id, 'vault.open' FROM bekci_roles WHERE name = 'buyer'";
const DISALLOW: &str = "DELETE FROM bekci_role_permissions WHERE permission = 'orders.view'";

async fn run(store: &Store, sql: &str) -> i64 {
    let transaction = store.connection().begin().await.unwrap();
    transaction.execute_unprepared(sql).await.unwrap();
    let committed = transaction.commit_with(Barrier::Always).await.unwrap();
    committed.position.unwrap()
}

async fn can(scene: &Scene, store: &Store, who: &str, permission: &str) -> bool {
    Ask::of(&key(who), &scene.customer).can(store, permission).await
}

async fn can_directly(scene: &Scene, store: &Store, who: &str, permission: &str) -> bool {
    Ask::of(&key(who), &scene.customer)
        .direct()
        .can(store, permission)
        .await
}

/// A node without a loop that has no row, so that nobody waits for it.
async fn writer(scene: &Scene) -> Store {
    Store::open_quiet(scene.pool().await, scene.settings()).await.unwrap()
}

async fn raw_sql_without_a_position_is_seen_by_every_read_of_the_database(scene: Scene) {
    let node = scene.quiet_node(scene.settings()).await;
    run(&node, GIVE).await;
    assert!(can_directly(&scene, &node, "customer:1", "orders.view").await);
    // Nobody numbers it: no loop runs.
    scene.outside(TAKE);
    assert!(!can_directly(&scene, &node, "customer:1", "orders.view").await);
    let other = writer(&scene).await;
    assert!(!can(&scene, &other, "customer:1", "orders.view").await);
    scene.outside(GIVE);
    assert!(can_directly(&scene, &node, "customer:1", "orders.view").await);
    scene.outside(DISALLOW);
    assert!(
        !can_directly(&scene, &node, "customer:1", "orders.view").await,
        "the role table has no position either"
    );
    // What was read meanwhile was kept nowhere: not under a label that is older than it.
    node.round().await.unwrap();
    scene.outside("INSERT INTO bekci_role_permissions (role_id, permission) SELECT id, 'orders.view' FROM bekci_roles WHERE name = 'buyer'");
    node.round().await.unwrap();
    assert!(can(&scene, &node, "customer:1", "orders.view").await);
    assert!(can_directly(&scene, &other, "customer:1", "orders.view").await);
}

/// Puts the database back to where it was before a position, as a failover does that loses commits: the membership of customer 1 and the last version of it go.
fn set_back(scene: &Scene, position: i64) {
    let positions = if scene.is_postgres() {
        format!("SELECT setval('bekci_position', {position}, false)")
    } else {
        format!("UPDATE coherence_meta SET value = {position} - 1 WHERE name = 'position'")
    };
    scene.outside(&format!(
        "BEGIN; {TAKE}; \
         DELETE FROM identity_outbox WHERE position >= {position} OR position IS NULL; \
         UPDATE identity_versions SET version = COALESCE((SELECT MAX(version) FROM identity_outbox WHERE \"key\" = 'customer:1'), 0) \
         WHERE \"key\" = 'customer:1'; \
         UPDATE coherence_nodes SET acknowledged = {position} - 1 WHERE acknowledged >= {position}; \
         {positions}; COMMIT"
    ));
}

async fn epoch(scene: &Scene) -> i64 {
    let db = scene.pool().await;
    let sql = "SELECT value FROM coherence_meta WHERE name = 'epoch'".to_owned();
    let asked = sea_orm::Statement::from_string(db.get_database_backend(), sql);
    let row = db.query_one_raw(asked).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

async fn a_database_that_lost_commits_is_found_out_although_its_positions_were_given_out_again(scene: Scene) {
    for again in [false, true] {
        let node = scene.quiet_node(scene.settings()).await;
        let writer = writer(&scene).await;
        node.round().await.unwrap();
        run(&node, GIVE_ANOTHER).await;
        let lost = run(&node, GIVE).await;
        assert!(can(&scene, &node, "customer:1", "orders.view").await);
        let before = epoch(&scene).await;
        set_back(&scene, lost);
        if again {
            // The position is given out again.
            let transaction = writer.connection().begin().await.unwrap();
            transaction.execute_unprepared(GIVE_ONE).await.unwrap();
            let done = tokio::spawn(transaction.commit_with(Barrier::Auto));
            while !done.is_finished() {
                node.round().await.unwrap();
                tokio::task::yield_now().await;
            }
            assert_eq!(done.await.unwrap().unwrap().position, Some(lost));
        }
        node.round().await.unwrap();
        assert!(node.is_trusted());
        assert!(!can(&scene, &node, "customer:1", "orders.view").await, "again: {again}");
        assert!(
            !can_directly(&scene, &node, "customer:1", "orders.view").await,
            "again: {again}"
        );
        assert_ne!(epoch(&scene).await, before, "again: {again}");
        scene.outside("DELETE FROM bekci_principal_permissions; DELETE FROM bekci_principal_roles");
        node.close().await;
    }
}

async fn an_entry_from_before_a_restore_is_used_by_nobody(scene: Scene) {
    let before = writer(&scene).await;
    run(&before, GIVE_ONE).await;
    let lost = run(&before, GIVE).await;
    // The entry is stored under the label of a commit that will be lost.
    assert!(can_directly(&scene, &before, "customer:1", "orders.view").await);
    set_back(&scene, lost);
    bekci_migration::change_epoch(&scene.pool().await).await.unwrap();
    let after = writer(&scene).await;
    assert_eq!(run(&after, GIVE_ONE_MORE).await, lost);
    assert!(!can_directly(&scene, &after, "customer:1", "orders.view").await);
    assert!(!can_directly(&scene, &before, "customer:1", "orders.view").await);
}

/// Only what was committed and lost again tells a node that the database went back, and only if the node has applied it. One that has not reads the shared cache as before.
async fn an_entry_of_a_lost_commit_is_used_by_nobody_where_no_node_can_tell_that_it_was_lost(scene: Scene) {
    let node = scene.quiet_node(scene.settings()).await;
    node.round().await.unwrap();
    let before = writer(&scene).await;
    let transaction = before.connection().begin().await.unwrap();
    transaction.execute_unprepared(GIVE).await.unwrap();
    let lost = transaction.commit_with(Barrier::Auto).await.unwrap().position.unwrap();
    assert!(can_directly(&scene, &before, "customer:1", "orders.view").await);
    before.close().await;
    set_back(&scene, lost);
    let after = writer(&scene).await;
    let transaction = after.connection().begin().await.unwrap();
    transaction.execute_unprepared(GIVE_ONE).await.unwrap();
    let done = transaction.commit_with(Barrier::Auto).await.unwrap();
    assert_eq!(done.position, Some(lost), "nobody sees another database");
    for _ in 0..2 {
        assert!(!can_directly(&scene, &node, "customer:1", "orders.view").await);
        assert!(!can(&scene, &node, "customer:1", "orders.view").await);
        node.round().await.unwrap();
    }
}

/// A change of everything raises the version of no role table: only its row in the outbox tells that a table may have changed.
async fn a_node_away_for_longer_than_the_outbox_is_kept_reads_by_nothing_that_it_holds(scene: Scene) {
    let away = scene.quiet_node(scene.settings()).await;
    scene.outside(GIVE);
    away.round().await.unwrap();
    assert!(can_directly(&scene, &away, "customer:1", "orders.view").await);
    scene.outside(&format!(
        "BEGIN; {DISALLOW}; UPDATE identity_outbox SET \"key\" = '@all' WHERE position IS NULL; COMMIT"
    ));
    let writer = scene.quiet_node(scene.settings()).await;
    scene.outside("UPDATE coherence_nodes SET acknowledged = 1000000");
    assert!(writer.prune(-1_000_000).await.unwrap() > 0);
    assert!(!can_directly(&scene, &away, "customer:1", "orders.view").await);
    away.round().await.unwrap();
    assert!(!can(&scene, &away, "customer:1", "orders.view").await);
}

/// Allows whom a line names.
#[derive(Debug)]
struct Compiler;

#[derive(Debug)]
struct Lines(Vec<PolicyLine>);

impl PolicyCompiler for Compiler {
    fn compile(&self, lines: &[PolicyLine]) -> Result<Arc<dyn Authorizer>, String> {
        Ok(Arc::new(Lines(lines.to_vec())))
    }
}

impl Authorizer for Lines {
    fn decide(&self, request: &AccessRequest<'_>) -> Verdict {
        let subjects: Vec<String> = request.subjects().collect();
        let is_named = |line: &PolicyLine| line.values.iter().any(|value| subjects.contains(value));
        let reason = "a test".into();
        match self.0.iter().any(is_named) {
            true => Verdict::Allow { reason },
            false => Verdict::Deny { reason },
        }
    }
}

async fn policy_allows(scene: &Scene, store: &Store) -> bool {
    let who = key("customer:1");
    let ask = Ask::of(&who, &scene.customer);
    let need = Need {
        policy: true,
        ..ask.need()
    };
    let identities = store.identities();
    let view = match identities.warm(&need) {
        Some(view) => view,
        None => identities.read(&need, identities.ticket()).await.unwrap(),
    };
    let request = AccessRequest {
        principal: &who,
        guard: &scene.customer.name,
        roles: &[],
        tenant: None,
        object: "/vault",
        action: "GET",
    };
    matches!(view.policy.unwrap().decide(&request), Verdict::Allow { .. })
}

async fn an_old_policy_is_not_put_back_by_a_read_that_was_under_way(scene: Scene) {
    let with_policy = || StoreSettings {
        policy: Some(Arc::new(Compiler)),
        ..scene.settings()
    };
    let other = Store::open_quiet(scene.pool().await, with_policy()).await.unwrap();
    let line = PolicyLine {
        kind: "p".to_owned(),
        values: vec!["principal:customer:1".to_owned(), "/vault".to_owned()],
    };
    other.policies().add(std::slice::from_ref(&line)).await.unwrap();
    let node = scene.quiet_node(with_policy()).await;
    node.failpoints().hold("read.loaded");
    let scene = Arc::new(scene);
    let slow = tokio::spawn({
        let (scene, node) = (Arc::clone(&scene), node.clone());
        async move { policy_allows(&scene, &node).await }
    });
    node.failpoints().reached("read.loaded", 1).await;
    // The node loses its row, so that the writer does not wait for it, and begins anew past the change.
    scene.outside("DELETE FROM coherence_nodes");
    assert_eq!(other.policies().remove(&[line]).await.unwrap().0, 1);
    node.close().await;
    node.round().await.unwrap();
    node.failpoints().release("read.loaded");
    assert!(slow.await.unwrap(), "it began before the change");
    assert!(node.is_trusted());
    assert!(!policy_allows(&scene, &node).await);
}

async fn an_old_identity_is_never_seen_with_a_newer_role_table(scene: Scene) {
    let node = scene.quiet_node(scene.settings()).await;
    run(&node, GIVE).await;
    assert!(can(&scene, &node, "customer:1", "orders.view").await);
    let numbering = writer(&scene).await;
    scene.outside(TAKE);
    numbering.number_raw_rows().await.unwrap();
    scene.outside(ALLOW);
    numbering.number_raw_rows().await.unwrap();
    // Somebody else's request brings the table.
    assert!(!can_directly(&scene, &node, "customer:2", "vault.open").await);
    assert!(
        !can(&scene, &node, "customer:1", "vault.open").await,
        "at no moment did the principal hold it"
    );
    node.round().await.unwrap();
    assert!(!can(&scene, &node, "customer:1", "orders.view").await);
}

async fn a_new_identity_is_never_seen_with_an_older_role_table(scene: Scene) {
    let node = scene.quiet_node(scene.settings()).await;
    run(&node, GIVE).await;
    assert!(can(&scene, &node, "customer:1", "orders.view").await);
    let numbering = writer(&scene).await;
    scene.outside(DISALLOW);
    numbering.number_raw_rows().await.unwrap();
    scene.outside(GIVE_ANOTHER);
    numbering.number_raw_rows().await.unwrap();
    assert!(!can(&scene, &node, "customer:2", "orders.view").await);
    assert!(
        !can(&scene, &node, "customer:2", "orders.view").await,
        "the identity was loaded after the role lost the permission"
    );
    node.round().await.unwrap();
    assert!(!can(&scene, &node, "customer:2", "orders.view").await);
}

async fn a_write_of_what_is_there_already_changes_no_version(scene: Scene) {
    let store = writer(&scene).await;
    let (who, scope) = (key("customer:1"), Scope::global(scene.customer.name.clone()));
    let roles = [RoleName::new("buyer").unwrap()];
    let [granted, denied] = ["a.b", "c.d"].map(|name| [Permission::new(name).unwrap()]);
    let ban = BanOrder {
        status: "banned".to_owned(),
        reason: Some("spam".to_owned()),
        until: None,
        by: None,
    };
    let block = BlockOrder {
        key: who.clone(),
        jti: None,
        sid: Some(TokenId([7; 16])),
        reason: "lost".to_owned(),
        until: None,
    };
    for is_first in [true, false] {
        let rights = store.rights();
        let changed = [
            rights.assign_role(&who, &scope, &roles).await.unwrap(),
            rights.sync_roles(&who, &scope, &roles).await.unwrap(),
            rights.give(&who, &scope, &granted).await.unwrap(),
            rights.deny(&who, &scope, &denied).await.unwrap(),
            rights.sync_permissions(&who, &scope, &granted, &denied).await.unwrap(),
            rights.put_role(&scope, &roles[0], &granted).await.unwrap(),
            store.ban(&who, &ban).await.unwrap(),
            store.block(&block).await.unwrap().1,
        ];
        // The two that make the whole so had nothing to add the first time either.
        let expected = [true, false, true, true, false, true, true, true].map(|first| first && is_first);
        assert_eq!(changed.map(|committed| committed.position.is_some()), expected);
    }
    let other_reason = BanOrder {
        reason: Some("fraud".to_owned()),
        ..ban
    };
    assert!(store.ban(&who, &other_reason).await.unwrap().position.is_some());
}
