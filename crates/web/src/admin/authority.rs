//! What a caller may give, and on whom it may act: rules 1 to 3 of the module above.

use std::collections::HashMap;

use bekci_core::{AuthError, ErrorCode, GuardName, Held, Identity, Permission, RoleName, TenantName};
use bekci_store::{DirectoryError, RoleEntry};

use super::{
    Right,
    call::{Caller, refusal},
};
use crate::respond::Refusal;

/// Which guards' rights of a principal are compared with the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// That of the API: for what is done to a principal.
    Management,
    /// All: for what would let the caller sign in as the principal.
    Everywhere,
}

/// The role that a name means in a tenant: the tenant's own, else the global one.
pub(super) fn resolve<'a>(
    roles: &'a [RoleEntry],
    tenant: Option<&TenantName>,
    name: &RoleName,
) -> Option<&'a RoleEntry> {
    let of = |scope: Option<&TenantName>| {
        let mut named = roles.iter().filter(|role| role.name == *name);
        named.find(|role| role.scope.tenant.as_ref() == scope)
    };
    tenant.and_then(|tenant| of(Some(tenant))).or_else(|| of(None))
}

fn missing(right: String) -> Refusal {
    AuthError::MissingRight(right.into()).into()
}

impl Caller {
    /// A further permission that what is asked needs.
    pub(super) fn demand(&self, right: Right) -> Result<(), Refusal> {
        let permission = right
            .permission()
            .map_err(|fault| Refusal::misconfigured(fault.to_string()))?;
        self.who.demand(permission)
    }

    /// Goes on only where the permission is the caller's to give there: held globally, and not denied in that tenant.
    pub(super) fn may_give(&self, permission: &Permission, tenant: Option<&TenantName>) -> Result<(), Refusal> {
        let principal = self.who.principal();
        let there = Held {
            tenant,
            ..principal.held()
        };
        if principal.can(permission) && there.can(permission) {
            Ok(())
        } else {
            Err(missing(format!("permission {permission}")))
        }
    }

    pub(super) fn may_give_all(&self, permissions: &[Permission], tenant: Option<&TenantName>) -> Result<(), Refusal> {
        permissions
            .iter()
            .try_for_each(|permission| self.may_give(permission, tenant))
    }

    /// Goes on only where the name of the role is the caller's to give, whatever the role permits.
    pub(super) fn may_give_name(&self, guard: &GuardName, name: &RoleName) -> Result<(), Refusal> {
        let principal = self.who.principal();
        if principal.guard.name == *guard && principal.has_role(name) {
            return Ok(());
        }
        let right = format!("bekci.roles.give.{guard}.{name}");
        let giving = Permission::new(&right).map_err(|fault| Refusal::misconfigured(fault.to_string()))?;
        if principal.can(&giving) {
            Ok(())
        } else {
            Err(missing(format!("role {name} or permission {right}")))
        }
    }

    /// Goes on only where the role is the caller's to give: its name, and all that it permits.
    pub(super) fn may_give_role(&self, role: &RoleEntry, tenant: Option<&TenantName>) -> Result<(), Refusal> {
        self.may_give_all(&role.permissions, tenant)?;
        self.may_give_name(&role.scope.guard, &role.name)
    }

    /// Whether the caller was given a role of this name, in any tenant.
    pub(super) fn was_given(&self, guard: &GuardName, name: &RoleName) -> bool {
        let mut scopes = self.who.principal().view.identity.rights.iter();
        scopes.any(|scope| scope.guard == *guard && scope.roles.contains(name))
    }

    /// The roles of a guard.
    pub(super) async fn roles_of(&self, guard: &GuardName) -> Result<Vec<RoleEntry>, Refusal> {
        let roles = self.mounted.bekci.rights().roles(guard).await;
        roles.map_err(|error| refusal(DirectoryError::Store(error)))
    }

    pub(super) fn is_self(&self, target: &Identity) -> bool {
        target.key == *self.key()
    }

    /// Refuses a change that nobody makes of its own account.
    pub(super) fn not_self(&self, target: &Identity) -> Result<(), Refusal> {
        if self.is_self(target) {
            let refusal = Refusal::new(ErrorCode::Forbidden, "nobody does this to its own account");
            Err(refusal.detail("reason", "own account"))
        } else {
            Ok(())
        }
    }

    /// Goes on only where the caller could have given the principal all that it holds within reach.
    pub(super) async fn outranks(&self, target: &Identity, reach: Reach) -> Result<(), Refusal> {
        if self.is_self(target) {
            return Ok(());
        }
        let mut known: HashMap<&GuardName, Vec<RoleEntry>> = HashMap::new();
        let own = &self.who.principal().guard.name;
        for scope in &target.rights {
            if reach == Reach::Management && scope.guard != *own {
                continue;
            }
            let tenant = scope.tenant.as_ref();
            self.may_give_all(&scope.granted, tenant)?;
            if !known.contains_key(&scope.guard) {
                known.insert(&scope.guard, self.roles_of(&scope.guard).await?);
            }
            let roles = known.get(&scope.guard).map(Vec::as_slice).unwrap_or_default();
            for name in &scope.roles {
                if let Some(role) = resolve(roles, tenant, name) {
                    self.may_give_role(role, tenant)?;
                }
            }
        }
        Ok(())
    }
}
