//! Policy lines that say more than they seem to, and a policy that changes under those who ask it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bekci_test_support::rounds;
use serde_json::json;

use crate::{
    http::{Wire, ask, get},
    office::{Ground, Office},
};

/// How often a line comes and goes: 100 loads of the policy on each node in all, and ten times as many in a long run.
const CHANGES: [usize; 2] = [50, 500];

#[test]
fn no_line_brings_a_second_one_and_no_pattern_breaks_what_decides() {
    let office = Office::shared(Ground::Sqlite);
    let desk = office.desk();
    let (id, token) = desk.person("customer", &["buyer"]);
    let listed = || {
        let answer = get("/admin/v1/policies?limit=100")
            .bearer(&desk.root)
            .to(office.addresses()[0]);
        assert_eq!(answer.verdict(), "200");
        let items = answer.json()["data"]["items"].clone();
        let lines = items.as_array().unwrap().iter().map(|item| item["line"].to_string());
        // Other tests add lines for accounts of their own.
        let ours: Vec<String> = lines
            .filter(|line| !line.contains("principal:") || line.contains(&id))
            .collect();
        ours
    };
    let before = listed();
    let mine = format!("principal:customer:{id}");
    let open = format!("p, {mine}, *, /**, *, allow");
    let long = "a".repeat(1 << 20);
    let mut lines = vec![
        format!("p, {mine}, *, /api/x, GET, allow\n{open}"),
        format!("p, {mine}, *, /api/x, GET, allow\r\n{open}"),
        format!("p, {mine}, *, \"/api/x\n\", GET, allow"),
        format!("p, {mine}, *, /api/x, GET, allow\u{0}"),
        format!("p, \"{mine}, *, /**, *, allow"),
        format!("p, {mine}, *, /api/x, GET, allow, allow"),
        format!("p, {mine}, *, /api/x, GET"),
        format!("p, {mine}, *, /api/x, GET, Allow"),
        format!("p2, {mine}, *, /api/x, GET, allow"),
        format!("g, *, {mine}"),
        "g, role:customer:buyer, principal:admin:1".to_owned(),
        "p, *, *, /**, *, allow".to_owned(),
        "p, customer:1, *, /**, *, allow".to_owned(),
        String::new(),
    ];
    for methods in [
        "[",
        "(?",
        "(",
        "*|GET",
        ")|(",
        "GET)|(?:.*",
        "(?:a{1000}){1000}",
        "\\",
        "(?P<x>",
        &long,
    ] {
        lines.push(format!("p, {mine}, *, /api/x, {methods}, allow"));
    }
    for path in [
        "[",
        "(?",
        "*",
        "/api/(",
        "/api/../**",
        "/api/%2e%2e/x",
        "/api//x",
        "/api/x|/**",
        "api/x",
        &long,
    ] {
        lines.push(format!("p, {mine}, *, {path}, GET, allow"));
    }
    for (at, line) in lines.iter().enumerate() {
        let call = ask("POST", "/admin/v1/policies").bearer(&desk.root);
        let answer = call.json(&json!({"lines": [line]})).to(office.addresses()[at % 2]);
        assert!(
            matches!(&*answer.verdict(), "422 VALIDATION_FAILED" | "413 PAYLOAD_TOO_LARGE"),
            "{:?}: {}",
            line.get(..80).unwrap_or(line),
            answer.verdict()
        );
    }
    for name in ["a, b\np, mallory, *, *", "a\rb", "a,b", "*", "role:x", "a\u{0}"] {
        let call = ask("POST", "/admin/v1/roles").bearer(&desk.root);
        let answer = call
            .json(&json!({"guard": "customer", "name": name}))
            .to(office.addresses()[0]);
        assert_eq!(answer.verdict(), "422 VALIDATION_FAILED", "{name:?}");
    }
    assert_eq!(listed(), before);
    for (path, wanted) in [
        ("/api/orders/7", "200"),
        ("/api/x", "403 POLICY_DENIED"),
        ("/back-office/x", "401 GUARD_MISMATCH"),
    ] {
        for answer in desk.say(0, path, &token) {
            assert_eq!(answer.verdict(), wanted, "{path}");
        }
    }
}

