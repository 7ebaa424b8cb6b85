//! What people are told agrees with what is done.

use std::time::Duration;

use bekci_core::TokenKind;
use bekci_token::{Algorithm, Inspection, inspect_with_jwks};
use serde_json::json;

use crate::forge::{NOW, World, is_built};

fn failed(inspection: &Inspection) -> Vec<&str> {
    inspection
        .checks
        .iter()
        .filter(|line| !line.passed)
        .map(|line| line.check)
        .collect()
}

#[test]
fn a_good_token_is_accepted_with_every_check_named() {
    let world = World::new();
    let found = world.ring.inspect(&world.good());
    assert!(found.accepted, "{found}");
    assert_eq!(found.claims.as_ref().unwrap()["sub"], "customer:1");
    assert_eq!(found.header.as_ref().unwrap()["alg"], "EdDSA");
    assert_eq!(
        (found.guard.as_ref().unwrap().as_str(), found.typ),
        ("customer", Some("at+jwt"))
    );
    let checks: Vec<&str> = found.checks.iter().map(|line| line.check).collect();
    assert_eq!(
        checks,
        [
            "form",
            "header",
            "header parameters",
            "kid",
            "key",
            "alg",
            "typ",
            "signature",
            "claims",
            "iss",
            "aud",
            "guard",
            "model",
            "sub",
            "tenant",
            "jti",
            "sid",
            "gen",
            "ver",
            "cnf",
            "iat",
            "lifetime",
            "nbf",
            "exp"
        ]
    );
}

#[test]
fn every_fault_is_told_at_once_with_what_would_pass() {
    let world = World::new();
    let mut claims = world.claims("customer");
    claims["iss"] = json!("https://evil.test");
    claims["sub"] = json!("admin:1");
    claims["exp"] = json!(NOW - 10);
    let mut header = world.header("customer");
    header["alg"] = json!("HS256");
    let found = world
        .ring
        .inspect(&world.sign("admin", header.to_string(), claims.to_string()));
    assert_eq!(failed(&found), ["alg", "signature", "iss", "sub", "lifetime", "exp"]);
    let text = found.to_string();
    assert!(
        text.starts_with("refused\n") && text.contains(r#"it must be the string "https://gw.test""#),
        "{text}"
    );
}

#[test]
fn what_is_told_and_what_is_done_agree() {
    let world = World::new();
    let good = world.good();
    let mut tokens = vec![
        good.clone(),
        world.issue("admin", TokenKind::Access),
        world.issue("customer", TokenKind::Temporary),
        String::new(),
        "a.b.c".into(),
    ];
    for claim in [
        "iss", "aud", "sub", "iat", "exp", "jti", "sid", "gen", "ver", "guard", "model", "tenant", "nbf", "cnf", "own",
    ] {
        tokens.push(world.with_claim(claim, None));
        tokens.push(world.with_claim(claim, Some(json!(null))));
        tokens.push(world.with_claim(claim, Some(json!(NOW + 5))));
        tokens.push(world.with_claim(claim, Some(json!("customer"))));
    }
    tokens.push(world.with_header(r#"{"alg":"none"}"#));
    tokens.extend((0..good.len()).step_by(7).map(|at| good[..at].to_owned()));
    let mut accepted = 0;
    for wall in [NOW, NOW + 2000] {
        world.clock.set_wall(wall);
        for token in &tokens {
            let found = world.ring.inspect(token);
            let done = ["customer", "admin"].into_iter().any(|guard| {
                [TokenKind::Access, TokenKind::Temporary]
                    .into_iter()
                    .any(|kind| world.judge_as(guard, kind, token).is_ok())
            });
            assert_eq!(found.accepted, done, "{found}");
            accepted += usize::from(done);
        }
    }
    assert!(accepted > 5, "{accepted}");
}

#[test]
fn nothing_that_a_stranger_wrote_reaches_the_terminal_as_it_is() {
    let world = World::new();
    let token = world.with_claim("own", Some(json!("\u{1b}[2J\u{9b}2J\u{202e}é\r")));
    let text = world.ring.inspect(&token).to_string();
    assert!(
        text.chars().all(|character| matches!(character, ' '..='~' | '\n')),
        "{text:?}"
    );
    let signature = token.rsplit('.').next().unwrap();
    assert!(!text.contains(signature));
}

#[test]
fn a_token_is_judged_by_other_keys_where_they_are_given() {
    let algorithms = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256];
    for algorithm in algorithms.into_iter().filter(|algorithm| is_built(*algorithm)) {
        let world = World::with(algorithm);
        let set = world.ring.jwks().to_string();
        let judge =
            |token: &str, set: &str| inspect_with_jwks(token, set, &*world.clock, time::Duration::ZERO).unwrap();
        let good = judge(&world.good(), &set);
        assert!(good.accepted, "{good}");
        let foreign = judge(&World::new().good(), &set);
        assert_eq!(failed(&foreign), ["key"]);
        let forged = judge(
            &world.sign(
                "admin",
                world.header("customer").to_string(),
                world.claims("customer").to_string(),
            ),
            &set,
        );
        assert_eq!(failed(&forged), ["signature"]);
        let token = world.good();
        world.clock.advance(Duration::from_secs(900));
        assert_eq!(failed(&judge(&token, &set)), ["exp"]);
    }
}

#[test]
fn a_foreign_set_cannot_confuse_or_break_the_judge() {
    let world = World::new();
    let kid = world.kid("customer");
    for key in [
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": kid }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "", "kid": kid }),
        json!({ "kty": "OKP", "crv": "Ed448", "x": "AAAA", "kid": kid }),
        json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": kid }),
        json!({ "kty": "oct", "k": "AAAA", "kid": kid }),
        json!({ "kty": "RSA", "n": "", "e": "", "kid": kid }),
    ] {
        for alg in ["EdDSA", "ES256", "HS256", "RS256", "none"] {
            let mut header = world.header("customer");
            header["alg"] = json!(alg);
            let set = json!({ "keys": [key] }).to_string();
            let found = inspect_with_jwks(
                &world.with_header(header.to_string()),
                &set,
                &*world.clock,
                time::Duration::ZERO,
            );
            assert!(!found.unwrap().accepted, "{key} {alg}");
        }
    }
    assert!(inspect_with_jwks(&world.good(), "[]", &*world.clock, time::Duration::ZERO).is_err());
}
