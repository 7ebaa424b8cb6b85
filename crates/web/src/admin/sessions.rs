//! The sessions of a principal.

use std::cmp::Reverse;

use bekci_core::{
    PrincipalKey, SessionId,
    signin::{EndSessions, SessionEntry, SignInStore, StoreError},
};
use bekci_store::DirectoryError;
use serde_json::{Value, json};

use super::{
    Right,
    call::{Answer, Call, Caller, Paging, not_found, page, refusal},
};
use crate::{
    auth::{answer::Success, body::invalid},
    respond::{Refusal, moment},
};

fn failed(error: StoreError) -> Refusal {
    refusal(DirectoryError::Store(error))
}

fn store(caller: &Caller) -> std::sync::Arc<dyn SignInStore> {
    caller.store().sign_in_store()
}

/// A session as the management API and the commands tell it.
#[must_use]
pub fn shown(session: &SessionEntry) -> Value {
    json!({
        "id": session.id.to_string(),
        "guard": session.guard,
        "deviceName": session.device_name,
        "way": session.way,
        "createdAt": moment(session.created_at),
        "lastUsedAt": moment(session.last_used_at),
    })
}

pub(super) async fn list(call: Call) -> Answer {
    let caller = call.bare(Right::SessionsRead).await?;
    let target = caller.target().await?;
    let paging: Paging = caller.query()?;
    let limit = usize::from(paging.limit()?);
    let after = paging.mark()?.map(|mark| place_of(&mark)).transpose()?;
    // A guard bounds how many there can be, so they are read together.
    let mut sessions = store(&caller).sessions(&target.key).await.map_err(failed)?;
    sessions.sort_by_key(place);
    let mut rest = sessions.iter().filter(|session| Some(place(session)) > after);
    let items: Vec<&SessionEntry> = rest.by_ref().take(limit).collect();
    let next = rest.next().and_then(|_| items.last()).map(|last| {
        let (Reverse(micros), id) = place(last);
        format!("{micros}:{id}")
    });
    Ok(page(items.into_iter().map(shown).collect(), next))
}

/// Where a session stands in the list: the newest first, and those of one moment by their ids.
fn place(session: &SessionEntry) -> (Reverse<i128>, String) {
    (
        Reverse(session.created_at.unix_timestamp_nanos() / 1_000),
        session.id.to_string(),
    )
}

/// The same of a cursor. The session itself may have ended meanwhile.
fn place_of(mark: &str) -> Result<(Reverse<i128>, String), Refusal> {
    let read = mark
        .split_once(':')
        .and_then(|(micros, id)| Some((Reverse(micros.parse().ok()?), SessionId::parse(id)?.to_string())));
    read.ok_or_else(|| invalid("after", "is no cursor that a page gave"))
}

pub(super) async fn end_all(call: Call) -> Answer {
    let caller = call.bare(Right::SessionsEnd).await?;
    let target = caller.target().await?;
    end(&caller, &target.key, &EndSessions::All).await
}

pub(super) async fn end_one(call: Call) -> Answer {
    let caller = call.bare(Right::SessionsEnd).await?;
    let target = caller.target().await?;
    let none = || not_found("no such session of this principal");
    let session = SessionId::parse(caller.part("sid")).ok_or_else(none)?;
    let owner = store(&caller).session_owner(session).await.map_err(failed)?;
    // One that has ended is ended again without complaint, and waits for every node all the same.
    owner.filter(|(key, _)| *key == target.key).ok_or_else(none)?;
    end(&caller, &target.key, &EndSessions::One(session)).await
}

async fn end(caller: &Caller, key: &PrincipalKey, which: &EndSessions) -> Answer {
    match caller.store().end_sessions(key, which, caller.now()).await {
        Ok(ended) => {
            let ids: Vec<String> = ended.iter().map(ToString::to_string).collect();
            Ok(Success::ok(json!({"key": key.as_str(), "endedSessions": ids})))
        }
        Err(error) => caller.done(Err(DirectoryError::Store(error)), Value::Null),
    }
}
