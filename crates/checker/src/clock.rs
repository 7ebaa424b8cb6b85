//! The clock of a run: microseconds since its start, the same for every thread.

use std::{sync::OnceLock, time::Duration};

use bekci_core::Clock as _;
use bekci_store::SystemClock;

/// A moment of the run, in microseconds since its start.
pub(crate) type Moment = u64;

pub(crate) const SECOND: Moment = 1_000_000;

/// The moment now. The first call of the process is moment 0.
pub(crate) fn now() -> Moment {
    static START: OnceLock<Duration> = OnceLock::new();
    let uptime = SystemClock.uptime();
    let start = *START.get_or_init(|| uptime);
    u64::try_from(uptime.saturating_sub(start).as_micros()).unwrap_or(u64::MAX)
}

/// A span in milliseconds, for people.
pub(crate) fn millis(span: Moment) -> f64 {
    Duration::from_micros(span).as_secs_f64() * 1_000.0
}

/// Waits so many milliseconds.
pub(crate) fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
