//! A database with accounts, and two `bekci serve` processes on it.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use bekci_test_support::{
    MariaDb, Postgres, Redis, Server, Service, TempDir, find_program, free_port, mariadb_cli, psql, sqlite3_cli,
};

use serde_json::Value;

use crate::{echo::Echo, http::get};

pub const BEKCI: &str = env!("CARGO_BIN_EXE_bekci");
/// Everybody's.
pub const PASSWORD: &str = "lantern orbit meadow seven";
/// The secret of the client `reporting`.
pub const CLIENT_SECRET: &str = "a secret of the client reporting";
/// Δ of the houses, in milliseconds.
pub const STALENESS_MS: u64 = 1_000;
const ISSUER: &str = "https://bekci.test";

/// Which stores a house stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    SqliteRedis,
    Postgres,
    PostgresRedis,
    MariaDb,
}

/// Runs each function of a suite on every store.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        crate::house::on_sqlite_and_postgres!($($name),*);
        crate::house::on_every_store!(@kind mariadb, MariaDb, $($name),*);
    };
    (@kind $module:ident, $kind:ident, $($name:ident),*) => {
        mod $module {
            $(#[test]
            fn $name() {
                super::$name(crate::house::House::shared(crate::house::Kind::$kind));
            })*
        }
    };
}
pub(crate) use on_every_store;

/// The same without MariaDB, for suites whose statements other suites run there.
macro_rules! on_sqlite_and_postgres {
    ($($name:ident),* $(,)?) => {
        crate::house::on_every_store!(@kind sqlite, Sqlite, $($name),*);
        crate::house::on_every_store!(@kind sqlite_and_redis, SqliteRedis, $($name),*);
        crate::house::on_every_store!(@kind postgres, Postgres, $($name),*);
        crate::house::on_every_store!(@kind postgres_and_redis, PostgresRedis, $($name),*);
    };
}
pub(crate) use on_sqlite_and_postgres;

/// A running `bekci serve`.
pub struct Node {
    pub address: SocketAddr,
    pub ops: SocketAddr,
    pub server: Server,
    pub folder: TempDir,
}

impl Node {
    pub fn of(server: Server, ops: SocketAddr, folder: TempDir) -> Self {
        Self {
            address: server.address(),
            ops,
            server,
            folder,
        }
    }
}

pub struct House {
    pub nodes: Vec<Node>,
    pub redis: Option<Redis>,
    database: String,
    file: PathBuf,
    folder: TempDir,
    rate_limit: &'static str,
    /// Sections of the configuration beside the usual ones.
    more: String,
    server: &'static str,
    /// `[mail]`, and more lines of the customer's guard.
    mail: String,
    customer: &'static str,
    /// More lines of the guard `shop`.
    shop: &'static str,
    /// After how many seconds security cookies are exchanged; 0: there are none.
    security_seconds: u32,
}

/// So that tests which share a house, and the address 127.0.0.1, may be refused as often as they need.
const PATIENT: &str = "{ sign_in = \"100000/min\", refresh = \"100000/min\", otp_start = \"100000/min\", register = \"100000/min\", otp = \"100000/min\" }";

