//! Opening the database.

#[cfg(feature = "mariadb")]
mod mariadb;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::time::Duration;

use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbBackend, DbErr};
use secrecy::{ExposeSecret, SecretString};

use crate::{RedisProblem, columns::UnfitColumns, shared::SharedCacheError};

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be reached.
    #[error("the database cannot be reached: {0}; is it running, and are its URL, user and password right?")]
    Database(#[from] DbErr),
    /// This kind of database is not supported.
    #[error("{0} is not supported; use sqlite:, postgres: or mysql:")]
    Backend(String),
    /// This kind of database is not built in.
    #[error("{needed_by} needs the cargo feature `{feature}` of bekci, which is off")]
    Feature {
        /// What needs it.
        needed_by: String,
        /// The feature.
        feature: &'static str,
    },
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

/// The time in which a connection answers a test. It has no other statement to answer then.
#[cfg(any(feature = "mariadb", feature = "postgres"))]
const PING: Duration = Duration::from_millis(400);

#[cfg(any(feature = "mariadb", feature = "postgres"))]
async fn ping<C: sqlx::Connection>(connection: &mut C) -> Result<bool, sqlx::Error> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    let answer = tokio::time::timeout(PING, connection.ping()).await;
    answer.map_err(late)?.map(|()| true)
}

/// Tests each connection before and after its use, with a bound. The pool's own tests wait without end on a link that is half open.
#[cfg(any(feature = "mariadb", feature = "postgres"))]
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
    let kind = match scheme {
        "sqlite" => DbBackend::Sqlite,
        "postgres" | "postgresql" => DbBackend::Postgres,
        "mysql" | "mariadb" => DbBackend::MySql,
        _ => return Err(OpenError::Backend(scheme.chars().take(20).collect())),
    };
    must_be_built(kind, format!("a {scheme}: URL"))?;
    let mut options = match scheme {
        // The driver knows the protocol by one name.
        "mariadb" => ConnectOptions::new(text.replacen("mariadb", "mysql", 1)),
        _ => ConnectOptions::new(text),
    };
    options
        .max_connections(max_connections)
        .sqlx_logging(false)
        .acquire_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(5));
    #[cfg(feature = "sqlite")]
    if kind == DbBackend::Sqlite {
        sqlite::make_file(text);
    }
    #[cfg(feature = "sqlite")]
    sqlite::set(&mut options);
    #[cfg(feature = "postgres")]
    options
        .map_sqlx_postgres_opts(|postgres| postgres.options([("idle_in_transaction_session_timeout", "10000")]))
        .map_sqlx_postgres_pool_opts(with_bounded_tests);
    #[cfg(feature = "mariadb")]
    mariadb::set(&mut options);
    let connected = Database::connect(options).await;
    #[cfg(any(feature = "mariadb", feature = "postgres"))]
    let connected = match connected {
        Err(error) if is_without_cause(&error) => Err(cause(kind, text).await.unwrap_or(error)),
        connected => connected,
    };
    #[cfg(feature = "postgres")]
    let connected =
        connected.map_err(|error| crate::pooler::refused_parameter(&error).unwrap_or(OpenError::Database(error)));
    let db = connected?;
    #[cfg(feature = "mariadb")]
    if db.get_database_backend() == DbBackend::MySql {
        mariadb::check(&db).await?;
    }
    Ok(db)
}

/// Whether a pool gave up without saying why: it tries again until its time is over, and forgets what failed.
#[cfg(any(feature = "mariadb", feature = "postgres"))]
fn is_without_cause(error: &DbErr) -> bool {
    let timed_out = |error: &sqlx::Error| matches!(error, sqlx::Error::PoolTimedOut);
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error)) => timed_out(error),
        _ => false,
    }
}

/// Why a server cannot be connected to, by one attempt without a pool; `None`: that one succeeds.
#[cfg(any(feature = "mariadb", feature = "postgres"))]
async fn cause(kind: DbBackend, url: &str) -> Option<DbErr> {
    let (host, port, attempt) = match kind {
        #[cfg(feature = "postgres")]
        DbBackend::Postgres => {
            let options: sqlx::postgres::PgConnectOptions = url.parse().ok()?;
            (
                options.get_host().to_owned(),
                options.get_port(),
                attempt(options).await,
            )
        }
        #[cfg(feature = "mariadb")]
        DbBackend::MySql => {
            let options: sqlx::mysql::MySqlConnectOptions = url.replacen("mariadb", "mysql", 1).parse().ok()?;
            (
                options.get_host().to_owned(),
                options.get_port(),
                attempt(options).await,
            )
        }
        _ => return None,
    };
    let error = attempt.err()?;
    Some(DbErr::Custom(format!("{host}:{port}: {error}")))
}

