//! The sessions of a principal.

use bekci_core::{
    PrincipalKey, SessionId,
    signin::{EndSessions, SessionEntry, SignInStore, StoreError},
};
use bekci_store::DirectoryError;
use serde_json::{Value, json};

use super::{
    Right,
    authority::Reach,
    call::{Answer, Call, Caller, not_found, page, refusal},
};
use crate::{
    auth::answer::Success,
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
    let sessions = store(&caller).sessions(&target.key).await.map_err(failed)?;
    // A guard bounds how many there can be, so they are one page.
    Ok(page(sessions.iter().map(shown).collect(), None))
}

pub(super) async fn end_all(call: Call) -> Answer {
    let caller = call.bare(Right::SessionsEnd).await?;
    let target = caller.target().await?;
    caller.outranks(&target, Reach::Management).await?;
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
    caller.outranks(&target, Reach::Management).await?;
    end(&caller, &target.key, &EndSessions::One(session)).await
}

async fn end(caller: &Caller, key: &PrincipalKey, which: &EndSessions) -> Answer {
    let now = caller.mounted.bekci.watch().clock().now();
    match caller.store().end_sessions(key, which, now).await {
        Ok(ended) => {
            let ids: Vec<String> = ended.iter().map(ToString::to_string).collect();
            Ok(Success::ok(json!({"key": key.as_str(), "endedSessions": ids})))
        }
        Err(error) => caller.done(Err(DirectoryError::Store(error)), Value::Null),
    }
}
