//! How new passwords are hashed.

/// The scheme and the cost of new password hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashScheme {
    /// Argon2id (RFC 9106).
    Argon2id {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over it.
        iterations: u32,
        /// Lanes.
        lanes: u32,
    },
    /// bcrypt, written as `$2y$`: for an older application on the same table that verifies nothing else.
    Bcrypt {
        /// The logarithm of the number of rounds.
        cost: u32,
    },
}

impl Default for HashScheme {
    /// The first recommendation of the OWASP password storage cheat sheet.
    fn default() -> Self {
        Self::Argon2id {
            memory_kib: 19_456,
            iterations: 2,
            lanes: 1,
        }
    }
}

impl HashScheme {
    /// How many characters a new hash has, which its column must be able to hold.
    #[must_use]
    pub fn hash_chars(self) -> usize {
        match self {
            Self::Argon2id {
                memory_kib,
                iterations,
                lanes,
            } => {
                let numbers = [memory_kib, iterations, lanes];
                let digits: usize = numbers.iter().map(|number| number.to_string().len()).sum();
                // "$argon2id$v=19$m=,t=,p=$" with 22 characters of salt, "$" and 43 of output.
                "$argon2id$v=19$m=,t=,p=$".len() + digits + 22 + 1 + 43
            }
            Self::Bcrypt { .. } => 60,
        }
    }
}
