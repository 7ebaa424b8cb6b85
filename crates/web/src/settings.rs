//! What an application says of itself.

use std::path::PathBuf;

use bekci_core::RootSecret;
use bekci_signin::HashSettings;
use bekci_store::CacheSettings;
use bekci_token::Algorithm;
use secrecy::SecretString;

use crate::{AuditTrail, BuildError, Tenancy, TrustedProxies};

/// What an application says of itself.
#[derive(Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The origin, as browsers see it: `https://example.com`. Prefixes and `Secure` of cookies come from it, never from a request.
    pub public_url: String,
    /// Where the signing keys are: `<keys_dir>/<guard>/<kid>.pem`.
    pub keys_dir: PathBuf,
    /// The root secret, from which refresh, device, CSRF and seal keys are derived.
    pub root: RootSecret,
    /// Whether a guard's missing key is made. `None`: with SQLite alone, since nodes that share a server database must share their keys.
    pub make_missing_keys: Option<bool>,
    /// The `iss` of tokens; `None`: the public URL.
    pub issuer: Option<String>,
    /// How tokens are signed.
    pub algorithm: Algorithm,
    /// What HS* keys are derived from.
    pub jwt_secret: Option<SecretString>,
    /// What one-time codes are keyed with: 32 bytes or more. `None`: a key derived from the root secret.
    pub otp_secret: Option<SecretString>,
    /// How far clocks may differ.
    pub leeway: time::Duration,
    /// From the making of a key to its first signature.
    pub activate_after: time::Duration,
    /// Where requests say which tenant they ask about.
    pub tenancy: Tenancy,
    /// How identities are kept in memory.
    pub cache: CacheSettings,
    /// How passwords are hashed.
    pub passwords: HashSettings,
    /// The proxies whose `X-Forwarded-For` is believed when refused sign-ins are counted by address. With none of them known, everybody behind a proxy has the proxy's
    /// address, and one limit together.
    pub trusted_proxies: TrustedProxies,
    /// The longest body that Bekci itself reads, as at sign-in, in bytes. A longer one is 413.
    pub body_bytes: usize,
    /// Whether security events are taken where they go.
    pub audit: AuditTrail,
}

impl Settings {
    /// Settings with the contract's defaults.
    #[must_use]
    pub fn new(public_url: &str, keys_dir: impl Into<PathBuf>, root: RootSecret) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            keys_dir: keys_dir.into(),
            root,
            make_missing_keys: None,
            issuer: None,
            algorithm: Algorithm::EdDsa,
            jwt_secret: None,
            otp_secret: None,
            leeway: time::Duration::seconds(5),
            activate_after: time::Duration::seconds(60),
            tenancy: Tenancy::none(),
            cache: CacheSettings::default(),
            passwords: HashSettings::default(),
            trusted_proxies: TrustedProxies::none(),
            body_bytes: 65_536,
            audit: AuditTrail::unwatched(),
        }
    }

    pub(crate) fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let rest = self
            .public_url
            .strip_prefix("https://")
            .or_else(|| self.public_url.strip_prefix("http://"));
        let is_origin = rest.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']));
        if is_origin {
            Ok(())
        } else {
            Err(BuildError::PublicUrl(self.public_url.clone()))
        }
    }
}
