//! Sessions: a new one adds, its end takes away, and what happens in between names nobody.

use crate::database::Database;
use crate::on_every_database;

on_every_database!(
    a_new_session_only_adds,
    the_end_of_a_session_takes_away,
    a_raised_generation_takes_away,
    rotation_and_last_use_name_nobody,
    a_deleted_session_takes_away,
    a_session_that_changes_its_owner_names_both,
    a_session_that_begins_and_ends_in_one_transaction_takes_away,
);

const SIGN_IN: &str = "INSERT INTO bekci_sessions (id, model, principal_id, guard, way, remembered, generation, rotated_at, created_at,
  authenticated_at, last_used_at) VALUES ('s1', 'customer', '1', 'shop', 'password', false, 1, 1, 1, 1, 1),
  ('s2', 'customer', '1', 'shop', 'password', false, 1, 1, 1, 1, 1), ('s3', 'customer', '2', 'shop', 'password', false, 1, 1, 1, 1, 1);";

async fn a_new_session_only_adds(db: impl Database) {
    assert_eq!(db.names(SIGN_IN), ["+customer:1", "+customer:2"]);
}

async fn the_end_of_a_session_takes_away(db: impl Database) {
    db.outside(SIGN_IN);
    let sign_out = "UPDATE bekci_sessions SET ended_at = 5, end_reason = 'signed_out' WHERE id = 's1'";
    assert_eq!(db.names(sign_out), ["customer:1"]);
    assert!(db.names(sign_out).is_empty());
}

async fn a_raised_generation_takes_away(db: impl Database) {
    db.outside(SIGN_IN);
    assert_eq!(
        db.names("UPDATE bekci_sessions SET min_generation = 3 WHERE id = 's3'"),
        ["customer:2"]
    );
}

async fn rotation_and_last_use_name_nobody(db: impl Database) {
    db.outside(SIGN_IN);
    let named = db.names(
        "UPDATE bekci_sessions SET previous_generation = generation, generation = generation + 1, used_generation = 2, rotated_at = 9,
         last_used_at = 9, expires_at = 99, device_name = 'phone', device_hash = NULL, min_generation = 0, ended_at = NULL",
    );
    assert!(named.is_empty(), "{named:?}");
}

async fn a_deleted_session_takes_away(db: impl Database) {
    db.outside(SIGN_IN);
    assert_eq!(db.names("DELETE FROM bekci_sessions"), ["customer:1", "customer:2"]);
}

async fn a_session_that_changes_its_owner_names_both(db: impl Database) {
    db.outside(SIGN_IN);
    let named = db.names("UPDATE bekci_sessions SET model = 'admin', principal_id = '7' WHERE id = 's3'");
    assert_eq!(named, ["admin:7", "customer:2"]);
}

async fn a_session_that_begins_and_ends_in_one_transaction_takes_away(db: impl Database) {
    let named = db.names(&format!(
        "BEGIN; {SIGN_IN} UPDATE bekci_sessions SET ended_at = 5 WHERE id = 's1'; COMMIT"
    ));
    assert_eq!(named, ["+customer:1", "+customer:2", "customer:1"]);
}
