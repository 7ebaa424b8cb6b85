//! One key: made, read, and put to work. The signatures themselves are in `crypto`.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{Entropy, GuardName};
use ed25519_dalek::pkcs8::KeypairBytes;
use hkdf::Hkdf;
use jsonwebtoken::{DecodingKey, EncodingKey};
use p256::{
    elliptic_curve::sec1::ToEncodedPoint,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, SecretDocument},
};
#[cfg(feature = "rsa")]
use rsa::{RsaPrivateKey, pkcs1::EncodeRsaPrivateKey, traits::PublicKeyParts};
use serde::Serialize;
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::{
    algorithm::Algorithm,
    crypto,
    entropy::{SeededRng, random},
    error::KeyStoreError,
    key_id::KeyId,
};

/// 3072 bits are the 128-bit strength that every other algorithm here has (NIST SP 800-57 part 1, table 2).
#[cfg(feature = "rsa")]
const RSA_BITS: usize = 3072;
/// The largest modulus that the library verifies with.
#[cfg(feature = "rsa")]
const RSA_MAX_BITS: usize = 4096;

/// The public part of a key, in the words of a JWK (RFC 7518 section 6, RFC 8037 section 2). Equal for equal keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kty")]
pub(crate) enum PublicKey {
    #[serde(rename = "OKP")]
    Okp { crv: &'static str, x: String },
    #[serde(rename = "EC")]
    Ec { crv: &'static str, x: String, y: String },
    #[cfg(feature = "rsa")]
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
}

/// A key that signs and verifies by one algorithm.
pub(crate) struct SigningKey {
    algorithm: Algorithm,
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// `None` for a symmetric key, which has no part to publish.
    public: Option<PublicKey>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", self.algorithm)
    }
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A new private key in PKCS#8; `None` for a symmetric algorithm, whose keys are derived.
pub(crate) fn generate(algorithm: Algorithm, entropy: &dyn Entropy) -> Result<Option<SecretDocument>, KeyStoreError> {
    let failed = |error: p256::pkcs8::Error| KeyStoreError::Entropy(format!("no key came of them: {error}"));
    match algorithm {
        Algorithm::EdDsa => {
            // Without the public key in it: version 1, since OpenSSL does not read version 2 (RFC 5958).
            let pair = KeypairBytes {
                secret_key: *random(entropy)?,
                public_key: None,
            };
            pair.to_pkcs8_der().map(Some).map_err(failed)
        }
        Algorithm::Es256 => {
            let key = p256::SecretKey::random(&mut SeededRng::new(entropy)?);
            key.to_pkcs8_der().map(Some).map_err(failed)
        }
        Algorithm::Es384 => {
            let key = p384::SecretKey::random(&mut SeededRng::new(entropy)?);
            key.to_pkcs8_der().map(Some).map_err(failed)
        }
        #[cfg(not(feature = "rsa"))]
        Algorithm::Rs256 | Algorithm::Ps256 => Err(KeyStoreError::Feature(algorithm)),
        #[cfg(feature = "rsa")]
        Algorithm::Rs256 | Algorithm::Ps256 => {
            let key = RsaPrivateKey::new(&mut SeededRng::new(entropy)?, RSA_BITS)
                .map_err(|error| KeyStoreError::Entropy(format!("no key came of them: {error}")))?;
            key.to_pkcs8_der().map(Some).map_err(failed)
        }
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => Ok(None),
    }
}

impl SigningKey {
    /// Reads a private key in PKCS#8 that must be of the algorithm's kind.
    pub(crate) fn from_pkcs8(algorithm: Algorithm, der: &SecretDocument) -> Result<Self, String> {
        let other = |_| format!("it is not a key for {algorithm}");
        let bytes = der.as_bytes();
        match algorithm {
            Algorithm::EdDsa => {
                let public = ed25519_dalek::SigningKey::from_pkcs8_der(bytes)
                    .map_err(other)?
                    .verifying_key();
                Ok(Self {
                    algorithm,
                    encoding: EncodingKey::from_ed_der(bytes),
                    decoding: DecodingKey::from_ed_der(public.as_bytes()),
                    public: Some(PublicKey::Okp {
                        crv: "Ed25519",
                        x: base64url(public.as_bytes()),
                    }),
                })
            }
            Algorithm::Es256 => {
                let point = p256::SecretKey::from_pkcs8_der(bytes)
                    .map_err(other)?
                    .public_key()
                    .to_encoded_point(false);
                Self::on_curve(algorithm, bytes, point.as_bytes(), "P-256", point.x().zip(point.y()))
            }
            Algorithm::Es384 => {
                let point = p384::SecretKey::from_pkcs8_der(bytes)
                    .map_err(other)?
                    .public_key()
                    .to_encoded_point(false);
                Self::on_curve(algorithm, bytes, point.as_bytes(), "P-384", point.x().zip(point.y()))
            }
            #[cfg(not(feature = "rsa"))]
            Algorithm::Rs256 | Algorithm::Ps256 => Err(KeyStoreError::Feature(algorithm).to_string()),
            #[cfg(feature = "rsa")]
            Algorithm::Rs256 | Algorithm::Ps256 => {
                Self::from_rsa(algorithm, &RsaPrivateKey::from_pkcs8_der(bytes).map_err(other)?)
            }
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
                Err(format!("keys for {algorithm} are derived, not read"))
            }
        }
    }

    fn on_curve(
        algorithm: Algorithm,
        pkcs8: &[u8],
        point: &[u8],
        crv: &'static str,
        coordinates: Option<(impl AsRef<[u8]>, impl AsRef<[u8]>)>,
    ) -> Result<Self, String> {
        let (x, y) = coordinates.ok_or("its public key is the point at infinity")?;
        Ok(Self {
            algorithm,
            encoding: EncodingKey::from_ec_der(pkcs8),
            decoding: DecodingKey::from_ec_der(point),
            public: Some(PublicKey::Ec {
                crv,
                x: base64url(x),
                y: base64url(y),
            }),
        })
    }

    #[cfg(feature = "rsa")]
    fn from_rsa(algorithm: Algorithm, key: &RsaPrivateKey) -> Result<Self, String> {
        let bits = key.n().bits();
        if !(RSA_BITS..=RSA_MAX_BITS).contains(&bits) {
            return Err(format!("an RSA key of {bits} bits, not {RSA_BITS} to {RSA_MAX_BITS}"));
        }
        let (n, e) = (key.n().to_bytes_be(), key.e().to_bytes_be());
        let pkcs1 = key.to_pkcs1_der().map_err(|error| error.to_string())?;
        Ok(Self {
            algorithm,
            encoding: EncodingKey::from_rsa_der(pkcs1.as_bytes()),
            decoding: DecodingKey::from_rsa_raw_components(&n, &e),
            public: Some(PublicKey::Rsa {
                n: base64url(n),
                e: base64url(e),
            }),
        })
    }

    /// The key of a guard and the id of that key, both from the secret (HKDF with SHA-512, RFC 5869). The key is as long as the algorithm's hash
    /// (RFC 7518 section 3.2); the info names version, use, algorithm and guard, so that no two of them share a key. `None` for an asymmetric algorithm.
    pub(crate) fn derive(algorithm: Algorithm, secret: &[u8], guard: &GuardName) -> Option<(KeyId, Self)> {
        let length = match algorithm {
            Algorithm::Hs256 => 32,
            Algorithm::Hs384 => 48,
            Algorithm::Hs512 => 64,
            _ => return None,
        };
        let source = Hkdf::<Sha512>::new(None, secret);
        let mut key = Zeroizing::new(vec![0; length]);
        source
            .expand(format!("bekci/1/jwt/{algorithm}/{guard}").as_bytes(), &mut key)
            .ok()?;
        let mut id = [0; 16];
        source
            .expand(format!("bekci/1/jwt-kid/{algorithm}/{guard}").as_bytes(), &mut id)
            .ok()?;
        let made = Self {
            algorithm,
            encoding: EncodingKey::from_secret(&key),
            decoding: DecodingKey::from_secret(&key),
            public: None,
        };
        Some((KeyId::parse(&bekci_core::TokenId(id).to_string())?, made))
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn public(&self) -> Option<&PublicKey> {
        self.public.as_ref()
    }

    /// The signature of the message, in base64url.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<String, String> {
        crypto::sign(message, &self.encoding, self.algorithm.jsonwebtoken())
    }

    /// Whether the signature, in base64url, is this key's over the message. An error of the library is a no.
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        crypto::verifies(signature, message, &self.decoding, self.algorithm.jsonwebtoken())
    }
}
