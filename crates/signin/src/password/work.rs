//! Equal work for every account of a model.
//!
//! How long a sign-in takes would tell which accounts there are, and which of them have an older and dearer hash. So every verification does as much work of each scheme as
//! the dearest hash of the model's table costs: its own, and the rest for nothing. An unknown account does all of it for nothing.
//!
//! 1. What the dearest hash costs is known from a bounded look at the table, and learnt from each hash that is verified. It never sinks while the process runs.
//! 2. Rounds of bcrypt double with its cost, so that `2^c + 2^c + 2^(c+1) + … = 2^C` exactly. Work of Argon2 is memory times passes, that of PBKDF2 its rounds, that of
//!    scrypt the blocks that it mixes.
//! 3. The work is bounded: what a hash costs beyond [`MOST_BCRYPT`], [`MOST_ARGON2`] and [`MOST_PBKDF2`], and beyond the scheme of new hashes, is not done for others.
//!    Scrypt costs no more than a stored hash may.

use bekci_core::HashScheme;

use super::{firebase::ScryptCost, phc::Argon2Cost};

/// The dearest bcrypt that others pay for: about a quarter of a second.
const MOST_BCRYPT: u32 = 12;
/// The dearest Argon2 that others pay for, as memory in KiB times passes: eight times the default.
const MOST_ARGON2: u64 = 8 * 19_456 * 2;
/// The most rounds of PBKDF2 that others pay for: what the newest release of Django makes.
const MOST_PBKDF2: u32 = 1_500_000;
/// The least cost of bcrypt.
const LEAST_BCRYPT: u32 = 4;
/// The least memory of Argon2 with one lane, in KiB.
const LEAST_MEMORY: u32 = 8;

/// One computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Argon2(Argon2Cost),
    /// By the logarithm of its rounds.
    Bcrypt(u32),
    /// By its rounds.
    Pbkdf2(u32),
    Scrypt(ScryptCost),
}

/// What was worked, or is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkDone {
    /// KiB of Argon2's memory, times passes.
    pub argon2_kib: u64,
    /// Rounds of bcrypt.
    pub bcrypt_rounds: u64,
    /// Rounds of PBKDF2.
    pub pbkdf2_rounds: u64,
    /// Blocks that scrypt mixed.
    pub scrypt_blocks: u64,
}

impl Work {
    pub(super) fn amount(self) -> WorkDone {
        let mut amount = WorkDone::default();
        match self {
            Self::Argon2(cost) => amount.argon2_kib = cost.product(),
            Self::Bcrypt(cost) => amount.bcrypt_rounds = 1 << cost.min(31),
            Self::Pbkdf2(rounds) => amount.pbkdf2_rounds = rounds.into(),
            Self::Scrypt(cost) => amount.scrypt_blocks = cost.product(),
        }
        amount
    }
}

/// The dearest hash of a table, by scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dearest {
    argon2: Option<Argon2Cost>,
    bcrypt: Option<u32>,
    pbkdf2: Option<u32>,
    scrypt: Option<ScryptCost>,
}

impl Dearest {
    /// What new hashes cost, which is paid whatever the bounds are.
    pub(super) fn of_scheme(scheme: HashScheme) -> Self {
        match scheme {
            HashScheme::Argon2id { .. } => Self {
                argon2: Argon2Cost::of(scheme),
                ..Self::default()
            },
            HashScheme::Bcrypt { cost } => Self {
                bcrypt: Some(cost),
                ..Self::default()
            },
        }
    }

    /// With a stored hash, within the bounds.
    pub(super) fn learn(&mut self, work: Work) {
        match work {
            Work::Bcrypt(cost) => self.bcrypt = self.bcrypt.max(Some(cost.min(MOST_BCRYPT))),
            Work::Argon2(cost) => {
                let is_dearer = self.argon2.is_none_or(|held| held.product() < cost.product());
                if is_dearer && cost.product() <= MOST_ARGON2 {
                    self.argon2 = Some(cost);
                }
            }
            Work::Pbkdf2(rounds) => self.pbkdf2 = self.pbkdf2.max(Some(rounds.min(MOST_PBKDF2))),
            Work::Scrypt(cost) => self.learn_scrypt(cost),
        }
    }

    fn learn_scrypt(&mut self, cost: ScryptCost) {
        if self.scrypt.is_none_or(|held| held.product() < cost.product()) {
            self.scrypt = Some(cost);
        }
    }

    /// With what another table or scheme costs.
    pub(super) fn with(mut self, other: Self) -> Self {
        self.bcrypt = self.bcrypt.max(other.bcrypt);
        if let Some(cost) = other.argon2
            && self.argon2.is_none_or(|held| held.product() < cost.product())
        {
            self.argon2 = Some(cost);
        }
        self.pbkdf2 = self.pbkdf2.max(other.pbkdf2);
        if let Some(cost) = other.scrypt {
            self.learn_scrypt(cost);
        }
        self
    }

    /// What is to be worked for nothing beside a verification that costs `own`; `None`: nothing is verified.
    pub(super) fn rest(&self, own: Option<Work>) -> Vec<Work> {
        let mut rest = Vec::new();
        if let Some(dearest) = self.argon2 {
            let held = match own {
                Some(Work::Argon2(cost)) => cost.product(),
                _ => 0,
            };
            rest.extend(argon2(dearest, dearest.product().saturating_sub(held)));
        }
        if let Some(dearest) = self.bcrypt {
            match own {
                Some(Work::Bcrypt(held)) => rest.extend((held.max(LEAST_BCRYPT)..dearest).map(Work::Bcrypt)),
                _ => rest.push(Work::Bcrypt(dearest)),
            }
        }
        if let Some(dearest) = self.pbkdf2 {
            let held = match own {
                Some(Work::Pbkdf2(rounds)) => rounds,
                _ => 0,
            };
            rest.extend(
                Some(dearest.saturating_sub(held))
                    .filter(|left| *left > 0)
                    .map(Work::Pbkdf2),
            );
        }
        if let Some(dearest) = self.scrypt {
            let held = match own {
                Some(Work::Scrypt(cost)) => cost.product(),
                _ => 0,
            };
            rest.extend(scrypt(dearest, dearest.product().saturating_sub(held)));
        }
        rest
    }
}

