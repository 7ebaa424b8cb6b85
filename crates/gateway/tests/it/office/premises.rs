//! Two nodes by the shipped configuration: `bekci serve` twice on a database of their own, or the demo and a `bekci serve` beside it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use bekci_test_support::{MariaDb, Postgres, Redis, Server, Service, TempDir, free_port, sqlite3_cli, unique};
use serde_json::{Value, json};

use crate::{
    echo::Echo,
    house::{BEKCI, PASSWORD, run},
    http::{Answer, ask, get, post},
};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");

/// What an office stands on.
#[derive(Clone, Copy, Debug)]
pub enum Ground {
    /// The demo's own SQLite file.
    Demo,
    Sqlite,
    Postgres,
    PostgresRedis,
    MariaDb,
}

/// Two nodes on one database.
pub struct Office {
    addresses: [SocketAddr; 2],
    admin: Account,
    /// SQLite's file.
    file: PathBuf,
    _running: [(Server, TempDir); 2],
    _redis: Option<Redis>,
    _folder: Option<TempDir>,
}

struct Account {
    email: String,
    password: String,
}

/// An office with somebody in it who may do everything, and has just signed in.
pub struct Desk<'a> {
    office: &'a Office,
    pub root: String,
}

impl Office {
    /// The one that all tests of a ground share.
    pub fn shared(ground: Ground) -> &'static Self {
        static SHARED: [OnceLock<Office>; 5] = [const { OnceLock::new() }; 5];
        SHARED[ground as usize].get_or_init(|| match ground {
            Ground::Demo => Self::demo(),
            Ground::Sqlite => Self::served(None, None),
            Ground::Postgres => Self::served(Some(Postgres::shared().fresh_database("office")), None),
            Ground::MariaDb => Self::served(Some(MariaDb::shared().fresh_database("office")), None),
            Ground::PostgresRedis => {
                let database = Postgres::shared().fresh_database("office");
                Self::served(Some(database), Some(Redis::start()))
            }
        })
    }

    /// `bekci demo`, and a second node by its configuration, at other ports.
    fn demo() -> Self {
        let folder = TempDir::new("demo");
        let log = folder.path().join("bekci.log");
        let demo = Server::on_free_port(|port| {
            let log = log.clone();
            Service::new(BEKCI, port, &folder)
                .args(["demo", "--output", "json", "--listen", &format!("127.0.0.1:{port}")])
                .stop_signal("TERM")
                .ready_when(move |_| told(&log).is_some())
        });
        let told = told(&log).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let config = std::fs::read_to_string(text(&told["configPath"])).unwrap();
        let at = |url: &str| text(&told[url]).strip_prefix("http://").unwrap().to_owned();
        let second = second_node(|port, ops| {
            let config = moved(&config, &at("url"), port);
            moved(&config, &at("opsUrl"), ops)
        });
        Self {
            file: text(&told["databaseUrl"]).strip_prefix("sqlite://").unwrap().into(),
            addresses: [demo.address(), second.0.address()],
            admin: Account {
                email: text(&told["admin"]["email"]),
                password: text(&told["admin"]["password"]),
            },
            _running: [(demo, folder), second],
            _redis: None,
            _folder: None,
        }
    }

    fn served(database: Option<String>, redis: Option<Redis>) -> Self {
        let folder = TempDir::new("office");
        let file = folder.path().join("bekci.db");
        let database = database.unwrap_or_else(|| format!("sqlite://{}", file.display()));
        let text = |port, ops| shipped(folder.path(), &database, redis.as_ref(), port, ops);
        let config = folder.path().join("bekci.toml");
        std::fs::write(&config, text(free_port(), free_port())).unwrap();
        run(&config, &["key", "generate"], "").success();
        run(&config, &["migrate", "up"], "").success();
        let email = "first@admin.test";
        for (model, email, role) in [
            ("admin", email, "super-admin"),
            ("customer", "first@customer.test", "buyer"),
        ] {
            let arguments = ["principal", "add", "--create", "--password-stdin", "--model", model];
            let about = ["--email", email, "--role", role];
            run(&config, &[&arguments[..], &about[..]].concat(), PASSWORD).success();
        }
        let running = [second_node(text), second_node(text)];
        Self {
            file,
            addresses: running.each_ref().map(|(server, _)| server.address()),
            admin: Account {
                email: email.to_owned(),
                password: PASSWORD.to_owned(),
            },
            _running: running,
            _redis: redis,
            _folder: Some(folder),
        }
    }

    pub fn addresses(&self) -> [SocketAddr; 2] {
        self.addresses
    }

    /// Writes to an SQLite file from outside.
    pub fn sql(&self, sql: &str) -> String {
        sqlite3_cli(&self.file, sql)
    }

    /// Signs in who may do everything: an admin's access token lives for five minutes, which is long for a test and short for all of them.
    pub fn desk(&self) -> Desk<'_> {
        let Account { email, password } = &self.admin;
        Desk {
            office: self,
            root: sign_in(self.addresses[0], "admin", email, password),
        }
    }
}

