//! What differs between databases. A further database is one more module here and one more arm in [`of`].

mod mariadb;
mod postgres;
mod sqlite;

use sea_orm_migration::DbErr;
use sea_orm_migration::sea_orm::DbBackend;
use sea_orm_migration::sea_query::{IndexCreateStatement, TableCreateStatement};

use crate::model::IdKind;
use crate::watch::{Key, Watch};

/// How one database writes what this crate needs.
pub(crate) trait Dialect: Send + Sync {
    /// A `CREATE TABLE`.
    fn table(&self, table: &TableCreateStatement) -> String;

    /// A `CREATE INDEX`.
    fn index(&self, index: &IndexCreateStatement) -> String;

    /// Now, in microseconds of unix time, as an expression.
    fn now(&self) -> &'static str;

    /// The transaction that runs, as an expression.
    fn transaction_id(&self) -> &'static str;

    /// A random number that is not negative and fits a `BIGINT`, as an expression.
    fn random(&self) -> &'static str;

    /// A `DROP INDEX` that does no harm where there is none.
    fn drop_index(&self, name: &str, table: &str) -> String;

    /// The indexes on unnumbered rows of the outbox.
    fn outbox_indexes(&self) -> Vec<IndexCreateStatement>;

    /// What gives out positions.
    fn create_positions(&self) -> String;

    /// Takes it away again.
    fn drop_positions(&self) -> Option<&'static str>;

    /// A table's or column's name, quoted.
    fn quoted(&self, name: &str) -> String {
        quoted(name)
    }

    /// A table's name, quoted: `members`, or `shop.members` in a schema.
    fn quoted_table(&self, table: &str) -> String {
        quoted_table(table)
    }

    /// Texts, joined.
    fn concat(&self, parts: &[&str]) -> String {
        parts.join(" || ")
    }

    /// The key of an account as text, as it stands in keys.
    fn id_text(&self, kind: IdKind, expression: &str) -> String;

    /// Makes the triggers of a watch, whatever was there before.
    fn watch(&self, watch: &Watch<'_>) -> Vec<String>;

    /// Removes them, where they are there.
    fn unwatch(&self, watch: &Watch<'_>) -> Vec<String>;

    /// A query of the triggers whose name begins with one of ours: `name` and `body`.
    fn installed(&self) -> String;

    /// What [`Dialect::installed`] answers for a watch that is in force as [`Dialect::watch`] makes it today.
    fn expected(&self, watch: &Watch<'_>) -> Vec<(String, String)>;

    /// A query whose rows' `statement` removes the triggers with names that begin so.
    fn removals(&self, prefix: &str) -> String;

    /// A query that has a row if a table of the name that it takes as its parameter is there.
    fn table_exists(&self) -> &'static str;

    /// A table's name as that query, and others, take it.
    fn table_parameter(&self, table: &str) -> String;

    /// A query of the tables of applications: `name`, and `shown` as a configuration names the table.
    fn application_tables(&self) -> &'static str;

    /// Whether a table's name may begin with a schema.
    fn has_schemas(&self) -> bool;

    /// A query of why writes to a table would go unseen, triggers or not; each of its parameters is the table's name.
    fn unseen_writes(&self) -> Option<&'static str> {
        None
    }

    /// A query of the partitions and inheriting tables of watched tables that have no trigger of ours: `name`.
    fn unwatched_children(&self) -> Option<&'static str> {
        None
    }

    /// A query that has a row if the user lacks the right to see triggers: `statement`, which gives it.
    fn lacks_privilege(&self) -> Option<String> {
        None
    }

    /// What an error of a migration means, where the database's own words do not say what to change.
    fn advice(&self, _error: &DbErr) -> Option<&'static str> {
        None
    }

    /// Makes two processes that migrate at once take turns; run first in the transaction.
    fn lock(&self) -> Option<&'static str>;

    /// Lets the next one go on, where the end of the transaction does not.
    fn unlock(&self) -> Option<&'static str> {
        None
    }

    /// How a script begins a transaction.
    fn begin(&self) -> &'static str;

    /// A script for the database's own program.
    fn script(&self, statements: &[String]) -> String {
        statements.iter().map(|statement| format!("{statement};\n\n")).collect()
    }
}

/// The dialect of a database.
///
/// # Errors
/// [`DbErr::BackendNotSupported`] where there is none.
pub(crate) fn of(backend: DbBackend) -> Result<&'static dyn Dialect, DbErr> {
    match backend {
        DbBackend::Sqlite => Ok(&sqlite::Sqlite),
        DbBackend::Postgres => Ok(&postgres::Postgres),
        DbBackend::MySql => Ok(&mariadb::MariaDb),
        // DbBackend may grow, so that there is no exhaustive match.
        other => Err(DbErr::BackendNotSupported {
            db: other.as_str(),
            ctx: "the schema of Bekci",
        }),
    }
}

/// A name as the SQL standard quotes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's name, quoted: `members`, or `shop.members` in a schema.
fn quoted_table(table: &str) -> String {
    match table.split_once('.') {
        Some((schema, name)) => format!("{}.{}", quoted(schema), quoted(name)),
        None => quoted(table),
    }
}

/// Inserts a row of two columns, unless the first one's value is there. No database's own clause for it: MariaDB's hides other errors.
pub(crate) fn insert_once(table: &str, name: &str, key: &str, column: &str, value: &str) -> String {
    format!(
        "INSERT INTO {table} ({name}, {column}) SELECT {key}, {value} FROM (SELECT 1 AS one) AS once \
         WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {name} = {key})"
    )
}

/// The key of the row behind an alias, as an expression that is NULL where there is no such row.
fn key(dialect: &dyn Dialect, key: &Key<'_>, row: &str) -> String {
    let role = |row: &str| {
        let tenant = dialect.concat(&["'@'", &format!("{row}.tenant")]);
        let tenant = format!("CASE {row}.tenant WHEN '' THEN '' ELSE {tenant} END");
        dialect.concat(&["'@roles:'", &format!("{row}.guard"), &tenant])
    };
    match key {
        // The model's grammar has no quote in it.
        Key::Account { model, id, kind } => {
            let id = dialect.id_text(*kind, &format!("{row}.{}", dialect.quoted(id)));
            dialect.concat(&[&format!("'{model}:'"), &id])
        }
        Key::Principal { id } => dialect.concat(&[&format!("{row}.model"), "':'", &format!("{row}.{id}")]),
        Key::Role => role(row),
        Key::RolePermission => {
            format!(
                "(SELECT {} FROM bekci_roles WHERE bekci_roles.id = {row}.role_id)",
                role("bekci_roles")
            )
        }
        Key::Policies => "'@policies'".to_owned(),
    }
}
