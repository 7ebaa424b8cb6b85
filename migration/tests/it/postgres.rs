//! What PostgreSQL alone can do.

use bekci_migration::missing_watches;

use crate::database::{Database as _, Postgres, up_with};
use crate::{IdKind, customers, model};

const RIGHTS: &str = "INSERT INTO customers (id, email) VALUES (1, 'a@x'), (2, 'b@x');
  INSERT INTO bekci_bans (model, id, banned_at) VALUES ('customer', '1', 1), ('admin', '1', 1);
  INSERT INTO bekci_roles (guard, name) VALUES ('shop', 'buyer');
  INSERT INTO bekci_role_permissions VALUES (1, 'a');
  INSERT INTO bekci_principal_roles (model, id, guard, role) VALUES ('customer', '1', 'shop', 'buyer'), ('admin', '1', 'shop', 'buyer');";

#[tokio::test]
async fn truncate_names_everybody() {
    let db = Postgres::migrated().await;
    for table in [
        "bekci_sessions",
        "bekci_principal_roles",
        "bekci_principal_permissions",
        "bekci_bans",
        "bekci_blocks",
        "bekci_roles",
        "bekci_role_permissions",
        "customers",
    ] {
        assert_eq!(db.names(&format!("TRUNCATE {table}")), ["@all"], "{table}");
    }
    assert_eq!(db.names("TRUNCATE bekci_policies"), ["@policies"]);
}

#[tokio::test]
async fn truncated_accounts_and_roles_leave_nothing_to_inherit() {
    let db = Postgres::migrated().await;
    db.outside(RIGHTS);
    db.outside("TRUNCATE customers");
    assert_eq!(db.outside("SELECT model FROM bekci_bans"), "admin");
    assert_eq!(db.outside("SELECT model FROM bekci_principal_roles"), "admin");
    db.outside("TRUNCATE bekci_roles RESTART IDENTITY");
    assert_eq!(db.outside("SELECT count(*) FROM bekci_principal_roles"), "0");
    assert_eq!(db.outside("SELECT count(*) FROM bekci_role_permissions"), "0");
}

#[tokio::test]
async fn a_writer_with_another_search_path_is_seen() {
    let db = Postgres::migrated().await;
    db.outside(RIGHTS);
    assert_eq!(
        db.names("SET search_path = ''; DELETE FROM public.customers WHERE id = 2"),
        ["customer:2"]
    );
}

#[tokio::test]
async fn a_writer_in_the_role_of_a_replica_is_seen() {
    let db = Postgres::migrated().await;
    let copy = "SET session_replication_role = replica; INSERT INTO customers (id, email) VALUES (1, 'a@x')";
    assert_eq!(db.names(copy), ["customer:1"]);
}

#[tokio::test]
async fn a_trigger_that_is_switched_off_is_missing() {
    let db = Postgres::migrated().await;
    db.outside("ALTER TABLE customers DISABLE TRIGGER bekci_account_customer_delete; ALTER TABLE bekci_bans DISABLE TRIGGER ALL");
    let tables = [customers()];
    assert_eq!(
        missing_watches(db.db(), &tables).await.unwrap(),
        ["bekci_bans", "customers"]
    );
    up_with(&db, &tables).await;
    assert!(missing_watches(db.db(), &tables).await.unwrap().is_empty());
}

#[tokio::test]
async fn columns_whose_types_know_no_equality_are_compared_as_text() {
    let db = Postgres::migrated().await;
    db.outside(
        "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE staff (id text COLLATE blind PRIMARY KEY, email text COLLATE blind, status char(8), verified_at timestamptz, tenant text, name json);",
    );
    up_with(&db, &[model("staff", "staff", IdKind::Text)]).await;
    assert_eq!(
        db.names("INSERT INTO staff (id, email, name) VALUES ('a', 'a@x', '{}')"),
        ["staff:a"]
    );
    for change in ["email = 'A@x'", "name = '[]'", "verified_at = now()"] {
        assert_eq!(db.names(&format!("UPDATE staff SET {change}")), ["staff:a"], "{change}");
    }
    assert_eq!(db.names("UPDATE staff SET id = 'A'"), ["staff:A", "staff:a"]);
}

#[tokio::test]
async fn copy_merge_and_writes_in_a_statement_are_seen() {
    let db = Postgres::migrated().await;
    db.outside(RIGHTS);
    let merge = "MERGE INTO customers USING (VALUES (1::bigint), (5)) AS s (id) ON customers.id = s.id
      WHEN MATCHED THEN UPDATE SET status = 'banned' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (s.id, 'e@x')";
    assert_eq!(db.names(merge), ["customer:1", "customer:5"]);
    let both =
        "WITH gone AS (DELETE FROM customers WHERE id = 2 RETURNING id) UPDATE customers SET name = 'n' WHERE id = 5";
    assert_eq!(db.names(both), ["customer:2", "customer:5"]);
    assert_eq!(
        db.names("COPY customers (id, email) FROM PROGRAM 'printf \"7\\tg@x\\n\"'"),
        ["customer:7"]
    );
}

#[tokio::test]
async fn the_outbox_knows_its_transaction_and_positions_come_from_a_sequence() {
    let db = Postgres::migrated().await;
    let same = "BEGIN; INSERT INTO customers (id, email) VALUES (1, 'a@x');
      SELECT tx = pg_current_xact_id()::text::bigint FROM identity_outbox; COMMIT";
    assert_eq!(db.outside(same), "t");
    assert_eq!(db.outside("SELECT nextval('bekci_position')"), "1");
}

#[tokio::test]
async fn roles_that_swap_their_names_swap_their_members_and_no_more() {
    let db = Postgres::migrated().await;
    db.outside(
        "ALTER TABLE bekci_roles DROP CONSTRAINT bekci_roles_name;
         ALTER TABLE bekci_roles ADD CONSTRAINT bekci_roles_name UNIQUE (guard, tenant, name) DEFERRABLE;
         INSERT INTO bekci_roles (guard, name) VALUES ('shop', 'a'), ('shop', 'b');
         INSERT INTO bekci_principal_roles (model, id, guard, role) VALUES ('customer', '1', 'shop', 'a'), ('customer', '2', 'shop', 'b'),
           ('customer', '3', 'shop', 'a'), ('customer', '3', 'shop', 'b');",
    );
    db.outside("UPDATE bekci_roles SET name = CASE name WHEN 'a' THEN 'b' ELSE 'a' END");
    assert_eq!(
        db.outside("SELECT id || role FROM bekci_principal_roles ORDER BY 1"),
        "1b\n2a\n3a\n3b"
    );
}
