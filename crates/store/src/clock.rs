//! The clock of the machine.

use std::time::Duration;

use bekci_core::Clock;
use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;

/// The machine's own clocks: `CLOCK_REALTIME`, and for leases `CLOCK_BOOTTIME`, which runs on in suspend (Rust's `Instant` does not). On systems other
/// than Linux and Android leases go by `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[cfg(any(target_os = "linux", target_os = "android"))]
const UPTIME: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const UPTIME: ClockId = ClockId::Monotonic;

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        let since_epoch = read(ClockId::Realtime);
        let nanos = i128::try_from(since_epoch.as_nanos()).unwrap_or_default();
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    fn uptime(&self) -> Duration {
        read(UPTIME)
    }
}
