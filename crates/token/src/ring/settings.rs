//! What a ring is made of.

use std::path::PathBuf;

use bekci_core::{AuthGuard, GuardName, IdKind, ModelName, TokenKind};
use secrecy::SecretString;
use time::Duration;

use crate::algorithm::Algorithm;

/// The longest time from `iat` to `exp` that is believed, for each kind of token. A token that claims more was not made by these settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of access tokens.
    pub access: Duration,
    /// Of temporary ones.
    pub temporary: Duration,
    /// Of those for upstreams.
    pub internal: Duration,
}

impl Lifetimes {
    pub(crate) fn of(&self, kind: TokenKind) -> i64 {
        match kind {
            TokenKind::Access => self.access.whole_seconds(),
            TokenKind::Temporary => self.temporary.whole_seconds(),
            TokenKind::Internal => self.internal.whole_seconds(),
        }
    }
}

impl Default for Lifetimes {
    /// 15 minutes, 5 minutes, 60 seconds.
    fn default() -> Self {
        Self {
            access: Duration::minutes(15),
            temporary: Duration::minutes(5),
            internal: Duration::minutes(1),
        }
    }
}

/// What a ring needs to know of a guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingGuard {
    /// Its name: a token's `guard`.
    pub name: GuardName,
    /// Its model: a token's `model`, and the model of its `sub`.
    pub model: ModelName,
    /// The kind of that model's ids.
    pub id_kind: IdKind,
    /// A token's `aud`.
    pub audience: String,
    /// How its tokens are signed.
    pub algorithm: Algorithm,
    /// How long its tokens may last.
    pub lifetimes: Lifetimes,
}

impl RingGuard {
    /// The part of a guard that concerns its tokens; access tokens last as long as its session rules say, temporary ones as long as a sign-in waits for its verification.
    #[must_use]
    pub fn new(guard: &AuthGuard, algorithm: Algorithm) -> Self {
        Self {
            name: guard.name.clone(),
            model: guard.model.clone(),
            id_kind: guard.id_kind,
            audience: guard.audience.clone(),
            algorithm,
            lifetimes: Lifetimes {
                access: guard.session.access_ttl,
                temporary: guard.temporary_ttl,
                ..Lifetimes::default()
            },
        }
    }
}

/// The settings of a ring: the `[token]` section, and the guards.
#[derive(Clone, Debug)]
pub struct RingSettings {
    /// `iss`, compared byte for byte.
    pub issuer: String,
    /// Where the key files are.
    pub keys_dir: PathBuf,
    /// From a key's making to its first signature.
    pub activate_after: Duration,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// What HS* keys are derived from: 64 bytes at least.
    pub jwt_secret: Option<SecretString>,
    /// The guards; at least one.
    pub guards: Vec<RingGuard>,
    /// How many verified tokens are kept in memory (about 1 KiB each); 0: none.
    pub cache_capacity: usize,
}

impl RingSettings {
    /// Settings with the contract's defaults: 60 s until a new key signs, 5 s of leeway, and 65,536 tokens kept.
    #[must_use]
    pub fn new(issuer: &str, keys_dir: impl Into<PathBuf>, guards: Vec<RingGuard>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            keys_dir: keys_dir.into(),
            activate_after: Duration::seconds(60),
            leeway: Duration::seconds(5),
            jwt_secret: None,
            guards,
            cache_capacity: 65_536,
        }
    }
}
