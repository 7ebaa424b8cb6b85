//! The block list: `POST /blocks` and `DELETE /blocks`, by principal and token id or session id, or by the token itself.

use bekci_core::{BearerToken, Identity, PrincipalKey, SessionId, TokenFault, TokenId, TokenKind};
use bekci_store::{BlockOrder, DirectoryError};
use serde::Deserialize;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::{
    Right,
    call::{Answer, Call, Caller, refusal},
    status::{reason, until},
};
use crate::{
    auth::body::invalid,
    respond::{Refusal, moment},
};

/// How long a block outlives its token: more than any leeway that clocks are given.
const AFTER_TOKEN: Duration = Duration::HOUR;

/// Either `{principal, jti | sid, reason, until?}` or `{token, reason}`. Not to be printed: a token is a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    principal: Option<String>,
    jti: Option<String>,
    sid: Option<String>,
    token: Option<String>,
    reason: Option<String>,
    until: Option<String>,
}

/// What is meant.
struct Meant {
    target: Identity,
    jti: Option<TokenId>,
    sid: Option<SessionId>,
    /// When the token that was given ends by itself.
    ends: Option<OffsetDateTime>,
}

impl Meant {
    async fn read(caller: &Caller, body: &Body) -> Result<Self, Refusal> {
        let (key, jti, sid, ends) = match (&body.token, &body.principal) {
            (Some(_), Some(_)) => return Err(invalid("token", "stands beside principal; give one of them")),
            (None, None) => return Err(invalid("principal", "missing")),
            (Some(token), None) => {
                if let Some((field, _)) = [("jti", &body.jti), ("sid", &body.sid), ("until", &body.until)]
                    .into_iter()
                    .find(|(_, value)| value.is_some())
                {
                    return Err(invalid(field, "stands beside token, which says it"));
                }
                by_token(caller, token)?
            }
            (None, Some(principal)) => by_id(caller, principal, body.jti.as_deref(), body.sid.as_deref()).await?,
        };
        let target = caller.directory().find(&key).await.map_err(refusal)?;
        Ok(Self {
            target: target.ok_or_else(|| invalid("principal", "there is no such account"))?,
            jti,
            sid,
            ends,
        })
    }
}

type Named = (PrincipalKey, Option<TokenId>, Option<SessionId>, Option<OffsetDateTime>);

/// A token that this service made and that is good by itself; whether it still lets anybody in is not asked.
fn by_token(caller: &Caller, token: &str) -> Result<Named, Refusal> {
    let refuse = |fault: TokenFault| match fault {
        TokenFault::Expired => invalid("token", "has expired"),
        _ => invalid("token", "is no access token of this service"),
    };
    let verifier = &*caller.mounted.bekci.gate().parts().verifier;
    let bearer = BearerToken::new(token).map_err(refuse)?;
    let guard = verifier.guard_of(bearer).map_err(refuse)?;
    let claims = verifier.verify(&guard, TokenKind::Access, bearer).map_err(refuse)?;
    let ends = OffsetDateTime::from_unix_timestamp(claims.expires_at).ok();
    Ok((
        claims.key.clone(),
        Some(claims.id),
        None,
        ends.map(|end| end + AFTER_TOKEN),
    ))
}

async fn by_id(caller: &Caller, principal: &str, jti: Option<&str>, sid: Option<&str>) -> Result<Named, Refusal> {
    let bad = || invalid("principal", "must be <model>:<id> of an account");
    let key = PrincipalKey::parse(principal).map_err(|_| bad())?;
    let watch = caller.mounted.bekci.watch();
    let model = bekci_core::ModelName::new(key.model()).ok();
    let key = model
        .and_then(|name| watch.model(&name)?.key(key.id()).ok())
        .ok_or_else(bad)?;
    let id = |field, text: &str| TokenId::parse(text).ok_or_else(|| invalid(field, "must be 32 lower-case hex digits"));
    match (jti, sid) {
        (Some(jti), None) => Ok((key, Some(id("jti", jti)?), None, None)),
        (None, Some(sid)) => {
            let session = id("sid", sid)?;
            let owner = caller
                .mounted
                .bekci
                .store()
                .sign_in_store()
                .session_owner(session)
                .await;
            let owner = owner.map_err(|error| refusal(DirectoryError::Store(error)))?;
            if owner.is_none_or(|(owner, _)| owner != key) {
                return Err(invalid("sid", "is no session of this principal"));
            }
            Ok((key, None, Some(session), None))
        }
        (None, None) => Err(invalid("jti", "missing; give it or sid")),
        (Some(_), Some(_)) => Err(invalid("sid", "stands beside jti; give one of them")),
    }
}

pub(super) async fn add(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::BlocksWrite).await?;
    let body: Body = caller.body(payload).await?;
    let told = body.reason.as_deref().ok_or_else(|| invalid("reason", "missing"))?;
    let told = reason(told)?;
    let asked_until = body.until.as_deref().map(|text| until(&caller, text)).transpose()?;
    let meant = Meant::read(&caller, &body).await?;
    let order = BlockOrder {
        key: meant.target.key,
        jti: meant.jti,
        sid: meant.sid,
        reason: told,
        until: asked_until.or(meant.ends),
    };
    let result = caller.store().block(&order).await;
    let data = json!({
        "principal": order.key.as_str(),
        "jti": order.jti.map(|id| id.to_string()),
        "sid": order.sid.map(|id| id.to_string()),
        "reason": order.reason,
        "until": order.until.and_then(moment),
    });
    caller.done(
        result.map(|(_, committed)| committed).map_err(DirectoryError::Store),
        data,
    )
}

pub(super) async fn lift(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::BlocksWrite).await?;
    let body: Body = caller.body(payload).await?;
    let why = body.reason.as_deref().map(reason).transpose()?;
    if body.until.is_some() {
        return Err(invalid("until", "says nothing where a block is lifted"));
    }
    let meant = Meant::read(&caller, &body).await?;
    caller.not_self(&meant.target)?;
    let key = meant.target.key;
    let lifted = caller
        .acting_for(why)
        .directory()
        .lift_blocks(&key, meant.jti, meant.sid)
        .await;
    let (count, result) = match lifted {
        Ok((count, committed)) => (Some(count), Ok(committed)),
        Err(error) => (None, Err(error)),
    };
    let data = json!({
        "principal": key.as_str(),
        "jti": meant.jti.map(|id| id.to_string()),
        "sid": meant.sid.map(|id| id.to_string()),
        "lifted": count,
    });
    caller.done(result, data)
}
