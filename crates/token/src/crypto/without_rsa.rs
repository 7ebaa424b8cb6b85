//! EdDSA, ECDSA and HMAC by the crates that jsonwebtoken's provider calls too.

use ed25519_dalek::{Signer, Verifier};
use hmac::{Hmac, Mac, digest::KeyInit};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use p256::pkcs8::DecodePrivateKey;
use sha2::{Sha256, Sha384, Sha512};

fn with<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Option<M> {
    let mac = <M as Mac>::new_from_slice(key).ok()?;
    Some(mac.chain_update(message))
}

fn family(algorithm: Algorithm) -> AlgorithmFamily {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => AlgorithmFamily::Hmac,
        Algorithm::ES256 | Algorithm::ES384 => AlgorithmFamily::Ec,
        Algorithm::EdDSA => AlgorithmFamily::Ed,
        _ => AlgorithmFamily::Rsa,
    }
}

pub(super) fn signature(message: &[u8], key: &EncodingKey, algorithm: Algorithm) -> Result<Vec<u8>, String> {
    let other = || format!("it is not a key for {algorithm:?}");
    if key.family() != family(algorithm) {
        return Err(other());
    }
    let bytes = key.as_bytes();
    let signature = match algorithm {
        Algorithm::EdDSA => ed25519_dalek::SigningKey::from_pkcs8_der(bytes)
            .map(|key| key.sign(message).to_bytes().to_vec())
            .ok(),
        Algorithm::ES256 => p256::ecdsa::SigningKey::from_pkcs8_der(bytes)
            .map(|key| Signer::<p256::ecdsa::Signature>::sign(&key, message).to_vec())
            .ok(),
        Algorithm::ES384 => p384::ecdsa::SigningKey::from_pkcs8_der(bytes)
            .map(|key| Signer::<p384::ecdsa::Signature>::sign(&key, message).to_vec())
            .ok(),
        Algorithm::HS256 => with::<Hmac<Sha256>>(bytes, message).map(|mac| mac.finalize().into_bytes().to_vec()),
        Algorithm::HS384 => with::<Hmac<Sha384>>(bytes, message).map(|mac| mac.finalize().into_bytes().to_vec()),
        Algorithm::HS512 => with::<Hmac<Sha512>>(bytes, message).map(|mac| mac.finalize().into_bytes().to_vec()),
        _ => {
            return Err(format!(
                "{algorithm:?} needs the cargo feature `rsa` of bekci, which is off"
            ));
        }
    };
    signature.ok_or_else(other)
}

/// `None`: it is another's.
pub(super) fn verify(signature: &[u8], message: &[u8], key: &DecodingKey, algorithm: Algorithm) -> Option<()> {
    if key.family() != family(algorithm) {
        return None;
    }
    let bytes = key.try_get_as_bytes().ok()?;
    match algorithm {
        Algorithm::EdDSA => {
            let key = ed25519_dalek::VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()?;
            let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
            key.verify(message, &signature).ok()
        }
        Algorithm::ES256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).ok()?;
            let signature = p256::ecdsa::Signature::from_slice(signature).ok()?;
            key.verify(message, &signature).ok()
        }
        Algorithm::ES384 => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(bytes).ok()?;
            let signature = p384::ecdsa::Signature::from_slice(signature).ok()?;
            key.verify(message, &signature).ok()
        }
        // The comparison takes constant time.
        Algorithm::HS256 => with::<Hmac<Sha256>>(bytes, message)?.verify_slice(signature).ok(),
        Algorithm::HS384 => with::<Hmac<Sha384>>(bytes, message)?.verify_slice(signature).ok(),
        Algorithm::HS512 => with::<Hmac<Sha512>>(bytes, message)?.verify_slice(signature).ok(),
        _ => None,
    }
}
