//! Oneself: `GET …/me`, `GET …/sessions`, `DELETE …/sessions/{id}`.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use bekci_core::{ErrorCode, SessionId, signin::SessionEntry};
use bekci_signin::SignInError;
use serde_json::{Value, json};

use super::{
    Mounted,
    answer::{Success, told},
    credentials::{admitted, admitted_to},
};
use crate::{
    Who,
    respond::{Refusal, moment},
};

pub(super) async fn me(mounted: Data<Mounted>, request: HttpRequest) -> HttpResponse {
    let who = try_me(&mounted, &request).await;
    told(&request, who.map(|who| Success::ok(who.to_json())))
}

/// The answer of `GET …/me`, after a change.
pub(super) async fn told_as_of_now(mounted: &Mounted, request: &HttpRequest) -> Result<Success, Refusal> {
    let who = try_me(mounted, request).await?;
    Ok(Success::ok(who.to_json()))
}

async fn try_me(mounted: &Mounted, request: &HttpRequest) -> Result<Who, Refusal> {
    let asked = mounted.bekci.watch().tenancy().asked_by(request, None)?;
    admitted_to(request, mounted, &asked).await
}

pub(super) async fn sessions(mounted: Data<Mounted>, request: HttpRequest) -> HttpResponse {
    let result = try_sessions(&mounted, &request).await;
    told(&request, result)
}

async fn try_sessions(mounted: &Mounted, request: &HttpRequest) -> Result<Success, Refusal> {
    let who = admitted(request, mounted).await?;
    let sessions = mounted.bekci.sign_in().sessions(who.key()).await?;
    let listed: Vec<Value> = sessions.iter().map(|session| entry(session, &who)).collect();
    Ok(Success::ok(listed.into()))
}

fn entry(session: &SessionEntry, who: &Who) -> Value {
    json!({
        "id": session.id.to_string(),
        "guard": session.guard,
        "current": session.id == who.session_id(),
        "deviceName": session.device_name,
        "way": session.way,
        "createdAt": moment(session.created_at),
        "lastUsedAt": moment(session.last_used_at),
    })
}

pub(super) async fn end_session(mounted: Data<Mounted>, request: HttpRequest, id: Path<String>) -> HttpResponse {
    let result = try_end_session(&mounted, &request, &id).await;
    told(&request, result)
}

async fn try_end_session(mounted: &Mounted, request: &HttpRequest, id: &str) -> Result<Success, Refusal> {
    let who = admitted(request, mounted).await?;
    // What is no id at all is answered like the id of somebody else's session.
    let session = SessionId::parse(id).ok_or_else(|| Refusal::new(ErrorCode::NotFound, "not an id of a session"))?;
    match mounted.bekci.sign_in().end_session(who.key(), session).await {
        Ok(()) => Ok(Success::ok(json!({"sessionId": session.to_string()}))),
        Err(SignInError::Pending { position }) => Ok(Success::pending(position)),
        Err(error) => Err(error.into()),
    }
}
