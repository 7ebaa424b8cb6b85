//! A database, Redis, and as many gateways on them, each behind links of its own.

mod config;
mod database;

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bekci_test_support::{Redis, Server, Service, TempDir, find_program, free_port};
use parking_lot::Mutex;

pub(crate) use self::{
    config::{ADMIN, CUSTOMER_DOMAIN, PASSWORD},
    database::Database,
};
use crate::{
    clock::pause,
    disk::Disk,
    http::{Request, once},
    options::{Options, Switch},
    proxy::Link,
};

/// One gateway.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: usize,
    pub(crate) address: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) server: Server,
    /// To the database; SQLite has none.
    pub(crate) database: Option<Link>,
    /// To Redis, where there is one.
    pub(crate) redis: Option<Link>,
    /// One fault at a time that stops it.
    pub(crate) alone: Mutex<()>,
    folder: TempDir,
    /// How often its file was written.
    generation: AtomicU64,
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) database: Database,
    pub(crate) redis: Option<Redis>,
    /// The longest time after which a write from outside counts on every node, in milliseconds.
    pub(crate) staleness_ms: u64,
    /// What everything is written to, where it can be full.
    pub(crate) disk: Option<Disk>,
    program: PathBuf,
    poll_ms: u64,
    folder: TempDir,
}

/// How stale a node may be at most, by its place and by how often it was reloaded: nodes differ, and each reload changes it.
fn staleness_of(node: usize, generation: u64) -> u64 {
    1_000 + 500 * ((u64::try_from(node).unwrap_or_default() + generation) % 3)
}

/// The most of them.
const MOST_STALENESS: u64 = 2_000;

impl Cluster {
    /// Starts the servers, makes the schema and the first admin, and starts the gateways.
    pub(crate) fn start(options: &Options) -> Self {
        let program = options
            .gateway
            .clone()
            .unwrap_or_else(|| std::env::current_exe().unwrap());
        let folder = TempDir::new("checker");
        let database = Database::start(options.database, &folder);
        let redis = (options.redis == Switch::On).then(Redis::start);
        let mut cluster = Self {
            nodes: Vec::new(),
            database,
            redis,
            staleness_ms: MOST_STALENESS,
            disk: options.disk.clone().map(Disk::at),
            program,
            poll_ms: options.poll_ms,
            folder,
        };
        cluster.furnish();
        cluster.nodes = (0..usize::from(options.nodes)).map(|name| cluster.open(name)).collect();
        cluster
    }

    fn furnish(&self) {
        std::fs::write(self.policy_file(), "p, role:customer:base, *, /pol/base, GET, allow\n").unwrap();
        std::fs::write(self.commands_file(), self.commands_config()).unwrap();
        for arguments in [&["key", "generate"][..], &["migrate", "up"]] {
            let ran = self.command(arguments, "");
            assert!(ran.is_ok(), "{arguments:?}: {ran:?}");
        }
        let admin = [
            "principal",
            "add",
            "--password-stdin",
            "--name",
            "Ada",
            "--model",
            "admin",
        ];
        let ran = self.command(
            &[&admin[..], &["--email", ADMIN, "--role", "super-admin"]].concat(),
            PASSWORD,
        );
        assert!(ran.is_ok(), "{ran:?}");
    }

    fn commands_file(&self) -> PathBuf {
        self.folder.path().join("commands.toml")
    }

    fn policy_file(&self) -> PathBuf {
        self.folder.path().join("policy.csv")
    }

    fn open(&self, name: usize) -> Node {
        let folder = TempDir::new("node");
        let link = |target: SocketAddr| Link::to(target).unwrap();
        let database = self.database.address().map(link);
        let redis = self
            .redis
            .as_ref()
            .map(|redis| link(redis.url().trim_start_matches("redis://").parse().unwrap()));
        let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let program = self.program.to_str().unwrap();
        let server = Server::on_free_port(|port| {
            let place = config::Place {
                port,
                ops: ops.port(),
                database: self.database.url(database.as_ref().map(Link::address)),
                redis: redis.as_ref().map(Link::address),
            };
            let text = self.config(&place, staleness_of(name, 0), 0);
            std::fs::write(folder.path().join("bekci.toml"), text).unwrap();
            Service::new(program, port, &folder)
                .args(["serve", "--config", "bekci.toml"])
                .ready_when(move |_| is_ready(ops))
        });
        Node {
            name,
            address: server.address(),
            ops,
            server,
            database,
            redis,
            alone: Mutex::new(()),
            folder,
            generation: AtomicU64::new(0),
        }
    }

    /// Writes a node's file anew, so that the next reload opens a new store, and tells the node.
    pub(crate) fn reload(&self, node: &Node) {
        let generation = node.generation.fetch_add(1, Ordering::Relaxed) + 1;
        let place = config::Place {
            port: node.address.port(),
            ops: node.ops.port(),
            database: self.database.url(node.database.as_ref().map(Link::address)),
            redis: node.redis.as_ref().map(Link::address),
        };
        let text = self.config(&place, staleness_of(node.name, generation), generation);
        let file = node.folder.path().join("bekci.toml");
        let new = node.folder.path().join("bekci.toml.new");
        if std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(new, file))
            .is_ok()
        {
            node.server.signal("HUP");
        }
    }

    /// Runs a command beside the nodes, on the database itself.
    ///
    /// # Errors
    /// What it wrote, where it did not end with 0.
    pub(crate) fn command(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new(find_program("timeout").map_err(|failure| failure.to_string())?)
            .arg("60")
            .arg(&self.program)
            .args(arguments)
            .arg("--config")
            .arg(self.commands_file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        if let Some(mut stdin) = child.stdin.take() {
            let _read_or_not = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Whether the gateway has a command.
    pub(crate) fn has_command(&self, arguments: &[&str]) -> bool {
        let output = Command::new(&self.program).args(arguments).arg("--help").output();
        output.is_ok_and(|output| output.status.success())
    }

    /// The folder of the keys that the nodes share.
    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }
}

impl Node {
    /// Kills it and starts it again.
    pub(crate) fn kill_and_start(&self, milliseconds: u64) {
        let _alone = self.alone.lock();
        self.server.stop();
        pause(milliseconds);
        self.start_again();
    }

    /// Ends it as an operator does, and starts it again.
    pub(crate) fn restart_cleanly(&self) {
        let _alone = self.alone.lock();
        let pid = self.server.pid();
        self.server.signal("TERM");
        for _ in 0..300 {
            if pid.is_none_or(has_ended) {
                break;
            }
            pause(20);
        }
        self.start_again();
    }

    fn start_again(&self) {
        // Its start is refused while the database is away.
        for _ in 0..20 {
            if self.server.try_restart().is_ok() {
                return;
            }
            pause(500);
        }
    }
}

/// Whether a process is gone, or waits to be collected.
fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.map_or(true, |stat| {
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z'))
    })
}

fn is_ready(ops: SocketAddr) -> bool {
    TcpStream::connect(ops).is_ok()
        && once(ops, &Request::new("GET", "/readyz"), Duration::from_secs(2)).is_ok_and(|answer| answer.status == 200)
}
