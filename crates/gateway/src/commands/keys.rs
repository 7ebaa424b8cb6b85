//! `bekci key`: signing keys, without one refused request.
//!
//! 1. A new key is published and verifies at once, on every node that has the folder, and signs after `token.activate_after_seconds`.
//! 2. The one before verifies until it is retired. Retiring is refused while a token that it signed can be good.
//! 3. Running gateways look at the folder once a second, and at once, though not oftener than that, for a token of a key that they do not know.

mod retirement;

use bekci_core::{Clock, ErrorCode, GuardName};
use bekci_store::SystemClock;
use bekci_token::{KeyId, KeyInfo, KeyStatus, KeyStore, OsEntropy};
use clap::Subcommand;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use self::retirement::Retirement;
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
    /// The signing keys: what each does, and from when on it can be retired
    #[command(after_help = "Example:\n  bekci key list --guard customer --output json")]
    List {
        /// Of this guard alone; can be said several times
        #[arg(long = "guard", value_name = "GUARD")]
        guards: Vec<GuardName>,
    },
    /// Makes the next key: published at once, signing after token.activate_after_seconds; the one before verifies until it is retired
    #[command(after_help = "Example:\n  bekci key rotate --guard customer\n  bekci key rotate          # all guards")]
    Rotate {
        /// Of this guard alone; can be said several times
        #[arg(long = "guard", value_name = "GUARD")]
        guards: Vec<GuardName>,
    },
    /// Takes a key away: every token that it signed is refused within a second. Refused while such a token can be good
    #[command(after_help = "Example:\n  bekci key retire 3f1c0de5a7b94d6e8f0a1b2c3d4e5f60")]
    Retire {
        /// The key's id, as `bekci key list` tells it
        #[arg(value_parser = key_id)]
        kid: KeyId,
        /// Even where tokens that it signed can be good, or it signs now: those who hold them must refresh. For a key that others may have
        #[arg(long)]
        force: bool,
    },
}

fn key_id(text: &str) -> Result<KeyId, String> {
    KeyId::parse(text).ok_or_else(|| "a key id is 1 to 64 of A-Z a-z 0-9 _ -".to_owned())
}

pub(crate) fn run(action: &Action, config: &Config) -> Result<Answer, Failure> {
    match action {
        Action::Generate => generate(config),
        Action::List { guards } => list(config, guards),
        Action::Rotate { guards } => rotate(config, guards),
        Action::Retire { kid, force } => retire(config, kid, *force),
    }
}

fn activate_after(config: &Config) -> Duration {
    Duration::seconds(i64::from(config.token.activate_after_seconds.get()))
}

fn store(config: &Config) -> KeyStore {
    KeyStore::new(&config.token.keys_dir).activate_after(activate_after(config))
}

/// The guards that were named, or all; each with keys of its own, in files.
fn guards<'a>(config: &'a Config, named: &'a [GuardName]) -> Result<Vec<&'a GuardName>, Failure> {
    if config.token.algorithm.is_symmetric() {
        return Err(Failure::of(
            "tokens are signed by keys that are derived from secrets.jwt: there are no files; change that secret instead",
        ));
    }
    if let Some(stray) = named.iter().find(|guard| !config.guards.contains_key(*guard)) {
        return Err(Failure::not_found(format!("there is no guard {stray}")));
    }
    let is_meant = |guard: &&GuardName| named.is_empty() || named.contains(guard);
    Ok(config.guards.keys().filter(is_meant).collect())
}

