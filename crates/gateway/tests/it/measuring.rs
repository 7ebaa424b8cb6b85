//! `/metrics`: each metric is what its name says, and none has a label that a client chose.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use bekci_test_support::psql;
use serde_json::json;

use crate::{
    house::{House, Kind, Node},
    http::{ask, get, post},
    people::in_the_end,
};

const LOOKS: u32 = 3_000;
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What `/metrics` tells: each sample with its labels. Panics where the text is none of Prometheus' format.
struct Told {
    samples: BTreeMap<String, f64>,
    text: String,
}

impl Told {
    fn by(ops: SocketAddr) -> Self {
        let answer = get("/metrics").to(ops);
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body).unwrap();
        let told = Self {
            samples: parsed(&text),
            text,
        };
        told.check_histograms();
        told
    }

    /// 0 for a series that is not there yet.
    fn value(&self, series: &str) -> f64 {
        self.samples.get(series).copied().unwrap_or_default()
    }

    fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(String::as_str).collect()
    }

    /// Buckets count up, and the last one counts all.
    fn check_histograms(&self) {
        let kinds = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let histograms: Vec<&str> = kinds.filter_map(|kind| kind.strip_suffix(" histogram")).collect();
        assert!(histograms.len() >= 4, "{}", self.text);
        let mut last: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        // In the order of the text, which is that of the bounds.
        for line in self.text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let Some((name, labels)) = series.split_once("_bucket{") else {
                continue;
            };
            assert!(histograms.contains(&name), "{line}");
            let (rest, bound) = labels.strip_suffix("\"}").unwrap().rsplit_once("le=\"").unwrap();
            let rest = rest.trim_end_matches(',');
            let value: f64 = value.parse().unwrap();
            let bound = if bound == "+Inf" {
                f64::INFINITY
            } else {
                bound.parse().unwrap()
            };
            let own = if rest.is_empty() {
                name.to_owned()
            } else {
                format!("{name}{{{rest}}}")
            };
            if let Some((before, below)) = last.insert(own.clone(), (bound, value)) {
                assert!(bound > before && value >= below, "{line}");
            }
            if bound.is_infinite() {
                let (name, labels) = own
                    .split_once('{')
                    .map_or((&*own, String::new()), |(name, labels)| (name, format!("{{{labels}")));
                assert_eq!(self.value(&format!("{name}_count{labels}")), value, "{line}");
                assert!(self.samples.contains_key(&format!("{name}_sum{labels}")), "{line}");
            }
        }
    }
}

