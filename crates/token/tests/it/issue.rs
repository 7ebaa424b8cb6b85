//! What a made token looks like, and what is not made.

use bekci_core::{IssueError, PrincipalKey, TenantName, TokenIssuer, TokenKind};
use bekci_token::Algorithm;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::forge::{NOW, World, decoded, is_built, name};

#[test]
fn header_and_claims_stand_in_the_contracts_order() {
    let world = World::new();
    let mut claims = world.access_claims("customer", TokenKind::Access);
    claims.tenant = Some(TenantName::new("acme").unwrap());
    claims.extra.insert("email".into(), json!("a@b.c"));
    let token = world.ring.issue(&name("customer"), &claims).unwrap();
    let parts = decoded(token.expose_secret());
    let text = |at: usize| String::from_utf8(parts[at].clone()).unwrap();
    assert_eq!(
        text(0),
        format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, world.kid("customer"))
    );
    let expected = format!(
        r#"{{"iss":"https://gw.test","aud":"customer","sub":"customer:1","iat":{NOW},"exp":{},"jti":"{}","sid":"{}","gen":0,"ver":7,"guard":"customer","model":"customer","tenant":"acme","email":"a@b.c"}}"#,
        NOW + 60,
        claims.id,
        claims.session
    );
    assert_eq!(text(1), expected);
    let read = world.judge(token.expose_secret()).unwrap();
    assert_eq!(
        (&read.key, read.session, read.id, &read.tenant),
        (&claims.key, claims.session, claims.id, &claims.tenant)
    );
}

#[test]
fn a_claim_of_the_developers_own_cannot_take_a_name_of_ours() {
    let world = World::new();
    for reserved in [
        "iss", "aud", "sub", "iat", "exp", "nbf", "jti", "sid", "gen", "ver", "guard", "model", "tenant", "cnf", "typ",
    ] {
        let mut claims = world.access_claims("customer", TokenKind::Access);
        claims.extra.insert(reserved.into(), json!("x"));
        let refused = world.ring.issue(&name("customer"), &claims).unwrap_err();
        assert_eq!(refused, IssueError::ReservedClaim(reserved.into()));
    }
}

#[test]
fn what_the_ring_would_refuse_is_not_made() {
    let world = World::new();
    let refuses = |change: &dyn Fn(&mut bekci_core::AccessClaims)| {
        let mut claims = world.access_claims("customer", TokenKind::Access);
        change(&mut claims);
        matches!(
            world.ring.issue(&name("customer"), &claims),
            Err(IssueError::Signing(_))
        )
    };
    assert!(refuses(&|claims| claims.key = PrincipalKey::parse("admin:1").unwrap()));
    assert!(refuses(
        &|claims| claims.key = PrincipalKey::parse("customer:abc").unwrap()
    ));
    assert!(refuses(&|claims| claims.expires_at = claims.issued_at));
    assert!(refuses(&|claims| claims.expires_at = claims.issued_at + 901));
    assert!(refuses(&|claims| claims.expires_at = i64::MIN));
    assert!(refuses(&|claims| drop(
        claims.extra.insert("x".into(), json!("y".repeat(8000)))
    )));
    let nested = (0..20).fold(json!(1), |inner, _| json!([inner]));
    assert!(refuses(&|claims| drop(claims.extra.insert("x".into(), nested.clone()))));
    assert!(!refuses(&|_| {}));
}

#[test]
fn an_unknown_guard_has_no_key() {
    let world = World::new();
    let claims = world.access_claims("customer", TokenKind::Access);
    assert_eq!(
        world.ring.issue(&name("partner"), &claims).unwrap_err(),
        IssueError::NoKey(name("partner"))
    );
}

#[test]
fn the_jwk_set_has_every_public_part_and_no_private_one() {
    for (algorithm, fields) in [
        (Algorithm::EdDsa, vec!["alg", "crv", "kid", "kty", "use", "x"]),
        (Algorithm::Es256, vec!["alg", "crv", "kid", "kty", "use", "x", "y"]),
        (Algorithm::Es384, vec!["alg", "crv", "kid", "kty", "use", "x", "y"]),
        (Algorithm::Rs256, vec!["alg", "e", "kid", "kty", "n", "use"]),
    ]
    .into_iter()
    .filter(|(algorithm, _)| is_built(*algorithm))
    {
        let world = World::with(algorithm);
        let set = world.ring.jwks();
        let keys = set["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 2);
        for key in keys {
            let mut names: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, fields);
            assert_eq!(key["alg"], algorithm.as_str());
            assert_eq!(key["use"], "sig");
        }
        let parsed: jsonwebtoken::jwk::JwkSet = serde_json::from_value(set.clone()).unwrap();
        let good = world.good();
        let (message, signature) = good.rsplit_once('.').unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(parsed.find(&world.kid("customer")).unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&decoded(&good)[0]).unwrap();
        let alg = header["alg"].as_str().unwrap().parse().unwrap();
        assert!(jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, alg).unwrap());
    }
}
