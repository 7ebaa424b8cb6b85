//! The role tables of this node.

use std::{collections::HashMap, sync::Arc};

use bekci_core::{GuardName, RoleTable, TenantName};

use super::sync::RwLock;

/// A table, if it is here, and the version below which none may be used.
#[derive(Debug, Default)]
struct Slot {
    table: Option<Arc<RoleTable>>,
    floor: u64,
}

#[derive(Debug, Default)]
struct Tables {
    global: Slot,
    tenants: HashMap<TenantName, Slot, foldhash::fast::RandomState>,
}

impl Tables {
    fn slot(&mut self, tenant: Option<&TenantName>) -> &mut Slot {
        let Some(tenant) = tenant else { return &mut self.global };
        if self.tenants.len() >= MOST_TENANTS && !self.tenants.contains_key(tenant) {
            self.tenants.clear();
        }
        self.tenants.entry(tenant.clone()).or_default()
    }
}

#[derive(Debug, Default)]
pub(crate) struct RoleTables {
    guards: RwLock<HashMap<GuardName, Tables, foldhash::fast::RandomState>>,
}

/// A tenant's own roles are kept for this many tenants of a guard; then all are dropped and loaded again when asked for.
const MOST_TENANTS: usize = 10_000;

impl RoleTables {
    pub(crate) fn get(&self, guard: &GuardName, tenant: Option<&TenantName>) -> Option<Arc<RoleTable>> {
        let guards = self.guards.read();
        let tables = guards.get(guard)?;
        match tenant {
            None => tables.global.table.clone(),
            Some(tenant) => tables.tenants.get(tenant)?.table.clone(),
        }
    }

    /// Keeps a table, unless a newer one or a higher floor is there, or `still_stands` (asked under the lock) says no.
    pub(crate) fn put(
        &self,
        guard: &GuardName,
        tenant: Option<&TenantName>,
        table: &Arc<RoleTable>,
        still_stands: impl FnOnce() -> bool,
    ) {
        let mut guards = self.guards.write();
        if !still_stands() {
            return;
        }
        let slot = guards.entry(guard.clone()).or_default().slot(tenant);
        let newest = slot
            .table
            .as_ref()
            .map_or(slot.floor, |held| held.version().max(slot.floor));
        if table.version() >= newest {
            slot.table = Some(Arc::clone(table));
        }
    }

    /// Drops a table that is older than `version`. `moved` is called unless that was done before.
    pub(crate) fn invalidate(
        &self,
        guard: &GuardName,
        tenant: Option<&TenantName>,
        version: u64,
        moved: impl FnOnce(),
    ) {
        let mut guards = self.guards.write();
        let slot = guards.entry(guard.clone()).or_default().slot(tenant);
        if slot.floor >= version {
            return;
        }
        slot.floor = version;
        slot.table = slot.table.take().filter(|table| table.version() >= version);
        moved();
    }

    pub(crate) fn clear(&self) {
        self.guards.write().clear();
    }
}
