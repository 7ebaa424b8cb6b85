//! Memory and single flight under many orders of their steps.
//!
//! The modules are those of the product, compiled once more over the locks and counters of `shuttle`, which runs a body under many schedules. (`loom` takes accesses that are sequentially consistent
//! for less than that, and what is tested here rests on one order of all of them.) Each test is run with something made weak as well, and has to fail then.

#[path = "../counters.rs"]
#[expect(clippy::duplicate_mod, reason = "the product's code over other locks")]
mod counters;
mod decisions;
#[path = "../flight.rs"]
#[expect(clippy::duplicate_mod, reason = "the product's code over other locks")]
mod flight;
mod joining;
#[path = "../l1.rs"]
#[expect(
    clippy::duplicate_mod,
    dead_code,
    reason = "the product's code over other locks; not all of it is used here"
)]
mod l1;
#[path = "../memory.rs"]
#[expect(clippy::duplicate_mod, reason = "the product's code over other locks")]
mod memory;
#[path = "../policy_slot.rs"]
#[expect(
    clippy::duplicate_mod,
    dead_code,
    reason = "the product's code over other locks; not all of it is used here"
)]
mod policy_slot;
#[path = "../role_tables.rs"]
#[expect(clippy::duplicate_mod, reason = "the product's code over other locks")]
mod role_tables;
mod sync;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sync::Turns;

/// How many schedules a test runs with one seed.
const SCHEDULES: usize = 2_500;
/// With how many seeds something weak is looked for, until it is found.
const SEEDS: u64 = 20;

/// In how many schedules something was that must not be.
fn count_wrong(turns: Turns, seed: u64, body: impl Fn() -> bool + Send + Sync + 'static) -> u64 {
    let wrong = Arc::new(AtomicU64::new(0));
    let found = Arc::clone(&wrong);
    sync::run(turns, (seed, SCHEDULES), move || {
        if body() {
            found.fetch_add(1, Ordering::Relaxed);
        }
    });
    wrong.load(Ordering::Relaxed)
}

/// Whether something that must not be is found.
fn is_found<B: Fn() -> bool + Send + Sync + 'static>(turns: &[Turns], body: impl Fn() -> B) -> bool {
    let mut runs = (1..=SEEDS).flat_map(|seed| turns.iter().map(move |turns| (*turns, seed)));
    runs.any(|(turns, seed)| count_wrong(turns, seed, body()) > 0)
}
