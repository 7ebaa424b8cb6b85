//! `bekci key`.

use bekci_store::SystemClock;
use bekci_token::{KeyStore, OsEntropy};
use clap::Subcommand;
use serde_json::json;

use super::{Answer, Failure};
use crate::{
    assemble,
    config::{Config, types},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Makes what is missing: a signing key for every guard, and the root secret
    #[command(after_help = "Example:\n  bekci key generate --config config/bekci.toml")]
    Generate,
}

pub(crate) fn run(action: &Action, config: &Config) -> Result<Answer, Failure> {
    let Action::Generate = action;
    let mut made = Vec::new();
    if let types::Root::Missing(path) = config.secrets.root() {
        bekci::ensure_root(path, &OsEntropy).map_err(Failure::of)?;
        made.push(format!("root secret {}", path.display()));
    }
    let algorithm = assemble::algorithm(config);
    if !config.token.algorithm.is_symmetric() {
        let delay = time::Duration::seconds(i64::from(config.token.activate_after_seconds.get()));
        let store = KeyStore::new(&config.token.keys_dir).activate_after(delay);
        let wanted: Vec<_> = config.guards.keys().map(|guard| (guard.clone(), algorithm)).collect();
        for key in store.ensure(&wanted, &SystemClock, &OsEntropy).map_err(Failure::of)? {
            made.push(format!(
                "{} key {} for guard {}",
                algorithm.as_str(),
                key.kid,
                key.guard
            ));
        }
    }
    let text = if made.is_empty() {
        "nothing is missing".to_owned()
    } else {
        made.iter()
            .map(|line| format!("made {line}"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    Ok(Answer::new(text, json!({"made": made})))
}
