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

/// Makes the file of a database that is not there, for its owner alone: it holds hashes of passwords, and sessions. SQLite would let every user read it. The files beside it get its mode.
/// What cannot be made here, the driver reports.
pub(super) fn make_file(url: &str) {
    let rest = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let is_made_by_name =
        !path.is_empty() && !path.starts_with(':') && !path.starts_with("file:") && !path.contains('%');
    let has_other_mode = parameters.contains("mode=") && !parameters.contains("mode=rwc");
    if !is_made_by_name || has_other_mode {
        return;
    }
    let mut file = std::fs::OpenOptions::new();
    file.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    let _made_or_there = file.open(path);
}

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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use bekci_test_support::TempDir;
    use sea_orm::ConnectionTrait as _;
    use secrecy::SecretString;

    #[tokio::test]
    async fn a_new_database_is_its_owners_alone() {
        let folder = TempDir::new("mode");
        let file = folder.path().join("new.db");
        let url = SecretString::from(format!("sqlite://{}", file.display()));
        let db = crate::connect(&url, 2).await.unwrap();
        db.execute_unprepared("CREATE TABLE numbers (n INTEGER)").await.unwrap();
        for name in ["new.db", "new.db-wal", "new.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
        }
    }

    #[test]
    fn nothing_is_made_for_a_database_in_memory_or_one_that_is_only_read() {
        let folder = TempDir::new("mode");
        let file = folder.path().join("read.db");
        super::make_file(&format!("sqlite://{}?mode=ro", file.display()));
        super::make_file("sqlite::memory:");
        assert!(!file.exists());
        assert!(!std::path::Path::new(":memory:").exists());
    }
}
