//! Up, down, status and the script.

use bekci_migration::sea_orm_migration::MigratorTrait as _;
use bekci_migration::sea_orm_migration::sea_orm::ConnectionTrait as _;
use bekci_migration::{
    Migrator, Report, account_table_statements, change_epoch, down, missing_watches, sql, status, table_exists,
    unmatched_tables, unwatch_statements, up, watch_statements,
};

use crate::database::{Database, MariaDb, Postgres, Sqlite, connect, number};
use crate::{IdKind, customers, model, on_every_database};

/// All of them, in order.
const MIGRATIONS: [&str; 8] = [
    "m20261121_000001_initial",
    "m20261121_000002_temporaries",
    "m20261130_000003_epoch",
    "m20261130_000004_mails",
    "m20261130_000005_codes",
    "m20261130_000006_remembered",
    "m20261130_000007_security",
    "m20261130_000008_links",
];

on_every_database!(
    up_twice_does_nothing_the_second_time,
    down_removes_everything_of_ours_and_leaves_the_accounts,
    down_and_up_again_watches_again,
    the_migrator_alone_can_go_down_too,
    a_trigger_that_was_dropped_is_found_and_made_again,
    other_columns_to_watch_are_found_and_made,
    a_column_that_is_not_there_refuses_the_whole_migration,
    an_account_table_that_is_there_keeps_its_columns,
    statements_can_be_run_by_hand_and_again,
    a_model_that_moves_to_another_table_leaves_the_first_alone,
    positions_begin_at_nothing,
    tables_are_found_by_name,
    a_database_of_an_application_without_a_table_of_a_model_is_told_from_an_empty_one,
    the_epoch_is_random_stays_and_changes_when_it_is_to,
    a_database_of_the_first_version_keeps_its_rows_and_gets_what_is_new,
);

/// How many migrations there are from this one on.
fn since(name: &str) -> u32 {
    let later = MIGRATIONS.iter().skip_while(|migration| !migration.ends_with(name));
    u32::try_from(later.count()).unwrap()
}

async fn up_twice_does_nothing_the_second_time(db: impl Database) {
    assert!(status(db.db(), &[customers()]).await.unwrap().is_current());
    assert_eq!(up(db.db(), &[customers()]).await.unwrap(), Report::default());
}

async fn down_removes_everything_of_ours_and_leaves_the_accounts(db: impl Database) {
    db.outside("INSERT INTO customers (id, email) VALUES (1, 'a@x')");
    down(db.db()).await.unwrap();
    for table in [
        "bekci_roles",
        "bekci_sessions",
        "bekci_temporaries",
        "bekci_mails",
        "bekci_codes",
        "bekci_remembered",
        "bekci_security",
        "bekci_links",
        "identity_outbox",
        "coherence_meta",
        "bekci_migrations",
    ] {
        assert!(!table_exists(db.db(), table).await.unwrap(), "{table}");
    }
    db.outside("UPDATE customers SET status = 'banned'; INSERT INTO customers (id, email) VALUES (2, 'b@x')");
    assert_eq!(
        db.outside("SELECT id, status FROM customers ORDER BY id"),
        "1|banned\n2|active"
    );
    down(db.db()).await.unwrap();
}

async fn down_and_up_again_watches_again(db: impl Database) {
    down(db.db()).await.unwrap();
    let report = up(db.db(), &[customers()]).await.unwrap();
    assert_eq!(report.applied, MIGRATIONS);
    assert!(report.created.is_empty());
    assert_eq!(report.watched, ["customers"]);
    assert_eq!(
        db.names("INSERT INTO customers (id, email) VALUES (1, 'a@x')"),
        ["customer:1"]
    );
}

async fn the_migrator_alone_can_go_down_too(db: impl Database) {
    Migrator::down(db.db(), None).await.unwrap();
    db.outside("INSERT INTO customers (id, email) VALUES (1, 'a@x')");
    let found = status(db.db(), &[customers()]).await.unwrap();
    assert_eq!(found.pending, MIGRATIONS);
    assert!(found.missing_tables.is_empty());
    assert!(found.missing_watches.contains(&"customers".to_owned()));
    Migrator::up(db.db(), None).await.unwrap();
    assert_eq!(missing_watches(db.db(), &[customers()]).await.unwrap(), ["customers"]);
}

