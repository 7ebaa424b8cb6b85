//! `bekci principal set-password`.

use bekci_core::PrincipalKey;
use bekci_store::AccountChange;
use clap::Args;
use serde_json::json;

use super::super::{Answer, Failure, answer::in_force, desk::Desk, input};

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// As customer:42
    key: PrincipalKey,
    /// Reads the password from standard input, instead of asking for it at the terminal; it is never an argument
    #[arg(long)]
    password_stdin: bool,
}

impl Change {
    /// The password is judged by the strictest guard of the model, and hashed by the configuration's cost.
    pub(super) async fn run(&self, desk: &Desk<'_>) -> Result<Answer, Failure> {
        let account = desk.account(&self.key).await?;
        let password = input::new_password(self.password_stdin)?;
        let guards = desk.config.guards.values();
        let of_model = guards.filter(|guard| guard.model.as_str() == account.key.model());
        let least = of_model.map(|guard| guard.password_min_length).max();
        let least = least.and_then(|least| usize::try_from(least).ok()).unwrap_or(15);
        let known: Vec<&str> = account.attributes.values().filter_map(|value| value.as_str()).collect();
        let about: Vec<&str> = known.into_iter().chain(["bekci"]).collect();
        bekci_signin::PasswordPolicy::new(least)
            .check(&password, &about)
            .map_err(|error| Failure::invalid(format!("the password {error}")))?;
        let model = bekci_core::ModelName::new(account.key.model()).map_err(Failure::of)?;
        let hash = desk.bekci.hash_password(&model, password).await;
        let hash = hash.map_err(super::unhashed)?;
        let change = AccountChange {
            password_hash: Some(hash),
            ..AccountChange::default()
        };
        let changed = desk.directory().change(&account.key, &change).await?;
        in_force(&changed.committed)?;
        let ended = changed.ended.len();
        Ok(Answer::new(
            format!("set the password of {}; {ended} of its sessions ended", account.key),
            json!({"key": account.key, "endedSessions": ended}),
        ))
    }
}
