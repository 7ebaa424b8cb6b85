//! The tables of Bekci, by what they are for. Times are microseconds of unix time; the tenant `''` means global.

mod codes;
mod coherence;
mod links;
mod mails;
mod remembered;
mod rights;
mod security;
mod sessions;
mod temporaries;

use sea_orm_migration::sea_query::{ColumnDef, Expr, Index, IndexCreateStatement, Table, TableCreateStatement};

use crate::dialect::{Dialect, insert_once};

/// What makes all tables of the first version, in order; each statement may be run again.
pub(crate) fn create(dialect: &dyn Dialect) -> Vec<String> {
    let tables = [rights::tables(), sessions::tables(), coherence::tables(dialect)].concat();
    let indexes = [rights::indexes(), sessions::indexes(), coherence::indexes(dialect)].concat();
    let mut statements: Vec<String> = tables.iter().map(|table| dialect.table(table)).collect();
    statements.extend(indexes.iter().map(|index| dialect.index(index)));
    statements.push(dialect.create_positions());
    statements.push(coherence::nothing_pruned());
    statements
}

/// What makes the table of sign-ins that wait for their verification; each statement may be run again.
pub(crate) fn create_temporaries(dialect: &dyn Dialect) -> Vec<String> {
    let mut statements: Vec<String> = temporaries::tables().iter().map(|table| dialect.table(table)).collect();
    statements.extend(temporaries::indexes().iter().map(|index| dialect.index(index)));
    statements
}

/// What removes it.
pub(crate) fn drop_temporaries() -> Vec<String> {
    let tables = temporaries::TABLES.iter();
    tables.map(|table| format!("DROP TABLE IF EXISTS {table}")).collect()
}

/// What makes the queue of mails; each statement may be run again.
pub(crate) fn create_mails(dialect: &dyn Dialect) -> Vec<String> {
    let mut statements: Vec<String> = mails::tables().iter().map(|table| dialect.table(table)).collect();
    statements.extend(mails::indexes().iter().map(|index| dialect.index(index)));
    statements
}

/// What removes it.
pub(crate) fn drop_mails() -> Vec<String> {
    let tables = mails::TABLES.iter();
    tables.map(|table| format!("DROP TABLE IF EXISTS {table}")).collect()
}

/// What makes the table of mailed secrets; each statement may be run again.
pub(crate) fn create_codes(dialect: &dyn Dialect) -> Vec<String> {
    let mut statements: Vec<String> = codes::tables().iter().map(|table| dialect.table(table)).collect();
    statements.extend(codes::indexes().iter().map(|index| dialect.index(index)));
    statements
}

/// What removes it.
pub(crate) fn drop_codes() -> Vec<String> {
    let tables = codes::TABLES.iter();
    tables.map(|table| format!("DROP TABLE IF EXISTS {table}")).collect()
}

/// What makes the table of remember-me series; each statement may be run again.
pub(crate) fn create_remembered(dialect: &dyn Dialect) -> Vec<String> {
    let mut statements: Vec<String> = remembered::tables().iter().map(|table| dialect.table(table)).collect();
    statements.extend(remembered::indexes().iter().map(|index| dialect.index(index)));
    statements
}

/// What removes it.
pub(crate) fn drop_remembered() -> Vec<String> {
    let tables = remembered::TABLES.iter();
    tables.map(|table| format!("DROP TABLE IF EXISTS {table}")).collect()
}

/// What makes the table of security cookies; each statement may be run again.
pub(crate) fn create_security(dialect: &dyn Dialect) -> Vec<String> {
    security::tables().iter().map(|table| dialect.table(table)).collect()
}

/// What removes it.
pub(crate) fn drop_security() -> Vec<String> {
    let tables = security::TABLES.iter();
    tables.map(|table| format!("DROP TABLE IF EXISTS {table}")).collect()
}

