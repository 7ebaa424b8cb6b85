//! Chance that can be had again: inputs made of a number, and the number told where a test fails.
//!
//! ```
//! use bekci_test_support::{Chance, Mutator, by_chance, corpus};
//!
//! let mutator = Mutator::new(corpus("/a/b\n/a/%2e%2e/b\n"), &["%2f", ".."]);
//! by_chance(20, |chance: &mut Chance| {
//!     let path = mutator.make(chance);
//!     assert!(path.len() < 1 << 20);
//! });
//! ```

mod mutator;

use crate::{program, rounds};

pub use mutator::{Mutator, corpus};

/// How many times as many trials `scripts/test --long` makes.
const LONGER: usize = 50;

/// Numbers that look random and follow from a seed (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.number() % end).unwrap_or_default()
    }

    /// True once in `of` times.
    pub fn once_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    /// One of these.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        match of.get(self.below(of.len())) {
            Some(found) => found,
            #[expect(clippy::panic, reason = "a mistake of the test")]
            None => panic!("nothing to choose from"),
        }
    }

    /// Bytes of every value.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// A byte of any value.
    pub fn byte(&mut self) -> u8 {
        let [byte, ..] = self.number().to_le_bytes();
        byte
    }

    /// A text of at most `most` characters, each one of these.
    pub fn text(&mut self, alphabet: &str, most: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        let length = self.below(most + 1);
        (0..length)
            .filter_map(|_| letters.get(self.below(letters.len())).copied())
            .collect()
    }
}

/// Makes `count` trials, each with a seed of its own: 1, 2, 3 and so on; fifty times as many under `scripts/test --long`.
///
/// A trial that panics is named by its seed on standard error. `BEKCI_TEST_SEED=<seed>` makes that trial alone.
pub fn by_chance(count: usize, mut trial: impl FnMut(&mut Chance)) {
    let told = program::variable("BEKCI_TEST_SEED").and_then(|seed| seed.to_str()?.parse().ok());
    let seeds = match told {
        Some(seed) => seed..seed + 1,
        None => 1..1 + u64::try_from(rounds(count, count * LONGER)).unwrap_or(u64::MAX - 1),
    };
    for seed in seeds {
        let named = Named(seed);
        trial(&mut Chance::new(seed));
        drop(named);
    }
}

/// Tells the seed where a panic ends the trial.
struct Named(u64);

impl Drop for Named {
    #[expect(clippy::print_stderr, reason = "it is for whoever reads the failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the trial of seed {0} failed: BEKCI_TEST_SEED={0} makes it alone",
                self.0
            );
        }
    }
}
