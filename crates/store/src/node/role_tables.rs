//! The role tables of this node.

use std::{collections::HashMap, sync::Arc};

use bekci_core::{GuardName, RoleTable, TenantName};
use parking_lot::RwLock;

#[derive(Debug, Default)]
struct Tables {
    global: Option<Arc<RoleTable>>,
    tenants: HashMap<TenantName, Arc<RoleTable>, foldhash::fast::RandomState>,
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
            None => tables.global.clone(),
            Some(tenant) => tables.tenants.get(tenant).cloned(),
        }
    }

    /// Keeps a table, unless a newer one is there or `still_stands` (asked under the lock) says no.
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
        let tables = guards.entry(guard.clone()).or_default();
        let held = match tenant {
            None => tables.global.as_ref(),
            Some(tenant) => tables.tenants.get(tenant),
        };
        if held.is_some_and(|held| held.version() > table.version()) {
            return;
        }
        match tenant {
            None => tables.global = Some(Arc::clone(table)),
            Some(tenant) => {
                if tables.tenants.len() >= MOST_TENANTS {
                    tables.tenants.clear();
                }
                tables.tenants.insert(tenant.clone(), Arc::clone(table));
            }
        }
    }

    /// Drops a table that is older than `version`.
    pub(crate) fn invalidate(
        &self,
        guard: &GuardName,
        tenant: Option<&TenantName>,
        version: u64,
        moved: impl FnOnce(),
    ) {
        let mut guards = self.guards.write();
        let fits = |table: &Arc<RoleTable>| table.version() >= version;
        if let Some(tables) = guards.get_mut(guard) {
            let current = match tenant {
                None => tables.global.as_ref().is_some_and(fits),
                Some(tenant) => tables.tenants.get(tenant).is_some_and(fits),
            };
            if current {
                return;
            }
            match tenant {
                None => tables.global = None,
                Some(tenant) => drop(tables.tenants.remove(tenant)),
            }
        }
        moved();
    }

    pub(crate) fn clear(&self) {
        self.guards.write().clear();
    }
}
