//! Making a token.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{AccessClaims, BearerToken, IdentityVersion, IssueError, PrincipalId, TokenKind};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    algorithm::Algorithm,
    claims::{MAX_DEPTH, RESERVED},
    json,
    ring::RingGuard,
    signing_key::SigningKey,
};

/// A token to make, and what to make it with.
pub(crate) struct Order<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) guard: &'a RingGuard,
    pub(crate) audience: &'a str,
    pub(crate) kind: TokenKind,
    pub(crate) kid: &'a str,
    pub(crate) key: &'a SigningKey,
    pub(crate) claims: &'a AccessClaims,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: Algorithm,
    typ: &'static str,
    kid: &'a str,
}

/// In the order of the contract; the developer's own come last.
#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    sid: String,
    #[serde(rename = "gen")]
    generation: u32,
    ver: IdentityVersion,
    guard: &'a str,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

/// Signs. What the ring itself would refuse is not made.
pub(crate) fn issue(order: &Order<'_>) -> Result<SecretString, IssueError> {
    check(order)?;
    let header = part(&Header {
        alg: order.key.algorithm(),
        typ: order.kind.typ(),
        kid: order.kid,
    })?;
    let payload = serde_json::to_vec(&payload(order)).map_err(failed)?;
    if !json::nests_within(&payload, MAX_DEPTH) {
        return Err(failed(format!("the claims nest deeper than {MAX_DEPTH}")));
    }
    let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let signature = order.key.sign(token.as_bytes()).map_err(failed)?;
    token.push('.');
    token.push_str(&signature);
    BearerToken::new(&token).map_err(|_| failed(format!("the token would have {} bytes", token.len())))?;
    Ok(token.into())
}

fn check(order: &Order<'_>) -> Result<(), IssueError> {
    let claims = order.claims;
    if let Some(name) = claims.extra.keys().find(|name| RESERVED.contains(&name.as_str())) {
        return Err(IssueError::ReservedClaim(name.clone()));
    }
    if claims.key.model() != order.guard.model.as_str() {
        return Err(failed(format!(
            "{} is not of the guard's model {}",
            claims.key, order.guard.model
        )));
    }
    PrincipalId::new(order.guard.id_kind, claims.key.id()).map_err(failed)?;
    let longest = order.guard.lifetimes.of(order.kind);
    let lives = claims.expires_at.saturating_sub(claims.issued_at);
    if !(1..=longest).contains(&lives) {
        return Err(failed(format!("it would last {lives} s, not 1 to {longest}")));
    }
    Ok(())
}

fn payload<'a>(order: &'a Order<'_>) -> Payload<'a> {
    let claims = order.claims;
    Payload {
        iss: order.issuer,
        aud: order.audience,
        sub: claims.key.as_str(),
        iat: claims.issued_at,
        exp: claims.expires_at,
        jti: claims.id.to_string(),
        sid: claims.session.to_string(),
        generation: claims.generation,
        ver: claims.version,
        guard: order.guard.name.as_str(),
        model: order.guard.model.as_str(),
        tenant: claims.tenant.as_ref().map(|tenant| tenant.as_str()),
        extra: &claims.extra,
    }
}

fn part(value: &impl Serialize) -> Result<String, IssueError> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).map_err(failed)?))
}

fn failed(error: impl ToString) -> IssueError {
    IssueError::Signing(error.to_string())
}
