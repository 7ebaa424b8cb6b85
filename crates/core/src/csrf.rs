//! The value that proves, beside cookies, that a request comes from our own pages: bound to the session, so that no other session's value and no planted cookie is one.

use std::fmt::{self, Write as _};

use hkdf::Hkdf;
use secrecy::ExposeSecret as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::{
    name::GuardName,
    secret::{Purpose, RootSecret},
    session::SessionId,
};

/// The key of a guard's CSRF tokens. Without one, as a guard has until it is built, no token is right.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CsrfKey(Option<[u8; 32]>);

impl CsrfKey {
    /// The key of a guard.
    #[must_use]
    pub fn new(root: &RootSecret, guard: &GuardName) -> Self {
        Self(Some(*root.derive(Purpose::Csrf, Some(guard)).expose_secret()))
    }

    /// The token of a session, 64 characters in hexadecimal; `None` without a key.
    #[must_use]
    pub fn token(&self, session: SessionId) -> Option<String> {
        let key = Hkdf::<Sha256>::from_prk(self.0.as_ref()?).ok()?;
        let mut bytes = [0; 32];
        key.expand_multi_info(&[b"bekci/1/csrf-token/", &session.0], &mut bytes)
            .ok()?;
        let mut text = String::with_capacity(64);
        for byte in bytes {
            write!(text, "{byte:02x}").ok()?;
        }
        Some(text)
    }

    /// Whether this is the session's token.
    #[must_use]
    pub fn is_token_of(&self, session: SessionId, given: &str) -> bool {
        let token = self.token(session);
        token.is_some_and(|token| token.as_bytes().ct_eq(given.as_bytes()).into())
    }
}

impl fmt::Debug for CsrfKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CsrfKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_sessions_and_its_guards_alone() {
        let root = |first: u8| RootSecret::new(&(first..first + 32).collect::<Vec<u8>>()).unwrap();
        let key = |first, guard: &str| CsrfKey::new(&root(first), &GuardName::new(guard).unwrap());
        let (one, other) = (SessionId { 0: [1; 16] }, SessionId { 0: [2; 16] });
        let token = key(0, "customer").token(one).unwrap();
        assert_eq!(token.len(), 64);
        assert!(key(0, "customer").is_token_of(one, &token));
        assert!(!key(0, "customer").is_token_of(other, &token));
        assert!(!key(0, "admin").is_token_of(one, &token));
        assert!(!key(1, "customer").is_token_of(one, &token));
        for odd in ["", &token[1..], &token.to_uppercase()] {
            assert!(!key(0, "customer").is_token_of(one, odd), "{odd}");
        }
        assert!(!CsrfKey::default().is_token_of(one, "") && CsrfKey::default().token(one).is_none());
    }
}
