//! What signing in counts, for metrics. Keys are names from configuration and from fixed lists, never what a client sent.

use std::collections::BTreeMap;

use bekci_core::GuardName;
use parking_lot::Mutex;

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts to sign in, by guard, way (`password`) and [`AttemptResult`](crate::AttemptResult) name.
    pub sign_ins: BTreeMap<(GuardName, &'static str, &'static str), u64>,
    /// Attempts that a limit turned away, by guard and limit: `sign_in`, `refresh`, or `hashing` where more passwords waited to be hashed than may.
    pub limited: BTreeMap<(GuardName, &'static str), u64>,
}

/// Counts up. Signing in takes milliseconds, so that one lock is no hindrance.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

impl Tally {
    pub(crate) fn signed_in(&self, guard: &GuardName, way: &'static str, result: &'static str) {
        *self.0.lock().sign_ins.entry((guard.clone(), way, result)).or_default() += 1;
    }

    pub(crate) fn limited(&self, guard: &GuardName, limit: &'static str) {
        *self.0.lock().limited.entry((guard.clone(), limit)).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().clone()
    }
}
