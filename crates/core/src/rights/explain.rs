//! Why a permission is held or not, in the order in which [`Held::can`] decides.

use std::fmt;

use super::Held;
use crate::name::{Permission, RoleName, TenantName};

/// What decided about a permission. Where several things would have, the first by the order of these variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// A denial covers it, or lies within it; nothing outweighs that.
    Denied {
        /// The denial, as a pattern.
        by: Permission,
        /// The tenant in which it counts; `None`: everywhere.
        tenant: Option<TenantName>,
    },
    /// It is granted directly.
    Granted {
        /// The grant, as a pattern.
        by: Permission,
        /// The tenant in which it counts; `None`: everywhere.
        tenant: Option<TenantName>,
    },
    /// A role permits it.
    ByRole {
        /// The role.
        role: RoleName,
        /// The tenant in which it is held; `None`: everywhere.
        tenant: Option<TenantName>,
    },
    /// Nothing grants it.
    NotHeld,
}

impl Explanation {
    /// Whether the permission is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Granted { .. } | Self::ByRole { .. })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant = match self {
            Self::Denied { by, tenant } => {
                write!(formatter, "denied by {by}")?;
                tenant
            }
            Self::Granted { by, tenant } => {
                write!(formatter, "granted by {by}")?;
                tenant
            }
            Self::ByRole { role, tenant } => {
                write!(formatter, "permitted by role {role}")?;
                tenant
            }
            Self::NotHeld => return formatter.write_str("nothing grants it"),
        };
        tenant
            .as_ref()
            .map_or(Ok(()), |tenant| write!(formatter, " in tenant {tenant}"))
    }
}

impl Held<'_> {
    /// What decides about the permission here; [`is_held`](Explanation::is_held) is what [`can`](Self::can) answers.
    #[must_use]
    pub fn explain(&self, asked: &Permission) -> Explanation {
        for scope in self.scopes() {
            if let Some(by) = scope.denied.iter().find(|denied| denied.overlaps(asked)) {
                return Explanation::Denied {
                    by: by.clone(),
                    tenant: scope.tenant.clone(),
                };
            }
        }
        for scope in self.scopes() {
            if let Some(by) = scope.granted.iter().find(|granted| granted.covers(asked)) {
                return Explanation::Granted {
                    by: by.clone(),
                    tenant: scope.tenant.clone(),
                };
            }
        }
        for scope in self.scopes() {
            let permits = |role: &&RoleName| self.table(scope, role).is_some_and(|table| table.permits(role, asked));
            if let Some(role) = scope.roles.iter().find(permits) {
                return Explanation::ByRole {
                    role: role.clone(),
                    tenant: scope.tenant.clone(),
                };
            }
        }
        Explanation::NotHeld
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        identity::{Identity, ScopedRights},
        key::PrincipalKey,
        name::GuardName,
        rights::{RoleTable, RoleView},
    };

    #[test]
    fn an_explanation_agrees_with_the_decision_and_names_what_decided() {
        let p = |text: &str| Permission::new(text).unwrap();
        let (editor, acme) = (RoleName::new("editor").unwrap(), TenantName::new("acme").unwrap());
        let guard = GuardName::new("admin").unwrap();
        let scope =
            |tenant: Option<&TenantName>, roles: &[&RoleName], granted: &[&str], denied: &[&str]| ScopedRights {
                guard: guard.clone(),
                tenant: tenant.cloned(),
                roles: roles.iter().map(|role| (*role).clone()).collect(),
                granted: granted.iter().map(|text| p(text)).collect(),
                denied: denied.iter().map(|text| p(text)).collect(),
            };
        let identity = Identity {
            rights: [
                scope(None, &[], &["orders.*"], &["posts.delete"]),
                scope(Some(&acme), &[&editor], &[], &[]),
            ]
            .into(),
            ..Identity::absent(PrincipalKey::parse("admin:1").unwrap())
        };
        let roles = RoleView {
            global: Arc::new(RoleTable::new(1, [(editor, vec![p("posts.*")])])),
            tenant: None,
        };
        let held = |tenant| Held {
            identity: &identity,
            guard: &guard,
            tenant,
            roles: &roles,
            in_force: true,
        };
        for (tenant, asked, told) in [
            (Some(&acme), "posts.delete", "denied by posts.delete"),
            (Some(&acme), "posts.edit", "permitted by role editor in tenant acme"),
            (None, "posts.edit", "nothing grants it"),
            (None, "orders.view", "granted by orders.*"),
            // Who may not delete may not do everything.
            (Some(&acme), "posts.*", "denied by posts.delete"),
        ] {
            let explained = held(tenant).explain(&p(asked));
            assert_eq!(explained.to_string(), told, "{asked}");
            assert_eq!(explained.is_held(), held(tenant).can(&p(asked)), "{asked}");
        }
    }
}
