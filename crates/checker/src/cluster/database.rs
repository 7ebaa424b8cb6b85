//! The database that the gateways share: what it is, how it is written from outside, and how it goes back to an older copy.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use bekci_test_support::{
    MariaDb, Postgres, Server, TempDir, find_program, mariadb_shell, try_mariadb_cli, try_psql, try_sqlite3_cli,
};

use crate::{clock::pause, options::DatabaseKind};

const NAME: &str = "checker";

/// The user of MariaDB's nodes: it may do everything in their database, and nothing that goes past `read_only`.
const MARIADB_USER: &str = "bekci";

/// A library that makes a program see another time.
const FAKETIME: &str = "libfaketimeMT.so.1";

#[derive(Debug)]
pub(crate) enum Database {
    /// A server, whose clock follows a file where `libfaketime` is installed.
    Postgres { server: Box<Postgres>, clock: PathBuf },
    /// The same. Its nodes are a user whom `read_only` refuses; the others may write all the same.
    MariaDb { server: Box<MariaDb>, clock: PathBuf },
    /// One file, which every process opens itself.
    Sqlite { file: PathBuf },
}

impl Database {
    pub(super) fn start(kind: DatabaseKind, folder: &TempDir) -> Self {
        match kind {
            DatabaseKind::Sqlite => Self::Sqlite {
                file: folder.path().join("bekci.db"),
            },
            DatabaseKind::Postgres => {
                let clock = Clock::new(folder);
                let server = Postgres::try_start_with(&clock.environment()).unwrap();
                server.create_database(NAME);
                Self::Postgres {
                    server: Box::new(server),
                    clock: clock.file,
                }
            }
            DatabaseKind::MariaDb => {
                let clock = Clock::new(folder);
                let server = MariaDb::try_start_with(&clock.environment()).unwrap();
                let sql = format!(
                    "CREATE DATABASE {NAME}; CREATE USER {MARIADB_USER}; GRANT ALL PRIVILEGES ON {NAME}.* TO {MARIADB_USER}"
                );
                try_mariadb_cli(&server.url_for(""), &sql).unwrap();
                Self::MariaDb {
                    server: Box::new(server),
                    clock: clock.file,
                }
            }
        }
    }

    /// The process behind it, where there is one.
    pub(crate) fn server(&self) -> Option<&Server> {
        match self {
            Self::Postgres { server, .. } => Some(server.server()),
            Self::MariaDb { server, .. } => Some(server.server()),
            Self::Sqlite { .. } => None,
        }
    }

