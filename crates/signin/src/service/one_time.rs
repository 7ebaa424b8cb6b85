//! One-time codes: made, and hashed under a key. Both sign-in by mail and the verification of a sign-in use them.

use std::sync::Arc;

use bekci_core::{
    AuthGuard, Entropy, Purpose, RootSecret, SessionId, TokenId,
    accounts::{CodeAbout, CodePurpose, NewCode},
    codes::{CODE_HASH_BYTES, CodeStore, VerificationCode},
    mail::{EmailAddress, Mail, MailKind, MailLanguage},
};
use time::OffsetDateTime;

use crate::{error::SignInError, keyed::keyed};

/// Where one-time codes are kept, and what keys their hashes.
#[derive(Clone, Debug)]
pub struct CodeParts {
    /// Keeps them.
    pub store: Arc<dyn CodeStore>,
    /// Keys their hashes: of `secrets.otp`, or the root secret.
    pub root: Arc<RootSecret>,
}

impl CodeParts {
    /// The keyed hash of a secret. It is bound to its purpose, guard, reference and address.
    pub(super) fn hash(
        &self,
        guard: &AuthGuard,
        purpose: CodePurpose,
        (id, address): (TokenId, &EmailAddress),
        secret: &str,
    ) -> Vec<u8> {
        let label = format!("{}\0", purpose.as_str());
        let text = format!("{id}\0{}\0{secret}", address.as_str());
        let key = (&*self.root, Purpose::Code, &guard.name);
        keyed(key, label.as_bytes(), text.as_bytes()).to_vec()
    }

    /// A code for the temporary identity that this session stands for.
    pub(super) fn for_temporary<'a>(
        &'a self,
        entropy: &dyn Entropy,
        guard: &'a AuthGuard,
        (session, now): (SessionId, OffsetDateTime),
        language: MailLanguage,
    ) -> Result<TemporaryCode<'a>, SignInError> {
        let mut chance = [0; CODE_HASH_BYTES];
        entropy.fill(&mut chance).map_err(no_entropy)?;
        Ok(TemporaryCode {
            parts: self,
            guard,
            session,
            code: digits(entropy, guard.otp.length)?,
            chance,
            language,
            now,
        })
    }
}

/// The code of a temporary identity.
pub(super) struct TemporaryCode<'a> {
    parts: &'a CodeParts,
    guard: &'a AuthGuard,
    session: SessionId,
    code: String,
    /// What stands in the row for the secret of a link: there is none.
    chance: [u8; CODE_HASH_BYTES],
    language: MailLanguage,
    now: OffsetDateTime,
}

impl VerificationCode for TemporaryCode<'_> {
    fn to(&self, address: &EmailAddress, ends: OffsetDateTime) -> (NewCode, Mail) {
        let expires_at = ends.min(self.now + self.guard.otp.ttl);
        let purpose = CodePurpose::Verification;
        let of_code = self
            .parts
            .hash(self.guard, purpose, (self.session, address), &self.code);
        let row = NewCode {
            id: self.session,
            purpose,
            guard: self.guard.name.clone(),
            hash: [of_code, self.chance.to_vec()].concat(),
            about: CodeAbout {
                address: address.clone(),
                session: Some(self.session),
                invite: None,
            },
            expires_at,
            now: self.now,
        };
        let mail = Mail {
            kind: MailKind::VerificationCode,
            to: address.clone(),
            language: self.language,
            values: [
                ("code".to_owned(), self.code.clone()),
                ("minutes".to_owned(), minutes(expires_at - self.now)),
            ]
            .into(),
            expires_at,
        };
        (row, mail)
    }
}

/// Minutes, rounded up.
pub(super) fn minutes(time: time::Duration) -> String {
    (time.whole_seconds().saturating_add(59) / 60).to_string()
}

pub(super) fn no_entropy(error: String) -> SignInError {
    SignInError::Internal(error.into())
}

/// So many digits, each number as likely as any other; leading zeros are kept.
pub(super) fn digits(entropy: &dyn Entropy, length: u32) -> Result<String, SignInError> {
    let bound = 10_u64.saturating_pow(length);
    // What is left over at the end of the range would make small numbers more likely.
    let limit = u64::MAX - u64::MAX % bound;
    loop {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes).map_err(no_entropy)?;
        let number = u64::from_le_bytes(bytes);
        if number < limit {
            let width = usize::try_from(length).unwrap_or_default();
            return Ok(format!("{:0width$}", number % bound));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Numbers that are spread over the whole range (a Weyl sequence, mixed as in SplitMix64).
    #[derive(Debug)]
    struct Spread(AtomicU64);

    impl Entropy for Spread {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), String> {
            for bytes in buffer.chunks_mut(8) {
                let step = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
                let mixed = (step ^ (step >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                let mixed = (mixed ^ (mixed >> 31)).to_le_bytes();
                bytes.iter_mut().zip(mixed).for_each(|(to, from)| *to = from);
            }
            Ok(())
        }
    }

    /// Always the same bytes, then one that fits.
    #[derive(Debug)]
    struct Top(AtomicU64);

    impl Entropy for Top {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), String> {
            let byte = if self.0.fetch_add(1, Ordering::Relaxed) < 3 {
                0xFF
            } else {
                0
            };
            buffer.fill(byte);
            Ok(())
        }
    }

    #[test]
    fn codes_are_uniform_by_chi_square_and_keep_leading_zeros() {
        let entropy = Spread(AtomicU64::new(1));
        let mut counts = [[0_u32; 10]; 6];
        let mut leading = 0;
        for _ in 0..100_000 {
            let code = digits(&entropy, 6).unwrap();
            assert_eq!(code.len(), 6);
            leading += u32::from(code.starts_with('0'));
            for (place, digit) in counts.iter_mut().zip(code.bytes()) {
                place[usize::from(digit - b'0')] += 1;
            }
        }
        assert!(leading > 9_000, "{leading}");
        for place in counts {
            let chi: f64 = place
                .iter()
                .map(|count| (f64::from(*count) - 10_000.0).powi(2) / 10_000.0)
                .sum();
            // Nine degrees of freedom: larger once in 10,000.
            assert!(chi < 33.7, "{chi} {place:?}");
        }
    }

    #[test]
    fn what_would_make_small_numbers_likelier_is_drawn_again() {
        let entropy = Top(AtomicU64::new(0));
        assert_eq!(digits(&entropy, 6).unwrap(), "000000");
        assert_eq!(entropy.0.load(Ordering::Relaxed), 4);
        assert_eq!(digits(&entropy, 10).unwrap().len(), 10);
    }
}
