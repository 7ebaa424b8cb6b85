//! The protocol's own code under a seeded scheduler, against a model of the database and of Redis.
//!
//! A schedule is one seed: three to five nodes with clocks of their own, callers, raw writers, requests, and what breaks. The checker knows every commit, and compares what each
//! decision went by with what it may go by:
//!
//! 1. A decision that begins after a revoking call returned is by nothing older than what that call committed or found.
//! 2. A change by raw SQL, and one that only adds, is seen Δ after its COMMIT, or the node answers that it is unavailable.
//! 3. Identity and role tables of one view are of one state that existed.
//! 4. When all is well again, each node has a lease within 2 Δ, and a call that waits for the others is quick.
//!
//! A failure prints its seed and its trace. `BEKCI_SIM_SEED=<seed> cargo test -p bekci-store --lib sim::` plays that schedule alone. `BEKCI_SIM_SEED_FROM=<seed>` and
//! `BEKCI_SIM_SCHEDULES=<n>` choose the seeds; `scripts/simulate` does so with an optimised build.

mod change;
mod database;
mod executor;
mod ports;
mod process;
mod scenario;
mod weak;
mod world;

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use executor::Ended;
use scenario::Outcome;
use weak::Weak;
use world::{Counts, Names};

/// What a build without optimisation runs in half a minute. `scripts/simulate` runs more.
const SCHEDULES: u64 = 5_000;
/// Each hole is found sooner.
const MOST_FOR_A_HOLE: u64 = 20_000;

#[expect(
    clippy::disallowed_methods,
    reason = "what is run is chosen by the caller of the tests"
)]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn is_bad(outcome: &Outcome) -> bool {
    outcome.violation.is_some() || outcome.ended != Ended::Finished
}

/// Runs seeds on all processors until one is bad; gives it, and what was counted.
fn first_bad(seeds: std::ops::Range<u64>, weak: Weak) -> (Option<u64>, Counts) {
    let names = Arc::new(Names::new());
    let (next, found) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let counted = Mutex::new(Counts::default());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || found.load(Ordering::Relaxed) < seed {
                        return;
                    }
                    let outcome = scenario::run(seed, &names, weak, false);
                    counted.lock().add(&outcome.counts);
                    if is_bad(&outcome) {
                        found.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let found = found.load(Ordering::Relaxed);
    ((found != u64::MAX).then_some(found), *counted.lock())
}

fn trace_of(seed: u64, weak: Weak) -> String {
    let outcome = scenario::run(seed, &Arc::new(Names::new()), weak, true);
    let lines = outcome.lines.join("\n");
    format!(
        "seed {seed} ended {:?}\n{lines}\n{:#?}",
        outcome.ended, outcome.violation
    )
}

#[test]
fn every_schedule_keeps_the_promise() {
    let seeds = match variable("BEKCI_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let from = variable("BEKCI_SIM_SEED_FROM").unwrap_or_default();
            from..from + variable("BEKCI_SIM_SCHEDULES").unwrap_or(SCHEDULES)
        }
    };
    let (bad, counts) = first_bad(seeds.clone(), Weak::Sound);
    if let Some(seed) = bad {
        panic!(
            "{}\nagain: BEKCI_SIM_SEED={seed} cargo test -p bekci-store --lib sim::",
            trace_of(seed, Weak::Sound)
        );
    }
    let _told = writeln!(std::io::stderr(), "{seeds:?}: {counts:?}");
    let enough = seeds.end - seeds.start < 1_000 || counts.decisions > 20 * counts.unavailable;
    assert!(enough, "the schedules decide too little: {counts:?}");
}

#[test]
fn every_hole_put_back_is_found() {
    for weak in Weak::HOLES {
        let (bad, _) = first_bad(0..MOST_FOR_A_HOLE, weak);
        let Some(seed) = bad else {
            panic!("{weak:?} is not found in {MOST_FOR_A_HOLE} schedules");
        };
        let outcome = scenario::run(seed, &Arc::new(Names::new()), weak, false);
        let violation = outcome.violation.map(|violation| (violation.fault, violation.text));
        let _told = writeln!(
            std::io::stderr(),
            "{weak:?}: found after {} schedules: {violation:?}",
            seed + 1
        );
    }
}

#[test]
fn a_seed_replays_byte_for_byte() {
    let names = Arc::new(Names::new());
    let mut traces = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let first = scenario::run(seed, &names, Weak::Sound, true);
        let again = scenario::run(seed, &Arc::new(Names::new()), Weak::Sound, true);
        assert_eq!(first.trace, again.trace, "seed {seed}");
        assert_eq!(first.lines, again.lines, "seed {seed}");
        traces.insert(first.trace);
    }
    assert_eq!(traces.len(), 100, "every seed is a schedule of its own");
}
