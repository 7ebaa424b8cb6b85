//! Account tables: what a write to them names, and what goes with an account.

use crate::database::{Database, up_with};
use crate::{IdKind, model, on_every_database};

on_every_database!(
    an_inserted_account_is_named,
    a_watched_column_that_changes_names_the_account,
    an_update_that_changes_no_watched_column_names_nobody,
    a_change_of_case_alone_is_a_change,
    a_deleted_account_is_named,
    an_account_with_another_id_is_named_by_both,
    uuids_are_named_in_lower_case_with_hyphens,
    text_ids_are_named_as_they_are,
    a_write_that_is_rolled_back_names_nobody,
    an_upsert_names_what_it_changed,
    with_an_account_go_its_sessions_rights_bans_and_blocks,
    an_account_whose_id_changes_leaves_nothing_under_the_old_one,
);

const THREE: &str = "INSERT INTO customers (id, email, name) VALUES (1, 'a@x', 'A'), (2, 'b@x', 'B'), (3, 'c@x', 'C');";

/// Everything that an account can have, for customer 1, and the same for 2.
const RIGHTS: &str = "
INSERT INTO bekci_sessions (id, model, principal_id, guard, way, remembered, generation, rotated_at, created_at, authenticated_at, last_used_at)
  VALUES ('s1', 'customer', '1', 'shop', 'password', false, 1, 1, 1, 1, 1), ('s2', 'customer', '2', 'shop', 'password', false, 1, 1, 1, 1, 1),
         ('s3', 'admin', '1', 'shop', 'password', false, 1, 1, 1, 1, 1);
INSERT INTO bekci_sessions (id, model, principal_id, guard, way, remembered, generation, rotated_at, created_at, authenticated_at, last_used_at,
  ended_at, end_reason) VALUES ('s0', 'customer', '1', 'shop', 'password', false, 1, 1, 1, 1, 1, 7, 'signed_out');
INSERT INTO bekci_principal_roles (model, id, guard, role) VALUES ('customer', '1', 'shop', 'buyer'), ('customer', '2', 'shop', 'buyer'), ('admin', '1', 'shop', 'buyer');
INSERT INTO bekci_principal_permissions (model, id, guard, permission, denied)
  VALUES ('customer', '1', 'shop', 'a', false), ('customer', '2', 'shop', 'a', false), ('admin', '1', 'shop', 'a', false);
INSERT INTO bekci_bans (model, id, banned_at) VALUES ('customer', '1', 1), ('customer', '2', 1), ('admin', '1', 1);
INSERT INTO bekci_blocks (model, principal_id, reason, created_at) VALUES ('customer', '1', 'x', 1), ('customer', '2', 'x', 1), ('admin', '1', 'x', 1);
INSERT INTO bekci_links (id, model, principal_id, provider, issuer, subject, created_at, used_at)
  VALUES ('a', 'customer', '1', 'x', 'y', '1', 1, 1), ('b', 'customer', '2', 'x', 'y', '2', 1, 1), ('c', 'admin', '1', 'x', 'y', '3', 1, 1);";

/// Whose rights there are, of each kind.
const LEFT: &str = "SELECT 'session ' || model || ':' || principal_id FROM bekci_sessions WHERE ended_at IS NULL
  UNION ALL SELECT 'role ' || model || ':' || id FROM bekci_principal_roles
  UNION ALL SELECT 'permission ' || model || ':' || id FROM bekci_principal_permissions
  UNION ALL SELECT 'ban ' || model || ':' || id FROM bekci_bans
  UNION ALL SELECT 'block ' || model || ':' || principal_id FROM bekci_blocks
  UNION ALL SELECT 'link ' || model || ':' || principal_id FROM bekci_links ORDER BY 1";

async fn an_inserted_account_is_named(db: impl Database) {
    assert_eq!(db.names(THREE), ["customer:1", "customer:2", "customer:3"]);
}

async fn a_watched_column_that_changes_names_the_account(db: impl Database) {
    db.outside(THREE);
    for change in [
        "email = 'n@x'",
        "status = 'banned'",
        "verified_at = 1",
        "tenant = 'acme'",
        "name = 'N'",
    ] {
        let named = db.names(&format!("UPDATE customers SET {change} WHERE id = 2"));
        assert_eq!(named, ["customer:2"], "{change}");
    }
    let to_null = db.names("UPDATE customers SET verified_at = NULL");
    assert_eq!(to_null, ["customer:2"]);
}

