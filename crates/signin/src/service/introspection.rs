//! Introspection and revocation of refresh tokens (RFC 7662, RFC 7009).
//!
//! 1. A refresh token is active if a refresh with it, from another device, would give tokens now. Nothing is written to find out.
//! 2. The session is read from the database, then the account as of now. So a sign-out or a ban that has returned is seen.
//! 3. A token that is reused is inactive. Introspection ends no session: only its holder's refresh does.

use std::sync::Arc;

use bekci_core::{
    AuthGuard, Consistency, IdentityVersion, Need, PrincipalKey, RefreshOutcome, SessionId, TenantName, judge_refresh,
    principal::let_in,
};
use time::OffsetDateTime;

use super::SignIn;
use crate::{attempt::SignedOut, error::SignInError};

/// A refresh token that would be accepted now.
#[derive(Clone, Debug)]
pub struct ActiveRefresh {
    /// The guard that it belongs to.
    pub guard: Arc<AuthGuard>,
    /// Whose session it is.
    pub key: PrincipalKey,
    /// The session.
    pub session: SessionId,
    /// The tenant that tokens of the session are made for.
    pub tenant: Option<TenantName>,
    /// When the token was issued.
    pub issued_at: OffsetDateTime,
    /// When it ends unless it is used.
    pub expires_at: OffsetDateTime,
}

impl SignIn {
    /// The guard, session and generation of a refresh token whose MAC is one of these guards'.
    fn refresh_named<'a>(
        &self,
        guards: impl IntoIterator<Item = &'a Arc<AuthGuard>>,
        token: &str,
    ) -> Option<(&'a Arc<AuthGuard>, SessionId, u32)> {
        guards.into_iter().find_map(|guard| {
            let (session, generation) = self.refresh_tokens(guard).parse(token).ok()?;
            Some((guard, session, generation))
        })
    }

    /// What a refresh token of one of these guards stands for; `None` if it would be refused.
    ///
    /// # Errors
    /// [`SignInError::StoreUnavailable`].
    pub async fn introspect_refresh<'a>(
        &self,
        guards: impl IntoIterator<Item = &'a Arc<AuthGuard>>,
        token: &str,
    ) -> Result<Option<ActiveRefresh>, SignInError> {
        let Some((guard, session, generation)) = self.refresh_named(guards, token) else {
            return Ok(None);
        };
        let Some(record) = self.parts.store.session_record(session).await? else {
            return Ok(None);
        };
        if record.guard != guard.name.as_str() || record.key.model() != guard.model.as_str() {
            return Ok(None);
        }
        let (rules, now) = (&guard.session.refresh, self.parts.clock.now());
        match judge_refresh(&record.state, generation, false, rules, now) {
            RefreshOutcome::Rotated { .. } | RefreshOutcome::Replayed { .. } => {}
            RefreshOutcome::Recovered { .. }
            | RefreshOutcome::Reused
            | RefreshOutcome::Invalid
            | RefreshOutcome::Expired => return Ok(None),
        }
        if !self.has_live_session(guard, &record.key, session).await? {
            return Ok(None);
        }
        Ok(Some(ActiveRefresh {
            guard: Arc::clone(guard),
            session,
            issued_at: record.state.rotated_at,
            expires_at: rules.end_of(record.state.rotated_at, record.state.expires_at),
            key: record.key,
            tenant: record.tenant,
        }))
    }

    /// Whether the account may use this session as of now: it exists, is active and not banned, and neither account nor session is blocked.
    async fn has_live_session(
        &self,
        guard: &AuthGuard,
        key: &PrincipalKey,
        session: SessionId,
    ) -> Result<bool, SignInError> {
        let identities = &self.parts.identities;
        let need = Need {
            key,
            guard: &guard.name,
            tenant: None,
            at_least: IdentityVersion(0),
            policy: false,
            consistency: Consistency::Direct,
        };
        let view = identities.read(&need, identities.ticket()).await?;
        let (identity, now) = (&view.identity, self.parts.clock.now());
        let blocked = identity
            .blocks
            .iter()
            .any(|block| block.sid == Some(session) && block.until.is_none_or(|until| now < until));
        Ok(identity.exists
            && !blocked
            && let_in(identity, now).is_ok()
            && identity.session(session, &guard.name).is_some())
    }

    /// Ends the session of a refresh token of any generation, at whichever of these guards it belongs to; `None`: it belongs to none. When it returns, no node lets the
    /// session's tokens through.
    ///
    /// # Errors
    /// [`SignInError::Pending`] if it is committed and not confirmed; [`SignInError::StoreUnavailable`].
    pub async fn revoke_refresh<'a>(
        &self,
        guards: impl IntoIterator<Item = &'a Arc<AuthGuard>>,
        token: &str,
    ) -> Result<Option<SignedOut>, SignInError> {
        let Some((guard, ..)) = self.refresh_named(guards, token) else {
            return Ok(None);
        };
        Ok(Some(self.sign_out(guard, None, Some(token)).await?))
    }
}
