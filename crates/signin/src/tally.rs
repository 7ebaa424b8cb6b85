//! What signing in counts, for metrics. Keys are names from configuration and from fixed lists, never what a client sent.

use std::{collections::BTreeMap, sync::Arc};

use bekci_core::{GuardName, Meter, Unmetered};
use parking_lot::Mutex;

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts to sign in, by guard, way (`password`) and [`AttemptResult`](crate::AttemptResult) name.
    pub sign_ins: BTreeMap<(GuardName, &'static str, &'static str), u64>,
    /// Attempts that a limit turned away, by guard and limit: `sign_in`, `refresh`, or `hashing` where more passwords waited to be hashed than may.
    pub limited: BTreeMap<(GuardName, &'static str), u64>,
}

/// Counts up, and tells a meter. Signing in takes milliseconds, so that one lock is no hindrance.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: Mutex<Counts>,
    meter: Arc<dyn Meter>,
}

impl Default for Tally {
    fn default() -> Self {
        Self::told_to(Arc::new(Unmetered))
    }
}

impl Tally {
    pub(crate) fn told_to(meter: Arc<dyn Meter>) -> Self {
        Self {
            counts: Mutex::default(),
            meter,
        }
    }

    pub(crate) fn signed_in(&self, guard: &GuardName, way: &'static str, result: &'static str) {
        self.meter.signed_in(guard, way, result);
        *self
            .counts
            .lock()
            .sign_ins
            .entry((guard.clone(), way, result))
            .or_default() += 1;
    }

    pub(crate) fn limited(&self, guard: &GuardName, limit: &'static str) {
        self.meter.rate_limited(guard, limit);
        *self.counts.lock().limited.entry((guard.clone(), limit)).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().clone()
    }
}
