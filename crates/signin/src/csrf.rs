//! The value that proves, beside cookies, that a request comes from our own pages.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::Entropy;
use secrecy::SecretString;

/// 256 bits.
const CSRF_BYTES: usize = 32;

/// A new CSRF token for a session that is kept in cookies: 43 characters of base64url, over the 32 that the guards ask for.
///
/// # Errors
/// The entropy source's own message; nothing may be issued then.
pub fn csrf_token(entropy: &dyn Entropy) -> Result<SecretString, String> {
    let mut bytes = [0; CSRF_BYTES];
    entropy.fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

#[cfg(test)]
mod tests {
    use bekci_core::testing::CountingEntropy;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[derive(Debug)]
    struct Broken;

    impl Entropy for Broken {
        fn fill(&self, _: &mut [u8]) -> Result<(), String> {
            Err("no chance here".into())
        }
    }

    #[test]
    fn a_csrf_token_is_long_enough_for_the_guards_fits_a_cookie_and_comes_once() {
        let entropy = CountingEntropy::default();
        let first = csrf_token(&entropy).unwrap();
        let text = first.expose_secret();
        assert!(text.len() >= 32);
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        );
        assert_ne!(text, csrf_token(&entropy).unwrap().expose_secret());
    }

    #[test]
    fn without_chance_there_is_no_token() {
        assert_eq!(csrf_token(&Broken).unwrap_err(), "no chance here");
    }
}
