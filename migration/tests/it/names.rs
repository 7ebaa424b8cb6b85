//! Names of tables and columns may be anything that a database takes; a model's name may not.

use bekci_migration::sea_orm_migration::sea_orm::DbBackend;
use bekci_migration::{ModelTable, account_table_statements, unwatch_statements, watch_statements};

use crate::database::{Database, up_with};
use crate::{IdKind, customers, model, on_every_database};

on_every_database!(
    names_full_of_quotes_are_quoted,
    an_account_table_has_the_columns_that_its_model_names
);

async fn names_full_of_quotes_are_quoted(db: impl Database) {
    let table = ModelTable {
        id_column: "the \"id\"".to_owned(),
        identifiers: vec!["mail'); DROP TABLE customers; --".to_owned()],
        status_column: Some("$bekci$".to_owned()),
        attributes: vec!["select".to_owned()],
        watched_columns: vec!["select".to_owned()],
        ..model("odd", "Odd \"table\" $bekci$", IdKind::Integer)
    };
    up_with(&db, &[customers(), table]).await;
    let table = "\"Odd \"\"table\"\" $bekci$\"";
    let insert =
        format!("INSERT INTO {table} (\"the \"\"id\"\"\", \"mail'); DROP TABLE customers; --\") VALUES (1, 'a')");
    assert_eq!(db.names(&insert), ["odd:1"]);
    assert_eq!(
        db.names(&format!("UPDATE {table} SET \"$bekci$\" = 'banned'")),
        ["odd:1"]
    );
    assert_eq!(db.names(&format!("UPDATE {table} SET \"select\" = 'x'")), ["odd:1"]);
    assert_eq!(db.names(&format!("DELETE FROM {table}")), ["odd:1"]);
    assert_eq!(db.outside("SELECT count(*) FROM customers"), "0");
}

async fn an_account_table_has_the_columns_that_its_model_names(db: impl Database) {
    db.outside("INSERT INTO customers (email) VALUES ('a@x')");
    let row = db.outside(
        "SELECT id, email, status, password_hash IS NULL AND verified_at IS NULL AND tenant IS NULL AND name IS NULL AND note IS NULL, \
         created_at > 1700000000000000 FROM customers",
    );
    assert_eq!(row.replace('t', "1"), "1|a@x|ac1ive|1|1");
    assert!(
        db.refuses("INSERT INTO customers (email) VALUES ('a@x')"),
        "identifiers are unique"
    );
    assert!(
        db.refuses("INSERT INTO customers (name) VALUES ('A')"),
        "identifiers are required"
    );
}

#[test]
fn a_name_that_cannot_stand_in_a_key_or_a_database_is_refused() {
    let with = |change: fn(&mut ModelTable)| {
        let mut table = customers();
        change(&mut table);
        table
    };
    let bad = [
        with(|table| table.model = String::new()),
        with(|table| table.model = "a:b".to_owned()),
        with(|table| table.model = "a'b".to_owned()),
        with(|table| table.model = "Customer".to_owned()),
        with(|table| table.model = "a__b".to_owned()),
        with(|table| table.model = "a".repeat(33)),
        with(|table| table.table = String::new()),
        with(|table| table.table = "a\0b".to_owned()),
        with(|table| table.id_column = "a".repeat(64)),
        with(|table| table.watched_columns.push("line\nbreak".to_owned())),
        with(|table| table.status_column = Some(String::new())),
    ];
    for backend in [DbBackend::Sqlite, DbBackend::Postgres, DbBackend::MySql] {
        for table in &bad {
            let tables = std::slice::from_ref(table);
            assert!(watch_statements(backend, tables).is_err(), "{table:?}");
            assert!(unwatch_statements(backend, tables).is_err(), "{table:?}");
            assert!(account_table_statements(backend, table).is_err(), "{table:?}");
        }
        assert!(watch_statements(backend, &[customers()]).is_ok());
    }
}

#[test]
fn a_schema_is_refused_where_the_database_has_none() {
    let table = [model("member", "shop.members", IdKind::Integer)];
    assert!(watch_statements(DbBackend::Postgres, &table).is_ok());
    for backend in [DbBackend::Sqlite, DbBackend::MySql] {
        let refused = watch_statements(backend, &table).unwrap_err().to_string();
        assert!(
            refused.contains("shop.members") && refused.contains("schema"),
            "{refused}"
        );
    }
}
