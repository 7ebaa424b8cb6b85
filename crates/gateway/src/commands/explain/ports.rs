//! The ports that the gate is given for an explanation.

use std::sync::Arc;

use bekci_core::{
    AccessRequest, AuthGuard, Authorizer, BearerToken, BoxFuture, GuardName, Identity, IdentitySource, IdentityVersion,
    LiveSession, Need, PrincipalKey, SessionId, SourceUnavailable, Stamp, TenantName, Ticket, TokenFault, TokenId,
    TokenKind, TokenVerifier, Verdict, VerifiedClaims, View,
};
use parking_lot::Mutex;
use time::OffsetDateTime;

/// What was read of somebody, and what policy said.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) guard: GuardName,
    /// The tenant in which it was read.
    pub(super) tenant: Option<TenantName>,
    pub(super) view: View,
    pub(super) verdict: Option<Verdict>,
}

/// Where the ports put what they saw.
#[derive(Debug, Default)]
pub(super) struct Noted {
    view: Mutex<Option<(GuardName, Option<TenantName>, View)>>,
    verdict: Mutex<Option<Verdict>>,
}

impl Noted {
    pub(super) fn take(&self) -> Option<Seen> {
        let (guard, tenant, view) = self.view.lock().take()?;
        Some(Seen {
            guard,
            tenant,
            view,
            verdict: self.verdict.lock().take(),
        })
    }
}

/// Identities as they are, read anew, noted, and never marked as used: to look at a token must not look like its use.
#[derive(Debug)]
pub(super) struct Noting {
    inner: Arc<dyn IdentitySource>,
    session: Option<LiveSession>,
    noted: Arc<Noted>,
}

impl Noting {
    /// `session`: one that is added, for a principal without a token.
    pub(super) fn new(inner: Arc<dyn IdentitySource>, session: Option<LiveSession>, noted: Arc<Noted>) -> Self {
        Self { inner, session, noted }
    }

    fn with_session(&self, identity: &Arc<Identity>) -> Arc<Identity> {
        let Some(session) = &self.session else {
            return Arc::clone(identity);
        };
        let mut identity = Identity::clone(identity);
        let mut sessions = identity.sessions.into_vec();
        sessions.push(session.clone());
        identity.sessions = sessions.into();
        Arc::new(identity)
    }

    async fn read_and_note(&self, need: &Need<'_>, ticket: Ticket) -> Result<View, SourceUnavailable> {
        let mut view = self.inner.read(need, ticket).await?;
        view.identity = self.with_session(&view.identity);
        view.policy = view.policy.map(|inner| -> Arc<dyn Authorizer> {
            Arc::new(NotingPolicy {
                inner,
                noted: Arc::clone(&self.noted),
            })
        });
        *self.noted.view.lock() = Some((need.guard.clone(), need.tenant.cloned(), view.clone()));
        Ok(view)
    }
}

impl IdentitySource for Noting {
    fn ticket(&self) -> Ticket {
        self.inner.ticket()
    }

    fn warm(&self, _need: &Need<'_>) -> Option<View> {
        None
    }

    fn read<'a>(&'a self, need: &'a Need<'a>, ticket: Ticket) -> BoxFuture<'a, Result<View, SourceUnavailable>> {
        Box::pin(self.read_and_note(need, ticket))
    }

    fn unmoved(&self, stamp: &Stamp) -> bool {
        self.inner.unmoved(stamp)
    }

    fn used(&self, _view: &View, _session: SessionId, _generation: u32) {}
}

#[derive(Debug)]
struct NotingPolicy {
    inner: Arc<dyn Authorizer>,
    noted: Arc<Noted>,
}

impl Authorizer for NotingPolicy {
    fn decide(&self, request: &AccessRequest<'_>) -> Verdict {
        let verdict = self.inner.decide(request);
        *self.noted.verdict.lock() = Some(verdict.clone());
        verdict
    }
}

/// Judges whatever is presented as a token of one principal that signed in just now.
#[derive(Debug)]
pub(super) struct AsPrincipal(Arc<VerifiedClaims>);

impl AsPrincipal {
    pub(super) fn new(key: &PrincipalKey, guard: &AuthGuard, now: OffsetDateTime) -> Self {
        let now = now.unix_timestamp();
        Self(Arc::new(VerifiedClaims {
            kind: TokenKind::Access,
            guard: guard.name.clone(),
            key: key.clone(),
            session: TokenId([0; 16]),
            generation: 0,
            version: IdentityVersion(0),
            tenant: None,
            id: TokenId([0; 16]),
            issued_at: now,
            expires_at: now.saturating_add(60),
        }))
    }

    /// The session that its token would live by.
    pub(super) fn session(&self) -> LiveSession {
        LiveSession {
            id: self.0.session,
            guard: self.0.guard.clone(),
            min_generation: 0,
            authenticated_at: self.0.issued_at,
            expires_at: None,
            way: "explained".into(),
            remembered: false,
        }
    }
}

impl TokenVerifier for AsPrincipal {
    fn guard_of(&self, _token: BearerToken<'_>) -> Result<GuardName, TokenFault> {
        Ok(self.0.guard.clone())
    }

    fn verify(
        &self,
        guard: &GuardName,
        _kind: TokenKind,
        _token: BearerToken<'_>,
    ) -> Result<Arc<VerifiedClaims>, TokenFault> {
        match *guard == self.0.guard {
            true => Ok(Arc::clone(&self.0)),
            false => Err(TokenFault::OtherGuard),
        }
    }
}
