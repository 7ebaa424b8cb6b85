//! What was let in once and goes on, as a WebSocket does: may it still?
//!
//! 1. While nothing has changed that it rests on, and memory is trusted, it goes on. Looking costs no I/O, so that it can be done often.
//! 2. Else the identity is read as for a request: the account exists and is not banned, the session lives, nothing is blocked, and everything that the route asks is
//!    held still, a policy's consent included.
//! 3. That the token's time is over ends nothing, nor that the sign-in is not fresh any more: both were judged when it began, and the session stands for them.
//! 4. Where it cannot be told, it does not go on.

use std::sync::Arc;

use crate::{
    error::AuthError,
    gate::Gate,
    identity::source::Need,
    principal::{Principal, confirm},
    rule::RouteRule,
};

/// Something that was let in, and by what.
#[derive(Clone, Debug)]
pub struct Lasting {
    /// The one that the principal's view was read by.
    gate: Gate,
    principal: Principal,
    rule: Arc<RouteRule>,
    method: Box<str>,
    path: Box<str>,
}

impl Lasting {
    /// What this gate let in, by this rule, for a request of this method and path.
    #[must_use]
    pub fn new(gate: Gate, principal: Principal, rule: Arc<RouteRule>, method: &str, path: &str) -> Self {
        Self {
            gate,
            principal,
            rule,
            method: method.into(),
            path: path.into(),
        }
    }

    /// Who was let in.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whether it goes on, as far as memory can tell: without I/O and without waiting. `None`: something may have changed, see [`Lasting::look`]. `gate`: the one that
    /// decides now, which is another one after a reload.
    #[must_use]
    pub fn at_a_glance(&self, gate: &Gate) -> Option<Result<(), AuthError>> {
        let identities = &self.gate.parts().identities;
        let is_as_it_was =
            Arc::ptr_eq(identities, &gate.parts().identities) && identities.unmoved(&self.principal.view.stamp);
        let now = gate.parts().clock.now();
        // Sessions and bans end by the clock, too.
        is_as_it_was.then(|| confirm(&self.principal.view.identity, &self.principal.claims, now))
    }

    /// Whether it goes on, by a read like any request's.
    ///
    /// # Errors
    /// Why it does not; [`AuthError::StoreUnavailable`] where that cannot be told.
    pub async fn look(&mut self, gate: &Gate) -> Result<(), AuthError> {
        let parts = gate.parts();
        let ticket = parts.identities.ticket();
        let need = Need {
            key: &self.principal.claims.key,
            guard: &self.principal.guard.name,
            tenant: self.principal.tenant.as_ref(),
            at_least: self.principal.claims.version,
            policy: self.rule.policy,
            consistency: self.rule.consistency,
        };
        let read = parts.identities.read(&need, ticket).await;
        let view = read.map_err(|error| AuthError::StoreUnavailable(error.0.into()))?;
        self.gate = gate.clone();
        self.principal.view = view;
        confirm(&self.principal.view.identity, &self.principal.claims, parts.clock.now())?;
        self.rule.still_held(&self.principal, &self.method, &self.path)
    }
}