async fn an_update_that_changes_no_watched_column_names_nobody(db: impl Database) {
    db.outside(THREE);
    for change in [
        "note = 'n'",
        "password_hash = 'h'",
        "created_at = 1",
        "status = status",
        "status = 'active'",
        "id = id",
    ] {
        let named = db.names(&format!("UPDATE customers SET {change}"));
        assert!(named.is_empty(), "{change}: {named:?}");
    }
    assert!(
        db.names("UPDATE customers SET status = 'banned' WHERE id = 99")
            .is_empty()
    );
    assert!(db.names("DELETE FROM customers WHERE id = 99").is_empty());
}

async fn a_change_of_case_alone_is_a_change(db: impl Database) {
    db.outside(THREE);
    assert_eq!(db.names("UPDATE customers SET name = 'a' WHERE id = 1"), ["customer:1"]);
}

async fn a_deleted_account_is_named(db: impl Database) {
    db.outside(THREE);
    assert_eq!(
        db.names("DELETE FROM customers WHERE id > 1"),
        ["customer:2", "customer:3"]
    );
}

async fn an_account_with_another_id_is_named_by_both(db: impl Database) {
    db.outside(THREE);
    assert_eq!(
        db.names("UPDATE customers SET id = 20 WHERE id = 2"),
        ["customer:2", "customer:20"]
    );
}

async fn uuids_are_named_in_lower_case_with_hyphens(db: impl Database) {
    up_with(&db, &[model("partner", "partners", IdKind::Uuid)]).await;
    let id = "0190A0B1-C2D3-4E5F-8A9B-00FFEEDDCCBB";
    let named = db.names(&format!(
        "INSERT INTO partners (id, email) VALUES ({}, 'a@x')",
        db.uuid(id)
    ));
    assert_eq!(named, ["partner:0190a0b1-c2d3-4e5f-8a9b-00ffeeddccbb"]);
    assert_eq!(db.names("DELETE FROM partners"), named);
}

async fn text_ids_are_named_as_they_are(db: impl Database) {
    up_with(&db, &[model("robot", "robots", IdKind::Text)]).await;
    assert_eq!(
        db.names("INSERT INTO robots (id, email) VALUES ('R2-d''2', 'a@x')"),
        ["robot:R2-d'2"]
    );
}

async fn a_write_that_is_rolled_back_names_nobody(db: impl Database) {
    db.outside(THREE);
    let named = db.names("BEGIN; UPDATE customers SET status = 'banned'; DELETE FROM customers WHERE id = 1; ROLLBACK");
    assert!(named.is_empty(), "{named:?}");
}

async fn an_upsert_names_what_it_changed(db: impl Database) {
    db.outside(THREE);
    let upsert = |status| {
        format!(
            "INSERT INTO customers (id, email, status) VALUES (1, 'a@x', '{status}'), (4, 'd@x', '{status}') \
             ON CONFLICT (id) DO UPDATE SET status = excluded.status"
        )
    };
    assert_eq!(db.names(&upsert("banned")), ["customer:1", "customer:4"]);
    assert!(db.names(&upsert("banned")).is_empty());
    let nothing = "INSERT INTO customers (id, email) VALUES (1, 'z@x') ON CONFLICT DO NOTHING";
    assert!(db.names(nothing).is_empty());
}

async fn with_an_account_go_its_sessions_rights_bans_and_blocks(db: impl Database) {
    db.outside(&[THREE, RIGHTS].concat());
    assert_eq!(db.names_once("DELETE FROM customers WHERE id = 1"), ["customer:1"]);
    db.outside("INSERT INTO customers (id, email) VALUES (1, 'again@x')");

    let left = db.outside(LEFT);
    assert!(!left.contains("customer:1"), "{left}");
    assert_eq!(left.matches("customer:2").count(), 6, "{left}");
    assert_eq!(left.matches("admin:1").count(), 6, "{left}");
    let ended = db.outside(
        "SELECT id, end_reason, ended_at = 7 OR ended_at > 1700000000000000 FROM bekci_sessions WHERE ended_at IS NOT NULL ORDER BY id",
    );
    let ended = ended.replace("|t", "|1");
    assert_eq!(ended, "s0|signed_out|1\ns1|account_deleted|1");
}

async fn an_account_whose_id_changes_leaves_nothing_under_the_old_one(db: impl Database) {
    db.outside(&[THREE, RIGHTS].concat());
    db.outside("UPDATE customers SET id = 10 WHERE id = 1");
    let left = db.outside(LEFT);
    assert!(!left.contains("customer:1"), "{left}");
    assert_eq!(left.matches("customer:2").count(), 6, "{left}");
    db.outside("UPDATE customers SET status = 'banned', id = id");
    assert_eq!(db.outside(LEFT), left);
}
