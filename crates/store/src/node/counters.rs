//! Counters of change. A reader takes a stamp before it looks, and looks again afterwards: where a counter moved, something was taken away meanwhile.

use bekci_core::{PrincipalKey, Stamp};
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

use super::sync::{AtomicU64, Ordering, STRIPES};

/// Keys are spread over stripes. Two keys of one stripe cost each other a look, never a wrong answer.
#[derive(Debug)]
pub(crate) struct Counters {
    stripes: Box<[AtomicU64]>,
    roles: AtomicU64,
    policies: AtomicU64,
    all: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(),
            roles: AtomicU64::new(0),
            policies: AtomicU64::new(0),
            all: AtomicU64::new(0),
        }
    }

    pub(crate) fn hash(key: &PrincipalKey) -> u64 {
        FixedState::with_seed(0).hash_one(key.as_str())
    }

    fn stripe(hash: u64) -> usize {
        usize::try_from(hash).unwrap_or_default() & (STRIPES - 1)
    }

    fn at(&self, stripe: usize) -> u64 {
        self.stripes
            .get(stripe)
            .map(|counter| counter.load(Ordering::SeqCst))
            .unwrap_or_default()
    }

    /// The counters that an answer about the key with this hash rests on.
    pub(crate) fn stamp(&self, hash: u64) -> Stamp {
        let stripe = Self::stripe(hash);
        Stamp {
            stripe: u32::try_from(stripe).unwrap_or_default(),
            key: self.at(stripe),
            roles: self.roles.load(Ordering::SeqCst),
            policies: self.policies.load(Ordering::SeqCst),
            all: self.all.load(Ordering::SeqCst),
        }
    }

    pub(crate) fn unmoved(&self, stamp: &Stamp) -> bool {
        self.identity_unmoved(stamp) && self.roles_unmoved(stamp) && self.policies_unmoved(stamp)
    }

    pub(crate) fn identity_unmoved(&self, stamp: &Stamp) -> bool {
        self.at(stamp.stripe as usize) == stamp.key && self.all.load(Ordering::SeqCst) == stamp.all
    }

    pub(crate) fn roles_unmoved(&self, stamp: &Stamp) -> bool {
        self.roles.load(Ordering::SeqCst) == stamp.roles && self.all.load(Ordering::SeqCst) == stamp.all
    }

    pub(crate) fn policies_unmoved(&self, stamp: &Stamp) -> bool {
        self.policies.load(Ordering::SeqCst) == stamp.policies && self.all.load(Ordering::SeqCst) == stamp.all
    }

    pub(crate) fn move_key(&self, hash: u64) {
        if let Some(counter) = self.stripes.get(Self::stripe(hash)) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(crate) fn move_roles(&self) {
        self.roles.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn move_policies(&self) {
        self.policies.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn move_all(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
    }
}
