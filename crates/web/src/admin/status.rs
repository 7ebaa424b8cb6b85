//! `PUT …/status`: bans, suspends and restores.

use bekci_store::{BanOrder, DirectoryError};
use serde::Deserialize;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Right,
    call::{Answer, Call, Caller},
};
use crate::{
    auth::body::invalid,
    respond::{Refusal, moment},
};

/// Longer than any reason that somebody reads.
const MAX_REASON_CHARS: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    status: String,
    reason: Option<String>,
    until: Option<String>,
}

/// What a principal is told as a reason.
pub(super) fn reason(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= MAX_REASON_CHARS && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(invalid(
            "reason",
            "must have 1 to 500 characters, none of them a control character",
        ))
    }
}

/// A time to come, in RFC 3339.
pub(super) fn until(caller: &Caller, text: &str) -> Result<OffsetDateTime, Refusal> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| invalid("until", "must be a time in RFC 3339"))?;
    if time > caller.mounted.bekci.watch().clock().now() {
        Ok(time)
    } else {
        Err(invalid("until", "must be a time to come"))
    }
}

pub(super) async fn set(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::PrincipalsStatus).await?;
    let target = caller.target().await?;
    let body: Status = caller.body(payload).await?;
    let spec = caller.model()?;
    if spec.status_column.is_none() {
        return Err(invalid("status", "is nothing that this model has"));
    }
    let word = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !word(&body.status) {
        return Err(invalid("status", "must be a word of at most 64 ASCII characters"));
    }
    let bans = spec.bans(&body.status);
    if !bans && !spec.lets_in(&body.status) {
        let known = spec.banned_statuses.iter().chain(&spec.active_statuses);
        let known: Vec<&str> = known.map(String::as_str).collect();
        return Err(invalid("status", &format!("must be one of: {}", known.join(", "))));
    }
    let order = BanOrder {
        status: body.status.clone(),
        reason: body.reason.as_deref().map(reason).transpose()?,
        until: body.until.as_deref().map(|text| until(&caller, text)).transpose()?,
        by: Some(caller.key().clone()),
    };
    if !bans && (order.reason.is_some() || order.until.is_some()) {
        let field = if order.reason.is_some() { "reason" } else { "until" };
        return Err(invalid(field, "goes with a status that bans alone"));
    }
    caller.not_self(&target)?;
    let data = json!({"key": target.key.as_str(), "status": order.status, "banned": bans, "reason": order.reason, "until": order.until.and_then(moment)});
    let result = if bans {
        let banned = caller.store().ban(&target.key, &order).await;
        banned.map_err(DirectoryError::Store)
    } else {
        caller.directory().restore(&target.key, &order.status).await
    };
    caller.done(result, data)
}
