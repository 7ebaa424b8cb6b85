//! The roles and permissions that there are.

use bekci_core::{GuardName, Permission, RoleName};
use bekci_store::{NewRole, RoleEntry, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Right,
    call::{Answer, Call, Caller, Paging, not_found, page, refusal},
    rights::{names, tenant},
};
use crate::{
    auth::{answer::Success, body::invalid},
    respond::Refusal,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    guard: Option<String>,
    tenant: Option<String>,
    limit: Option<String>,
    after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    guard: Option<String>,
    tenant: Option<String>,
    name: String,
    #[serde(default)]
    permissions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Permits {
    permissions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPermission {
    guard: Option<String>,
    name: String,
}

/// A role with what it permits, as the management API and the commands tell it.
#[must_use]
pub fn shown(role: &RoleEntry) -> Value {
    json!({
        "id": role.id,
        "guard": role.scope.guard,
        "tenant": role.scope.tenant,
        "name": role.name,
        "permissions": role.permissions,
    })
}

fn role_name(text: &str) -> Result<RoleName, Refusal> {
    RoleName::new(text).map_err(|fault| invalid("name", &fault.to_string()))
}

/// A guard that a list is of; `None`: of all.
fn of_guard(caller: &Caller, named: Option<&str>) -> Result<Option<GuardName>, Refusal> {
    named.map(|name| caller.guard(Some(name), |_| true)).transpose()
}

async fn named(caller: &Caller) -> Result<RoleEntry, Refusal> {
    let role = caller.directory().role(caller.number()?).await.map_err(refusal)?;
    role.ok_or_else(|| not_found("no such role"))
}

pub(super) async fn list(call: Call) -> Answer {
    let caller = call.bare(Right::RightsRead).await?;
    let which: Which = caller.query()?;
    let guard = of_guard(&caller, which.guard.as_deref())?;
    // An empty one asks for global roles alone.
    let scope = match which.tenant.as_deref() {
        None => None,
        Some("") => Some(None),
        Some(text) => Some(tenant(Some(text))?),
    };
    let paging = Paging::new(which.limit, which.after);
    let (after, limit) = (paging.number()?, paging.limit()?);
    let scope = scope.as_ref().map(Option::as_ref);
    let found = caller
        .directory()
        .roles(guard.as_ref(), scope, after, limit)
        .await
        .map_err(refusal)?;
    Ok(page(
        found.roles.iter().map(shown).collect(),
        found.next.map(|id| id.to_string()),
    ))
}

pub(super) async fn show(call: Call) -> Answer {
    let caller = call.bare(Right::RightsRead).await?;
    Ok(Success::ok(shown(&named(&caller).await?)))
}

pub(super) async fn add(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::RightsWrite).await?;
    let body: Role = caller.body(payload).await?;
    let scope = Scope {
        guard: caller.guard(body.guard.as_deref(), |_| true)?,
        tenant: tenant(body.tenant.as_deref())?,
    };
    let role = NewRole {
        name: role_name(&body.name)?,
        permissions: names("permissions", &body.permissions)?,
        scope,
    };
    let (id, committed) = caller.directory().add_role(&role).await.map_err(refusal)?;
    let data = json!({"id": id, "guard": role.scope.guard, "tenant": role.scope.tenant, "name": role.name, "permissions": role.permissions});
    caller.done(Ok(committed), data)
}

pub(super) async fn rename(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::RightsWrite).await?;
    let mut role = named(&caller).await?;
    let body: Name = caller.body(payload).await?;
    let name = role_name(&body.name)?;
    let result = caller.directory().rename_role(role.id, &name).await;
    role.name = name;
    caller.done(result, shown(&role))
}

pub(super) async fn set_permissions(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::RightsWrite).await?;
    let mut role = named(&caller).await?;
    let body: Permits = caller.body(payload).await?;
    let wanted: Vec<Permission> = names("permissions", &body.permissions)?;
    let result = caller.directory().set_role(role.id, &wanted).await;
    role.permissions = wanted;
    caller.done(result, shown(&role))
}

pub(super) async fn remove(call: Call) -> Answer {
    let caller = call.bare(Right::RightsWrite).await?;
    let role = named(&caller).await?;
    let result = caller.directory().remove_role(role.id).await;
    caller.done(result, json!({"id": role.id}))
}

fn permission((id, guard, name): &(i64, GuardName, Permission)) -> Value {
    json!({"id": id, "guard": guard, "name": name})
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfGuard {
    guard: Option<String>,
    limit: Option<String>,
    after: Option<String>,
}

pub(super) async fn permissions(call: Call) -> Answer {
    let caller = call.bare(Right::RightsRead).await?;
    let which: OfGuard = caller.query()?;
    let guard = of_guard(&caller, which.guard.as_deref())?;
    let paging = Paging::new(which.limit, which.after);
    let (after, limit) = (paging.number()?, paging.limit()?);
    let found = caller.directory().permissions(guard.as_ref(), after, limit).await;
    let (known, next) = found.map_err(refusal)?;
    Ok(page(
        known.iter().map(permission).collect(),
        next.map(|id| id.to_string()),
    ))
}

pub(super) async fn add_permission(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::RightsWrite).await?;
    let body: NewPermission = caller.body(payload).await?;
    let guard = caller.guard(body.guard.as_deref(), |_| true)?;
    let name = Permission::new(&body.name).map_err(|fault| invalid("name", &fault.to_string()))?;
    let added = caller.directory().add_permission(&guard, &name).await;
    let (id, committed) = added.map_err(refusal)?;
    let data = permission(&(id, guard, name));
    caller.done(Ok(committed), data)
}

pub(super) async fn remove_permission(call: Call) -> Answer {
    let caller = call.bare(Right::RightsWrite).await?;
    let found = caller.directory().permission(caller.number()?).await.map_err(refusal)?;
    let found = found.ok_or_else(|| not_found("no such permission"))?;
    let result = caller.directory().remove_permission(found.0).await;
    caller.done(result, json!({"id": found.0}))
}
