//! Time and chance, as arguments.

use std::time::Duration;

use time::OffsetDateTime;

/// What time it is. Two readings, since they answer two questions.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock in UTC: what tokens, sessions and bans are judged by.
    fn now(&self) -> OffsetDateTime;

    /// Time since some fixed moment before this process began, which runs on while the machine is suspended (`CLOCK_BOOTTIME` on Linux) and
    /// never goes back: what leases are judged by.
    fn uptime(&self) -> Duration;
}

/// The operating system's source of random bytes, or a test's.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// Fills the buffer with unpredictable bytes.
    ///
    /// # Errors
    /// The source's own message where it cannot give any; nothing may be issued then.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), String>;
}
