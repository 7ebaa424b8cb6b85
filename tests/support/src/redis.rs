//! Redis.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::failure::{Failure, or_fail};
use crate::folder::TempDir;
use crate::program::{find_program, run};
use crate::server::{Server, connect};
use crate::{Service, unique};

/// A Redis server that keeps nothing on disk.
#[derive(Debug)]
pub struct Redis {
    // Before the folder, so that it is stopped before its folder goes.
    server: Server,
    _folder: TempDir,
}

impl Redis {
    /// Starts a server of the caller's own: for tests that stop it, pause it or empty it.
    #[track_caller]
    pub fn start() -> Self {
        or_fail(Self::try_start())
    }

    /// As [`Redis::start`].
    ///
    /// # Errors
    /// A [`Failure`] that holds what the server wrote, or says what to install.
    pub fn try_start() -> Result<Self, Failure> {
        Self::try_start_with(&[])
    }

    /// As [`Redis::start`], with further arguments.
    #[track_caller]
    pub fn start_with(arguments: &[&str]) -> Self {
        or_fail(Self::try_start_with(arguments))
    }

    fn try_start_with(arguments: &[&str]) -> Result<Self, Failure> {
        let folder = TempDir::try_new("redis")?;
        let server = Server::try_on_free_port(|port| {
            Service::new("redis-server", port, &folder)
                .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
                .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
                .args(arguments)
                .ready_when(says_pong)
        })?;
        Ok(Self {
            server,
            _folder: folder,
        })
    }

    /// The server that all tests of this process share, each under a prefix of its own ([`Redis::fresh_prefix`]).
    ///
    /// It is for tests that do no harm to it: no FLUSHALL, no stop.
    #[track_caller]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// `redis://127.0.0.1:<port>`
    pub fn url(&self) -> String {
        format!("redis://{}", self.server.address())
    }

    /// A key prefix that no other test of this process has, as `orders_3:`.
    pub fn fresh_prefix(&self, label: &str) -> String {
        format!("{}:", unique(label))
    }

    /// Runs one command through the real `redis-cli`, a writer and reader from outside, and gives its raw answer.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> String {
        or_fail(self.try_cli(arguments))
    }

    /// As [`Redis::cli`].
    ///
    /// # Errors
    /// [`Failure::Refused`] with what Redis answered, or that it is out of reach.
    pub fn try_cli(&self, arguments: &[&str]) -> Result<String, Failure> {
        cli_at(self.server.port(), arguments)
    }

    /// Whether it is a replica that has what its master has.
    pub fn follows(&self) -> bool {
        self.cli(&["INFO", "replication"]).contains("master_link_status:up")
    }

    /// Kills it, with all it holds.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Starts it again, empty, on the same port.
    #[track_caller]
    pub fn restart(&self) {
        self.server.restart();
    }

    /// Stops it in its tracks: connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.server.pause();
    }

    /// Lets it go on after [`Redis::pause`].
    pub fn resume(&self) {
        self.server.resume();
    }

    /// The server behind it: port, log, process id.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

/// Runs one command at a port.
///
/// # Errors
/// As [`Redis::try_cli`].
pub(crate) fn cli_at(port: u16, arguments: &[&str]) -> Result<String, Failure> {
    // -e: an error answer is an exit status too.
    run(Command::new(find_program("redis-cli")?)
        .args(["-e", "-h", "127.0.0.1", "-p", &port.to_string()])
        .args(arguments))
}

/// Redis listens a little before it serves; `PING` as an inline command tells.
pub(crate) fn says_pong(port: u16) -> bool {
    let Some(mut stream) = connect(port) else { return false };
    let mut answer = [0; 7];
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .and_then(|()| stream.write_all(b"PING\r\n"))
        .and_then(|()| stream.read_exact(&mut answer))
        .is_ok_and(|()| answer == *b"+PONG\r\n")
}
