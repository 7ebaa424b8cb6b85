//! A log that nobody takes: a full disk, a pipe without a reader, a pipe whose reader stands still.

use std::{
    fs::File,
    io::Read,
    process::Command,
    sync::{Arc, Mutex},
};

use bekci_test_support::{TempDir, find_program};
use serde_json::{Value, json};

use crate::{
    house::{House, Kind, Node},
    http::{Ask, Wire, ask, get},
};

const REQUESTS: usize = 1_200;
const LOOKS: u32 = 3_000;

/// A pipe with a name, and an end of it that keeps it open.
struct Pipe {
    folder: TempDir,
    end: File,
}

impl Pipe {
    fn new() -> Self {
        let folder = TempDir::new("pipe");
        let path = folder.path().join("log");
        let made = Command::new(find_program("mkfifo").unwrap()).arg(&path).status();
        assert!(made.unwrap().success());
        // For both, so that opening waits for nobody.
        let end = File::options().read(true).write(true).open(&path).unwrap();
        Self { folder, end }
    }

    fn path(&self) -> String {
        self.folder.path().join("log").display().to_string()
    }
}

/// Many requests, each with a long line in the log, then a sign-in.
fn is_served(house: &House, node: &Node) {
    let long = format!("/public/{}", "l".repeat(4_000));
    let mut wires = [Wire::open(node.address), Wire::open(node.address)];
    for at in 0..REQUESTS {
        let answer = get(&long).on(&mut wires[at % 2]);
        assert_eq!(answer.verdict(), "200", "{at}");
    }
    let tokens = house.customer().sign_in(node.address);
    assert_eq!(tokens.verdict(node.address), "200");
    assert_eq!(get("/readyz").to(node.ops).status, 200);
}

/// Calls of the management API that would change something, each as whoever may do anything.
fn changes(house: &House, of: &str) -> Vec<Ask> {
    let root = house.person("admin", "super-admin").sign_in(house.address());
    let call = |method: &str, path: &str, body: &Value| {
        ask(method, &format!("/admin/v1{path}")).bearer(&root.access).json(body)
    };
    vec![
        call(
            "PUT",
            &format!("/principals/customer/{of}/status"),
            &json!({"status": "banned"}),
        ),
        call(
            "PUT",
            &format!("/principals/customer/{of}/roles"),
            &json!({"guard": "customer", "roles": []}),
        ),
        call(
            "PATCH",
            &format!("/principals/customer/{of}"),
            &json!({"name": "Somebody Else"}),
        ),
        call("DELETE", &format!("/principals/customer/{of}/sessions"), &json!({})),
        call(
            "POST",
            "/roles",
            &json!({"guard": "customer", "name": "unseen", "permissions": []}),
        ),
        call("DELETE", &format!("/principals/customer/{of}"), &json!({})),
    ]
}

/// All that the database has of a customer, and the role that nobody may have made.
fn state(house: &House, of: &str) -> String {
    let queries = [
        format!("SELECT name || status FROM customers WHERE id = {of}"),
        format!("SELECT count(*) FROM bekci_principal_roles WHERE model = 'customer' AND id = '{of}'"),
        format!("SELECT count(*) FROM bekci_bans WHERE model = 'customer' AND id = '{of}'"),
        format!(
            "SELECT count(*) FROM bekci_sessions WHERE principal_id = '{of}' AND model = 'customer' AND ended_at IS NULL"
        ),
        "SELECT count(*) FROM bekci_roles WHERE name = 'unseen'".to_owned(),
    ];
    queries.map(|query| house.sql(&query)).join(",")
}

fn lost(node: &Node) -> u64 {
    let told = String::from_utf8(get("/metrics").to(node.ops).body).unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix("bekci_log_lost_total "));
    line.unwrap().parse().unwrap()
}

fn until_lost(node: &Node, least: u64) {
    for _ in 0..LOOKS {
        if lost(node) >= least {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{} lines are lost, not {least}", lost(node));
}

#[test]
fn a_full_disk_or_a_pipe_without_a_reader_stops_no_request_and_is_counted() {
    let house = House::new(Kind::Sqlite, 0);
    let node = house.node_logging_to("/dev/full");
    is_served(&house, &node);
    until_lost(&node, REQUESTS as u64);

    let pipe = Pipe::new();
    let node = house.node_logging_to(&pipe.path());
    drop(pipe.end);
    is_served(&house, &node);
    until_lost(&node, REQUESTS as u64);
}

#[test]
fn a_pipe_whose_reader_stands_still_stops_no_request_and_what_was_lost_is_told_when_it_reads_again() {
    let house = House::new(Kind::Sqlite, 0);
    let mut pipe = Pipe::new();
    let node = house.node_logging_to(&pipe.path());
    is_served(&house, &node);
    until_lost(&node, 1);

    let read = Arc::<Mutex<String>>::default();
    let log = Arc::clone(&read);
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count) = pipe.end.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..count]);
            log.lock().unwrap().push_str(&text);
        }
    });
    for _ in 0..LOOKS {
        let log = read.lock().unwrap().clone();
        if log.contains("event=\"log.lost\"") {
            assert!(
                log.contains("sign_in.attempt"),
                "events that are not of a request had room"
            );
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("nothing tells that lines were lost");
}

#[test]
fn while_the_log_is_not_taken_the_management_api_changes_nothing_and_all_else_goes_on() {
    let house = House::new(Kind::Sqlite, 1);
    let person = house.customer();
    let tokens = person.sign_in(house.address());
    let before = state(&house, &person.id);
    let asked = changes(&house, &person.id);

    let node = house.node_logging_to("/dev/full");
    until_lost(&node, 1);
    for ask in &asked {
        assert_eq!(ask.to(node.address).verdict(), "503 STORE_UNAVAILABLE", "{ask:?}");
        assert_eq!(state(&house, &person.id), before, "nothing is half done: {ask:?}");
    }
    let who = house.person("admin", "super-admin").sign_in(node.address);
    let looks = get(&format!("/admin/v1/principals/customer/{}", person.id)).bearer(&who.access);
    assert_eq!(
        looks.to(node.address).verdict(),
        "200",
        "who only looks changes nothing"
    );
    let nobody = ask("DELETE", &format!("/admin/v1/principals/customer/{}", person.id)).bearer(&tokens.access);
    assert_eq!(
        nobody.to(node.address).verdict(),
        "401 GUARD_MISMATCH",
        "and is told nothing of it"
    );
    assert_eq!(tokens.verdict(node.address), "200");
    is_served(&house, &node);

    // The same calls do it where the log is taken.
    for ask in &asked {
        let verdict = ask.to(house.address()).verdict();
        assert!(verdict.starts_with("20"), "{verdict}: {ask:?}");
    }
    assert_ne!(state(&house, &person.id), before);
}