    /// Where a server listens.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.server().map(Server::address)
    }

    /// Its URL, for who reaches it at another address.
    pub(crate) fn url(&self, address: Option<SocketAddr>) -> String {
        match self {
            Self::Sqlite { file } => format!("sqlite://{}", file.display()),
            Self::Postgres { server, .. } => {
                let address = address.unwrap_or_else(|| server.server().address());
                format!("postgres://postgres@{address}/{NAME}?sslmode=disable")
            }
            Self::MariaDb { server, .. } => {
                let address = address.unwrap_or_else(|| server.server().address());
                format!("mysql://{MARIADB_USER}@{address}/{NAME}?ssl-mode=disabled")
            }
        }
    }

    /// Writes from outside.
    ///
    /// # Errors
    /// What the database's own shell says.
    pub(crate) fn sql(&self, sql: &str) -> Result<String, String> {
        let said = match self {
            Self::Postgres { server, .. } => try_psql(&server.url_for(NAME), sql),
            Self::MariaDb { server, .. } => try_mariadb_cli(&server.url_for(NAME), sql),
            Self::Sqlite { file } => try_sqlite3_cli(file, sql),
        };
        said.map_err(|failure| failure.to_string())
    }

    /// The database's own shell, which reads statements from its standard input.
    pub(crate) fn shell(&self) -> Command {
        match self {
            Self::Postgres { server, .. } => {
                let mut command = Command::new(find_program("psql").unwrap());
                command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--dbname"]);
                command.arg(server.url_for(NAME));
                command
            }
            Self::MariaDb { server, .. } => mariadb_shell(&server.url_for(NAME)).unwrap(),
            Self::Sqlite { file } => {
                let mut command = Command::new(find_program("sqlite3").unwrap());
                command.args([
                    "-batch",
                    "-list",
                    "-noheader",
                    "-init",
                    "/dev/null",
                    "-cmd",
                    ".timeout 10000",
                ]);
                command.arg(file);
                command
            }
        }
    }

    /// Begins a transaction that may write, whatever the database is set to.
    pub(crate) fn begin(&self) -> &'static str {
        match self {
            Self::Postgres { .. } => "BEGIN READ WRITE;",
            Self::MariaDb { .. } => "START TRANSACTION READ WRITE;",
            Self::Sqlite { .. } => "BEGIN IMMEDIATE;",
        }
    }

    /// A statement that inserts what may be there already.
    pub(crate) fn insert_once(&self, row: &str) -> String {
        match self {
            Self::MariaDb { .. } => format!("INSERT IGNORE {row}"),
            _ => format!("INSERT {row} ON CONFLICT DO NOTHING"),
        }
    }

    /// Statements by which a server refuses the writes of its users (`on`), or takes them again (`off`). Each is to be sent by itself.
    pub(crate) fn make_read_only(&self, value: &str) -> Vec<String> {
        match self {
            // ALTER SYSTEM runs in no transaction, and a read-only one does not refuse it.
            Self::Postgres { .. } => vec![
                format!("ALTER SYSTEM SET default_transaction_read_only = {value}"),
                "SELECT pg_reload_conf()".to_owned(),
            ],
            Self::MariaDb { .. } => vec![format!("SET GLOBAL read_only = {value}")],
            Self::Sqlite { .. } => Vec::new(),
        }
    }

    /// Makes a copy to go back to. Nothing may write meanwhile.
    pub(crate) fn copy(&self) {
        match (self, self.server()) {
            (Self::Sqlite { file }, _) => {
                let copy = file.with_extension("copy");
                self.sql(&format!(".backup '{}'", copy.display())).unwrap();
            }
            (_, Some(server)) => {
                server.stop();
                copy_folder(&server.folder().join("data"), &server.folder().join("copy"));
                server.restart();
            }
            (_, None) => {}
        }
    }

    /// Goes back to the copy. A server is down meanwhile.
    pub(crate) fn set_back(&self) {
        match (self, self.server()) {
            (Self::Sqlite { file }, _) => {
                let copy = file.with_extension("copy");
                self.sql(&format!(".restore '{}'", copy.display())).unwrap();
            }
            (_, Some(server)) => {
                server.stop();
                let data = server.folder().join("data");
                std::fs::remove_dir_all(&data).unwrap();
                copy_folder(&server.folder().join("copy"), &data);
                server.restart();
            }
            (_, None) => {}
        }
    }

    /// Lets the server's clock go wrong by so many seconds. Whether that was possible.
    pub(crate) fn turn_clock(&self, seconds: i64) -> bool {
        let (Self::Postgres { clock, .. } | Self::MariaDb { clock, .. }) = self else {
            return false;
        };
        let new = clock.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}"))
            .and_then(|()| std::fs::rename(&new, clock))
            .is_ok()
    }

    /// Writes more than there is room for, and gives whether it was refused for that. `hard`: where a server has to end itself over it.
    pub(crate) fn is_out_of_room(&self, hard: bool) -> bool {
        let sql = match self {
            // Of its log of changes alone, which it cannot do without.
            Self::Postgres { .. } if hard => "SELECT pg_logical_emit_message(false, 'checker', repeat('x', 50000000))",
            Self::Postgres { .. } => {
                "CREATE TABLE checker_room AS SELECT repeat(md5(n::text), 100) FROM generate_series(1, 10000) AS n"
            }
            // It has one file for all tables, which grows by tens of megabytes. What waits for room would wait without end.
            Self::MariaDb { .. } => {
                "SET max_statement_time = 5; CREATE TABLE checker_room AS SELECT REPEAT(MD5(seq), 1000) AS x FROM seq_1_to_4000"
            }
            Self::Sqlite { .. } => {
                "BEGIN IMMEDIATE; CREATE TABLE checker_room (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) INSERT INTO checker_room SELECT randomblob(3000) FROM n; COMMIT"
            }
        };
        // A server that ends itself takes the answer with it.
        self.sql(sql)
            .is_err_and(|said| said.contains("full") || said.contains("space") || !self.is_up())
    }

    /// Whether it can be asked.
    pub(crate) fn is_up(&self) -> bool {
        // A server that ended itself is up again a little later, where it can be.
        (0..20).any(|_| {
            let up = self.sql("SELECT 1").is_ok();
            if !up {
                pause(100);
            }
            up
        })
    }

    /// Starts a server again. Whether that was possible.
    pub(crate) fn start_again(&self) -> bool {
        self.server().is_none_or(|server| server.try_restart().is_ok())
    }
}

