//! The `kid` of a key.

use std::{borrow::Borrow, fmt, sync::Arc};

use bekci_core::{Entropy, TokenId};

use crate::{entropy::random, error::KeyStoreError};

/// The id of one signing key: 1 to 64 of `A-Z a-z 0-9 _ -`, so that it can be a file name and never leads out of its directory.
///
/// Ids are random and belong to one guard each; the ring refuses two guards with one `kid`, so that a `kid` names its guard.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Checks the text; `None` where it cannot be the id of a key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        ((1..=64).contains(&text.len()) && text.bytes().all(allowed)).then(|| Self(text.into()))
    }

    /// 128 random bits in hex: no upper case, for file systems that do not tell it apart, and no leading `-`, for command lines.
    pub(crate) fn random(entropy: &dyn Entropy) -> Result<Self, KeyStoreError> {
        Ok(Self(TokenId(*random(entropy)?).to_string().into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}
