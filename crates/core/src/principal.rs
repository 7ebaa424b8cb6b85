//! The third step: may this principal be let in at all?
//!
//! In this order, since a principal that is gone or whose session has ended is told nothing more:
//!
//! 1. The account exists.
//! 2. The session that the token names lives, was opened through the token's guard, and is not past its absolute end.
//!    A temporary token lives by a session that waits for its verification, any other token by one that does not.
//! 3. The token's generation was not taken back.
//! 4. Neither token nor session is blocked.
//! 5. The account is not banned; a ban whose end has passed is none.
//! 6. Its status is one that its model knows: one that neither bans nor lets in may be a misspelt ban.

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use crate::{
    authorize::{AccessRequest, Verdict},
    error::AuthError,
    guard::AuthGuard,
    identity::{Identity, LiveSession, source::View},
    name::{Permission, RoleName, TenantName},
    rights::Held,
    token::{TokenKind, VerifiedClaims},
};

/// Who acts, as of now: a view that was confirmed against a token.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The guard that let it in.
    pub guard: Arc<AuthGuard>,
    /// What its token says.
    pub claims: Arc<VerifiedClaims>,
    /// Who it is now.
    pub view: View,
    /// The tenant asked about, to which it belongs.
    pub tenant: Option<TenantName>,
}

impl Principal {
    /// Whether its sign-in still waits for its verification. It holds no right then.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.claims.kind == TokenKind::Temporary
    }

    /// The rights that it holds here; none, where it is temporary.
    #[must_use]
    pub fn held(&self) -> Held<'_> {
        Held {
            identity: &self.view.identity,
            guard: &self.guard.name,
            tenant: self.tenant.as_ref(),
            roles: &self.view.roles,
            in_force: !self.is_temporary(),
        }
    }

    /// The session that it acts in.
    #[must_use]
    pub fn session(&self) -> Option<&LiveSession> {
        self.view.identity.session(self.claims.session, &self.guard.name)
    }

    /// Whether it holds the permission here.
    #[must_use]
    pub fn can(&self, permission: &Permission) -> bool {
        self.held().can(permission)
    }

    /// Whether it holds the role here.
    #[must_use]
    pub fn has_role(&self, role: &RoleName) -> bool {
        self.held().has_role(role)
    }

    /// Asks the policies: may this principal, with the roles that it holds here, do `action` to `object`?
    ///
    /// # Errors
    /// [`AuthError::PolicyDenied`], also where no policy was read with the view: see [`RouteRule`](crate::RouteRule).
    pub fn ask_policy(&self, object: &str, action: &str) -> Result<(), AuthError> {
        if self.is_temporary() {
            return Err(AuthError::PolicyDenied("who is not verified yet has no rights".into()));
        }
        let Some(policy) = self.view.policy.as_ref() else {
            return Err(AuthError::PolicyDenied("no policy is loaded".into()));
        };
        let roles = self.held().role_names();
        let request = AccessRequest {
            principal: &self.view.identity.key,
            guard: &self.guard.name,
            roles: &roles,
            tenant: self.tenant.as_ref(),
            object,
            action,
        };
        match policy.decide(&request) {
            Verdict::Allow { .. } => Ok(()),
            Verdict::Deny { reason } => Err(AuthError::PolicyDenied(reason)),
        }
    }

    /// Whether somebody proved who they are within the last `age`; a remembered session is never fresh, nor one that is not verified yet.
    #[must_use]
    pub fn is_fresh(&self, age: Duration, now: OffsetDateTime) -> bool {
        self.session().is_some_and(|session| {
            !session.remembered
                && !session.is_temporary()
                && now.unix_timestamp().saturating_sub(session.authenticated_at) <= age.whole_seconds()
        })
    }
}

/// Confirms that the token's principal may be let in, by the rules in the module's documentation.
///
/// # Errors
/// The [`AuthError`] of the first rule that refuses.
pub fn confirm(identity: &Identity, claims: &VerifiedClaims, now: OffsetDateTime) -> Result<(), AuthError> {
    if !identity.exists {
        return Err(AuthError::IdentityNotFound);
    }
    let session = identity
        .session(claims.session, &claims.guard)
        .ok_or(AuthError::SessionEnded)?;
    if session.is_temporary() != (claims.kind == TokenKind::Temporary) {
        return Err(AuthError::SessionEnded);
    }
    if session.expires_at.is_some_and(|end| now.unix_timestamp() >= end) {
        return Err(AuthError::SessionEnded);
    }
    if claims.generation < session.min_generation {
        return Err(AuthError::GenerationRetired);
    }
    let blocked = identity.blocks.iter().find(|block| {
        (block.jti == Some(claims.id) || block.sid == Some(claims.session))
            && block.until.is_none_or(|until| now < until)
    });
    if let Some(block) = blocked {
        return Err(AuthError::TokenBlocked {
            reason: block.reason.clone(),
            until: block.until,
        });
    }
    let_in(identity, now)
}

/// Whether an account is banned now: its status bans, and no end of the ban has passed.
#[must_use]
pub fn is_banned(identity: &Identity, now: OffsetDateTime) -> bool {
    let until = identity.ban.as_ref().and_then(|ban| ban.until);
    identity.banned && until.is_none_or(|until| now < until)
}

/// Refuses an account that is banned, or whose status nobody knows; shared by every way in.
///
/// # Errors
/// [`AuthError::AccountBanned`] with reason and end; [`AuthError::AccountInactive`].
pub fn let_in(identity: &Identity, now: OffsetDateTime) -> Result<(), AuthError> {
    if is_banned(identity, now) {
        let ban = identity.ban.as_ref();
        return Err(AuthError::AccountBanned {
            reason: ban.and_then(|ban| ban.reason.clone()),
            until: ban.and_then(|ban| ban.until),
        });
    }
    if identity.inactive {
        return Err(AuthError::AccountInactive);
    }
    Ok(())
}