#[cfg(any(feature = "mariadb", feature = "postgres"))]
async fn attempt<O>(options: O) -> Result<(), String>
where
    O: sqlx::ConnectOptions,
    O::Connection: Sized,
{
    use sqlx::Connection as _;
    match tokio::time::timeout(Duration::from_secs(2), options.connect()).await {
        Err(_) => Err("no answer within 2 s".to_owned()),
        // Without the words that the driver puts before it.
        Ok(Err(sqlx::Error::Io(error))) => Err(error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(connection)) => {
            let _closed = connection.close().await;
            Ok(())
        }
    }
}

/// Refuses a database whose driver is not built in.
fn must_be_built(kind: DbBackend, needed_by: impl Into<String>) -> Result<(), OpenError> {
    let (feature, is_built) = match kind {
        DbBackend::Sqlite => ("sqlite", cfg!(feature = "sqlite")),
        DbBackend::Postgres => ("postgres", cfg!(feature = "postgres")),
        DbBackend::MySql => ("mariadb", cfg!(feature = "mariadb")),
        _ => return Ok(()),
    };
    if is_built {
        return Ok(());
    }
    Err(OpenError::Feature {
        needed_by: needed_by.into(),
        feature,
    })
}

/// Checks that a pool that somebody else opened has what the store needs.
pub(crate) async fn check(db: &DatabaseConnection) -> Result<(), OpenError> {
    let kind = db.get_database_backend();
    // An application may have built a driver for itself.
    must_be_built(kind, format!("a connection of {kind:?}"))?;
    match kind {
        #[cfg(feature = "postgres")]
        DbBackend::Postgres => Ok(()),
        #[cfg(feature = "sqlite")]
        DbBackend::Sqlite => sqlite::check(db).await,
        #[cfg(feature = "mariadb")]
        DbBackend::MySql => mariadb::check(db).await,
        other => Err(OpenError::Backend(format!("{other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_is_not_built_in_names_its_feature() {
        for (scheme, feature, is_built) in [
            ("sqlite", "sqlite", cfg!(feature = "sqlite")),
            ("postgres", "postgres", cfg!(feature = "postgres")),
            ("postgresql", "postgres", cfg!(feature = "postgres")),
            ("mariadb", "mariadb", cfg!(feature = "mariadb")),
            ("mysql", "mariadb", cfg!(feature = "mariadb")),
        ] {
            if is_built {
                continue;
            }
            let refused = connect(&format!("{scheme}://user:password@127.0.0.1/shop").into(), 1).await;
            let needs = format!("a {scheme}: URL needs the cargo feature `{feature}` of bekci, which is off");
            assert_eq!(refused.unwrap_err().to_string(), needs);
        }
    }

    #[cfg(any(feature = "postgres", feature = "mariadb"))]
    #[tokio::test]
    async fn a_closed_port_is_named_with_the_cause() {
        let port = bekci_test_support::free_port();
        for (scheme, is_built) in [
            ("postgres", cfg!(feature = "postgres")),
            ("mariadb", cfg!(feature = "mariadb")),
        ] {
            if !is_built {
                continue;
            }
            let refused = connect(&format!("{scheme}://user:secret@127.0.0.1:{port}/shop").into(), 1).await;
            let told = refused.unwrap_err().to_string();
            assert!(
                told.contains(&format!("127.0.0.1:{port}: Connection refused")),
                "{told}"
            );
            assert!(!told.contains("secret"), "{told}");
        }
    }

    /// A pool of the application's own, whose driver Bekci was not built for. The tests have all drivers.
    #[cfg(not(feature = "postgres"))]
    #[tokio::test]
    async fn a_pool_whose_database_is_not_built_in_names_its_feature() {
        let mut options = ConnectOptions::new("postgres://user:password@127.0.0.1/shop");
        options.connect_lazy(true);
        let db = Database::connect(options).await.unwrap();
        let refused = check(&db).await.unwrap_err().to_string();
        let needs = "a connection of Postgres needs the cargo feature `postgres` of bekci, which is off";
        assert_eq!(refused, needs);
    }
}
