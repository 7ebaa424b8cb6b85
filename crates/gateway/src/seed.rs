//! What a demo begins with: roles, what they permit, one admin and one customer.

use bekci::Bekci;
use bekci_core::{GuardName, ModelName, NameError, Permission, PrincipalKey, RoleName, signin::StoreError};
use bekci_store::{AccountChange, DirectoryError, Scope};
use secrecy::SecretString;
use serde_json::json;

/// Why there is no seed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeedError {
    /// A name breaks its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take an account.
    #[error(transparent)]
    Account(#[from] DirectoryError),
    /// The password could not be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// An account that a seed makes.
pub(crate) struct Person<'a> {
    pub(crate) model: &'a str,
    pub(crate) email: &'a str,
    pub(crate) name: &'a str,
    pub(crate) password: SecretString,
    pub(crate) role: &'a str,
}

/// The roles of the demo, by guard.
const ROLES: [(&str, &str, &[&str]); 4] = [
    ("admin", "super-admin", &["*"]),
    ("admin", "support", &["orders.view"]),
    ("customer", "buyer", &["orders.view", "orders.place"]),
    ("customer", "reader", &["orders.view"]),
];

/// Makes the roles and what they permit.
pub(crate) async fn roles(bekci: &Bekci) -> Result<(), SeedError> {
    for (guard, role, permissions) in ROLES {
        let permissions: Result<Vec<Permission>, NameError> =
            permissions.iter().map(|text| Permission::new(text)).collect();
        bekci
            .store()
            .rights()
            .put_role(
                &Scope::global(GuardName::new(guard)?),
                &RoleName::new(role)?,
                &permissions?,
            )
            .await?;
    }
    Ok(())
}

/// Makes an account with a role.
pub(crate) async fn person(bekci: &Bekci, person: Person<'_>) -> Result<PrincipalKey, SeedError> {
    let hash = bekci
        .passwords()
        .hash(person.password)
        .await
        .map_err(|error| SeedError::Hash(error.to_string()))?;
    let account = AccountChange {
        columns: vec![
            ("email".to_owned(), json!(person.email)),
            ("name".to_owned(), json!(person.name)),
        ],
        password_hash: Some(hash),
        verified: Some(true),
    };
    let role = (
        Scope::global(GuardName::new(person.model)?),
        RoleName::new(person.role)?,
    );
    let model = ModelName::new(person.model)?;
    let directory = bekci.store().directory();
    let (key, _) = directory.add_with_roles(&model, &account, &[role]).await?;
    Ok(key)
}
