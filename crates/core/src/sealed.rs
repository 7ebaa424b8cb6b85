//! Encryption of values that the database stores and that its readers must not see.
//!
//! XChaCha20-Poly1305 under a key that is derived from the root secret. The nonce is 192 random bits, so one key serves any number of rows, and stands before the ciphertext.
//! What a sealed text belongs to is bound to it as associated data: it does not open in another row.

use chacha20poly1305::{
    Key, KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use secrecy::{ExposeSecret as _, SecretBox};

use crate::Entropy;

const NONCE_BYTES: usize = 24;

/// Seals a text for the row that `about` names.
///
/// # Errors
/// Why there is no random number, or that the text is too long.
pub fn seal(key: &SecretBox<[u8; 32]>, entropy: &dyn Entropy, about: &[u8], text: &[u8]) -> Result<Vec<u8>, String> {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce)?;
    let sealed = cipher(key).encrypt(&XNonce::from(nonce), Payload { msg: text, aad: about });
    let sealed = sealed.map_err(|_| "the text is too long to be sealed".to_owned())?;
    Ok([&nonce[..], &sealed].concat())
}

/// Opens what [`seal`] made with the same key for the same row; `None`: it is something else, or was changed.
#[must_use]
pub fn open(key: &SecretBox<[u8; 32]>, about: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload {
        msg: sealed,
        aad: about,
    };
    cipher(key).decrypt(&XNonce::from(*nonce), payload).ok()
}

fn cipher(key: &SecretBox<[u8; 32]>) -> XChaCha20Poly1305 {
    let key: &Key = key.expose_secret().into();
    XChaCha20Poly1305::new(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
            bytes.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
            Ok(())
        }
    }

    fn key(byte: u8) -> SecretBox<[u8; 32]> {
        SecretBox::new(Box::new([byte; 32]))
    }

    #[test]
    fn it_opens_under_its_key_in_its_row_unchanged_and_nowhere_else() {
        let sealed = seal(&key(1), &Counting, b"row 1", b"secret").unwrap();
        assert_eq!(open(&key(1), b"row 1", &sealed), Some(b"secret".to_vec()));
        assert_eq!(open(&key(2), b"row 1", &sealed), None);
        assert_eq!(open(&key(1), b"row 2", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&key(1), b"row 1", &changed), None, "{at}");
            assert_eq!(open(&key(1), b"row 1", &sealed[..at]), None, "{at}");
        }
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
    }
}
