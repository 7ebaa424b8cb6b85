//! What is left when a test process is killed: nothing that runs, and after the next one nothing on disk.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bekci_test_support::TempDir;

use crate::{eventually, listens};

/// Another process that holds a server of each kind.
struct Holder {
    process: Child,
    redis: SocketAddr,
    postgres: SocketAddr,
    mariadb: SocketAddr,
    sqlite_folder: PathBuf,
}

impl Holder {
    /// Starts one whose temporary folder is `temporary`: what other tests start there would remove what the dead left, too.
    fn start(temporary: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_test-servers"))
            .env("TMPDIR", temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut next = |before: &str, after: &str| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix(before)
                .unwrap()
                .strip_suffix(after)
                .unwrap()
                .to_owned()
        };
        Self {
            redis: next("redis redis://", "").parse().unwrap(),
            postgres: next("postgres postgres://postgres@", "/postgres").parse().unwrap(),
            mariadb: next("mariadb mysql://root@", "/").parse().unwrap(),
            sqlite_folder: PathBuf::from(next("sqlite sqlite://", "/bekci.db?mode=rwc")),
            process,
        }
    }

    /// SIGKILL: no destructor runs.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The end of its standard input: it ends as it should.
    fn let_go(&mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

#[test]
fn servers_of_a_killed_process_die_with_it_and_the_next_process_removes_their_folders() {
    let temporary = TempDir::new("h");
    let mut killed = Holder::start(temporary.path());
    assert!(listens(killed.redis) && listens(killed.postgres) && listens(killed.mariadb));

    killed.kill();
    assert!(
        eventually(|| !listens(killed.redis)),
        "redis-server outlived the process that started it"
    );
    assert!(
        eventually(|| !listens(killed.postgres)),
        "postgres outlived the process that started it"
    );
    assert!(
        eventually(|| !listens(killed.mariadb)),
        "mariadbd outlived the process that started it"
    );

    assert!(
        killed.sqlite_folder.exists(),
        "nobody shares its temporary folder, so nobody can have removed it"
    );
    let mut next = Holder::start(temporary.path());
    assert!(!killed.sqlite_folder.exists());
    next.let_go();
}

#[test]
fn a_process_that_ends_well_leaves_no_server_and_no_folder_of_one() {
    let temporary = TempDir::new("h");
    let mut holder = Holder::start(temporary.path());
    holder.let_go();
    assert!(!listens(holder.redis) && !listens(holder.postgres) && !listens(holder.mariadb));
    assert!(!holder.sqlite_folder.exists());
}