impl House {
    /// The house that all tests of a kind share, each with accounts of its own.
    pub fn shared(kind: Kind) -> &'static Self {
        static SHARED: [OnceLock<House>; 5] = [const { OnceLock::new() }; 5];
        SHARED[kind as usize].get_or_init(|| Self::new(kind, 2))
    }

    pub fn new(kind: Kind, nodes: usize) -> Self {
        let database = match kind {
            Kind::Sqlite | Kind::SqliteRedis => None,
            Kind::Postgres | Kind::PostgresRedis => Some(Postgres::shared().fresh_database("house")),
            Kind::MariaDb => Some(MariaDb::shared().fresh_database("house")),
        };
        let redis = matches!(kind, Kind::SqliteRedis | Kind::PostgresRedis).then(Redis::start);
        Self::on(database, redis, nodes)
    }

    /// On this server database, else on a file of its own.
    pub fn on(database: Option<String>, redis: Option<Redis>, nodes: usize) -> Self {
        Self::built(database, redis, nodes, PATIENT)
    }

    /// With these limits at every guard, on a file, and with a Redis that the nodes share.
    pub fn limited(rate_limit: &'static str, nodes: usize) -> Self {
        Self::built(None, Some(Redis::start()), nodes, rate_limit)
    }

    /// Nodes that send mails to the server at this port, with these lines in the customer's guard and these limits at every guard.
    pub fn mailing(kind: Kind, port: u16, customer: &'static str, limits: Option<&'static str>, nodes: usize) -> Self {
        let mut house = Self::new(kind, 0);
        house.mail = format!(
            "[mail]\ntransport = \"smtp\"\nport = {port}\ntls = \"none\"\nfrom = \"Shop <no-reply@bekci.test>\"\n"
        );
        house.customer = customer;
        house.rate_limit = limits.unwrap_or(PATIENT);
        house.nodes = (0..nodes).map(|_| house.open_node()).collect();
        house
    }

    /// The same where the guards `customer` and `shop` verify a sign-in by mail, with a route for who is not verified yet. What this machine says of its clients' addresses is
    /// believed.
    pub fn verifying(kind: Kind, port: u16, customer: &'static str, limits: Option<&'static str>) -> Self {
        let mut house = Self::mailing(kind, port, customer, limits, 0);
        house.server = "trusted_proxies = [\"127.0.0.1/32\"]\n";
        house.shop = "verification = \"email\"\nrequire_verified_email = true\n";
        house.more = format!(
            "[[routes]]\nid = \"waiting\"\npaths = [\"/waiting/**\"]\nguards = [\"customer\"]\nkind = \"unverified\"\nupstream = \"http://{}\"\n",
            Echo::shared().address
        );
        house.nodes = (0..2).map(|_| house.open_node()).collect();
        house
    }

    /// The house that tests of a kind share where sessions by cookie have security cookies, exchanged after 10 s. What this machine says of other requests is believed.
    pub fn secured(kind: Kind) -> &'static Self {
        static SHARED: [OnceLock<House>; 5] = [const { OnceLock::new() }; 5];
        SHARED[kind as usize].get_or_init(|| {
            let mut house = Self::new(kind, 0);
            house.server = "trusted_proxies = [\"127.0.0.1/32\"]\n";
            house.security_seconds = 10;
            house.nodes = (0..2).map(|_| house.open_node()).collect();
            house
        })
    }

    /// Two nodes with these lines in the guards `customer` and `shop`, and these sections, which describe identity providers.
    pub fn with_providers(
        kind: Kind,
        (customer, shop): (&'static str, &'static str),
        sections: &str,
        limits: Option<&'static str>,
    ) -> Self {
        let mut house = Self::new(kind, 0);
        (house.customer, house.shop) = (customer, shop);
        house.more = sections.to_owned();
        house.rate_limit = limits.unwrap_or(PATIENT);
        house.nodes = (0..2).map(|_| house.open_node()).collect();
        house
    }

    /// One node whose log is JSON.
    pub fn logging_json(kind: Kind) -> Self {
        let mut house = Self::new(kind, 0);
        house.more = "[log]\nformat = \"json\"\n".to_owned();
        house.nodes.push(house.open_node());
        house
    }

    /// One node with these sections beside the usual ones.
    pub fn with(kind: Kind, sections: &str) -> Self {
        let mut house = Self::new(kind, 0);
        house.more = sections.to_owned();
        house.nodes.push(house.open_node());
        house
    }

    /// One node that believes this machine what it says of its clients' addresses.
    pub fn behind_a_proxy(kind: Kind) -> Self {
        let mut house = Self::new(kind, 0);
        house.server = "trusted_proxies = [\"127.0.0.1/32\"]\n";
        house.nodes.push(house.open_node());
        house
    }

    fn built(database: Option<String>, redis: Option<Redis>, nodes: usize, rate_limit: &'static str) -> Self {
        let folder = TempDir::new("house");
        let file = folder.path().join("bekci.db");
        let mut house = Self {
            nodes: Vec::new(),
            redis,
            database: database.unwrap_or_else(|| format!("sqlite://{}", file.display())),
            file,
            folder,
            rate_limit,
            more: String::new(),
            server: "",
            mail: String::new(),
            customer: "sign_in_url = \"/sign-in\"\n",
            shop: "",
            security_seconds: 0,
        };
        house.furnish();
        house.nodes = (0..nodes).map(|_| house.open_node()).collect();
        house
    }

    /// Schema, keys and the first accounts by the commands, other roles from outside.
    fn furnish(&self) {
        let config = self.folder.path().join("commands.toml");
        std::fs::write(&config, self.config(free_port(), free_port())).unwrap();
        let run = |arguments: &[&str], input: &str| run(&config, arguments, input).success();
        run(&["key", "generate"], "");
        run(&["migrate", "up"], "");
        self.age_keys();
        let add = |model: &str, email: &str, role: &str| {
            let arguments = ["principal", "add", "--password-stdin", "--name", "First"];
            let about = ["--model", model, "--email", email, "--role", role];
            run(&[&arguments[..], &about[..]].concat(), PASSWORD);
        };
        add("customer", "first@customer.test", "buyer");
        add("admin", "first@admin.test", "super-admin");
        self.sql(
            "INSERT INTO bekci_roles (guard, tenant, name) VALUES ('customer', '', 'reader'), ('admin', '', 'support'), ('shop', '', 'keeper')",
        );
    }

    /// Makes the keys old, so that a token that is long past is not older than its key.
    fn age_keys(&self) {
        for guard in ["admin", "customer", "shop"] {
            let path = self.key_file(guard);
            let text = std::fs::read_to_string(&path).unwrap();
            let created = text.lines().find(|line| line.starts_with("Created:")).unwrap();
            std::fs::write(&path, text.replace(created, "Created: 2020-01-01T00:00:00Z")).unwrap();
        }
    }

    /// The private key of a guard.
    pub fn key_file(&self, guard: &str) -> PathBuf {
        let files = std::fs::read_dir(self.folder.path().join("keys").join(guard)).unwrap();
        let mut files = files.map(|file| file.unwrap().path());
        files
            .find(|path| path.extension().is_some_and(|kind| kind == "pem"))
            .unwrap()
    }

    fn config(&self, port: u16, ops: u16) -> String {
        let echo = Echo::shared().address;
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\nops_listen = \"127.0.0.1:{ops}\"\npublic_url = \"{ISSUER}\"\nworkers = 2\n\
             shutdown_timeout_seconds = 1\n{}[database]\nurl = \"{}\"\nmax_connections = 8\n[identity_cache]\nmax_staleness_ms = {STALENESS_MS}\n\
             poll_ms = 40\n[token]\nkeys_dir = \"{keys}\"\nleeway_seconds = 0\n[secrets]\nroot = {{ file = \"{keys}/root\" }}\n",
            self.server,
            self.database,
            keys = self.folder.path().join("keys").display(),
        );
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        writeln!(
            text,
            "[policy]\nmodel = \"{0}/casbin_model.conf\"\nseed = \"{0}/casbin_policy.csv\"",
            shipped.display()
        )
        .unwrap();
        if let Some(redis) = &self.redis {
            writeln!(text, "[redis]\nenabled = true\nurl = \"{}\"", redis.url()).unwrap();
        }
        let shop = match self.mail.is_empty() {
            true => format!("model = \"customer\"\nauth_path = \"/shop-api/v1/auth\"\n{}", self.shop),
            false => format!(
                "model = \"customer\"\nauth_path = \"/shop-api/v1/auth\"\nsign_in = [\"password\", \"email_otp\"]\n{}",
                self.shop
            ),
        };
        for (guard, more) in [("admin", ""), ("customer", self.customer), ("shop", &shop)] {
            let cost = "{ memory_kib = 7168, iterations = 1, lanes = 1 }";
            let limits = self.rate_limit;
            writeln!(
                text,
                "[guards.{guard}]\npassword_hash = {cost}\nrate_limit = {limits}\nsecurity_cookie_rotate_seconds = {}\n{more}",
                self.security_seconds
            )
            .unwrap();
        }
        for (client, secret) in [
            ("reporting", CLIENT_SECRET),
            ("billing", "a secret of the client billing"),
        ] {
            writeln!(text, "[clients.{client}]\nsecret = \"{secret}\"").unwrap();
        }
        text.push_str(&self.more);
        text.push_str(&self.mail);
        text.push_str(
            "[models.customer]\nidentifiers = [\"email:nocase\"]\ncached_attributes = [\"email\", \"name\"]\n",
        );
        let up = format!("upstream = \"http://{echo}\"");
        let hasty = format!("upstream = {{ urls = [\"http://{echo}\"], timeout_ms = 200 }}");
        let dead = format!("upstream = \"http://127.0.0.1:{}\"", free_port());
        for (id, rule, upstream) in [
            ("public", "public = true", &up),
            ("me", "guards = [\"customer\"]", &up),
            ("direct", "guards = [\"customer\"]\nconsistency = \"direct\"", &up),
            (
                "orders",
                "guards = [\"customer\", \"admin\"]\nroles = [\"buyer\", \"super-admin\"]",
                &up,
            ),
            ("office", "guards = [\"admin\"]\npermissions = [\"orders.manage\"]", &up),
            (
                "fresh",
                "guards = [\"admin\"]\nkind = \"fresh:300\"\nconsistency = \"direct\"",
                &up,
            ),
            ("guests", "guards = [\"customer\"]\nkind = \"guest\"", &up),
            ("both", "guards = [\"customer\", \"admin\"]", &up),
            ("shop", "guards = [\"shop\"]", &up),
            ("ws", "guards = [\"customer\"]", &up),
            ("api", "guards = [\"customer\", \"admin\"]\npolicy = true", &up),
            ("hasty", "public = true", &hasty),
            ("dead", "public = true", &dead),
        ] {
            writeln!(
                text,
                "[[routes]]\nid = \"{id}\"\npaths = [\"/{id}/**\"]\n{rule}\n{upstream}"
            )
            .unwrap();
        }
        text
    }

    fn open_node(&self) -> Node {
        self.node_by(|port, folder| Service::new(BEKCI, port, folder).args(["serve"]))
    }

    /// One more node, whose standard error is this file.
    pub fn node_logging_to(&self, sink: &str) -> Node {
        let serve = format!("exec '{BEKCI}' serve 2>'{sink}'");
        self.node_by(|port, folder| Service::new("sh", port, folder).args(["-c", &serve]))
    }

    /// One more node, started as this says.
    pub fn node_by(&self, service: impl Fn(u16, &TempDir) -> Service) -> Node {
        let folder = TempDir::new("node");
        let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let server = Server::on_free_port(|port| {
            std::fs::write(folder.path().join("bekci.toml"), self.config(port, ops.port())).unwrap();
            service(port, &folder)
                .ready_when(move |_| std::net::TcpStream::connect(ops).is_ok() && get("/readyz").to(ops).status == 200)
        });
        Node::of(server, ops, folder)
    }

    /// The URL of its database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Where the first node listens.
    pub fn address(&self) -> SocketAddr {
        self.nodes[0].address
    }

    /// Runs a command beside the nodes, on their database.
    pub fn command(&self, arguments: &[&str], input: &str) -> Ran {
        run(&self.folder.path().join("commands.toml"), arguments, input)
    }

    /// [`House::command`] by a configuration in which a text is another one.
    pub fn command_with(&self, from: &str, to: &str, arguments: &[&str]) -> Ran {
        let text = std::fs::read_to_string(self.folder.path().join("commands.toml")).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        let folder = TempDir::new("edited");
        let config = folder.path().join("bekci.toml");
        std::fs::write(&config, text.replace(from, to)).unwrap();
        run(&config, arguments, "")
    }

    /// The root secret's file.
    pub fn root_file(&self) -> PathBuf {
        self.folder.path().join("keys/root")
    }

    /// [`House::command`], and what it said in JSON.
    pub fn told(&self, arguments: &[&str]) -> Value {
        let ran = self.command(&[arguments, &["--output", "json"]].concat(), "");
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("no JSON: {ran:?}"))
    }

    /// Writes to the database from outside.
    pub fn sql(&self, sql: &str) -> String {
        if self.database.starts_with("sqlite:") {
            sqlite3_cli(&self.file, sql)
        } else if self.database.starts_with("mysql:") {
            mariadb_cli(&self.database, sql)
        } else {
            psql(&self.database, sql)
        }
    }
}

/// What a command answered.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

/// Runs `bekci` with a configuration to its end.
pub fn run(config: &Path, arguments: &[&str], input: &str) -> Ran {
    let config = config.to_str().unwrap();
    run_in(
        config_folder(config),
        &[&["--config", config][..], arguments].concat(),
        input,
    )
}

fn config_folder(config: &str) -> &Path {
    Path::new(config).parent().unwrap()
}

/// Runs `bekci` in a folder to its end, which comes by itself or by the end of this process.
pub fn run_in(folder: &Path, arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(find_program("setpriv").unwrap())
        .args(["--pdeathsig", "TERM", "--", "timeout", "60", BEKCI])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}
