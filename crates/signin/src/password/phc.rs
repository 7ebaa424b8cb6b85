//! Stored hashes: how they are written, read and compared.

use std::fmt;

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{Output, ParamsString, PasswordHash, Salt, SaltString},
};
use bekci_core::HashScheme;
use secrecy::SecretString;
use subtle::ConstantTimeEq as _;

use super::{django::Django, firebase::Firebase, work::Work};

/// RFC 9106 section 3.1 recommends 128 bits.
pub(super) const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// What a stored hash may cost at most: whoever can write one into the database must not be able to take the machine with it.
pub(super) struct Caps;

impl Caps {
    const MEMORY_KIB: u32 = 256 * 1024;
    const ITERATIONS: u32 = 16;
    const LANES: u32 = 16;
    const BCRYPT: u32 = 14;
}

/// How many blocks of 1 KiB a thread keeps: one costly hash must not take its memory for ever.
const KEPT_BLOCKS: usize = 64 * 1024;

/// bcrypt looks at no more bytes than this.
const BCRYPT_MAX_BYTES: usize = 72;

/// What one hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub iterations: u32,
    /// Lanes. They are worked one after another.
    pub lanes: u32,
}

impl Default for Argon2Cost {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
            lanes: 1,
        }
    }
}

impl Argon2Cost {
    /// The least that argon2 allows: for tests alone.
    pub const SMALLEST: Self = Self {
        memory_kib: 8,
        iterations: 1,
        lanes: 1,
    };

    pub(super) fn params(self) -> Result<Params, String> {
        if !self.within_caps() {
            return Err(format!("{self} is more than stored hashes may cost"));
        }
        Params::new(self.memory_kib, self.iterations, self.lanes, Some(OUTPUT_BYTES))
            .map_err(|error| format!("{self}: {error}"))
    }

    fn within_caps(self) -> bool {
        self.memory_kib <= Caps::MEMORY_KIB && self.iterations <= Caps::ITERATIONS && self.lanes <= Caps::LANES
    }

    /// The cost of a scheme, if it is Argon2id's.
    pub(super) fn of(scheme: HashScheme) -> Option<Self> {
        match scheme {
            HashScheme::Argon2id {
                memory_kib,
                iterations,
                lanes,
            } => Some(Self {
                memory_kib,
                iterations,
                lanes,
            }),
            HashScheme::Bcrypt { .. } => None,
        }
    }

    /// Memory times passes: what an attacker pays for one guess.
    pub(super) fn product(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.iterations)
    }
}

impl fmt::Display for Argon2Cost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "memory_kib={} iterations={} lanes={}",
            self.memory_kib, self.iterations, self.lanes
        )
    }
}

