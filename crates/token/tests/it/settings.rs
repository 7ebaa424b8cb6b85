//! Settings with which a ring is not made.

use std::sync::Arc;

use bekci_token::{Algorithm, KeyRing, RingError};
use secrecy::SecretString;

use crate::forge::{JWT_SECRET, World, ring_guard};

fn refusal(world: &World) -> RingError {
    KeyRing::load(world.settings.clone(), Arc::clone(&world.clock) as _).unwrap_err()
}

#[test]
fn guards_that_cannot_be_told_apart_are_refused() {
    let mut world = World::new();
    world.settings.guards[1].audience = "customer".into();
    assert!(matches!(refusal(&world), RingError::Shared { what: "audience", .. }));
    world.settings.guards[1] = ring_guard("customer", Algorithm::EdDsa);
    world.settings.guards[1].audience = "other".into();
    assert!(matches!(refusal(&world), RingError::Shared { what: "name", .. }));
    world.settings.guards[1].audience = String::new();
    assert!(matches!(refusal(&world), RingError::NoAudience(_)));
    world.settings.guards.clear();
    assert!(matches!(refusal(&world), RingError::NoGuards));
    world.settings.issuer = String::new();
    assert!(matches!(refusal(&world), RingError::NoIssuer));
}

#[test]
fn a_weak_secret_for_hs_is_refused() {
    let mut world = World::with(Algorithm::Hs256);
    world.settings.jwt_secret = None;
    assert!(matches!(refusal(&world), RingError::NoJwtSecret(_)));
    let short = &JWT_SECRET[JWT_SECRET.len() - 63..];
    for weak in ["", "secret", short] {
        world.settings.jwt_secret = Some(SecretString::from(weak));
        let error = refusal(&world);
        assert!(
            matches!(error, RingError::WeakJwtSecret(length) if length == weak.len()),
            "{error}"
        );
    }
    for weak in [
        &"a".repeat(100),
        &"changeme".repeat(8),
        "this is my very secret key for signing tokens, nobody will guess it",
    ] {
        world.settings.jwt_secret = Some(SecretString::from(weak));
        assert!(matches!(refusal(&world), RingError::GuessableJwtSecret(_)), "{weak}");
    }
}

#[test]
fn each_guard_and_algorithm_has_a_derived_key_of_its_own() {
    let mut kids = std::collections::HashSet::new();
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let world = World::with(algorithm);
        assert!(kids.insert(world.kid("customer")) && kids.insert(world.kid("admin")));
        assert_eq!(
            world.kid("customer"),
            World::with(algorithm).kid("customer"),
            "the same on every node"
        );
        assert_eq!(world.ring.jwks().to_string(), r#"{"keys":[]}"#, "never published");
    }
}

#[test]
fn names_of_algorithms_read_back_and_no_other_text_does() {
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
    }
    for other in ["none", "eddsa", "RS512", "", "HS256 "] {
        assert!(other.parse::<Algorithm>().is_err(), "{other}");
    }
}
