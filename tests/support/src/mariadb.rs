//! MariaDB.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::failure::{Failure, or_fail};
use crate::folder::TempDir;
use crate::program::{find_program, run};
use crate::server::{Server, connect};
use crate::user::User;
use crate::{Service, unique};

/// The user of a test server who may do everything, and the only one.
const SUPERUSER: &str = "root";

/// Small buffers and no flush to the disk: a test server survives its own crash, but not a power cut.
const SETTINGS: [&str; 16] = [
    "--skip-networking=0",
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-flush-method=nosync",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=32M",
    "--skip-innodb-doublewrite",
    // One file for all tables: a test makes about twenty of them.
    "--innodb-file-per-table=0",
    // A test makes about twenty tables and sixty triggers, and each would wait for the disk.
    "--skip-sync-frm",
    "--debug-no-sync",
    "--performance-schema=off",
    "--max-connections=300",
    "--tmpdir=.",
    // Relative to the data folder: the path of a socket is limited to about a hundred bytes.
    "--socket=mariadb.sock",
];

/// A MariaDB server with one user, `root`, who needs no password from this machine.
#[derive(Debug)]
pub struct MariaDb {
    // Before the folder, so that it is stopped before its folder goes.
    server: Server,
    _folder: TempDir,
}

impl MariaDb {
    /// Makes a data folder and starts a server on it, of the caller's own: for tests that stop it. Takes some seconds.
    #[track_caller]
    pub fn start() -> Self {
        or_fail(Self::try_start())
    }

    /// The same with further arguments for the server, such as `--log-bin`.
    #[track_caller]
    pub fn start_with(arguments: &[&str]) -> Self {
        or_fail(Self::try_start_on(&[], arguments))
    }

    /// As [`MariaDb::start`].
    ///
    /// # Errors
    /// A [`Failure`] that holds what the server wrote, or says what to install.
    pub fn try_start() -> Result<Self, Failure> {
        Self::try_start_with(&[])
    }

    /// The same with variables in its environment, as those of a preloaded library that changes its clock.
    ///
    /// # Errors
    /// As [`MariaDb::try_start`].
    pub fn try_start_with(environment: &[(&str, &str)]) -> Result<Self, Failure> {
        Self::try_start_on(environment, &[])
    }

    fn try_start_on(environment: &[(&str, &str)], arguments: &[&str]) -> Result<Self, Failure> {
        let folder = TempDir::try_new("mariadb")?;
        let user = User::instead_of_root()?;
        let data = folder.path().join("data");
        make_data_folder(folder.path(), &data, user)?;
        let server = Server::try_on_free_port(|port| {
            let service = Service::new("mariadbd", port, &folder);
            let set = |service: Service, (name, value): &(&str, &str)| service.env(name, value);
            environment
                .iter()
                .fold(service, set)
                .args(["--no-defaults", &format!("--port={port}")])
                .args([&format!("--datadir={}", data.display())])
                .args(SETTINGS)
                .args(arguments)
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
        static SHARED: OnceLock<MariaDb> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The URL of a database, whether it is there or not.
    pub fn url_for(&self, database: &str) -> String {
        url(self.server.port(), database)
    }

    /// Makes a database whose name begins with `label` and that no other test of this process has; gives its URL.
    #[track_caller]
    pub fn fresh_database(&self, label: &str) -> String {
        let name = unique(label);
        mariadb_cli(&self.url_for(""), &format!("CREATE DATABASE `{name}`"));
        self.url_for(&name)
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

/// Runs SQL through the real `mariadb` program, a writer from outside, and gives what it wrote: rows as lines, columns parted by `|`.
///
/// Each statement is a transaction of its own unless they say otherwise; the first that fails ends it. Double quotes are for names and `||` joins texts, as in the
/// other databases.
#[track_caller]
pub fn mariadb_cli(url: &str, sql: &str) -> String {
    or_fail(try_mariadb_cli(url, sql))
}

/// As [`mariadb_cli`].
///
/// # Errors
/// [`Failure::Refused`] with the server's message.
pub fn try_mariadb_cli(url: &str, sql: &str) -> Result<String, Failure> {
    let mut command = mariadb_shell(url)?;
    command.args(["--execute", sql]);
    Ok(run(&mut command)?.replace('\t', "|"))
}

/// The real `mariadb` program on a database, as [`mariadb_cli`] runs it: it reads statements from its standard input, and ends at the first that fails.
///
/// # Errors
/// [`Failure::Missing`]
pub fn mariadb_shell(url: &str) -> Result<Command, Failure> {
    let (address, database) = url.rsplit_once('/').unwrap_or((url, ""));
    let port = address.rsplit_once(':').map_or("", |(_, port)| port);
    let mut command = Command::new(find_program("mariadb")?);
    command.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1"]);
    command.args([&format!("--port={port}"), &format!("--user={SUPERUSER}")]);
    command.args([
        "--batch",
        "--unbuffered",
        "--raw",
        "--skip-column-names",
        "--default-character-set=utf8mb4",
    ]);
    command.args([
        "--init-command",
        "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES,PIPES_AS_CONCAT')",
    ]);
    if !database.is_empty() {
        command.args(["--database", database]);
    }
    Ok(command)
}

fn url(port: u16, database: &str) -> String {
    format!("mysql://{SUPERUSER}@127.0.0.1:{port}/{database}")
}

fn make_data_folder(folder: &Path, data: &Path, user: Option<User>) -> Result<(), Failure> {
    let install = find_program("mariadb-install-db")?;
    let mut command = match user {
        Some(user) => {
            user.take_over(folder)?;
            let mut command = Command::new(find_program("setpriv")?);
            command.args(user.setpriv_arguments()).arg("--").arg(install);
            command
        }
        None => Command::new(install),
    };
    command.args(["--no-defaults", &format!("--datadir={}", data.display())]);
    command.args([
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]);
    command.args(["--innodb-flush-method=nosync", "--innodb-log-file-size=32M"]);
    command.args(["--skip-sync-frm", "--debug-no-sync"]);
    // The user of the server may not write to the folder for temporary files of this process.
    run(command.current_dir(folder).env("LC_ALL", "C").env("TMPDIR", folder)).map(drop)
}

/// It takes connections a little before it serves them, so the port alone does not tell.
fn answers_a_query(port: u16) -> bool {
    connect(port).is_some() && try_mariadb_cli(&url(port, ""), "SELECT 1").is_ok_and(|answer| answer == "1")
}
