//! Refused sign-ins are counted by all nodes together, and nobody signs in where they cannot be counted.

use serde_json::json;

use crate::{
    house::House,
    http::{Ask, post},
    people::{Person, Tokens, in_the_end},
};

const LIMITS: &str = "{ sign_in = \"4/h\", refresh = \"5/h\" }";
const LIMITED: &str = "429 RATE_LIMITED";

fn wrong(email: &str) -> Ask {
    post("/auth/customer/login").json(&json!({"email": email, "password": "wrong"}))
}

fn right(person: &Person) -> Ask {
    person.login(&json!({}))
}

#[test]
fn two_nodes_share_the_count_of_refusals_and_forged_addresses_do_not_part_it() {
    let house = House::limited(LIMITS, 2);
    let (here, there) = (house.nodes[0].address, house.nodes[1].address);
    let person = house.customer();
    for _ in 0..6 {
        assert_eq!(right(&person).to(here).verdict(), "200", "a success never counts");
    }
    let tokens = person.sign_in(there);
    for (n, node) in [here, there, here, there].into_iter().enumerate() {
        let forged = wrong(&person.email).header("X-Forwarded-For", &format!("203.0.113.{n}"));
        assert_eq!(forged.to(node).verdict(), "401 CREDENTIAL_INVALID", "{n}");
    }
    for node in [here, there] {
        let answer = right(&person).header("X-Forwarded-For", "203.0.113.99").to(node);
        assert_eq!(answer.verdict(), LIMITED);
        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=3_600).contains(&wait), "{wait}");
        assert_eq!(wrong("nobody@customer.test").to(node).verdict(), LIMITED);
    }
    // Who is signed in is not touched by it.
    assert_eq!(tokens.verdict(here), "200");
    assert_eq!(tokens.refresh().to(here).verdict(), "200");

    let forged = post("/auth/customer/token/refresh").json(&json!({"refreshToken": "bkr_guessed"}));
    for node in [here, there, here, there, here] {
        assert_eq!(forged.to(node).verdict(), "401 REFRESH_TOKEN_INVALID");
    }
    assert_eq!(forged.to(there).verdict(), LIMITED);

    let keys = house.redis.as_ref().unwrap().cli(&["KEYS", "*@limit*"]);
    assert_eq!(keys.lines().count(), 4, "{keys}");
    for hidden in [person.email.as_str(), "someone", "127.0.0.1", "203.0.113"] {
        assert!(!keys.contains(hidden), "{hidden}\n{keys}");
    }
}

#[test]
fn without_redis_nobody_signs_in_and_sessions_go_on() {
    let house = House::limited(LIMITS, 1);
    let address = house.address();
    let person = house.customer();
    let tokens: Tokens = person.sign_in(address);
    let redis = house.redis.as_ref().unwrap();
    redis.stop();
    let answer = in_the_end(&right(&person), address, "503 STORE_UNAVAILABLE");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(wrong(&person.email).to(address).verdict(), "503 STORE_UNAVAILABLE");
    assert_eq!(tokens.verdict(address), "200");
    assert_eq!(tokens.refresh().to(address).verdict(), "200");
    redis.restart();
    in_the_end(&right(&person), address, "200");
}
