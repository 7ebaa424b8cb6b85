//! What a route asks, and the fourth step: does the principal hold it?

use time::{Duration, OffsetDateTime};

use crate::{
    error::AuthError,
    guard::GuardChain,
    name::{Permission, RoleName},
    principal::Principal,
    request::RequestHead,
};

/// How fresh an identity must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// This process's memory, while it is trusted: no I/O.
    #[default]
    L1,
    /// A read of the database that began after the request.
    Direct,
}

/// Whom a route is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteKind {
    /// Anybody; credentials are not looked at.
    Public,
    /// Those who are signed in and verified.
    #[default]
    Authorized,
    /// Those who are signed in, and those whose sign-in still waits for its verification. The latter hold no right, so that a rule that asks one lets none of them in.
    Unverified,
    /// Those who are signed in within the last so many seconds, not by a remember-me cookie.
    Fresh(u32),
    /// Those who are not signed in.
    Guest,
}

/// What a route asks of a request.
#[derive(Clone, Debug, Default)]
pub struct RouteRule {
    /// The route's name, in logs and metrics.
    pub id: Box<str>,
    /// The guards that it lets in.
    pub guards: GuardChain,
    /// Whom it is for.
    pub kind: RouteKind,
    /// Any of these roles.
    pub roles: Vec<RoleName>,
    /// Any of these permissions.
    pub any_permission: Vec<Permission>,
    /// All of these permissions.
    pub permissions: Vec<Permission>,
    /// Any of these, each held as a role or as a permission.
    pub role_or_permission: Vec<(Option<RoleName>, Option<Permission>)>,
    /// Whether policies are asked too.
    pub policy: bool,
    /// Whether the policies are at hand for who is let in, as a handler needs them that asks them itself.
    pub policy_at_hand: bool,
    /// How fresh the identity must be.
    pub consistency: Consistency,
}

impl RouteRule {
    /// A route for anybody.
    #[must_use]
    pub fn public(id: &str) -> Self {
        Self {
            id: id.into(),
            kind: RouteKind::Public,
            ..Self::default()
        }
    }

    /// A route for those signed in through one of the guards.
    #[must_use]
    pub fn guarded(id: &str, guards: GuardChain) -> Self {
        Self {
            id: id.into(),
            guards,
            ..Self::default()
        }
    }

    /// Decides whether a confirmed principal may go on: membership in the tenant asked about, freshness, roles, permissions, policy, in this order.
    ///
    /// # Errors
    /// The [`AuthError`] of the first that is missing.
    pub fn decide(&self, principal: &Principal, head: &RequestHead<'_>, now: OffsetDateTime) -> Result<(), AuthError> {
        in_tenant(principal)?;
        if let RouteKind::Fresh(seconds) = self.kind
            && !principal.is_fresh(Duration::seconds(i64::from(seconds)), now)
        {
            return Err(AuthError::NotFresh(seconds));
        }
        self.held_for(principal, head.method, head.path)
    }

    /// Whether the principal holds all of it still, some time after it was let in: freshness was asked then.
    ///
    /// # Errors
    /// As [`RouteRule::decide`], but [`AuthError::NotFresh`].
    pub fn still_held(&self, principal: &Principal, method: &str, path: &str) -> Result<(), AuthError> {
        in_tenant(principal)?;
        self.held_for(principal, method, path)
    }

    fn held_for(&self, principal: &Principal, method: &str, path: &str) -> Result<(), AuthError> {
        self.held(principal)?;
        if self.policy {
            principal.ask_policy(path, method)
        } else {
            Ok(())
        }
    }

    fn held(&self, principal: &Principal) -> Result<(), AuthError> {
        let held = principal.held();
        if !self.roles.is_empty() && !self.roles.iter().any(|role| held.has_role(role)) {
            return Err(missing("role", self.roles.iter().map(RoleName::as_str)));
        }
        if !self.any_permission.is_empty() && !self.any_permission.iter().any(|permission| held.can(permission)) {
            return Err(missing(
                "permission",
                self.any_permission.iter().map(Permission::as_str),
            ));
        }
        if let Some(permission) = self.permissions.iter().find(|permission| !held.can(permission)) {
            return Err(missing("permission", std::iter::once(permission.as_str())));
        }
        let either = |(role, permission): &(Option<RoleName>, Option<Permission>)| {
            role.as_ref().is_some_and(|role| held.has_role(role))
                || permission.as_ref().is_some_and(|permission| held.can(permission))
        };
        if !self.role_or_permission.is_empty() && !self.role_or_permission.iter().any(either) {
            let names = self.role_or_permission.iter().filter_map(|(role, permission)| {
                role.as_ref()
                    .map(RoleName::as_str)
                    .or(permission.as_ref().map(Permission::as_str))
            });
            return Err(missing("role or permission", names));
        }
        Ok(())
    }
}

fn in_tenant(principal: &Principal) -> Result<(), AuthError> {
    match &principal.tenant {
        Some(tenant) if !principal.view.identity.belongs_to(tenant) => {
            Err(AuthError::NotInTenant(tenant.as_str().into()))
        }
        _ => Ok(()),
    }
}

fn missing<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> AuthError {
    let names: Vec<&str> = names.collect();
    AuthError::MissingRight(format!("{what} {}", names.join(" or ")).into())
}
