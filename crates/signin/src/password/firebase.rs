//! Firebase's own use of scrypt: scrypt (RFC 7914) of the password gives a key, with which the project's signer key is encrypted; the hash is the ciphertext.
//!
//! 1. The salt of scrypt is the account's salt with the project's separator behind it. 32 bytes of its output are the key of AES-256 in counter mode, from zero.
//! 2. A stored hash holds all that verifying needs: `$fbscrypt$v=1,n=14,r=8,p=1,ss=<separator>,sk=<signer key>$<salt>$<hash>`, each in base64. Supabase writes it so.
//! 3. Costs are those that Firebase takes: memory cost 14 and 8 rounds at most, which is 16 MiB.

use std::fmt;

use aes::Aes256;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use scrypt::Params;
use subtle::ConstantTimeEq as _;

const MOST_LOG_N: u8 = 14;
const MOST_R: u32 = 8;
/// Firebase has signer keys of 64 bytes and salts of 10.
const MOST_BYTES: usize = 128;
const KEY_BYTES: usize = 32;

/// What one scrypt costs: its memory is `128 · r · 2^log_n` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScryptCost {
    pub(super) log_n: u8,
    pub(super) r: u32,
}

impl ScryptCost {
    fn is_within_caps(self) -> bool {
        (1..=MOST_LOG_N).contains(&self.log_n) && (1..=MOST_R).contains(&self.r)
    }

    /// Blocks of 128 bytes that are mixed, which the time goes with.
    pub(super) fn product(self) -> u64 {
        u64::from(self.r) << self.log_n.min(MOST_LOG_N)
    }

    /// The key of a password.
    pub(super) fn derive(self, password: &[u8], salt: &[u8]) -> Result<[u8; KEY_BYTES], String> {
        let params = Params::new(self.log_n, self.r, 1, KEY_BYTES).map_err(|error| error.to_string())?;
        let mut key = [0; KEY_BYTES];
        scrypt::scrypt(password, salt, &params, &mut key).map_err(|error| error.to_string())?;
        Ok(key)
    }
}

/// A stored hash.
pub(super) struct Firebase {
    cost: ScryptCost,
    salt: Vec<u8>,
    signer_key: Vec<u8>,
    output: Vec<u8>,
}

impl Firebase {
    pub(super) const PREFIX: &'static str = "$fbscrypt$";

    /// What is behind the prefix.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('$');
        let (parameters, salt, output) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let mut fields = parameters.split(',');
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let (version, log_n, r, p) = (field("v")?, field("n")?, field("r")?, field("p")?);
        let (separator, signer_key) = (field("ss")?, field("sk")?);
        if version != "1" || p != "1" || fields.next().is_some() {
            return None;
        }
        let cost = ScryptCost {
            log_n: log_n.parse().ok()?,
            r: r.parse().ok()?,
        };
        let mut salt = decoded(salt)?;
        salt.extend(decoded(separator)?);
        let (signer_key, output) = (decoded(signer_key)?, decoded(output)?);
        // Sixteen bytes, as of the hashes of other schemes; fewer can be met by chance.
        let fits = cost.is_within_caps() && output.len() == signer_key.len() && output.len() >= 16;
        fits.then_some(Self {
            cost,
            salt,
            signer_key,
            output,
        })
    }

    pub(super) fn cost(&self) -> ScryptCost {
        self.cost
    }

    pub(super) fn verify(&self, password: &str) -> Result<bool, String> {
        let key = self.cost.derive(password.as_bytes(), &self.salt)?;
        let mut computed = self.signer_key.clone();
        Ctr128BE::<Aes256>::new(&key.into(), &[0; 16].into()).apply_keystream(&mut computed);
        Ok(computed.ct_eq(&self.output).into())
    }
}

/// Base64 with either alphabet; Firebase's interface writes the one for URLs and its command line the other.
fn decoded(text: &str) -> Option<Vec<u8>> {
    if text.len() > 2 * MOST_BYTES {
        return None;
    }
    let standard = text.replace('-', "+").replace('_', "/");
    let bytes = STANDARD.decode(standard).ok()?;
    (bytes.len() <= MOST_BYTES).then_some(bytes)
}

/// The parameters of a Firebase project by which its hashes are verified.
#[derive(Clone)]
pub struct FirebaseParameters {
    cost: ScryptCost,
    signer_key: String,
    separator: String,
}

impl fmt::Debug for FirebaseParameters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("FirebaseParameters");
        shown.field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// Parameters of a Firebase project could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FirebaseParametersError {
    /// One is missing or malformed.
    #[error("missing or invalid {0}")]
    Field(&'static str),
    /// Another algorithm than scrypt.
    #[error("algorithm is not SCRYPT")]
    Algorithm,
    /// More than Firebase itself takes.
    #[error("mem_cost must be 1 to 14 and rounds 1 to 8")]
    Cost,
}

