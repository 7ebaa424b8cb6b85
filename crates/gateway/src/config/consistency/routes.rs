//! Routes: whom they let in, and that what they ask can be asked.

use std::sync::Arc;

use bekci_core::{GuardName, RouteRule};

use super::{Findings, guards::is_at_or_below};
use crate::{
    assemble::host_pattern,
    config::types::{Config, PathPattern, Route, RouteKind, Segment, Verification},
    routes::{RouteSpec, RouteTable},
};

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
        before_verification(id, route, config, findings);
        beside_calls(id, route, config, findings);
        lets_in(id, route, findings);
        what_is_held(id, route, findings);
    }
    apart(config, findings);
}

/// Which of two routes takes a request must not hang on their order. Found by the table that routes requests, whatever the routes ask.
fn apart(config: &Config, findings: &mut Findings<'_>) {
    let specs = config.routes.iter().map(|route| RouteSpec {
        id: route.id.as_str().into(),
        hosts: route.hosts.iter().map(host_pattern).collect(),
        paths: route.paths.iter().map(|path| path.as_str().to_owned()).collect(),
        methods: route.methods.iter().map(|method| method.as_str().to_owned()).collect(),
        rule: Arc::new(RouteRule::public(route.id.as_str())),
        upstream: None,
        semicolon_allowed: false,
        double_encoding_allowed: false,
    });
    for problem in RouteTable::new(specs).err().unwrap_or_default() {
        findings.add(&["routes", problem.route(), "paths"], problem.to_string());
    }
}

/// A route for temporary identities needs a guard that has them, and a temporary identity holds no right.
fn before_verification(id: &str, route: &Route, config: &Config, findings: &mut Findings<'_>) {
    if route.kind != RouteKind::Unverified {
        return;
    }
    let verifies = |name: &GuardName| {
        let guard = config.guards.get(name);
        guard.is_some_and(|guard| guard.verification == Verification::Email)
    };
    if !route.guards.iter().any(verifies) {
        let message = "needs a guard with verification = \"email\": no other guard has temporary identities";
        findings.add(&["routes", id, "kind"], message);
    }
}

/// Calls of guards are asked before any route, so that a route for the path of one would never be.
fn beside_calls(id: &str, route: &Route, config: &Config, findings: &mut Findings<'_>) {
    for pattern in &route.paths {
        let literal = literal_start(pattern);
        let is_whole = literal == pattern.as_str();
        for (name, guard) in &config.guards {
            if is_at_or_below(&literal, guard.auth_path.as_str()) {
                let message = format!("{:?} lies in the auth_path of guards.{name}", pattern.as_str());
                findings.add(&["routes", id, "paths"], message);
            }
            if is_whole && guard.aliases.keys().any(|alias| alias.as_str() == literal) {
                let message = format!("{:?} is an alias of guards.{name}", pattern.as_str());
                findings.add(&["routes", id, "paths"], message);
            }
        }
    }
}

/// What a pattern begins with, up to its first `*`.
fn literal_start(pattern: &PathPattern) -> String {
    let segments = pattern.segments().iter();
    let literal = segments.map_while(|segment| match segment {
        Segment::Literal(text) => Some(text),
        Segment::One | Segment::Rest => None,
    });
    literal.fold(String::new(), |path, segment| format!("{path}/{segment}"))
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
        } else if route.kind == RouteKind::Unverified {
            findings.add(
                &["routes", id, key],
                "requires rights, which a temporary identity does not have",
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
