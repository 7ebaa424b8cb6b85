//! SQLite files, and the real `sqlite3` program beside them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, or_fail};
use crate::folder::TempDir;
use crate::program::{find_program, run};

/// How long `sqlite3` waits for another writer, in milliseconds.
const BUSY_TIMEOUT: &str = ".timeout 10000";

/// A database file of the caller's own, removed on drop. It is made by the first who opens it.
#[derive(Debug)]
pub struct SqliteFile {
    folder: TempDir,
}

impl SqliteFile {
    /// A new place for a database.
    #[track_caller]
    #[expect(
        clippy::new_without_default,
        reason = "each call makes a folder: no value to fill in by default"
    )]
    pub fn new() -> Self {
        Self {
            folder: TempDir::new("sqlite"),
        }
    }

    /// Where the file is, or will be.
    pub fn path(&self) -> PathBuf {
        file_in(self.folder.path())
    }

    /// A URL that makes the file when it is opened: `sqlite://…?mode=rwc`.
    pub fn url(&self) -> String {
        url_of(self.folder.path())
    }

    /// Runs SQL in it through the real `sqlite3` program, as [`sqlite3_cli`].
    #[track_caller]
    pub fn cli(&self, sql: &str) -> String {
        sqlite3_cli(&self.path(), sql)
    }
}

/// The URL of a new database file, which is removed once this process is dead: see [`SqliteFile`] for one with an owner.
#[track_caller]
pub fn sqlite_url() -> String {
    url_of(&TempDir::new("sqlite").keep())
}

/// Runs SQL through the real `sqlite3` program, a writer from outside, and gives what it wrote: rows as lines, columns parted
/// by `|`. Each statement is a transaction of its own unless they say otherwise; the first that fails ends it.
#[track_caller]
pub fn sqlite3_cli(path: &Path, sql: &str) -> String {
    or_fail(try_sqlite3_cli(path, sql))
}

/// As [`sqlite3_cli`].
///
/// # Errors
/// [`Failure::Refused`] with what `sqlite3` said.
pub fn try_sqlite3_cli(path: &Path, sql: &str) -> Result<String, Failure> {
    let mut command = Command::new(find_program("sqlite3")?);
    // No start-up file: a developer's own could change the form of the answer.
    command.args([
        "-batch",
        "-bail",
        "-list",
        "-noheader",
        "-init",
        "/dev/null",
        "-cmd",
        BUSY_TIMEOUT,
    ]);
    run(command.arg(path).arg(sql))
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("bekci.db")
}

fn url_of(folder: &Path) -> String {
    format!("sqlite://{}?mode=rwc", file_in(folder).display())
}
