//! The root secret, from which every other symmetric key is derived.

use std::fmt;

use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest as _, Sha256};

use crate::name::GuardName;

/// What a derived key is for. Keys of two purposes, or of two guards, have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The MAC over cached identities in Redis.
    Seal,
    /// The MAC in refresh tokens.
    Refresh,
    /// The hash under which `deviceId`s are stored.
    Device,
    /// CSRF tokens.
    Csrf,
    /// The hashes under which refusals are counted.
    Limit,
    /// References of sign-ins that wait for their verification.
    Verification,
    /// One-time codes, where no secret of their own is configured.
    Code,
    /// What waits in the database for its mail.
    Mail,
    /// The MAC in remember-me tokens.
    Remember,
    /// Security cookies.
    Security,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Refresh => "refresh",
            Self::Device => "device",
            Self::Csrf => "csrf",
            Self::Limit => "limit",
            Self::Verification => "verification",
            Self::Code => "code",
            Self::Mail => "mail",
            Self::Remember => "remember",
            Self::Security => "security",
        }
    }
}

/// A root secret that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// It is not 32 bytes.
    #[error("it has {0} bytes, and needs 32")]
    Length(usize),
    /// All of its bytes are equal.
    #[error("it is one byte over and over")]
    Uniform,
}

/// 32 random bytes that a deployment keeps. It does not print and is wiped when dropped.
pub struct RootSecret(SecretBox<[u8; 32]>);

impl RootSecret {
    /// Takes the secret.
    ///
    /// # Errors
    /// [`WeakSecret`] where it is not 32 bytes or plainly no random ones.
    pub fn new(bytes: &[u8]) -> Result<Self, WeakSecret> {
        let fixed: [u8; 32] = bytes.try_into().map_err(|_| WeakSecret::Length(bytes.len()))?;
        if fixed.iter().all(|byte| Some(byte) == fixed.first()) {
            return Err(WeakSecret::Uniform);
        }
        Ok(Self(SecretBox::new(Box::new(fixed))))
    }

    /// The key for a purpose, and a guard where the purpose has one key for each (HKDF with SHA-256, RFC 5869; the info names version, purpose and guard).
    #[must_use]
    pub fn derive(&self, purpose: Purpose, guard: Option<&GuardName>) -> SecretBox<[u8; 32]> {
        let mut key = Box::new([0; 32]);
        let info = format!(
            "bekci/1/{}/{}",
            purpose.label(),
            guard.map(GuardName::as_str).unwrap_or_default()
        );
        let expanded = Hkdf::<Sha256>::new(None, self.0.expose_secret()).expand(info.as_bytes(), &mut *key);
        debug_assert!(expanded.is_ok(), "32 bytes are within what HKDF-SHA-256 gives");
        SecretBox::new(key)
    }
}

impl RootSecret {
    /// A secret of a purpose of its own, such as `secrets.otp`: a text of 32 bytes or more.
    ///
    /// # Errors
    /// [`WeakSecret`] for a shorter one, and for one byte over and over.
    pub fn of_text(text: &[u8]) -> Result<Self, WeakSecret> {
        if text.len() < 32 {
            return Err(WeakSecret::Length(text.len()));
        }
        if text.iter().all(|byte| Some(byte) == text.first()) {
            return Err(WeakSecret::Uniform);
        }
        Self::new(&Sha256::digest(text))
    }
}

impl fmt::Debug for RootSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RootSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_secret_purpose_and_guard() {
        let root = |byte: u8| RootSecret::new(&(0..32).map(|n| n ^ byte).collect::<Vec<u8>>()).unwrap();
        let guard = |name| Some(GuardName::new(name).unwrap());
        let key =
            |root: &RootSecret, purpose, name: Option<GuardName>| *root.derive(purpose, name.as_ref()).expose_secret();
        let first = key(&root(0), Purpose::Refresh, guard("admin"));
        assert_eq!(first, key(&root(0), Purpose::Refresh, guard("admin")));
        assert_ne!(first, key(&root(1), Purpose::Refresh, guard("admin")));
        assert_ne!(first, key(&root(0), Purpose::Csrf, guard("admin")));
        assert_ne!(first, key(&root(0), Purpose::Refresh, guard("customer")));
        assert_ne!(first, key(&root(0), Purpose::Refresh, None));
    }

    #[test]
    fn weak_secrets_are_refused_and_none_prints() {
        assert_eq!(RootSecret::new(&[1; 31]).unwrap_err(), WeakSecret::Length(31));
        assert_eq!(RootSecret::new(&[7; 32]).unwrap_err(), WeakSecret::Uniform);
        let bytes: Vec<u8> = (65..97).collect();
        assert_eq!(format!("{:?}", RootSecret::new(&bytes).unwrap()), "RootSecret(..)");
    }
}
