//! `bekci principal add`.

use std::collections::BTreeSet;

use bekci::Bekci;
use bekci_core::{ErrorCode, GuardName, ModelName, ModelSpec, Permission, RoleName};
use bekci_store::{AccountChange, DirectoryError, Scope};
use clap::Args;
use secrecy::SecretString;
use serde_json::json;

use super::super::{
    Answer, Failure,
    answer::{in_force, listed},
    desk::store_of,
    input,
};
use crate::{assemble, config::Config};

/// The one role that is made by its name: it permits everything, and the first admin of a deployment needs it.
const SUPER_ADMIN: &str = "super-admin";

/// What is asked of a new account.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The model
    #[arg(long)]
    model: ModelName,
    /// What the account signs in with: an address, or what the model's first identifier column holds
    #[arg(long, visible_alias = "identifier")]
    email: String,
    /// The name, where the model has that attribute
    #[arg(long)]
    name: Option<String>,
    /// A column and its value, for any column of the table but id and password; may be repeated
    #[arg(long = "set", value_name = "COLUMN=VALUE", value_parser = input::assignment)]
    columns: Vec<(String, String)>,
    /// A role, global, in the guard that has the model's name, else in the first for it. It must exist or be named by the policy; `super-admin` is made, and permits everything
    #[arg(long)]
    role: Option<RoleName>,
    /// Makes the SQLite database if its file does not exist
    #[arg(long)]
    create: bool,
    /// Reads the password from standard input, instead of asking for it at the terminal; it is never an argument
    #[arg(long)]
    password_stdin: bool,
}

pub(crate) async fn run(new: &New, config: &Config) -> Result<Answer, Failure> {
    let model = &new.model;
    let guards = || config.guards.iter().filter(|(_, guard)| guard.model == *model);
    let guard = guards().find(|(name, _)| name.as_str() == model.as_str());
    let guard = guard.or_else(|| guards().next());
    let (guard, section) = guard.ok_or_else(|| {
        let known: BTreeSet<_> = config.guards.values().map(|guard| &guard.model).collect();
        Failure::not_found(format!("no guard is for model {model}; there are: {}", listed(known)))
    })?;
    let missing = config.database.sqlite_path().filter(|path| !path.exists());
    if let (Some(path), false) = (&missing, new.create) {
        return Err(Failure::of(format!(
            "there is no database {}; --create makes it, and --config or a variable says where another one is",
            path.display()
        )));
    }
    let password = input::new_password(new.password_stdin)?;
    let policy = bekci_signin::PasswordPolicy::new(usize::try_from(section.password_min_length).unwrap_or(15));
    let about: Vec<&str> = [Some(new.email.as_str()), new.name.as_deref(), Some("bekci")]
        .into_iter()
        .flatten()
        .collect();
    policy
        .check(&password, &about)
        .map_err(|error| Failure::invalid(format!("the password {error}")))?;
    let database = assemble::database(config).await.map_err(Failure::of)?;
    assemble::schema(config, &database, config.database.auto_migrate)
        .await
        .map_err(Failure::of)?;
    let bekci = assemble::quiet(config, database).await.map_err(Failure::of)?;
    let added = add(&bekci, new, guard, password).await;
    bekci.close().await;
    let mut added = added?;
    if let Some(path) = missing {
        added.text = format!("made database {}\n{}", path.display(), added.text);
    }
    Ok(added)
}

async fn add(bekci: &Bekci, new: &New, guard: &GuardName, password: SecretString) -> Result<Answer, Failure> {
    let store = store_of(bekci);
    let spec = store.models().iter().find(|spec| spec.name == new.model).cloned();
    let spec = spec.ok_or_else(|| Failure::not_found(format!("there is no model {}", new.model)))?;
    let scope = Scope::global(guard.clone());
    let made_role = match &new.role {
        Some(role) => role_to_make(bekci, &scope, role).await?,
        None => None,
    };
    let hash = bekci.hash_password(&new.model, password).await;
    let hash = hash.map_err(super::unhashed)?;
    let account = AccountChange {
        columns: columns(new, &spec)?,
        password_hash: Some(hash),
        verified: spec.verified_column.is_some().then_some(true),
    };
    let added = store.directory().with_any_column().add(&spec.name, &account).await;
    let (key, committed) = added.map_err(|error| match error {
        DirectoryError::Taken => Failure::coded(
            ErrorCode::Conflict,
            format!("an account of model {} with this identifier exists", spec.name),
        ),
        error => error.into(),
    })?;
    in_force(&committed)?;
    let mut with = String::new();
    if let Some(role) = &new.role {
        if let Some(permissions) = made_role {
            let permits = if permissions.is_empty() {
                "nothing by itself"
            } else {
                "everything"
            };
            with = format!(", and role {role} of guard {guard}, which permits {permits}");
            in_force(&store.rights().put_role(&scope, role, &permissions).await?)?;
        }
        in_force(
            &store
                .rights()
                .assign_role(&key, &scope, std::slice::from_ref(role))
                .await?,
        )?;
    }
    let json = json!({"key": key.to_string(), "role": new.role.as_ref().map(RoleName::as_str)});
    Ok(Answer::new(format!("made {key}{with}"), json))
}

/// The columns of the account: the identifier in the model's `email` column, or in its first one; then the name and what `--set` says.
fn columns(new: &New, spec: &ModelSpec) -> Result<Vec<(String, serde_json::Value)>, Failure> {
    let mut identifiers = spec.identifiers.iter().map(|(name, _)| name);
    let first = spec.identifiers.first().map(|(name, _)| name);
    let identifier = identifiers.find(|name| *name == "email").or(first);
    let identifier = identifier.ok_or_else(|| Failure::invalid(format!("model {} has no identifier", spec.name)))?;
    let mut columns = vec![(identifier.clone(), new.email.clone().into())];
    columns.extend(new.name.iter().map(|name| ("name".to_owned(), name.clone().into())));
    for (column, value) in &new.columns {
        if columns.iter().any(|(named, _)| named == column) {
            return Err(Failure::usage(format!("column {column} has two values")));
        }
        columns.push((column.clone(), value.clone().into()));
    }
    Ok(columns)
}

/// What a role that is missing is to permit; `None`: it exists. A name that neither exists nor stands in the policy is a mistake.
async fn role_to_make(bekci: &Bekci, scope: &Scope, role: &RoleName) -> Result<Option<Vec<Permission>>, Failure> {
    let roles = bekci.store().rights().roles(&scope.guard).await?;
    let mut here = roles.iter().filter(|entry| entry.scope == *scope);
    if here.any(|entry| entry.name == *role) {
        return Ok(None);
    }
    if role.as_str() == SUPER_ADMIN {
        return Ok(Some(vec![Permission::new("*").map_err(Failure::of)?]));
    }
    let subject = format!("role:{}:{role}", scope.guard);
    let lines = bekci.store().policies().lines().await?;
    if lines.iter().any(|line| line.values.contains(&subject)) {
        return Ok(Some(Vec::new()));
    }
    let names = listed(
        roles
            .iter()
            .filter(|entry| entry.scope == *scope)
            .map(|entry| &entry.name),
    );
    Err(Failure::not_found(format!(
        "guard {guard} has no role {role}; it has: {names}. To make it: bekci role add {role} --guard {guard}",
        guard = scope.guard
    )))
}
