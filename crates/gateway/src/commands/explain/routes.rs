//! Why one route is taken and the others are not, told by the table that `serve` looks routes up in: each route alone, then with what it narrows by left out.

use std::sync::Arc;

use actix_web::http::Method;
use bekci_core::AuthGuard;

use crate::{
    config::Config,
    routes::{Host, Route, RouteSpec, RouteTable, Verb},
};

/// A route, and what became of it.
#[derive(Debug)]
pub(super) struct Considered {
    pub(super) id: String,
    pub(super) taken: bool,
    pub(super) why: String,
}

pub(super) fn considered(
    specs: &[RouteSpec],
    taken: Option<&Route>,
    method: &Method,
    host: &Host<'_>,
    path: &str,
) -> Vec<Considered> {
    let verb = Verb::of(method).ok();
    let mut considered: Vec<Considered> = specs
        .iter()
        .map(|spec| {
            let is_taken = taken.is_some_and(|route| route.id == spec.id);
            Considered {
                id: spec.id.to_string(),
                taken: is_taken,
                why: match (is_taken, verb) {
                    (true, _) => "the most specific that matches".to_owned(),
                    (false, Some(verb)) => why_not(spec, verb, host, path),
                    (false, None) => "no route is for this method".to_owned(),
                },
            }
        })
        .collect();
    considered.sort_by_key(|route| !route.taken);
    considered
}

fn matches(spec: RouteSpec, verb: Verb, host: &Host<'_>, path: &str) -> bool {
    RouteTable::new([spec]).is_ok_and(|(table, _)| table.find(verb, host, path).is_ok())
}

fn why_not(spec: &RouteSpec, verb: Verb, host: &Host<'_>, path: &str) -> String {
    if matches(spec.clone(), verb, host, path) {
        return "it matches, and a more specific one is taken".to_owned();
    }
    let any = || vec!["*".to_owned()];
    let of_any_method = RouteSpec {
        methods: any(),
        ..spec.clone()
    };
    if matches(of_any_method.clone(), verb, host, path) {
        return format!("its methods are {}", spec.methods.join(", "));
    }
    let of_any_host = RouteSpec {
        hosts: any(),
        ..of_any_method
    };
    match matches(of_any_host, verb, host, path) {
        true => format!("its hosts are {}", spec.hosts.join(", ")),
        false => format!("its paths are {}", spec.paths.join(", ")),
    }
}

/// What the gateway answers itself, before routes are looked at.
pub(super) fn own_call(config: &Config, guards: &[Arc<AuthGuard>], path: &str) -> Option<String> {
    let under = |prefix: &str| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if let Some(guard) = guards.iter().find(|guard| under(guard.auth_path.trim_end_matches('/'))) {
        return Some(format!("a call of guard {}", guard.name));
    }
    if under("/admin/v1") && guards.iter().any(|guard| guard.name.as_str() == "admin") {
        return Some("a call of the management API".to_owned());
    }
    let decision = ["/forward-auth", "/auth-request", "/ext-authz"].into_iter().any(under);
    if decision && config.server.decision_listen.is_none() {
        return Some("a decision endpoint".to_owned());
    }
    let own = match path {
        "/.well-known/jwks.json" => "the public keys",
        "/.well-known/openid-configuration" => "where the public keys are",
        "/openapi.json" | "/docs" | "/docs/page.js" | "/docs/page.css" => "the description of the calls",
        _ => return None,
    };
    Some(own.to_owned())
}
