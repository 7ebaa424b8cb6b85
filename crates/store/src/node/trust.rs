//! How long this node may decide from memory.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A lease on memory: valid until a moment of the node's uptime clock. Extended by a poll of the outbox that was applied whole, to Δ after that poll *began*.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    valid_until: AtomicU64,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Trust {
    pub(crate) fn holds(&self, now: Duration) -> bool {
        nanos(now) < self.valid_until.load(Ordering::SeqCst)
    }

    pub(crate) fn extend(&self, until: Duration) {
        self.valid_until.fetch_max(nanos(until), Ordering::SeqCst);
    }

    pub(crate) fn drop(&self) {
        self.valid_until.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_ends_at_its_moment_and_is_never_shortened_by_an_older_poll() {
        let trust = Trust::default();
        assert!(!trust.holds(Duration::ZERO));
        trust.extend(Duration::from_secs(5));
        trust.extend(Duration::from_secs(3));
        assert!(trust.holds(Duration::from_millis(4_999)));
        assert!(!trust.holds(Duration::from_secs(5)));
        trust.drop();
        assert!(!trust.holds(Duration::ZERO));
    }
}
