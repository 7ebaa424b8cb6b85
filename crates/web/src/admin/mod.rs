//! The management API: accounts, what they may do, their sessions and blocks, over HTTP.
//!
//! Every call is made by somebody signed in through the guard that the API is mounted for, holds one permission of this table, and is decided by a read of the
//! database that began after the request. `*`, as `super-admin` holds it, covers them all.
//!
//! | permission | calls |
//! | --- | --- |
//! | `bekci.principals.read` | `GET /principals/{model}`, `GET /principals/{model}/{id}` |
//! | `bekci.principals.write` | `POST /principals/{model}`, `PATCH /principals/{model}/{id}` |
//! | `bekci.principals.credentials` | beside `write`: a `PATCH` of an identifier, `password` or `verified` |
//! | `bekci.principals.status` | `PUT /principals/{model}/{id}/status` |
//! | `bekci.principals.delete` | `DELETE /principals/{model}/{id}` |
//! | `bekci.rights.read` | `GET /roles`, `GET /roles/{id}`, `GET /permissions` |
//! | `bekci.rights.write` | `PUT /principals/{model}/{id}/roles` and `/permissions`; `POST`, `PATCH`, `PUT`, `DELETE` under `/roles` and `/permissions`; beside `write`: the `tenant` of an account |
//! | `bekci.roles.give.<guard>.<role>` | beside `rights.write`: giving, adding, renaming or deleting a role that the caller does not hold itself |
//! | `bekci.sessions.read` | `GET /principals/{model}/{id}/sessions` |
//! | `bekci.sessions.end` | `DELETE /principals/{model}/{id}/sessions`, `DELETE …/sessions/{sid}` |
//! | `bekci.blocks.write` | `POST /blocks`, `DELETE /blocks` |
//! | `bekci.policies.read` | `GET /policies`, `POST /policies/check`; with `bekci.principals.read` beside it a check by the roles that an account holds |
//! | `bekci.policies.manage` | `POST /policies`, `DELETE /policies` |
//! | `bekci.invites.read` | `GET /invites` |
//! | `bekci.invites.write` | `POST /invites`, `DELETE /invites/{id}`; the role has to be one that the caller may give |
//! | `bekci.stats.read` | `GET /stats` |
//! | none | `GET /changes/{position}`, for anybody signed in through the guard |
//!
//! The rules beside it:
//!
//! 1. Nobody gives a right that it does not hold. A permission is held where [`Held::can`](crate::core::Held::can) says so of that very pattern, and a denial lifted is a
//!    permission given. A role is held where each permission of it is, and the role itself is, or `bekci.roles.give.<guard>.<role>` is: routes and policies may ask for
//!    roles by name. The same is asked for what a role is to permit, and for what it permits already when it is changed or deleted. Rights that the caller
//!    holds in one tenant alone do not count here.
//! 2. Nobody changes its own rights, status, credentials or tenant, nor deletes itself; a role that the caller holds itself is renamed only where it holds `*`.
//! 3. Nobody acts on a principal that holds, in the guard of this API, what the caller could not give it. Who changes credentials could sign in as the
//!    principal: then what it holds in every guard counts.
//!    A change of a role is a change of each principal that holds it. Adding, renaming or deleting a role requires the right to give its name. A role of a tenant
//!    that has the name of a global role takes the place of that one: it is refused with 409 unless the caller could give the global role.
//!    Rules 1 and 3 are judged by the store in the transaction that writes, with the caller's rights and those of the principal as that transaction reads them.
//! 4. A body is JSON, without fields that nobody asked for; what is not canonical or not there is 404; no answer holds a password hash.
//! 5. When a call has answered 200, its change holds on every node; 202 says that it is committed and that not every node has confirmed it yet; 503 with
//!    `details.outcome` `unknown` that the connection was lost while committing, and that a retry is safe.
//! 6. A policy line decides by role or account name on every route that asks the policy, so who may change lines may let anybody, itself included, through all of
//!    those routes. Nothing smaller would hold: `bekci.policies.manage` is that power, alone, and is given like any permission by who holds it. It opens no call of this API,
//!    since these ask permissions, which no line gives.
//! 7. Each change is an event of the target `bekci::audit`, told by the store as the caller's.

mod authority;
mod blocks;
mod call;
mod calls;
mod changes;
mod fields;
mod invites;
mod policies;
mod principals;
mod rights;
mod roles;
mod schemas;
mod sessions;
mod stats;
mod status;

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};
use bekci_core::{AuthGuard, Consistency, ErrorCode, GuardChain, NameError, Permission, RouteRule};
use futures_util::future::LocalBoxFuture;

