//! The sessions that Bekci needs of MariaDB, and the servers that it works with.

use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, sqlx::Executor as _};

use super::{OpenError, with_bounded_tests};

/// What a session of MariaDB has beside the driver's settings (UTC, utf8mb4): the isolation of PostgreSQL, values that are refused rather than cut, and an end to idle
/// transactions and to waiting for rows. MySQL gets as far as the check that refuses it: it does not read what only MariaDB knows.
const MARIADB_SESSION: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION autocommit = 1, SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), SESSION innodb_lock_wait_timeout = 10 \
     /*M! , SESSION idle_transaction_timeout = 10 */",
];

/// The first MariaDB with `SKIP LOCKED`.
const MARIADB_LEAST: (u32, u32) = (10, 6);

pub(super) fn set(options: &mut ConnectOptions) {
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
}

/// Refuses what speaks MySQL's protocol and was not tested: MySQL itself, an old MariaDB, and a cluster that takes writes on several servers, where a row that is locked on one
/// is free on the others.
pub(super) async fn check(db: &DatabaseConnection) -> Result<(), OpenError> {
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