/// A stored hash that can be verified.
pub(super) enum Stored<'a> {
    Argon2 {
        algorithm: Algorithm,
        version: Version,
        params: Params,
        salt: Vec<u8>,
        output: Output,
    },
    Bcrypt(&'a str),
    Django(Django<'a>),
    Firebase(Firebase),
}

impl<'a> Stored<'a> {
    /// `None` for a format that is not known, and for one over the [`Caps`]. Django writes the name of its hasher before a hash of another system's format.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = text
            .strip_prefix("bcrypt$")
            .filter(|rest| rest.starts_with("$2"))
            .unwrap_or(text);
        if text.starts_with("$2") {
            return parse_bcrypt(text);
        }
        if let Some(rest) = text.strip_prefix(Django::PREFIX) {
            return Django::parse(rest).map(Self::Django);
        }
        if let Some(rest) = text.strip_prefix(Firebase::PREFIX) {
            return Firebase::parse(rest).map(Self::Firebase);
        }
        if let Some(rest) = text.strip_prefix("argon2$").filter(|rest| rest.starts_with("argon2")) {
            return Self::parse_argon2(&format!("${rest}"));
        }
        Self::parse_argon2(text)
    }

    fn parse_argon2(text: &str) -> Option<Self> {
        let parsed = PasswordHash::new(text).ok()?;
        let algorithm = Algorithm::try_from(parsed.algorithm).ok()?;
        // Before versions were written there was 1.0 alone.
        let version = Version::try_from(parsed.version.unwrap_or(0x10)).ok()?;
        let params = Params::try_from(&parsed).ok()?;
        let cost = cost_of(&params);
        let mut salt = [0; Salt::MAX_LENGTH];
        let salt = parsed.salt?.decode_b64(&mut salt).ok()?.to_vec();
        let output = parsed.hash?;
        // Sixteen bytes are what others store at the least; fewer can be met by chance.
        (cost.within_caps() && output.len() >= 16).then_some(Self::Argon2 {
            algorithm,
            version,
            params,
            salt,
            output,
        })
    }

    /// Whether a password can be the one that was hashed. PHP refuses a zero byte where it hashes by bcrypt, which would end there. Of a longer password bcrypt looks at the
    /// first 72 bytes, and so does PHP, where it hashes and where it verifies: it is judged as PHP judges it.
    pub(super) fn can_be(&self, password: &str) -> bool {
        match self {
            Self::Argon2 { .. } => true,
            Self::Bcrypt(_) => !password.contains('\0'),
            // HMAC fills a key with zero bytes, so that those at the end of a password would not count.
            Self::Django(_) | Self::Firebase(_) => !password.ends_with('\0'),
        }
    }

    /// Whether the scheme looks at all of this password. If it does not, the text that was entered may differ from the one that was set, and must not become a hash of
    /// its own.
    pub(super) fn sees_all_of(&self, password: &str) -> bool {
        match self {
            Self::Argon2 { .. } | Self::Django(_) | Self::Firebase(_) => true,
            Self::Bcrypt(_) => password.len() <= BCRYPT_MAX_BYTES,
        }
    }

    /// What verifying costs.
    pub(super) fn work(&self) -> Work {
        match self {
            Self::Argon2 { params, .. } => Work::Argon2(cost_of(params)),
            Self::Bcrypt(text) => Work::Bcrypt(bcrypt_cost(text).unwrap_or_default()),
            Self::Django(stored) => Work::Pbkdf2(stored.rounds()),
            Self::Firebase(stored) => Work::Scrypt(stored.cost()),
        }
    }

    pub(super) fn verify(&self, password: &str, memory: &mut Vec<Block>) -> Result<bool, String> {
        match self {
            Self::Argon2 {
                algorithm,
                version,
                params,
                salt,
                output,
            } => {
                let hasher = Argon2::new(*algorithm, *version, params.clone());
                let mut computed = vec![0; output.len()];
                compute(&hasher, password.as_bytes(), salt, &mut computed, memory)?;
                Ok(computed.ct_eq(output.as_bytes()).into())
            }
            Self::Bcrypt(text) => bcrypt::verify(password, text).map_err(|error| error.to_string()),
            Self::Django(stored) => Ok(stored.verify(password)),
            Self::Firebase(stored) => stored.verify(password),
        }
    }

    /// Whether a new hash by this scheme is stronger. Argon2 is never replaced by bcrypt; what Bekci makes no hashes of is replaced by any.
    pub(super) fn is_weaker_than(&self, wanted: HashScheme) -> bool {
        match (self, Argon2Cost::of(wanted)) {
            (Self::Bcrypt(text), None) => {
                matches!(wanted, HashScheme::Bcrypt { cost } if bcrypt_cost(text).is_none_or(|held| held < cost))
            }
            (Self::Bcrypt(_), Some(_)) | (Self::Django(_) | Self::Firebase(_), _) => true,
            (Self::Argon2 { .. }, None) => false,
            (
                Self::Argon2 {
                    algorithm,
                    version,
                    params,
                    output,
                    ..
                },
                Some(wanted),
            ) => {
                *algorithm != Algorithm::Argon2id
                    || *version != Version::V0x13
                    || output.len() < OUTPUT_BYTES
                    || cost_of(params).product() < wanted.product()
            }
        }
    }
}

fn cost_of(params: &Params) -> Argon2Cost {
    Argon2Cost {
        memory_kib: params.m_cost(),
        iterations: params.t_cost(),
        lanes: params.p_cost(),
    }
}

/// The cost that a hash of bcrypt names.
fn bcrypt_cost(text: &str) -> Option<u32> {
    text.get(4..6)?.parse().ok()
}

fn parse_bcrypt(text: &str) -> Option<Stored<'_>> {
    let version = text.get(..4)?;
    let cost = bcrypt_cost(text)?;
    let well_formed = text.parse::<bcrypt::HashParts>().is_ok();
    (matches!(version, "$2a$" | "$2b$" | "$2y$") && (4..=Caps::BCRYPT).contains(&cost) && well_formed)
        .then_some(Stored::Bcrypt(text))
}

/// Whether a scheme can make a hash that tells this password from all others.
pub(super) fn can_hash(scheme: HashScheme, password: &str) -> bool {
    match scheme {
        HashScheme::Argon2id { .. } => true,
        HashScheme::Bcrypt { .. } => password.len() <= BCRYPT_MAX_BYTES && !password.contains('\0'),
    }
}

/// A new hash by a scheme, which must be able to make it.
pub(super) fn hash_by(
    scheme: HashScheme,
    password: &str,
    salt: &[u8; SALT_BYTES],
    memory: &mut Vec<Block>,
) -> Result<SecretString, String> {
    match scheme {
        HashScheme::Bcrypt { cost } => {
            let parts = bcrypt::non_truncating_hash_with_salt(password, cost, *salt);
            let parts = parts.map_err(|error| error.to_string())?;
            Ok(parts.format_for_version(bcrypt::Version::TwoY).into())
        }
        HashScheme::Argon2id { .. } => hash(
            Argon2Cost::of(scheme).unwrap_or_default(),
            password.as_bytes(),
            salt,
            memory,
        ),
    }
}

