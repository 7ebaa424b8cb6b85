//! Opening the database.

use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr,
    sqlx::{
        Connection as _,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};
use secrecy::{ExposeSecret, SecretString};

use crate::{RedisProblem, columns::UnfitColumns, pooler::refused_parameter, shared::SharedCacheError};

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be reached.
    #[error("the database cannot be reached: {0}; is it running, and are its URL, user and password right?")]
    Database(#[from] DbErr),
    /// This kind of database is not supported.
    #[error("{0} is not supported; use sqlite: or postgres:")]
    Backend(String),
    /// A connection of SQLite lacks a setting.
    #[error(
        "this SQLite connection has {0}; open it with bekci_store::connect, or set it on each connection of the pool"
    )]
    Pragma(&'static str),
    /// Account tables have columns that cannot be read or written as their models say.
    #[error("account tables do not fit their models: {0}")]
    Columns(UnfitColumns),
    /// The shared cache cannot be set up.
    #[error(transparent)]
    Shared(#[from] SharedCacheError),
    /// A pooler before PostgreSQL lacks a setting.
    #[error("{0}")]
    Pooler(&'static str),
    /// Redis refuses what Bekci needs.
    #[error(
        "{0}; sign-in would be closed: give the user of redis.url these commands, keys and channels, or name another server (docs/redis-keys.md)"
    )]
    Redis(RedisProblem),
    /// There are no random bytes.
    #[error("no random bytes: {0}")]
    Entropy(String),
}

/// How long a writer of SQLite waits for its turn.
const BUSY: Duration = Duration::from_secs(10);

/// Opens a pool with what the store needs: on SQLite write-ahead logging, foreign keys, recursive triggers (`REPLACE` fires delete triggers only with them) and a
/// busy time-out; the file and its folder are made if missing, and a connection whose transaction SQLite ended by itself is closed. On PostgreSQL an idle transaction is ended after 10 s, so that a stopped holder of the commit lock halts
/// nobody for long.
///
/// # Errors
/// [`OpenError::Backend`] for another database, [`OpenError::Database`] where it cannot be reached.
pub async fn connect(url: &SecretString, max_connections: u32) -> Result<DatabaseConnection, OpenError> {
    let text = url.expose_secret();
    let scheme = text.split(':').next().unwrap_or_default();
    if !matches!(scheme, "sqlite" | "postgres" | "postgresql") {
        return Err(OpenError::Backend(scheme.chars().take(20).collect()));
    }
    let mut options = ConnectOptions::new(text);
    options
        .max_connections(max_connections)
        .sqlx_logging(false)
        .acquire_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(5));
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
    options.map_sqlx_postgres_opts(|postgres| postgres.options([("idle_in_transaction_session_timeout", "10000")]));
    let connected = Database::connect(options).await;
    connected.map_err(|error| refused_parameter(&error).unwrap_or(OpenError::Database(error)))
}

/// Checks that a pool that somebody else opened has what the store needs.
pub(crate) async fn check(db: &DatabaseConnection) -> Result<(), OpenError> {
    match db.get_database_backend() {
        DbBackend::Postgres => Ok(()),
        DbBackend::Sqlite => {
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
        other => Err(OpenError::Backend(format!("{other:?}"))),
    }
}
