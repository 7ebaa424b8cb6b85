//! `bekci cache`: an identity as the shared cache has it, beside the database's truth.

use bekci_core::PrincipalKey;
use bekci_store::Compared;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Answer, Failure,
    desk::{Desk, at_desk},
};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// The identity as Redis has it, beside the database's, and whether they agree
    #[command(after_help = "Example:\n  bekci cache show customer:42")]
    Show {
        /// As customer:42
        key: PrincipalKey,
    },
    /// Loads the identity again everywhere: no node decides by an older one when it is done
    #[command(after_help = "Example:\n  bekci cache refresh customer:42")]
    Refresh {
        /// As customer:42
        key: PrincipalKey,
    },
    /// Versions, size and time to live of the entry
    #[command(after_help = "Example:\n  bekci cache stats customer:42")]
    Stats {
        /// As customer:42
        key: PrincipalKey,
    },
}

pub(crate) async fn run(action: &Action, config: &Config) -> Result<Answer, Failure> {
    at_desk(config, async |desk| match action {
        Action::Show { key } => show(desk, key).await,
        Action::Stats { key } => {
            let (key, compared) = compare(desk, key).await?;
            let stats = stats(&key, &compared);
            let lines = stats.as_object().into_iter().flatten();
            let lines: Vec<String> = lines.map(|(name, value)| format!("{name:<16} {value}")).collect();
            Ok(Answer::new(lines.join("\n"), stats))
        }
        Action::Refresh { key } => {
            let key = desk.account(key).await?.key;
            desk.store().touch(std::slice::from_ref(&key)).await?;
            show(desk, &key).await
        }
    })
    .await
}

async fn compare(desk: &Desk<'_>, key: &PrincipalKey) -> Result<(PrincipalKey, Compared), Failure> {
    let key = desk.key(key)?;
    let compared = desk.bekci.store().compare(&key).await?;
    Ok((key, compared))
}

/// What the entry is to the nodes, which use it under the database's own label alone.
fn state(compared: &Compared) -> (&'static str, &'static str) {
    match &compared.entry {
        None if !compared.shared => (
            "none",
            "there is no shared cache (redis.enabled = false); nodes keep it in memory alone",
        ),
        None => (
            "absent",
            "Redis has no entry; the next node that needs it loads it from the database",
        ),
        Some(entry) => match &entry.opened {
            None => (
                "refused",
                "Redis has something whose seal does not fit; every node refuses it and asks the database",
            ),
            Some(_) if entry.database_epoch != Some(compared.database_epoch) => (
                "outdated",
                "the entry is of another epoch of the database, before it was restored; no node uses it",
            ),
            Some((_, version, epoch)) if (*version, *epoch) != (compared.version, compared.epoch) => (
                "outdated",
                "the entry has another version than the database; no node uses it",
            ),
            Some((identity, _, _)) if *identity == compared.truth => ("agrees", "the entry and the database agree"),
            Some(_) => (
                "differs",
                "THE ENTRY DIFFERS UNDER THE SAME VERSION: the database was changed past its triggers. `bekci doctor` looks at them, `bekci cache refresh` mends the entry",
            ),
        },
    }
}

fn stats(key: &PrincipalKey, compared: &Compared) -> Value {
    let entry = compared.entry.as_ref();
    let opened = entry.and_then(|entry| entry.opened.as_ref());
    json!({
        "key": key,
        "state": state(compared).0,
        "databaseVersion": compared.version.0,
        "databaseEpoch": compared.epoch,
        "entryVersion": opened.map(|(_, version, _)| version.0),
        "entryEpoch": opened.map(|(_, _, epoch)| *epoch),
        "entryBytes": entry.map(|entry| entry.bytes),
        "entryTtlSeconds": entry.and_then(|entry| entry.ttl_seconds),
    })
}

async fn show(desk: &Desk<'_>, key: &PrincipalKey) -> Result<Answer, Failure> {
    let (key, compared) = compare(desk, key).await?;
    let truth = serde_json::to_value(&compared.truth).map_err(Failure::of)?;
    let opened = compared.entry.as_ref().and_then(|entry| entry.opened.as_ref());
    let cached = opened.map(|(identity, _, _)| serde_json::to_value(identity));
    let cached = cached.transpose().map_err(Failure::of)?;
    let (name, meaning) = state(&compared);
    let mut text = format!(
        "{key}: {meaning}\n\ndatabase, version {}\n{truth:#}\n",
        compared.version.0
    );
    match (&cached, opened) {
        (Some(cached), Some((_, version, _))) if *cached != truth => {
            text.push_str(&format!("\nRedis, version {}\n{cached:#}\n", version.0));
        }
        (Some(_), Some((_, version, _))) => text.push_str(&format!("\nRedis, version {}: the same\n", version.0)),
        _ => {}
    }
    let json = json!({
        "key": key, "state": name, "agrees": name == "agrees",
        "database": truth, "cached": cached, "stats": stats(&key, &compared),
    });
    Ok(Answer::new(text, json).refused_if(matches!(name, "differs" | "refused")))
}
