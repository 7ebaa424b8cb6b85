//! Remember-me: a token opens a session without a password.
//!
//! 1. A token whose MAC does not fit touches no store and no series. What a good one means is judged by the store on the row of its series.
//! 2. The account is judged as at every sign-in, in the transaction that opens the session: ban, status, verified address, tenant.
//! 3. Refusals are counted as those of refresh tokens are: by address, and by series where the MAC says that the token is ours.
//! 4. The session is `remembered`: it is never fresh.

use std::{net::IpAddr, sync::Arc};

use bekci_core::{
    AuthGuard, Limit, VerifiedClaims,
    remember::{Forget, NewSeries, RecallOrder, Recalled, SeriesId, SeriesToken},
};
use time::OffsetDateTime;

use super::{FIRST_GENERATION, SignIn, limits::Named, unverified_hash};
use crate::{
    attempt::{RememberToken, SignedIn, SignedInBy, SignedOut},
    error::{AttemptResult, SignInError},
    remember_token::RememberTokens,
    stay_events as events,
};

/// The name of this way in.
const REMEMBERED: &str = "remembered";

/// A remember-me token that is presented.
#[derive(Clone, Copy, Debug)]
pub struct RecallAttempt<'a> {
    /// The token.
    pub token: &'a str,
    /// The address that the client is believed to have.
    pub client: Option<IpAddr>,
}

impl SignIn {
    fn remember_tokens(&self, guard: &AuthGuard) -> RememberTokens {
        RememberTokens::new(&self.parts.root, &guard.name)
    }

    pub(super) fn new_series(&self, guard: &AuthGuard, now: OffsetDateTime) -> Result<NewSeries, SignInError> {
        Ok(NewSeries {
            id: self.random_id()?,
            expires_at: now.saturating_add(guard.session.remember),
        })
    }

    pub(super) fn remember_token(&self, guard: &AuthGuard, series: SeriesToken) -> RememberToken {
        RememberToken {
            token: self.remember_tokens(guard).make(series.series, series.generation),
            expires_at: series.expires_at,
        }
    }

    /// The series that a remember-me token of this guard names; whether it lives is not asked.
    #[must_use]
    pub fn series_of(&self, guard: &AuthGuard, token: &str) -> Option<SeriesId> {
        self.remember_tokens(guard).parse(token).map(|(series, _)| series)
    }

    /// Signs in by a remember-me token, and gives the next one. Of any number of calls with one token, one opens a session; the others, within 10 s, are given the same
    /// session and the same next token.
    ///
    /// # Errors
    /// [`SignInError::RememberInvalid`]; [`SignInError::RememberStolen`] for a token that was used before, by which the series and its session end;
    /// [`SignInError::Banned`], [`SignInError::Inactive`], [`SignInError::Unverified`] and [`SignInError::NotInTenant`]; [`SignInError::RateLimited`] where too many
    /// were refused; [`SignInError::StoreUnavailable`] and [`SignInError::Pending`] where it cannot be told; [`SignInError::Internal`].
    pub async fn recall(&self, guard: &Arc<AuthGuard>, attempt: RecallAttempt<'_>) -> Result<SignedIn, SignInError> {
        let result = self.limited_recall(guard, attempt).await;
        let name = result
            .as_ref()
            .map_or_else(SignInError::result, |_| AttemptResult::Success)
            .name();
        self.parts.meter.signed_in(&guard.name, REMEMBERED, name);
        events::recalled(guard, &result);
        result
    }

    async fn limited_recall(
        &self,
        guard: &Arc<AuthGuard>,
        attempt: RecallAttempt<'_>,
    ) -> Result<SignedIn, SignInError> {
        let named = self.remember_tokens(guard).parse(attempt.token);
        let series = named.map(|(series, _)| series.to_string());
        let series = series.as_deref().map(Named::Session);
        let counted = self.counted(guard, Limit::Refresh, attempt.client, series)?;
        self.within(guard, &counted, self.try_recall(guard, named)).await
    }

    async fn try_recall(
        &self,
        guard: &Arc<AuthGuard>,
        named: Option<(SeriesId, u32)>,
    ) -> Result<SignedIn, SignInError> {
        let now = self.parts.clock.now();
        let (series, generation) = named.ok_or(SignInError::RememberInvalid)?;
        let order = RecallOrder {
            guard: Arc::clone(guard),
            series,
            generation,
            session: self.random_id()?,
            now,
        };
        match self.parts.remembered.recall(&order).await? {
            Recalled::Opened(key, opened) => {
                let facts = self.told_of_opening(guard, key, (order.session, now), opened);
                let facts = facts.map_err(|error| match error {
                    // The account is gone, and its series with it.
                    SignInError::CredentialInvalid => SignInError::RememberInvalid,
                    other => other,
                })?;
                let facts = facts.ok_or_else(unverified_hash)?;
                self.give(guard, order.session, FIRST_GENERATION, facts, SignedInBy::Remembered)
                    .await
            }
            Recalled::Again {
                session,
                generation,
                facts,
            } => {
                self.give(guard, session, generation, facts, SignedInBy::Remembered)
                    .await
            }
            Recalled::Stolen(key, session) => {
                events::theft(guard, &key, session);
                Err(SignInError::RememberStolen)
            }
            Recalled::Invalid | Recalled::Expired => Err(SignInError::RememberInvalid),
        }
    }

    /// Ends remember-me series at a guard, and no session; gives how many there were.
    ///
    /// # Errors
    /// [`SignInError::StoreUnavailable`].
    pub async fn forget(&self, guard: &AuthGuard, which: &Forget) -> Result<u64, SignInError> {
        Ok(self.parts.remembered.forget(guard, which).await?)
    }

    /// As [`sign_out`](Self::sign_out), and the browser stays remembered: its next token opens a session.
    ///
    /// # Errors
    /// As `sign_out`.
    pub async fn sign_out_remembered(
        &self,
        guard: &Arc<AuthGuard>,
        access: Option<&VerifiedClaims>,
        refresh: Option<&str>,
    ) -> Result<SignedOut, SignInError> {
        let (session, key) = self.named_by(guard, access, refresh).await?;
        let Some(key) = key else {
            return Ok(SignedOut {
                session,
                key: None,
                ended_now: false,
            });
        };
        let now = self.parts.clock.now();
        let ended = self.parts.remembered.end_but_remember(guard, &key, session, now).await;
        let ended = ended.map_err(SignInError::from);
        self.tell_signed_out(guard, (&key, session), &ended);
        Ok(SignedOut {
            session,
            ended_now: ended?.contains(&session),
            key: Some(key),
        })
    }
}
