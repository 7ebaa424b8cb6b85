//! What MariaDB alone can do, and what it does without triggers.

use bekci_migration::sea_orm_migration::sea_orm::{
    ConnectionTrait as _, Database as Connections, DatabaseConnection, DbBackend, Statement, TransactionTrait as _,
};
use bekci_migration::{missing_watches, status, up};
use bekci_test_support::{MariaDb as Server, mariadb_cli};

use crate::database::{Database as _, MariaDb, up_with};
use crate::{IdKind, customers, model};

#[tokio::test]
async fn truncate_is_refused_on_each_watched_table() {
    let db = MariaDb::migrated().await;
    db.outside("INSERT INTO customers (id, email) VALUES (1, 'a@x')");
    for table in [
        "bekci_sessions",
        "bekci_principal_roles",
        "bekci_principal_permissions",
        "bekci_bans",
        "bekci_blocks",
        "bekci_roles",
        "bekci_role_permissions",
        "bekci_policies",
        "customers",
    ] {
        assert!(db.refuses(&format!("TRUNCATE {table}")), "{table}");
    }
    assert_eq!(db.outside("SELECT count(*) FROM customers"), "1");
}

#[tokio::test]
async fn a_foreign_key_that_changes_accounts_refuses_the_migration() {
    let db = MariaDb::empty().await;
    db.outside("CREATE TABLE companies (name varchar(20) PRIMARY KEY)");
    let members = |action: &str| {
        format!(
            "CREATE TABLE members (id bigint PRIMARY KEY, email varchar(99), password_hash text, status varchar(20), verified_at bigint, \
             tenant varchar(20), name text, note text, FOREIGN KEY (tenant) REFERENCES companies (name) {action})"
        )
    };
    let tables = [model("member", "members", IdKind::Integer)];
    for action in ["ON DELETE CASCADE", "ON DELETE SET NULL", "ON UPDATE CASCADE"] {
        db.outside(&members(action));
        let refused = up(db.db(), &tables).await.unwrap_err().to_string();
        assert!(
            refused.contains("members") && refused.contains("foreign key"),
            "{refused}"
        );
        db.outside("DROP TABLE members");
    }
    db.outside(&members("ON DELETE RESTRICT"));
    up(db.db(), &tables).await.unwrap();
    db.outside(
        "ALTER TABLE members DROP FOREIGN KEY members_ibfk_1; ALTER TABLE members ADD FOREIGN KEY (tenant) REFERENCES companies (name) ON DELETE CASCADE",
    );
    assert_eq!(missing_watches(db.db(), &tables).await.unwrap(), ["members"]);
}

#[tokio::test]
async fn a_table_without_transactions_refuses_the_migration() {
    let db = MariaDb::empty().await;
    db.outside(
        "CREATE TABLE members (id bigint PRIMARY KEY, email varchar(99), password_hash text, status varchar(20), verified_at bigint, \
         tenant varchar(20), name text, note text) ENGINE=MyISAM",
    );
    let refused = up(db.db(), &[model("member", "members", IdKind::Integer)]).await;
    assert!(refused.unwrap_err().to_string().contains("MyISAM"));
}

#[tokio::test]
async fn accounts_that_could_be_truncated_are_not_watched() {
    let db = MariaDb::migrated().await;
    db.outside("DROP TABLE bekci_keep_account_customer");
    let tables = [customers()];
    assert_eq!(status(db.db(), &tables).await.unwrap().missing_watches, ["customers"]);
    up_with(&db, &tables).await;
    assert!(db.refuses("TRUNCATE customers"));
}