fn generate(config: &Config) -> Result<Answer, Failure> {
    let mut made = Vec::new();
    if let types::Root::Missing(path) = config.secrets.root() {
        bekci::ensure_root(path, &OsEntropy).map_err(Failure::of)?;
        made.push(format!("root secret {}", path.display()));
    }
    let algorithm = assemble::algorithm(config);
    if !config.token.algorithm.is_symmetric() {
        let wanted: Vec<_> = config.guards.keys().map(|guard| (guard.clone(), algorithm)).collect();
        let keys = store(config).ensure(&wanted, &SystemClock, &OsEntropy);
        for key in keys.map_err(Failure::of)? {
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

fn list(config: &Config, named: &[GuardName]) -> Result<Answer, Failure> {
    let (store, now) = (store(config), SystemClock.now());
    let (mut lines, mut told) = (Vec::new(), Vec::new());
    for guard in guards(config, named)? {
        let keys = store.list(guard, &SystemClock).map_err(Failure::of)?;
        if keys.is_empty() {
            lines.push(format!("{guard}  has no key: run `bekci key generate`"));
        }
        for (index, key) in keys.iter().enumerate() {
            let retirement = Retirement::of(config, &keys, index);
            lines.push(format!("{guard}  {}  {}", key.kid, for_people(key, &retirement, now)));
            told.push(for_machines(key, &retirement)?);
        }
    }
    Ok(Answer::new(lines.join("\n"), json!({"keys": told})))
}

fn for_people(key: &KeyInfo, retirement: &Retirement, now: OffsetDateTime) -> String {
    let algorithm = key.algorithm.map_or("-", |algorithm| algorithm.as_str());
    let created = rfc3339(key.created);
    let does = match key.status {
        KeyStatus::Signs => "signs".to_owned(),
        KeyStatus::Waits { until } => format!("is published, signs from {}", rfc3339(until)),
        KeyStatus::Verifies => match retirement {
            Retirement::From(moment) if *moment > now => {
                format!("verifies, can be retired from {}", rfc3339(*moment))
            }
            Retirement::From(_) | Retirement::AtOnce | Retirement::NotYet => "verifies, can be retired".to_owned(),
        },
    };
    format!("{algorithm}  made {created}  {does}")
}

fn for_machines(key: &KeyInfo, retirement: &Retirement) -> Result<Value, Failure> {
    let mut told = serde_json::to_value(key).map_err(Failure::of)?;
    let from = match retirement {
        Retirement::From(moment) => rfc3339(*moment).into(),
        Retirement::AtOnce => rfc3339(key.created).into(),
        Retirement::NotYet => Value::Null,
    };
    if let Some(told) = told.as_object_mut() {
        told.insert("retirableFrom".to_owned(), from);
    }
    Ok(told)
}

fn rfc3339(moment: OffsetDateTime) -> String {
    let whole = moment.replace_nanosecond(0).unwrap_or(moment);
    whole.format(&Rfc3339).unwrap_or_else(|_| whole.to_string())
}

fn rotate(config: &Config, named: &[GuardName]) -> Result<Answer, Failure> {
    let (store, algorithm) = (store(config), assemble::algorithm(config));
    let (mut lines, mut told) = (Vec::new(), Vec::new());
    for guard in guards(config, named)? {
        let made = store
            .rotate(guard, algorithm, &SystemClock, &OsEntropy)
            .map_err(Failure::of)?;
        let signs = match made.status {
            KeyStatus::Waits { until } => format!("signs from {}", rfc3339(until)),
            KeyStatus::Signs | KeyStatus::Verifies => "signs at once".to_owned(),
        };
        lines.push(format!("{guard}  {}  is published, {signs}", made.kid));
        told.push(serde_json::to_value(&made).map_err(Failure::of)?);
    }
    Ok(Answer::new(lines.join("\n"), json!({"made": told})))
}

fn retire(config: &Config, kid: &KeyId, force: bool) -> Result<Answer, Failure> {
    let store = store(config);
    let guards: Vec<GuardName> = guards(config, &[])?.into_iter().cloned().collect();
    if !force {
        refuse_if_in_use(config, &store, &guards, kid)?;
    }
    let guard = store.retire(&guards, kid).map_err(Failure::of)?;
    Ok(Answer::new(
        format!("{guard}  {kid}  is retired: running gateways refuse its tokens within a second"),
        json!({"guard": guard.as_str(), "kid": kid.as_str(), "retired": true}),
    ))
}

fn refuse_if_in_use(config: &Config, store: &KeyStore, guards: &[GuardName], kid: &KeyId) -> Result<(), Failure> {
    for guard in guards {
        let keys = store.list(guard, &SystemClock).map_err(Failure::of)?;
        let Some(index) = keys.iter().position(|key| key.kid == *kid) else {
            continue;
        };
        return match Retirement::of(config, &keys, index) {
            // The store says that it is the only one.
            _ if keys.len() == 1 => Ok(()),
            Retirement::NotYet => Err(Failure::coded(
                ErrorCode::Conflict,
                format!(
                    "{kid} signs for guard {guard}: run `bekci key rotate` and wait, or use --force where others may have it"
                ),
            )),
            Retirement::From(moment) if moment > SystemClock.now() => Err(Failure::coded(
                ErrorCode::Conflict,
                format!(
                    "tokens that {kid} signed can be good until {}: wait, or use --force where others may have the key",
                    rfc3339(moment)
                ),
            )),
            Retirement::From(_) | Retirement::AtOnce => Ok(()),
        };
    }
    Ok(())
}
