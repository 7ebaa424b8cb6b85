//! Making access tokens.

use bekci_core::{
    AccessClaims, AuthGuard, Consistency, IdKind, Identity, IdentityVersion, Need, PrincipalKey, SessionId, TenantName,
    TokenKind, View, signin::SessionFacts,
};
use secrecy::SecretString;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::SignIn;
use crate::error::SignInError;

/// What an access token is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessSubject {
    /// Whom it names.
    pub key: PrincipalKey,
    /// The session that it lives by.
    pub session: SessionId,
    /// The session's refresh generation.
    pub generation: u32,
    /// The identity's version at which the session was seen to live.
    pub version: IdentityVersion,
    /// The tenant, if any.
    pub tenant: Option<TenantName>,
}

/// An access token and its times.
#[derive(Clone, Debug)]
pub struct IssuedAccess {
    /// The token.
    pub token: SecretString,
    /// Its `exp`.
    pub expires_at: OffsetDateTime,
    /// From now to then.
    pub expires_in_seconds: i64,
}

impl SignIn {
    /// Makes an access token, with the guard's own claims taken from the identity. It does not ask whether the session lives: whoever presents the token is
    /// asked that each time.
    ///
    /// # Errors
    /// [`SignInError::Internal`] where the token cannot be signed or named.
    pub fn issue_access(
        &self,
        guard: &AuthGuard,
        subject: &AccessSubject,
        view: &View,
    ) -> Result<IssuedAccess, SignInError> {
        let issued_at = self.parts.clock.now().unix_timestamp();
        let expires_in_seconds = guard.session.access_ttl.whole_seconds();
        let expires_at = issued_at.saturating_add(expires_in_seconds);
        let claims = AccessClaims {
            kind: TokenKind::Access,
            key: subject.key.clone(),
            session: subject.session,
            generation: subject.generation,
            version: subject.version,
            tenant: subject.tenant.clone(),
            id: self.random_id()?,
            issued_at,
            expires_at,
            extra: own_claims(guard, &view.identity),
        };
        Ok(IssuedAccess {
            token: self.parts.issuer.issue(&guard.name, &claims)?,
            expires_at: OffsetDateTime::from_unix_timestamp(expires_at)
                .map_err(|error| SignInError::Internal(error.to_string().into()))?,
            expires_in_seconds,
        })
    }

    /// The identity at least as new as the session's transaction; the ticket is taken after it, so that no older load is joined.
    pub(super) async fn view(&self, guard: &AuthGuard, facts: &SessionFacts) -> Result<View, SignInError> {
        let identities = &self.parts.identities;
        let ticket = identities.ticket();
        let need = Need {
            key: &facts.key,
            guard: &guard.name,
            tenant: facts.tenant.as_ref(),
            at_least: facts.version,
            policy: false,
            consistency: Consistency::L1,
        };
        match identities.warm(&need) {
            Some(view) => Ok(view),
            None => Ok(identities.read(&need, ticket).await?),
        }
    }
}

/// The developer's own claims. `id` is the account's id as its model has it, a number or a text, and `key` the principal's key, unless cached attributes have these
/// names; an attribute that is missing or null gives no claim.
fn own_claims(guard: &AuthGuard, identity: &Identity) -> Map<String, Value> {
    let value_of = |attribute: &str| match (identity.attributes.get(attribute), attribute) {
        (Some(value), _) => Some(value.clone()),
        (None, "id") => Some(id_value(guard.id_kind, &identity.key)),
        (None, "key") => Some(Value::from(identity.key.as_str())),
        (None, _) => None,
    };
    let claims = guard.claims.iter();
    claims
        .filter_map(|(claim, attribute)| Some((claim.clone(), value_of(attribute)?)))
        .filter(|(_, value)| !value.is_null())
        .collect()
}

fn id_value(kind: IdKind, key: &PrincipalKey) -> Value {
    match kind {
        IdKind::Integer => key.id().parse::<i64>().map_or_else(|_| key.id().into(), Value::from),
        IdKind::Uuid | IdKind::Text => key.id().into(),
    }
}
