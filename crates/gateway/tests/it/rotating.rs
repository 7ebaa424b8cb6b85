//! Signing keys that change while requests and refreshes are under way.

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;

use crate::{
    forge,
    house::{House, Kind, Ran, run},
    http::get,
    people::Tokens,
    reloading::{Ending, File, LOOK_EVERY, LOOKS},
};

/// The id of the key that signed a token.
fn kid(tokens: &Tokens) -> String {
    forge::read(&tokens.access).0["kid"].as_str().unwrap().to_owned()
}

/// Looks again and again until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if is_so() {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    panic!("never: {what}");
}

/// The commands about the keys of a house.
struct Keys {
    config: PathBuf,
    folder: PathBuf,
}

impl Keys {
    /// Of a house whose nodes have been told to sign with a new key after so many seconds.
    fn of(house: &House, activate_after: u32) -> Self {
        for node in &house.nodes {
            let file = File::of_node(node);
            let token = format!("[token]\nactivate_after_seconds = {activate_after}\n");
            file.write(&file.first.replace("[token]\n", &token));
            file.until("bekci_config_generation", 2);
        }
        let file = File::of_node(&house.nodes[0]);
        let named = file.first.lines().find_map(|line| line.strip_prefix("keys_dir = "));
        Self {
            config: file.path,
            folder: named.unwrap().trim_matches('"').into(),
        }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(&self.config, &[&["key", "--output", "json"], arguments].concat(), "")
    }

    fn told(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).success().out).unwrap()
    }

    /// Makes the next key, and gives its id.
    fn rotate(&self) -> String {
        let told = self.told(&["rotate", "--guard", "customer"]);
        told["made"][0]["kid"].as_str().unwrap().to_owned()
    }

    /// What each key of the customers does, oldest first.
    fn list(&self) -> Vec<(String, String)> {
        let told = self.told(&["list", "--guard", "customer"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let keys = told["keys"].as_array().unwrap().iter();
        keys.map(|key| (text(&key["kid"]), text(&key["status"]))).collect()
    }

    fn refused(&self, kid: &str, why: &str) {
        let ran = self.run(&["retire", kid]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(why), "{ran:?}");
    }

    /// Makes a key older, as if the tokens of the one before had run out since.
    fn age(&self, kid: &str, created: &str) {
        let path: &Path = &self.folder.join("customer").join(format!("{kid}.pem"));
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find(|line| line.starts_with("Created:")).unwrap();
        let next = path.with_extension("tmp");
        std::fs::copy(path, &next).unwrap();
        std::fs::write(&next, text.replace(line, &format!("Created: {created}"))).unwrap();
        std::fs::rename(next, path).unwrap();
    }
}

/// Asks and refreshes on all nodes until it is told to stop; nothing may be refused. Notes by which key the newest token was signed.
fn load(house: &House, stop: &AtomicBool, newest: &Mutex<String>) {
    let mut tokens = house.signed_in();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let node = house.nodes[number % house.nodes.len()].address;
        for other in &house.nodes {
            assert_eq!(tokens.verdict(other.address), "200", "by key {}", kid(&tokens));
        }
        tokens = Tokens::of("customer", &tokens.refresh().to(node));
        *newest.lock().unwrap() = kid(&tokens);
        number += 1;
    }
}

#[test]
fn keys_rotate_and_are_retired_under_load_and_no_request_and_no_refresh_is_refused() {
    let house = House::new(Kind::PostgresRedis, 2);
    let keys = Keys::of(&house, 4);
    let stop = AtomicBool::new(false);
    let newest: Vec<Mutex<String>> = (0..3).map(|_| Mutex::default()).collect();
    let first = house.signed_in();
    let old = kid(&first);
    std::thread::scope(|scope| {
        let _ending = Ending(&stop);
        for newest in &newest {
            let (house, stop) = (&house, &stop);
            scope.spawn(move || load(house, stop, newest));
        }
        let all_sign_with = |kid: &str| newest.iter().all(|newest| *newest.lock().unwrap() == kid);
        until("requests are made", || all_sign_with(&old));

        let next = keys.rotate();
        for node in &house.nodes {
            until("it is published", || {
                let set = get("/.well-known/jwks.json").to(node.address).json();
                set["keys"].as_array().unwrap().iter().any(|key| key["kid"] == *next)
            });
        }
        assert_eq!(keys.list().len(), 2);
        until("it signs", || all_sign_with(&next));
        let told = keys.list();
        assert_eq!(
            told,
            [(old.clone(), "verifies".to_owned()), (next.clone(), "signs".to_owned())]
        );
        keys.refused(&next, "bekci key rotate");
        keys.refused(&old, "can be good until");
        for node in &house.nodes {
            assert_eq!(first.verdict(node.address), "200", "the one before verifies");
        }

        keys.age(&next, "2020-01-02T00:00:00Z");
        assert_eq!(keys.told(&["retire", &old])["retired"], true);
        for node in &house.nodes {
            until("the old key is gone", || {
                first.verdict(node.address).starts_with("401 ")
            });
        }
        assert_eq!(keys.list(), [(next.clone(), "signs".to_owned())]);
        keys.refused(&next, "the only key");
    });
    assert_eq!(
        first.refresh().to(house.address()).verdict(),
        "200",
        "a session outlives its key"
    );
}

#[test]
fn a_key_that_others_may_have_is_replaced_at_once_by_force() {
    let house = House::new(Kind::Sqlite, 1);
    let keys = Keys::of(&house, 3_600);
    let tokens = house.signed_in();
    let stolen = kid(&tokens);
    let next = keys.rotate();
    let waits = keys.list();
    assert_eq!(waits[1], (next.clone(), "waits".to_owned()));
    keys.refused(&stolen, "--force");
    keys.told(&["retire", &stolen, "--force"]);
    until("its tokens are refused", || {
        tokens.verdict(house.address()).starts_with("401 ")
    });
    let refreshed = Tokens::of("customer", &tokens.refresh().to(house.address()));
    assert_eq!(kid(&refreshed), next, "it signs though its time has not come");
    assert_eq!(refreshed.verdict(house.address()), "200");
}

#[test]
fn a_key_that_is_not_there_and_a_guard_that_is_not_there_are_refused() {
    let house = House::new(Kind::Sqlite, 1);
    let keys = Keys::of(&house, 61);
    keys.refused("0123456789abcdef", "no guard has a key");
    let ran = keys.run(&["rotate", "--guard", "nobody"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("nobody"), "{ran:?}");
    assert_eq!(keys.run(&["retire", "../root"]).code, Some(2));
}
