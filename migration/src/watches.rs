//! The triggers in a database: made, looked for, removed.

use std::collections::BTreeMap;

use sea_orm_migration::DbErr;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::dialect::{self, Dialect};
use crate::model::ModelTable;
use crate::watch::{self, Watch};

/// What makes the triggers on account tables, whatever triggers of ours were there before. The tables of Bekci must be there.
///
/// # Errors
/// [`DbErr::Migration`] for a name that cannot stand in a key or a database, [`DbErr::BackendNotSupported`].
pub fn watch_statements(backend: DbBackend, tables: &[ModelTable]) -> Result<Vec<String>, DbErr> {
    let dialect = dialect::of(backend)?;
    for_each(dialect, tables, |watch| dialect.watch(watch))
}

/// What removes the triggers from account tables; no harm where there are none.
///
/// # Errors
/// As [`watch_statements`].
pub fn unwatch_statements(backend: DbBackend, tables: &[ModelTable]) -> Result<Vec<String>, DbErr> {
    let dialect = dialect::of(backend)?;
    for_each(dialect, tables, |watch| dialect.unwatch(watch))
}

/// The tables, Bekci's own among them, that lack a trigger of ours, have one of another version of Bekci or for other columns, or
/// one that is switched off, and on MariaDB those with a foreign key that cascades: writes to them would go unseen. Empty is as it should be after [`crate::up`].
///
/// # Errors
/// As [`watch_statements`], and those of the database.
pub async fn missing_watches<C: ConnectionTrait>(db: &C, tables: &[ModelTable]) -> Result<Vec<String>, DbErr> {
    let missing = without_watches(db, tables).await?;
    if !missing.is_empty() {
        check_privilege(db).await?;
    }
    Ok(missing)
}

/// The partitions and inheriting tables of watched tables that have no trigger of ours, since they were added after [`crate::up`] ran. Cheap enough to be called
/// every second; [`missing_watches`] finds more. There are some on PostgreSQL only.
///
/// # Errors
/// Those of the database, [`DbErr::BackendNotSupported`].
pub async fn unwatched_children<C: ConnectionTrait>(db: &C) -> Result<Vec<String>, DbErr> {
    let backend = db.get_database_backend();
    let Some(query) = dialect::of(backend)?.unwatched_children() else {
        return Ok(Vec::new());
    };
    let rows = db.query_all_raw(Statement::from_string(backend, query)).await?;
    rows.iter().map(|row| row.try_get("", "name")).collect()
}

/// Refuses a user of the database who would see no trigger, whether there are some or not.
async fn check_privilege<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let Some(query) = dialect::of(backend)?.lacks_privilege() else {
        return Ok(());
    };
    let found = db.query_one_raw(Statement::from_string(backend, query)).await?;
    match found.map(|row| row.try_get::<String>("", "statement")).transpose()? {
        None => Ok(()),
        Some(grant) => Err(DbErr::Migration(format!(
            "this user of the database sees no triggers, whether they are there or not: {grant}"
        ))),
    }
}

/// As [`missing_watches`], by a user who may make triggers.
pub(crate) async fn without_watches<C: ConnectionTrait>(db: &C, tables: &[ModelTable]) -> Result<Vec<String>, DbErr> {
    let dialect = dialect::of(db.get_database_backend())?;
    let installed = installed(db, dialect).await?;
    let in_force = |watch: &Watch<'_>| {
        let mut triggers = dialect.expected(watch).into_iter();
        triggers.all(|(name, body)| installed.get(&name) == Some(&body))
    };
    let mut watches = watch::own();
    for table in tables {
        table.check(dialect)?;
        watches.push(watch::account(table));
    }
    let mut missing = Vec::new();
    for watch in watches {
        if !in_force(&watch) || unseen_writes(db, watch.table).await?.is_some() {
            missing.push(watch.table.to_owned());
        }
    }
    Ok(missing)
}

