//! `[token]` and `[secrets]`.

use std::path::PathBuf;

use crate::config::schema::{Fallback::Absent, Fallback::Computed, Fallback::Toml, Kind, range, settings};
use crate::config::tree::Value;
use crate::config::values::choice;
use crate::config::values::secret::{self, Root, Secret};
use crate::config::values::time::Seconds;
use crate::config::values::url::HttpUrl;

choice! {
    /// How access tokens are signed (RFC 7518, RFC 8037).
    Algorithm {
        /// Ed25519.
        EdDsa = "EdDSA",
        /// ECDSA with P-256 and SHA-256.
        Es256 = "ES256",
        /// ECDSA with P-384 and SHA-384.
        Es384 = "ES384",
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 = "RS256",
        /// RSASSA-PSS with SHA-256.
        Ps256 = "PS256",
        /// HMAC with SHA-256.
        Hs256 = "HS256",
        /// HMAC with SHA-384.
        Hs384 = "HS384",
        /// HMAC with SHA-512.
        Hs512 = "HS512",
    }
}

impl Algorithm {
    /// Whether the key is a shared secret.
    pub(crate) fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

settings! {
    /// Access tokens and the keys that sign them.
    Token {
        /// The `iss` claim.
        issuer: HttpUrl = Computed { says: "`server.public_url`", value: |facts| Value::Text(facts.public_url.clone()) };
        /// How new tokens are signed.
        algorithm: Algorithm = Toml("'EdDSA'");
        /// The folder of the signing keys: `<guard>/<kid>.pem` (PKCS#8), mode 0600. With SQLite they are made at the start; with a server database a missing
        /// key refuses it, and `bekci key generate` makes it.
        keys_dir: PathBuf = Toml("'data/keys'");
        /// How long a new key is published before it signs. A guard's first key signs at once.
        activate_after_seconds: Seconds [range(0, 86_400)] = Toml("60");
        /// How far clocks may differ, at `exp`, `nbf` and `iat`.
        leeway_seconds: Seconds [range(0, 60)] = Toml("5");
    }
}

settings! {
    /// The secrets that keys are derived from.
    Secrets {
        /// 32 random bytes, in hexadecimal or base64, or as they are in a file. From it come the keys of refresh tokens, CSRF tokens, cookies and codes, each
        /// by HKDF with its purpose and guard. With SQLite a missing file is made at the start; with a server database `bekci key generate` makes it.
        root: Secret [Kind::Secret(&secret::ROOT)] = Toml("{ file = 'data/keys/root' }");
        /// Keys one-time codes. 32 bytes at least, not all of one character.
        otp: Option<Secret> [Kind::Secret(&secret::OTP)] = Absent;
        /// Each guard's key for HS256, HS384 and HS512 is derived from it; needed for those only. 64 bytes at least.
        jwt: Option<Secret> [Kind::Secret(&secret::JWT)] = Absent;
    }
}

impl Secrets {
    /// The root secret, or the path of the file that does not exist yet.
    pub(crate) fn root(&self) -> Root<'_> {
        self.root.root()
    }
}
