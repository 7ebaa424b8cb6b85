//! `bekci principal hash`.

use bekci::{OsEntropy, PasswordHasher};
use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;

use super::super::{Answer, Failure, input};
use crate::{
    assemble,
    config::{Config, types::PasswordHash},
};

#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// Reads the password from standard input, instead of asking for it at the terminal; it is never an argument
    #[arg(long)]
    password_stdin: bool,
}

/// Hashes by the configuration's cost, after the rule of the guard that asks least: which guard the account will be of is not known here.
pub(super) async fn run(asked: &Asked, config: &Config) -> Result<Answer, Failure> {
    let password = input::new_password(asked.password_stdin)?;
    let least = config.guards.values().map(|guard| guard.password_min_length).min();
    let least = least.and_then(|least| usize::try_from(least).ok()).unwrap_or(15);
    let judged = bekci_signin::PasswordPolicy::new(least).check(&password, &["bekci"]);
    judged.map_err(|error| Failure::invalid(format!("the password {error}")))?;
    let hasher = PasswordHasher::new(assemble::hash_settings(config), std::sync::Arc::new(OsEntropy));
    // bcrypt only where no guard hashes by anything else.
    let bcrypt = config.guards.values().map(|guard| guard.password_hash);
    let bcrypt = bcrypt.reduce(|one, other| if one == other { one } else { PasswordHash::default() });
    let scheme = bcrypt.filter(|scheme| matches!(scheme, PasswordHash::Bcrypt { .. }));
    let scheme = scheme.map(assemble::hash_scheme);
    let hash = hasher.map_err(Failure::of)?.hash_by(scheme, password).await;
    let hash = hash.map_err(super::unhashed)?;
    let hash = hash.expose_secret();
    Ok(Answer::new(hash, json!({"hash": hash})))
}
