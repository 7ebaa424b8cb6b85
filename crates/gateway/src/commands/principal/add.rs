//! `bekci principal add`.

use std::collections::BTreeSet;

use bekci_core::{ErrorCode, GuardName, ModelName, RoleName, signin::StoreError};
use bekci_store::{NewAccount, Scope};
use clap::Args;
use secrecy::SecretString;
use serde_json::json;

use super::super::{Answer, Failure, answer::listed, desk::store_of, input};
use crate::{assemble, config::Config};

/// What is asked of a new account.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The model
    #[arg(long)]
    model: ModelName,
    /// The address to sign in with
    #[arg(long)]
    email: String,
    /// The name, where the model has that attribute
    #[arg(long)]
    name: Option<String>,
    /// A role, global, in the guard that has the model's name, else in the first for it; made if missing, and `super-admin` then permits everything
    #[arg(long)]
    role: Option<RoleName>,
    /// Reads the password from standard input, instead of asking for it at the terminal; it is never an argument
    #[arg(long)]
    password_stdin: bool,
}

pub(crate) async fn run(new: &New, config: &Config) -> Result<Answer, Failure> {
    let New {
        model,
        email,
        name,
        role,
        password_stdin,
    } = new;
    let guards = || config.guards.iter().filter(|(_, guard)| guard.model == *model);
    let guard = guards().find(|(name, _)| name.as_str() == model.as_str());
    let guard = guard.or_else(|| guards().next());
    let (guard, section) = guard.ok_or_else(|| {
        let known: BTreeSet<_> = config.guards.values().map(|guard| &guard.model).collect();
        Failure::not_found(format!("no guard is for model {model}; there are: {}", listed(known)))
    })?;
    let password = input::new_password(*password_stdin)?;
    let policy = bekci_signin::PasswordPolicy::new(usize::try_from(section.password_min_length).unwrap_or(15));
    let about: Vec<&str> = [Some(email.as_str()), name.as_deref(), Some("bekci")]
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
    let added = add(&bekci, model, guard, email, name.as_deref(), role.as_ref(), password).await;
    bekci.close().await;
    added
}

async fn add(
    bekci: &bekci::Bekci,
    model: &ModelName,
    guard: &GuardName,
    email: &str,
    name: Option<&str>,
    role: Option<&RoleName>,
    password: SecretString,
) -> Result<Answer, Failure> {
    let hash = bekci.passwords().hash(password).await.map_err(Failure::of)?;
    let mut columns = vec![("email".to_owned(), email.to_owned())];
    columns.extend(name.map(|name| ("name".to_owned(), name.to_owned())));
    let account = NewAccount {
        columns,
        password_hash: Some(hash),
        verified: true,
    };
    let store = store_of(bekci);
    let made = store.create_account(model, &account).await;
    let (key, _) = made.map_err(|error| match error {
        // As the management API has it: the database alone says so, and only of what is taken.
        StoreError::Refused(why) => Failure::coded(ErrorCode::Conflict, why),
        error => error.into(),
    })?;
    let mut with = String::new();
    if let Some(role) = role {
        let scope = Scope::global(guard.clone());
        let known = store.rights().roles(guard).await.map_err(Failure::of)?;
        if !known.iter().any(|entry| entry.name == *role && entry.scope == scope) {
            let everything = (role.as_str() == "super-admin")
                .then(|| bekci_core::Permission::new("*"))
                .transpose()
                .map_err(Failure::of)?;
            let permissions: Vec<_> = everything.into_iter().collect();
            let permits = if permissions.is_empty() {
                "nothing yet"
            } else {
                "everything"
            };
            with = format!(", and role {role} of guard {guard}, which permits {permits}");
            store
                .rights()
                .put_role(&scope, role, &permissions)
                .await
                .map_err(Failure::of)?;
        }
        store
            .rights()
            .assign_role(&key, &scope, std::slice::from_ref(role))
            .await
            .map_err(Failure::of)?;
    }
    let json = json!({"key": key.to_string(), "role": role.map(RoleName::as_str)});
    Ok(Answer::new(format!("made {key}{with}"), json))
}
