//! A row that a foreign key removes is seen like any other.

use crate::database::Database;
use crate::on_databases_that_see_cascades;

on_databases_that_see_cascades!(
    accounts_that_a_cascade_deletes_are_named_and_lose_their_rights,
    an_account_that_a_foreign_key_sets_to_null_is_named,
);

/// An application's own table of companies, whose accounts hang on it.
const COMPANIES: &str =
    "CREATE TABLE companies (name varchar PRIMARY KEY); INSERT INTO companies VALUES ('acme'), ('other');";

/// SQLite has no constraint that is added later, so the accounts are made anew with it.
fn with_foreign_key(action: &str) -> String {
    format!(
        "CREATE TABLE members (id integer PRIMARY KEY, email varchar, password_hash text, status varchar, verified_at bigint, \
         tenant varchar REFERENCES companies (name) ON DELETE {action}, name text, note text);"
    )
}

async fn make(db: &impl Database, action: &str) {
    db.outside(&[COMPANIES, &with_foreign_key(action)].concat());
    crate::database::up_with(db, &[crate::model("member", "members", crate::IdKind::Integer)]).await;
    db.outside(
        "INSERT INTO members (id, tenant) VALUES (1, 'acme'), (2, 'acme'), (3, 'other');
         INSERT INTO bekci_bans (model, id, banned_at) VALUES ('member', '1', 1), ('member', '3', 1);",
    );
}

async fn accounts_that_a_cascade_deletes_are_named_and_lose_their_rights(db: impl Database) {
    make(&db, "CASCADE").await;
    assert_eq!(
        db.names_once("DELETE FROM companies WHERE name = 'acme'"),
        ["member:1", "member:2"]
    );
    assert_eq!(db.outside("SELECT id FROM bekci_bans"), "3");
}

async fn an_account_that_a_foreign_key_sets_to_null_is_named(db: impl Database) {
    make(&db, "SET NULL").await;
    assert_eq!(db.names("DELETE FROM companies WHERE name = 'other'"), ["member:3"]);
}
