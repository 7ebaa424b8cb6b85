//! Faults: which, when, for how long, to whom. All of it follows from the seed.

mod redis_entries;
mod run;

use bekci_test_support::Chance;
use clap::ValueEnum;

use crate::options::FaultPlan;

pub(crate) use self::run::run;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// FLUSHALL.
    Flushall,
    /// Every entry of Redis is replaced by the one that was there a while before.
    OldEntries,
    /// Redis is killed, and starts again empty.
    RedisRestart,
    /// The link of one node to Redis is slow, cut, swallows, or stands still.
    RedisDelay,
    RedisCut,
    RedisHalfOpen,
    RedisHold,
    /// A node is killed and starts again.
    Kill,
    /// A node is killed and starts again behind a slow link to the database.
    SlowStart,
    /// SIGSTOP, and SIGCONT later.
    Stop,
    /// Each node ends and starts again, one after the other.
    RollingRestart,
    /// A node gets another configuration and SIGHUP.
    Reload,
    /// The link of one node to the database is slow, cut, swallows, or stands still.
    DatabaseDelay,
    DatabaseCut,
    DatabaseHalfOpen,
    DatabaseHold,
    /// A transaction from outside has changed a principal and is neither committed nor rolled back for a while.
    LongTransaction,
    /// The database stops as in a crash, and starts again.
    DatabaseRestart,
    /// The database goes back to a copy of the beginning, under running gateways.
    SetBack,
    /// The database refuses writes but those that say otherwise.
    ReadOnly,
    /// The disk that everything writes to is full.
    DiskFull,
    /// The clock of the database jumps by minutes or an hour, forwards and back.
    Clock,
}

impl Kind {
    pub(crate) fn needs_redis(self) -> bool {
        matches!(
            self,
            Self::Flushall
                | Self::OldEntries
                | Self::RedisRestart
                | Self::RedisDelay
                | Self::RedisCut
                | Self::RedisHalfOpen
                | Self::RedisHold
        )
    }

    /// Whether it is a fault of a database server or of the link to it.
    pub(crate) fn needs_server(self) -> bool {
        matches!(
            self,
            Self::SlowStart
                | Self::DatabaseDelay
                | Self::DatabaseCut
                | Self::DatabaseHalfOpen
                | Self::DatabaseHold
                | Self::DatabaseRestart
                | Self::ReadOnly
                | Self::Clock
        )
    }

    /// Whether it is a fault of the file system of the run.
    pub(crate) fn needs_disk(self) -> bool {
        self == Self::DiskFull
    }

    pub(crate) fn names() -> String {
        let names: Vec<String> = Self::value_variants().iter().map(|kind| kind.name()).collect();
        names.join(", ")
    }

    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// One fault of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Milliseconds after the beginning of the run.
    pub(crate) at: u64,
    pub(crate) lasts: u64,
    pub(crate) node: usize,
    /// Milliseconds of a delay, seconds of a clock.
    pub(crate) size: u64,
}

/// Milliseconds before the first fault and after the last one.
const CALM: u64 = 3_000;

/// The faults of a run, in order.
pub(crate) fn schedule(plan: &FaultPlan, seed: u64, seconds: u64, nodes: usize) -> Vec<Fault> {
    match plan {
        FaultPlan::None => Vec::new(),
        FaultPlan::Availability => availability(),
        FaultPlan::Chance(kinds) => by_chance(kinds, seed, seconds * 1_000, nodes),
    }
}

fn by_chance(kinds: &[Kind], seed: u64, length: u64, nodes: usize) -> Vec<Fault> {
    let mut chance = Chance::new(seed);
    let mut below =
        |end: u64| u64::try_from(chance.below(usize::try_from(end).unwrap_or(usize::MAX))).unwrap_or_default();
    let mut faults = Vec::new();
    // Each kind once, in an order of the seed, before any comes again.
    let mut left: Vec<Kind> = Vec::new();
    let mut at = CALM;
    loop {
        if left.is_empty() {
            left = kinds.to_vec();
        }
        let place = usize::try_from(below(u64::try_from(left.len()).unwrap_or(1))).unwrap_or_default();
        let kind = left.swap_remove(place);
        let lasts = 300 + below(3_200);
        if kinds.is_empty() || at + lasts + CALM > length {
            return faults;
        }
        faults.push(Fault {
            kind,
            at,
            lasts,
            node: usize::try_from(below(u64::try_from(nodes).unwrap_or(1))).unwrap_or_default(),
            size: 20 + below(230),
        });
        // Every third begins while the one before lasts.
        at += if below(3) == 0 { 200 } else { lasts + 300 + below(1_500) };
    }
}

/// What docs/coherence.md measures, one after the other.
fn availability() -> Vec<Fault> {
    let mut at = 5_000;
    let faults = [
        (Kind::RedisRestart, 3_000, 10_000),
        (Kind::DatabaseRestart, 3_000, 12_000),
        (Kind::Kill, 3_000, 12_000),
        (Kind::DatabaseHalfOpen, 5_000, 12_000),
        (Kind::RedisHalfOpen, 5_000, 10_000),
        (Kind::DatabaseRestart, 30_000, 12_000),
    ];
    faults
        .into_iter()
        .map(|(kind, lasts, rest)| {
            let fault = Fault {
                kind,
                at,
                lasts,
                node: 1,
                size: 0,
            };
            at += lasts + rest;
            fault
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_schedule_and_another_seed_another_one() {
        let plan = FaultPlan::Chance(Kind::value_variants().to_vec());
        let first = schedule(&plan, 7, 300, 3);
        assert_eq!(first, schedule(&plan, 7, 300, 3));
        assert_ne!(first, schedule(&plan, 8, 300, 3));
        for kind in Kind::value_variants() {
            assert!(first.iter().any(|fault| fault.kind == *kind), "{kind:?} never comes");
        }
        assert!(
            first
                .iter()
                .all(|fault| fault.at + fault.lasts <= 300_000 && fault.node < 3)
        );
    }
}
