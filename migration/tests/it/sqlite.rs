//! What SQLite alone can do.

use bekci_migration::sea_orm_migration::sea_orm::ConnectionTrait as _;

use crate::database::{Database as _, Sqlite, number, up_with};
use crate::{IdKind, model};

#[tokio::test]
async fn replace_names_the_rows_that_it_deletes() {
    let db = Sqlite::migrated().await;
    db.outside(
        "INSERT INTO customers (id, email) VALUES (1, 'a@x'), (2, 'b@x');
         INSERT INTO bekci_bans (model, id, banned_at) VALUES ('customer', '1', 1), ('customer', '2', 1);",
    );
    let named = db.names_once("REPLACE INTO customers (id, email) VALUES (3, 'a@x')");
    assert_eq!(named, ["customer:1", "customer:3"]);
    assert_eq!(
        db.names_once("REPLACE INTO customers (id, email) VALUES (2, 'c@x')"),
        ["customer:2"]
    );
    assert_eq!(db.outside("SELECT count(*) FROM bekci_bans"), "0");
    db.outside("INSERT INTO bekci_principal_roles (model, id, guard, role) VALUES ('customer', '3', 'shop', 'buyer')");
    let same = "REPLACE INTO bekci_principal_roles (model, id, guard, role) VALUES ('customer', '3', 'shop', 'buyer')";
    assert_eq!(db.names(same), ["customer:3"]);
}

#[tokio::test]
async fn a_key_that_is_changed_by_the_name_rowid_is_seen() {
    let db = Sqlite::migrated().await;
    db.outside("INSERT INTO customers (id, email) VALUES (1, 'a@x')");
    assert_eq!(db.names("UPDATE customers SET rowid = 9"), ["customer:1", "customer:9"]);
}

#[tokio::test]
async fn a_column_that_is_blind_to_case_is_compared_to_the_letter() {
    let db = Sqlite::migrated().await;
    db.outside(
        "CREATE TABLE staff (id integer PRIMARY KEY, email text COLLATE NOCASE, status text, verified_at bigint, tenant text, name text);",
    );
    up_with(&db, &[model("staff", "staff", IdKind::Integer)]).await;
    db.outside("INSERT INTO staff (id, email) VALUES (1, 'a@x')");
    assert_eq!(db.names("UPDATE staff SET email = 'A@x'"), ["staff:1"]);
}

#[tokio::test]
async fn a_uuid_of_sixteen_bytes_is_named_in_its_usual_form() {
    let db = Sqlite::migrated().await;
    up_with(&db, &[model("partner", "partners", IdKind::Uuid)]).await;
    let named = db.names("INSERT INTO partners (id, email) VALUES (x'0190A0B1C2D34E5F8A9B00FFEEDDCCBB', 'a@x')");
    assert_eq!(named, ["partner:0190a0b1-c2d3-4e5f-8a9b-00ffeeddccbb"]);
    let ban =
        "INSERT INTO bekci_bans (model, id, banned_at) VALUES ('partner', '0190a0b1-c2d3-4e5f-8a9b-00ffeeddccbb', 1);";
    db.outside(&format!("{ban} DELETE FROM partners"));
    assert_eq!(db.outside("SELECT count(*) FROM bekci_bans"), "0");
}

#[tokio::test]
async fn a_conflict_clause_of_the_writer_silences_no_trigger() {
    let db = Sqlite::migrated().await;
    db.outside(
        "INSERT INTO bekci_roles (id, guard, name) VALUES (1, 'shop', 'buyer');
         INSERT INTO bekci_principal_roles (model, id, guard, role) VALUES ('customer', '1', 'shop', 'buyer'), ('customer', '1', 'shop', 'client');",
    );
    for (clause, from, to) in [
        ("ABORT", "buyer", "client"),
        ("IGNORE", "client", "x"),
        ("REPLACE", "x", "y"),
        ("FAIL", "y", "z"),
    ] {
        let rename = format!("UPDATE OR {clause} bekci_roles SET name = '{to}' WHERE name = '{from}'");
        assert_eq!(db.names_once(&rename), ["@roles:shop", "customer:1"], "{rename}");
        assert_eq!(db.outside("SELECT role FROM bekci_principal_roles"), to);
    }
}

#[tokio::test]
async fn a_row_that_is_named_and_not_numbered_yet_is_not_named_again() {
    let db = Sqlite::migrated().await;
    db.outside("INSERT INTO customers (id, email) VALUES (1, 'a@x')");
    db.outside("UPDATE customers SET status = 'banned'");
    assert_eq!(db.named(), ["customer:1"]);
    db.outside("UPDATE customers SET status = 'active'; UPDATE identity_outbox SET position = 1; UPDATE customers SET status = 'banned'");
    assert_eq!(db.named(), ["customer:1", "customer:1"]);
}

#[tokio::test]
async fn times_are_microseconds_of_unix_time() {
    let db = Sqlite::migrated().await;
    let insert = "INSERT INTO customers (id, email) VALUES (1, 'a@x')";
    db.db().execute_unprepared(insert).await.unwrap();
    let ours = number(
        db.db(),
        "SELECT created_at - unixepoch() * 1000000 FROM identity_outbox",
    )
    .await
    .unwrap();
    assert!((-60_000_000..1_000_000).contains(&ours), "{ours}");
    assert_eq!(
        number(db.db(), "SELECT value FROM coherence_meta WHERE name = 'position'")
            .await
            .unwrap(),
        0
    );
}
