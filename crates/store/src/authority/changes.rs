//! Changes of roles and permissions, as rules 4 and 5 judge them.

use bekci_core::{GuardName, Permission, RoleName, signin::StoreError};

use super::{Authority, Change, exact};
use crate::{
    guarded::GuardedTransaction,
    rights::{RoleEntry, Scope},
};

/// Holders of a role: members in its tenant. A global role is also held in tenants that have no role of its name.
const HOLDERS: &str = "m.guard = $1 AND m.role = $2 AND (m.tenant = $3 OR ($3 = '' AND NOT EXISTS (SELECT 1 FROM bekci_roles own \
                       WHERE own.guard = m.guard AND own.tenant = m.tenant AND own.name = m.role)))";

impl Change {
    /// Judges a role that is added, or whose permissions are replaced: `before` is what it permits until now.
    pub(crate) async fn may_put_role(
        &mut self,
        scope: &Scope,
        name: &RoleName,
        (before, after): (Option<&[Permission]>, &[Permission]),
    ) -> Result<(), StoreError> {
        let Some(authority) = &mut self.authority else {
            return Ok(());
        };
        let is_new = before.is_none();
        if is_new {
            authority.may_shadow(&self.transaction, scope, name).await?;
        }
        authority.may_give_all(before.unwrap_or_default(), scope.tenant.as_ref())?;
        authority.may_give_all(after, scope.tenant.as_ref())?;
        if is_new {
            authority.may_give_name(&scope.guard, name)?;
        }
        authority.reaches_holders(&self.transaction, scope, name).await
    }

    /// Judges a role that is deleted.
    pub(crate) async fn may_delete_role(&mut self, role: &RoleEntry) -> Result<(), StoreError> {
        let Some(authority) = &mut self.authority else {
            return Ok(());
        };
        authority.may_shadow(&self.transaction, &role.scope, &role.name).await?;
        authority.may_give_role(role, role.scope.tenant.as_ref())?;
        authority
            .reaches_holders(&self.transaction, &role.scope, &role.name)
            .await
    }

    /// Judges a role that gets another name. Its holders keep it, and in a tenant those who hold a global role of the new name hold this one instead.
    pub(crate) async fn may_rename_role(&mut self, role: &RoleEntry, name: &RoleName) -> Result<(), StoreError> {
        let Some(authority) = &mut self.authority else {
            return Ok(());
        };
        if *name == role.name {
            return authority.may_give_all(&role.permissions, role.scope.tenant.as_ref());
        }
        authority.may_shadow(&self.transaction, &role.scope, &role.name).await?;
        authority.may_shadow(&self.transaction, &role.scope, name).await?;
        authority.may_give_role(role, role.scope.tenant.as_ref())?;
        authority.may_give_name(&role.scope.guard, name)?;
        // The caller would hold another role than before: only a caller that may do everything gains nothing by it.
        if authority.was_given(&role.scope.guard, &role.name) {
            let everything = Permission::new("*").map_err(|fault| StoreError::Refused(fault.to_string()))?;
            authority.may_give(&everything, None)?;
        }
        for held in [&role.name, name] {
            authority.reaches_holders(&self.transaction, &role.scope, held).await?;
        }
        Ok(())
    }

    /// Judges a permission that is taken from every role of a guard and from everybody to whom it was granted.
    pub(crate) async fn may_forget(&mut self, guard: &GuardName, permission: &Permission) -> Result<(), StoreError> {
        let Some(authority) = &mut self.authority else {
            return Ok(());
        };
        authority.may_give(permission, None)?;
        let named = || vec![guard.as_str().into(), permission.as_str().into()];
        let granted = "m.guard = $1 AND m.permission = $2 AND NOT m.denied";
        authority
            .outranks_all(&self.transaction, "bekci_principal_permissions", granted, named())
            .await?;
        let by_role = "m.guard = $1 AND EXISTS (SELECT 1 FROM bekci_roles r JOIN bekci_role_permissions g ON g.role_id = r.id \
                       WHERE r.guard = m.guard AND r.name = m.role AND r.tenant IN ('', m.tenant) AND g.permission = $2)";
        authority
            .outranks_all(&self.transaction, "bekci_principal_roles", by_role, named())
            .await
    }
}

impl Authority {
    /// Rule 5.
    async fn may_shadow(
        &mut self,
        transaction: &GuardedTransaction,
        scope: &Scope,
        name: &RoleName,
    ) -> Result<(), StoreError> {
        if scope.tenant.is_none() {
            return Ok(());
        }
        let roles = self.roles(transaction, &scope.guard).await?;
        let Some(global) = exact(roles, None, name).cloned() else {
            return Ok(());
        };
        self.may_give_role(&global, None).map_err(|_| {
            StoreError::Refused(format!(
                "guard {} has a global role {name}: a tenant's role of this name takes its place, which requires the right to give it",
                scope.guard
            ))
        })
    }

    /// Rule 4: the caller outranks every holder of the role.
    async fn reaches_holders(
        &mut self,
        transaction: &GuardedTransaction,
        scope: &Scope,
        name: &RoleName,
    ) -> Result<(), StoreError> {
        let named = [scope.guard.as_str(), name.as_str(), scope.tenant_text()];
        let values = named.into_iter().map(Into::into).collect();
        self.outranks_all(transaction, "bekci_principal_roles", HOLDERS, values)
            .await
    }

    /// Whether the caller was given a role of this name, in any tenant.
    fn was_given(&self, guard: &GuardName, name: &RoleName) -> bool {
        let mut scopes = self.identity.rights.iter();
        scopes.any(|scope| scope.guard == *guard && scope.roles.contains(name))
    }
}
