//! The calls of a guard: signing in and out, refresh, oneself, one's sessions; and the public keys.
//!
//! 1. What is guarded asks the gate before it looks at a body, and has none to look at.
//! 2. A body is JSON by its content type, of bounded size, without fields that nobody asked for: nothing in it picks guard, model or provider.
//! 3. A credential that comes by cookie and changes something needs proof of origin, the refresh cookie like the access cookie.
//! 4. No answer is kept by caches.

mod accounts;
pub(crate) mod aliases;
pub(crate) mod answer;
pub(crate) mod body;
mod calls;
mod clients;
mod codes;
pub(crate) mod cookies;
mod credentials;
mod external;
pub(crate) mod invites;
mod links;
mod own;
mod remember;
mod sign_in;
mod sign_out;

use std::sync::Arc;

use actix_web::{
    HttpRequest,
    web::{self, ServiceConfig},
};
use bekci_core::{AuthGuard, ErrorCode, GuardChain, RouteRule};
use bekci_signin::Requester;

use crate::{
    Bekci,
    middleware::SecureCalls,
    openapi::{self, Operation},
    respond::Refusal,
};

/// One guard's calls, where they are mounted.
#[derive(Debug)]
pub(crate) struct Mounted {
    bekci: Bekci,
    guard: Arc<AuthGuard>,
    path: String,
    /// What the calls ask that only somebody signed in may make.
    rule: RouteRule,
}

impl Mounted {
    fn new(bekci: &Bekci, guard: &Arc<AuthGuard>, prefix: &str) -> Self {
        let chain = GuardChain::new([Arc::clone(guard)]);
        Self {
            bekci: bekci.clone(),
            guard: Arc::clone(guard),
            rule: RouteRule::guarded(&format!("auth.{}", guard.name), chain),
            path: calls_of(guard, prefix),
        }
    }

    /// How its calls are described.
    fn standing(&self) -> openapi::Standing<'_> {
        openapi::Standing {
            prefix: &self.path,
            family: self.guard.name.as_str(),
            guard: Some(&self.guard),
        }
    }
}

/// Where a guard's calls are, mounted with this prefix.
pub(crate) fn calls_of(guard: &AuthGuard, prefix: &str) -> String {
    if guard.auth_path == format!("/auth/{}", guard.name) {
        format!("{prefix}/{}", guard.name)
    } else {
        guard.auth_path.trim_end_matches('/').to_owned()
    }
}

/// How mails are to be that a call of another API sends to users of a guard. Links lead to where the guard's calls were mounted.
pub(crate) fn mails_to(
    (bekci, guard): (&Bekci, &AuthGuard),
    request: &HttpRequest,
    redirect: Option<&str>,
) -> Result<Requester, Refusal> {
    let mounted = bekci.watch().ways().and_then(|ways| ways.prefix.get());
    let path = calls_of(guard, mounted.map_or("/auth", |prefix| prefix));
    accounts::mails_with(bekci, (guard, &path), request, redirect)
}

/// Mounts a guard's calls at their other paths.
fn mount_aliases(bekci: &Bekci, mounted: &web::Data<Mounted>, by_claim: bool, config: &mut ServiceConfig) {
    let operations = calls::operations(by_claim, mounted.guard.answer_shape);
    for (path, call) in &mounted.guard.aliases {
        let named = |operation: &&Operation| operation.path().trim_start_matches('/') == call;
        let there: Vec<&Operation> = operations.iter().filter(named).collect();
        for operation in &there {
            bekci.described().add_alias(mounted.standing(), path, operation);
        }
        openapi::mount_at(config, path, &there, mounted);
    }
}

/// The paths that [`mount`] takes, each with all below it.
pub(crate) fn paths(bekci: &Bekci, prefix: &str) -> Vec<String> {
    let prefix = prefix.trim_end_matches('/');
    let guards = bekci.watch().guards();
    let of_guards = guards.flat_map(|guard| {
        let aliases = guard.aliases.iter().map(|(path, _)| path.to_string());
        aliases.chain([Mounted::new(bekci, guard, prefix).path])
    });
    let own = openapi::page_paths().chain(clients::paths(prefix));
    let mut paths: Vec<String> = of_guards.chain(own).collect();
    paths.extend((!prefix.is_empty()).then(|| prefix.to_owned()));
    paths
}

/// Mounts the calls of every guard, and what belongs to none. A guard whose `auth_path` was left as it is stands at `<prefix>/<guard>`; another one where its
/// `auth_path` says. What is under the prefix and no guard's is 404 `GUARD_UNKNOWN`.
pub(crate) fn mount(bekci: &Bekci, prefix: &str, config: &mut ServiceConfig) {
    let prefix = prefix.trim_end_matches('/');
    if let Some(ways) = bekci.watch().ways() {
        ways.prefix.get_or_init(|| prefix.into());
    }
    let guards = bekci.watch().guards();
    let mut all: Vec<Mounted> = guards.map(|guard| Mounted::new(bekci, guard, prefix)).collect();
    // A guard whose path lies below another's is asked first.
    all.sort_by(|one, other| other.path.cmp(&one.path));
    let by_claim = bekci.watch().tenancy().is_by_claim();
    let all: Vec<_> = all.into_iter().map(web::Data::new).collect();
    clients::mount(bekci, prefix, config);
    // Before any path of calls, below which one may lie.
    for mounted in &all {
        mount_aliases(bekci, mounted, by_claim, config);
    }
    for mounted in all {
        let operations = calls::operations(by_claim, mounted.guard.answer_shape);
        bekci.described().add(mounted.standing(), &operations);
        let scope = web::scope(&mounted.path).app_data(mounted.clone());
        let calls = openapi::mount_in(scope, &operations)
            .default_service(web::to(|request| answer::refused(request, ErrorCode::NotFound)))
            .wrap(SecureCalls::new(bekci.watch(), &mounted.guard));
        config.service(calls);
    }
    openapi::mount_page(bekci, prefix, config);
    if !prefix.is_empty() {
        let unknown = web::to(|request| answer::refused(request, ErrorCode::GuardUnknown));
        config.service(web::scope(prefix).default_service(unknown));
    }
}
