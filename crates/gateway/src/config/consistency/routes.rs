//! Routes: whom they let in, and that what they ask can be asked.

use bekci_core::GuardName;

use super::Findings;
use crate::config::types::{Config, Route, RouteKind};

pub(super) fn check(config: &Config, findings: &mut Findings<'_>) {
    for route in &config.routes {
        let id = route.id.as_str();
        for guard in route.guards.iter().filter(|guard| !config.guards.contains_key(*guard)) {
            findings.add_unknown(
                &["routes", id, "guards"],
                "guard",
                guard.as_str(),
                config.guards.keys().map(GuardName::as_str),
            );
        }
        lets_in(id, route, findings);
        what_is_held(id, route, findings);
    }
}

/// Silence never means "anyone": a route says who may come in.
fn lets_in(id: &str, route: &Route, findings: &mut Findings<'_>) {
    match (route.public, route.guards.is_empty()) {
        (false, true) => findings.add(
            &["routes", id, "guards"],
            "name the guards that it lets in, or write public = true",
        ),
        (true, false) => findings.add(
            &["routes", id, "public"],
            "stands beside guards: either anyone comes in, or their principals",
        ),
        (true, true) | (false, false) => {}
    }
}

/// What must be held, of somebody who is not known, could never hold.
fn what_is_held(id: &str, route: &Route, findings: &mut Findings<'_>) {
    let asked = [
        ("roles", !route.roles.is_empty()),
        ("any_permission", !route.any_permission.is_empty()),
        ("permissions", !route.permissions.is_empty()),
        ("role_or_permission", !route.role_or_permission.is_empty()),
    ];
    for (key, _) in asked.into_iter().filter(|(_, is_asked)| *is_asked) {
        if route.public {
            findings.add(
                &["routes", id, key],
                "asks for rights, and public = true lets in anyone",
            );
        } else if route.kind == RouteKind::Guest {
            findings.add(
                &["routes", id, key],
                "asks for rights, which nobody has who is not signed in",
            );
        }
    }
    if route.public && route.kind != RouteKind::Authorized {
        findings.add(
            &["routes", id, "kind"],
            "asks who is signed in, and public = true lets in anyone",
        );
    }
    if route.public && route.policy {
        findings.add(
            &["routes", id, "policy"],
            "asks the policy about a principal, and public = true lets in anyone",
        );
    }
}
