//! A key's life: published, signing, superseded, retired; and what the nodes see of it.

use std::time::Duration;

use bekci_core::{BearerToken, TokenFault, TokenKind, TokenVerifier};
use bekci_token::{Algorithm, KeyId, KeyStatus, KeyStoreError, OsEntropy, RingError};
use serde_json::Value;

use crate::forge::{NOW, World, decoded, name};

fn rotate(world: &World) -> KeyId {
    let made = world
        .store
        .rotate(&name("customer"), world.algorithm(), &*world.clock, &OsEntropy);
    made.unwrap().kid
}

fn retire(world: &World, kid: &KeyId) {
    world.store.retire(&[name("customer"), name("admin")], kid).unwrap();
}

fn kid_of(token: &str) -> String {
    let header: Value = serde_json::from_slice(&decoded(token)[0]).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

fn published(world: &World) -> Vec<String> {
    let set = world.ring.jwks();
    let kids = set["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned());
    kids.collect()
}

#[test]
fn a_guards_first_key_signs_at_once() {
    let world = World::new();
    assert_eq!(
        kid_of(&world.issue("customer", TokenKind::Access)),
        world.kid("customer")
    );
    assert!(world.ring.keys().iter().all(|key| key.status == KeyStatus::Signs));
}

#[test]
fn a_new_key_is_published_at_once_and_signs_when_its_time_has_come() {
    let world = World::new();
    let old = world.kid("customer");
    world.clock.advance(Duration::from_secs(10));
    let new = rotate(&world);
    assert!(published(&world).contains(&new.to_string()), "without a restart");
    assert_eq!(kid_of(&world.issue("customer", TokenKind::Access)), old);
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(kid_of(&world.issue("customer", TokenKind::Access)), old);
    let until = time::OffsetDateTime::from_unix_timestamp(NOW + 70).unwrap();
    assert_eq!(world.ring.keys()[1].status, KeyStatus::Waits { until });
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(kid_of(&world.issue("customer", TokenKind::Access)), new.to_string());
    assert_eq!(world.ring.keys()[0].status, KeyStatus::Verifies);
}

#[test]
fn the_key_before_verifies_until_it_is_retired() {
    let world = World::new();
    let old = KeyId::parse(&world.kid("customer")).unwrap();
    rotate(&world);
    world.clock.advance(Duration::from_secs(100));
    let token = world.sign("customer", world.header("customer").to_string(), {
        let mut claims = world.claims("customer");
        claims["iat"] = (NOW + 100).into();
        claims.to_string()
    });
    world.ring.poll().unwrap();
    assert!(world.judge(&token).is_ok());
    retire(&world, &old);
    assert!(world.judge(&token).is_ok(), "this node has not looked again");
    assert!(world.ring.poll().unwrap());
    assert_eq!(world.judge(&token), Err(TokenFault::UnknownKey));
    assert!(!published(&world).contains(&old.to_string()));
    assert!(
        world
            .folder
            .path()
            .join("customer/retired")
            .join(format!("{old}.pem"))
            .exists()
    );
}

#[test]
fn rotation_refuses_not_one_request_on_a_node_that_has_not_seen_it() {
    let writer = World::new();
    let reader = bekci_token::KeyRing::load(writer.settings.clone(), writer.clock.clone()).unwrap();
    rotate(&writer);
    writer.ring.poll().unwrap();
    writer.clock.advance(Duration::from_secs(61));
    let token = writer.issue("customer", TokenKind::Access);
    let token = BearerToken::new(&token).unwrap();
    assert_eq!(reader.guard_of(token), Ok(name("customer")));
    assert!(reader.verify(&name("customer"), TokenKind::Access, token).is_ok());
}

#[test]
fn an_unknown_kid_makes_the_ring_look_again_once_a_second_at_most() {
    let world = World::new();
    let other = World::new();
    let stranger = other.issue("customer", TokenKind::Access);
    assert_eq!(world.judge(&stranger), Err(TokenFault::UnknownKey));
    // From now on, for a second of uptime, no file is looked at: a key that has come is not seen.
    rotate(&world);
    for _ in 0..100 {
        assert_eq!(world.judge(&stranger), Err(TokenFault::UnknownKey));
    }
    assert_eq!(world.ring.stats().readings, 1);
    world.clock.advance_uptime(Duration::from_secs(1));
    assert_eq!(world.judge(&stranger), Err(TokenFault::UnknownKey));
    assert_eq!(world.ring.stats().readings, 2);
}

#[test]
fn a_flood_of_unknown_kids_makes_the_ring_forget_nothing() {
    let world = World::new();
    let good = world.good();
    assert!(world.judge(&good).is_ok());
    for _ in 0..5 {
        world.clock.advance_uptime(Duration::from_secs(2));
        assert_eq!(
            world.judge(&World::new().issue("customer", TokenKind::Access)),
            Err(TokenFault::UnknownKey)
        );
    }
    assert!(world.judge(&good).is_ok());
    let stats = world.ring.stats();
    assert_eq!((stats.signature_checks, stats.readings), (1, 1));
}

#[test]
fn the_last_key_is_not_retired_and_an_unknown_one_is_an_error() {
    let world = World::new();
    let kid = KeyId::parse(&world.kid("customer")).unwrap();
    let guards = [name("customer"), name("admin")];
    let last = world.store.retire(&guards, &kid).unwrap_err();
    assert!(
        matches!(last, KeyStoreError::LastKey { .. }) && last.to_string().contains("rotate"),
        "{last}"
    );
    let unknown = KeyId::parse("nothing").unwrap();
    assert!(matches!(
        world.store.retire(&guards, &unknown),
        Err(KeyStoreError::UnknownKey(_))
    ));
    assert!(world.judge(&world.good()).is_ok());
}

#[test]
fn a_key_that_waits_signs_when_the_others_are_gone() {
    let world = World::new();
    let old = KeyId::parse(&world.kid("customer")).unwrap();
    let new = rotate(&world);
    retire(&world, &old);
    world.ring.poll().unwrap();
    assert_eq!(kid_of(&world.issue("customer", TokenKind::Access)), new.to_string());
}

#[test]
fn of_two_keys_made_in_one_second_the_second_is_the_newer() {
    for _ in 0..8 {
        let world = World::new();
        let keys = [
            world.kid("customer"),
            rotate(&world).to_string(),
            rotate(&world).to_string(),
        ];
        let listed = world.store.list(&name("customer"), &*world.clock).unwrap();
        assert_eq!(listed.iter().map(|key| key.kid.to_string()).collect::<Vec<_>>(), keys);
        assert_eq!(kid_of(&world.issue("customer", TokenKind::Access)), keys[0]);
    }
}

#[test]
fn a_bad_new_file_is_refused_and_the_old_keys_stay() {
    let world = World::new();
    let token = world.good();
    let path = world.folder.path().join("customer/broken.pem");
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    close(&path);
    assert!(matches!(
        world.ring.poll(),
        Err(RingError::Keys(KeyStoreError::BadKey { .. }))
    ));
    assert!(!world.ring.poll().unwrap(), "the same files are not tried again");
    assert!(world.ring.reload().is_err());
    assert!(world.judge(&token).is_ok());
    std::fs::remove_file(&path).unwrap();
    rotate(&world);
    assert!(world.ring.poll().unwrap());
}

#[cfg(unix)]
pub(crate) fn close(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[cfg(not(unix))]
pub(crate) fn close(_: &std::path::Path) {}

#[test]
fn keys_that_are_derived_cannot_be_rotated() {
    let world = World::with(Algorithm::Hs256);
    let rotated = world
        .store
        .rotate(&name("customer"), Algorithm::Hs256, &*world.clock, &OsEntropy);
    assert!(matches!(rotated, Err(KeyStoreError::Derived { .. })));
    assert!(!world.folder.path().join("customer").exists());
}

#[test]
fn an_unknown_kid_while_the_keys_cannot_be_read_is_neither_good_nor_bad() {
    let world = World::new();
    let stranger = World::new().issue("customer", TokenKind::Access);
    let good = world.good();
    let broken = world.settings.keys_dir.join("customer").join("broken.pem");
    std::fs::write(&broken, "not a key").unwrap();
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    world.clock.advance_uptime(Duration::from_secs(2));
    assert_eq!(world.judge(&stranger), Err(TokenFault::KeysUnreadable));
    assert!(world.judge(&good).is_ok(), "what is known goes on");
    std::fs::remove_file(&broken).unwrap();
    world.clock.advance_uptime(Duration::from_secs(2));
    assert_eq!(world.judge(&stranger), Err(TokenFault::UnknownKey));
}