async fn a_database_of_the_first_version_keeps_its_rows_and_gets_what_is_new(db: impl Database) {
    Migrator::down(db.db(), Some(since("_temporaries"))).await.unwrap();
    assert!(!table_exists(db.db(), "bekci_temporaries").await.unwrap());
    db.outside(
        "INSERT INTO bekci_sessions (id, model, principal_id, guard, way, remembered, generation, rotated_at, created_at, authenticated_at, last_used_at) \
         VALUES ('s1', 'customer', '1', 'shop', 'password', false, 1, 1, 1, 1, 1)",
    );
    let found = status(db.db(), &[customers()]).await.unwrap();
    assert_eq!(found.pending, MIGRATIONS[1..]);
    assert!(found.missing_watches.is_empty(), "{found:?}");
    let report = up(db.db(), &[customers()]).await.unwrap();
    assert_eq!(report.applied, MIGRATIONS[1..]);
    assert!(report.watched.is_empty() && report.created.is_empty(), "{report:?}");
    assert!(table_exists(db.db(), "bekci_temporaries").await.unwrap());
    assert_eq!(db.outside("SELECT id FROM bekci_sessions"), "s1");
    // What waits for its verification is nobody's right: it names nobody.
    let waiting = "INSERT INTO bekci_temporaries (session_id, way, expires_at) VALUES ('s1', 'password', 1)";
    assert_eq!(db.names(waiting), [""; 0]);
}

async fn the_epoch_is_random_stays_and_changes_when_it_is_to(db: impl Database) {
    let epoch = || db.outside("SELECT value FROM coherence_meta WHERE name = 'epoch'");
    let first = epoch();
    assert!(first.parse::<u64>().unwrap() > 1_000_000, "{first} is no random number");
    up(db.db(), &[customers()]).await.unwrap();
    assert_eq!(epoch(), first);
    change_epoch(db.db()).await.unwrap();
    let second = epoch();
    assert!(
        second.parse::<u64>().unwrap() > 1_000_000,
        "{second} is no random number"
    );
    assert_ne!(first, second);
    Migrator::down(db.db(), Some(since("_epoch"))).await.unwrap();
    assert!(
        change_epoch(db.db())
            .await
            .unwrap_err()
            .to_string()
            .contains("migrate up")
    );
}

async fn a_trigger_that_was_dropped_is_found_and_made_again(db: impl Database) {
    let statements = unwatch_statements(db.db().get_database_backend(), &[customers()]).unwrap();
    for statement in statements.iter().chain(&statements) {
        db.db().execute_unprepared(statement).await.unwrap();
    }
    assert!(
        db.names("INSERT INTO customers (id, email) VALUES (1, 'a@x')")
            .is_empty()
    );
    assert_eq!(missing_watches(db.db(), &[customers()]).await.unwrap(), ["customers"]);
    assert_eq!(up(db.db(), &[customers()]).await.unwrap().watched, ["customers"]);
    assert_eq!(db.names("DELETE FROM customers"), ["customer:1"]);
}

async fn other_columns_to_watch_are_found_and_made(db: impl Database) {
    let mut wider = customers();
    wider.watched_columns.push("note".to_owned());
    assert_eq!(
        missing_watches(db.db(), std::slice::from_ref(&wider)).await.unwrap(),
        ["customers"]
    );
    up(db.db(), &[wider]).await.unwrap();
    db.outside("INSERT INTO customers (id, email) VALUES (1, 'a@x')");
    assert_eq!(db.names("UPDATE customers SET note = 'n'"), ["customer:1"]);
}

async fn a_column_that_is_not_there_refuses_the_whole_migration(db: impl Database) {
    let mut wrong = customers();
    wrong.watched_columns.push("nickname".to_owned());
    let error = up(db.db(), &[model("partner", "partners", IdKind::Uuid), wrong])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("nickname") && error.contains("customers"), "{error}");
    assert!(!table_exists(db.db(), "partners").await.unwrap());
    assert_eq!(
        db.names("INSERT INTO customers (id, email) VALUES (1, 'a@x')"),
        ["customer:1"]
    );
}

async fn an_account_table_that_is_there_keeps_its_columns(db: impl Database) {
    db.outside("CREATE TABLE staff (id integer PRIMARY KEY, email varchar, status varchar, verified_at bigint, tenant varchar, name varchar)");
    let report = up(db.db(), &[model("staff", "staff", IdKind::Integer)]).await.unwrap();
    assert!(report.created.is_empty());
    assert!(db.refuses("SELECT staff.note FROM staff"));
    assert_eq!(db.names("INSERT INTO staff (id) VALUES (1)"), ["staff:1"]);
}

async fn statements_can_be_run_by_hand_and_again(db: impl Database) {
    let backend = db.db().get_database_backend();
    let partners = model("partner", "partners", IdKind::Integer);
    let mut statements = account_table_statements(backend, &partners).unwrap();
    statements.extend(watch_statements(backend, std::slice::from_ref(&partners)).unwrap());
    for statement in statements.iter().chain(&statements) {
        db.db().execute_unprepared(statement).await.unwrap();
    }
    assert!(missing_watches(db.db(), &[partners]).await.unwrap().is_empty());
    assert_eq!(
        db.names("INSERT INTO partners (id, email) VALUES (1, 'a@x')"),
        ["partner:1"]
    );
}