use self::call::{Answer, Call};
pub(crate) use self::{
    call::{must_be_audited, refusal},
    fields::Fields,
    principals::{hashed, must_have_identifier, texts},
};
pub use self::{
    principals::{account as account_json, whole as principal_json},
    roles::shown as role_json,
    sessions::shown as session_json,
};
use crate::{
    Bekci,
    auth::answer::{refused, told},
    middleware::SecureCalls,
    openapi,
};

/// What its calls are named in logs and metrics.
const ROUTE: &str = "management";

/// What a call asks of whoever makes it.
#[derive(Clone, Copy, Debug)]
enum Right {
    PrincipalsRead,
    PrincipalsWrite,
    PrincipalsCredentials,
    PrincipalsStatus,
    PrincipalsDelete,
    RightsRead,
    RightsWrite,
    SessionsRead,
    SessionsEnd,
    BlocksWrite,
    PoliciesRead,
    PoliciesManage,
    InvitesRead,
    InvitesWrite,
    StatsRead,
}

impl Right {
    const fn name(self) -> &'static str {
        match self {
            Self::PrincipalsRead => "bekci.principals.read",
            Self::PrincipalsWrite => "bekci.principals.write",
            Self::PrincipalsCredentials => "bekci.principals.credentials",
            Self::PrincipalsStatus => "bekci.principals.status",
            Self::PrincipalsDelete => "bekci.principals.delete",
            Self::RightsRead => "bekci.rights.read",
            Self::RightsWrite => "bekci.rights.write",
            Self::SessionsRead => "bekci.sessions.read",
            Self::SessionsEnd => "bekci.sessions.end",
            Self::BlocksWrite => "bekci.blocks.write",
            Self::PoliciesRead => "bekci.policies.read",
            Self::PoliciesManage => "bekci.policies.manage",
            Self::InvitesRead => "bekci.invites.read",
            Self::InvitesWrite => "bekci.invites.write",
            Self::StatsRead => "bekci.stats.read",
        }
    }

    fn permission(self) -> Result<Permission, NameError> {
        Permission::new(self.name())
    }
}

/// The API where it is mounted.
#[derive(Debug)]
struct Mounted {
    bekci: Bekci,
    guard: Arc<AuthGuard>,
    prefix: String,
}

impl Mounted {
    /// What a call asks of who makes it; `None`: to be signed in.
    fn rule(&self, right: Option<Permission>) -> RouteRule {
        let mut rule = RouteRule::guarded(ROUTE, GuardChain::new([Arc::clone(&self.guard)]));
        rule.permissions.extend(right);
        rule.consistency = Consistency::Direct;
        rule
    }
}

impl Bekci {
    /// Mounts the [management API](crate::admin) under the prefix, for those signed in through the guard: `App::new().configure(bekci.mount_admin("/admin/v1",
    /// "admin"))`. Where there is no such guard nothing is mounted.
    pub fn mount_admin(&self, prefix: &str, guard: &str) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let mounted = self.watch().guard(guard).map(|guard| Mounted {
            bekci: self.clone(),
            guard: Arc::clone(guard),
            prefix: prefix.trim_end_matches('/').to_owned(),
        });
        move |config| {
            if let Some(mounted) = mounted {
                mount(mounted, config);
            }
        }
    }
}

fn mount(mounted: Mounted, config: &mut ServiceConfig) {
    let operations = calls::operations();
    mounted.bekci.described().add(
        openapi::Standing {
            prefix: &mounted.prefix,
            family: "management",
            guard: Some(&mounted.guard),
        },
        &operations,
    );
    let secure = SecureCalls::new(mounted.bekci.watch(), &mounted.guard);
    let scope = web::scope(&mounted.prefix).app_data(Data::new(mounted));
    let calls =
        openapi::mount_in(scope, &operations).default_service(web::to(|request| refused(request, ErrorCode::NotFound)));
    config.service(calls.wrap(secure));
}

/// A call as a handler that tells its result as the request wants it.
fn via<F, R>(
    run: F,
) -> impl Fn(Data<Mounted>, HttpRequest, Payload) -> LocalBoxFuture<'static, HttpResponse> + Clone + 'static
where
    F: Fn(Call) -> R + Copy + 'static,
    R: Future<Output = Answer> + 'static,
{
    move |mounted, request, payload| {
        Box::pin(async move {
            let answer = run(Call::new(mounted, request.clone(), payload)).await;
            told(&request, answer)
        })
    }
}
