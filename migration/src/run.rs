//! `bekci migrate`, without the command line.

use sea_orm_migration::prelude::{ConnectionTrait, DbErr, MigratorTrait as _};
use sea_orm_migration::sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _,
};

use crate::migrator::{MIGRATIONS, Migrator};
use crate::model::ModelTable;
use crate::watch::EVERYBODY;
use crate::{account_table_statements, dialect, missing_watches, table_exists, tables, watch_statements, watches};

/// What [`up`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Migrations that were applied.
    pub applied: Vec<String>,
    /// Account tables that were made.
    pub created: Vec<String>,
    /// Tables whose triggers were made, or made anew.
    pub watched: Vec<String>,
}

/// What [`status`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Migrations that are not applied yet.
    pub pending: Vec<String>,
    /// Account tables that are not there.
    pub missing_tables: Vec<String>,
    /// Tables whose triggers are not in force: see [`missing_watches`].
    pub missing_watches: Vec<String>,
}

impl Status {
    /// Whether nothing is left to do.
    pub fn is_current(&self) -> bool {
        self.pending.is_empty() && self.missing_tables.is_empty() && self.missing_watches.is_empty()
    }
}

/// Brings a database to the state that this version of Bekci needs, in one transaction: tables, account tables that are missing,
/// triggers. Account tables that are there keep their columns. A second time it does nothing; two processes take turns.
///
/// MariaDB commits each statement that changes the schema: what failed half way goes on where it stopped when it is run again.
///
/// # Errors
/// [`DbErr::Migration`] where an account table lacks a column that is to be watched, a name cannot stand in a key or a database, or (MariaDB) a foreign key
/// changes rows of a watched table; [`DbErr::BackendNotSupported`]; those of the database. Nothing has changed then.
pub async fn up(db: &DatabaseConnection, models: &[ModelTable]) -> Result<Report, DbErr> {
    let txn = begin(db).await?;
    let made = up_within(&txn, models).await;
    end(txn, made.map_err(|error| advised(db, error))).await
}

/// The error, and what to change.
fn advised(db: &DatabaseConnection, error: DbErr) -> DbErr {
    let dialect = dialect::of(db.get_database_backend());
    match dialect.ok().and_then(|dialect| dialect.advice(&error)) {
        Some(advice) => DbErr::Migration(format!("{error}: {advice}")),
        None => error,
    }
}

async fn up_within(txn: &DatabaseTransaction, models: &[ModelTable]) -> Result<Report, DbErr> {
    let backend = txn.get_database_backend();
    let dialect = dialect::of(backend)?;
    let mut missing = Vec::new();
    for model in models {
        model.check(dialect)?;
        if table_exists(txn, &model.table).await? {
            watches::check_columns(txn, model).await?;
            watches::check_sight(txn, &model.table).await?;
        } else {
            missing.push(model);
        }
    }
    let mut report = Report {
        applied: pending(txn).await?,
        ..Report::default()
    };
    // MariaDB has no child tables that lack the triggers of their parent.
    let is_in_use = report.applied.is_empty() && backend != DbBackend::MySql;
    Migrator::up(txn, None).await?;
    for model in missing {
        watches::run(txn, &account_table_statements(backend, model)?).await?;
        report.created.push(model.table.clone());
    }
    report.watched = watches::without_watches(txn, models).await?;
    if !report.watched.is_empty() {
        watches::run(txn, &watches::own_statements(dialect)).await?;
        watches::run(txn, &watch_statements(backend, models)?).await?;
        if is_in_use {
            // What was written while triggers were missing was not seen.
            reload_all(txn).await?;
        }
    }
    Ok(report)
}

/// Makes every node load every identity again, at its next poll: for changes that no trigger saw.
///
/// # Errors
/// Those of the database, [`DbErr::BackendNotSupported`].
pub async fn reload_all<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    let key = dialect::of(db.get_database_backend())?.quoted("key");
    let all = format!("INSERT INTO identity_outbox ({key}) VALUES ('{EVERYBODY}')");
    db.execute_unprepared(&all).await.map(drop)
}

/// What [`up`] would do. It changes nothing, and needs no right to.
///
/// # Errors
/// As [`missing_watches`].
pub async fn status(db: &DatabaseConnection, models: &[ModelTable]) -> Result<Status, DbErr> {
    let pending = Migrator::get_pending_migrations_read_only(db).await?;
    let mut missing_tables = Vec::new();
    for model in models {
        if !table_exists(db, &model.table).await? {
            missing_tables.push(model.table.clone());
        }
    }
    Ok(Status {
        pending: pending.iter().map(|migration| migration.name().to_owned()).collect(),
        missing_tables,
        missing_watches: missing_watches(db, models).await?,
    })
}

