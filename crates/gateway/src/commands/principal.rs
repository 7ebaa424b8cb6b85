//! `bekci principal`: accounts.

mod add;
mod hash;
mod import;
mod password;
mod show;
mod status;

use bekci_core::{ModelName, PrincipalKey};
use bekci_store::AccountQuery;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Answer, Failure,
    answer::{in_force, listed, table},
    desk::at_desk,
};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Makes an account; the first admin of a deployment is made so
    #[command(
        after_help = "Example:\n  bekci principal add --model admin --email ada@example.com --role super-admin --password-stdin < password.txt"
    )]
    Add(add::New),
    /// Adds the accounts of another system, with the hashes of their passwords. A second time it leaves alone what exists
    #[command(
        after_help = "Examples:\n  bekci principal import customers.csv --model customer --dry-run\n  bekci principal import users.jsonl --model customer --map emailVerified=verified --map passwordHash=password_hash --map salt=password_salt --firebase-parameters firebase.txt"
    )]
    Import(import::Import),
    /// The accounts of a model, in order of id
    #[command(after_help = "Example:\n  bekci principal list --model customer --search ann")]
    List {
        /// The model
        #[arg(long)]
        model: ModelName,
        /// Text that an identifier or attribute contains, whatever its case, or the id itself
        #[arg(long)]
        search: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Where the page before said that the next one begins
        #[arg(long, value_name = "MARK")]
        after: Option<String>,
    },
    /// All that is kept of an account, and what it may, put together
    #[command(after_help = "Example:\n  bekci principal show customer:42")]
    Show {
        /// As customer:42
        key: PrincipalKey,
    },
    /// Bans an account: every node refuses it when this is done
    #[command(after_help = "Example:\n  bekci principal ban customer:42 --reason chargebacks --for 7d")]
    Ban(status::Ban),
    /// Lifts a ban: the status before comes back
    #[command(after_help = "Example:\n  bekci principal unban customer:42")]
    Unban {
        /// As customer:42
        key: PrincipalKey,
    },
    /// Sets the password of an account; its sessions end
    #[command(
        name = "set-password",
        after_help = "Example:\n  bekci principal set-password customer:42 --password-stdin < password.txt"
    )]
    SetPassword(password::Change),
    /// Prints the hash of a password, for a users file
    #[command(after_help = "Example:\n  bekci principal hash --password-stdin < password.txt")]
    Hash(hash::Asked),
    /// Deletes an account, with its rights, bans and blocks; its sessions end
    #[command(after_help = "Example:\n  bekci principal delete customer:42 --yes")]
    Delete {
        /// As customer:42
        key: PrincipalKey,
        /// Says that the loss is meant
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(action: &Action, config: &Config) -> Result<Answer, Failure> {
    match action {
        Action::Add(new) => add::run(new, config).await,
        Action::List {
            model,
            search,
            limit,
            after,
        } => {
            let query = AccountQuery {
                text: search.clone(),
                after: after.clone(),
                limit: *limit,
            };
            list(model, &query, config).await
        }
        Action::Import(import) => at_desk(config, async |desk| import.run(desk).await).await,
        Action::Show { key } => at_desk(config, async |desk| show::run(desk, key).await).await,
        Action::Ban(order) => at_desk(config, async |desk| order.run(desk).await).await,
        Action::Unban { key } => at_desk(config, async |desk| status::unban(desk, key).await).await,
        Action::SetPassword(change) => at_desk(config, async |desk| change.run(desk).await).await,
        Action::Hash(asked) => hash::run(asked, config).await,
        Action::Delete { yes: false, .. } => Err(Failure::of(
            "the account, its rights and its sessions would be lost; say --yes",
        )),
        Action::Delete { key, yes: true } => delete(key, config).await,
    }
}

async fn list(model: &ModelName, query: &AccountQuery, config: &Config) -> Result<Answer, Failure> {
    at_desk(config, async |desk| {
        desk.model(model)?;
        let page = desk.directory().list(model, query).await?;
        let rows: Vec<[String; 5]> = page
            .accounts
            .iter()
            .map(|account| {
                let attributes = account.attributes.iter().filter(|(_, value)| !value.is_null());
                [
                    account.key.to_string(),
                    account.status.as_deref().unwrap_or("-").to_owned(),
                    if account.verified { "yes" } else { "no" }.to_owned(),
                    listed(&account.tenant),
                    listed(attributes.map(|(name, value)| format!("{name}={}", plain(value)))),
                ]
            })
            .collect();
        let mut text = table(["key", "status", "verified", "tenant", "attributes"], &rows);
        if let Some(next) = &page.next {
            text.push_str(&format!("more: --after {next}"));
        }
        let now = desk.now();
        let shown = page.accounts.iter();
        let items: Vec<Value> = shown.map(|account| bekci::admin::account_json(account, now)).collect();
        Ok(Answer::new(text, json!({"items": items, "next": page.next})))
    })
    .await
}

/// A value without the quotes of JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn delete(key: &PrincipalKey, config: &Config) -> Result<Answer, Failure> {
    at_desk(config, async |desk| {
        let key = desk.account(key).await?.key;
        in_force(&desk.directory().remove(&key).await?)?;
        Ok(Answer::new(
            format!("deleted {key}"),
            json!({"key": key, "deleted": true}),
        ))
    })
    .await
}

/// Why a password was not hashed; one that bcrypt would cut is the caller's to change.
fn unhashed(error: bekci_signin::HashError) -> Failure {
    match error {
        bekci_signin::HashError::TooLong => Failure::invalid(format!("the password {error}")),
        error => Failure::of(error),
    }
}