/// What makes the table of links to identity providers; each statement may be run again.
pub(crate) fn create_links(dialect: &dyn Dialect) -> Vec<String> {
    let mut statements: Vec<String> = links::tables().iter().map(|table| dialect.table(table)).collect();
    statements.extend(links::indexes().iter().map(|index| dialect.index(index)));
    statements
}

/// What removes it.
pub(crate) fn drop_links() -> Vec<String> {
    let tables = links::TABLES.iter();
    tables.map(|table| format!("DROP TABLE IF EXISTS {table}")).collect()
}

/// What gives the database its epoch and the outbox its index by key; each statement may be run again.
pub(crate) fn create_epoch(dialect: &dyn Dialect) -> Vec<String> {
    vec![
        dialect.index(&coherence::by_key()),
        insert_once("coherence_meta", "name", "'epoch'", "value", dialect.random()),
    ]
}

/// What removes them.
pub(crate) fn drop_epoch(dialect: &dyn Dialect) -> Vec<String> {
    vec![
        dialect.drop_index(coherence::BY_KEY, "identity_outbox"),
        "DELETE FROM coherence_meta WHERE name = 'epoch'".to_owned(),
    ]
}

/// Gives the database another epoch.
pub(crate) fn change_epoch(dialect: &dyn Dialect) -> String {
    format!(
        "UPDATE coherence_meta SET value = {} WHERE name = 'epoch'",
        dialect.random()
    )
}

/// What removes the tables of the first version, and all that is in them.
pub(crate) fn drop(dialect: &dyn Dialect) -> Vec<String> {
    let tables = [rights::TABLES, sessions::TABLES, coherence::TABLES].concat();
    let mut statements: Vec<String> = tables
        .iter()
        .map(|table| format!("DROP TABLE IF EXISTS {table}"))
        .collect();
    statements.extend(dialect.drop_positions().map(str::to_owned));
    statements
}

/// What all migrations of this version make, in their order; each statement may be run again.
pub(crate) fn create_all(dialect: &dyn Dialect) -> Vec<String> {
    [
        create(dialect),
        create_temporaries(dialect),
        create_epoch(dialect),
        create_mails(dialect),
        create_codes(dialect),
        create_remembered(dialect),
        create_security(dialect),
        create_links(dialect),
    ]
    .concat()
}

/// The names of all tables of Bekci.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let all = [
        rights::TABLES,
        sessions::TABLES,
        coherence::TABLES,
        temporaries::TABLES,
        mails::TABLES,
        codes::TABLES,
        remembered::TABLES,
        security::TABLES,
        links::TABLES,
    ];
    all.into_iter().flatten().copied()
}

fn table(name: &'static str) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(name).if_not_exists();
    table
}

/// A primary key of several columns.
fn primary_key(columns: &[&'static str]) -> IndexCreateStatement {
    columns
        .iter()
        .fold(Index::create(), |mut key, column| key.col(*column).take())
}

fn unique(name: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = index(name, "", columns);
    index.unique();
    index
}

/// An index on a table; one inside a `CREATE TABLE` names none.
fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = columns
        .iter()
        .fold(Index::create(), |mut index, column| index.col(*column).take());
    index.name(name);
    if !table.is_empty() {
        index.table(table).if_not_exists();
    }
    index
}

/// A number that the database gives.
fn serial(name: &'static str) -> ColumnDef {
    ColumnDef::new(name)
        .big_integer()
        .not_null()
        .auto_increment()
        .primary_key()
        .take()
}

/// Text that may be part of a key.
fn word(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).string().not_null().take()
}

/// The tenant: `''` where nobody says one.
fn tenant() -> ColumnDef {
    word("tenant").default("").take()
}

/// Text of any length that may be missing.
fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().null().take()
}

fn big(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

fn big_or_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().take()
}

fn int(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().not_null().take()
}

fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().take()
}

/// A value that the database works out by an expression of its own.
fn computed(mut column: ColumnDef, expression: &'static str) -> ColumnDef {
    column.default(Expr::cust(expression)).take()
}
