//! Temporary identities: what a right credential gives where a verification is asked, and how that becomes a session.
//!
//! 1. The credential is judged as ever; wrong ones, bans and limits are answered as ever.
//! 2. What is right gives a temporary identity, which holds no right, and a reference. The next right attempt meanwhile is given the same one, with -5.
//! 3. The application sends a code on a channel of its own and checks it. Then it names the reference, once, and the session opens: no password, no hash.
//! 4. At a guard with [`Verification::Email`] the code is mailed with the temporary identity, and [`Accounts::confirm_verification`](crate::Accounts::confirm_verification)
//!    checks it.

use std::sync::Arc;

use bekci_core::{
    AccessClaims, AuthGuard, PrincipalKey, SessionId, TokenKind, Verification,
    mail::MailLanguage,
    signin::{Confirmation, NewSession, Opened, OpenedTemporary, Temporary},
};
use secrecy::SecretString;
use serde_json::Map;
use time::OffsetDateTime;

use super::{FIRST_GENERATION, SignIn, banned, unverified_hash};
use crate::{
    attempt::{IssueOrder, SignedIn, SignedInBy, TemporarySignIn},
    audit,
    error::{AttemptResult, SignInError},
    verification_ref,
};

/// The name of this way in.
const VERIFICATION: &str = "verification";

impl SignIn {
    /// Opens a temporary identity and makes its token. `None`: the hash that was verified is no longer the account's.
    pub(super) async fn wait_for_verification(
        &self,
        session: NewSession,
        (verification, language): (Verification, MailLanguage),
    ) -> Result<Option<TemporarySignIn>, SignInError> {
        let guard = Arc::clone(&session.guard);
        let expires_at = session.now.saturating_add(guard.temporary_ttl);
        let opened = match (verification, &self.parts.codes) {
            (Verification::Email, Some(codes)) => {
                let named = (session.id, session.now);
                let code = codes.for_temporary(&*self.parts.entropy, &guard, named, language)?;
                codes.store.open_temporary(&session, expires_at, &code).await?
            }
            (Verification::Email, None) => {
                let why = format!(
                    "guard {guard} verifies sign-ins by mail, and no mails are sent",
                    guard = guard.name
                );
                return Err(SignInError::Internal(why.into()));
            }
            (Verification::Off | Verification::Custom, _) => {
                self.parts.store.open_temporary(&session, expires_at).await?
            }
        };
        self.told_of_holding(&guard, session.key, opened)
    }

    /// The temporary identity and its token, or why there is none; `None` as in `wait_for_verification`.
    pub(super) fn told_of_holding(
        &self,
        guard: &AuthGuard,
        key: PrincipalKey,
        opened: OpenedTemporary,
    ) -> Result<Option<TemporarySignIn>, SignInError> {
        let temporary = match opened {
            OpenedTemporary::Open(temporary) => temporary,
            OpenedTemporary::Banned(ban) => return Err(banned(ban)),
            OpenedTemporary::Inactive => return Err(SignInError::Inactive),
            OpenedTemporary::Unverified => return Err(SignInError::Unverified),
            OpenedTemporary::NotInTenant(tenant) => return Err(SignInError::NotInTenant(tenant)),
            OpenedTemporary::HashChanged => return Ok(None),
            OpenedTemporary::Gone => return Err(SignInError::CredentialInvalid),
        };
        self.temporary(guard, key, temporary).map(Some)
    }

    fn temporary(
        &self,
        guard: &AuthGuard,
        key: PrincipalKey,
        temporary: Temporary,
    ) -> Result<TemporarySignIn, SignInError> {
        let issued_at = self.parts.clock.now().unix_timestamp();
        let expires_at = temporary.expires_at.unix_timestamp();
        let claims = AccessClaims {
            kind: TokenKind::Temporary,
            key: key.clone(),
            session: temporary.id,
            generation: FIRST_GENERATION,
            version: temporary.version,
            tenant: temporary.tenant.clone(),
            id: self.random_id()?,
            issued_at,
            expires_at,
            // The developer's own claims are said of who is verified.
            extra: Map::new(),
        };
        Ok(TemporarySignIn {
            token: self.parts.issuer.issue(&guard.name, &claims)?,
            verification_ref: self.verification_ref(guard, temporary.id),
            key,
            session: temporary.id,
            result: if temporary.was_there {
                AttemptResult::FailureUnverified
            } else {
                AttemptResult::TemporaryAuthHasBeenCreated
            },
            expires_at: OffsetDateTime::from_unix_timestamp(expires_at)
                .map_err(|error| SignInError::Internal(error.to_string().into()))?,
            expires_in_seconds: expires_at.saturating_sub(issued_at),
            tenant: temporary.tenant,
        })
    }