/// Removes every table, trigger, function and sequence of Bekci, with all roles, sessions and bans. Account tables stay as they are.
///
/// # Errors
/// Those of the database; nothing has changed then.
pub async fn down(db: &DatabaseConnection) -> Result<(), DbErr> {
    let txn = begin(db).await?;
    let gone = Migrator::reset(&txn).await;
    end(txn, gone).await
}

/// Gives the database another epoch: the step after it was restored from a backup, or after a failover that lost commits. From then on no entry of a
/// shared cache that was stored before is used, and every running node drops what it holds in memory.
///
/// # Errors
/// [`DbErr::Migration`] where there is no epoch yet; those of the database.
pub async fn change_epoch(db: &DatabaseConnection) -> Result<(), DbErr> {
    let change = tables::change_epoch(dialect::of(db.get_database_backend())?);
    match db.execute_unprepared(&change).await?.rows_affected() {
        0 => Err(DbErr::Migration(
            "the database has no epoch; run `bekci migrate up` first".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The script that does for a new database, or for one that has the migrations of this version, what [`up`] does: for those who
/// let only their own tools change a schema. It may be run again.
///
/// # Errors
/// As [`watch_statements`].
pub fn sql(backend: DbBackend, models: &[ModelTable]) -> Result<String, DbErr> {
    let dialect = dialect::of(backend)?;
    let mut statements = vec![dialect.begin().to_owned(), migrations_table(dialect)];
    statements.extend(tables::create_all(dialect));
    statements.extend(watches::own_statements(dialect));
    for model in models {
        statements.extend(account_table_statements(backend, model)?);
    }
    statements.extend(watch_statements(backend, models)?);
    statements.extend(Migrator::migrations().iter().map(|migration| {
        let (name, seconds) = (
            format!("'{}'", migration.name()),
            format!("{} / 1000000", dialect.now()),
        );
        dialect::insert_once(MIGRATIONS, "version", &name, "applied_at", &seconds)
    }));
    statements.push("COMMIT".to_owned());
    Ok(dialect.script(&statements))
}

/// As sea-orm-migration makes it.
fn migrations_table(dialect: &dyn dialect::Dialect) -> String {
    use sea_orm_migration::sea_query::{ColumnDef, Table};
    let table = Table::create()
        .table(MIGRATIONS)
        .if_not_exists()
        .col(ColumnDef::new("version").string().not_null().primary_key())
        .col(ColumnDef::new("applied_at").big_integer().not_null())
        .take();
    dialect.table(&table)
}

async fn pending(txn: &DatabaseTransaction) -> Result<Vec<String>, DbErr> {
    let pending = Migrator::get_pending_migrations_read_only(txn).await?;
    Ok(pending.iter().map(|migration| migration.name().to_owned()).collect())
}

/// A transaction that no other migration runs beside.
async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let lock = dialect::of(db.get_database_backend())?.lock();
    let options = TransactionOptions {
        // A deferred one that reads first could not go on once another has written.
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let txn = db.begin_with_options(options).await?;
    if let Some(lock) = lock {
        txn.execute_unprepared(lock).await?;
    }
    Ok(txn)
}

/// Commits what succeeded and lets the next migration go on, also after a failure: a lock of MariaDB belongs to the connection, not to the transaction.
async fn end<T>(txn: DatabaseTransaction, made: Result<T, DbErr>) -> Result<T, DbErr> {
    if let Some(unlock) = dialect::of(txn.get_database_backend())?.unlock() {
        let last = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
        txn.execute_unprepared(last).await?;
        txn.execute_unprepared(unlock).await?;
    }
    match made {
        Ok(made) => txn.commit().await.map(|()| made),
        Err(error) => {
            // The first error is the one to return; a transaction that cannot be rolled back is closed with its connection.
            let _rolled_back = txn.rollback().await;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use sea_orm_migration::sea_orm::DbBackend;

    #[test]
    fn the_script_makes_every_table_that_a_migration_makes() {
        for backend in [DbBackend::Sqlite, DbBackend::Postgres, DbBackend::MySql] {
            let script = super::sql(backend, &[]).unwrap();
            for name in super::tables::names() {
                let is_made = script
                    .lines()
                    .any(|line| line.contains("CREATE TABLE") && line.contains(name));
                assert!(is_made, "{backend:?}: no CREATE TABLE for {name}");
            }
        }
    }
}
