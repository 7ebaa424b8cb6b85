//! Authority of a caller: what it may give and on whom it may act, judged in the transaction that writes.
//!
//! A change on behalf of a [`Caller`] takes its locks first. Then it reads the caller, its target and the roles, compares them, and writes. So the change that is
//! written is the change that was compared. The rules:
//!
//! 1. A permission can be given by a caller that holds that very pattern globally and is not denied it in the tenant.
//! 2. A role can be given by a caller that can give its name and each permission of it.
//! 3. A caller acts on a principal only if it can give all that the principal holds in the caller's guard. On credentials the rights of every guard count.
//! 4. A change of a role acts on every holder of the role. It needs the name of the role and what the role permits, before and after.
//! 5. A role of a tenant with the name of a global role shadows that role. Only a caller that can give the global role adds, renames or deletes such a role.
//!
//! Changes by the application's own code and by commands have no caller: they take the same locks, and nothing is compared.

mod changes;

use std::{collections::HashMap, sync::Arc};

use bekci_core::{
    GuardName, Held, Identity, Permission, PrincipalKey, RoleName, RoleView, TenantName, is_banned, signin::StoreError,
};
use sea_orm::{ConnectionTrait, DbErr, TransactionTrait, Value};

use crate::{
    Store,
    audit::Direct,
    guarded::GuardedTransaction,
    load,
    rights::{RoleEntry, Scope, roles_of},
    sessions::lock_principal,
    sql::{lock_roles, statement},
};

/// On whose behalf a change is made. [`Store::on_behalf_of`] takes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The principal that calls.
    pub key: PrincipalKey,
    /// The guard through which it is signed in, whose rights are compared.
    pub guard: GuardName,
    /// The permission that the call requires.
    pub right: Permission,
}

/// Which guards' rights of a principal are compared with the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// That of the caller: for what is done to a principal.
    Management,
    /// All: for what would let the caller sign in as the principal.
    Everywhere,
}

/// What a change locks beside its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locks {
    /// Roles stay as they are until the change is committed.
    Principal,
    /// No other change of rights runs beside it.
    Roles,
}

/// A change that has begun: its locks are held.
pub(crate) struct Change {
    pub(crate) transaction: GuardedTransaction,
    /// The rights of the caller; `None`: nothing is compared.
    pub(crate) authority: Option<Authority>,
}

/// The rights of a caller, read in the transaction that writes.
pub(crate) struct Authority {
    caller: Caller,
    identity: Identity,
    roles: RoleView,
    /// Roles of the guards that were compared, and what each permits.
    known: HashMap<GuardName, Vec<RoleEntry>>,
    in_force: bool,
}

fn unavailable(error: DbErr) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn missing(right: impl Into<Box<str>>) -> StoreError {
    StoreError::MissingRight(right.into())
}

/// The role that a name means in a tenant: the tenant's own, else the global one.
fn resolve<'a>(roles: &'a [RoleEntry], tenant: Option<&TenantName>, name: &RoleName) -> Option<&'a RoleEntry> {
    tenant
        .and_then(|tenant| exact(roles, Some(tenant), name))
        .or_else(|| exact(roles, None, name))
}

fn exact<'a>(roles: &'a [RoleEntry], tenant: Option<&TenantName>, name: &RoleName) -> Option<&'a RoleEntry> {
    let mut named = roles.iter().filter(|role| role.name == *name);
    named.find(|role| role.scope.tenant.as_ref() == tenant)
}

impl Store {
    /// The same store, whose changes are judged by the rights of a caller in the transaction that writes them. Without it every change is made.
    #[must_use]
    pub fn on_behalf_of(&self, caller: Caller) -> Self {
        Self {
            caller: Some(Arc::new(caller)),
            ..self.clone()
        }
    }

    /// Begins a change, takes its locks, and reads the rights of the caller. Locks are taken in one order: roles, then principals by key.
    pub(crate) async fn begin_change(&self, locks: Locks, target: Option<&PrincipalKey>) -> Result<Change, StoreError> {
        let transaction = self.connection().begin().await.map_err(unavailable)?;
        let backend = transaction.get_database_backend();
        if let Some(sql) = lock_roles(backend, locks == Locks::Roles) {
            let lock = statement(backend, sql, []);
            transaction.query_one_raw(lock).await.map_err(unavailable)?;
        }
        let caller = self.caller.as_deref();
        let mut keys: Vec<&PrincipalKey> = target.into_iter().chain(caller.map(|caller| &caller.key)).collect();
        keys.sort_by_key(|key| key.as_str());
        keys.dedup();
        for key in keys {
            lock_principal(&transaction, key).await.map_err(unavailable)?;
        }
        let authority = match caller {
            Some(caller) => Some(Authority::of(self, &transaction, caller).await?),
            None => None,
        };
        Ok(Change { transaction, authority })
    }
}