    /// The reference of the sign-in for which this temporary session stands; whether it waits still is not asked.
    #[must_use]
    pub fn verification_ref(&self, guard: &AuthGuard, temporary: SessionId) -> SecretString {
        verification_ref::make(&self.parts.root, &guard.name, temporary)
    }

    /// Makes a temporary identity permanent: the application has checked its own code. Of two calls one succeeds. The session has the device and the tenant of the attempt;
    /// when this returns, no node takes the temporary token any more.
    ///
    /// # Errors
    /// [`SignInError::VerificationInvalid`] for what is no reference of this guard, or none that waits still; [`SignInError::Banned`] and
    /// [`SignInError::NotInTenant`], by which it is not used up; [`SignInError::StoreUnavailable`] and [`SignInError::Pending`] where it cannot be told;
    /// [`SignInError::Internal`].
    pub async fn confirm_verified(
        &self,
        guard: &Arc<AuthGuard>,
        verification_ref: &str,
    ) -> Result<SignedIn, SignInError> {
        let result = self.try_confirm(guard, verification_ref).await;
        self.tell_verified(guard, &result);
        result
    }

    pub(super) fn tell_verified(&self, guard: &AuthGuard, result: &Result<SignedIn, SignInError>) {
        let name = result
            .as_ref()
            .map_or_else(SignInError::result, |_| AttemptResult::Success);
        self.parts.meter.signed_in(&guard.name, VERIFICATION, name.name());
        audit::verified(guard, VERIFICATION, result);
    }

    /// What makes the temporary identity of a reference permanent.
    pub(super) fn confirmation(
        &self,
        guard: &Arc<AuthGuard>,
        verification_ref: &str,
    ) -> Result<Confirmation, SignInError> {
        let named = verification_ref::parse(&self.parts.root, &guard.name, verification_ref);
        Ok(Confirmation {
            guard: Arc::clone(guard),
            temporary: named.ok_or(SignInError::VerificationInvalid)?,
            id: self.random_id()?,
            now: self.parts.clock.now(),
        })
    }

    async fn try_confirm(&self, guard: &Arc<AuthGuard>, verification_ref: &str) -> Result<SignedIn, SignInError> {
        let order = self.confirmation(guard, verification_ref)?;
        let confirmed = self.parts.store.confirm_temporary(&order).await?;
        let confirmed = confirmed.ok_or(SignInError::VerificationInvalid)?;
        self.permanent(&order, confirmed).await
    }

    /// The tokens of the session that came of a temporary identity.
    pub(super) async fn permanent(
        &self,
        order: &Confirmation,
        (key, opened): (PrincipalKey, Opened),
    ) -> Result<SignedIn, SignInError> {
        let guard = &order.guard;
        let facts = self.told_of_opening(guard, key, (order.id, order.now), opened);
        let facts = facts.map_err(|error| match error {
            // The account is gone: nothing waits for it any more.
            SignInError::CredentialInvalid => SignInError::VerificationInvalid,
            other => other,
        })?;
        let facts = facts.ok_or_else(unverified_hash)?;
        self.give(guard, order.id, FIRST_GENERATION, facts, SignedInBy::Verified)
            .await
    }

    /// Opens a temporary identity for somebody whom the application vouches for, as where its first step was not a password of Bekci's.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub async fn issue_temporary(
        &self,
        guard: &Arc<AuthGuard>,
        key: &PrincipalKey,
        order: IssueOrder,
    ) -> Result<TemporarySignIn, SignInError> {
        // A guard without a verification leaves it to the application.
        let asked = match guard.verification {
            Verification::Off => (Verification::Custom, order.language),
            verification => (verification, order.language),
        };
        let result = match self.issued_session(guard, key, order) {
            Ok(session) => match self.wait_for_verification(session, asked).await {
                Ok(opened) => opened.ok_or_else(unverified_hash),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        audit::beside(
            guard,
            "issued",
            None,
            result.as_ref().map(|temporary| (&temporary.key, temporary.result)),
        );
        if let Ok(temporary) = &result {
            audit::temporary(guard, temporary);
        }
        result
    }
}
