//! `bekci session`: the sessions of a principal.

use bekci::admin::session_json;
use bekci_core::{PrincipalKey, SessionId, signin::EndSessions};
use clap::{ArgGroup, Subcommand};
use serde_json::{Value, json};

use super::{
    Answer, Failure,
    answer::table,
    desk::{Desk, at_desk, moment},
};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// The live sessions of a principal, the newest first
    #[command(after_help = "Example:\n  bekci session list customer:42")]
    List {
        /// As customer:42
        key: PrincipalKey,
    },
    /// Ends sessions; their tokens are refused by every node when it is done
    #[command(
        group(ArgGroup::new("which").args(["session", "all"]).required(true)),
        after_help = "Examples:\n  bekci session revoke customer:42 --session 0123456789abcdef0123456789abcdef\n  bekci session revoke customer:42 --all"
    )]
    Revoke {
        /// As customer:42
        key: PrincipalKey,
        /// The session's id, the `sid` of its tokens
        #[arg(long, value_name = "ID", value_parser = id)]
        session: Option<SessionId>,
        /// All of them, at every guard
        #[arg(long)]
        all: bool,
    },
}

fn id(text: &str) -> Result<SessionId, &'static str> {
    SessionId::parse(text).ok_or("a session's id is 32 lower-case hex digits")
}

pub(crate) async fn run(action: &Action, config: &Config) -> Result<Answer, Failure> {
    at_desk(config, async |desk| match action {
        Action::List { key } => list(desk, key).await,
        Action::Revoke { key, session, .. } => revoke(desk, key, *session).await,
    })
    .await
}

async fn list(desk: &Desk<'_>, key: &PrincipalKey) -> Result<Answer, Failure> {
    let key = desk.account(key).await?.key;
    let sessions = desk.bekci.store().sign_in_store().sessions(&key).await?;
    let rows: Vec<[String; 6]> = sessions
        .iter()
        .map(|session| {
            [
                session.id.to_string(),
                session.guard.clone(),
                session.way.clone(),
                moment(session.created_at).unwrap_or_default(),
                moment(session.last_used_at).unwrap_or_default(),
                session.device_name.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let items: Vec<Value> = sessions.iter().map(session_json).collect();
    let names = ["session", "guard", "way", "created", "last used", "device"];
    Ok(Answer::new(table(names, &rows), json!({"items": items})))
}

async fn revoke(desk: &Desk<'_>, key: &PrincipalKey, session: Option<SessionId>) -> Result<Answer, Failure> {
    let key = desk.account(key).await?.key;
    if let Some(session) = session {
        let owner = desk.bekci.store().sign_in_store().session_owner(session).await?;
        // One that has ended is ended again without complaint, and waits for every node all the same.
        owner
            .filter(|(owner, _)| *owner == key)
            .ok_or_else(|| Failure::not_found(format!("{key} has no session {session}")))?;
    }
    let which = session.map_or(EndSessions::All, EndSessions::One);
    let ended = desk.store().end_sessions(&key, &which, desk.now()).await?;
    let ids: Vec<String> = ended.iter().map(ToString::to_string).collect();
    let text = match ids.len() {
        0 => "nothing was left to end; no node lets them in".to_owned(),
        1 => "ended 1 session; no node lets it in".to_owned(),
        count => format!("ended {count} sessions; no node lets them in"),
    };
    Ok(Answer::new(text, json!({"key": key, "endedSessions": ids})))
}
