//! The connections that Bekci needs of SQLite.

use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend,
    sqlx::{
        Connection as _,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};

use super::OpenError;

/// How long a writer of SQLite waits for its turn.
const BUSY: Duration = Duration::from_secs(10);

pub(super) fn set(options: &mut ConnectOptions) {
    options.map_sqlx_sqlite_opts(|sqlite| {
        sqlite
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .pragma("recursive_triggers", "ON")
            .collation(crate::identifiers::COLLATION, crate::identifiers::compare)
    });
    // Where there is no room SQLite rolls back by itself, and sqlx counts on that the transaction is still there: what it begins next on this connection would be a
    // savepoint of none, so that reads see an old state and commits are seen by nobody else.
    options.map_sqlx_sqlite_before_acquire(|connection, _| {
        let is_clean = !connection.is_in_transaction();
        Box::pin(async move { Ok(is_clean) })
    });
}

pub(super) async fn check(db: &DatabaseConnection) -> Result<(), OpenError> {
    let row = db
        .query_one_raw(crate::sql::statement(
            DbBackend::Sqlite,
            "PRAGMA recursive_triggers",
            [],
        ))
        .await?;
    let on = row
        .map(|row| row.try_get_by_index::<i32>(0))
        .transpose()?
        .unwrap_or_default();
    if on == 0 {
        Err(OpenError::Pragma("recursive_triggers off"))
    } else {
        Ok(())
    }
}