/// Scrypt of so many blocks in all, less those of one pair of its rounds. A cost is a power of two, and a sum of them is any number.
fn scrypt(dearest: ScryptCost, product: u64) -> impl Iterator<Item = Work> {
    let pairs = product / u64::from(dearest.r.max(1));
    let costs = (1..=dearest.log_n).filter(move |log_n| pairs >> *log_n & 1 == 1);
    costs.map(move |log_n| Work::Scrypt(ScryptCost { log_n, r: dearest.r }))
}

/// Argon2 of so much memory times passes in all, within the memory of the dearest.
fn argon2(dearest: Argon2Cost, product: u64) -> impl Iterator<Item = Work> {
    let memory = u64::from(dearest.memory_kib.max(LEAST_MEMORY));
    let whole = u32::try_from(product / memory).unwrap_or_default();
    let part = u32::try_from(product % memory).unwrap_or_default();
    let cost = |memory_kib, iterations| {
        Work::Argon2(Argon2Cost {
            memory_kib,
            iterations,
            lanes: 1,
        })
    };
    // One that is the dearest itself is worked as it is.
    let whole = (whole > 0).then(|| {
        if product == dearest.product() {
            Work::Argon2(dearest)
        } else {
            cost(dearest.memory_kib.max(LEAST_MEMORY), whole)
        }
    });
    let part = (part >= LEAST_MEMORY).then(|| cost(part, 1));
    whole.into_iter().chain(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(memory_kib: u32, iterations: u32) -> Work {
        Work::Argon2(Argon2Cost {
            memory_kib,
            iterations,
            lanes: 1,
        })
    }

    fn total(own: Option<Work>, dearest: &Dearest) -> WorkDone {
        let mut total = WorkDone::default();
        for work in own.into_iter().chain(dearest.rest(own)) {
            total.argon2_kib += work.amount().argon2_kib;
            total.bcrypt_rounds += work.amount().bcrypt_rounds;
            total.pbkdf2_rounds += work.amount().pbkdf2_rounds;
            total.scrypt_blocks += work.amount().scrypt_blocks;
        }
        total
    }

    #[test]
    fn every_account_of_a_table_costs_the_same_whatever_its_hash() {
        let mut dearest = Dearest::of_scheme(HashScheme::default());
        for held in [Work::Bcrypt(10), Work::Bcrypt(12), cost(4_096, 3), cost(65_536, 3)] {
            dearest.learn(held);
        }
        let unknown = total(None, &dearest);
        assert_eq!((unknown.argon2_kib, unknown.bcrypt_rounds), (65_536 * 3, 1 << 12));
        for held in [
            Work::Bcrypt(4),
            Work::Bcrypt(10),
            Work::Bcrypt(12),
            cost(4_096, 3),
            cost(19_456, 2),
            cost(65_536, 1),
            cost(65_536, 3),
        ] {
            assert_eq!(total(Some(held), &dearest), unknown, "{held:?}");
        }
    }

    #[test]
    fn a_table_of_django_and_firebase_costs_the_same_whatever_the_hash() {
        let scrypt = |log_n, r| Work::Scrypt(ScryptCost { log_n, r });
        let mut dearest = Dearest::of_scheme(HashScheme::default());
        for held in [
            Work::Pbkdf2(36_000),
            Work::Pbkdf2(1_000_000),
            Work::Pbkdf2(600_000),
            scrypt(12, 8),
            scrypt(14, 8),
        ] {
            dearest.learn(held);
        }
        let unknown = total(None, &dearest);
        assert_eq!(unknown.argon2_kib, 19_456 * 2);
        assert_eq!((unknown.pbkdf2_rounds, unknown.scrypt_blocks), (1_000_000, 8 << 14));
        for held in [
            Work::Pbkdf2(1),
            Work::Pbkdf2(600_000),
            Work::Pbkdf2(1_000_000),
            scrypt(1, 8),
            scrypt(12, 8),
            scrypt(13, 4),
            scrypt(14, 8),
            Work::Bcrypt(4),
        ] {
            let total = total(Some(held), &dearest);
            assert_eq!(total.pbkdf2_rounds, unknown.pbkdf2_rounds, "{held:?}");
            assert_eq!(total.scrypt_blocks, unknown.scrypt_blocks, "{held:?}");
        }
        dearest.learn(Work::Pbkdf2(2_000_000));
        assert_eq!(
            total(None, &dearest).pbkdf2_rounds,
            1_500_000,
            "one row makes no other dearer"
        );
    }

    #[test]
    fn one_dear_hash_makes_no_other_account_dearer_than_the_bounds() {
        let mut dearest = Dearest::of_scheme(HashScheme::default());
        dearest.learn(Work::Bcrypt(14));
        dearest.learn(cost(262_144, 16));
        let unknown = total(None, &dearest);
        assert_eq!((unknown.argon2_kib, unknown.bcrypt_rounds), (19_456 * 2, 1 << 12));
        // What new hashes cost is paid all the same.
        let own = Dearest::of_scheme(HashScheme::Bcrypt { cost: 14 });
        assert_eq!(total(None, &own).bcrypt_rounds, 1 << 14);
    }
}
