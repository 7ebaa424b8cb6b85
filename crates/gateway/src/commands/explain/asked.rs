//! What a route asks, and what of it the principal holds, by whom or what.

use bekci_core::{Held, Permission, RoleName, RouteKind, RouteRule, TenantName};
use time::OffsetDateTime;

use super::{super::answer::listed, ports::Seen};

/// One thing that is asked. `met` is `None` where nobody is there who could.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) what: String,
    pub(super) met: Option<bool>,
    pub(super) because: Vec<String>,
}

pub(super) fn held<'a>(seen: &'a Seen, tenant: Option<&'a TenantName>) -> Held<'a> {
    Held {
        identity: &seen.view.identity,
        guard: &seen.guard,
        tenant,
        roles: &seen.view.roles,
        in_force: true,
    }
}

pub(super) fn of(
    rule: &RouteRule,
    seen: Option<&Seen>,
    tenant: Option<&TenantName>,
    now: OffsetDateTime,
) -> Vec<Asked> {
    let mut asked = vec![signed_in(rule, seen)];
    if rule.kind == RouteKind::Public {
        return asked;
    }
    let held = seen.map(|seen| held(seen, tenant));
    let held = held.as_ref();
    if let Some(tenant) = tenant {
        asked.push(Asked {
            what: format!("belongs to tenant {tenant}"),
            met: held.map(|held| held.identity.belongs_to(tenant)),
            because: Vec::new(),
        });
    }
    if let RouteKind::Fresh(seconds) = rule.kind {
        asked.push(fresh(seconds, seen, now));
    }
    if !rule.roles.is_empty() {
        asked.push(Asked {
            what: format!("role {}", any_of(&rule.roles)),
            met: held.map(|held| rule.roles.iter().any(|role| held.has_role(role))),
            because: held.map(holds).into_iter().collect(),
        });
    }
    if !rule.any_permission.is_empty() {
        asked.push(Asked {
            what: format!("permission {}", any_of(&rule.any_permission)),
            met: held.map(|held| rule.any_permission.iter().any(|permission| held.can(permission))),
            because: why_all(held, &rule.any_permission),
        });
    }
    for permission in &rule.permissions {
        asked.push(Asked {
            what: format!("permission {permission}"),
            met: held.map(|held| held.can(permission)),
            because: why_all(held, std::slice::from_ref(permission)),
        });
    }
    asked.extend(either(rule, held));
    asked
}

fn any_of<T: std::fmt::Display>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(" or ")
}

fn signed_in(rule: &RouteRule, seen: Option<&Seen>) -> Asked {
    let guards: Vec<&str> = rule.guards.iter().map(|guard| guard.name.as_str()).collect();
    let (what, met) = match rule.kind {
        RouteKind::Public => ("nothing: the route is public".to_owned(), Some(true)),
        RouteKind::Guest => (
            "not signed in: the route is for guests".to_owned(),
            Some(seen.is_none()),
        ),
        RouteKind::Authorized | RouteKind::Unverified | RouteKind::Fresh(_) => (
            format!("signed in through guard {}", any_of(&guards)),
            Some(seen.is_some()),
        ),
    };
    Asked {
        what,
        met,
        because: Vec::new(),
    }
}

fn fresh(seconds: u32, seen: Option<&Seen>, now: OffsetDateTime) -> Asked {
    let newest = seen.and_then(|seen| {
        let own = seen
            .view
            .identity
            .sessions
            .iter()
            .filter(|session| session.guard == seen.guard);
        own.filter(|session| !session.remembered && !session.is_temporary())
            .map(|session| now.unix_timestamp().saturating_sub(session.authenticated_at))
            .min()
    });
    Asked {
        what: format!("a sign-in within {seconds} s"),
        // Which session it is is the gate's to say: a principal may have several.
        met: None,
        because: newest
            .map(|age| format!("its newest is {age} s old"))
            .into_iter()
            .collect(),
    }
}

fn either(rule: &RouteRule, held: Option<&Held<'_>>) -> Option<Asked> {
    if rule.role_or_permission.is_empty() {
        return None;
    }
    let names = rule.role_or_permission.iter().filter_map(|(role, permission)| {
        let role = role.as_ref().map(RoleName::as_str);
        role.or(permission.as_ref().map(Permission::as_str))
    });
    let met = held.map(|held| {
        rule.role_or_permission.iter().any(|(role, permission)| {
            role.as_ref().is_some_and(|role| held.has_role(role))
                || permission.as_ref().is_some_and(|permission| held.can(permission))
        })
    });
    let permissions: Vec<Permission> = rule
        .role_or_permission
        .iter()
        .filter_map(|(_, permission)| permission.clone())
        .collect();
    Some(Asked {
        what: format!("role or permission {}", any_of(&names.collect::<Vec<_>>())),
        met,
        because: held.map(holds).into_iter().chain(why_all(held, &permissions)).collect(),
    })
}

fn holds(held: &Held<'_>) -> String {
    format!("holds the roles {}", listed(held.role_names()))
}

fn why_all(held: Option<&Held<'_>>, permissions: &[Permission]) -> Vec<String> {
    let Some(held) = held else { return Vec::new() };
    permissions
        .iter()
        .flat_map(|permission| why(held, permission))
        .collect()
}

/// What denies and what grants a permission.
fn why(held: &Held<'_>, asked: &Permission) -> Vec<String> {
    let mut because = Vec::new();
    for scope in held.identity.scopes(held.guard, held.tenant) {
        let place = match &scope.tenant {
            Some(tenant) => format!("in tenant {tenant}"),
            None => "globally".to_owned(),
        };
        let denials = scope.denied.iter().filter(|denied| denied.overlaps(asked));
        because.extend(denials.map(|denied| format!("{denied} is denied to it {place}, which wins")));
        let grants = scope.granted.iter().filter(|granted| granted.covers(asked));
        because.extend(grants.map(|granted| format!("{granted} is granted to it {place}")));
    }
    for name in held.role_names() {
        let Ok(role) = RoleName::new(name) else { continue };
        let tables = [held.roles.tenant.as_deref(), Some(&*held.roles.global)];
        let permits = tables
            .into_iter()
            .flatten()
            .flat_map(|table| table.permissions_of(&role));
        let permits = permits.filter(|permits| permits.covers(asked));
        because.extend(permits.map(|permits| format!("role {role} permits {permits}")));
    }
    if because.is_empty() {
        because.push(format!(
            "nothing grants {asked}; it holds the roles {}",
            listed(held.role_names())
        ));
    }
    because.dedup();
    because
}
