//! What MariaDB does otherwise: transactions that end by themselves, settings that outlive them, servers that Bekci does not work with.

use bekci_store::{Barrier, CommitError, OpenError, Store};
use bekci_test_support::MariaDb;
use sea_orm::{ConnectionTrait as _, Statement, TransactionTrait as _};

use crate::scene::{Ask, Kind, Scene, key};

const GIVE: &str = "INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', '', 'buyer')";

async fn number<C: sea_orm::ConnectionTrait>(db: &C, sql: &str) -> i64 {
    let asked = Statement::from_string(db.get_database_backend(), sql);
    let row = db.query_one_raw(asked).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

fn status(id: u8, status: &str) -> String {
    format!("UPDATE customers SET status = '{status}' WHERE id = {id}")
}

/// After a deadlock MariaDB would commit each further statement of the transaction by itself, unnumbered or out of order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_a_deadlock_ended_takes_no_statement_and_is_not_committed() {
    let scene = Scene::new(Kind::MariaDb).await;
    let node = scene.node().await;
    let db = node.connection();
    let (one, other) = (db.begin().await.unwrap(), db.begin().await.unwrap());
    one.execute_unprepared(&status(1, "of one")).await.unwrap();
    other.execute_unprepared(&status(2, "of other")).await.unwrap();
    let (of_one, of_other) = (status(2, "of one"), status(1, "of other"));
    let (first, second) = tokio::join!(one.execute_unprepared(&of_one), other.execute_unprepared(&of_other));
    let (ended, alive, loser) = match (&first, &second) {
        (Err(_), Ok(_)) => (one, other, "of one"),
        (Ok(_), Err(_)) => (other, one, "of other"),
        both => panic!("{both:?}"),
    };
    let error = first.err().or(second.err()).unwrap().to_string();
    assert!(error.contains("1213"), "{error}");
    let refused = ended
        .execute_unprepared(&status(3, loser))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("deadlock") && refused.contains("begin it again"),
        "{refused}"
    );
    let refused = ended.commit_with(Barrier::Always).await;
    assert!(matches!(refused, Err(CommitError::NotCommitted(_))), "{refused:?}");
    let committed = alive.commit_with(Barrier::Always).await.unwrap();
    assert_eq!(committed.versions.len(), 2);
    let of_loser = format!("SELECT COUNT(*) FROM customers WHERE status = '{loser}'");
    assert_eq!(number(&scene.pool().await, &of_loser).await, 0);
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_not_given_in_time_ends_the_transaction_with_an_error_that_says_so() {
    let scene = Scene::new(Kind::MariaDb).await;
    let node = scene.node().await;
    let holder = scene.pool().await.begin().await.unwrap();
    holder.execute_unprepared(&status(1, "held")).await.unwrap();
    let waits = node.connection().begin().await.unwrap();
    waits
        .execute_unprepared("SET SESSION innodb_lock_wait_timeout = 1")
        .await
        .unwrap();
    waits.execute_unprepared(&status(2, "waits")).await.unwrap();
    let error = waits
        .execute_unprepared(&status(1, "waits"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("1205"), "{error}");
    let refused = waits.commit_with(Barrier::Always).await.unwrap_err().to_string();
    assert!(refused.contains("lock wait timeout"), "{refused}");
    holder.rollback().await.unwrap();
    let waited = "SELECT COUNT(*) FROM customers WHERE status = 'waits'";
    assert_eq!(number(&scene.pool().await, waited).await, 0);
    node.close().await;
}

/// A statement that changes the schema commits what was before it, and leaves no transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_change_of_the_schema_committed_is_numbered_under_the_lock_and_in_force_at_return() {
    let scene = Scene::new(Kind::MariaDb).await;
    let (here, there) = (scene.node().await, scene.node().await);
    let customer = key("customer:1");
    assert!(!Ask::of(&customer, &scene.customer).can(&there, "orders.view").await);
    // No loop numbers it before the commit does.
    let held = scene.pool().await.begin().await.unwrap();
    let transaction = here.connection().begin().await.unwrap();
    transaction.execute_unprepared(GIVE).await.unwrap();
    let lock = "SELECT value FROM coherence_meta WHERE name = 'position' FOR UPDATE";
    number(&held, lock).await;
    transaction
        .execute_unprepared("CREATE TABLE extra (id int PRIMARY KEY)")
        .await
        .unwrap();
    transaction.execute_unprepared(&status(2, "changed")).await.unwrap();
    let commit = tokio::spawn(transaction.commit_with(Barrier::Always));
    held.rollback().await.unwrap();
    let committed = commit.await.unwrap().unwrap();
    assert!(committed.effective);
    assert!(Ask::of(&customer, &scene.customer).can(&there, "orders.view").await);
    let unnumbered = "SELECT COUNT(*) FROM identity_outbox WHERE position IS NULL";
    assert_eq!(number(&scene.pool().await, unnumbered).await, 0);
    here.close().await;
    there.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bound_on_an_idle_holder_of_the_commit_lock_is_not_that_of_later_transactions() {
    let scene = Scene::new(Kind::MariaDb).await;
    let pool = scene.pool_of(1).await;
    let node = Store::open_quiet(pool.clone(), scene.settings()).await.unwrap();
    let db = node.connection();
    let bound = "SELECT CAST(@@idle_transaction_timeout AS SIGNED)";
    for _ in 0..2 {
        let transaction = db.begin().await.unwrap();
        assert_eq!(number(&transaction, bound).await, 10);
        transaction.execute_unprepared(&status(1, "active")).await.unwrap();
        transaction.execute_unprepared(&status(1, "banned")).await.unwrap();
        transaction.commit_with(Barrier::Auto).await.unwrap();
        // Δ is 5 s, and a quarter of it is more than one second.
        assert_eq!(number(&pool, bound).await, 2);
    }
    node.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_or_a_connection_that_lacks_a_setting_is_refused_with_the_setting() {
    let server = MariaDb::start_with(&["--log-bin=log", "--binlog-format=STATEMENT", "--server-id=1"]);
    let url = server.fresh_database("settings");
    let refused = bekci_store::connect(&url.clone().into(), 1).await.unwrap_err();
    assert!(matches!(refused, OpenError::Server { .. }), "{refused}");
    assert!(
        refused.to_string().contains("binlog_format = ROW or MIXED"),
        "{refused}"
    );

    let scene = Scene::new(Kind::MariaDb).await;
    for (setting, word) in [
        ("autocommit = 0", "autocommit = 0"),
        ("sql_mode = ''", "no PIPES_AS_CONCAT"),
        ("sql_mode = 'PIPES_AS_CONCAT'", "no STRICT_ALL_TABLES"),
        ("time_zone = '+03:00'", "time_zone = +03:00"),
    ] {
        let pool = scene.pool_of(1).await;
        pool.execute_unprepared(&format!("SET SESSION {setting}"))
            .await
            .unwrap();
        let refused = Store::open_quiet(pool, scene.settings()).await.unwrap_err().to_string();
        assert!(
            refused.contains(word) && refused.contains("bekci_store::connect"),
            "{refused}"
        );
    }
}
