//! Security events of staying signed in, for the target `bekci::audit`.

use bekci_core::{AuthGuard, PrincipalKey, SessionId};
use tracing::{info, warn};

use crate::{attempt::SignedIn, error::SignInError};

const TARGET: &str = "bekci::audit";

/// A token was used. What is no token of ours at all is no event.
pub(crate) fn recalled(guard: &AuthGuard, result: &Result<SignedIn, SignInError>) {
    match result {
        Ok(signed_in) => info!(
            target: TARGET,
            event = "sign_in.recalled",
            guard = guard.name.as_str(),
            principal = signed_in.key.as_str(),
            session = %signed_in.session,
        ),
        Err(SignInError::RememberInvalid | SignInError::RememberStolen) => {}
        Err(error) => warn!(
            target: TARGET,
            event = "sign_in.attempt",
            guard = guard.name.as_str(),
            way = "remembered",
            result = error.result().name(),
            number = error.result().number(),
            code = error.code().as_str(),
            reason = %error,
        ),
    }
}

/// A copy of a token was used; the session of its series has ended.
pub(crate) fn theft(guard: &AuthGuard, key: &PrincipalKey, session: SessionId) {
    let (guard, principal) = (guard.name.as_str(), key.as_str());
    warn!(target: TARGET, event = "remember_me.theft", guard, principal, %session);
    warn!(target: TARGET, event = "session.ended", guard, principal, %session, why = "a remember-me token was used twice");
}

/// A session by cookie was asked for with a security cookie that does not fit it.
pub(crate) fn security_invalid(guard: &AuthGuard, key: &PrincipalKey, session: SessionId, why: &'static str) {
    let (guard, principal) = (guard.name.as_str(), key.as_str());
    warn!(target: TARGET, event = "security_token.invalid", guard, principal, %session, why);
}
