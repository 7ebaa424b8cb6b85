//! The rotating security cookie of sessions by cookie: exchanged, and what happens where it does not fit.
//!
//! 1. Nothing of it is stored before the first exchange.
//! 2. A cookie that is neither current nor a good predecessor was copied: the session ends, unless the application answers otherwise. Either way the request is refused.

use bekci_core::{
    AuthGuard, PrincipalKey, SessionId,
    security::{Exchanged, MismatchReaction, SecurityCookie, SecurityMismatch},
    signin::EndSessions,
};

use super::SignIn;
use crate::{error::SignInError, stay_events as events};

impl SignIn {
    /// Exchanges an old security cookie for its successor; gives that as text.
    ///
    /// # Errors
    /// [`SignInError::SecurityTokenInvalid`] for one that does not fit its session; [`SignInError::StoreUnavailable`]; [`SignInError::Internal`] without a key.
    pub async fn exchange_security(&self, guard: &AuthGuard, held: &SecurityCookie) -> Result<String, SignInError> {
        let now = self.parts.clock.now();
        match self.parts.security.exchange(held, now).await? {
            Exchanged::For(next) => {
                let text = guard.security.make(&next);
                text.ok_or_else(|| SignInError::Internal("the guard has no key for security cookies".into()))
            }
            Exchanged::Mismatch => Err(self.security_mismatch(guard, held.session).await?),
        }
    }

    /// Checks an old security cookie where it cannot be exchanged.
    ///
    /// # Errors
    /// As [`exchange_security`](Self::exchange_security).
    pub async fn check_security(&self, guard: &AuthGuard, held: &SecurityCookie) -> Result<(), SignInError> {
        let now = self.parts.clock.now();
        match self.parts.security.is_current(held, now).await? {
            true => Ok(()),
            false => Err(self.security_mismatch(guard, held.session).await?),
        }
    }

    /// Reports a request of a session by cookie whose security cookie is missing, cut, or another session's. Nothing is changed: who sends it may be anybody.
    pub fn security_missing(&self, guard: &AuthGuard, key: &PrincipalKey, session: SessionId) {
        events::security_invalid(guard, key, session, "missing, or not of this session");
    }

    async fn security_mismatch(&self, guard: &AuthGuard, session: SessionId) -> Result<SignInError, SignInError> {
        let Some((key, lives)) = self.parts.store.session_owner(session).await? else {
            return Ok(SignInError::SecurityTokenInvalid);
        };
        // It was told when the session ended.
        if !lives {
            return Ok(SignInError::SecurityTokenInvalid);
        }
        events::security_invalid(guard, &key, session, "not the current one");
        let mismatch = SecurityMismatch {
            guard: guard.name.clone(),
            key: key.clone(),
            session,
        };
        let reaction = match &self.parts.listener {
            Some(listener) => listener.security_mismatch(&mismatch).await,
            None => MismatchReaction::EndSession,
        };
        if reaction == MismatchReaction::EndSession {
            let one = EndSessions::One(session);
            self.end(&key, Some(guard), &one, "its security cookie was used twice")
                .await?;
        }
        Ok(SignInError::SecurityTokenInvalid)
    }
}
