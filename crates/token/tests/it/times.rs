//! When a token is good: `exp`, `iat`, `nbf`, the leeway and the longest lifetime.

use std::time::Duration;

use bekci_core::TokenFault;
use serde_json::json;

use crate::{
    claims::{REQUIRED, refuses},
    forge::{NOW, World},
};

#[test]
fn a_token_is_expired_at_the_very_second_of_its_end() {
    let mut world = World::new();
    world.settings.leeway = time::Duration::ZERO;
    world.ring.reconfigure(world.settings.clone()).unwrap();
    let token = world.with_claim("exp", Some(json!(NOW + 10)));
    world.clock.advance(Duration::from_millis(9_999));
    assert!(world.judge(&token).is_ok());
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.judge(&token), Err(TokenFault::Expired));
    assert_eq!(
        world.judge(&world.with_claim("exp", Some(json!(NOW + 10)))),
        Err(TokenFault::Expired),
        "not remembered either"
    );
}

#[test]
fn the_leeway_is_what_the_settings_say_and_no_more() {
    let world = World::new();
    let token = world.with_claim("exp", Some(json!(NOW + 10)));
    world.clock.set_wall(NOW + 14);
    assert!(world.judge(&token).is_ok());
    world.clock.set_wall(NOW + 15);
    assert_eq!(world.judge(&token), Err(TokenFault::Expired));
}

#[test]
fn an_end_that_is_no_whole_second_within_the_guards_lifetime_is_refused() {
    let world = World::new();
    for exp in [
        "-1",
        "-0",
        "0",
        "1767226200.9",
        "1767226200.0",
        "1e300",
        "1767226e3",
        "9007199254740993",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1000000000000000000",
        "1767225600",
        "1767226501",
        "1767226200000",
        "\"1767226200\"",
    ] {
        let payload = world.claims("customer").to_string().replace("1767226500", exp);
        assert!(payload.contains(&format!(r#""exp":{exp}"#)), "{payload}");
        let token = world.sign("customer", world.header("customer").to_string(), payload);
        assert!(matches!(world.judge(&token), Err(TokenFault::Claim(_))), "{exp}");
    }
    let ten_years = NOW + 10 * 365 * 86_400;
    assert_eq!(
        world.judge(&world.with_claim("exp", Some(json!(ten_years)))),
        Err(TokenFault::Claim("the time from iat to exp"))
    );
}

#[test]
fn a_token_is_not_from_the_future_and_not_older_than_its_key() {
    let world = World::new();
    let with = |iat: i64| world.judge(&world.with_claim("iat", Some(json!(iat)))).map(drop);
    let payload = |iat: i64| {
        let mut claims = world.claims("customer");
        claims["iat"] = json!(iat);
        claims["exp"] = json!(iat + 60);
        world.sign("customer", world.header("customer").to_string(), claims.to_string())
    };
    assert!(with(NOW + 5).is_ok());
    assert_eq!(with(NOW + 6), Err(TokenFault::Claim("iat")));
    assert_eq!(with(NOW + 3600), Err(TokenFault::Claim("iat")));
    assert!(world.judge(&payload(NOW - 5)).is_ok());
    assert_eq!(
        world.judge(&payload(NOW - 6)),
        Err(TokenFault::Claim("iat")),
        "before the key was made"
    );
    for iat in [i64::MIN, -1, 0] {
        assert_eq!(with(iat), Err(TokenFault::Claim("iat")));
    }
}

#[test]
fn a_token_is_not_good_before_its_nbf() {
    let world = World::new();
    refuses(
        &world,
        "nbf",
        [
            json!(NOW + 3600),
            json!(NOW + 6),
            json!("x"),
            json!(null),
            json!(1.5),
            json!(u64::MAX),
        ],
    );
    assert!(world.judge(&world.with_claim("nbf", Some(json!(NOW + 5)))).is_ok());
    assert!(world.judge(&world.with_claim("nbf", Some(json!(0)))).is_ok());
}

#[test]
fn expired_is_said_only_of_a_token_that_is_good_in_every_other_way() {
    let world = World::new();
    world.clock.set_wall(NOW + 2000);
    assert_eq!(world.judge(&world.good()), Err(TokenFault::Expired));
    for claim in REQUIRED.into_iter().filter(|claim| *claim != "exp") {
        assert!(
            matches!(world.judge(&world.with_claim(claim, None)), Err(TokenFault::Claim(_))),
            "{claim}"
        );
    }
}
