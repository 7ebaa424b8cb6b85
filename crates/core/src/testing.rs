//! A clock that a test turns, and chance that repeats. Behind the feature `testing`.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use time::OffsetDateTime;

use crate::clock::{Clock, Entropy};

/// Stands still until it is turned. Wall clock and uptime are turned apart, as they go apart in life.
#[derive(Debug)]
pub struct FakeClock {
    wall_nanos: AtomicI64,
    uptime_nanos: AtomicU64,
}

impl FakeClock {
    /// A clock that shows this second since 1970.
    #[must_use]
    pub fn at(unix_seconds: i64) -> Self {
        Self {
            wall_nanos: AtomicI64::new(unix_seconds.saturating_mul(1_000_000_000)),
            uptime_nanos: AtomicU64::new(1_000_000_000),
        }
    }

    /// Lets time pass, for wall clock and uptime alike.
    pub fn advance(&self, by: Duration) {
        self.wall_nanos
            .fetch_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.advance_uptime(by);
    }

    /// Lets time pass for the uptime alone.
    pub fn advance_uptime(&self, by: Duration) {
        self.uptime_nanos
            .fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Sets the wall clock, also back.
    pub fn set_wall(&self, unix_seconds: i64) {
        self.wall_nanos
            .store(unix_seconds.saturating_mul(1_000_000_000), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.wall_nanos.load(Ordering::SeqCst)))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    fn uptime(&self) -> Duration {
        Duration::from_nanos(self.uptime_nanos.load(Ordering::SeqCst))
    }
}

/// Bytes that count up: every call gives others, every run the same.
#[derive(Debug, Default)]
pub struct CountingEntropy(AtomicU64);

impl Entropy for CountingEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), String> {
        let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        for (at, byte) in buffer.iter_mut().enumerate() {
            *byte = count
                .rotate_left(u32::try_from(at % 8).unwrap_or_default() * 8)
                .to_le_bytes()
                .first()
                .copied()
                .unwrap_or_default();
        }
        Ok(())
    }
}
