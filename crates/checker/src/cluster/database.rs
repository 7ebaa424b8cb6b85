//! The database that the gateways share: what it is, how it is written from outside, and how it goes back to an older copy.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use bekci_test_support::{Postgres, TempDir, find_program, try_psql, try_sqlite3_cli};

use crate::{clock::pause, options::DatabaseKind};

const NAME: &str = "checker";

/// A library that makes a program see another time.
const FAKETIME: &str = "libfaketimeMT.so.1";

#[derive(Debug)]
pub(crate) enum Database {
    /// A server, whose clock follows a file where `libfaketime` is installed.
    Postgres { server: Box<Postgres>, clock: PathBuf },
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
                let clock = folder.path().join("clock");
                std::fs::write(&clock, "+0").unwrap();
                let file = clock.to_str().unwrap();
                let library =
                    faketime().unwrap_or_else(|| panic!("{FAKETIME} is missing: install the package faketime"));
                let environment = [
                    ("LD_PRELOAD", library.as_str()),
                    ("FAKETIME_TIMESTAMP_FILE", file),
                    ("FAKETIME_CACHE_DURATION", "1"),
                    ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                    ("FAKETIME_DONT_RESET", "1"),
                ];
                let server = Postgres::try_start_with(&environment).unwrap();
                server.create_database(NAME);
                Self::Postgres {
                    server: Box::new(server),
                    clock,
                }
            }
        }
    }

    /// Where a server listens.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Postgres { server, .. } => Some(server.server().address()),
            Self::Sqlite { .. } => None,
        }
    }

    /// Its URL, for who reaches it at another address.
    pub(crate) fn url(&self, address: Option<SocketAddr>) -> String {
        match self {
            Self::Sqlite { file } => format!("sqlite://{}", file.display()),
            Self::Postgres { server, .. } => {
                let address = address.unwrap_or_else(|| server.server().address());
                format!("postgres://postgres@{address}/{NAME}?sslmode=disable")
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
            Self::Sqlite { .. } => "BEGIN IMMEDIATE;",
        }
    }

    /// Makes a copy to go back to. Nothing may write meanwhile.
    pub(crate) fn copy(&self) {
        match self {
            Self::Postgres { server, .. } => {
                server.stop();
                copy_folder(
                    &server.server().folder().join("data"),
                    &server.server().folder().join("copy"),
                );
                server.restart();
            }
            Self::Sqlite { file } => {
                let copy = file.with_extension("copy");
                self.sql(&format!(".backup '{}'", copy.display())).unwrap();
            }
        }
    }

    /// Goes back to the copy. A server is down meanwhile.
    pub(crate) fn set_back(&self) {
        match self {
            Self::Postgres { server, .. } => {
                server.stop();
                let data = server.server().folder().join("data");
                std::fs::remove_dir_all(&data).unwrap();
                copy_folder(&server.server().folder().join("copy"), &data);
                server.restart();
            }
            Self::Sqlite { file } => {
                let copy = file.with_extension("copy");
                self.sql(&format!(".restore '{}'", copy.display())).unwrap();
            }
        }
    }

    /// Lets the server's clock go wrong by so many seconds. Whether that was possible.
    pub(crate) fn turn_clock(&self, seconds: i64) -> bool {
        let Self::Postgres { clock, .. } = self else {
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
        match self {
            Self::Postgres { server, .. } => server.server().try_restart().is_ok(),
            Self::Sqlite { .. } => true,
        }
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
