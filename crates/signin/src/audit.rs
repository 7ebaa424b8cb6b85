//! Security events, for whoever listens to the target `bekci::audit`.
//!
//! Values go in as fields, never into the message, so that none of them can look like a line of its own. No event holds a secret; what was typed as an identifier
//! is told only as a keyed hash, since people type passwords there.

use bekci_core::{AuthGuard, CountedBy, Limit, LimitKey, PrincipalKey, RefreshOutcome, SessionId, signin::Refreshed};
use tracing::{info, warn};

use crate::{
    attempt::{Granted, SignedIn, TemporarySignIn},
    error::{AttemptResult, SignInError},
};

const TARGET: &str = "bekci::audit";

pub(crate) fn attempt(guard: &AuthGuard, way: &str, mark: &str, result: &Result<Granted, SignInError>) {
    let guard = guard.name.as_str();
    match result {
        Ok(granted) => info!(
            target: TARGET,
            event = "sign_in.attempt",
            guard,
            way,
            result = granted.result().name(),
            number = granted.result().number(),
            principal = granted.key().as_str(),
            session = %granted.session(),
            identifier_hash = mark,
        ),
        Err(error) => warn!(
            target: TARGET,
            event = "sign_in.attempt",
            guard,
            way,
            result = error.result().name(),
            number = error.result().number(),
            code = error.code().as_str(),
            reason = %error,
            identifier_hash = mark,
        ),
    }
}

/// A temporary identity that was not there before.
pub(crate) fn temporary(guard: &AuthGuard, temporary: &TemporarySignIn) {
    if temporary.result == AttemptResult::TemporaryAuthHasBeenCreated {
        info!(
            target: TARGET,
            event = "sign_in.temporary",
            guard = guard.name.as_str(),
            principal = temporary.key.as_str(),
            session = %temporary.session,
            expires_in_seconds = temporary.expires_in_seconds,
        );
    }
}

/// A temporary identity that became permanent, or what was presented as the reference of one.
pub(crate) fn verified(guard: &AuthGuard, way: &'static str, result: &Result<SignedIn, SignInError>) {
    match result {
        Ok(signed_in) => info!(
            target: TARGET,
            event = "sign_in.verified",
            guard = guard.name.as_str(),
            principal = signed_in.key.as_str(),
            session = %signed_in.session,
        ),
        Err(error) => beside(guard, way, None, Err(error)),
    }
}

/// Told once for each time that a limit fills, not for each attempt that it turns away.
pub(crate) fn limit_reached(guard: &AuthGuard, limit: Limit, by: CountedBy, key: &LimitKey) {
    warn!(
        target: TARGET,
        event = "limit.reached",
        guard = guard.name.as_str(),
        limit = limit.as_str(),
        by = by.as_str(),
        key = key.as_str(),
    );
}

/// A session without a credential, or a credential without a session.
pub(crate) fn beside(
    guard: &AuthGuard,
    way: &'static str,
    mark: Option<&str>,
    result: Result<(&PrincipalKey, AttemptResult), &SignInError>,
) {
    let guard = guard.name.as_str();
    match result {
        Ok((key, result)) => info!(
            target: TARGET,
            event = "sign_in.attempt",
            guard,
            way,
            result = result.name(),
            number = result.number(),
            principal = key.as_str(),
            identifier_hash = mark,
        ),
        Err(error) => warn!(
            target: TARGET,
            event = "sign_in.attempt",
            guard,
            way,
            result = error.result().name(),
            number = error.result().number(),
            code = error.code().as_str(),
            reason = %error,
            identifier_hash = mark,
        ),
    }
}

pub(crate) fn refreshed(guard: &AuthGuard, session: SessionId, refreshed: &Refreshed) {
    let guard = guard.name.as_str();
    let principal = refreshed.session.as_ref().map(|facts| facts.key.as_str());
    let banned = refreshed.banned.is_some();
    match refreshed.outcome {
        RefreshOutcome::Rotated { .. } => {
            info!(target: TARGET, event = "refresh.rotated", guard, principal, %session, banned);
        }
        RefreshOutcome::Replayed { .. } => {
            info!(target: TARGET, event = "refresh.replayed", guard, principal, %session, banned);
        }
        RefreshOutcome::Recovered { .. } => {
            warn!(target: TARGET, event = "refresh.recovered", guard, principal, %session, banned);
        }
        RefreshOutcome::Reused => {
            warn!(target: TARGET, event = "refresh.reused", guard, principal, %session, banned);
            warn!(target: TARGET, event = "session.ended", guard, principal, %session, why = "refresh token reused");
        }
        // Nothing happened: what a client sends at random is no event.
        RefreshOutcome::Invalid | RefreshOutcome::Expired => {}
    }
}

pub(crate) fn sessions_ended(guard: Option<&AuthGuard>, key: &PrincipalKey, ended: &[SessionId], why: &'static str) {
    let guard = guard.map(|guard| guard.name.as_str());
    for session in ended {
        info!(target: TARGET, event = "session.ended", guard, principal = key.as_str(), %session, why);
    }
}

pub(crate) fn unique(guard: &AuthGuard, key: &PrincipalKey, session: SessionId) {
    info!(
        target: TARGET,
        event = "session.unique",
        guard = guard.name.as_str(),
        principal = key.as_str(),
        %session,
    );
}

pub(crate) fn signed_out(
    guard: &AuthGuard,
    key: &PrincipalKey,
    session: Option<SessionId>,
    result: &Result<Vec<SessionId>, SignInError>,
) {
    let (ended, pending) = match result {
        Ok(ended) => (Some(ended.len()), false),
        // It holds, and which sessions it ended is not told.
        Err(SignInError::Pending { .. }) => (None, true),
        Err(_) => return,
    };
    info!(
        target: TARGET,
        event = "sign_out",
        guard = guard.name.as_str(),
        principal = key.as_str(),
        session = session.map(tracing::field::display),
        everywhere = session.is_none(),
        ended,
        pending,
    );
}

pub(crate) fn rehashed(guard: &AuthGuard, key: &PrincipalKey, result: &Result<bool, String>) {
    let (guard, principal) = (guard.name.as_str(), key.as_str());
    match result {
        Ok(true) => info!(target: TARGET, event = "password.rehashed", guard, principal),
        // Somebody set another password meanwhile.
        Ok(false) => {}
        Err(reason) => {
            warn!(target: "bekci::signin", guard, principal, %reason, "a weaker password hash was not replaced")
        }
    }
}
