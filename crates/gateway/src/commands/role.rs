//! `bekci role`: what there is to hold.

use std::path::{Path, PathBuf};

use bekci::admin::role_json;
use bekci_core::{GuardName, Permission, RoleName, TenantName};
use bekci_store::{NewRole, RoleEntry, Scope};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Failure,
    answer::{in_force, listed, table},
    desk::{Desk, at_desk},
};
use crate::config::Config;

/// More than anybody reads; what has more is read page by page.
const PAGE: u16 = 200;

/// Which role.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The role
    name: RoleName,
    #[command(flatten)]
    place: Place,
}

/// Where roles count.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The guard; may be left out where there is only one
    #[arg(long)]
    guard: Option<GuardName>,
    /// A tenant's own role; else a global one
    #[arg(long)]
    tenant: Option<TenantName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// The roles, with what each permits
    #[command(after_help = "Example:\n  bekci role list --guard customer --output json")]
    List {
        /// Of this guard alone
        #[arg(long)]
        guard: Option<GuardName>,
        /// Of this tenant alone
        #[arg(long, conflicts_with = "global")]
        tenant: Option<TenantName>,
        /// Global ones alone
        #[arg(long)]
        global: bool,
    },
    /// One role
    #[command(after_help = "Example:\n  bekci role show buyer --guard customer")]
    Show(Which),
    /// Makes a role
    #[command(
        after_help = "Example:\n  bekci role add support --guard admin --permission orders.view --permission tickets.*"
    )]
    Add {
        #[command(flatten)]
        which: Which,
        /// What it permits; may be repeated
        #[arg(long = "permission", value_name = "PERMISSION")]
        permissions: Vec<Permission>,
    },
    /// Makes the roles of a file what the file says of them; other roles stay. A second time it changes nothing
    #[command(
        after_help = "Example:\n  bekci role import roles.toml\n\nA role of the file:\n  [[role]]\n  guard = \"admin\"\n  name = \"support\"\n  permissions = [\"orders.view\", \"tickets.*\"]"
    )]
    Import {
        /// A TOML file of roles; `tenant` may be added for a tenant's own
        file: PathBuf,
    },
    /// Gives a role another name; who holds it goes on holding it
    #[command(after_help = "Example:\n  bekci role rename buyer shopper --guard customer")]
    Rename {
        /// The role
        name: RoleName,
        /// Its new name
        to: RoleName,
        #[command(flatten)]
        place: Place,
    },
    /// Lets a role permit more
    #[command(after_help = "Example:\n  bekci role allow support tickets.close --guard admin")]
    Allow {
        #[command(flatten)]
        which: Which,
        /// The permissions
        #[arg(required = true)]
        permissions: Vec<Permission>,
    },
    /// Lets a role permit less
    #[command(after_help = "Example:\n  bekci role disallow support tickets.close --guard admin")]
    Disallow {
        #[command(flatten)]
        which: Which,
        /// The permissions
        #[arg(required = true)]
        permissions: Vec<Permission>,
    },
    /// Deletes a role: whoever holds it loses what it permits
    #[command(after_help = "Example:\n  bekci role remove support --guard admin --yes")]
    Remove {
        #[command(flatten)]
        which: Which,
        /// Says that the loss is meant
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(action: &Action, config: &Config) -> Result<Answer, Failure> {
    at_desk(config, async |desk| match action {
        Action::List { guard, tenant, global } => list(desk, guard.as_ref(), tenant.as_ref(), *global).await,
        Action::Show(which) => Ok(shown(&find(desk, &which.name, &which.place).await?)),
        Action::Add { which, permissions } => add(desk, which, permissions).await,
        Action::Import { file } => import(desk, file).await,
        Action::Rename { name, to, place } => {
            let role = find(desk, name, place).await?;
            in_force(
                &desk
                    .directory()
                    .rename_role(role.id, to)
                    .await
                    .map_err(|error| taken(error, to))?,
            )?;
            changed(desk, role.id).await
        }
        Action::Allow { which, permissions } => {
            let role = find(desk, &which.name, &which.place).await?;
            let mut wanted = role.permissions.clone();
            wanted.extend(
                permissions
                    .iter()
                    .filter(|one| !role.permissions.contains(one))
                    .cloned(),
            );
            set(desk, &role, &wanted).await
        }
        Action::Disallow { which, permissions } => {
            let role = find(desk, &which.name, &which.place).await?;
            let missing = permissions.iter().find(|one| !role.permissions.contains(one));
            if let Some(missing) = missing {
                let has = listed(&role.permissions);
                return Err(Failure::not_found(format!(
                    "role {} does not permit {missing} by itself; it permits: {has}",
                    role.name
                )));
            }
            let mut wanted = role.permissions.clone();
            wanted.retain(|one| !permissions.contains(one));
            set(desk, &role, &wanted).await
        }
        Action::Remove { yes: false, .. } => Err(Failure::of("whoever holds the role would lose it; say --yes")),
        Action::Remove { which, yes: true } => {
            let role = find(desk, &which.name, &which.place).await?;
            in_force(&desk.directory().remove_role(role.id).await?)?;
            let json = role_json(&role);
            Ok(Answer::new(
                format!("removed role {} of guard {}", role.name, role.scope.guard),
                json,
            ))
        }
    })
    .await
}

fn taken(error: bekci_store::DirectoryError, name: &dyn std::fmt::Display) -> Failure {
    match error {
        bekci_store::DirectoryError::Taken => {
            Failure::coded(bekci_core::ErrorCode::Conflict, format!("there is {name} already"))
        }
        error => error.into(),
    }
}

/// The very role: a tenant's own where one is named, and never the global one instead of it.
async fn find(desk: &Desk<'_>, name: &RoleName, place: &Place) -> Result<RoleEntry, Failure> {
    let scope = Scope {
        guard: desk.guard(place.guard.as_ref())?,
        tenant: place.tenant.clone(),
    };
    let role = desk.role(&scope, name).await?;
    match role.scope == scope {
        true => Ok(role),
        false => Err(Failure::not_found(format!(
            "role {name} is a global one; leave --tenant out to mean it"
        ))),
    }
}

async fn list(
    desk: &Desk<'_>,
    guard: Option<&GuardName>,
    tenant: Option<&TenantName>,
    global: bool,
) -> Result<Answer, Failure> {
    if let Some(guard) = guard {
        desk.known_guard(guard)?;
    }
    let scope = (global || tenant.is_some()).then_some(tenant);
    let (mut roles, mut after) = (Vec::new(), Some(0));
    while let Some(mark) = after {
        let page = desk.directory().roles(guard, scope, mark, PAGE).await?;
        roles.extend(page.roles);
        after = page.next;
    }
    let rows: Vec<[String; 4]> = roles
        .iter()
        .map(|role| {
            [
                role.scope.guard.to_string(),
                listed(&role.scope.tenant),
                role.name.to_string(),
                listed(&role.permissions),
            ]
        })
        .collect();
    let json: Vec<Value> = roles.iter().map(role_json).collect();
    Ok(Answer::new(
        table(["guard", "tenant", "role", "permits"], &rows),
        json!({"items": json}),
    ))
}

fn shown(role: &RoleEntry) -> Answer {
    let text = format!(
        "role {} of guard {}\n  tenant   {}\n  permits  {}",
        role.name,
        role.scope.guard,
        listed(&role.scope.tenant),
        listed(&role.permissions)
    );
    Answer::new(text, role_json(role))
}

async fn add(desk: &Desk<'_>, which: &Which, permissions: &[Permission]) -> Result<Answer, Failure> {
    let role = NewRole {
        scope: Scope {
            guard: desk.guard(which.place.guard.as_ref())?,
            tenant: which.place.tenant.clone(),
        },
        name: which.name.clone(),
        permissions: permissions.to_vec(),
    };
    let (id, committed) = desk
        .directory()
        .add_role(&role)
        .await
        .map_err(|error| taken(error, &format!("role {} of guard {}", role.name, role.scope.guard)))?;
    in_force(&committed)?;
    let mut answer = changed(desk, id).await?;
    let lines = desk
        .store()
        .policies()
        .naming_role(&role.scope.guard, &role.name)
        .await?;
    if role.scope.tenant.is_some() {
        let roles = desk.store().rights().roles(&role.scope.guard).await?;
        let global = |known: &RoleEntry| known.scope.tenant.is_none() && known.name == role.name;
        if roles.iter().any(global) {
            let note =
                "\nit takes the place of the global role of its name in this tenant, for those who hold that here";
            answer.text.push_str(note);
        }
    }
    if !lines.is_empty() {
        let note = "\npolicy lines name it already; `bekci policy list` shows them";
        answer.text.push_str(note);
    }
    Ok(answer)
}

/// A file of roles.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RolesFile {
    role: Vec<FileRole>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRole {
    guard: String,
    tenant: Option<String>,
    name: String,
    permissions: Vec<String>,
}

/// The roles of a file, each with its scope and what it permits. Nothing is changed where one of them is wrong.
fn read_roles(desk: &Desk<'_>, file: &Path) -> Result<Vec<NewRole>, Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::invalid(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    let roles: RolesFile = toml::from_str(&text).map_err(|error| wrong(&error))?;
    let read = |role: FileRole| {
        let in_role = |why: &dyn std::fmt::Display| wrong(&format!("role {:?}: {why}", role.name));
        let guard = GuardName::new(&role.guard).map_err(|why| in_role(&why))?;
        let permissions: Result<Vec<Permission>, _> =
            role.permissions.iter().map(|text| Permission::new(text)).collect();
        Ok(NewRole {
            scope: Scope {
                guard: desk.known_guard(&guard)?,
                tenant: role
                    .tenant
                    .as_deref()
                    .map(TenantName::new)
                    .transpose()
                    .map_err(|why| in_role(&why))?,
            },
            name: RoleName::new(&role.name).map_err(|why| in_role(&why))?,
            permissions: permissions.map_err(|why| in_role(&why))?,
        })
    };
    roles.role.into_iter().map(read).collect()
}

async fn import(desk: &Desk<'_>, file: &Path) -> Result<Answer, Failure> {
    let roles = read_roles(desk, file)?;
    let mut changed = Vec::new();
    for role in &roles {
        let committed = desk
            .bekci
            .store()
            .rights()
            .put_role(&role.scope, &role.name, &role.permissions)
            .await?;
        in_force(&committed)?;
        if committed.position.is_some() {
            changed.push(json!({"guard": role.scope.guard, "tenant": role.scope.tenant, "name": role.name}));
        }
    }
    let text = format!("{} roles, {} of them changed", roles.len(), changed.len());
    Ok(Answer::new(text, json!({"roles": roles.len(), "changed": changed})))
}

async fn set(desk: &Desk<'_>, role: &RoleEntry, wanted: &[Permission]) -> Result<Answer, Failure> {
    in_force(&desk.directory().set_role(role.id, wanted).await?)?;
    changed(desk, role.id).await
}

/// The role as it is after a change.
async fn changed(desk: &Desk<'_>, id: i64) -> Result<Answer, Failure> {
    let role = desk.directory().role(id).await?;
    role.as_ref()
        .map(shown)
        .ok_or_else(|| Failure::not_found("somebody removed the role meanwhile"))
}
