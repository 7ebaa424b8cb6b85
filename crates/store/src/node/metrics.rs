//! What a node counts.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters of a node, since its start.
        #[derive(Debug, Default)]
        pub struct Metrics { $($(#[$doc])* pub(crate) $name: AtomicU64),* }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct MetricsSnapshot { $($(#[$doc])* pub $name: u64),* }

        impl Metrics {
            /// Reads all counters.
            #[must_use]
            pub fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot { $($name: self.$name.load(Ordering::Relaxed)),* }
            }
        }
    };
}

metrics! {
    /// Decisions that were offered a view from memory.
    warm_hits,
    /// Reads of version rows in the database.
    version_reads,
    /// Identities taken from the shared cache, their label checked.
    shared_hits,
    /// Entries of the shared cache that were refused: no seal, another label, another key.
    shared_refused,
    /// Identities loaded from the database.
    identity_loads,
    /// Role tables loaded from the database.
    role_table_loads,
    /// Barriers begun.
    barriers,
    /// Barriers that had another node to wait for.
    barrier_waits,
    /// Microseconds spent in barriers.
    barrier_micros,
    /// Changes applied from the outbox.
    changes_applied,
    /// Polls of the outbox that were applied whole.
    polls,
    /// Polls that failed.
    poll_failures,
    /// Rows of raw writers numbered by this node.
    rows_numbered,
    /// Refreshes after a commit that failed or took too long.
    refresh_failures,
}
