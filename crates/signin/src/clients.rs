//! The clients that may introspect and revoke tokens (RFC 7662, RFC 7009).

use std::{collections::BTreeMap, fmt};

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The shortest secret of a client, in bytes.
const LEAST_SECRET: usize = 16;

/// A client that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The name is empty, too long, or holds a character that Basic credentials cannot.
    #[error("the name is not 1 to 64 visible ASCII characters without a colon")]
    Name,
    /// The secret is too short.
    #[error("the secret is under 16 bytes")]
    ShortSecret,
    /// The secret is not random.
    #[error("the secret is one character, repeated")]
    UniformSecret,
}

/// The clients by name, each with the SHA-256 digest of its secret. Secrets are long and random, so that no slow hash is needed.
#[derive(Clone, Default)]
pub struct Clients(BTreeMap<String, [u8; 32]>);

impl Clients {
    /// Adds a client, or replaces its secret.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn add(&mut self, name: &str, secret: &SecretString) -> Result<(), ClientError> {
        // RFC 6749 appendix A.1 has more; a colon would end the name in Basic credentials.
        let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
            return Err(ClientError::Name);
        }
        let secret = secret.expose_secret().as_bytes();
        if secret.len() < LEAST_SECRET {
            return Err(ClientError::ShortSecret);
        }
        if secret.iter().all(|byte| Some(byte) == secret.first()) {
            return Err(ClientError::UniformSecret);
        }
        self.0.insert(name.to_owned(), digest(secret));
        Ok(())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of the client that these credentials belong to, if the secret is right. An unknown name takes as long as a wrong secret.
    #[must_use]
    pub fn authenticate(&self, name: &str, secret: &str) -> Option<&str> {
        let presented = digest(secret.as_bytes());
        let found = self.0.get_key_value(name);
        let expected = found.map_or([0; 32], |(_, digest)| *digest);
        let matches = bool::from(presented.ct_eq(&expected));
        found.filter(|_| matches).map(|(name, _)| name.as_str())
    }
}

fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

impl fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_authenticated_by_its_own_secret_alone() {
        let mut clients = Clients::default();
        assert!(clients.is_empty());
        clients.add("reporting", &"a secret of reporting".into()).unwrap();
        clients.add("billing", &"a secret of billing".into()).unwrap();
        let authenticated = |name, secret| clients.authenticate(name, secret);
        assert_eq!(authenticated("reporting", "a secret of reporting"), Some("reporting"));
        assert_eq!(authenticated("reporting", "a secret of billing"), None);
        assert_eq!(authenticated("reporting", ""), None);
        assert_eq!(authenticated("nobody", "a secret of reporting"), None);
        assert_eq!(authenticated("Reporting", "a secret of reporting"), None);
        assert_eq!(format!("{clients:?}"), r#"{"billing", "reporting"}"#);
    }

    #[test]
    fn a_bad_name_and_a_weak_secret_are_refused() {
        let refused = |name: &str, secret: &str| Clients::default().add(name, &secret.into()).unwrap_err();
        for name in ["", "a:b", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(refused(name, "a secret of reporting"), ClientError::Name, "{name}");
        }
        assert_eq!(refused("reporting", "fifteen bytes.."), ClientError::ShortSecret);
        assert_eq!(refused("reporting", &"x".repeat(40)), ClientError::UniformSecret);
    }
}
