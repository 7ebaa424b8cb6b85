//! PBKDF2 with SHA-256 (RFC 8018 section 5.2), as Django stores it: `pbkdf2_sha256$<rounds>$<salt>$<base64 of 32 bytes>`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

const OUTPUT_BYTES: usize = 32;

/// More than any release of Django makes. About a second on a slow core.
const MOST_ROUNDS: u32 = 2_000_000;
/// Django makes 22 characters at most.
const MOST_SALT: usize = 128;

/// A stored hash. The salt is used as it is written.
pub(super) struct Django<'a> {
    rounds: u32,
    salt: &'a str,
    output: [u8; OUTPUT_BYTES],
}

impl<'a> Django<'a> {
    pub(super) const PREFIX: &'static str = "pbkdf2_sha256$";

    /// What is behind the prefix.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('$');
        let (rounds, salt, output) = (parts.next()?, parts.next()?, parts.next()?);
        let is_number = !rounds.starts_with('0') && rounds.bytes().all(|byte| byte.is_ascii_digit());
        let rounds: u32 = rounds.parse().ok().filter(|_| is_number)?;
        let output = STANDARD.decode(output).ok()?.try_into().ok()?;
        let fits = rounds <= MOST_ROUNDS && !salt.is_empty() && salt.len() <= MOST_SALT && parts.next().is_none();
        fits.then_some(Self { rounds, salt, output })
    }

    pub(super) fn rounds(&self) -> u32 {
        self.rounds
    }

    pub(super) fn verify(&self, password: &str) -> bool {
        let mut computed = [0; OUTPUT_BYTES];
        pbkdf2_hmac::<Sha256>(password.as_bytes(), self.salt.as_bytes(), self.rounds, &mut computed);
        computed.ct_eq(&self.output).into()
    }
}

/// The work of so many rounds, for nothing.
pub(super) fn work_in_vain(rounds: u32) {
    let mut output = [0; OUTPUT_BYTES];
    pbkdf2_hmac::<Sha256>(b"", &[0; 16], rounds, &mut output);
    std::hint::black_box(output);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(text: &str, password: &str) -> Option<bool> {
        Django::parse(text.strip_prefix(Django::PREFIX)?).map(|stored| stored.verify(password))
    }

    /// RFC 7914 section 11; Django stores the first 32 bytes of its output.
    #[test]
    fn the_vectors_of_rfc_7914_verify() {
        let other = "pbkdf2_sha256$80000$NaCl$TdzY9guYviGDDO5e8icB+WQaRBjQTAQUrv8Ih2s0q1Y=";
        assert_eq!(verify(other, "Password"), Some(true));
        let output = "VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLw=";
        assert_eq!(verify(&format!("pbkdf2_sha256$1$salt${output}"), "passwd"), Some(true));
        assert_eq!(verify(&format!("pbkdf2_sha256$1$salt${output}"), "passwe"), Some(false));
        assert_eq!(verify(&format!("pbkdf2_sha256$2$salt${output}"), "passwd"), Some(false));
    }

    /// Made by `PBKDF2PasswordHasher().encode("lètmein", "seasalt", 1000)` of Django 5.2.
    #[test]
    fn what_djangos_hasher_writes_verifies() {
        let stored = "pbkdf2_sha256$1000$seasalt$JgZryXe2Ga8ysg6XbzkLpTdyPQrHqsinbL9BnnhgX4A=";
        assert_eq!(verify(stored, "lètmein"), Some(true));
        assert_eq!(verify(stored, "lètmeinz"), Some(false));
    }

    #[test]
    fn a_row_that_would_cost_too_much_or_is_no_hash_is_nobodys() {
        let output = "VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLw=";
        for bad in [
            format!("0$salt${output}"),
            format!("2000001$salt${output}"),
            format!("4294967297$salt${output}"),
            format!("+1$salt${output}"),
            format!("01$salt${output}"),
            format!("1$${output}"),
            format!("1${}${output}", "s".repeat(129)),
            format!("1$salt${output}$"),
            "1$salt$VaxG5XbjCJE9b2kF33lx8Q==".to_owned(),
            "1$salt$!".to_owned(),
            "1$salt".to_owned(),
            String::new(),
        ] {
            assert!(Django::parse(&bad).is_none(), "{bad}");
        }
        assert!(Django::parse(&format!("2000000$salt${output}")).is_some());
    }
}
