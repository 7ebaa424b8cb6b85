//! What clients choose makes a gateway keep nothing: neither its memory nor Redis grows with the number of requests.
//!
//! Each request brings something that was never there before: tokens of all kinds of badness, sessions and accounts that do not exist under good signatures, paths, hosts,
//! methods, trace ids, cookies, refresh tokens and e-mail addresses, and an address of its own behind a proxy.

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_test_support::{Chance, rounds};
use serde_json::json;

use crate::{
    forge::{changed, read},
    house::{House, Kind},
    http::{Ask, Wire, ask, get, post},
    people::Tokens,
};

const CALLERS: usize = 4;
/// The first ones fill what is bounded, and the allocator's own room.
const WARM: usize = 2_000;
/// One request of so many has a signature that a stranger could not make, or costs a password's hash.
const SELDOM: usize = 100;

/// How much memory a gateway may have gained by the end, in a short run and in a long one. What is remembered of good tokens, decisions and limits is bounded; see the
/// modules that keep it.
const MOST_KIB: [usize; 2] = [12 * 1024, 50 * 1024];

fn resident_kib(house: &House) -> usize {
    let pid = house.nodes[0].server.pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn hex(chance: &mut Chance) -> String {
    chance.bytes::<16>().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Header and claims of a good token, another key's id, a signature of nothing.
fn signed_by_nobody(chance: &mut Chance, good: &Tokens) -> String {
    let (mut header, mut claims) = read(&good.access);
    header["kid"] = json!(hex(chance));
    claims["jti"] = json!(hex(chance));
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = URL_SAFE_NO_PAD.encode(chance.bytes::<64>());
    format!("{}.{}.{signature}", part(&header), part(&claims))
}

fn badly_signed(chance: &mut Chance, good: &Tokens) -> String {
    let (text, _) = good.access.rsplit_once('.').unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(chance.bytes::<64>()))
}

/// Something new, and what may be said to it.
fn something_new(house: &House, good: &Tokens, chance: &mut Chance) -> (Ask, &'static [u16]) {
    let new = hex(chance);
    let (me, api) = (format!("/me/{new}"), format!("/api/{new}"));
    let forged = |claims: serde_json::Value| changed(house, "customer", &good.access, &claims);
    let refused: &[u16] = &[401];
    match chance.below(8) {
        _ if chance.once_in(SELDOM) => match chance.below(3) {
            0 => (get(&me).bearer(&forged(json!({"sid": new, "jti": new}))), refused),
            1 => {
                let sub = format!("customer:{}", chance.below(1 << 40));
                (get(&me).bearer(&forged(json!({"sub": sub, "jti": new}))), refused)
            }
            _ => {
                let body = json!({"email": format!("{new}@nobody.test"), "password": new});
                // 429: too many hashes at once.
                (post("/auth/customer/login").json(&body), &[401, 429])
            }
        },
        0 => (get(&me).bearer(&new), refused),
        1 => (get(&me).bearer(&signed_by_nobody(chance, good)), refused),
        2 => (get(&me).bearer(&badly_signed(chance, good)), refused),
        3 => (get(&api).bearer(&good.access), &[403]),
        4 => {
            let body = json!({"refreshToken": format!("bkr_{new}{new}")});
            (post("/auth/customer/token/refresh").json(&body), refused)
        }
        5 => (post(&format!("/auth/{new}/login")).json(&json!({})), &[404]),
        6 => (
            ask(&new.to_ascii_uppercase(), &format!("/public/{new}")).at_host(&new),
            &[501],
        ),
        _ => (
            get(&me).header("cookie", &format!("{new}={new}; bekci_customer_at={new}")),
            refused,
        ),
    }
}

fn call(house: &House, good: &Tokens, seed: usize, count: usize) {
    let mut chance = Chance::new(seed as u64);
    let mut wire = Wire::open(house.address());
    for _ in 0..count {
        let (ask, expected) = something_new(house, good, &mut chance);
        let [a, b, c] = chance.bytes::<3>();
        let ask = ask
            .header("x-forwarded-for", &format!("10.{a}.{b}.{c}"))
            .header("x-request-id", &hex(&mut chance))
            .header("traceparent", &format!("00-{}-b7ad6b7169203331-01", hex(&mut chance)))
            .header("user-agent", &hex(&mut chance));
        let answer = ask.on(&mut wire);
        assert!(
            expected.contains(&answer.status),
            "{} instead of {expected:?}: {answer:?}",
            answer.status
        );
        if answer.header("connection") == Some("close") {
            wire = Wire::open(house.address());
        }
    }
}

fn call_at_once(house: &House, good: &Tokens, seed: usize, count: usize) {
    std::thread::scope(|scope| {
        for at in 0..CALLERS {
            scope.spawn(move || call(house, good, seed + at, count / CALLERS));
        }
    });
}

fn stays_small(kind: Kind, requests: usize) -> House {
    let house = House::behind_a_proxy(kind);
    let customer = house.customer();
    let mut seed = 1;
    let mut done = 0;
    let mut before = None;
    while done < requests {
        // A good token lives for a quarter of an hour.
        let good = customer.sign_in(house.address());
        let count = if done < WARM {
            WARM
        } else {
            (requests - done).min(50_000)
        };
        call_at_once(&house, &good, seed, count);
        (seed, done) = (seed + CALLERS, done + count);
        before.get_or_insert_with(|| resident_kib(&house));
    }
    let (before, after) = (before.unwrap(), resident_kib(&house));
    assert!(
        after < before + rounds(MOST_KIB[0], MOST_KIB[1]),
        "from {before} KiB to {after} KiB by {done} requests"
    );
    house
}

#[test]
fn a_flood_of_what_was_never_there_makes_the_process_no_larger() {
    stays_small(Kind::Sqlite, rounds(20_000, 1_000_000));
}

#[test]
fn a_flood_of_what_was_never_there_leaves_nothing_in_redis_for_good() {
    let requests = rounds(6_000, 1_000_000);
    let house = stays_small(Kind::SqliteRedis, requests);
    let redis = house.redis.as_ref().unwrap();
    let count: usize = redis.cli(&["DBSIZE"]).parse().unwrap();
    let without_end = "local n = 0 for _, key in ipairs(redis.call('KEYS', '*')) do if redis.call('PTTL', key) < 0 then n = n + 1 end end return n";
    assert_eq!(redis.cli(&["EVAL", without_end, "0"]), "0");
    // Refused refreshes and sign-ins, each by address and by name, for a minute; nothing else that came.
    assert!(count < requests / 3, "{count} keys");
}
