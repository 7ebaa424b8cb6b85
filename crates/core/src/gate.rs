//! The pipeline: the only caller of the four steps.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    authorize::Permit,
    clock::Clock,
    error::AuthError,
    guard::{AuthGuard, GuardOutcome, check_origin},
    identity::source::{IdentitySource, Need, View, ViewSource},
    name::TenantName,
    principal::{Principal, confirm},
    remembered::{self, Kept, Question},
    request::{HeaderCredential, RequestHead},
    rule::{Consistency, RouteKind, RouteRule},
    security,
    token::{TokenKind, TokenVerifier, VerifiedClaims},
};

/// A view from memory that moved while it was looked at is looked at again this often before the database is asked.
const TRIES_IN_MEMORY: u32 = 3;

/// The ports that a gate decides by.
#[derive(Clone, Debug)]
pub struct GateParts {
    /// Judges tokens.
    pub verifier: Arc<dyn TokenVerifier>,
    /// Knows identities.
    pub identities: Arc<dyn IdentitySource>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Decides about requests. Cheap to clone; built once and shared by all workers.
#[derive(Clone, Debug)]
pub struct Gate {
    parts: GateParts,
    /// What its remembered admissions are known by; clones have the same.
    serial: u64,
}

/// The serial of the next gate. 0 is of none.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What came out for a request that is let through.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Who acts; `None` on a route for anybody or for guests.
    pub principal: Option<Principal>,
    /// The proof.
    pub permit: Permit,
}

/// Who asked, as far as a token proved it, where the request was refused all the same.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The guard that judged the token.
    pub guard: Arc<AuthGuard>,
    /// What the token says.
    pub claims: Arc<VerifiedClaims>,
    /// The tenant that was asked about.
    pub tenant: Option<TenantName>,
    /// Where the identity came from; `None` where none was read.
    pub source: Option<ViewSource>,
}

/// A request that was not let through: the one reason, and who asked.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The one reason, the same in answer, log and metric.
    pub error: AuthError,
    /// `None` where no token was good.
    pub claimed: Option<Box<Claimed>>,
}

impl From<AuthError> for Denial {
    fn from(error: AuthError) -> Self {
        Self { error, claimed: None }
    }
}

