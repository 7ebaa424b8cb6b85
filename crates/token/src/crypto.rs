//! Signatures.
//!
//! With the feature `rsa` they are those of jsonwebtoken's pure Rust provider. It is named here and not taken from the process: an application that builds jsonwebtoken with two providers,
//! or installs one of its own, changes nothing. That provider brings the crate `rsa` with it, so without the feature the same crates are called here, for the other algorithms.

#[cfg(not(feature = "rsa"))]
mod without_rsa;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

#[cfg(not(feature = "rsa"))]
use without_rsa::{signature, verify};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// The signature of a message, in base64url.
pub(crate) fn sign(message: &[u8], key: &EncodingKey, algorithm: Algorithm) -> Result<String, String> {
    signature(message, key, algorithm).map(|signature| URL_SAFE_NO_PAD.encode(signature))
}

/// Whether the signature, in base64url, is the key's over the message. An error is a no.
pub(crate) fn verifies(signature: &str, message: &[u8], key: &DecodingKey, algorithm: Algorithm) -> bool {
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
        return false;
    };
    verify(&signature, message, key, algorithm).is_some()
}

#[cfg(feature = "rsa")]
fn signature(message: &[u8], key: &EncodingKey, algorithm: Algorithm) -> Result<Vec<u8>, String> {
    let provider = &jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
    let signer = (provider.signer_factory)(&algorithm, key).map_err(|error| error.to_string())?;
    signer.try_sign(message).map_err(|error| error.to_string())
}

/// `None`: it is another's.
#[cfg(feature = "rsa")]
fn verify(signature: &[u8], message: &[u8], key: &DecodingKey, algorithm: Algorithm) -> Option<()> {
    let provider = &jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
    let verifier = (provider.verifier_factory)(&algorithm, key).ok()?;
    verifier.verify(message, &signature.to_vec()).ok()
}
