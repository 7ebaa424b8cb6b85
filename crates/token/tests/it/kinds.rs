//! Every kind in every slot, every guard's token at every guard.

use bekci_core::{BearerToken, TokenFault, TokenKind, TokenVerifier};
use bekci_token::Algorithm;
use secrecy::ExposeSecret;

use crate::forge::{World, name};

const KINDS: [TokenKind; 3] = [TokenKind::Access, TokenKind::Temporary, TokenKind::Internal];

#[test]
fn a_token_passes_as_its_own_kind_alone() {
    let world = World::new();
    for made in KINDS {
        // A fresh one for each slot, and one that is shown to all: what is remembered must not pass either.
        let shared = world.issue("customer", made);
        for asked in KINDS.into_iter().chain(KINDS) {
            for token in [&world.issue("customer", made), &shared] {
                let judged = world.judge_as("customer", asked, token).map(|claims| claims.kind);
                let expected = if made == asked {
                    Ok(made)
                } else {
                    Err(TokenFault::Header("typ is not this kind's"))
                };
                assert_eq!(judged, expected, "{made:?} as {asked:?}");
            }
        }
    }
}

#[test]
fn a_token_passes_at_its_own_guard_alone() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Hs256] {
        let world = World::with(algorithm);
        for made in ["customer", "admin"] {
            let token = world.issue(made, TokenKind::Access);
            assert_eq!(world.ring.guard_of(BearerToken::new(&token).unwrap()), Ok(name(made)));
            for asked in ["customer", "admin", "customer", "admin", "partner"] {
                let judged = world
                    .judge_as(asked, TokenKind::Access, &token)
                    .map(|claims| claims.guard.clone());
                let expected = if made == asked {
                    Ok(name(made))
                } else {
                    Err(TokenFault::OtherGuard)
                };
                assert_eq!(judged, expected, "{made} at {asked}");
            }
        }
    }
}

#[test]
fn claims_of_one_guard_under_the_key_of_another_are_refused() {
    let world = World::new();
    let token = world.sign(
        "admin",
        world.header("admin").to_string(),
        world.claims("customer").to_string(),
    );
    assert_eq!(
        world.judge_as("admin", TokenKind::Access, &token),
        Err(TokenFault::Claim("aud"))
    );
    assert_eq!(
        world.judge_as("customer", TokenKind::Access, &token),
        Err(TokenFault::OtherGuard)
    );
}

#[test]
fn an_internal_token_is_for_its_upstream_alone() {
    let world = World::new();
    let claims = world.access_claims("customer", TokenKind::Access);
    let token = world.ring.issue_internal(&name("customer"), "shop", &claims).unwrap();
    let token = BearerToken::new(token.expose_secret()).unwrap();
    let good = world.ring.verify_internal(&name("customer"), "shop", token).unwrap();
    assert_eq!(good.kind, TokenKind::Internal);
    assert_eq!(
        world.ring.verify_internal(&name("customer"), "back-office", token),
        Err(TokenFault::Claim("aud"))
    );
    assert_eq!(
        world.ring.verify_internal(&name("admin"), "shop", token),
        Err(TokenFault::OtherGuard)
    );
    for kind in KINDS {
        assert!(world.ring.verify(&name("customer"), kind, token).is_err(), "{kind:?}");
    }
}

#[test]
fn another_rings_token_is_unknown() {
    let (world, other) = (World::new(), World::new());
    let token = other.issue("customer", TokenKind::Access);
    assert_eq!(world.judge(&token), Err(TokenFault::UnknownKey));
    assert_eq!(
        world.ring.guard_of(BearerToken::new(&token).unwrap()),
        Err(TokenFault::UnknownKey)
    );
}
