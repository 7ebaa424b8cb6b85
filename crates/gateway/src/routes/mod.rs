//! Which route a request takes.
//!
//! The rules:
//!
//! 1. A route is for hosts, paths and methods. Of the routes that match in all three, the most specific is taken: by host first, then by path, then by method.
//! 2. Hosts: one host, then `*.example.com` (every name below it, at any depth; the longest first), then `*`. Compared in lower case, without port or dot at the end.
//! 3. Paths, segment by segment from the left: a literal, then `*` (one segment that is not empty), then `**` (what is left, only at the end). `/api/**` matches
//!    `/api`, `/api/` and everything below. Case counts. A slash at the end makes no difference, as in policies. Only canonical paths are compared.
//! 4. Methods: a list, then `*`. A list with `GET` matches `HEAD` too (RFC 9110 section 9.3.2), unless another route of the same pattern lists `HEAD`: else a `HEAD` would
//!    fall to a broader route that requires less. `OPTIONS` is a method like others.
//!    An encoded dot, slash or backslash that is encoded once more (`%252e`) is refused, unless the route allows it: upstreams exist that decode twice.
//! 5. What no route matches is refused. Two routes that are equally specific for some request are refused when the table is built.

mod host;
mod method;
mod tree;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bekci_core::{BadPath, ErrorCode, RouteRule, canonical_path, is_encoded_twice};

use self::{
    host::HostPattern,
    method::VerbSet,
    tree::{RouteIndex, Tree},
};
use crate::proxy::Upstream;

pub use bekci::Host;
pub use method::{NoVerb, Verb};

/// A route as it is configured.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// Its name, each one once.
    pub id: Box<str>,
    /// Hosts: `api.example.com`, `*.example.com`, `*`.
    pub hosts: Vec<String>,
    /// Paths: `/orders/*/lines`, `/api/**`.
    pub paths: Vec<String>,
    /// Methods in capitals, or `*`.
    pub methods: Vec<String>,
    /// What it asks of a request.
    pub rule: Arc<RouteRule>,
    /// Where it leads; `None`: nowhere, it is for the decision endpoints alone.
    pub upstream: Option<Arc<Upstream>>,
    /// Whether `;` may stand in its paths.
    pub semicolon_allowed: bool,
    /// Whether an encoded dot, slash or backslash may stand in its paths encoded once more.
    pub double_encoding_allowed: bool,
}

/// A route of a table.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub id: Box<str>,
    /// What it asks of a request.
    pub rule: Arc<RouteRule>,
    /// Where it leads.
    pub upstream: Option<Arc<Upstream>>,
    semicolon_allowed: bool,
    double_encoding_allowed: bool,
}

/// What is wrong with a set of routes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteProblem {
    /// Two routes have one name.
    #[error("two routes are named {0:?}")]
    DuplicateId(Box<str>),
    /// A host pattern that cannot be read.
    #[error("route {route}: {host:?} is no host")]
    BadHost {
        /// The route.
        route: Box<str>,
        /// The pattern.
        host: String,
    },
    /// A path pattern that cannot be read.
    #[error("route {route}: the path {path:?} {why}")]
    BadPath {
        /// The route.
        route: Box<str>,
        /// The pattern.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A method that is never served.
    #[error("route {route}: {method:?} is not among {}", Verb::allow())]
    BadMethod {
        /// The route.
        route: Box<str>,
        /// The method.
        method: String,
    },
    /// Two routes are equally specific for the same requests.
    #[error("routes {first} and {second} both match {methods} {host} {path}")]
    Conflict {
        /// The earlier one.
        first: Box<str>,
        /// The later one.
        second: Box<str>,
        /// The host pattern that both have.
        host: String,
        /// The path pattern that both have.
        path: String,
        /// The methods that both have.
        methods: String,
    },
    /// More specific routes leave nothing for it.
    #[error("route {0} can never be reached: more specific routes take all its requests")]
    Unreachable(Box<str>),
}

