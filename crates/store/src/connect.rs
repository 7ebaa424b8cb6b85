//! Opening the database.

use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr,
    sqlx::{
        Connection as _, Executor as _,
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
    #[error("{0} is not supported; use sqlite:, postgres: or mysql:")]
    Backend(String),
    /// A server of the right kind that Bekci does not work with.
    #[error("this server is {found}: {wanted}")]
    Server {
        /// What it says of itself.
        found: String,
        /// What is needed instead.
        wanted: &'static str,
    },
    /// A connection of SQLite lacks a setting.
    #[error(
        "this SQLite connection has {0}; open it with bekci_store::connect, or set it on each connection of the pool"
    )]
    Pragma(&'static str),
    /// A connection of MariaDB lacks settings.
    #[error(
        "this MariaDB connection has {0}; open it with bekci_store::connect, or set autocommit = 1, time_zone = '+00:00', sql_mode with PIPES_AS_CONCAT and STRICT_ALL_TABLES on each connection of the pool"
    )]
    Session(String),
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

/// What a session of MariaDB has beside the driver's settings (UTC, utf8mb4): the isolation of PostgreSQL, values that are refused rather than cut, and an end to idle
/// transactions and to waiting for rows. MySQL gets as far as the check that refuses it: it does not read what only MariaDB knows.
const MARIADB_SESSION: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION autocommit = 1, SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), SESSION innodb_lock_wait_timeout = 10 \
     /*M! , SESSION idle_transaction_timeout = 10 */",
];

/// The first MariaDB with `SKIP LOCKED`.
const MARIADB_LEAST: (u32, u32) = (10, 6);

/// How long a writer of SQLite waits for its turn.
const BUSY: Duration = Duration::from_secs(10);

/// The time in which a connection answers a test. It has no other statement to answer then.
const PING: Duration = Duration::from_millis(400);

async fn ping<C: sqlx::Connection>(connection: &mut C) -> Result<bool, sqlx::Error> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    let answer = tokio::time::timeout(PING, connection.ping()).await;
    answer.map_err(late)?.map(|()| true)
}

/// Tests each connection before and after its use, with a bound. The pool's own tests wait without end on a link that is half open.
fn with_bounded_tests<DB: sqlx::Database>(options: sqlx::pool::PoolOptions<DB>) -> sqlx::pool::PoolOptions<DB> {
    options
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(ping(connection)))
        .after_release(|connection, _| Box::pin(ping(connection)))
}

/// Opens a pool with what the store needs: on SQLite write-ahead logging, foreign keys, recursive triggers (`REPLACE` fires delete triggers only with them) and a
/// busy time-out; the file and its folder are made if missing, and a connection whose transaction SQLite ended by itself is closed. On PostgreSQL and MariaDB an idle transaction is ended after 10 s, so that a stopped holder of the commit lock halts
/// nobody for long, and a connection that does not answer a test within 400 ms is closed.
///
/// # Errors
/// [`OpenError::Backend`] for another database, [`OpenError::Database`] where it cannot be reached.
pub async fn connect(url: &SecretString, max_connections: u32) -> Result<DatabaseConnection, OpenError> {
    let text = url.expose_secret();
    let scheme = text.split(':').next().unwrap_or_default();
    let mut options = match scheme {
        "sqlite" | "postgres" | "postgresql" | "mysql" => ConnectOptions::new(text),
        // The driver knows the protocol by one name.
        "mariadb" => ConnectOptions::new(text.replacen("mariadb", "mysql", 1)),
        _ => return Err(OpenError::Backend(scheme.chars().take(20).collect())),
    };
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
    options.map_sqlx_postgres_pool_opts(with_bounded_tests);
    options.map_sqlx_mysql_pool_opts(|pool| {
        with_bounded_tests(pool).after_connect(|connection, _| {
            Box::pin(async move {
                for setting in MARIADB_SESSION {
                    connection.execute(setting).await?;
                }
                Ok(())
            })
        })
    });
    let connected = Database::connect(options).await;
    let db = connected.map_err(|error| refused_parameter(&error).unwrap_or(OpenError::Database(error)))?;
    if db.get_database_backend() == DbBackend::MySql {
        check_mariadb(&db).await?;
    }
    Ok(db)
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
        DbBackend::MySql => check_mariadb(db).await,
        other => Err(OpenError::Backend(format!("{other:?}"))),
    }
}

