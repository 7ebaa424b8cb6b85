//! `bekci token`: what a token is, and one for a test.

use std::{path::PathBuf, sync::Arc};

use bekci::Refusal;
use bekci_core::{AuthGuard, GuardName, PrincipalKey, TenantName, signin::SignInTenant};
use bekci_signin::IssueOrder;
use bekci_store::SystemClock;
use bekci_token::{Inspection, inspect_with_jwks};
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    Answer, Failure,
    desk::{Desk, at_desk, moment},
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
    /// The tenant that the token is made for, where the principal belongs to it
    #[arg(long)]
    tenant: Option<TenantName>,
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
    let tenant = wanted.tenant.clone();
    let order = IssueOrder {
        device_name: Some("bekci token issue".to_owned()),
        tenant: tenant.map_or_else(|| desk.bekci.watch().tenancy().unnamed(), SignInTenant::Named),
        ..IssueOrder::default()
    };
    let issued = desk.bekci.sign_in().issue(&guard, &key, order).await;
    let issued = issued.map_err(|error| Failure::coded(error.code(), format!("{key}: {error}")))?;
    let json = json!({
        "key": key, "guard": name, "tenant": issued.tenant, "sessionId": issued.session.to_string(),
        "accessToken": issued.access.expose_secret(), "expiresAt": moment(issued.access_expires_at),
    });
    Ok(Answer::new(issued.access.expose_secret(), json))
}