impl RouteProblem {
    /// The route that it is about; of two, the later one.
    #[must_use]
    pub fn route(&self) -> &str {
        match self {
            Self::DuplicateId(route)
            | Self::BadHost { route, .. }
            | Self::BadPath { route, .. }
            | Self::BadMethod { route, .. }
            | Self::Conflict { second: route, .. }
            | Self::Unreachable(route) => route,
        }
    }
}

/// Why no route is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteMiss {
    /// No route matches.
    #[error("no route matches")]
    NotFound,
    /// No route is for this host, whatever the path.
    #[error("no route is for this host")]
    UnknownHost,
    /// The path is not canonical.
    #[error(transparent)]
    BadPath(#[from] BadPath),
    /// The method is never routed.
    #[error("the method is never served")]
    NoVerb(NoVerb),
}

impl RouteMiss {
    /// The code that an answer carries.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound | Self::UnknownHost => ErrorCode::NotFound,
            Self::BadPath(_) => ErrorCode::BadPath,
            Self::NoVerb(NoVerb::NeverServed) => ErrorCode::MethodNotAllowed,
            Self::NoVerb(NoVerb::Unknown) => ErrorCode::MalformedRequest,
        }
    }

    /// The status of the answer, where RFC 9110 has a closer one than the code's own: 421 for a host that is none of ours (section 15.5.20), 405 for a
    /// method that is known and never served, 501 for one that is not known (section 9.1). A 405 goes with `Allow: ` [`Verb::allow`].
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownHost => 421,
            Self::NoVerb(NoVerb::Unknown) => 501,
            Self::NoVerb(NoVerb::NeverServed) | Self::NotFound | Self::BadPath(_) => self.code().status(),
        }
    }
}

/// The route that a request takes.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The route.
    pub route: &'a Arc<Route>,
    /// The canonical path: the one to judge, and the one to forward.
    pub path: Cow<'a, str>,
}

/// All routes, ready to look up. Built once and shared.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    exact: HashMap<Box<str>, Tree, foldhash::fast::RandomState>,
    below: HashMap<Box<str>, Tree, foldhash::fast::RandomState>,
    any: Option<Tree>,
    some_semicolon: bool,
}

impl RouteTable {
    /// Builds the table. Routes that can never be reached are no error; they are given beside it, to be told.
    ///
    /// # Errors
    /// Every [`RouteProblem`] but the unreachable ones.
    pub fn new(specs: impl IntoIterator<Item = RouteSpec>) -> Result<(Self, Vec<RouteProblem>), Vec<RouteProblem>> {
        let mut table = Self::default();
        let mut problems = Vec::new();
        let mut names = HashSet::new();
        for spec in specs {
            if !names.insert(spec.id.clone()) {
                problems.push(RouteProblem::DuplicateId(spec.id.clone()));
            }
            table.add(spec, &mut problems);
        }
        if problems.is_empty() {
            let unreachable = table.unreachable();
            Ok((table, unreachable))
        } else {
            Err(problems)
        }
    }

    /// The routes, in the order of their specifications.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }

    /// Finds the route for a request. `raw_path` is the path as received, without the query.
    ///
    /// # Errors
    /// [`RouteMiss`].
    pub fn find<'a>(&'a self, verb: Verb, host: &Host<'_>, raw_path: &'a str) -> Result<Found<'a>, RouteMiss> {
        let strict = canonical_path(raw_path, false);
        let path = match &strict {
            Err(_) if self.some_semicolon => canonical_path(raw_path, true)?,
            _ => strict.clone()?,
        };
        let found = match self.look_up(verb, host.name(), &path) {
            Some(index) => self.routes.get(index).ok_or(RouteMiss::NotFound),
            None if self.knows(host.name()) => Err(RouteMiss::NotFound),
            None => Err(RouteMiss::UnknownHost),
        };
        match (found, strict) {
            (Ok(route), Err(bad)) if !route.semicolon_allowed => Err(bad.into()),
            (Ok(route), _) if !route.double_encoding_allowed && is_encoded_twice(&path) => {
                Err(BadPath("it has a dot, slash or backslash that is encoded twice").into())
            }
            (Err(_), Err(bad)) => Err(bad.into()),
            (found, _) => Ok(Found { route: found?, path }),
        }
    }

    fn trees<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Tree> {
        let dots = host
            .match_indices('.')
            .filter_map(|(at, _)| self.below.get(host.get(at..)?));
        let below = (!self.below.is_empty()).then_some(dots).into_iter().flatten();
        self.exact.get(host).into_iter().chain(below).chain(self.any.as_ref())
    }

    fn look_up(&self, verb: Verb, host: &str, path: &str) -> Option<RouteIndex> {
        self.trees(host).find_map(|tree| tree.find(path, verb))
    }

    fn knows(&self, host: &str) -> bool {
        self.trees(host).next().is_some()
    }

    fn tree(&mut self, host: HostPattern) -> &mut Tree {
        match host {
            HostPattern::Exact(name) => self.exact.entry(name).or_default(),
            HostPattern::Below(suffix) => self.below.entry(suffix).or_default(),
            HostPattern::Any => self.any.get_or_insert_default(),
        }
    }

    fn add(&mut self, spec: RouteSpec, problems: &mut Vec<RouteProblem>) {
        let id = &spec.id;
        let index = self.routes.len();
        let verbs = verbs_of(&spec, problems);
        let bad_host = |host: &String| RouteProblem::BadHost {
            route: id.clone(),
            host: host.clone(),
        };
        for host in &spec.hosts {
            let Some(pattern) = HostPattern::parse(host) else {
                problems.push(bad_host(host));
                continue;
            };
            for path in &spec.paths {
                let (route, path) = (id.clone(), path.clone());
                let segments = match tree::segments(&path) {
                    Ok(segments) => segments,
                    Err(why) => {
                        problems.push(RouteProblem::BadPath { route, path, why });
                        continue;
                    }
                };
                if let Err((other, shared)) = self.tree(pattern.clone()).add(&segments, verbs, index) {
                    let first = self.routes.get(other).map(|other| other.id.clone()).unwrap_or_default();
                    problems.push(RouteProblem::Conflict {
                        first,
                        second: route,
                        host: host.clone(),
                        path,
                        methods: shared.to_string(),
                    });
                }
            }
        }
        self.some_semicolon |= spec.semicolon_allowed;
        self.routes.push(Arc::new(Route {
            id: spec.id,
            rule: spec.rule,
            upstream: spec.upstream,
            semicolon_allowed: spec.semicolon_allowed,
            double_encoding_allowed: spec.double_encoding_allowed,
        }));
    }

    fn unreachable(&self) -> Vec<RouteProblem> {
        let mut reachable = Vec::new();
        for tree in self.exact.values().chain(self.below.values()).chain(&self.any) {
            tree.reachable(&mut reachable);
        }
        let reachable: HashSet<RouteIndex> = reachable.into_iter().collect();
        self.routes
            .iter()
            .enumerate()
            .filter(|(index, _)| !reachable.contains(index))
            .map(|(_, route)| RouteProblem::Unreachable(route.id.clone()))
            .collect()
    }
}

/// The verbs that a route lists; `None`: all.
fn verbs_of(spec: &RouteSpec, problems: &mut Vec<RouteProblem>) -> Option<VerbSet> {
    if spec.methods.iter().any(|method| method == "*") {
        return None;
    }
    let mut verbs = VerbSet::default();
    for method in &spec.methods {
        match Verb::named(method) {
            Some(verb) => verbs = verbs.with(verb),
            None => problems.push(RouteProblem::BadMethod {
                route: spec.id.clone(),
                method: method.clone(),
            }),
        }
    }
    Some(verbs)
}

#[cfg(test)]
mod tests;