/// Refuses what speaks MySQL's protocol and was not tested: MySQL itself, an old MariaDB, and a cluster that takes writes on several servers, where a row that is locked on one
/// is free on the others.
async fn check_mariadb(db: &DatabaseConnection) -> Result<(), OpenError> {
    let text = async |sql: &str, column: &str| -> Result<Option<String>, DbErr> {
        let row = db
            .query_one_raw(crate::sql::statement(DbBackend::MySql, sql, []))
            .await?;
        row.map(|row| row.try_get("", column)).transpose()
    };
    let version = text("SELECT VERSION() AS version", "version")
        .await?
        .unwrap_or_default();
    if !is_supported(&version) {
        return Err(OpenError::Server {
            found: version,
            wanted: "MariaDB 10.6 or later is needed; MySQL is not supported",
        });
    }
    let binary_log =
        "SELECT 'STATEMENT' AS form FROM (SELECT 1) AS one WHERE @@log_bin AND @@binlog_format = 'STATEMENT'";
    if text(binary_log, "form").await?.is_some() {
        return Err(OpenError::Server {
            found: "writing its binary log by statement".to_owned(),
            wanted: "set binlog_format = ROW or MIXED, since InnoDB refuses each write at READ COMMITTED otherwise",
        });
    }
    // A pool that somebody else opened has settings of its own.
    let settings = "SELECT CONCAT_WS(', ', IF(@@autocommit, NULL, 'autocommit = 0'), \
         IF(FIND_IN_SET('PIPES_AS_CONCAT', @@sql_mode), NULL, 'no PIPES_AS_CONCAT in sql_mode'), \
         IF(@@sql_mode LIKE '%STRICT%', NULL, 'no STRICT_ALL_TABLES in sql_mode'), \
         IF(@@time_zone = '+00:00', NULL, CONCAT('time_zone = ', @@time_zone)), \
         IF(@@character_set_connection = 'utf8mb4', NULL, 'another character set than utf8mb4')) AS lacks";
    let lacks = text(settings, "lacks").await?.unwrap_or_default();
    if !lacks.is_empty() {
        return Err(OpenError::Session(lacks));
    }
    let cluster = "SELECT CAST(VARIABLE_VALUE AS CHAR) AS cluster FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'WSREP_ON'";
    if text(cluster, "cluster").await?.as_deref() == Some("ON") {
        return Err(OpenError::Server {
            found: "part of a Galera cluster".to_owned(),
            wanted: "locks do not hold there between servers; use one primary with replicas",
        });
    }
    Ok(())
}

/// As `VERSION()` tells it: `10.11.19-MariaDB-0+deb12u1`, or `5.5.5-10.11.19-MariaDB` behind some proxies.
fn is_supported(version: &str) -> bool {
    if !version.to_ascii_lowercase().contains("mariadb") {
        return false;
    }
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= MARIADB_LEAST)
}

#[cfg(test)]
mod tests {
    use super::is_supported;

    #[test]
    fn mariadb_is_told_from_mysql_and_from_versions_that_cannot_skip_locked_rows() {
        for version in [
            "10.11.19-MariaDB-0+deb12u1",
            "10.6.0-MariaDB",
            "5.5.5-11.4.2-MariaDB-log",
        ] {
            assert!(is_supported(version), "{version}");
        }
        for version in [
            "8.0.36",
            "8.4.0-0ubuntu1",
            "10.5.29-MariaDB",
            "5.5.5-10.3.1-MariaDB",
            "MariaDB",
            "",
        ] {
            assert!(!is_supported(version), "{version}");
        }
    }
}
