//! What a principal holds: `PUT …/roles` and `PUT …/permissions`. Each makes the lists of one scope what the body says.

use bekci_core::{Identity, Permission, RoleName, TenantName};
use bekci_store::{DirectoryError, RoleEntry, Scope};
use serde::Deserialize;
use serde_json::json;

use super::{
    Right,
    call::{Answer, Call, Caller, refusal},
};
use crate::{auth::body::invalid, respond::Refusal};

/// More than anybody lists by hand.
const MAX_LISTED: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Roles {
    guard: Option<String>,
    tenant: Option<String>,
    roles: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Permissions {
    guard: Option<String>,
    tenant: Option<String>,
    granted: Vec<String>,
    denied: Vec<String>,
}

/// Texts as names of their kind, each once.
pub(super) fn names<T: std::str::FromStr<Err = bekci_core::NameError> + PartialEq>(
    field: &str,
    texts: &[String],
) -> Result<Vec<T>, Refusal> {
    if texts.len() > MAX_LISTED {
        return Err(invalid(field, "lists more than 500"));
    }
    let mut names: Vec<T> = Vec::with_capacity(texts.len());
    for text in texts {
        let name = text
            .parse()
            .map_err(|fault: bekci_core::NameError| invalid(field, &fault.to_string()))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

pub(super) fn tenant(text: Option<&str>) -> Result<Option<TenantName>, Refusal> {
    let name = text.map(TenantName::new).transpose();
    name.map_err(|fault| invalid("tenant", &fault.to_string()))
}

/// Whether a principal has this name of a role in the scope now.
fn holds(target: &Identity, scope: &Scope, name: &RoleName) -> bool {
    let mut scopes = target.rights.iter();
    scopes.any(|held| held.guard == scope.guard && held.tenant == scope.tenant && held.roles.contains(name))
}

fn scope(caller: &Caller, guard: Option<&str>, tenant_text: Option<&str>) -> Result<Scope, Refusal> {
    let model = &caller.model()?.name;
    Ok(Scope {
        guard: caller.guard(guard, |of| of == model)?,
        tenant: tenant(tenant_text)?,
    })
}

pub(super) async fn set_roles(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::RightsWrite).await?;
    let target = caller.target().await?;
    let body: Roles = caller.body(payload).await?;
    let scope = scope(&caller, body.guard.as_deref(), body.tenant.as_deref())?;
    let wanted: Vec<RoleName> = names("roles", &body.roles)?;
    caller.not_self(&target)?;
    let known = caller.mounted.bekci.store().rights().roles(&scope.guard).await;
    let known = known.map_err(|error| refusal(DirectoryError::Store(error)))?;
    // Names that mean nothing are a fault of the body. What the others mean is judged in the transaction that writes.
    let means = |name: &RoleName| {
        let here = |role: &&RoleEntry| role.scope.tenant.is_none() || role.scope.tenant == scope.tenant;
        known.iter().filter(here).any(|role| role.name == *name)
    };
    let unknown = wanted.iter().find(|name| !holds(&target, &scope, name) && !means(name));
    if let Some(name) = unknown {
        return Err(invalid("roles", &format!("there is no role {name} here")));
    }
    let data = json!({"key": target.key.as_str(), "guard": scope.guard, "tenant": scope.tenant, "roles": wanted});
    let rights = caller.store().rights();
    let result = rights.sync_roles(&target.key, &scope, &wanted).await;
    caller.done(result.map_err(DirectoryError::Store), data)
}

pub(super) async fn set_permissions(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::RightsWrite).await?;
    let target = caller.target().await?;
    let body: Permissions = caller.body(payload).await?;
    let scope = scope(&caller, body.guard.as_deref(), body.tenant.as_deref())?;
    let granted: Vec<Permission> = names("granted", &body.granted)?;
    let denied: Vec<Permission> = names("denied", &body.denied)?;
    if granted.iter().any(|permission| denied.contains(permission)) {
        return Err(invalid("denied", "denies what is granted beside it"));
    }
    caller.not_self(&target)?;
    let data = json!({"key": target.key.as_str(), "guard": scope.guard, "tenant": scope.tenant, "granted": granted, "denied": denied});
    let rights = caller.store().rights();
    let result = rights.sync_permissions(&target.key, &scope, &granted, &denied).await;
    caller.done(result.map_err(DirectoryError::Store), data)
}
