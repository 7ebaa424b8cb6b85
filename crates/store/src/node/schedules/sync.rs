//! What `node::sync` is, made of the locks and counters of a scheduler that decides before each access which thread goes on.

pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
};

/// Few: identities that share one meet.
pub(super) const SHARDS: usize = 2;
pub(super) const STRIPES: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(super) fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}

#[derive(Debug, Default)]
pub(super) struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(super) fn new(value: T) -> Self {
        Self(shuttle::sync::RwLock::new(value))
    }

    pub(super) fn read(&self) -> shuttle::sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap()
    }

    pub(super) fn write(&self) -> shuttle::sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap()
    }
}

fn config() -> Config {
    let mut config = Config::new();
    // Whether a slot was seen since last time is told by a relaxed access. It decides what is evicted, and nothing else.
    config.silence_warnings = true;
    config
}

/// How threads take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turns {
    /// At any step.
    Many,
    /// Seldom, so that a thread may wait for long.
    Few,
}

/// Runs a body under so many schedules, the same ones for each seed.
pub(super) fn run(turns: Turns, (seed, schedules): (u64, usize), body: impl Fn() + Send + Sync + 'static) {
    match turns {
        Turns::Many => Runner::new(RandomScheduler::new_from_seed(seed, schedules), config()).run(body),
        Turns::Few => Runner::new(PctScheduler::new_from_seed(seed, 3, schedules), config()).run(body),
    };
}

pub(super) fn test(body: impl Fn() + Send + Sync + 'static) {
    Runner::new(RandomScheduler::new_from_seed(1, 1), config()).run(body);
}
