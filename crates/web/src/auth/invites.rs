//! `GET|POST …/invites`, `DELETE …/invites/{id}` and `POST …/invites/accept`: invitations with a role.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path, Payload},
};
use bekci_core::{RoleName, TenantName, TokenId, invites::Invite};
use bekci_signin::{InviteOrder, SignInError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Mounted,
    accounts::{accounts, address, changed, requester},
    answer::{Success, told},
    body::{self, Secret, invalid},
    credentials::admitted,
};
use crate::respond::{Refusal, moment};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Invitation {
    email: String,
    role: String,
    tenant: Option<String>,
    redirect_uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Accept {
    invite_token: Secret,
}

/// An invitation as its inviter sees it. The token is in the mail alone.
pub(crate) fn entry(invite: &Invite) -> Value {
    json!({
        "id": invite.id.to_string(),
        "email": invite.address.as_str(),
        "role": invite.to.role,
        "tenant": invite.to.tenant,
        "createdAt": moment(invite.created_at),
        "expiresAt": moment(invite.expires_at),
    })
}

pub(super) async fn invite(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_invite(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_invite(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let who = admitted(request, mounted).await?;
    let body: Invitation = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let role = RoleName::new(&body.role).map_err(|_| invalid("role", "is not the name of a role"))?;
    let tenant = body.tenant.as_deref().map(TenantName::new).transpose();
    let order = InviteOrder {
        address: address(&body.email)?,
        role,
        tenant: tenant.map_err(|_| invalid("tenant", "is not the name of a tenant"))?,
        requester: requester(mounted, request, body.redirect_uri.as_deref())?,
        by: None,
    };
    let made = accounts(mounted)?.invite(&mounted.guard, who.key(), order).await?;
    Ok(Success::new(StatusCode::ACCEPTED, entry(&made)))
}

pub(super) async fn invites(mounted: Data<Mounted>, request: HttpRequest) -> HttpResponse {
    let result = try_invites(&mounted, &request).await;
    told(&request, result)
}

async fn try_invites(mounted: &Mounted, request: &HttpRequest) -> Result<Success, Refusal> {
    let who = admitted(request, mounted).await?;
    let pending = accounts(mounted)?.invites(&mounted.guard, who.key()).await?;
    let listed: Vec<Value> = pending.iter().map(entry).collect();
    Ok(Success::ok(listed.into()))
}

pub(super) async fn revoke(mounted: Data<Mounted>, request: HttpRequest, id: Path<String>) -> HttpResponse {
    let result = try_revoke(&mounted, &request, &id).await;
    told(&request, result)
}

async fn try_revoke(mounted: &Mounted, request: &HttpRequest, id: &str) -> Result<Success, Refusal> {
    let who = admitted(request, mounted).await?;
    let id = TokenId::parse(id).ok_or(SignInError::NotFound)?;
    accounts(mounted)?.revoke_invite(&mounted.guard, who.key(), id).await?;
    Ok(Success::ok(json!({"id": id.to_string()})))
}

pub(super) async fn accept(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let result = try_accept(&mounted, &request, payload).await;
    told(&request, result)
}

async fn try_accept(mounted: &Mounted, request: &HttpRequest, payload: Payload) -> Result<Success, Refusal> {
    let who = admitted(request, mounted).await?;
    let body: Accept = body::read(request, payload, mounted.bekci.body_bytes()).await?;
    let accepted = accounts(mounted)?
        .accept_invite(&mounted.guard, who.key(), body.invite_token.text())
        .await;
    changed(accepted, json!({"accepted": true}))
}