#[tokio::test]
async fn a_column_that_is_blind_to_case_and_accents_is_compared_to_the_letter() {
    let db = MariaDb::migrated().await;
    db.outside(
        "CREATE TABLE staff (id varchar(20) PRIMARY KEY, email varchar(99), status float, verified_at datetime(6), tenant text, name text) \
         DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci",
    );
    up_with(&db, &[model("staff", "staff", IdKind::Text)]).await;
    db.outside("INSERT INTO staff (id, email, status) VALUES ('a', 'a@x', 0.12345671)");
    for change in [
        "email = 'A@x'",
        "email = 'Á@x'",
        "email = 'Á@x '",
        "status = 0.12345677",
        "verified_at = NOW(6)",
    ] {
        assert_eq!(db.names(&format!("UPDATE staff SET {change}")), ["staff:a"], "{change}");
        assert!(db.names(&format!("UPDATE staff SET {change} WHERE 1 = 0")).is_empty());
    }
    assert_eq!(db.names("UPDATE staff SET id = 'A'"), ["staff:A", "staff:a"]);
}

#[tokio::test]
async fn replace_and_load_name_what_they_write() {
    let db = MariaDb::migrated().await;
    db.outside(
        "INSERT INTO customers (id, email) VALUES (1, 'a@x'), (2, 'b@x');
         INSERT INTO bekci_bans (model, id, banned_at) VALUES ('customer', '1', 1), ('customer', '2', 1);",
    );
    assert_eq!(
        db.names("REPLACE INTO customers (id, email) VALUES (3, 'a@x')"),
        ["customer:1", "customer:3"]
    );
    assert_eq!(db.outside("SELECT id FROM bekci_bans"), "2");
    assert_eq!(
        db.names("UPDATE customers JOIN bekci_roles ON 1 = 0 SET customers.status = 'x'"),
        [""; 0]
    );
}

/// A row of the outbox stands in for further ones only while nobody has numbered it.
#[tokio::test]
async fn a_write_after_its_key_was_numbered_is_named_again() {
    let db = MariaDb::migrated().await;
    let rows = "SELECT count(*) FROM identity_outbox";
    // A clock that stands still makes all statements look like one.
    db.outside(
        "SET timestamp = 1700000000; INSERT INTO customers (id, email) VALUES (1, 'a@x'); UPDATE identity_outbox SET position = 1; \
         UPDATE customers SET status = 'banned'",
    );
    assert_eq!(db.outside(rows), "2");
    db.outside(
        "DELETE FROM identity_outbox; SET timestamp = 1700000000; BEGIN; UPDATE customers SET status = 'a'; ROLLBACK; \
         UPDATE customers SET status = 'b'",
    );
    assert_eq!(db.outside(rows), "1");
    db.outside(
        "DELETE FROM identity_outbox; SET timestamp = 1700000000; UPDATE customers SET status = 'c'; UPDATE customers SET status = 'd'",
    );
    assert_eq!(db.outside(rows), "1", "one unnumbered row says both");
}

#[tokio::test]
async fn a_bulk_write_has_a_thousand_rows_and_one_that_names_everybody() {
    let db = MariaDb::migrated().await;
    db.outside(
        "INSERT INTO customers (id, email) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i, i || '@x' FROM n",
    );
    let rows = "SELECT count(*), sum(\"key\" = '@all') FROM identity_outbox";
    assert_eq!(db.outside(rows), "1001|1");
    db.outside("BEGIN; DELETE FROM identity_outbox; UPDATE customers SET status = 'banned' WHERE id <= 1000; DELETE FROM customers WHERE id = 1; COMMIT");
    assert_eq!(db.outside(rows), "1001|0");
}

/// Two writers that the server's default isolation gives gap locks do not wait for each other.
#[tokio::test]
async fn writers_of_different_accounts_do_not_wait_for_each_other() {
    let db = MariaDb::migrated().await;
    db.outside("INSERT INTO customers (id, email) VALUES (1, 'a@x'), (2, 'b@x')");
    let other = crate::database::connect(&db.url).await;
    let write = |id: u32| format!("UPDATE customers SET status = 'x' WHERE id = {id}");
    for connection in [db.db(), &other] {
        connection
            .execute_unprepared("SET SESSION innodb_lock_wait_timeout = 1")
            .await
            .unwrap();
    }
    let (one, two) = (db.db().begin().await.unwrap(), other.begin().await.unwrap());
    one.execute_unprepared(&write(1)).await.unwrap();
    two.execute_unprepared(&write(2)).await.unwrap();
    one.execute_unprepared("UPDATE customers SET name = 'n' WHERE id = 1")
        .await
        .unwrap();
    two.execute_unprepared("UPDATE customers SET name = 'n' WHERE id = 2")
        .await
        .unwrap();
    one.rollback().await.unwrap();
    two.execute_unprepared(&write(2)).await.unwrap();
    two.commit().await.unwrap();
    assert_eq!(db.outside("SELECT status FROM customers ORDER BY id"), "active\nx");
}

