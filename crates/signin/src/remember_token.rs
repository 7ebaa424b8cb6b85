//! The text of a remember-me token: `bkm_`, and a series with a counter under a keyed hash, see [`generation_token`](crate::generation_token).

use std::fmt;

use bekci_core::{GuardName, Purpose, RootSecret, remember::SeriesId};
use secrecy::SecretString;

use crate::generation_token::{GenerationTokens, Kind};

const REMEMBER: Kind = Kind {
    prefix: "bkm_",
    label: b"bekci/remember/1\0",
    key_id_label: b"bekci/remember/key-id\0",
    purpose: Purpose::Remember,
};

/// Makes and reads the remember-me tokens of one guard.
pub struct RememberTokens(GenerationTokens);

impl RememberTokens {
    /// The remember-me tokens of a guard under a root secret.
    #[must_use]
    pub fn new(root: &RootSecret, guard: &GuardName) -> Self {
        Self(GenerationTokens::new(REMEMBER, root, guard))
    }

    /// The token of this counter; the same each time.
    #[must_use]
    pub fn make(&self, series: SeriesId, generation: u32) -> SecretString {
        self.0.make(series, generation)
    }

    /// The series and the counter that a token names; `None` for what is no remember-me token of this guard. Whether the series lives is not asked.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<(SeriesId, u32)> {
        self.0.parse(text)
    }
}

impl fmt::Debug for RememberTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RememberTokens({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use bekci_core::TokenId;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::RefreshTokens;

    const SERIES: SeriesId = TokenId([0x5A; 16]);

    fn root() -> RootSecret {
        RootSecret::new(&(0..32).collect::<Vec<u8>>()).unwrap()
    }

    fn guard(name: &str) -> GuardName {
        GuardName::new(name).unwrap()
    }

    #[test]
    fn a_token_is_its_guards_and_no_refresh_token() {
        let tokens = RememberTokens::new(&root(), &guard("customer"));
        let token = tokens.make(SERIES, 7);
        let text = token.expose_secret();
        assert_eq!(tokens.parse(text), Some((SERIES, 7)));
        assert_eq!(RememberTokens::new(&root(), &guard("admin")).parse(text), None);
        let refresh = RefreshTokens::new(&root(), &guard("customer"));
        assert!(refresh.parse(&text.replacen("bkm_", "bkr_", 1)).is_err());
        let other = refresh.make(SERIES, 7);
        assert_eq!(tokens.parse(&other.expose_secret().replacen("bkr_", "bkm_", 1)), None);
    }

    #[test]
    fn what_is_cut_or_changed_is_none() {
        let tokens = RememberTokens::new(&root(), &guard("customer"));
        let token = tokens.make(SERIES, 7);
        let text = token.expose_secret();
        assert!((0..text.len()).all(|end| tokens.parse(&text[..end]).is_none()));
        for at in 0..text.len() {
            let mut flipped = text.as_bytes().to_vec();
            flipped[at] ^= 1;
            assert_eq!(
                tokens.parse(&String::from_utf8(flipped).unwrap()),
                None,
                "character {at}"
            );
        }
    }
}