/// A new hash.
fn hash(
    cost: Argon2Cost,
    password: &[u8],
    salt: &[u8; SALT_BYTES],
    memory: &mut Vec<Block>,
) -> Result<SecretString, String> {
    let params = cost.params()?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let mut output = [0; OUTPUT_BYTES];
    compute(&hasher, password, salt, &mut output, memory)?;
    let text = |error: argon2::password_hash::Error| error.to_string();
    let salt = SaltString::encode_b64(salt).map_err(text)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(text)?,
        salt: Some(salt.as_salt()),
        hash: Some(Output::new(&output).map_err(text)?),
    };
    Ok(hash.to_string().into())
}

/// The work of one verification, for nothing. The password has no part in it: how long one takes to read depends on who sent it, not on the account.
pub(super) fn work_in_vain(work: Work, memory: &mut Vec<Block>) -> Result<(), String> {
    match work {
        Work::Argon2(cost) => {
            let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?);
            compute(&hasher, b"", &[0; SALT_BYTES], &mut [0; OUTPUT_BYTES], memory)
        }
        Work::Bcrypt(cost) => bcrypt::hash_with_salt("", cost, [0; SALT_BYTES])
            .map(drop)
            .map_err(|error| error.to_string()),
        Work::Pbkdf2(rounds) => {
            super::django::work_in_vain(rounds);
            Ok(())
        }
        Work::Scrypt(cost) => cost.derive(b"", &[0; SALT_BYTES]).map(drop),
    }
}

