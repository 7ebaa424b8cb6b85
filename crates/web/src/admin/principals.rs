//! Accounts: listed, shown, added, changed, removed.

use bekci_core::{Block, Identity, ModelName, ModelSpec, is_banned};
use bekci_signin::{HashError, PasswordPolicy, SignInError};
use bekci_store::{AccountChange, AccountQuery};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    Right,
    call::{Answer, Call, Caller, Paging, page, refusal},
    fields::{Fields, Wanted},
};
use crate::{
    Bekci,
    auth::body::invalid,
    respond::{Refusal, moment},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    q: Option<String>,
    limit: Option<String>,
    after: Option<String>,
}

pub(super) async fn list(call: Call) -> Answer {
    let caller = call.bare(Right::PrincipalsRead).await?;
    let model = caller.model()?.name.clone();
    let Search { q, limit, after } = caller.query()?;
    let paging = Paging::new(limit, after);
    let fits = |text: &String| !text.is_empty() && text.chars().count() <= 200 && !text.chars().any(char::is_control);
    if q.as_ref().is_some_and(|text| !fits(text)) {
        return Err(invalid(
            "q",
            "must have 1 to 200 characters, none of them a control character",
        ));
    }
    let query = AccountQuery {
        text: q,
        after: paging.mark()?,
        limit: paging.limit()?,
    };
    let found = caller.directory().list(&model, &query).await;
    let found = found.map_err(|error| match error {
        bekci_store::DirectoryError::Value(_) => invalid("after", "is no cursor that a page gave"),
        error => refusal(error),
    })?;
    let now = caller.now();
    let items = found.accounts.iter().map(|found| account(found, now));
    Ok(page(items.collect(), found.next))
}

/// The columns of an account that may be shown, as the management API and the commands tell them. Whether it is banned is judged at `now`.
#[must_use]
pub fn account(identity: &Identity, now: OffsetDateTime) -> Value {
    json!({
        "key": identity.key.as_str(),
        "model": identity.key.model(),
        "id": identity.key.id(),
        "status": identity.status.as_deref(),
        "banned": is_banned(identity, now),
        "verified": identity.verified,
        "tenant": identity.tenant.as_ref().map(bekci_core::TenantName::as_str),
        "attributes": &identity.attributes,
    })
}

/// All that is kept of a principal beside its sessions, as the management API and the commands tell it at `now`.
#[must_use]
pub fn whole(identity: &Identity, now: OffsetDateTime) -> Value {
    let mut shown = account(identity, now);
    let rights: Vec<Value> = identity
        .rights
        .iter()
        .map(|scope| {
            json!({"guard": scope.guard, "tenant": scope.tenant, "roles": scope.roles, "granted": scope.granted, "denied": scope.denied})
        })
        .collect();
    let block = |block: &Block| {
        json!({
            "jti": block.jti.map(|id| id.to_string()),
            "sid": block.sid.map(|id| id.to_string()),
            "reason": block.reason,
            "until": block.until.and_then(moment),
        })
    };
    if let Some(fields) = shown.as_object_mut() {
        let ban = identity.ban.as_ref();
        let ban = ban.map(|ban| json!({"reason": ban.reason, "until": ban.until.and_then(moment)}));
        fields.insert("ban".into(), ban.into());
        fields.insert("rights".into(), rights.into());
        fields.insert("blocks".into(), identity.blocks.iter().map(block).collect());
    }
    shown
}

pub(super) async fn show(call: Call) -> Answer {
    let caller = call.bare(Right::PrincipalsRead).await?;
    let target = caller.target().await?;
    Ok(crate::auth::answer::Success::ok(whole(&target, caller.now())))
}

/// Hashes a new password, if the policy takes it.
pub(crate) async fn hashed(
    bekci: &Bekci,
    model: &ModelName,
    password: SecretString,
    about: &[&str],
) -> Result<SecretString, Refusal> {
    // The account may come in by any guard of its model, so the one that asks most decides.
    let guards = bekci.watch().guards();
    let asked = guards
        .filter(|guard| guard.model == *model)
        .map(|guard| guard.password_min_length)
        .max();
    let policy = asked.map_or_else(PasswordPolicy::default, PasswordPolicy::new);
    let judged = policy.check(&password, about);
    judged.map_err(|weak| invalid("password", &weak.to_string()))?;
    bekci.hash_password(model, password).await.map_err(|error| match error {
        HashError::Busy => SignInError::Busy.into(),
        HashError::TooLong => invalid("password", &error.to_string()),
        error => Refusal::new(bekci_core::ErrorCode::Internal, error.to_string()),
    })
}

/// The texts that a password must not be.
pub(crate) fn texts<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<String> {
    values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

async fn change_of(
    caller: &Caller,
    model: &ModelName,
    wanted: Wanted,
    about: Vec<String>,
) -> Result<AccountChange, Refusal> {
    let about: Vec<&str> = about.iter().map(String::as_str).collect();
    let password_hash = match wanted.password {
        Some(password) => Some(hashed(&caller.mounted.bekci, model, password, &about).await?),
        None => None,
    };
    Ok(AccountChange {
        columns: wanted.columns,
        password_hash,
        verified: wanted.verified,
    })
}

pub(crate) fn must_have_identifier(spec: &ModelSpec, wanted: &Wanted) -> Result<(), Refusal> {
    match spec.identifiers.first() {
        Some((first, _)) if !wanted.identifiers.contains(first) => Err(invalid(first, "missing")),
        _ => Ok(()),
    }
}

pub(super) async fn add(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::PrincipalsWrite).await?;
    let spec = caller.model()?.clone();
    let wanted = caller.body::<Fields>(payload).await?.read(&spec)?;
    must_have_identifier(&spec, &wanted)?;
    if wanted.tenant {
        caller.demand(Right::RightsWrite)?;
    }
    let about = texts(wanted.columns.iter().map(|(_, value)| value));
    let account = change_of(&caller, &spec.name, wanted, about).await?;
    let (key, committed) = caller.directory().add(&spec.name, &account).await.map_err(refusal)?;
    let data = json!({"key": key.as_str(), "model": key.model(), "id": key.id()});
    caller.done(Ok(committed), data)
}

pub(super) async fn change(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::PrincipalsWrite).await?;
    let target = caller.target().await?;
    let wanted = caller.body::<Fields>(payload).await?.read(caller.model()?)?;
    if wanted.credentials() {
        caller.demand(Right::PrincipalsCredentials)?;
    }
    if wanted.tenant {
        caller.demand(Right::RightsWrite)?;
    }
    if wanted.credentials() || wanted.tenant {
        caller.not_self(&target)?;
    }
    let new = wanted.columns.iter().map(|(_, value)| value);
    let about = texts(new.chain(target.attributes.values()));
    let change = change_of(&caller, &caller.model()?.name, wanted, about).await?;
    let done = caller.directory().change(&target.key, &change).await;
    let (committed, ended) = match done {
        Ok(changed) => (Ok(changed.committed), changed.ended),
        Err(error) => (Err(error), Vec::new()),
    };
    let fields: Vec<&str> = change.columns.iter().map(|(column, _)| column.as_str()).collect();
    let data = json!({"key": target.key.as_str(), "changed": fields, "endedSessions": ended.len()});
    caller.done(committed, data)
}

pub(super) async fn remove(call: Call) -> Answer {
    let caller = call.bare(Right::PrincipalsDelete).await?;
    let target = caller.target().await?;
    caller.not_self(&target)?;
    let removed = caller.directory().remove(&target.key).await;
    caller.done(removed, json!({"key": target.key.as_str()}))
}