impl Change {
    /// Refuses the change where the caller does not outrank the target.
    pub(crate) async fn outranks(
        &mut self,
        store: &Store,
        target: &PrincipalKey,
        reach: Reach,
    ) -> Result<(), StoreError> {
        let Some(authority) = &mut self.authority else {
            return Ok(());
        };
        let identity = load::identity(&store.node, &self.transaction, target).await;
        let identity = identity.map_err(unavailable)?;
        authority.outranks(&self.transaction, &identity, reach).await
    }
}

impl Authority {
    async fn of(store: &Store, transaction: &GuardedTransaction, caller: &Caller) -> Result<Self, StoreError> {
        let identity = load::identity(&store.node, transaction, &caller.key)
            .await
            .map_err(unavailable)?;
        let table = load::role_table(transaction, &caller.guard, None, 0)
            .await
            .map_err(unavailable)?;
        let in_force = identity.exists && !identity.inactive && !is_banned(&identity, store.node.clock().now());
        let authority = Self {
            caller: caller.clone(),
            identity,
            roles: RoleView {
                global: Arc::new(table),
                tenant: None,
            },
            known: HashMap::new(),
            in_force,
        };
        // It held the right when the call began; it holds it still.
        if authority.held(None).can(&caller.right) {
            Ok(authority)
        } else {
            Err(missing(format!("permission {}", caller.right)))
        }
    }

    fn held<'a>(&'a self, tenant: Option<&'a TenantName>) -> Held<'a> {
        Held {
            identity: &self.identity,
            guard: &self.caller.guard,
            tenant,
            roles: &self.roles,
            in_force: self.in_force,
        }
    }

    pub(crate) fn is_caller(&self, key: &PrincipalKey) -> bool {
        self.caller.key == *key
    }

    /// Refuses a change of the caller's own rights.
    pub(crate) fn not_self(&self, key: &PrincipalKey) -> Result<(), StoreError> {
        if self.is_caller(key) {
            Err(StoreError::Refused("nobody changes its own rights".to_owned()))
        } else {
            Ok(())
        }
    }

    /// Judges what a principal holds directly in a scope after a change: whatever is new is the caller's to give, and so is what a denial is lifted from.
    pub(crate) async fn may_change(
        &mut self,
        transaction: &GuardedTransaction,
        scope: &Scope,
        (before, after): (&Direct, &Direct),
    ) -> Result<(), StoreError> {
        for name in after.roles.difference(&before.roles) {
            let name = RoleName::new(name).map_err(|fault| StoreError::Refused(fault.to_string()))?;
            self.may_give_named(transaction, scope, &name).await?;
        }
        let granted = after.granted.difference(&before.granted);
        for text in granted.chain(before.denied.difference(&after.denied)) {
            let permission = Permission::new(text).map_err(|fault| StoreError::Refused(fault.to_string()))?;
            self.may_give(&permission, scope.tenant.as_ref())?;
        }
        Ok(())
    }

    /// Rule 1.
    pub(crate) fn may_give(&self, permission: &Permission, tenant: Option<&TenantName>) -> Result<(), StoreError> {
        if self.held(None).can(permission) && self.held(tenant).can(permission) {
            Ok(())
        } else {
            Err(missing(format!("permission {permission}")))
        }
    }

    pub(crate) fn may_give_all(
        &self,
        permissions: &[Permission],
        tenant: Option<&TenantName>,
    ) -> Result<(), StoreError> {
        permissions
            .iter()
            .try_for_each(|permission| self.may_give(permission, tenant))
    }

    /// Whether the name of a role is the caller's to give, whatever the role permits.
    pub(crate) fn may_give_name(&self, guard: &GuardName, name: &RoleName) -> Result<(), StoreError> {
        let held = self.held(None);
        if self.caller.guard == *guard && held.has_role(name) {
            return Ok(());
        }
        let right = format!("bekci.roles.give.{guard}.{name}");
        let giving = Permission::new(&right).map_err(|fault| StoreError::Refused(fault.to_string()))?;
        if held.can(&giving) {
            Ok(())
        } else {
            Err(missing(format!("role {name} or permission {right}")))
        }
    }

