//! `bekci principal ban` and `unban`.

use bekci_core::PrincipalKey;
use bekci_store::BanOrder;
use clap::Args;
use serde_json::json;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::super::{
    Answer, Failure,
    answer::in_force,
    desk::{Desk, moment},
};

/// Longer than any reason that somebody reads; the management API has the same bound.
const MAX_REASON_CHARS: usize = 500;

#[derive(Debug, Args)]
pub(crate) struct Ban {
    /// As customer:42
    key: PrincipalKey,
    /// What the principal is told
    #[arg(long, value_parser = reason)]
    reason: Option<String>,
    /// When it ends by itself, as 2030-01-01T00:00:00Z; else when it is lifted
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "lasting")]
    until: Option<OffsetDateTime>,
    /// How long it lasts, as 30m, 12h, 7d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasting: Option<Duration>,
    /// The status that it gets; else the first of the model's banned_statuses
    #[arg(long)]
    status: Option<String>,
}

fn reason(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    match text.is_empty() || text.chars().count() > MAX_REASON_CHARS || text.chars().any(char::is_control) {
        true => Err("a reason has 1 to 500 characters, none of them a control character"),
        false => Ok(text.to_owned()),
    }
}

fn time(text: &str) -> Result<OffsetDateTime, &'static str> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "not a time in RFC 3339, as 2030-01-01T00:00:00Z")
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let length = super::super::input::span(text)?;
    Duration::try_from(length).map_err(|_| "too long")
}

impl Ban {
    pub(super) async fn run(&self, desk: &Desk<'_>) -> Result<Answer, Failure> {
        let identity = desk.account(&self.key).await?;
        let key = identity.key;
        let name = bekci_core::ModelName::new(key.model()).map_err(Failure::invalid)?;
        let first = desk.model(&name)?.banned_statuses.first();
        let status = self.status.as_ref().or(first).cloned();
        let now = desk.now();
        let end = self.lasting.and_then(|lasting| now.checked_add(lasting)).or(self.until);
        let order = BanOrder {
            status: status.ok_or_else(|| Failure::invalid(format!("model {name} has no banned_statuses")))?,
            reason: self.reason.clone(),
            // Whole seconds: what is told here is what the principal is told, whatever a database keeps.
            until: end.map(|end| end.replace_nanosecond(0).unwrap_or(end)),
            by: None,
        };
        if order.until.is_some_and(|until| until <= now) {
            return Err(Failure::invalid(
                "--until is over already; a ban ends at a time to come",
            ));
        }
        in_force(&desk.store().ban(&key, &order).await?)?;
        let until = order.until.and_then(moment);
        let json = json!({"key": key, "status": order.status, "banned": true, "reason": order.reason, "until": until});
        let until = until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {until}"));
        Ok(Answer::new(
            format!("banned {key} {until}; every node refuses it"),
            json,
        ))
    }
}

pub(super) async fn unban(desk: &Desk<'_>, key: &PrincipalKey) -> Result<Answer, Failure> {
    let before = desk.account(key).await?;
    let key = before.key;
    if !before.banned && !before.inactive && before.ban.is_none() {
        let json = json!({"key": key, "status": before.status, "banned": false, "changed": false});
        return Ok(Answer::new(format!("{key} is not banned"), json));
    }
    in_force(&desk.store().unban(&key).await?)?;
    let status = desk.account(&key).await?.status;
    let json = json!({"key": key, "status": status, "banned": false, "changed": true});
    let status = status.as_deref().unwrap_or("-");
    Ok(Answer::new(
        format!("{key} is not banned any more; its status is {status}"),
        json,
    ))
}
