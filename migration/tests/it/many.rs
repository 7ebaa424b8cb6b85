//! Above 1,000 keys in one statement everybody is named, once.

use crate::database::Database;
use crate::on_every_database;

on_every_database!(
    a_thousand_owners_are_named_one_by_one,
    more_than_a_thousand_owners_are_everybody,
    more_than_a_thousand_new_sessions_are_everybody_and_wait,
    everybody_stands_in_for_further_principals_but_not_for_the_policy,
);

fn numbers(count: u32) -> String {
    format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})")
}

fn accounts(count: u32) -> String {
    format!(
        "INSERT INTO customers (id, email) {} SELECT i, i || '@x' FROM n",
        numbers(count)
    )
}

async fn a_thousand_owners_are_named_one_by_one(db: impl Database) {
    let named = db.names(&accounts(1_000));
    assert_eq!(named.len(), 1_000);
    assert!(named.iter().all(|key| key.starts_with("customer:")));
}

async fn more_than_a_thousand_owners_are_everybody(db: impl Database) {
    for write in [
        accounts(3_000).as_str(),
        "UPDATE customers SET status = 'banned'",
        "DELETE FROM customers",
    ] {
        let named = db.names(write);
        assert_eq!(named.iter().filter(|key| *key == "@all").count(), 1, "{write}");
        // Row by row, the first are named before it is clear how many they are.
        assert!(named.len() <= 1_002, "{write}: {}", named.len());
    }
}

async fn more_than_a_thousand_new_sessions_are_everybody_and_wait(db: impl Database) {
    let named = db.names(&format!(
        "INSERT INTO bekci_sessions (id, model, principal_id, guard, way, remembered, generation, rotated_at, created_at, authenticated_at,
         last_used_at) {} SELECT 's' || i, 'customer', '' || i, 'shop', 'password', false, 1, 1, 1, 1, 1 FROM n",
        numbers(1_500)
    ));
    assert!(named.contains(&"@all".to_owned()), "{}", named.len());
}

async fn everybody_stands_in_for_further_principals_but_not_for_the_policy(db: impl Database) {
    db.outside(&accounts(3_000));
    let named = db
        .names("BEGIN; UPDATE customers SET status = 'banned'; INSERT INTO bekci_policies (kind) VALUES ('p'); COMMIT");
    assert!(named.contains(&"@policies".to_owned()));
    assert!(named.contains(&"@all".to_owned()));
}
