//! The compiled policies that memory holds: one snapshot, with its version.

use std::sync::Arc;

use bekci_core::Authorizer;

use super::sync::RwLock;

#[derive(Debug, Default)]
struct Slot {
    snapshot: Option<(u64, Arc<dyn Authorizer>)>,
    floor: u64,
    /// What a commit of this node compiled, until the loop has come to it.
    compiled: Option<(u64, Arc<dyn Authorizer>)>,
}

#[derive(Debug, Default)]
pub(super) struct PolicySlot(RwLock<Slot>);

impl PolicySlot {
    pub(super) fn current(&self) -> Option<Arc<dyn Authorizer>> {
        self.0.read().snapshot.as_ref().map(|(_, policy)| Arc::clone(policy))
    }

    pub(super) fn at(&self, version: u64) -> Option<Arc<dyn Authorizer>> {
        self.0
            .read()
            .snapshot
            .as_ref()
            .filter(|(held, _)| *held == version)
            .map(|(_, policy)| Arc::clone(policy))
    }

    /// Keeps a snapshot, unless a newer one or a higher floor is there, or `still_stands` (asked under the lock) says no.
    pub(super) fn put(&self, version: u64, policy: &Arc<dyn Authorizer>, still_stands: impl FnOnce() -> bool) {
        let mut slot = self.0.write();
        let newest = slot
            .snapshot
            .as_ref()
            .map_or(slot.floor, |(held, _)| (*held).max(slot.floor));
        if version >= newest && still_stands() {
            slot.snapshot = Some((version, Arc::clone(policy)));
        }
    }

    /// Drops a snapshot that is older than `version`. `moved` is called unless that was done before.
    pub(super) fn invalidate(&self, version: u64, moved: impl FnOnce()) {
        let mut slot = self.0.write();
        if slot.floor >= version {
            return;
        }
        slot.floor = version;
        slot.snapshot = slot.snapshot.take().filter(|(held, _)| *held >= version);
        moved();
    }

    pub(super) fn clear(&self) {
        self.0.write().snapshot = None;
    }

    /// Forgets the floor too.
    pub(super) fn forget(&self) {
        *self.0.write() = Slot::default();
    }

    pub(super) fn take_compiled(&self, version: u64) -> Option<Arc<dyn Authorizer>> {
        let mut slot = self.0.write();
        let compiled = slot.compiled.take_if(|(held, _)| *held <= version);
        compiled.filter(|(held, _)| *held == version).map(|(_, policy)| policy)
    }

    /// Sets aside what a commit of this node compiled.
    pub(super) fn set_compiled(&self, version: u64, policy: &Arc<dyn Authorizer>) {
        self.0.write().compiled = Some((version, Arc::clone(policy)));
    }
}
