//! The routes of a configuration, with what they ask and where they lead.

use std::sync::Arc;

use bekci_core::{AuthGuard, GuardChain, RouteKind, RouteRule};

use super::AssembleError;
use crate::{
    config::{Config, types},
    proxy::{HostHeader, Upstream, UpstreamSpec},
    routes::{RouteProblem, RouteSpec, RouteTable},
    tls,
};

/// The routes of the configuration, over these guards; and those that can never be reached.
pub(crate) fn routes(
    config: &Config,
    guards: &[Arc<AuthGuard>],
) -> Result<(RouteTable, Vec<RouteProblem>), AssembleError> {
    RouteTable::new(route_specs(config, guards)?).map_err(AssembleError::Routes)
}

/// The routes of the configuration one by one, in its order.
pub(crate) fn route_specs(config: &Config, guards: &[Arc<AuthGuard>]) -> Result<Vec<RouteSpec>, AssembleError> {
    let (routes, clients) = (config.routes.iter(), tls::Clients::default());
    routes
        .map(|route| route_spec(config, route, guards, &clients))
        .collect()
}

fn upstream(route: &str, upstream: &types::Upstream, clients: &tls::Clients) -> Result<Arc<Upstream>, AssembleError> {
    let urls: Vec<String> = upstream.urls.iter().map(|url| url.as_str().to_owned()).collect();
    let by_tls = urls.iter().any(|url| url.starts_with("https:"));
    let tls = by_tls
        .then(|| clients.trusting(upstream.ca_file.as_deref()))
        .transpose();
    let tls = tls.map_err(|problem| AssembleError::UpstreamTls {
        route: route.to_owned(),
        problem: Box::new(problem),
    })?;
    let spec = UpstreamSpec {
        urls,
        tls,
        health_path: upstream.health_path.as_ref().map(|path| path.as_str().to_owned()),
        timeout: upstream.timeout,
        host: HostHeader::default(),
    };
    Upstream::new(spec).map_err(|problem| AssembleError::Upstream {
        route: route.to_owned(),
        problem,
    })
}

fn route_spec(
    config: &Config,
    route: &types::Route,
    guards: &[Arc<AuthGuard>],
    clients: &tls::Clients,
) -> Result<RouteSpec, AssembleError> {
    let id = route.id.as_str();
    let servers = route.upstream.as_ref();
    let upstream = servers.map(|servers| upstream(id, servers, clients)).transpose()?;
    Ok(RouteSpec {
        id: id.into(),
        hosts: route.hosts.iter().map(host_pattern).collect(),
        paths: route.paths.iter().map(|path| path.as_str().to_owned()).collect(),
        methods: route.methods.iter().map(|method| method.as_str().to_owned()).collect(),
        rule: Arc::new(route_rule(config, route, guards)),
        upstream,
        semicolon_allowed: false,
        double_encoding_allowed: route.double_encoding,
    })
}

pub(crate) fn host_pattern(host: &types::HostPattern) -> String {
    match host {
        types::HostPattern::Any => "*".to_owned(),
        types::HostPattern::Below(names) => format!("*{names}"),
        types::HostPattern::Exact(name) => name.clone(),
    }
}

fn route_rule(config: &Config, route: &types::Route, guards: &[Arc<AuthGuard>]) -> RouteRule {
    let chain = route
        .guards
        .iter()
        .filter_map(|name| guards.iter().find(|guard| guard.name == *name))
        .map(Arc::clone);
    let either = |right: &types::Right| (right.role.clone(), Some(right.permission.clone()));
    RouteRule {
        id: route.id.as_str().into(),
        guards: GuardChain::new(chain),
        kind: match route.kind {
            _ if route.public => RouteKind::Public,
            types::RouteKind::Authorized => RouteKind::Authorized,
            types::RouteKind::Unverified => RouteKind::Unverified,
            types::RouteKind::Fresh(seconds) => RouteKind::Fresh(seconds),
            types::RouteKind::Guest => RouteKind::Guest,
        },
        roles: route.roles.clone(),
        any_permission: route.any_permission.clone(),
        permissions: route.permissions.clone(),
        role_or_permission: route.role_or_permission.iter().map(either).collect(),
        policy: route.policy,
        policy_at_hand: false,
        consistency: match route.consistency {
            types::Consistency::Direct => bekci_core::Consistency::Direct,
            types::Consistency::L1 => bekci_core::Consistency::L1,
            types::Consistency::Inherit => match config.identity_cache.consistency {
                types::IdentityConsistency::L1 => bekci_core::Consistency::L1,
                types::IdentityConsistency::Direct => bekci_core::Consistency::Direct,
            },
        },
    }
}
