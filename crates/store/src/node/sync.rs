//! The locks and counters of what threads share in memory.
//!
//! `schedules` puts those of a scheduler in their place, and runs the same code under many orders of its steps.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) use parking_lot::{Mutex, RwLock};

/// How many locks the identities of memory are spread over: a power of two.
pub(super) const SHARDS: usize = 64;
/// How many counters the keys are spread over: a power of two. The simulator makes many nodes, and wants keys that meet.
pub(super) const STRIPES: usize = if cfg!(test) { 16 } else { 4096 };

/// Runs a unit test of code that uses these.
#[cfg(test)]
pub(super) fn test(body: impl Fn() + Send + Sync + 'static) {
    body();
}
