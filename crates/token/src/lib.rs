//! Signing keys, JWKS, issuing and verifying tokens: the only crate of Bekci that knows jsonwebtoken.
//!
//! - [`KeyStore`] keeps the key files: makes, lists, rotates and retires keys.
//! - [`KeyRing`] reads them for all guards, and is the [`TokenIssuer`](bekci_core::TokenIssuer) and [`TokenVerifier`](bekci_core::TokenVerifier).
//! - [`KeyRing::inspect`] and [`inspect_with_jwks`] tell people why a token is accepted or refused.
//! - [`IdpKeySets`] reads the keys of identity providers, which verify their ID tokens.
//! - [`ensure_root`] keeps the root secret, [`OsEntropy`] is the system's chance.
//!
//! The library does the signatures and nothing else: what a header or a claim must be is decided here, since it leaves much of that open (RFC 8725 lists what).
//!
//! ```
//! use std::sync::Arc;
//!
//! use bekci_core::{AuthGuard, Clock, GuardName, IdKind, ModelName};
//! use bekci_token::{Algorithm, KeyRing, KeyStore, OsEntropy, RingGuard, RingSettings};
//!
//! # #[derive(Debug)] struct Fixed;
//! # impl Clock for Fixed {
//! #     fn now(&self) -> time::OffsetDateTime { time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000) }
//! #     fn uptime(&self) -> std::time::Duration { std::time::Duration::ZERO }
//! # }
//! # let clock = Arc::new(Fixed);
//! # let dir = std::env::temp_dir().join(format!("bekci-doc-ring-{}", std::process::id()));
//! let name = GuardName::new("customer")?;
//! KeyStore::new(&dir).ensure(&[(name.clone(), Algorithm::EdDsa)], &*clock, &OsEntropy)?;
//! let guard = AuthGuard::new(name, ModelName::new("customer")?, IdKind::Integer, true);
//! let guards = vec![RingGuard::new(&guard, Algorithm::EdDsa)];
//! let ring = KeyRing::load(RingSettings::new("https://api.example.com", &dir, guards), clock)?;
//! assert_eq!(ring.jwks()["keys"][0]["crv"], "Ed25519");
//! # std::fs::remove_dir_all(dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod algorithm;
mod cache;
mod claims;
mod compact;
mod crypto;
mod entropy;
mod error;
mod header;
mod id_token;
mod inspect;
mod issue;
mod json;
mod jwks;
mod key_file;
mod key_id;
mod private_file;
mod ring;
mod root;
mod schedule;
mod signing_key;
mod store;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use entropy::OsEntropy;
pub use error::{KeyStoreError, RingError, RootSecretFault};
pub use id_token::IdpKeySets;
pub use inspect::{CheckLine, Inspection, JwksError, inspect_with_jwks};
pub use key_id::KeyId;
pub use ring::{KeyRing, Lifetimes, RingGuard, RingSettings, RingStats};
pub use root::{ensure_root, parse_root, read_root};
pub use store::{KeyInfo, KeyStatus, KeyStore};