#[test]
fn a_line_opens_its_own_paths_and_none_that_is_spelt_beside_it() {
    let office = Office::shared(Ground::Sqlite);
    let desk = office.desk();
    let (id, token) = desk.person("customer", &[]);
    let mine = format!("p, principal:customer:{id}, *");
    let lines = json!({"lines": [
        format!("{mine}, /api/open/**, GET, allow"),
        format!("{mine}, /api/items/:id, GET|PUT, allow"),
    ]});
    desk.manage(0, "POST /policies", &lines);
    for (method, target, wanted) in [
        ("GET", "/api/open/x", "200"),
        ("GET", "/api/open/x/y", "200"),
        ("GET", "/api/items/1", "200"),
        ("PUT", "/api/items/1", "200"),
        ("GET", "/api/items/1?x=/../../orders/7", "200"),
        ("GET", "/api/open/../orders/7", "400 BAD_PATH"),
        ("GET", "/api/open/%2e%2e/orders/7", "400 BAD_PATH"),
        ("GET", "/api/open/..%2forders/7", "400 BAD_PATH"),
        ("GET", "/api/open/%252e%252e/orders/7", "400 BAD_PATH"),
        ("GET", "/api/items/1%2fadmin", "400 BAD_PATH"),
        ("GET", "/api/items/1/admin", "403 POLICY_DENIED"),
        ("GET", "/api/items/", "403 POLICY_DENIED"),
        ("GET", "/api/items/1/../../orders", "400 BAD_PATH"),
        ("GET", "/api/x/api/items/1", "403 POLICY_DENIED"),
        ("GET", "/api/openx", "403 POLICY_DENIED"),
        ("GET", "/api/OPEN/x", "403 POLICY_DENIED"),
        ("GET", "/api/items/1;x", "400 BAD_PATH"),
        ("POST", "/api/items/1", "403 POLICY_DENIED"),
        ("PATCH", "/api/items/1", "403 POLICY_DENIED"),
        ("OPTIONS", "/api/open/x", "403 POLICY_DENIED"),
    ] {
        for address in office.addresses() {
            let answer = ask(method, target).bearer(&token).to(address);
            assert_eq!(answer.verdict(), wanted, "{method} {target}");
            if answer.status == 200 {
                let seen = answer.json()["path"].as_str().unwrap().to_owned();
                assert!(target.starts_with(&*seen), "{target} was {seen}");
            }
        }
    }
    desk.manage(1, "DELETE /policies", &lines);
    for answer in desk.say(1, "/api/open/x", &token) {
        assert_eq!(answer.verdict(), "403 POLICY_DENIED");
    }
}

#[test]
fn while_the_policy_changes_each_answer_is_of_one_whole_policy() {
    let office = Office::shared(Ground::PostgresRedis);
    let desk = office.desk();
    let (id, token) = desk.person("customer", &["buyer"]);
    let path = format!("/api/changing/{id}");
    let lines = json!({"lines": [format!("p, principal:customer:{id}, *, {path}, GET, allow")]});
    let (ended, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    // One line that stands all the time, one that never does, and the one that comes and goes.
    let load = |at: usize| {
        let mut wires = office.addresses().map(Wire::open);
        while !ended.load(Ordering::Relaxed) {
            for wire in &mut wires {
                let mut say = |target: &str| get(target).bearer(&token).on(wire).verdict();
                assert_eq!(say("/api/orders/7"), "200", "{at}");
                assert_eq!(say("/api/invoices/7"), "403 POLICY_DENIED", "{at}");
                let changing = say(&path);
                assert!(matches!(&*changing, "200" | "403 POLICY_DENIED"), "{at}: {changing}");
                asked.fetch_add(3, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        let loaders: Vec<_> = (0..3).map(|at| scope.spawn(move || load(at))).collect();
        let changes = scope.spawn(|| {
            for round in 0..rounds(CHANGES[0], CHANGES[1]) {
                let node = round % 2;
                for (call, wanted) in [("POST /policies", "200"), ("DELETE /policies", "403 POLICY_DENIED")] {
                    desk.manage(node, call, &lines);
                    for answer in desk.say(node, &path, &token) {
                        assert_eq!(answer.verdict(), wanted, "{round} {call}");
                    }
                }
            }
        });
        // Whether or not they went well, or those who ask would go on for ever.
        let changed = changes.join();
        ended.store(true, Ordering::Relaxed);
        changed.unwrap();
        for loader in loaders {
            loader.join().unwrap();
        }
    });
    assert!(asked.load(Ordering::Relaxed) > 100);
}