/// Gives a user of its own some rights on a new database, and connects as it.
async fn as_user(server: &Server, rights: &str) -> DatabaseConnection {
    let url = server.fresh_database("rights");
    let name = url.rsplit('/').next().unwrap().to_owned();
    let make = format!("CREATE USER '{name}'@'127.0.0.1'; GRANT {rights} ON `{name}`.* TO '{name}'@'127.0.0.1'");
    mariadb_cli(&url, &make);
    connected(server, &name).await
}

async fn connected(server: &Server, name: &str) -> DatabaseConnection {
    let url = server.url_for(name).replace("root@", &format!("{name}@"));
    Connections::connect(url).await.unwrap()
}

#[tokio::test]
async fn a_user_who_may_not_make_triggers_is_refused_with_what_to_grant_or_to_set() {
    let without_trigger = "CREATE, ALTER, DROP, INDEX, REFERENCES, SELECT, INSERT, UPDATE, DELETE";
    let with_trigger = "CREATE, ALTER, DROP, INDEX, REFERENCES, TRIGGER, SELECT, INSERT, UPDATE, DELETE";
    let tables = [customers()];

    let db = as_user(Server::shared(), without_trigger).await;
    let refused = up(&db, &tables).await.unwrap_err().to_string();
    assert!(
        refused.contains("TRIGGER") && refused.contains("grant them"),
        "{refused}"
    );

    let server = Server::start_with(&["--log-bin=log", "--server-id=1"]);
    let db = as_user(&server, with_trigger).await;
    let refused = up(&db, &tables).await.unwrap_err().to_string();
    assert!(refused.contains("log_bin_trust_function_creators = 1"), "{refused}");
    mariadb_cli(&server.url_for(""), "SET GLOBAL log_bin_trust_function_creators = 1");
    // It goes on where it stopped.
    up(&db, &tables).await.unwrap();
    assert!(status(&db, &tables).await.unwrap().is_current());
}

/// The server shows triggers only to users with the right to make them.
#[tokio::test]
async fn a_user_who_sees_no_triggers_is_refused_with_the_grant_and_no_trigger_is_said_to_be_missing() {
    let server = Server::shared();
    let tables = [customers()];
    let db = as_user(server, "ALL").await;
    up(&db, &tables).await.unwrap();
    let asked = Statement::from_string(DbBackend::MySql, "SELECT DATABASE() AS name");
    let row = db.query_one_raw(asked).await.unwrap().unwrap();
    let name: String = row.try_get("", "name").unwrap();
    let change = |sql: &str| {
        let sql = sql.replace("WHERE_AND_WHO", &format!("ON `{name}`.* TO '{name}'@'127.0.0.1'"));
        mariadb_cli(&server.url_for(""), &sql);
    };
    let revoke = format!("REVOKE ALL ON `{name}`.* FROM '{name}'@'127.0.0.1'");
    change(&format!("{revoke}; GRANT SELECT, INSERT, UPDATE, DELETE WHERE_AND_WHO"));
    let db = connected(server, &name).await;
    let refused = status(&db, &tables).await.unwrap_err().to_string();
    let grant = format!("GRANT TRIGGER ON `{name}`.* TO '{name}'@'127.0.0.1'");
    assert!(refused.contains(&grant), "{refused}");
    change("GRANT TRIGGER WHERE_AND_WHO");
    let db = connected(server, &name).await;
    assert!(status(&db, &tables).await.unwrap().is_current());
}