impl FirebaseParameters {
    /// Reads what the console of Firebase shows as "password hash parameters": a block of `name: value` lines.
    ///
    /// # Errors
    /// [`FirebaseParametersError`].
    pub fn parse(text: &str) -> Result<Self, FirebaseParametersError> {
        let field = |name: &'static str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            let named = lines.find(|(held, _)| held.trim().trim_matches('"') == name);
            let value = named.map(|(_, value)| value.trim().trim_end_matches(',').trim_matches('"'));
            value.ok_or(FirebaseParametersError::Field(name))
        };
        let base64 = |name: &'static str| {
            let value = field(name)?;
            decoded(value)
                .map(|bytes| STANDARD.encode(bytes))
                .ok_or(FirebaseParametersError::Field(name))
        };
        if !field("algorithm")?.eq_ignore_ascii_case("SCRYPT") {
            return Err(FirebaseParametersError::Algorithm);
        }
        let number = |name: &'static str| field(name)?.parse().map_err(|_| FirebaseParametersError::Field(name));
        let (log_n, r): (u32, u32) = (number("mem_cost")?, number("rounds")?);
        let cost = ScryptCost {
            log_n: u8::try_from(log_n).map_err(|_| FirebaseParametersError::Cost)?,
            r,
        };
        if !cost.is_within_caps() {
            return Err(FirebaseParametersError::Cost);
        }
        let parameters = Self {
            cost,
            signer_key: base64("base64_signer_key")?,
            separator: base64("base64_salt_separator")?,
        };
        match STANDARD.decode(&parameters.signer_key) {
            Ok(key) if key.len() >= 16 => Ok(parameters),
            _ => Err(FirebaseParametersError::Field("base64_signer_key")),
        }
    }

    /// The hash of an account as it is stored; `None`: hash or salt is malformed.
    #[must_use]
    pub fn stored(&self, hash: &str, salt: &str) -> Option<String> {
        let text = |text: &str| decoded(text).map(|bytes| STANDARD.encode(bytes));
        let stored = format!(
            "{}v=1,n={},r={},p=1,ss={},sk={}${}${}",
            Firebase::PREFIX,
            self.cost.log_n,
            self.cost.r,
            self.separator,
            self.signer_key,
            text(salt)?,
            text(hash)?
        );
        let is_whole = stored
            .strip_prefix(Firebase::PREFIX)
            .and_then(Firebase::parse)
            .is_some();
        is_whole.then_some(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "hash_config {\n  algorithm: SCRYPT,\n  \
        base64_signer_key: jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==,\n  \
        base64_salt_separator: Bw==,\n  rounds: 8,\n  mem_cost: 14,\n}\n";
    const HASH: &str = "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==";
    const SALT: &str = "42xEC+ixf3L2lw==";

    fn parsed(text: &str) -> Option<Firebase> {
        Firebase::parse(text.strip_prefix(Firebase::PREFIX)?)
    }

    /// The example that Firebase publishes with its own implementation.
    #[test]
    fn the_published_example_verifies() {
        let parameters = FirebaseParameters::parse(CONSOLE).unwrap();
        let stored = parameters.stored(HASH, SALT).unwrap();
        assert!(stored.len() <= 255, "{}", stored.len());
        assert_eq!(parsed(&stored).unwrap().verify("user1password"), Ok(true));
        assert_eq!(parsed(&stored).unwrap().verify("user2password"), Ok(false));
        let for_urls = |text: &str| text.replace('+', "-").replace('/', "_");
        assert_eq!(parameters.stored(&for_urls(HASH), &for_urls(SALT)), Some(stored));
        assert!(!format!("{parameters:?}").contains("jxspr8"));
    }

    #[test]
    fn a_row_that_would_cost_too_much_or_is_no_hash_is_nobodys() {
        let good = FirebaseParameters::parse(CONSOLE).unwrap().stored(HASH, SALT).unwrap();
        for bad in [
            good.replace("n=14", "n=15"),
            good.replace("n=14", "n=63"),
            good.replace("n=14", "n=0"),
            good.replace("r=8", "r=9"),
            good.replace("r=8", "r=0"),
            good.replace("r=8", "r=4294967295"),
            good.replace("p=1", "p=2"),
            good.replace("v=1", "v=2"),
            good.replace("ss=", "tt="),
            good.replace("sk=", "sk=AAAA"),
            good.replace(HASH, "lSrfV15cpx8="),
            good.replace(SALT, &"A".repeat(400)),
            format!("{good}$"),
            good.rsplit_once('$').unwrap().0.to_owned(),
        ] {
            assert!(parsed(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn parameters_that_are_missing_or_of_another_scheme_are_refused_by_name() {
        for (from, to, error) in [
            ("SCRYPT", "BCRYPT", FirebaseParametersError::Algorithm),
            ("mem_cost: 14", "mem_cost: 15", FirebaseParametersError::Cost),
            ("mem_cost: 14", "mem_cost: 300", FirebaseParametersError::Cost),
            ("rounds: 8", "rounds: 9", FirebaseParametersError::Cost),
            ("rounds: 8", "rounds: x", FirebaseParametersError::Field("rounds")),
            ("rounds", "round", FirebaseParametersError::Field("rounds")),
            ("Bw==", "?", FirebaseParametersError::Field("base64_salt_separator")),
            ("jxspr8", "?", FirebaseParametersError::Field("base64_signer_key")),
        ] {
            assert_eq!(
                FirebaseParameters::parse(&CONSOLE.replace(from, to)).unwrap_err(),
                error,
                "{to}"
            );
        }
    }
}
