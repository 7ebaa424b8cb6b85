//! SQLite ends a transaction by itself where there is no room. The connection that it ran on must not be used as if the transaction were there.

use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionSession, TransactionTrait};

use crate::scene::{Ask, Kind, Scene, key};

const GIVE: &str = "INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', '', 'buyer')";
const TAKE: &str = "DELETE FROM bekci_principal_roles WHERE id = '1'";

/// Writes in a transaction of the guarded connection until there is no room, and then does what a caller does who finds that.
async fn run_out_of_room(store: &bekci_store::Store, db: &DatabaseConnection) {
    db.execute_unprepared("CREATE TABLE IF NOT EXISTS filler (content)")
        .await
        .unwrap();
    // As many pages as there are now.
    db.execute_unprepared("PRAGMA max_page_count = 1").await.unwrap();
    let transaction = store.connection().begin().await.unwrap();
    let mut refused = None;
    for _ in 0..100 {
        let filled = transaction
            .execute_unprepared("INSERT INTO filler VALUES (randomblob(3000))")
            .await;
        refused = filled.err();
        if refused.is_some() {
            break;
        }
    }
    assert!(refused.unwrap().to_string().contains("full"));
    // There is nothing to roll back any more, and that may be said.
    let _rolled_back = transaction.rollback().await;
    db.execute_unprepared("PRAGMA max_page_count = 1000000").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_full_database_reads_see_what_others_commit_and_commits_are_seen_by_others() {
    let scene = Scene::new(Kind::Sqlite).await;
    let (db, other) = (scene.pool_of(1).await, scene.pool().await);
    let store = bekci_store::Store::open_quiet(db.clone(), scene.settings())
        .await
        .unwrap();
    let who = key("customer:1");
    let direct = || Ask::of(&who, &scene.customer).direct();
    run_out_of_room(&store, &db).await;

    assert!(!direct().can(&store, "orders.view").await);
    scene.outside(GIVE);
    assert!(
        direct().can(&store, "orders.view").await,
        "an old state of the database is read"
    );
    let taken = store.connection().execute_unprepared(TAKE).await.unwrap();
    assert_eq!(taken.rows_affected(), 1);
    let left = "SELECT count(*) AS left_over FROM bekci_principal_roles WHERE id = '1'";
    let asked = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, left);
    let row = other.query_one_raw(asked).await.unwrap().unwrap();
    let left: i64 = row.try_get("", "left_over").unwrap();
    assert_eq!(left, 0, "what was committed is not in the database");
}
