//! `bekci cache`: an identity as the shared cache has it, beside the database's truth.

mod running;

use bekci_core::PrincipalKey;
use bekci_store::{Agreement, Compared, Drift};
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
    /// Compares the entries of Redis with the database: one with the database's version and another content is drift, and fails the command
    #[command(after_help = "Example:\n  bekci cache drift --sample 1000")]
    Drift {
        /// How many entries at most
        #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
        sample: usize,
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
        Action::Drift { sample } => drift(desk, *sample).await,
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
        Some(_) => match compared.agreement {
            None => (
                "refused",
                "Redis has something whose seal does not fit; every node refuses it and asks the database",
            ),
            Some(Agreement::OtherEpoch) => (
                "outdated",
                "the entry is of another epoch of the database, before it was restored; no node uses it",
            ),
            Some(Agreement::OtherVersion) => (
                "outdated",
                "the entry has another version than the database; no node uses it",
            ),
            Some(Agreement::Changing) => (
                "outdated",
                "a change from outside is being brought to the nodes; no node uses the entry",
            ),
            Some(Agreement::Agrees) => ("agrees", "the entry and the database agree"),
            Some(Agreement::Drifts) => (
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

async fn drift(desk: &Desk<'_>, sample: usize) -> Result<Answer, Failure> {
    let found = desk.bekci.store().drift(sample).await?;
    let node = running::drift(desk.config.server.ops_listen).await;
    let mut text = if desk.config.redis.enabled {
        format!(
            "Redis: {} entries compared with the database, {} of another version, {} drift\n",
            found.compared,
            found.outdated,
            found.drifting.len()
        )
    } else {
        "Redis is off: identities are in the memory of each gateway alone\n".to_owned()
    };
    for key in &found.drifting {
        text.push_str(&format!(
            "DRIFT {key}: the entry has the database's version and another content; `bekci cache show {key}` shows both, `bekci cache refresh {key}` mends it\n"
        ));
    }
    for key in &found.refused {
        text.push_str(&format!(
            "REFUSED {key}: the seal of the entry does not fit; no node uses it\n"
        ));
    }
    text.push_str(&match &node {
        Some(node) => format!(
            "the gateway at {}: {} identities compared since its start, {} drift\n",
            desk.config.server.ops_listen, node.compared, node.drifting
        ),
        None => format!(
            "no gateway answers at {}: its memory was not looked at\n",
            desk.config.server.ops_listen
        ),
    });
    let json = report(&found, node.as_ref());
    let is_bad = !found.drifting.is_empty() || node.is_some_and(|node| node.drifting > 0);
    Ok(Answer::new(text, json).refused_if(is_bad))
}

fn report(found: &Drift, node: Option<&running::NodeDrift>) -> Value {
    json!({
        "compared": found.compared,
        "outdated": found.outdated,
        "drifting": found.drifting,
        "refused": found.refused,
        "gateway": node.map(|node| json!({"compared": node.compared, "drifting": node.drifting})),
    })
}
