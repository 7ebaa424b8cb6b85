//! What a gateway says of a Redis that is down, or that cannot do what it is used for.

use bekci_test_support::Redis;
use serde_json::Value;

use crate::{
    house::{House, Kind},
    http::get,
};

const DOCTOR: [&str; 3] = ["doctor", "--output", "json"];

fn ready(house: &House) -> (u16, Value) {
    let answer = get("/readyz").to(house.nodes[0].ops);
    (answer.status, answer.json())
}

#[test]
fn a_redis_that_is_down_is_named_with_what_is_closed_and_takes_no_node_out() {
    let house = House::new(Kind::SqliteRedis, 1);
    let (status, told) = ready(&house);
    assert_eq!((status, &told["checks"]["redis"]), (200, &"ok".into()), "{told}");
    let tokens = house.person("customer", "buyer").sign_in(house.address());
    house.redis.as_ref().unwrap().stop();
    let (status, told) = ready(&house);
    assert_eq!(
        (status, &told["degraded"]),
        (200, &serde_json::json!(["redis"])),
        "{told}"
    );
    let said = told["checks"]["redis"].as_str().unwrap();
    assert!(
        said.contains("does not answer") && said.contains("sign-in by password answers 503"),
        "{said}"
    );
    assert_eq!(get("/me/x").bearer(&tokens.access).to(house.address()).status, 200);
    house.redis.as_ref().unwrap().restart();
    let (_, told) = ready(&house);
    assert_eq!(told["checks"]["redis"], "ok", "{told}");
}

#[test]
fn a_redis_that_refuses_what_is_needed_is_named_by_the_start_doctor_and_readyz() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all"]);
    let house = House::on(None, Some(redis), 1);
    let redis = house.redis.as_ref().unwrap();
    redis.cli(&["ACL", "SETUSER", "default", "-evalsha"]);
    let (status, told) = ready(&house);
    let said = told["checks"]["redis"].as_str().unwrap();
    assert!(status == 200 && said.contains("Redis refuses EVALSHA"), "{told}");
    let ran = house.command(&DOCTOR, "");
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let found = told["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["check"] == "redis")
        .unwrap();
    assert_eq!(found["state"], "failed", "{found}");
    let advice = found["advice"].as_str().unwrap();
    assert!(
        advice.contains("ACL SETUSER") && advice.contains("~bekci:*"),
        "{advice}"
    );
    let refused = house.command(&["serve"], "");
    assert!(
        refused.code == Some(1) && refused.err.contains("Redis refuses EVALSHA"),
        "{refused:?}"
    );
}
