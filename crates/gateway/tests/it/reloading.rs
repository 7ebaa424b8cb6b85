//! The configuration changes while requests are under way.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use bekci_test_support::{Service, psql, try_psql};
use serde_json::json;

use crate::{
    house::{BEKCI, House, Kind, Node, PASSWORD},
    http::{Wire, get, post},
    operating::value,
    people::Tokens,
};

pub const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A minute.
pub const LOOKS: u32 = 3_000;

/// The configuration file of a node.
pub struct File<'a> {
    node: &'a Node,
    pub path: PathBuf,
    pub first: String,
}

impl<'a> File<'a> {
    fn of(house: &'a House) -> Self {
        Self::of_node(&house.nodes[0])
    }

    pub fn of_node(node: &'a Node) -> Self {
        let path = node.server.folder().join("bekci.toml");
        let first = std::fs::read_to_string(&path).unwrap();
        Self { node, path, first }
    }

    /// What its node has logged.
    pub fn node_log(&self) -> String {
        self.node.server.log()
    }

    pub fn write(&self, text: &str) {
        let next = self.path.with_extension("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, &self.path).unwrap();
    }

    fn hang_up(&self) {
        self.node.server.signal("HUP");
    }

    fn metric(&self, line: &str) -> u64 {
        let text = String::from_utf8(get("/metrics").to(self.node.ops).body).unwrap();
        value(&text, line)
    }

    fn generation(&self) -> u64 {
        self.metric("bekci_config_generation")
    }

    /// Waits until the metric is at least this.
    pub fn until(&self, line: &str, least: u64) {
        for _ in 0..LOOKS {
            if self.metric(line) >= least {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        panic!("{line} is not {least}:\n{}", self.node.server.log());
    }
}

pub fn reloads(result: &str) -> String {
    format!("bekci_config_reloads_total{{result=\"{result}\"}}")
}

/// The first configuration with `/public/**` guarded, and a route more.
fn second(first: &str) -> String {
    let guarded = first.replacen("public = true", "guards = [\"customer\"]", 1);
    let upstream = first.lines().find(|line| line.starts_with("upstream = \"")).unwrap();
    format!("{guarded}\n[[routes]]\nid = \"more\"\npaths = [\"/more/**\"]\npublic = true\n{upstream}\n")
}

/// What a request may be answered, by the routes before and after; the same where they do not differ.
const ASKED: [(&str, bool, &str, &str); 5] = [
    ("/me/x", true, "200", "200"),
    ("/me/x", false, "401 TOKEN_MISSING", "401 TOKEN_MISSING"),
    ("/office/x", true, "401 GUARD_MISMATCH", "401 GUARD_MISMATCH"),
    ("/public/x", false, "200", "401 TOKEN_MISSING"),
    ("/more/x", false, "404 NOT_FOUND", "200"),
];

/// What is asked all the time, and which answers are right now.
struct Load {
    /// Of 2 bits: whether the answers of the first routes are right, and those of the second.
    right: AtomicU64,
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Load {
    /// Asks until it is told to stop: over one connection, or each time over a new one. Every request must have an answer, and a right one.
    fn run(&self, address: SocketAddr, tokens: &Tokens, keeps: bool) {
        let mut wire = Wire::open(address);
        while !self.stop.load(Ordering::SeqCst) {
            for (path, signed_in, before, after) in ASKED {
                if !keeps {
                    wire = Wire::open(address);
                }
                let ask = get(path);
                let ask = if signed_in { ask.bearer(&tokens.access) } else { ask };
                // An answer may be of any generation that was in force while it was on its way.
                let early = self.right.load(Ordering::SeqCst);
                let verdict = ask.on(&mut wire).verdict();
                let right = early | self.right.load(Ordering::SeqCst);
                let is_right = (right & 1 != 0 && verdict == before) || (right & 2 != 0 && verdict == after);
                assert!(is_right, "{path}: {verdict} with {right:b}");
                self.answered.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// Waits until so many more requests were answered.
    fn until_answered(&self, more: u64) {
        let wanted = self.answered.load(Ordering::SeqCst) + more;
        for _ in 0..LOOKS {
            if self.answered.load(Ordering::SeqCst) >= wanted {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        panic!("requests are not answered any more");
    }
}

/// Ends the load also where the test fails, else its threads would be waited for without end.
pub struct Ending<'a>(pub &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn good_and_bad_files_under_load_refuse_no_request_and_no_answer_is_of_neither_generation() {
    let house = House::new(Kind::Sqlite, 1);
    let file = File::of(&house);
    let address = house.address();
    let tokens = house.signed_in();
    let load = Load {
        right: AtomicU64::new(0b01),
        stop: AtomicBool::new(false),
        answered: AtomicU64::new(0),
    };
    std::thread::scope(|scope| {
        let _ending = Ending(&load.stop);
        for number in 0..4 {
            let (load, tokens) = (&load, &tokens);
            scope.spawn(move || load.run(address, tokens, number != 0));
        }
        load.until_answered(100);
        assert_eq!(file.generation(), 1);

        load.right.store(0b11, Ordering::SeqCst);
        file.write(&second(&file.first));
        file.hang_up();
        file.until("bekci_config_generation", 2);
        load.right.store(0b10, Ordering::SeqCst);
        load.until_answered(100);

        file.write(&second(&file.first).replace("guards = [\"shop\"]", "guards = [\"nobody\"]\nrulez = 1"));
        file.until(&reloads("refused"), 1);
        load.until_answered(100);
        assert_eq!(file.generation(), 2);
        assert_eq!(file.metric("bekci_config_last_reload_successful"), 0);
        assert_eq!(get("/readyz").to(file.node.ops).status, 200);

        load.right.store(0b11, Ordering::SeqCst);
        file.write(&file.first);
        file.until("bekci_config_generation", 3);
        load.right.store(0b01, Ordering::SeqCst);
        load.until_answered(100);
        assert_eq!(file.metric("bekci_config_last_reload_successful"), 1);
    });
    let log = file.node.server.log();
    for mistake in ["nobody", "rulez", "the old one stays"] {
        assert!(log.contains(mistake), "{mistake}: {log}");
    }
    assert_eq!(tokens.refresh().to(address).verdict(), "200");
}

#[test]
fn a_guard_changes_while_the_gateway_runs_and_sessions_and_requests_under_way_stay() {
    let house = House::new(Kind::PostgresRedis, 1);
    let file = File::of(&house);
    let address = house.address();
    let tokens = house.signed_in();
    let mut slow = Wire::open(address);
    slow.write(&get("/me/slow?ms=3000").bearer(&tokens.access).bytes());
    let admins = "[guards.admin]\naccess_ttl_seconds = 77\n";
    file.write(&file.first.replace("[guards.admin]\n", admins));
    file.until("bekci_config_generation", 2);
    assert_eq!(slow.read().verdict(), "200", "it was under way");
    assert_eq!(tokens.verdict(address), "200");
    let admin = house.person("admin", "super-admin");
    let answer = admin.login(&json!({})).to(address);
    assert_eq!(answer.json()["data"]["expiresIn"], 77, "{}", answer.json());
    assert_eq!(tokens.ask("POST", "logout").to(address).verdict(), "200");
    assert_eq!(tokens.verdict(address), "401 TOKEN_INVALID");
    let nodes = || house.sql("SELECT count(*) FROM coherence_nodes");
    for _ in 0..LOOKS {
        if nodes() == "1" {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    assert_eq!(nodes(), "1", "no writer waits for the node that was replaced");
}

#[test]
fn a_model_with_its_guard_comes_while_the_gateway_runs() {
    let house = House::new(Kind::Sqlite, 1);
    let file = File::of(&house);
    let login = post("/auth/partner/login").json(&json!({"email": "a@b.test", "password": PASSWORD}));
    assert_eq!(login.to(house.address()).verdict(), "404 GUARD_UNKNOWN");
    file.write(&format!("{}\n[guards.partner]\n[models.partner]\n", file.first));
    file.until("bekci_config_generation", 2);
    assert_eq!(login.to(house.address()).verdict(), "401 CREDENTIAL_INVALID");
    assert_eq!(house.sql("SELECT count(*) FROM partners"), "0", "its table was made");
}

#[test]
fn hanging_up_without_a_change_changes_nothing_and_what_needs_a_new_process_is_named() {
    let house = House::new(Kind::Sqlite, 1);
    let file = File::of(&house);
    file.hang_up();
    file.until(&reloads("unchanged"), 1);
    assert_eq!(file.generation(), 1);

    let workers = file.first.replace("workers = 2", "workers = 3");
    file.write(&workers.replace("max_connections = 8", "max_connections = 9"));
    file.until(&reloads("refused"), 1);
    let log = file.node.server.log();
    for key in ["server.workers", "database.max_connections"] {
        let line = format!("{key} cannot change while the gateway runs");
        assert!(log.contains(&line), "{log}");
    }
    assert_eq!(file.generation(), 1);
    assert_eq!(get("/public/x").to(house.address()).verdict(), "200");
}

#[test]
fn whose_word_about_addresses_is_believed_changes_for_the_calls_of_guards_too() {
    let house = House::limited("{ sign_in = \"4/h\", refresh = \"4/h\" }", 1);
    let file = File::of(&house);
    let guess = |n: u32| {
        let who = json!({"email": format!("nobody{n}@customer.test"), "password": "wrong"});
        let guess = post("/auth/customer/login").json(&who);
        guess
            .header("X-Forwarded-For", &format!("203.0.113.{n}"))
            .to(house.address())
            .verdict()
    };
    let trusting = "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n";
    file.write(&file.first.replacen("[server]\n", trusting, 1));
    file.until("bekci_config_generation", 2);
    for n in 0..8 {
        assert_eq!(
            guess(n),
            "401 CREDENTIAL_INVALID",
            "{n} comes from an address of its own"
        );
    }
    file.write(&file.first);
    file.until("bekci_config_generation", 3);
    for n in 8..12 {
        assert_eq!(guess(n), "401 CREDENTIAL_INVALID", "{n}");
    }
    assert_eq!(guess(12), "429 RATE_LIMITED", "nobody's word counts any more");
}

#[test]
fn the_longest_body_is_what_the_configuration_says_and_changes_with_it() {
    let house = House::new(Kind::Sqlite, 1);
    let file = File::of(&house);
    let too_long = |bytes: usize| {
        let body = json!({"email": "a@customer.test", "password": "x".repeat(bytes)});
        let answer = post("/auth/customer/login").json(&body).to(house.address());
        answer.verdict() == "413 PAYLOAD_TOO_LARGE"
    };
    assert!(!too_long(60_000), "64 KiB where nothing is said");
    assert!(too_long(66_000));
    file.write(&format!("{}\n[limits]\nbody_bytes = 2048\n", file.first));
    file.until("bekci_config_generation", 2);
    assert!(!too_long(1_500));
    assert!(too_long(2_048));
}

#[test]
fn what_changes_while_the_gateway_starts_is_taken_over() {
    let house = House::new(Kind::Postgres, 0);
    let url = house.database();
    let others = |how: &str| {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {how}");
        for _ in 0..LOOKS {
            if psql(url, &sql) == "1" {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        panic!("nobody is there by {how}");
    };
    let (told, paths) = mpsc::channel();
    std::thread::scope(|scope| {
        // Who looks at the schema waits for who holds this table.
        scope.spawn(|| {
            try_psql(
                url,
                "LOCK TABLE bekci_migrations IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(120)",
            )
        });
        others("wait_event = 'PgSleep'");
        let starting = scope.spawn(|| {
            house.node_by(|port, folder| {
                told.send(folder.path().join("bekci.toml")).unwrap();
                Service::new(BEKCI, port, folder).args(["serve"])
            })
        });
        others("wait_event_type = 'Lock'");
        // It has read its file, and does not watch it yet.
        let path = paths.try_iter().last().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}\n[limits]\nbody_bytes = 2048\n")).unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
        psql(url, end);
        let node = starting.join().unwrap();
        File::of_node(&node).until("bekci_config_generation", 2);
    });
}