async fn a_model_that_moves_to_another_table_leaves_the_first_alone(db: impl Database) {
    up(db.db(), &[model("customer", "clients", IdKind::Integer)])
        .await
        .unwrap();
    assert!(
        db.names("INSERT INTO customers (id, email) VALUES (1, 'a@x')")
            .is_empty()
    );
    assert_eq!(
        db.names("INSERT INTO clients (id, email) VALUES (1, 'a@x')"),
        ["customer:1"]
    );
}

async fn positions_begin_at_nothing(db: impl Database) {
    assert_eq!(
        number(
            db.db(),
            "SELECT value FROM coherence_meta WHERE name = 'pruned_position'"
        )
        .await
        .unwrap(),
        0
    );
    db.outside("INSERT INTO customers (id, email) VALUES (1, 'a@x')");
    let row = db.outside("SELECT position IS NULL AND version IS NULL AND NOT refresh AND created_at > 1700000000000000 FROM identity_outbox");
    assert!(["1", "t"].contains(&row.as_str()), "{row}");
}

async fn tables_are_found_by_name(db: impl Database) {
    assert!(table_exists(db.db(), "customers").await.unwrap());
    assert!(!table_exists(db.db(), "customer").await.unwrap());
    assert!(!table_exists(db.db(), "customers'; --").await.unwrap());
}

async fn a_database_of_an_application_without_a_table_of_a_model_is_told_from_an_empty_one(db: impl Database) {
    let partners = [model("partner", "partners", IdKind::Integer)];
    db.outside("DROP TABLE customers");
    assert!(
        unmatched_tables(db.db(), &partners).await.unwrap().is_empty(),
        "Bekci's own tables are none"
    );
    db.outside("CREATE TABLE people (id integer PRIMARY KEY)");
    let found = unmatched_tables(db.db(), &partners).await.unwrap();
    let partner = found.first().unwrap();
    assert_eq!(partner.others, ["people"]);
    assert!(partner.to_string().contains("no table partners"), "{partner}");
    // Where one model has its table, the table of another one may be made.
    let with_people = [
        model("partner", "partners", IdKind::Integer),
        model("person", "people", IdKind::Integer),
    ];
    assert!(unmatched_tables(db.db(), &with_people).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_script_does_on_sqlite_what_up_does() {
    let db = Sqlite::empty().await;
    the_script_does_what_up_does(db).await;
}

#[tokio::test]
async fn the_script_does_on_postgres_what_up_does() {
    let db = Postgres::empty().await;
    the_script_does_what_up_does(db).await;
}

#[tokio::test]
async fn the_script_does_on_mariadb_what_up_does() {
    let db = MariaDb::empty().await;
    the_script_does_what_up_does(db).await;
}

async fn the_script_does_what_up_does(db: impl Database) {
    let script = sql(db.db().get_database_backend(), &[customers()]).unwrap();
    db.outside(&script);
    db.outside(&script);
    assert!(status(db.db(), &[customers()]).await.unwrap().is_current());
    assert_eq!(up(db.db(), &[customers()]).await.unwrap(), Report::default());
}

#[tokio::test]
async fn nodes_that_start_at_once_on_sqlite_take_turns() {
    let db = Sqlite::empty().await;
    let other = connect(&db.file.url()).await;
    let customers = [customers()];
    let (one, two) = tokio::join!(up(db.db(), &customers), up(&other, &customers));
    assert_eq!(
        one.unwrap().applied.len() + two.unwrap().applied.len(),
        MIGRATIONS.len()
    );
}

#[tokio::test]
async fn nodes_that_start_at_once_on_postgres_take_turns() {
    let db = Postgres::empty().await;
    let other = connect(&db.url).await;
    let customers = [customers()];
    let (one, two) = tokio::join!(up(db.db(), &customers), up(&other, &customers));
    assert_eq!(
        one.unwrap().applied.len() + two.unwrap().applied.len(),
        MIGRATIONS.len()
    );
}

#[tokio::test]
async fn nodes_that_start_at_once_on_mariadb_take_turns() {
    let db = MariaDb::empty().await;
    let other = connect(&db.url).await;
    let customers = [customers()];
    let (one, two) = tokio::join!(up(db.db(), &customers), up(&other, &customers));
    assert_eq!(
        one.unwrap().applied.len() + two.unwrap().applied.len(),
        MIGRATIONS.len()
    );
}
