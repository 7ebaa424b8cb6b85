//! PostgreSQL.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::failure::{Failure, or_fail};
use crate::folder::TempDir;
use crate::program::{find_program, run};
use crate::server::{Server, connect};
use crate::user::User;
use crate::{Service, unique};

/// The superuser of a test server, and the only user.
const SUPERUSER: &str = "postgres";

/// What a test server does without, and room for many pools. Nothing here survives a power cut, nor has to.
///
/// `synchronous_commit` stays on: without it a commit before [`Postgres::stop`] could be lost, and tests rest on commits.
const SETTINGS: [&str; 7] = [
    "fsync=off",
    "full_page_writes=off",
    "max_connections=300",
    "shared_buffers=64MB",
    "jit=off",
    "listen_addresses=127.0.0.1",
    // The default asks for a segment of /dev/shm, which is small in containers.
    "dynamic_shared_memory_type=mmap",
];

/// Variables by which a developer's own settings would change what `psql` does.
const DISTURBING_VARIABLES: [&str; 6] = [
    "PGOPTIONS",
    "PGSERVICE",
    "PGSSLMODE",
    "PGPASSFILE",
    "PGCLIENTENCODING",
    "PGTZ",
];

/// A PostgreSQL server with one superuser, `postgres`, who needs no password from this machine.
#[derive(Debug)]
pub struct Postgres {
    // Before the folder, so that it is stopped before its folder goes.
    server: Server,
    _folder: TempDir,
}

impl Postgres {
    /// Makes a data folder and starts a server on it, of the caller's own: for tests that stop it. Takes a second or two.
    #[track_caller]
    pub fn start() -> Self {
        or_fail(Self::try_start())
    }

    /// As [`Postgres::start`].
    ///
    /// # Errors
    /// A [`Failure`] that holds what the server wrote, or says what to install.
    pub fn try_start() -> Result<Self, Failure> {
        Self::try_start_with(&[])
    }

    /// The same with variables in its environment, as those of a preloaded library that changes its clock.
    ///
    /// # Errors
    /// As [`Postgres::try_start`].
    pub fn try_start_with(environment: &[(&str, &str)]) -> Result<Self, Failure> {
        let folder = TempDir::try_new("postgres")?;
        let user = User::instead_of_root()?;
        make_data_folder(folder.path(), user)?;
        let server = Server::try_on_free_port(|port| {
            let service = Service::new("postgres", port, &folder);
            let set = |service: Service, (name, value): &(&str, &str)| service.env(name, value);
            environment
                .iter()
                .fold(service, set)
                .args(["-D", "data", "-p", &port.to_string()])
                .args(["-c", &format!("unix_socket_directories={}", folder.path().display())])
                .args(SETTINGS.iter().flat_map(|setting| ["-c", *setting]))
                // Immediate shutdown: as abrupt as a crash, and its children go with it, which they would not at once after KILL.
                .stop_signal("QUIT")
                .run_as(user)
                .ready_when(answers_a_query)
        })?;
        Ok(Self {
            server,
            _folder: folder,
        })
    }

    /// The server that all tests of this process share, each with a database of its own.
    ///
    /// It is for tests that do no harm to it: no stop, no change of its settings.
    #[track_caller]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The URL of a database, whether it is there or not.
    pub fn url_for(&self, database: &str) -> String {
        url(self.server.port(), database)
    }

    /// Makes a database and gives its URL. The name is `[a-z][a-z0-9_]*`, and not taken.
    #[track_caller]
    pub fn create_database(&self, name: &str) -> String {
        or_fail(self.try_create_database(name))
    }

    /// As [`Postgres::create_database`].
    ///
    /// # Errors
    /// [`Failure::BadName`], or [`Failure::Refused`] where the name is taken.
    pub fn try_create_database(&self, name: &str) -> Result<String, Failure> {
        if !is_plain_name(name) {
            return Err(Failure::BadName(name.to_owned()));
        }
        try_psql(&self.url_for("postgres"), &format!("CREATE DATABASE {name}"))?;
        Ok(self.url_for(name))
    }

    /// Makes a database whose name begins with `label` and that no other test of this process has; gives its URL.
    #[track_caller]
    pub fn fresh_database(&self, label: &str) -> String {
        self.create_database(&unique(label))
    }

    /// Ends it as a crash would, connections and all. What was committed stays.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Starts it again on the same port, with all its databases.
    #[track_caller]
    pub fn restart(&self) {
        self.server.restart();
    }

    /// The server behind it: port, log, process id.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

/// Runs SQL through the real `psql`, a writer from outside, and gives what it wrote: rows as lines, columns parted by `|`.
///
/// Several statements are one transaction unless they say otherwise, as `psql --command` does it.
#[track_caller]
pub fn psql(url: &str, sql: &str) -> String {
    or_fail(try_psql(url, sql))
}

/// As [`psql`].
///
/// # Errors
/// [`Failure::Refused`] with the server's message.
pub fn try_psql(url: &str, sql: &str) -> Result<String, Failure> {
    let mut command = Command::new(find_program("psql")?);
    for variable in DISTURBING_VARIABLES {
        command.env_remove(variable);
    }
    command.args([
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--set",
        "ON_ERROR_STOP=1",
    ]);
    run(command.args(["--dbname", url, "--command", sql]))
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://{SUPERUSER}@127.0.0.1:{port}/{database}")
}

fn make_data_folder(folder: &Path, user: Option<User>) -> Result<(), Failure> {
    let initdb = find_program("initdb")?;
    let mut command = match user {
        Some(user) => {
            user.take_over(folder)?;
            let mut command = Command::new(find_program("setpriv")?);
            command.args(user.setpriv_arguments()).arg("--").arg(initdb);
            command
        }
        None => Command::new(initdb),
    };
    command.args([
        "-D",
        "data",
        "--username",
        SUPERUSER,
        "--auth",
        "trust",
        "--encoding",
        "UTF8",
        "--locale",
        "C",
    ]);
    run(command
        .args(["--no-sync", "--no-instructions"])
        .current_dir(folder)
        .env("LC_ALL", "C"))
    .map(drop)
}

/// It takes connections a little before it serves them, so the port alone does not tell.
fn answers_a_query(port: u16) -> bool {
    connect(port).is_some() && try_psql(&url(port, "postgres"), "SELECT 1").is_ok_and(|answer| answer == "1")
}

fn is_plain_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_that_needs_quotes_is_refused() {
        for name in ["", "1a", "A", "a-b", "a b", "a;drop", "a\"", &"a".repeat(64)] {
            assert!(!is_plain_name(name), "{name}");
        }
        assert!(is_plain_name("orders_2"));
    }
}
