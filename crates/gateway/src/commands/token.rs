//! `bekci token`: what a token is, and one for a test.

use std::{path::PathBuf, sync::Arc};

use bekci::Refusal;
use bekci_core::{
    AuthGuard, Consistency, Entropy, GuardName, IdentityVersion, Need, PrincipalKey, SessionId, TokenId,
    signin::{NewSession, Opened},
};
use bekci_signin::AccessSubject;
use bekci_store::SystemClock;
use bekci_token::{Inspection, inspect_with_jwks};
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    Answer, Failure,
    desk::{Desk, at_desk, moment, note},
    explain, input,
};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Reads a token from standard input, and says check by check why it is accepted or refused
    #[command(
        after_help = "Examples:\n  bekci token inspect < token.txt\n  bekci token inspect --jwks jwks.json < token.txt"
    )]
    Inspect {
        /// Judges signature and times by the keys of this JWK set instead of by our own
        #[arg(long, value_name = "FILE")]
        jwks: Option<PathBuf>,
    },
    /// Opens a session for a principal and prints an access token of it, for a test
    #[command(after_help = "Example:\n  bekci token issue customer:42 --guard customer")]
    Issue(Wanted),
}

#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Whose, as customer:42
    key: PrincipalKey,
    /// The guard; else the model's only one, else the one of the model's name
    #[arg(long)]
    guard: Option<GuardName>,
}

pub(crate) async fn run(action: &Action, config: &Config) -> Result<Answer, Failure> {
    match action {
        Action::Inspect { jwks: Some(path) } => {
            let said = |error: &dyn std::fmt::Display| Failure::invalid(format!("{}: {error}", path.display()));
            let keys = std::fs::read_to_string(path).map_err(|error| said(&error))?;
            let leeway = time::Duration::seconds(i64::from(config.token.leeway_seconds.get()));
            let token = input::secret()?;
            let inspection = inspect_with_jwks(token.expose_secret(), &keys, &SystemClock, leeway);
            Ok(told(&inspection.map_err(|error| said(&error))?, None))
        }
        Action::Inspect { jwks: None } => {
            let token = input::secret()?;
            at_desk(config, async |desk| {
                let inspection = desk.bekci.keys().inspect(token.expose_secret());
                // A good token of an ended session or a banned account is refused all the same: the gate knows.
                let now = match (&inspection.guard, inspection.accepted) {
                    (Some(guard), true) => explain::as_of_now(desk, guard, token.expose_secret()).await,
                    _ => None,
                };
                Ok(told(&inspection, now.as_ref()))
            })
            .await
        }
        Action::Issue(wanted) => at_desk(config, async |desk| issue(desk, wanted).await).await,
    }
}

fn told(inspection: &Inspection, now: Option<&Refusal>) -> Answer {
    let mut text = inspection.to_string();
    let mut json = serde_json::to_value(inspection).unwrap_or_default();
    let accepted = inspection.accepted && now.is_none();
    if let Some(refusal) = now {
        let (code, reason) = (refusal.code().as_str(), refusal.reason());
        text = text.replacen("accepted", "refused", 1);
        text.push_str(&format!("FAIL account and session, as of now: {code}: {reason}\n"));
    }
    if let Some(fields) = json.as_object_mut() {
        fields.insert("accepted".into(), accepted.into());
        let now = now.map(|refusal| json!({"code": refusal.code().as_str(), "reason": refusal.reason()}));
        fields.insert("refusedNow".into(), now.unwrap_or(Value::Null));
    }
    Answer::new(text, json).refused_if(!accepted)
}

async fn issue(desk: &Desk<'_>, wanted: &Wanted) -> Result<Answer, Failure> {
    let key = desk.account(&wanted.key).await?.key;
    let name = desk.guard_for(wanted.guard.as_ref(), &key)?;
    let guard = desk.bekci.watch().guard(name.as_str()).cloned();
    let guard: Arc<AuthGuard> = guard.ok_or_else(|| Failure::not_found(format!("there is no guard {name}")))?;
    let mut random = [0; 16];
    bekci_token::OsEntropy.fill(&mut random).map_err(Failure::of)?;
    let session = TokenId(random);
    let wanted = NewSession {
        guard: Arc::clone(&guard),
        key: key.clone(),
        id: session,
        way: "command",
        remembered: false,
        verified_hash: None,
        device_name: Some("bekci token issue".to_owned()),
        device_hash: None,
        replaces: None,
        tenant: None,
        now: desk.now(),
    };
    let opened = desk.bekci.store().sign_in_store().open_session(&wanted).await?;
    let (version, ended) = match opened {
        Opened::Open { version, ended } => (version, ended),
        Opened::Banned(_) => {
            let code = bekci_core::ErrorCode::AccountBanned;
            return Err(Failure::coded(code, format!("{key} is banned; nobody lets it in")));
        }
        Opened::Gone => return Err(Failure::not_found(format!("there is no account {key}"))),
    };
    let token = signed(desk, &guard, &key, session, version).await?;
    let ended: Vec<String> = ended.iter().map(ToString::to_string).collect();
    let details = json!({"session": session.to_string(), "guard": name, "by": "command", "ended": ended});
    note("sign_in.attempt", Some(&key), &details);
    let json = json!({
        "key": key, "guard": name, "sessionId": session.to_string(), "accessToken": token.token.expose_secret(),
        "expiresAt": moment(token.expires_at), "endedSessions": ended,
    });
    Ok(Answer::new(token.token.expose_secret(), json))
}

async fn signed(
    desk: &Desk<'_>,
    guard: &AuthGuard,
    key: &PrincipalKey,
    session: SessionId,
    version: IdentityVersion,
) -> Result<bekci_signin::IssuedAccess, Failure> {
    let identities = desk.bekci.identities();
    let need = Need {
        key,
        guard: &guard.name,
        tenant: None,
        at_least: version,
        policy: false,
        consistency: Consistency::Direct,
    };
    let view = identities.read(&need, identities.ticket()).await;
    let view = view.map_err(|error| Failure::coded(bekci_core::ErrorCode::StoreUnavailable, error))?;
    let subject = AccessSubject {
        key: key.clone(),
        session,
        generation: 0,
        version,
        tenant: None,
    };
    desk.bekci
        .sign_in()
        .issue_access(guard, &subject, &view)
        .map_err(Failure::of)
}
