//! What roles permit, as bits, and the questions asked of them together with an identity.
//!
//! A role table holds what the roles of one guard permit, globally or in one tenant. It is kept whole on every node, so a change to a role that a million
//! principals hold is a change of one table. An identity holds names of roles only.
//!
//! The rules:
//!
//! 1. A denial wins over whatever grants, and touches every permission that it covers or that covers it.
//! 2. A permission is held when a direct grant covers it, or a role does that the principal holds in this scope.
//! 3. A role held in a tenant is that tenant's role of the name, else the global one; a global role is the global one.
//! 4. A role that no table knows permits nothing and is not held: a name left over from a deleted role gives nothing.

mod explain;

use std::{collections::HashMap, sync::Arc};

use smallvec::SmallVec;

pub use explain::Explanation;

use crate::{
    identity::{Identity, ScopedRights},
    name::{GuardName, Permission, RoleName, TenantName},
};

/// What the roles of one guard permit, in one scope.
#[derive(Debug, Default)]
pub struct RoleTable {
    version: u64,
    patterns: Vec<Permission>,
    index: HashMap<Permission, u32, foldhash::fast::RandomState>,
    roles: HashMap<RoleName, Box<[u64]>, foldhash::fast::RandomState>,
}

impl RoleTable {
    /// Builds a table of this version from roles and what each permits.
    pub fn new(version: u64, roles: impl IntoIterator<Item = (RoleName, Vec<Permission>)>) -> Self {
        let mut table = Self {
            version,
            ..Self::default()
        };
        let rows: Vec<(RoleName, Vec<u32>)> = roles
            .into_iter()
            .map(|(role, permissions)| (role, permissions.into_iter().map(|p| table.intern(p)).collect()))
            .collect();
        let words = table.patterns.len().div_ceil(64);
        for (role, permissions) in rows {
            let bits = table
                .roles
                .entry(role)
                .or_insert_with(|| vec![0; words].into_boxed_slice());
            for at in permissions {
                if let Some(word) = bits.get_mut(at as usize / 64) {
                    *word |= 1 << (at % 64);
                }
            }
        }
        table
    }

    fn intern(&mut self, permission: Permission) -> u32 {
        if let Some(at) = self.index.get(&permission) {
            return *at;
        }
        let at = u32::try_from(self.patterns.len()).unwrap_or(u32::MAX);
        self.patterns.push(permission.clone());
        self.index.insert(permission, at);
        at
    }

    /// The version of the table's key when it was read.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether the table has a role of this name.
    #[must_use]
    pub fn knows(&self, role: &RoleName) -> bool {
        self.roles.contains_key(role)
    }

    /// The patterns that a role permits.
    pub fn permissions_of(&self, role: &RoleName) -> impl Iterator<Item = &Permission> {
        let bits = self.roles.get(role);
        self.patterns
            .iter()
            .enumerate()
            .filter(move |(at, _)| bits.is_some_and(|bits| has_bit(bits, *at)))
            .map(|(_, pattern)| pattern)
    }

    fn permits(&self, role: &RoleName, asked: &Permission) -> bool {
        let Some(bits) = self.roles.get(role) else { return false };
        asked.covering().any(|text| {
            self.index
                .get(text.as_ref())
                .is_some_and(|at| has_bit(bits, *at as usize))
        })
    }
}

fn has_bit(bits: &[u64], at: usize) -> bool {
    bits.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
}

/// The role tables that count for one decision: the guard's global one and that of the tenant asked about.
#[derive(Clone, Debug)]
pub struct RoleView {
    /// The guard's global roles.
    pub global: Arc<RoleTable>,
    /// The tenant's own roles, where a tenant is asked about.
    pub tenant: Option<Arc<RoleTable>>,
}

/// An identity and the role tables, for one guard and tenant.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// In which guard.
    pub guard: &'a GuardName,
    /// In which tenant beside globally.
    pub tenant: Option<&'a TenantName>,
    /// What roles permit.
    pub roles: &'a RoleView,
    /// Whether rights count at all: not for who is not verified yet, of whom nothing is held, and nothing denied either.
    pub in_force: bool,
}

