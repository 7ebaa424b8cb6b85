//! What decisions from memory rest on, in the order that makes each of them one of a single state.
//!
//! - A decision takes a stamp of the counters, then finds a lease, then looks, and compares the stamp before it counts. A node that forgets drops its lease, moves the counters, and then drops the
//!   rest: a stamp that it does not move belongs to a decision that finds no lease.
//! - A change moves its counter under the lock of what it drops. A change of everything moves its counter before it drops anything.
//! - What a read puts in is put under the same lock, and only if the counters stand as they stood when the read began.
//!
//! So a change that was applied is seen by each decision that has yet to compare, and no read that began before it can put back what it dropped.

use std::sync::Arc;

use bekci_core::{Authorizer, IdentityVersion, Need, RoleView, Stamp};

use super::{
    counters::Counters,
    l1::{Entry, L1},
    policy_slot::PolicySlot,
    role_tables::RoleTables,
    sync::{AtomicU64, Ordering},
};
use crate::keys::ChangeKey;

/// Identities, role tables and policies of a node, and the counters of what changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory<'a> {
    pub(super) counters: &'a Counters,
    pub(super) l1: &'a L1,
    /// The version of `@all` below which no entry may be used.
    pub(super) epoch_floor: &'a AtomicU64,
    pub(super) roles: &'a RoleTables,
    pub(super) policies: &'a PolicySlot,
}

/// What memory holds for a need, with the stamp that was taken before.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) entry: Entry,
    pub(super) roles: RoleView,
    pub(super) policy: Option<Arc<dyn Authorizer>>,
    pub(super) stamp: Stamp,
}

impl Memory<'_> {
    /// All that a need asks for, if memory holds it. It counts only if the stamp stands afterwards. `is_leased` is asked between stamp and look.
    pub(super) fn look(&self, need: &Need<'_>, is_leased: impl FnOnce() -> bool) -> Option<Held> {
        let hash = Counters::hash(need.key);
        let stamp = self.counters.stamp(hash);
        if !is_leased() {
            return None;
        }
        let entry = self.l1.get(need.key, hash)?;
        if entry.version < need.at_least || entry.epoch < self.epoch_floor.load(Ordering::SeqCst) {
            return None;
        }
        let global = self.roles.get(need.guard, None)?;
        let tenant = match need.tenant {
            Some(tenant) => Some(self.roles.get(need.guard, Some(tenant))?),
            None => None,
        };
        let policy = if need.policy {
            Some(self.policies.current()?)
        } else {
            None
        };
        Some(Held {
            entry,
            roles: RoleView { global, tenant },
            policy,
            stamp,
        })
    }

    /// Brings one change. The same change applied twice does nothing the second time, where memory can tell.
    pub(super) fn apply(&self, key: &ChangeKey, version: u64) {
        match key {
            ChangeKey::Principal(principal) => {
                let hash = Counters::hash(principal);
                self.l1.invalidate(principal, hash, IdentityVersion(version), || {
                    self.counters.move_key(hash)
                });
            }
            ChangeKey::Roles(guard, tenant) => self
                .roles
                .invalidate(guard, tenant.as_ref(), version, || self.counters.move_roles()),
            ChangeKey::Policies => self.policies.invalidate(version, || self.counters.move_policies()),
            ChangeKey::All => {
                // 0: a key that nobody can have. What is here goes; what is loaded from now on is as good as before, so that the floor stays where it is.
                if version == 0 || self.epoch_floor.fetch_max(version, Ordering::SeqCst) < version {
                    self.counters.move_all();
                    self.l1.clear();
                    self.roles.clear();
                    self.policies.clear();
                }
            }
        }
    }

    /// Drops all of it, and every floor: what a database that was set back says next may be of lower versions.
    pub(super) fn forget(&self) {
        self.counters.move_all();
        self.epoch_floor.store(0, Ordering::SeqCst);
        self.l1.clear();
        self.roles.clear();
        self.policies.forget();
    }
}
