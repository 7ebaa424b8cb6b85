//! `bekci grant`, `bekci revoke`, `bekci deny`: what a principal holds.

use std::path::{Path, PathBuf};

use bekci_core::{
    Consistency, GuardName, Held, Identity, IdentityVersion, ModelName, Need, Permission, PrincipalKey, RoleName,
    TenantName,
};
use bekci_store::Scope;
use clap::{ArgGroup, Args};
use serde_json::json;

use super::{
    Answer, Failure,
    answer::{in_force, listed},
    desk::{Desk, at_desk},
    input::assignment,
};
use crate::config::Config;

/// Roles and permissions of one principal, in one guard.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("rights").args(["roles", "permissions"]).required(true).multiple(true)))]
pub(crate) struct Rights {
    /// Whose, as customer:42
    #[arg(required_unless_present_any = ["keys_from", "conditions"])]
    key: Option<PrincipalKey>,
    /// A file with a key on each line, `-` for standard input: the same for each of them
    #[arg(long, visible_alias = "from", value_name = "FILE", conflicts_with_all = ["key", "conditions"])]
    keys_from: Option<PathBuf>,
    /// All accounts of a model with this value in this column, compared as text; several must all be met
    #[arg(long = "where", value_name = "COLUMN=VALUE", value_parser = assignment, requires = "model", conflicts_with = "key")]
    conditions: Vec<(String, String)>,
    /// The model whose accounts `--where` selects
    #[arg(long, requires = "conditions")]
    model: Option<ModelName>,
    /// Says which accounts are meant, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// A role; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<RoleName>,
    /// A permission, as orders.view or orders.*; may be repeated
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<Permission>,
    #[command(flatten)]
    place: Place,
}

