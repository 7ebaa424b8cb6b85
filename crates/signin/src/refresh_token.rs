//! The text of a refresh token: `bkr_`, and a session with a generation under a keyed hash, see [`generation_token`](crate::generation_token).

use std::fmt;

use bekci_core::{GuardName, Purpose, RootSecret, SessionId};
use secrecy::SecretString;

use crate::generation_token::{GenerationTokens, Kind};

const REFRESH: Kind = Kind {
    prefix: "bkr_",
    label: b"bekci/refresh/1\0",
    key_id_label: b"bekci/refresh/key-id\0",
    purpose: Purpose::Refresh,
};

/// What was presented is no refresh token of this guard. It does not say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refresh token of this guard")]
pub struct NotARefreshToken;

/// Makes and reads the refresh tokens of one guard.
pub struct RefreshTokens(GenerationTokens);

impl RefreshTokens {
    /// The refresh tokens of a guard under a root secret.
    #[must_use]
    pub fn new(root: &RootSecret, guard: &GuardName) -> Self {
        Self(GenerationTokens::new(REFRESH, root, guard))
    }

    /// The token of this generation; the same each time.
    #[must_use]
    pub fn make(&self, session: SessionId, generation: u32) -> SecretString {
        self.0.make(session, generation)
    }

    /// The session and the generation that a token names.
    ///
    /// # Errors
    /// [`NotARefreshToken`], whatever is wrong with it.
    pub fn parse(&self, text: &str) -> Result<(SessionId, u32), NotARefreshToken> {
        self.0.parse(text).ok_or(NotARefreshToken)
    }
}

impl fmt::Debug for RefreshTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RefreshTokens({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use bekci_core::TokenId;
    use secrecy::ExposeSecret as _;

    use super::*;

    const PREFIX: &str = REFRESH.prefix;
    const SESSION: TokenId = TokenId([0xA5; 16]);

    fn tokens(root: u8, guard: &str) -> RefreshTokens {
        let root = RootSecret::new(&(0..32).map(|byte| byte ^ root).collect::<Vec<u8>>()).unwrap();
        RefreshTokens::new(&root, &GuardName::new(guard).unwrap())
    }

    #[test]
    fn a_token_names_its_session_and_generation_and_is_the_same_each_time() {
        let customer = tokens(0, "customer");
        for generation in [0, 1, 77, u32::MAX] {
            let token = customer.make(SESSION, generation);
            assert_eq!(customer.parse(token.expose_secret()), Ok((SESSION, generation)));
            let again = tokens(0, "customer").make(SESSION, generation);
            assert_eq!(token.expose_secret(), again.expose_secret());
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let customer = tokens(0, "customer");
        let token = customer.make(SESSION, 3);
        let token = token.expose_secret();
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX).unwrap()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(flipped));
            assert_eq!(customer.parse(&text), Err(NotARefreshToken), "bit {bit}");
        }
        // And of the text, where the last character has bits that stand for nothing.
        for (at, bit) in (0..token.len()).flat_map(|at| (0..7).map(move |bit| (at, bit))) {
            let mut flipped = token.as_bytes().to_vec();
            flipped[at] ^= 1 << bit;
            let text = String::from_utf8(flipped).unwrap();
            assert_eq!(
                customer.parse(&text),
                Err(NotARefreshToken),
                "character {at}, bit {bit}"
            );
        }
    }

    #[test]
    fn other_lengths_prefixes_and_alphabets_are_refused() {
        let customer = tokens(0, "customer");
        let token = customer.make(SESSION, 3);
        let token = token.expose_secret();
        let mut bad = vec![
            String::new(),
            PREFIX.to_owned(),
            token.replacen("bkr_", "bkr", 1),
            token.replacen("bkr_", "BKR_", 1),
            format!("{token}="),
            format!("{token}A"),
            format!(" {token}"),
            format!("{token}\n"),
            "bkr_ğğğğ".repeat(20),
            "A".repeat(100_000),
        ];
        bad.extend((0..token.len()).map(|end| token[..end].to_owned()));
        for text in bad {
            assert_eq!(customer.parse(&text), Err(NotARefreshToken), "{text}");
        }
    }

    #[test]
    fn another_guard_or_another_root_has_other_tokens() {
        let token = tokens(0, "customer").make(SESSION, 3);
        for other in [tokens(0, "admin"), tokens(1, "customer")] {
            assert_eq!(other.parse(token.expose_secret()), Err(NotARefreshToken));
        }
        assert_ne!(tokens(0, "customer").0.key_id, tokens(1, "customer").0.key_id);
    }

    #[test]
    fn nothing_of_the_key_prints() {
        assert_eq!(format!("{:?}", tokens(0, "customer")), "RefreshTokens(customer)");
    }
}