/// Reads the text format (exposition format 0.0.4): `# HELP` and `# TYPE` once before a metric's samples, names of their grammar, labels quoted, a number each.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut helped, mut typed) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, said) = help.split_once(' ').unwrap();
            assert!(helped.insert(name.to_owned()) && !said.is_empty(), "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(
                helped.contains(name) && typed.insert(name.to_owned(), kind).is_none(),
                "{line}"
            );
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let kind = typed.get(name).or_else(|| typed.get(base.unwrap_or_default()));
        assert!(is_name(name) && kind.is_some(), "{line}");
        let mut rest = labels.strip_suffix('}').unwrap();
        while !rest.is_empty() {
            let (label, value) = rest.split_once("=\"").unwrap();
            assert!(is_name(label), "{line}");
            // No label of ours needs an escape.
            let (value, after) = value.split_once('"').unwrap();
            assert!(!value.contains('\\'), "{line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        let value: f64 = value.parse().unwrap();
        assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

fn until(ops: SocketAddr, what: &str, is_so: impl Fn(&Told) -> bool) -> Told {
    for _ in 0..LOOKS {
        let told = Told::by(ops);
        if is_so(&told) {
            return told;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    panic!("never: {what}\n{}", Told::by(ops).text);
}

fn decided(guard: &str, route: &str, outcome: &str, code: &str) -> String {
    format!("bekci_decisions_total{{guard=\"{guard}\",route=\"{route}\",outcome=\"{outcome}\",code=\"{code}\"}}")
}

#[test]
fn every_decision_is_counted_whoever_asked_for_it() {
    let house = House::new(Kind::Sqlite, 1);
    let (address, ops) = (house.address(), house.nodes[0].ops);
    let admin = house.person("admin", "super-admin").sign_in(address);
    let customer = house.customer();
    let tokens = customer.sign_in(address);
    assert_eq!(tokens.verdict(address), "200");
    get("/me/x").bearer("not.a.token").to(address);
    let reader = house.person("customer", "reader").sign_in(address);
    get("/orders/x").bearer(&reader.access).to(address);
    get("/auth/customer/me").bearer(&tokens.access).to(address);
    get("/auth/customer/me").bearer(&admin.access).to(address);
    get("/admin/v1/roles?guard=customer").bearer(&admin.access).to(address);
    get("/admin/v1/roles?guard=customer").bearer(&tokens.access).to(address);
    get("/nowhere").to(address);
    get("/a/../b").to(address);
    get("/dead/x").to(address);
    get("/hasty/slow?ms=5000").to(address);
    assert_eq!(get("/public/status/503").to(address).status, 503);
    let ban = format!("/admin/v1/principals/customer/{}/status", customer.id);
    let ban = ask("PUT", &ban)
        .bearer(&admin.access)
        .json(&json!({"status": "banned"}));
    assert_eq!(ban.to(address).status, 200);
    assert_eq!(tokens.verdict(address), "403 ACCOUNT_BANNED");

    let told = Told::by(ops);
    for (guard, route, outcome, code, count) in [
        ("customer", "me", "allowed", "", 1.0),
        ("", "me", "refused", "TOKEN_INVALID", 1.0),
        ("customer", "me", "refused", "ACCOUNT_BANNED", 1.0),
        ("customer", "orders", "refused", "FORBIDDEN", 1.0),
        ("customer", "auth.customer", "allowed", "", 1.0),
        ("", "auth.customer", "refused", "GUARD_MISMATCH", 1.0),
        ("admin", "management", "allowed", "", 2.0),
        ("", "management", "refused", "GUARD_MISMATCH", 1.0),
        ("", "", "refused", "NOT_FOUND", 1.0),
        ("", "", "refused", "BAD_PATH", 1.0),
        // It was let through to a server that is dead or too slow.
        ("", "dead", "allowed", "", 0.0),
        ("", "dead", "unavailable", "UPSTREAM_UNAVAILABLE", 1.0),
        ("", "hasty", "allowed", "", 0.0),
        ("", "hasty", "unavailable", "UPSTREAM_TIMEOUT", 1.0),
        // The upstream's own fault is its answer.
        ("", "public", "allowed", "", 1.0),
    ] {
        let series = decided(guard, route, outcome, code);
        assert_eq!(told.value(&series), count, "{series}\n{}", told.text);
    }
}

/// Waits until a node has applied all that is committed.
fn until_applied(node: &Node) {
    for _ in 0..LOOKS {
        if Told::by(node.ops).value("bekci_outbox_unapplied") == 0.0 {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    panic!("the node applies nothing");
}

#[test]
fn a_decision_is_timed_under_where_its_identity_came_from() {
    let house = House::new(Kind::SqliteRedis, 2);
    let tokens = house.signed_in();
    let timed = |path: &str| format!("bekci_decision_seconds_count{{path=\"{path}\"}}");
    let loaded = |source: &str| format!("bekci_identity_loads_total{{source=\"{source}\"}}");
    let [here, there] = [&house.nodes[0], &house.nodes[1]];
    // So that what roles permit is known there, and the identity alone has to be fetched.
    let other = house.signed_in();
    // Memory keeps what this node has applied, and nothing newer.
    until_applied(there);
    assert_eq!(other.verdict(there.address), "200");
    // A node stores in Redis what it has applied, as it keeps it in memory.
    until_applied(here);
    assert_eq!(tokens.verdict(here.address), "200");
    let before = Told::by(there.ops);

    assert_eq!(tokens.verdict(there.address), "200");
    let more = |told: &Told, series: String| told.value(&series) - before.value(&series);
    let told = Told::by(there.ops);
    assert_eq!(more(&told, timed("redis")), 1.0, "{}", told.text);
    assert_eq!(more(&told, loaded("redis")), 1.0, "{}", told.text);
    assert_eq!(more(&told, loaded("database")), 0.0, "{}", told.text);
    assert_eq!(tokens.verdict(there.address), "200");
    let told = Told::by(there.ops);
    assert_eq!(more(&told, timed("l1")), 1.0, "{}", told.text);
    assert_eq!(more(&told, loaded("redis")), 1.0, "{}", told.text);

    let before = Told::by(here.ops);
    assert!(before.value(&loaded("database")) >= 1.0, "{}", before.text);
    assert_eq!(get("/direct/x").bearer(&tokens.access).to(here.address).status, 200);
    let after = Told::by(here.ops);
    assert_eq!(
        after.value(&timed("database")),
        before.value(&timed("database")) + 1.0,
        "{}",
        after.text
    );
    // Memory had it, under the label that the database has just given.
    assert_eq!(
        after.value(&loaded("database")),
        before.value(&loaded("database")),
        "{}",
        after.text
    );
}

#[test]
fn sign_ins_are_counted_by_their_result_and_what_limits_turn_away_by_the_limit() {
    let house = House::limited("{ sign_in = \"2/h\", refresh = \"2/h\" }", 1);
    let (address, ops) = (house.address(), house.nodes[0].ops);
    let customer = house.customer();
    customer.sign_in(address);
    let wrong = post("/auth/customer/login").json(&json!({"email": customer.email, "password": "wrong"}));
    let forged = post("/auth/customer/token/refresh").json(&json!({"refreshToken": "bkr_guessed"}));
    for _ in 0..3 {
        wrong.to(address);
        forged.to(address);
    }
    let told = Told::by(ops);
    let signed_in = |result: &str| {
        told.value(&format!(
            "bekci_sign_ins_total{{guard=\"customer\",way=\"password\",result=\"{result}\"}}"
        ))
    };
    assert_eq!(signed_in("SUCCESS"), 1.0, "{}", told.text);
    assert_eq!(signed_in("FAILURE_CREDENTIAL_INVALID"), 2.0, "{}", told.text);
    for limit in ["sign_in", "refresh"] {
        let series = format!("bekci_rate_limited_total{{guard=\"customer\",limit=\"{limit}\"}}");
        assert_eq!(told.value(&series), 1.0, "{series}\n{}", told.text);
    }
}

#[test]
fn a_change_is_timed_where_it_is_made_and_where_it_comes_into_force() {
    let house = House::new(Kind::Sqlite, 2);
    let [here, there] = [&house.nodes[0], &house.nodes[1]];
    let admin = house.person("admin", "super-admin").sign_in(here.address);
    let customer = house.customer();
    const LAG: &str = "bekci_revocation_lag_seconds_count";
    const BARRIER: &str = "bekci_barrier_seconds_count";
    // What was written before is in force everywhere.
    let settled = |ops| {
        until(ops, "all is applied", |told| {
            told.value("bekci_outbox_unapplied") == 0.0
        })
    };
    settled(here.ops);
    settled(there.ops);
    // Asked anew: a page that says so may have counted just before the last of it was applied.
    let (before_here, before_there) = (Told::by(here.ops), Told::by(there.ops));

    let path = format!("/admin/v1/principals/customer/{}/status", customer.id);
    let ban = ask("PUT", &path)
        .bearer(&admin.access)
        .json(&json!({"status": "banned"}));
    assert_eq!(ban.to(here.address).status, 200);
    let (after_here, after_there) = (Told::by(here.ops), Told::by(there.ops));
    assert_eq!(
        after_here.value(BARRIER),
        before_here.value(BARRIER) + 1.0,
        "{}",
        after_here.text
    );
    assert_eq!(
        after_here.value(LAG),
        before_here.value(LAG) + 1.0,
        "{}",
        after_here.text
    );
    // The barrier waited for it there, and there nobody waited.
    assert_eq!(
        after_there.value(LAG),
        before_there.value(LAG) + 1.0,
        "{}",
        after_there.text
    );
    assert_eq!(
        after_there.value(BARRIER),
        before_there.value(BARRIER),
        "{}",
        after_there.text
    );

    house.sql(&format!(
        "UPDATE customers SET status = 'active' WHERE id = {}",
        customer.id
    ));
    for (node, after) in [(here, after_here), (there, after_there)] {
        let told = until(node.ops, "a change from outside is timed", |told| {
            told.value(LAG) > after.value(LAG)
        });
        assert_eq!(told.value(LAG), after.value(LAG) + 1.0, "{}", told.text);
    }
}

#[test]
fn what_a_node_has_not_applied_is_told_as_long_as_it_is_so() {
    let house = House::new(Kind::Postgres, 1);
    let ops = house.nodes[0].ops;
    until(ops, "all is applied", |told| {
        told.value("bekci_outbox_unapplied") == 0.0
    });
    house.sql("CREATE TABLE let_go (id int)");
    let database = house.database();
    std::thread::scope(|scope| {
        // Whoever has the commit lock hinders every other from giving positions.
        let holder = scope.spawn(|| {
            psql(
                database,
                "BEGIN; SELECT pg_advisory_xact_lock(7306365843041087337); \
                 DO $$ BEGIN FOR n IN 1..6000 LOOP EXIT WHEN EXISTS (SELECT 1 FROM let_go); PERFORM pg_sleep(0.01); END LOOP; END $$; COMMIT",
            )
        });
        let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted \
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        for _ in 0..LOOKS {
            if house.sql(held) != "0" {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        house.sql("UPDATE customers SET status = 'banned'");
        let told = Told::by(ops);
        let waiting = told.value("bekci_outbox_unapplied");
        house.sql("INSERT INTO let_go VALUES (1)");
        holder.join().unwrap();
        assert!(waiting >= 1.0, "{}", told.text);
    });
    until(ops, "it is applied", |told| told.value("bekci_outbox_unapplied") == 0.0);
}

#[test]
fn upstreams_are_timed_by_their_server_and_status_and_dead_ones_too() {
    let house = House::new(Kind::Sqlite, 1);
    let (address, ops) = (house.address(), house.nodes[0].ops);
    assert_eq!(get("/public/status/503").to(address).status, 503);
    assert_eq!(get("/public/x").to(address).status, 200);
    assert_eq!(get("/dead/x").to(address).verdict(), "502 UPSTREAM_UNAVAILABLE");
    assert_eq!(
        get("/hasty/slow?ms=60000").to(address).verdict(),
        "504 UPSTREAM_TIMEOUT"
    );
    let told = Told::by(ops);
    let echo = crate::echo::Echo::shared().address;
    for status in ["503", "200", "504"] {
        let series = format!("bekci_upstream_seconds_count{{upstream=\"{echo}\",status=\"{status}\"}}");
        assert_eq!(told.value(&series), 1.0, "{series}\n{}", told.text);
    }
    let is_of_the_dead =
        |series: &&str| series.starts_with("bekci_upstream_seconds_count") && series.ends_with(",status=\"502\"}");
    let dead: Vec<&str> = told.names().into_iter().filter(is_of_the_dead).collect();
    assert_eq!(dead.len(), 1, "{}", told.text);
    assert!(told.value(dead[0]) >= 1.0, "{}", told.text);
}

#[test]
fn a_thousand_odd_requests_make_no_new_series() {
    let house = House::new(Kind::Sqlite, 1);
    let (address, ops) = (house.address(), house.nodes[0].ops);
    let tokens = house.signed_in();
    let odd = |number: u32| {
        let name = format!("odd{number}");
        let login = json!({"email": format!("{name}@customer.test"), "password": name});
        vec![
            get(&format!("/{name}")),
            get(&format!("/me/{name}?{name}={name}")).bearer(&tokens.access),
            get(&format!("/me/{name}")).bearer(&name),
            get("/me/x").at_host(&format!("{name}.test")).bearer(&tokens.access),
            ask(&name.to_uppercase(), "/me/x"),
            get(&format!("/auth/{name}/me")),
            get(&format!("/auth/customer/{name}")),
            get(&format!("/admin/v1/{name}")),
            get("/public/x").header("x-tenant", &name).header("x-auth-guard", &name),
            // Hashing takes long: one in ten is enough.
            if number.is_multiple_of(10) {
                post("/auth/customer/login").json(&login)
            } else {
                post(&format!("/auth/customer/{name}")).json(&login)
            },
        ]
    };
    for request in odd(0) {
        request.to(address);
    }
    let before = Told::by(ops);
    let sent: usize = (1..=100)
        .map(|number| {
            odd(number)
                .iter()
                .map(|request| request.to(address).status)
                .filter(|status| *status > 0)
                .count()
        })
        .sum();
    assert_eq!(sent, 1_000);
    let after = Told::by(ops);
    assert_eq!(after.names(), before.names());
    assert!(
        after.value(&decided("", "", "refused", "NOT_FOUND")) > 100.0,
        "{}",
        after.text
    );
    for hidden in ["odd", "ODD", "@", "customer:", &tokens.session, &tokens.access] {
        assert!(!after.text.contains(hidden), "{hidden}\n{}", after.text);
    }
    for label in after.text.split('"').skip(1).step_by(2) {
        assert!(!label.contains('/'), "a path: {label}");
    }
    in_the_end(&get("/me/x").bearer(&tokens.access), address, "200");
}