/// A file that says how wrong a server's clock is.
struct Clock {
    file: PathBuf,
    library: String,
}

impl Clock {
    fn new(folder: &TempDir) -> Self {
        let file = folder.path().join("clock");
        std::fs::write(&file, "+0").unwrap();
        let library = faketime().unwrap_or_else(|| panic!("{FAKETIME} is missing: install the package faketime"));
        Self { file, library }
    }

    fn environment(&self) -> [(&str, &str); 5] {
        [
            ("LD_PRELOAD", self.library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap()),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DONT_RESET", "1"),
        ]
    }
}

/// With owners and modes, as a server needs it.
fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp -a {} failed", from.display());
}

fn faketime() -> Option<String> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    folders
        .flatten()
        .map(|folder| folder.path().join("faketime").join(FAKETIME))
        .find(|path| path.exists())
        .and_then(|path| path.to_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds since 1970, as a server says.
    fn said(database: &Database, sql: &str) -> i64 {
        database.sql(sql).unwrap().parse().unwrap()
    }

    #[test]
    fn the_clock_of_a_server_follows_the_file() {
        for (kind, sql) in [
            (
                DatabaseKind::Postgres,
                "SELECT extract(epoch FROM clock_timestamp())::bigint",
            ),
            (DatabaseKind::MariaDb, "SELECT UNIX_TIMESTAMP()"),
        ] {
            let folder = TempDir::new("clock");
            let database = Database::start(kind, &folder);
            let right = said(&database, sql);
            assert!(database.turn_clock(7_200));
            // The library reads the file once a second.
            let turned = (0..200).any(|_| {
                pause(100);
                said(&database, sql) > right + 7_000
            });
            assert!(turned, "the clock of {kind:?} stayed as it was");
        }
    }

    #[test]
    fn a_server_that_is_read_only_refuses_its_nodes_and_no_other() {
        let folder = TempDir::new("read-only");
        let database = Database::start(DatabaseKind::MariaDb, &folder);
        let address = database.address().unwrap();
        let node = format!("mysql://{MARIADB_USER}@{address}/{NAME}");
        database.sql("CREATE TABLE numbers (n INT)").unwrap();
        for sql in database.make_read_only("on") {
            database.sql(&sql).unwrap();
        }
        let write = "INSERT INTO numbers VALUES (1)";
        let refused = as_user(&node, write).unwrap_err();
        assert!(refused.contains("read-only"), "{refused}");
        database.sql(write).unwrap();
        for sql in database.make_read_only("off") {
            database.sql(&sql).unwrap();
        }
        as_user(&node, write).unwrap();
    }

    fn as_user(url: &str, sql: &str) -> Result<(), String> {
        let mut command = mariadb_shell(url).unwrap();
        let output = command
            .args(["--user", MARIADB_USER, "--execute", sql])
            .output()
            .unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}