impl Gate {
    /// A gate over these ports.
    #[must_use]
    pub fn new(parts: GateParts) -> Self {
        Self {
            parts,
            serial: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// A gate over the same ports that remembers none of the admissions of this one.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::new(self.parts.clone())
    }

    /// The ports.
    #[must_use]
    pub fn parts(&self) -> &GateParts {
        &self.parts
    }

    /// Lets a request through or says why not. All I/O is in the second step, and where memory answers there is none.
    ///
    /// # Errors
    /// The one [`AuthError`] that refuses; [`AuthError::StoreUnavailable`] where it cannot be told.
    pub async fn admit(&self, head: &RequestHead<'_>, rule: &RouteRule) -> Result<Admission, AuthError> {
        self.decide(head, rule).await.map_err(|denial| denial.error)
    }

    /// The same, and where it says no, who asked: for logs and metrics.
    ///
    /// # Errors
    /// As [`Gate::admit`].
    pub async fn decide(&self, head: &RequestHead<'_>, rule: &RouteRule) -> Result<Admission, Denial> {
        if rule.kind == RouteKind::Public {
            return Ok(Admission {
                principal: None,
                permit: Permit::granted(),
            });
        }
        let ticket = self.parts.identities.ticket();
        let (guard, claims, by_cookie) = match self.authenticate(head, rule) {
            GuardOutcome::Authenticated {
                guard,
                claims,
                by_cookie,
            } => (guard, claims, by_cookie),
            GuardOutcome::NotPresented if rule.kind == RouteKind::Guest => {
                return Ok(Admission {
                    principal: None,
                    permit: Permit::granted(),
                });
            }
            GuardOutcome::NotPresented => return Err(AuthError::TokenMissing.into()),
            GuardOutcome::Rejected(error) | GuardOutcome::Unavailable(error) => return Err(error.into()),
        };
        let denied = |error, tenant: Option<&TenantName>, source| Denial {
            error,
            claimed: Some(Box::new(Claimed {
                guard: Arc::clone(&guard),
                claims: Arc::clone(&claims),
                tenant: tenant.cloned(),
                source,
            })),
        };
        if by_cookie {
            check_origin(head, &guard, claims.session).map_err(|error| denied(error, None, None))?;
            self.check_security(head, &guard, &claims)
                .map_err(|error| denied(error, None, None))?;
        }
        let tenant = head.tenant.with(&claims);
        let tenant =
            tenant.map_err(|asked| denied(AuthError::NotInTenant(asked.as_str().into()), Some(asked), None))?;
        let need = Need {
            key: &claims.key,
            guard: &guard.name,
            tenant,
            at_least: claims.version,
            policy: rule.policy || rule.policy_at_hand,
            consistency: rule.consistency,
        };
        let mut tries = 0;
        loop {
            let memory = (rule.consistency == Consistency::L1 && tries < TRIES_IN_MEMORY)
                .then(|| self.parts.identities.warm(&need))
                .flatten();
            let view = match memory {
                Some(view) => view,
                None => self
                    .parts
                    .identities
                    .read(&need, ticket)
                    .await
                    .map_err(|error| denied(AuthError::StoreUnavailable(error.0.into()), tenant, None))?,
            };
            let (from, stamp) = (view.source, view.stamp);
            let decided = self.judge(head, rule, (&guard, &claims, tenant), view);
            if from != ViewSource::L1 || self.parts.identities.unmoved(&stamp) {
                return decided.map_err(|error| denied(error, tenant, Some(from)));
            }
            tries += 1;
        }
    }

    /// As [`Gate::decide`], and where this thread remembers an admission of the same kind that still counts, by that one. See the module `remembered` of this crate.
    ///
    /// # Errors
    /// As [`Gate::admit`].
    pub async fn decide_again(&self, head: &RequestHead<'_>, rule: &Arc<RouteRule>) -> Result<Admission, Denial> {
        let Some(question) = Question::of(self.serial, head, rule) else {
            return self.decide(head, rule).await;
        };
        if let Some(admission) = remembered::find(&question, |kept| self.is_good(kept)) {
            return Ok(admission);
        }
        let admission = self.decide(head, rule).await?;
        if let Some(principal) = &admission.principal
            && principal.view.source == ViewSource::L1
            && let HeaderCredential::Bearer(token) = head.authorization
            && let Some(standing) = self.parts.verifier.standing(token, &principal.claims)
        {
            remembered::keep(&question, &admission, standing);
        }
        Ok(admission)
    }

    /// Whether a new decision would come to the same, as far as memory can tell. Then its use is noted.
    fn is_good(&self, kept: &Kept) -> bool {
        let Some(principal) = &kept.admission.principal else {
            return false;
        };
        let (claims, identities) = (&principal.claims, &self.parts.identities);
        self.parts.verifier.stands(&kept.standing)
            && confirm(&principal.view.identity, claims, self.parts.clock.now()).is_ok()
            && identities.used_again(&principal.view, claims.session, claims.generation)
    }

    /// A session by cookie has a second one, which was exchanged before if it had to be. A temporary identity has none.
    fn check_security(
        &self,
        head: &RequestHead<'_>,
        guard: &AuthGuard,
        claims: &VerifiedClaims,
    ) -> Result<(), AuthError> {
        if claims.kind == TokenKind::Temporary {
            return Ok(());
        }
        let now = self.parts.clock.now();
        if let Some(seen) = security::check(head, guard, claims.session, now)?
            && seen.generation > 0
        {
            self.parts.identities.security_seen(seen.session, seen.generation);
        }
        Ok(())
    }

    /// The first step.
    fn authenticate(&self, head: &RequestHead<'_>, rule: &RouteRule) -> GuardOutcome {
        let verifier = &*self.parts.verifier;
        match rule.kind {
            RouteKind::Unverified => rule.guards.authenticate_unverified(head, verifier),
            RouteKind::Public | RouteKind::Authorized | RouteKind::Fresh(_) | RouteKind::Guest => {
                rule.guards.authenticate(head, verifier)
            }
        }
    }

    /// Steps three and four, on one view.
    fn judge(
        &self,
        head: &RequestHead<'_>,
        rule: &RouteRule,
        (guard, claims, tenant): (&Arc<AuthGuard>, &Arc<VerifiedClaims>, Option<&TenantName>),
        view: View,
    ) -> Result<Admission, AuthError> {
        let now = self.parts.clock.now();
        confirm(&view.identity, claims, now)?;
        if rule.kind == RouteKind::Guest {
            return Err(AuthError::GuestsOnly);
        }
        let principal = Principal {
            guard: Arc::clone(guard),
            claims: Arc::clone(claims),
            view,
            tenant: tenant.cloned(),
        };
        rule.decide(&principal, head, now)?;
        self.parts
            .identities
            .used(&principal.view, claims.session, claims.generation);
        Ok(Admission {
            principal: Some(principal),
            permit: Permit::granted(),
        })
    }

    /// Whether what an admission rests on still stands: looked at just before a request is forwarded.
    #[must_use]
    pub fn still_stands(&self, admission: &Admission) -> bool {
        match &admission.principal {
            Some(principal) if principal.view.source == ViewSource::L1 => {
                self.parts.identities.unmoved(&principal.view.stamp)
            }
            _ => true,
        }
    }
}
