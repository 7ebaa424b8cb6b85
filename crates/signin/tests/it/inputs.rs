//! Refresh tokens over sessions and generations of chance: each names one, and nothing else names any.

use std::collections::HashMap;

use bekci_core::{GuardName, RootSecret, SessionId, TokenId};
use bekci_signin::{NotARefreshToken, RefreshTokens};
use bekci_test_support::{Mutator, by_chance};
use secrecy::ExposeSecret as _;

fn tokens(root: &[u8; 32], guard: &str) -> RefreshTokens {
    RefreshTokens::new(&RootSecret::new(root).unwrap(), &GuardName::new(guard).unwrap())
}

#[test]
fn a_refresh_token_names_its_session_and_generation_and_no_two_share_one() {
    let roots: [[u8; 32]; 2] = [
        std::array::from_fn(|at| u8::try_from(at).unwrap()),
        std::array::from_fn(|at| 99 ^ u8::try_from(at).unwrap()),
    ];
    // The second is the first with a letter taken from what follows it in the MAC, should anything ever follow it directly.
    let makers: Vec<RefreshTokens> = roots
        .iter()
        .flat_map(|root| ["customer", "customers", "admin"].map(|guard| tokens(root, guard)))
        .collect();
    let mut made: HashMap<String, (usize, SessionId, u32)> = HashMap::new();
    by_chance(1_500, |chance| {
        let session = TokenId(chance.bytes());
        let generation = u32::from_be_bytes(chance.bytes()) >> chance.below(32);
        let at = chance.below(makers.len());
        let text = makers[at].make(session, generation).expose_secret().to_owned();
        for (other, maker) in makers.iter().enumerate() {
            let expected = if other == at {
                Ok((session, generation))
            } else {
                Err(NotARefreshToken)
            };
            assert_eq!(maker.parse(&text), expected);
        }
        let first = made.entry(text).or_insert((at, session, generation));
        assert_eq!(*first, (at, session, generation));
    });
}

#[test]
fn no_text_but_the_one_that_was_made_is_read() {
    let maker = tokens(&std::array::from_fn(|at| u8::try_from(at).unwrap()), "customer");
    let texts: Vec<String> = (0..4)
        .map(|generation| maker.make(TokenId([7; 16]), generation).expose_secret().to_owned())
        .collect();
    let mutator = Mutator::new(texts.iter().map(String::as_str), &["bkr_", "=", "-", "_", "A", "AAAA"]);
    by_chance(5_000, |chance| {
        let text = mutator.make_text(chance);
        assert_eq!(maker.parse(&text).is_ok(), texts.contains(&text), "{text}");
    });
}
