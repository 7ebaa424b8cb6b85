//! Signing out, and one's own sessions.

use std::sync::Arc;

use bekci_core::{
    AuthGuard, PrincipalKey, SessionId, VerifiedClaims,
    signin::{EndSessions, SessionEntry},
};

use super::SignIn;
use crate::{attempt::SignedOut, audit, error::SignInError};

impl SignIn {
    /// Ends the session that the credentials name. Either is enough: a verified access token, or a refresh token of any generation. When it returns, no node lets the
    /// session's tokens through. A session that ended before is ended again without complaint.
    ///
    /// # Errors
    /// [`SignInError::TokenMissing`] without a credential; [`SignInError::RefreshInvalid`] for a refresh token whose MAC does not fit, also beside a good
    /// access token; [`SignInError::GuardMismatch`]; [`SignInError::AmbiguousCredentials`] for two sessions;
    /// [`SignInError::Pending`] where it is committed and not confirmed; [`SignInError::StoreUnavailable`].
    pub async fn sign_out(
        &self,
        guard: &Arc<AuthGuard>,
        access: Option<&VerifiedClaims>,
        refresh: Option<&str>,
    ) -> Result<SignedOut, SignInError> {
        let (session, key) = self.named_by(guard, access, refresh).await?;
        let Some(key) = key else {
            // The MAC says that we made it, so the session was there once: what was asked is done.
            return Ok(SignedOut {
                session,
                key: None,
                ended_now: false,
            });
        };
        let which = EndSessions::One(session);
        let result = self.end(&key, Some(guard), &which, "signed out").await;
        audit::signed_out(guard, &key, Some(session), &result);
        let ended = result?;
        Ok(SignedOut {
            session,
            key: Some(key),
            ended_now: ended.contains(&session),
        })
    }

    /// The session that the credentials of a sign-out name, and whose it is; `None`: so long gone that nobody knows.
    pub(super) async fn named_by(
        &self,
        guard: &AuthGuard,
        access: Option<&VerifiedClaims>,
        refresh: Option<&str>,
    ) -> Result<(SessionId, Option<PrincipalKey>), SignInError> {
        if access.is_some_and(|claims| claims.guard != guard.name) {
            return Err(SignInError::GuardMismatch);
        }
        let by_refresh = refresh
            .map(|text| self.refresh_tokens(guard).parse(text))
            .transpose()
            .map_err(|_| SignInError::RefreshInvalid)?
            .map(|(session, _)| session);
        match (access, by_refresh) {
            (None, None) => Err(SignInError::TokenMissing),
            (Some(claims), Some(session)) if claims.session != session => Err(SignInError::AmbiguousCredentials),
            (Some(claims), _) => Ok((claims.session, Some(claims.key.clone()))),
            (None, Some(session)) => Ok((session, self.owner(session).await?)),
        }
    }

    /// Reports a sign-out that kept the browser remembered.
    pub(super) fn tell_signed_out(
        &self,
        guard: &AuthGuard,
        (key, session): (&PrincipalKey, SessionId),
        ended: &Result<Vec<SessionId>, SignInError>,
    ) {
        if let Ok(ended) = ended {
            audit::sessions_ended(Some(guard), key, ended, "signed out");
        }
        audit::signed_out(guard, key, Some(session), ended);
    }

    /// Ends every session of a principal, at every guard of its model; gives those that lived until now.
    ///
    /// # Errors
    /// [`SignInError::Pending`] where it is committed and not confirmed; [`SignInError::StoreUnavailable`].
    pub async fn sign_out_everywhere(
        &self,
        guard: &Arc<AuthGuard>,
        key: &PrincipalKey,
    ) -> Result<Vec<SessionId>, SignInError> {
        let result = self.end(key, None, &EndSessions::All, "signed out everywhere").await;
        audit::signed_out(guard, key, None, &result);
        result
    }

    /// The live sessions of a principal, the newest first.
    ///
    /// # Errors
    /// [`SignInError::StoreUnavailable`].
    pub async fn sessions(&self, key: &PrincipalKey) -> Result<Vec<SessionEntry>, SignInError> {
        Ok(self.parts.store.sessions(key).await?)
    }

    /// Ends one session of a principal.
    ///
    /// # Errors
    /// [`SignInError::NotFound`] for a session of anybody else, as for none; [`SignInError::Pending`]; [`SignInError::StoreUnavailable`].
    pub async fn end_session(&self, key: &PrincipalKey, session: SessionId) -> Result<(), SignInError> {
        if self.owner(session).await?.as_ref() != Some(key) {
            return Err(SignInError::NotFound);
        }
        self.end(key, None, &EndSessions::One(session), "ended by its owner")
            .await?;
        Ok(())
    }

    async fn owner(&self, session: SessionId) -> Result<Option<PrincipalKey>, SignInError> {
        let owner = self.parts.store.session_owner(session).await?;
        Ok(owner.map(|(key, _)| key))
    }

    pub(super) async fn end(
        &self,
        key: &PrincipalKey,
        guard: Option<&AuthGuard>,
        which: &EndSessions,
        why: &'static str,
    ) -> Result<Vec<SessionId>, SignInError> {
        let now = self.parts.clock.now();
        let ended = self.parts.store.end_sessions(key, guard, which, now).await?;
        audit::sessions_ended(guard, key, &ended, why);
        Ok(ended)
    }
}