/// The memory is kept by the thread, since to ask for megabytes anew each time means a fault for each of their pages.
fn compute(
    hasher: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Vec<Block>,
) -> Result<(), String> {
    let blocks = hasher.params().block_count();
    if memory.len() < blocks {
        memory
            .try_reserve_exact(blocks - memory.len())
            .map_err(|error| error.to_string())?;
        memory.resize(blocks, Block::default());
    }
    let blocks = memory.get_mut(..blocks).unwrap_or_default();
    let done = hasher.hash_password_into_with_memory(password, salt, output, blocks);
    memory.truncate(KEPT_BLOCKS);
    memory.shrink_to(KEPT_BLOCKS);
    done.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const SMALL: Argon2Cost = Argon2Cost::SMALLEST;

    fn verify(stored: &str, password: &str) -> Option<bool> {
        let stored = Stored::parse(stored)?;
        stored
            .can_be(password)
            .then(|| stored.verify(password, &mut Vec::new()).unwrap())
    }

    fn scheme(cost: Argon2Cost) -> HashScheme {
        HashScheme::Argon2id {
            memory_kib: cost.memory_kib,
            iterations: cost.iterations,
            lanes: cost.lanes,
        }
    }

    fn weaker(stored: &str, wanted: Argon2Cost) -> bool {
        Stored::parse(stored).unwrap().is_weaker_than(scheme(wanted))
    }

    #[test]
    fn a_new_hash_is_argon2id_in_phc_format_and_verifies() {
        let hash = hash(SMALL, "geese".as_bytes(), &[7; SALT_BYTES], &mut Vec::new()).unwrap();
        let text = hash.expose_secret();
        assert!(text.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{text}");
        assert_eq!(verify(text, "geese"), Some(true));
        assert_eq!(verify(text, "Geese"), Some(false));
        assert!(!weaker(text, SMALL));
    }

    #[test]
    fn the_hashes_of_php_verify_and_count_as_weaker() {
        for version in ["2a", "2b", "2y"] {
            let parts = bcrypt::hash_with_result("geese", 4).unwrap();
            let text = parts.to_string().replacen("2b", version, 1);
            assert_eq!(verify(&text, "geese"), Some(true), "{version}");
            assert_eq!(verify(&text, "goose"), Some(false), "{version}");
            assert!(weaker(&text, SMALL));
        }
        // Known answer, made by the reference implementation (crypt_blowfish).
        let known = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        assert_eq!(verify(known, "U*U"), Some(true));
    }

    /// A hash that `password_hash("x" * 80, PASSWORD_BCRYPT, ["cost" => 4])` of PHP could have made: its bytes behind the 72nd count for nothing.
    #[test]
    fn a_password_over_72_bytes_is_judged_as_php_does_and_its_hash_is_kept() {
        let set = "x".repeat(80);
        let text = bcrypt::hash(&set, 4).unwrap().replacen("2b", "2y", 1);
        let stored = Stored::parse(&text).unwrap();
        for entered in [set.clone(), "x".repeat(72), format!("{}y", "x".repeat(72))] {
            assert_eq!(verify(&text, &entered), Some(true), "{}", entered.len());
            assert_eq!(stored.sees_all_of(&entered), entered.len() <= 72);
        }
        for wrong in ["x".repeat(71), format!("{}y{}", "x".repeat(71), "x".repeat(8))] {
            assert_eq!(verify(&text, &wrong), Some(false), "{}", wrong.len());
        }
        let text = bcrypt::hash("a", 4).unwrap();
        assert_eq!(verify(&text, "a\0a"), None, "a zero byte would end it");
    }

    #[test]
    fn a_new_hash_by_bcrypt_is_phps_and_refuses_what_it_would_cut() {
        let scheme = HashScheme::Bcrypt { cost: 4 };
        let hash = |password: &str| hash_by(scheme, password, &[7; SALT_BYTES], &mut Vec::new());
        let new = hash("geese").unwrap();
        let text = new.expose_secret();
        assert!(
            text.starts_with("$2y$04$") && text.len() == scheme.hash_chars(),
            "{text}"
        );
        assert_eq!(
            (verify(text, "geese"), verify(text, "goose")),
            (Some(true), Some(false))
        );
        for (password, fits) in [
            ("x".repeat(72), true),
            ("x".repeat(73), false),
            ("ş".repeat(37), false),
            ("a\0".to_owned(), false),
        ] {
            assert_eq!(can_hash(scheme, &password), fits, "{}", password.len());
        }
        assert!(hash(&"x".repeat(73)).is_err());
        let stored = Stored::parse(text).unwrap();
        assert!(!stored.is_weaker_than(scheme) && stored.is_weaker_than(HashScheme::Bcrypt { cost: 5 }));
        assert!(stored.is_weaker_than(HashScheme::default()));
        let argon2 = super::hash(SMALL, b"geese", &[7; SALT_BYTES], &mut Vec::new()).unwrap();
        let argon2 = Stored::parse(argon2.expose_secret()).unwrap();
        assert!(!argon2.is_weaker_than(scheme), "never a weaker scheme");
    }

    #[test]
    fn the_length_of_a_new_hash_is_known_before() {
        for cost in [
            SMALL,
            Argon2Cost {
                memory_kib: 64,
                iterations: 10,
                lanes: 2,
            },
        ] {
            let new = hash(cost, b"geese", &[7; SALT_BYTES], &mut Vec::new()).unwrap();
            assert_eq!(new.expose_secret().len(), scheme(cost).hash_chars());
        }
    }

    #[test]
    fn unknown_formats_and_costs_over_the_caps_are_nobodys() {
        let good = hash(SMALL, b"geese", &[7; SALT_BYTES], &mut Vec::new()).unwrap();
        let good = good.expose_secret();
        let bad = [
            String::new(),
            "!".into(),
            "*".into(),
            "geese".into(),
            "5f4dcc3b5aa765d61d8327deb882cf99".into(),
            "$1$abcdefgh$0123456789012345678901".into(),
            "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".into(),
            "$2a$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".into(),
            "$2a$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".into(),
            "$2y$05$zu kurz".into(),
            good.replace("argon2id", "argon2x"),
            good.replace("m=8", "m=4194304"),
            good.replace("t=1", "t=4000000000"),
            good.replace("p=1", "p=17").replace("m=8", "m=4096"),
            good.replace("v=19", "v=20"),
            good.rsplit_once('$').unwrap().0.to_owned(),
        ];
        for text in bad {
            assert!(Stored::parse(&text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_hash_is_replaced_by_a_stronger_one_and_never_by_a_weaker() {
        let at = |memory_kib, iterations| Argon2Cost {
            memory_kib,
            iterations,
            lanes: 1,
        };
        let stored = hash(at(64, 2), b"geese", &[7; SALT_BYTES], &mut Vec::new()).unwrap();
        let stored = stored.expose_secret();
        assert!(weaker(stored, at(64, 3)));
        assert!(weaker(stored, at(65, 2)));
        assert!(!weaker(stored, at(64, 2)));
        assert!(!weaker(stored, at(32, 2)));
        assert!(weaker(&stored.replace("argon2id", "argon2i"), at(8, 1)));
        assert!(weaker(&stored.replace("v=19", "v=16"), at(8, 1)));
    }

    #[test]
    fn costs_that_argon2_refuses_or_that_nobody_could_verify_are_refused() {
        assert!(Argon2Cost { memory_kib: 7, ..SMALL }.params().is_err());
        assert!(Argon2Cost { iterations: 0, ..SMALL }.params().is_err());
        assert!(
            Argon2Cost {
                memory_kib: Caps::MEMORY_KIB + 1,
                ..SMALL
            }
            .params()
            .is_err()
        );
        assert!(Argon2Cost::default().params().is_ok());
    }
}