/// Permissions that a principal is denied, or not any more.
#[derive(Debug, Args)]
pub(crate) struct Denial {
    /// Whose, as customer:42
    key: PrincipalKey,
    /// A permission, as orders.view or orders.*; may be repeated
    #[arg(long = "permission", value_name = "PERMISSION", required = true)]
    permissions: Vec<Permission>,
    /// Takes the denial back; what grants the permission otherwise counts again
    #[arg(long)]
    lift: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Place {
    /// The guard in which they count; else the model's only one, else the one of the model's name
    #[arg(long)]
    guard: Option<GuardName>,
    /// The tenant in which they count; else everywhere
    #[arg(long)]
    tenant: Option<TenantName>,
}

impl Place {
    fn scope(&self, desk: &Desk<'_>, key: &PrincipalKey) -> Result<Scope, Failure> {
        Ok(Scope {
            guard: desk.guard_for(self.guard.as_ref(), key)?,
            tenant: self.tenant.clone(),
        })
    }
}

/// What is done with the rights of a principal.
#[derive(Clone, Copy)]
enum Change {
    Grant,
    Revoke,
}

pub(crate) async fn grant(rights: &Rights, config: &Config) -> Result<Answer, Failure> {
    at_desk(config, async |desk| for_each(rights, desk, Change::Grant).await).await
}

pub(crate) async fn revoke(rights: &Rights, config: &Config) -> Result<Answer, Failure> {
    at_desk(config, async |desk| for_each(rights, desk, Change::Revoke).await).await
}

/// Changes the rights of the one principal, or of each that is selected. Every key is looked up before the first change; a change is in force when the next begins, so that a run
/// that was interrupted can be repeated.
async fn for_each(rights: &Rights, desk: &Desk<'_>, change: Change) -> Result<Answer, Failure> {
    let keys = match (&rights.keys_from, &rights.model) {
        (Some(file), _) => keys_of(desk, file).await?,
        (None, Some(model)) => selected(desk, model, &rights.conditions).await?,
        (None, None) => {
            let key = rights.key.as_ref().ok_or_else(|| Failure::usage("no key is given"))?;
            vec![desk.account(key).await?.key]
        }
    };
    if rights.dry_run {
        return meant(rights, desk, &keys).await;
    }
    if let (Some(_), [key]) = (&rights.key, &keys[..]) {
        let scope = apply(rights, desk, key, change).await?;
        let taken = match change {
            Change::Grant => &[][..],
            Change::Revoke => &rights.permissions,
        };
        return held_now(desk, key, &scope, taken).await;
    }
    for (done, key) in keys.iter().enumerate() {
        apply(rights, desk, key, change)
            .await
            .map_err(|failure| failure.after(format!("{done} of {} are done; {key}", keys.len())))?;
    }
    let word = match change {
        Change::Grant => "granted to",
        Change::Revoke => "revoked from",
    };
    Ok(Answer::new(
        format!("{word} {} accounts", keys.len()),
        json!({"accounts": keys.len()}),
    ))
}

/// How many keys a dry run names.
const MOST_NAMED: usize = 20;

/// Which accounts a change would be for.
async fn meant(rights: &Rights, desk: &Desk<'_>, keys: &[PrincipalKey]) -> Result<Answer, Failure> {
    for key in keys {
        let scope = rights.place.scope(desk, key)?;
        for role in &rights.roles {
            desk.role(&scope, role).await?;
        }
    }
    let named = keys.get(..MOST_NAMED).unwrap_or(keys);
    let more = match keys.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Ok(Answer::new(
        format!("dry run, would be for {} accounts: {}{more}", keys.len(), listed(named)),
        json!({"dryRun": true, "accounts": keys.len(), "keys": named}),
    ))
}

/// The accounts of a model that meet conditions.
async fn selected(
    desk: &Desk<'_>,
    model: &ModelName,
    conditions: &[(String, String)],
) -> Result<Vec<PrincipalKey>, Failure> {
    desk.model(model)?;
    let keys = desk.directory().with_any_column().select(model, conditions).await?;
    match keys.is_empty() {
        true => {
            let conditions = conditions.iter().map(|(column, value)| format!("{column}={value}"));
            Err(Failure::not_found(format!(
                "no account of model {model} has {}",
                listed(conditions)
            )))
        }
        false => Ok(keys),
    }
}

async fn keys_of(desk: &Desk<'_>, file: &Path) -> Result<Vec<PrincipalKey>, Failure> {
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| Failure::of(format!("{}: {error}", file.display())))?;
    let mut keys = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || format!("{}:{}", file.display(), at + 1);
        let key =
            PrincipalKey::parse(line.trim()).map_err(|error| Failure::invalid(format!("{}: {error}", place())))?;
        keys.push(desk.account(&key).await.map_err(|failure| failure.after(place()))?.key);
    }
    match keys.is_empty() {
        true => Err(Failure::invalid(format!("{} has no key", file.display()))),
        false => Ok(keys),
    }
}

async fn apply(rights: &Rights, desk: &Desk<'_>, key: &PrincipalKey, change: Change) -> Result<Scope, Failure> {
    let scope = rights.place.scope(desk, key)?;
    let store = desk.store().rights();
    let (roles, permissions) = (&rights.roles, &rights.permissions);
    if !roles.is_empty() {
        let committed = match change {
            Change::Grant => {
                for role in roles {
                    desk.role(&scope, role).await?;
                }
                store.assign_role(key, &scope, roles).await?
            }
            Change::Revoke => store.remove_role(key, &scope, roles).await?,
        };
        in_force(&committed)?;
    }
    if !permissions.is_empty() {
        let committed = match change {
            Change::Grant => store.give(key, &scope, permissions).await?,
            Change::Revoke => store.withdraw(key, &scope, permissions).await?,
        };
        in_force(&committed)?;
    }
    Ok(scope)
}