/// Whether there is a table of this name where the connection looks for tables.
///
/// # Errors
/// Those of the database, [`DbErr::BackendNotSupported`].
pub async fn table_exists<C: ConnectionTrait>(db: &C, table: &str) -> Result<bool, DbErr> {
    let backend = db.get_database_backend();
    let dialect = dialect::of(backend)?;
    let name = dialect.table_parameter(table);
    let query = Statement::from_sql_and_values(backend, dialect.table_exists(), [name.into()]);
    let found = db.query_one_raw(query);
    Ok(found.await?.is_some())
}

/// What makes the triggers on our own tables.
pub(crate) fn own_statements(dialect: &dyn Dialect) -> Vec<String> {
    watch::own().iter().flat_map(|watch| dialect.watch(watch)).collect()
}

/// Removes every trigger whose name begins so, on whatever table it is.
pub(crate) async fn remove<C: ConnectionTrait>(db: &C, prefix: &str) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let query = dialect::of(backend)?.removals(prefix);
    for row in db.query_all_raw(Statement::from_string(backend, query)).await? {
        let statement: String = row.try_get("", "statement")?;
        db.execute_unprepared(&statement).await?;
    }
    Ok(())
}

/// Makes sure that each watched column is one: a trigger that names another would be made all the same, and refuse every write.
pub(crate) async fn check_columns<C: ConnectionTrait>(db: &C, model: &ModelTable) -> Result<(), DbErr> {
    let dialect = dialect::of(db.get_database_backend())?;
    model.check(dialect)?;
    let table = dialect.quoted_table(&model.table);
    for column in model.watched() {
        // By the table's name: alone in double quotes SQLite takes what is no column for a string.
        let query = format!("SELECT {table}.{} FROM {table} WHERE 1 = 0", dialect.quoted(column));
        let asked = db.query_one_raw(Statement::from_string(db.get_database_backend(), query));
        asked.await.map_err(|error| {
            DbErr::Migration(format!(
                "model {}: column {column:?} of table {:?} cannot be read: {error}",
                model.model, model.table
            ))
        })?;
    }
    Ok(())
}

/// Refuses a table to which rows are written that no trigger sees.
pub(crate) async fn check_sight<C: ConnectionTrait>(db: &C, table: &str) -> Result<(), DbErr> {
    match unseen_writes(db, table).await? {
        None => Ok(()),
        Some(why) => Err(DbErr::Migration(format!(
            "table {table:?} has a {why}: what it changes fires no trigger, so that a change of rights would go unseen"
        ))),
    }
}

/// Why writes to a table would go unseen although its triggers are there; `None`: they would not.
async fn unseen_writes<C: ConnectionTrait>(db: &C, table: &str) -> Result<Option<String>, DbErr> {
    let backend = db.get_database_backend();
    let Some(query) = dialect::of(backend)?.unseen_writes() else {
        return Ok(None);
    };
    let names = query.matches('?').map(|_| table.into());
    let found = db.query_one_raw(Statement::from_sql_and_values(backend, query, names));
    found.await?.map(|row| row.try_get("", "why")).transpose()
}

/// Runs statements one by one.
pub(crate) async fn run<C: ConnectionTrait>(db: &C, statements: &[String]) -> Result<(), DbErr> {
    for statement in statements {
        db.execute_unprepared(statement).await?;
    }
    Ok(())
}

async fn installed<C: ConnectionTrait>(db: &C, dialect: &dyn Dialect) -> Result<BTreeMap<String, String>, DbErr> {
    let query = Statement::from_string(db.get_database_backend(), dialect.installed());
    let rows = db.query_all_raw(query).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "name")?, row.try_get("", "body")?)))
        .collect()
}

fn for_each(
    dialect: &dyn Dialect,
    tables: &[ModelTable],
    statements: impl Fn(&Watch<'_>) -> Vec<String>,
) -> Result<Vec<String>, DbErr> {
    let mut all = Vec::new();
    for table in tables {
        table.check(dialect)?;
        all.extend(statements(&watch::account(table)));
    }
    Ok(all)
}