impl<'a> Held<'a> {
    fn scopes(&self) -> impl Iterator<Item = &'a ScopedRights> {
        let counting = self.in_force.then(|| self.identity.scopes(self.guard, self.tenant));
        counting.into_iter().flatten()
    }

    /// The table that defines a role held in this scope; rule 3.
    fn table(&self, scope: &ScopedRights, role: &RoleName) -> Option<&'a RoleTable> {
        let own = self
            .roles
            .tenant
            .as_deref()
            .filter(|table| scope.tenant.is_some() && table.knows(role));
        own.or_else(|| Some(&*self.roles.global).filter(|table| table.knows(role)))
    }

    /// Whether the principal holds the role here.
    #[must_use]
    pub fn has_role(&self, role: &RoleName) -> bool {
        self.scopes()
            .any(|scope| scope.roles.contains(role) && self.table(scope, role).is_some())
    }

    /// Whether the principal holds the permission here: granted directly or by a role, and not denied.
    #[must_use]
    pub fn can(&self, asked: &Permission) -> bool {
        let denied = self
            .scopes()
            .any(|scope| scope.denied.iter().any(|denied| denied.overlaps(asked)));
        !denied
            && self.scopes().any(|scope| {
                scope.granted.iter().any(|granted| granted.covers(asked))
                    || scope
                        .roles
                        .iter()
                        .any(|role| self.table(scope, role).is_some_and(|table| table.permits(role, asked)))
            })
    }

    /// The roles held here, each once, in order of name.
    #[must_use]
    pub fn role_names(&self) -> Vec<&'a str> {
        let held = self
            .scopes()
            .flat_map(|scope| scope.roles.iter().filter(|role| self.table(scope, role).is_some()));
        sorted(held.map(RoleName::as_str).collect())
    }

    /// The permissions held here, directly or by role, as patterns, without those that a denial covers, each once, in order.
    #[must_use]
    pub fn permission_names(&self) -> Vec<&'a str> {
        let denied: SmallVec<[&Permission; 8]> = self.scopes().flat_map(|scope| &scope.denied).collect();
        let mut held: Vec<&'a Permission> = Vec::new();
        for scope in self.scopes() {
            held.extend(&scope.granted);
            for role in &scope.roles {
                if let Some(table) = self.table(scope, role) {
                    held.extend(table.permissions_of(role));
                }
            }
        }
        held.retain(|permission| !denied.iter().any(|denial| denial.covers(permission)));
        sorted(held.into_iter().map(Permission::as_str).collect())
    }
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PrincipalKey;

    fn p(text: &str) -> Permission {
        Permission::new(text).unwrap()
    }

    fn r(text: &str) -> RoleName {
        RoleName::new(text).unwrap()
    }

    fn table(rows: &[(&str, &[&str])]) -> Arc<RoleTable> {
        Arc::new(RoleTable::new(
            1,
            rows.iter()
                .map(|(role, permissions)| (r(role), permissions.iter().map(|text| p(text)).collect())),
        ))
    }

    fn scope(tenant: Option<&str>, roles: &[&str], granted: &[&str], denied: &[&str]) -> ScopedRights {
        ScopedRights {
            guard: GuardName::new("admin").unwrap(),
            tenant: tenant.map(|tenant| TenantName::new(tenant).unwrap()),
            roles: roles.iter().map(|role| r(role)).collect(),
            granted: granted.iter().map(|text| p(text)).collect(),
            denied: denied.iter().map(|text| p(text)).collect(),
        }
    }

    fn can(scopes: Vec<ScopedRights>, view: &RoleView, tenant: Option<&str>, asked: &str) -> bool {
        let identity = Identity {
            rights: scopes.into(),
            ..Identity::absent(PrincipalKey::parse("admin:1").unwrap())
        };
        let (guard, tenant) = (
            GuardName::new("admin").unwrap(),
            tenant.map(|tenant| TenantName::new(tenant).unwrap()),
        );
        Held {
            identity: &identity,
            guard: &guard,
            tenant: tenant.as_ref(),
            roles: view,
            in_force: true,
        }
        .can(&p(asked))
    }

    #[test]
    fn a_denial_wins_over_grants_roles_and_wildcards() {
        let view = RoleView {
            global: table(&[("super-admin", &["*"])]),
            tenant: None,
        };
        assert!(can(
            vec![scope(None, &["super-admin"], &[], &[])],
            &view,
            None,
            "orders.delete"
        ));
        assert!(!can(
            vec![scope(None, &["super-admin"], &["orders.delete"], &["orders.delete"])],
            &view,
            None,
            "orders.delete"
        ));
        assert!(!can(
            vec![scope(None, &["super-admin"], &[], &["orders.*"])],
            &view,
            None,
            "orders.delete"
        ));
        assert!(!can(
            vec![scope(None, &["super-admin"], &[], &["orders.delete"])],
            &view,
            None,
            "orders.*"
        ));
        assert!(can(
            vec![scope(None, &["super-admin"], &[], &["orders.delete"])],
            &view,
            None,
            "orders.view"
        ));
    }

    #[test]
    fn a_role_held_in_a_tenant_counts_there_alone_and_is_the_tenants_own_first() {
        let view = RoleView {
            global: table(&[("editor", &["posts.edit"])]),
            tenant: Some(table(&[("editor", &["posts.view"])])),
        };
        let held = || vec![scope(Some("acme"), &["editor"], &[], &[])];
        assert!(can(held(), &view, Some("acme"), "posts.view"));
        assert!(!can(held(), &view, Some("acme"), "posts.edit"));
        let no_tenant = RoleView {
            global: view.global.clone(),
            tenant: None,
        };
        assert!(!can(held(), &no_tenant, None, "posts.edit"));
        assert!(!can(
            held(),
            &RoleView {
                tenant: Some(table(&[])),
                ..view.clone()
            },
            Some("other"),
            "posts.edit"
        ));
        assert!(can(
            held(),
            &RoleView {
                tenant: Some(table(&[])),
                ..view
            },
            Some("acme"),
            "posts.edit"
        ));
    }

    #[test]
    fn a_role_that_no_table_knows_gives_nothing() {
        let view = RoleView {
            global: table(&[]),
            tenant: None,
        };
        let identity = Identity {
            rights: vec![scope(None, &["ghost"], &[], &[])].into(),
            ..Identity::absent(PrincipalKey::parse("admin:1").unwrap())
        };
        let guard = GuardName::new("admin").unwrap();
        let held = Held {
            identity: &identity,
            guard: &guard,
            tenant: None,
            roles: &view,
            in_force: true,
        };
        assert!(!held.has_role(&r("ghost")));
        assert!(held.role_names().is_empty());
    }

    #[test]
    fn a_table_of_many_permissions_answers_as_its_rows_say() {
        let all: Vec<String> = (0..200).map(|n| format!("area{n}.do")).collect();
        let even: Vec<&str> = all.iter().step_by(2).map(String::as_str).collect();
        let every: Vec<&str> = all.iter().map(String::as_str).collect();
        let view = RoleView {
            global: table(&[("every", &every), ("even", &even)]),
            tenant: None,
        };
        for (n, text) in all.iter().enumerate() {
            assert_eq!(
                can(vec![scope(None, &["even"], &[], &[])], &view, None, text),
                n % 2 == 0,
                "{text}"
            );
        }
    }
}