/// The demo's line, once it is there.
fn told(log: &Path) -> Option<Value> {
    let text = std::fs::read_to_string(log).ok()?;
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.filter_map(|line| serde_json::from_str(line).ok()).next_back()
}

/// A configuration in which one address is at another port.
fn moved(config: &str, address: &str, port: u16) -> String {
    let (from, to) = (
        format!("listen = \"{address}\""),
        format!("listen = \"127.0.0.1:{port}\""),
    );
    assert!(config.contains(&from), "{from} is not in {config}");
    config.replace(&from, &to)
}

/// The shipped configuration, at other addresses.
fn shipped(folder: &Path, database: &str, redis: Option<&Redis>, port: u16, ops: u16) -> String {
    let text = std::fs::read_to_string(format!("{SHIPPED}/bekci.toml")).unwrap();
    let text = text
        .replace("#:schema ./bekci.schema.json", "")
        .replace("\"127.0.0.1:8080\"", &format!("\"127.0.0.1:{port}\""))
        .replace("\"127.0.0.1:8081\"", &format!("\"127.0.0.1:{ops}\""))
        .replace("http://127.0.0.1:8080", "http://bekci.test")
        .replace("127.0.0.1:9000", &Echo::shared().address.to_string())
        .replace("sqlite://data/bekci.db", database)
        .replace("\"data/", &format!("\"{}/", folder.display()))
        .replace("\"config/", &format!("\"{SHIPPED}/"))
        .replace("level = \"info\"", "level = \"warn\"");
    match redis {
        None => text,
        Some(redis) => {
            let off = "enabled = false\nurl = \"redis://127.0.0.1:6379\"";
            assert!(text.contains(off), "{off} is not in {text}");
            text.replace(off, &format!("enabled = true\nurl = \"{}\"", redis.url()))
        }
    }
}

/// `bekci serve` by a configuration for these two ports.
fn second_node(config: impl Fn(u16, u16) -> String) -> (Server, TempDir) {
    let folder = TempDir::new("node");
    let file = folder.path().join("bekci.toml");
    let ops = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let server = Server::on_free_port(|port| {
        std::fs::write(&file, config(port, ops.port())).unwrap();
        Service::new(BEKCI, port, &folder)
            .args(["serve"])
            .ready_when(move |_| std::net::TcpStream::connect(ops).is_ok() && get("/readyz").to(ops).status == 200)
    });
    (server, folder)
}

impl Desk<'_> {
    /// A call of the management API, through one of the nodes.
    pub fn manage(&self, node: usize, call: &str, body: &Value) -> Answer {
        let (method, path) = call.split_once(' ').unwrap();
        let asked = ask(method, &format!("/admin/v1{path}")).bearer(&self.root).json(body);
        let answer = asked.to(self.office.addresses[node]);
        assert_eq!(answer.verdict(), "200", "{call} {body}: {answer:?}");
        answer
    }

    /// A new account with these roles, signed in: its id and its access token.
    pub fn person(&self, guard: &str, roles: &[&str]) -> (String, String) {
        let email = format!("{}@{guard}.test", unique("someone"));
        let body = json!({"email": email, "password": PASSWORD, "verified": true});
        let added = self.manage(0, &format!("POST /principals/{guard}"), &body).json();
        let id = added["data"]["id"].as_str().unwrap().to_owned();
        let call = format!("PUT /principals/{guard}/{id}/roles");
        self.manage(0, &call, &json!({"roles": roles}));
        (id, sign_in(self.office.addresses[0], guard, &email, PASSWORD))
    }

    /// What both nodes say to a request, the one that was not asked for the change first.
    pub fn say(&self, node: usize, path: &str, token: &str) -> [Answer; 2] {
        let [here, there] = self.office.addresses;
        let order = if node == 0 { [there, here] } else { [here, there] };
        order.map(|address| get(path).bearer(token).to(address))
    }
}

pub fn sign_in(address: SocketAddr, guard: &str, email: &str, password: &str) -> String {
    let body = json!({"email": email, "password": password});
    let answer = post(&format!("/auth/{guard}/login")).json(&body).to(address);
    assert_eq!(answer.verdict(), "200", "{answer:?}");
    answer.json()["data"]["accessToken"].as_str().unwrap().to_owned()
}
