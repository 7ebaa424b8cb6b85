//! Tokens that are remembered.

use std::time::Duration;

use bekci_core::{BearerToken, TokenFault, TokenKind, TokenVerifier};
use serde_json::json;

use crate::forge::{NOW, World, name};

#[test]
fn a_token_is_verified_once_and_then_costs_no_signature() {
    let world = World::new();
    let token = world.good();
    let first = world.judge(&token).unwrap();
    for _ in 0..1000 {
        assert!(std::sync::Arc::ptr_eq(&first, &world.judge(&token).unwrap()));
        assert_eq!(
            world.ring.guard_of(BearerToken::new(&token).unwrap()),
            Ok(name("customer"))
        );
    }
    assert_eq!(world.ring.stats().signature_checks, 1);
    assert_eq!(world.ring.stats().remembered, 1);
}

#[test]
fn a_refused_token_is_not_remembered() {
    let world = World::new();
    let token = world.with_claim("aud", Some(json!("admin")));
    for _ in 0..3 {
        assert_eq!(world.judge(&token), Err(TokenFault::Claim("aud")));
    }
    assert_eq!(world.ring.stats().remembered, 0);
}

#[test]
fn a_remembered_token_is_refused_once_it_has_expired() {
    let world = World::new();
    let token = world.good();
    assert!(world.judge(&token).is_ok());
    world.clock.advance(Duration::from_secs(904));
    assert!(world.judge(&token).is_ok(), "within the leeway");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.judge(&token), Err(TokenFault::Expired));
    assert_eq!(world.ring.stats().signature_checks, 1);
}

#[test]
fn a_remembered_token_is_judged_anew_when_the_clock_is_set_back() {
    let world = World::new();
    let token = world.with_claim("nbf", Some(json!(NOW - 100)));
    assert!(world.judge(&token).is_ok());
    world.clock.set_wall(NOW - 50);
    assert_eq!(world.judge(&token), Err(TokenFault::Claim("iat")));
    world.clock.set_wall(NOW);
    assert!(world.judge(&token).is_ok());
}

#[test]
fn a_remembered_token_is_refused_after_its_key_was_retired() {
    let world = World::new();
    let token = world.good();
    let kid = world.ring.keys()[0].kid.clone();
    let guard = [name("customer"), name("admin")];
    world
        .store
        .rotate(&guard[0], world.algorithm(), &*world.clock, &bekci_token::OsEntropy)
        .unwrap();
    assert!(world.judge(&token).is_ok());
    world.store.retire(&guard, &kid).unwrap();
    assert!(world.ring.poll().unwrap());
    assert_eq!(world.judge(&token), Err(TokenFault::UnknownKey));
    assert_eq!(world.ring.stats().remembered, 0);
}

#[test]
fn other_settings_forget_what_was_remembered() {
    let mut world = World::new();
    let token = world.good();
    assert!(world.judge(&token).is_ok());
    world.settings.issuer = "https://other.test".into();
    world.ring.reconfigure(world.settings.clone()).unwrap();
    assert_eq!(world.judge(&token), Err(TokenFault::Claim("iss")));
    world.settings.guards.truncate(1);
    world.settings.guards[0].name = name("admin");
    world.settings.guards[0].audience = "admin".into();
    world.ring.reconfigure(world.settings.clone()).unwrap();
    assert_eq!(world.judge(&token), Err(TokenFault::UnknownKey));
}

#[test]
fn a_full_memory_changes_no_answer() {
    let mut world = World::new();
    world.settings.cache_capacity = 32;
    world.ring.reconfigure(world.settings.clone()).unwrap();
    let tokens: Vec<String> = (0..200).map(|_| world.issue("customer", TokenKind::Access)).collect();
    for _ in 0..2 {
        for token in &tokens {
            assert!(world.judge(token).is_ok());
        }
    }
    assert!(world.ring.stats().remembered <= 32);
}

#[test]
fn many_threads_get_one_answer() {
    let world = World::new();
    let tokens: Vec<String> = (0..20).map(|_| world.issue("customer", TokenKind::Access)).collect();
    let bad = world.with_claim("aud", Some(json!("admin")));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for token in tokens.iter().cycle().take(400) {
                    assert!(world.judge(token).is_ok());
                    assert!(world.judge(&bad).is_err());
                }
            });
        }
        scope.spawn(|| (0..20).for_each(|_| world.ring.reload().unwrap()));
    });
}
