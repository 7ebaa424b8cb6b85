//! The calls of a guard: signing in and out, refresh, oneself, one's sessions; and the public keys.
//!
//! 1. What is guarded asks the gate before it looks at a body, and has none to look at.
//! 2. A body is JSON by its content type, of bounded size, without fields that nobody asked for: nothing in it picks guard, model or provider.
//! 3. A credential that comes by cookie and changes something needs proof of origin, the refresh cookie like the access cookie.
//! 4. No answer is kept by caches.

pub(crate) mod answer;
pub(crate) mod body;
mod calls;
mod cookies;
mod credentials;
mod own;
mod sign_in;
mod sign_out;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use bekci_core::{AuthGuard, ErrorCode, GuardChain, RouteRule};

use crate::{Bekci, openapi};

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
        let standard = format!("/auth/{}", guard.name);
        let path = if guard.auth_path == standard {
            format!("{prefix}/{}", guard.name)
        } else {
            guard.auth_path.trim_end_matches('/').to_owned()
        };
        let chain = GuardChain::new([Arc::clone(guard)]);
        Self {
            bekci: bekci.clone(),
            guard: Arc::clone(guard),
            rule: RouteRule::guarded(&format!("auth.{}", guard.name), chain),
            path,
        }
    }
}

/// Mounts the calls of every guard, and what belongs to none. A guard whose `auth_path` was left as it is stands at `<prefix>/<guard>`; another one where its
/// `auth_path` says. What is under the prefix and no guard's is 404 `GUARD_UNKNOWN`.
pub(crate) fn mount(bekci: &Bekci, prefix: &str, config: &mut ServiceConfig) {
    let prefix = prefix.trim_end_matches('/');
    let guards = bekci.watch().guards();
    let mut all: Vec<Mounted> = guards.map(|guard| Mounted::new(bekci, guard, prefix)).collect();
    // A guard whose path lies below another's is asked first.
    all.sort_by(|one, other| other.path.cmp(&one.path));
    let operations = calls::operations(bekci.watch().tenancy().is_by_claim());
    for mounted in all {
        let path = mounted.path.clone();
        bekci.described().add(
            openapi::Standing {
                prefix: &path,
                family: mounted.guard.name.as_str(),
                guard: Some(&mounted.guard),
            },
            &operations,
        );
        let scope = web::scope(&path).app_data(web::Data::new(mounted));
        let calls = openapi::mount_in(scope, &operations)
            .default_service(web::to(|request| answer::refused(request, ErrorCode::NotFound)));
        config.service(calls);
    }
    openapi::mount_page(bekci, config);
    if !prefix.is_empty() {
        let unknown = web::to(|request| answer::refused(request, ErrorCode::GuardUnknown));
        config.service(web::scope(prefix).default_service(unknown));
    }
}
