//! The schema and its triggers in real databases, written to from outside as anybody might.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod accounts;
mod cascade;
mod database;
mod many;
mod mariadb;
mod migrate;
mod names;
mod postgres;
mod rights;
mod roles;
mod sessions;
mod sqlite;

use bekci_migration::{IdKind, ModelTable};

/// Runs each test on each database; a further database is one more line here, and one type in `database`.
macro_rules! on_every_database {
    ($($test:ident),+ $(,)?) => {
        crate::on_databases_that_see_cascades!($($test),+);
        mod on_mariadb {
            $(#[tokio::test] async fn $test() { super::$test(crate::database::MariaDb::migrated().await).await; })+
        }
    };
}
pub(crate) use on_every_database;

/// The same without MariaDB, whose foreign keys fire no trigger.
macro_rules! on_databases_that_see_cascades {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $test() { super::$test(crate::database::Sqlite::migrated().await).await; })+
        }
        mod on_postgres {
            $(#[tokio::test] async fn $test() { super::$test(crate::database::Postgres::migrated().await).await; })+
        }
    };
}
pub(crate) use on_databases_that_see_cascades;

/// The accounts of all tests: `customers`, with whole numbers for keys.
fn customers() -> ModelTable {
    ModelTable {
        model: "customer".to_owned(),
        table: "customers".to_owned(),
        id_column: "id".to_owned(),
        id_kind: IdKind::Integer,
        identifiers: vec!["email".to_owned()],
        password_column: Some("password_hash".to_owned()),
        status_column: Some("status".to_owned()),
        verified_column: Some("verified_at".to_owned()),
        tenant_column: Some("tenant".to_owned()),
        attributes: vec!["name".to_owned(), "note".to_owned()],
        watched_columns: vec!["name".to_owned()],
    }
}

/// As [`customers`], in a table and for a model of another name.
fn model(model: &str, table: &str, id_kind: IdKind) -> ModelTable {
    ModelTable {
        model: model.to_owned(),
        table: table.to_owned(),
        id_kind,
        ..customers()
    }
}
