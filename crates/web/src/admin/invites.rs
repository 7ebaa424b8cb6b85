//! Invitations by the management API: listed, made and revoked, at any guard that invites.
//!
//! The caller's own guard is the one whose rights count, as for a role that it assigns. They are judged when the invitation is made and when it is accepted.

use std::sync::Arc;

use bekci_core::{
    AuthGuard, ErrorCode, RoleName, TokenId,
    invites::{Invite, InvitedBy},
    mail::EmailAddress,
};
use bekci_signin::{Accounts, InviteOrder, SignInError};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    Right,
    call::{Answer, Call, Caller, Paging, not_found, page},
    rights::tenant,
};
use crate::{
    auth::{answer::Success, body::invalid, invites::entry, mails_to},
    respond::Refusal,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    guard: Option<String>,
    limit: Option<String>,
    after: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Invitation {
    guard: Option<String>,
    email: String,
    role: String,
    tenant: Option<String>,
    redirect_uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    guard: Option<String>,
}

/// The guard that is named, else the only one.
fn guard(caller: &Caller, named: Option<&str>) -> Result<Arc<AuthGuard>, Refusal> {
    let name = caller.guard(named, |_| true)?;
    let guard = caller.mounted.bekci.watch().guard(name.as_str());
    guard.cloned().ok_or_else(|| not_found("no such guard"))
}

fn accounts(caller: &Caller) -> Result<&Accounts, Refusal> {
    let missing = || {
        Refusal::new(
            ErrorCode::NotFound,
            "no mails are sent here, so there are no invitations",
        )
    };
    caller.mounted.bekci.own_accounts().ok_or_else(missing)
}

fn shown(invite: &Invite) -> Value {
    let mut entry = entry(invite);
    if let Some(fields) = entry.as_object_mut() {
        fields.insert("inviter".to_owned(), invite.inviter.as_str().into());
    }
    entry
}

pub(super) async fn list(call: Call) -> Answer {
    let caller = call.bare(Right::InvitesRead).await?;
    let which: Which = caller.query()?;
    let guard = guard(&caller, which.guard.as_deref())?;
    let paging = Paging::new(which.limit, which.after);
    let limit = paging.limit()?;
    let after = paging.mark()?.map(|mark| place_of(&mark)).transpose()?;
    // One more than is shown, to know whether there is another page.
    let mut pending = accounts(&caller)?.invites_at(&guard, after, limit + 1).await?;
    let has_more = pending.len() > usize::from(limit);
    pending.truncate(limit.into());
    let next = pending.last().filter(|_| has_more).map(|last| {
        let micros = last.created_at.unix_timestamp_nanos() / 1_000;
        format!("{micros}:{}", last.id)
    });
    Ok(page(pending.iter().map(shown).collect(), next))
}

fn place_of(mark: &str) -> Result<(OffsetDateTime, TokenId), Refusal> {
    let read = mark.split_once(':').and_then(|(micros, id)| {
        let nanos = micros.parse::<i64>().ok()?;
        let made = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos) * 1_000).ok()?;
        Some((made, TokenId::parse(id)?))
    });
    read.ok_or_else(|| invalid("after", "is no cursor that a page gave"))
}

pub(super) async fn add(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::InvitesWrite).await?;
    let body: Invitation = caller.body(payload).await?;
    let guard = guard(&caller, body.guard.as_deref())?;
    let right = Right::InvitesWrite.name().to_owned();
    let order = InviteOrder {
        address: EmailAddress::new(&body.email).map_err(|error| invalid("email", &error.to_string()))?,
        role: RoleName::new(&body.role).map_err(|_| invalid("role", "is not the name of a role"))?,
        tenant: tenant(body.tenant.as_deref())?,
        requester: mails_to(
            (&caller.mounted.bekci, &guard),
            caller.request(),
            body.redirect_uri.as_deref(),
        )?,
        by: Some(InvitedBy {
            guard: caller.who.guard().to_owned(),
            right,
        }),
    };
    let made = accounts(&caller)?.invite(&guard, caller.key(), order).await?;
    Ok(Success::new(actix_web::http::StatusCode::ACCEPTED, shown(&made)))
}

pub(super) async fn revoke(call: Call) -> Answer {
    let caller = call.bare(Right::InvitesWrite).await?;
    let named: Named = caller.query()?;
    let guard = guard(&caller, named.guard.as_deref())?;
    let id = TokenId::parse(caller.part("id")).ok_or(SignInError::NotFound)?;
    accounts(&caller)?.revoke_invite_at(&guard, id).await?;
    Ok(Success::ok(json!({"id": id.to_string()})))
}