pub(crate) async fn deny(denial: &Denial, config: &Config) -> Result<Answer, Failure> {
    at_desk(config, async |desk| {
        let key = desk.account(&denial.key).await?.key;
        let scope = denial.place.scope(desk, &key)?;
        let store = desk.store().rights();
        let committed = match denial.lift {
            true => store.lift(&key, &scope, &denial.permissions).await?,
            false => store.deny(&key, &scope, &denial.permissions).await?,
        };
        in_force(&committed)?;
        held_now(desk, &key, &scope, &[]).await
    })
    .await
}

/// What a principal may in a guard, everything put together: its roles, its permissions, and those of `asked` that it may.
pub(crate) struct Effective {
    pub(crate) roles: Vec<String>,
    pub(crate) permissions: Vec<String>,
    pub(crate) still: Vec<Permission>,
}

/// Puts together what the principal may, from a read that begins now.
pub(crate) async fn effective(
    desk: &Desk<'_>,
    key: &PrincipalKey,
    scope: &Scope,
    asked: &[Permission],
) -> Result<Effective, Failure> {
    let identities = desk.bekci.identities();
    let need = Need {
        key,
        guard: &scope.guard,
        tenant: scope.tenant.as_ref(),
        at_least: IdentityVersion(0),
        policy: false,
        consistency: Consistency::Direct,
    };
    let view = identities.read(&need, identities.ticket()).await;
    let view = view.map_err(|error| Failure::coded(bekci_core::ErrorCode::StoreUnavailable, error))?;
    let held = Held {
        identity: &view.identity,
        guard: &scope.guard,
        tenant: scope.tenant.as_ref(),
        roles: &view.roles,
        in_force: true,
    };
    let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    Ok(Effective {
        roles: own(held.role_names()),
        permissions: own(held.permission_names()),
        still: asked
            .iter()
            .filter(|permission| held.can(permission))
            .cloned()
            .collect(),
    })
}

fn direct<'a>(identity: &'a Identity, scope: &Scope) -> Option<&'a bekci_core::ScopedRights> {
    let mut scopes = identity.rights.iter().filter(|held| held.guard == scope.guard);
    scopes.find(|held| held.tenant == scope.tenant)
}

/// What the principal holds in the scope after a change. `taken`: what was taken from it, and may be held all the same.
async fn held_now(desk: &Desk<'_>, key: &PrincipalKey, scope: &Scope, taken: &[Permission]) -> Result<Answer, Failure> {
    let identity = desk.account(key).await?;
    let held = direct(&identity, scope);
    let roles = held.map(|held| &*held.roles).unwrap_or_default();
    let granted = held.map(|held| &*held.granted).unwrap_or_default();
    let denied = held.map(|held| &*held.denied).unwrap_or_default();
    let still = effective(desk, key, scope, taken).await?.still;
    let place = scope.tenant.as_ref().map(|tenant| format!(", tenant {tenant}"));
    let mut text = format!(
        "{key} now holds in guard {}{}:\n  roles    {}\n  granted  {}\n  denied   {}",
        scope.guard,
        place.unwrap_or_default(),
        listed(roles),
        listed(granted),
        listed(denied)
    );
    for permission in &still {
        text.push_str(&format!(
            "\nwarning: it still may {permission}, by a role or a wider grant; `bekci deny {key} --permission {permission}` forbids it whatever grants it"
        ));
    }
    let stay: Vec<&Permission> = taken.iter().filter(|permission| denied.contains(permission)).collect();
    let tenant = scope.tenant.as_ref().map(|tenant| format!(" --tenant {tenant}"));
    for permission in &stay {
        text.push_str(&format!(
            "\nwarning: {permission} is denied, and revoking lifts no denial; `bekci deny {key} --permission {permission} --guard {}{} --lift` does",
            scope.guard,
            tenant.as_deref().unwrap_or_default()
        ));
    }
    let json = json!({
        "key": key, "guard": scope.guard, "tenant": scope.tenant, "stillDenied": stay,
        "roles": roles, "granted": granted, "denied": denied, "stillHeld": still,
    });
    Ok(Answer::new(text, json))
}
