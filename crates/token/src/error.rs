//! What can be wrong with keys, their files, and the settings of a ring.

use std::{
    io,
    path::{Path, PathBuf},
};

use bekci_core::{GuardName, WeakSecret};

use crate::{algorithm::Algorithm, key_id::KeyId};

/// A key, or the file of a secret, that cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The file system refused.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Others than its owner may touch the file.
    #[error("{path} is open to others (mode {mode:03o}): chmod 600 {path}", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no key that can be used.
    #[error("{path} holds no usable key: {reason}", path = path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was made for another algorithm than its guard is configured with.
    #[error(
        "key {kid} of guard {guard} is for {found}, the guard signs with {expected}: retire the key, or set token.algorithm"
    )]
    WrongAlgorithm {
        /// The guard.
        guard: GuardName,
        /// The key.
        kid: KeyId,
        /// The key's algorithm.
        found: Algorithm,
        /// The guard's algorithm.
        expected: Algorithm,
    },
    /// A guard has no key.
    #[error("guard {0} has no key: run `bekci key generate`")]
    NoKeys(GuardName),
    /// No guard has a key with this id.
    #[error("no guard has a key {0}")]
    UnknownKey(KeyId),
    /// Without this key the guard could not sign.
    #[error("{kid} is the only key of guard {guard}: run `bekci key rotate` first")]
    LastKey {
        /// The guard.
        guard: GuardName,
        /// Its only key.
        kid: KeyId,
    },
    /// The guard's key is derived from `secrets.jwt`; there is no file to make, rotate or retire.
    #[error("guard {guard} signs with {algorithm}, whose key is derived from secrets.jwt: change that secret instead")]
    Derived {
        /// The guard.
        guard: GuardName,
        /// Its algorithm.
        algorithm: Algorithm,
    },
    /// Keys of this kind are not built in.
    #[error("{0} needs the cargo feature `rsa` of bekci, which is off")]
    Feature(Algorithm),
    /// The source of chance gave none.
    #[error("no random bytes: {0}")]
    Entropy(String),
    /// The root secret is refused.
    #[error("{path}: {reason}", path = path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: RootSecretFault,
    },
}

impl KeyStoreError {
    /// For `map_err`: what was tried, and with which file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn bad_key(path: &Path, reason: impl Into<String>) -> Self {
        Self::BadKey {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

/// A text that is no root secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootSecretFault {
    /// It has none of the forms that are read.
    #[error("a root secret is 32 bytes: raw, in base64, or in hex")]
    Form,
    /// It has 32 bytes and no chance in them.
    #[error(transparent)]
    Weak(#[from] WeakSecret),
}

/// Settings or keys with which a ring is not made.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// There is nothing to judge.
    #[error("there is no guard")]
    NoGuards,
    /// The issuer is empty.
    #[error("token.issuer is empty")]
    NoIssuer,
    /// A guard's audience is empty.
    #[error("the audience of guard {0} is empty")]
    NoAudience(GuardName),
    /// Two guards have something in common that must tell them apart.
    #[error("guards {first} and {second} have the same {what}")]
    Shared {
        /// One guard.
        first: GuardName,
        /// The other.
        second: GuardName,
        /// What they share: name, audience, kid or key.
        what: &'static str,
    },
    /// A guard signs with HS* and there is no secret to derive its key from.
    #[error("guard {0} signs with HS*, and secrets.jwt is not set")]
    NoJwtSecret(GuardName),
    /// The secret is too short for HS512 (RFC 7518 section 3.2).
    #[error("secrets.jwt has {0} bytes; it needs 64 random ones at least")]
    WeakJwtSecret(usize),
    /// The secret is plainly not random.
    #[error("secrets.jwt {0}; it needs 64 random bytes, as `openssl rand -base64 64` makes them")]
    GuessableJwtSecret(&'static str),
    /// A key is at fault.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
}