    /// Rule 2.
    fn may_give_role(&self, role: &RoleEntry, tenant: Option<&TenantName>) -> Result<(), StoreError> {
        self.may_give_all(&role.permissions, tenant)?;
        self.may_give_name(&role.scope.guard, &role.name)
    }

    /// The roles of a guard as the transaction sees them.
    async fn roles<'a>(
        &'a mut self,
        transaction: &GuardedTransaction,
        guard: &GuardName,
    ) -> Result<&'a [RoleEntry], StoreError> {
        if !self.known.contains_key(guard) {
            let roles = roles_of(transaction, guard).await.map_err(unavailable)?;
            self.known.insert(guard.clone(), roles);
        }
        Ok(self.known.get(guard).map(Vec::as_slice).unwrap_or_default())
    }

    /// Rule 2 for the role that a name means in a scope. A name that means none gives nothing.
    pub(crate) async fn may_give_named(
        &mut self,
        transaction: &GuardedTransaction,
        scope: &Scope,
        name: &RoleName,
    ) -> Result<(), StoreError> {
        let roles = self.roles(transaction, &scope.guard).await?;
        match resolve(roles, scope.tenant.as_ref(), name).cloned() {
            Some(role) => self.may_give_role(&role, scope.tenant.as_ref()),
            None => Ok(()),
        }
    }

    /// Rule 3.
    pub(crate) async fn outranks(
        &mut self,
        transaction: &GuardedTransaction,
        target: &Identity,
        reach: Reach,
    ) -> Result<(), StoreError> {
        if self.is_caller(&target.key) {
            return Ok(());
        }
        for held in &target.rights {
            if reach == Reach::Management && held.guard != self.caller.guard {
                continue;
            }
            self.may_give_all(&held.granted, held.tenant.as_ref())?;
            let scope = Scope {
                guard: held.guard.clone(),
                tenant: held.tenant.clone(),
            };
            for name in &held.roles {
                self.may_give_named(transaction, &scope, name).await?;
            }
        }
        Ok(())
    }

    /// Rule 3 for every principal that a condition on `m`, a row of `table`, selects, except the caller. What they hold is read once, however many they are.
    async fn outranks_all(
        &mut self,
        transaction: &GuardedTransaction,
        table: &str,
        condition: &str,
        values: Vec<Value>,
    ) -> Result<(), StoreError> {
        let at = values.len();
        let (guard, model, id) = (at + 1, at + 2, at + 3);
        let one_of = |held: &str| {
            format!(
                "{held}.guard = ${guard} AND NOT ({held}.model = ${model} AND {held}.id = ${id}) \
                 AND EXISTS (SELECT 1 FROM {table} m WHERE m.model = {held}.model AND m.id = {held}.id AND {condition})"
            )
        };
        let sql = format!(
            "SELECT DISTINCT h.tenant AS tenant, h.role AS name, 0 AS kind FROM bekci_principal_roles h WHERE {} \
             UNION SELECT DISTINCT p.tenant, p.permission, 1 FROM bekci_principal_permissions p WHERE NOT p.denied AND {}",
            one_of("h"),
            one_of("p")
        );
        let own = [
            self.caller.guard.as_str(),
            self.caller.key.model(),
            self.caller.key.id(),
        ];
        let values = values.into_iter().chain(own.map(Value::from));
        let asked = statement(transaction.get_database_backend(), sql, values);
        for row in transaction.query_all_raw(asked).await.map_err(unavailable)? {
            let text = |column: &str| row.try_get::<String>("", column).map_err(unavailable);
            let (tenant, name) = (text("tenant")?, text("name")?);
            let kind: i32 = row.try_get("", "kind").map_err(unavailable)?;
            // What breaks the grammar gives nothing.
            let Ok(tenant) = (!tenant.is_empty()).then(|| TenantName::new(&tenant)).transpose() else {
                continue;
            };
            let scope = Scope {
                guard: self.caller.guard.clone(),
                tenant,
            };
            match (kind, RoleName::new(&name), Permission::new(&name)) {
                (0, Ok(role), _) => self.may_give_named(transaction, &scope, &role).await?,
                (1, _, Ok(permission)) => self.may_give(&permission, scope.tenant.as_ref())?,
                _ => {}
            }
        }
        Ok(())
    }
}
