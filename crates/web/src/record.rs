//! What is known of a request when it is over: one wide event of the log and one decision of the metrics, made of the same, so that they cannot differ.
//!
//! 1. [`Front`](crate::Front) begins a record for each request and tells it once, when the head of the answer is there.
//! 2. Whoever decides notes what came out; the answer itself has the code and the reason of a refusal, whoever made it.
//! 3. There is no field for tokens, cookies, bodies and query strings.

use std::{borrow::Cow, cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use actix_web::{
    HttpMessage, HttpRequest,
    http::{Method, StatusCode},
};
use bekci_core::{
    Admission, AuthError, AuthGuard, Decided, Denial, Digits, ErrorCode, GuardName, Meter, Outcome, PrincipalKey,
    RequestHead, RouteRule, SessionId, TenantName, ViewSource,
};
use smallvec::SmallVec;

use crate::{Trace, Voice, Watch};

/// A request's record. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Record(Rc<RefCell<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    decision: Option<Decision>,
    who: Option<Acting>,
    asked: Option<(String, String)>,
    upstream: Option<Duration>,
    trace: Option<Trace>,
}

/// What the gate said.
#[derive(Debug)]
struct Decision {
    /// Empty: none.
    route: SmallVec<[u8; 40]>,
    refused: bool,
    source: Option<ViewSource>,
    took: Duration,
}

impl Decision {
    fn route(&self) -> &str {
        std::str::from_utf8(&self.route).unwrap_or_default()
    }
}

/// Who acted, as far as it was proved.
#[derive(Debug)]
struct Acting {
    guard: Arc<AuthGuard>,
    key: PrincipalKey,
    session: SessionId,
    tenant: Option<TenantName>,
}

/// Beside an answer that refuses: the one reason.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    pub(crate) code: ErrorCode,
    pub(crate) why: Cow<'static, str>,
}

/// What [`Front`](crate::Front) knows of a request.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    /// Where it is mounted, with placeholders for what a client chooses.
    pub(crate) call: Option<String>,
    pub(crate) voice: &'a Voice,
}

impl Record {
    pub(crate) fn begin(trace: Trace) -> Self {
        let noted = Noted {
            trace: Some(trace),
            ..Noted::default()
        };
        Self(Rc::new(RefCell::new(noted)))
    }

    /// The record of a request; one that nobody reads where no [`Front`](crate::Front) stands before it.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// Notes a decision that was made for a route, or for calls, of this name. The name must come from configuration or code, since it becomes a label of a metric.
    pub fn decided(&self, route: &str, took: Duration, decided: &Result<Admission, Denial>) {
        let mut noted = self.0.borrow_mut();
        let (who, source) = match decided {
            Ok(admission) => match &admission.principal {
                Some(who) => (Some((&who.guard, &who.claims, &who.tenant)), Some(who.view.source)),
                None => (None, None),
            },
            Err(denial) => match &denial.claimed {
                Some(who) => (Some((&who.guard, &who.claims, &who.tenant)), who.source),
                None => (None, None),
            },
        };
        noted.who = who.map(|(guard, claims, tenant)| Acting {
            guard: Arc::clone(guard),
            key: claims.key.clone(),
            session: claims.session,
            tenant: tenant.clone(),
        });
        noted.decision = Some(Decision {
            route: SmallVec::from_slice(route.as_bytes()),
            refused: decided.is_err(),
            source,
            took,
        });
    }

    /// Notes that no route, or none that could be looked for, fits the request: it is refused as one that is denied.
    pub fn fits_no_route(&self, took: Duration) {
        self.0.borrow_mut().decision = Some(Decision {
            route: SmallVec::new(),
            refused: true,
            source: None,
            took,
        });
    }

    /// Notes who signed in, or out, by this request.
    pub(crate) fn acted(&self, guard: &Arc<AuthGuard>, key: &PrincipalKey, session: SessionId) {
        self.0.borrow_mut().who = Some(Acting {
            guard: Arc::clone(guard),
            key: key.clone(),
            session,
            tenant: None,
        });
    }

    /// Notes which request was asked about, where this one only asks.
    pub fn asks_about(&self, method: &str, path: &str) {
        self.0.borrow_mut().asked = Some((method.to_owned(), path.to_owned()));
    }

    /// Notes how long an upstream took until the head of its answer.
    pub fn waited_for_upstream(&self, took: Duration) {
        self.0.borrow_mut().upstream = Some(took);
    }

    /// The request's trace; `None` where no [`Front`](crate::Front) stands before it.
    #[must_use]
    pub fn trace(&self) -> Option<Trace> {
        self.0.borrow().trace.clone()
    }

    /// Tells it.
    pub(crate) fn tell(
        &self,
        meter: &dyn Meter,
        request: &Request<'_>,
        status: StatusCode,
        reason: Option<&Reason>,
        took: Duration,
    ) {
        let noted = self.0.borrow();
        let outcome = noted.outcome(reason.map(|reason| reason.code));
        if let Some(decision) = &noted.decision {
            let is_allowed = outcome == Outcome::Allowed;
            meter.decided(&Decided {
                guard: noted.guard(),
                route: decision.route(),
                outcome,
                code: reason.map(|reason| reason.code).filter(|_| !is_allowed),
                source: decision.source,
                took: decision.took,
            });
        }
        noted.log(request, status, outcome, reason, took);
    }
}

impl Noted {
    fn guard(&self) -> Option<&GuardName> {
        self.who.as_ref().map(|who| &who.guard.name)
    }

    /// A handler that finds a right missing refuses what the gate let through. What it answers else, as that there is no such thing, is no decision about rights; but what was answered
    /// by an error of ours (500 and above) did not come through, also where the upstream failed. An upstream's own 5xx is its answer.
    fn outcome(&self, code: Option<ErrorCode>) -> Outcome {
        match (code, &self.decision) {
            (None, _) => Outcome::Allowed,
            (Some(code), Some(decision)) if !decision.refused && !matches!(code.status(), 401 | 403 | 500..) => {
                Outcome::Allowed
            }
            (Some(code), _) => Outcome::refused_by(code),
        }
    }

    fn log(
        &self,
        request: &Request<'_>,
        status: StatusCode,
        outcome: Outcome,
        reason: Option<&Reason>,
        took: Duration,
    ) {
        let (who, decision) = (self.who.as_ref(), self.decision.as_ref());
        let asked = self.asked.as_ref();
        let session = who.map(|who| who.session.digits());
        tracing::info!(
            target: "bekci::request",
            request_id = request.voice.request_id.as_str(),
            trace_id = self.trace.as_ref().map(Trace::id),
            span_id = self.trace.as_ref().map(Trace::span),
            method = asked.map_or(request.method.as_str(), |(method, _)| method),
            path = asked.map_or(request.path, |(_, path)| path),
            call = request.call.as_deref(),
            status = status.as_u16(),
            route = decision.map(Decision::route),
            outcome = outcome.as_str(),
            code = reason.map(|reason| reason.code.as_str()),
            reason = reason.map(|reason| &*reason.why),
            guard = self.guard().map(GuardName::as_str),
            principal = who.map(|who| who.key.as_str()),
            session = session.as_ref().map(Digits::as_str),
            tenant = who.and_then(|who| who.tenant.as_ref()).map(TenantName::as_str),
            identity = decision.and_then(|decision| decision.source).map(ViewSource::as_str),
            decision_micros = decision.map(|decision| micros(decision.took)),
            upstream_micros = self.upstream.map(micros),
            micros = micros(took),
            "request"
        );
    }
}

/// Whether anybody hears the events of requests.
pub(crate) fn is_logged() -> bool {
    tracing::enabled!(target: "bekci::request", tracing::Level::INFO)
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// Asks the gate, and notes what it said.
pub(crate) async fn admit(
    watch: &Watch,
    request: &HttpRequest,
    head: &RequestHead<'_>,
    rule: &RouteRule,
) -> Result<Admission, AuthError> {
    let began = watch.clock().uptime();
    let decided = watch.gate().decide(head, rule).await;
    let took = watch.clock().uptime().saturating_sub(began);
    Record::of(request).decided(&rule.id, took, &decided);
    decided.map_err(|denial| denial.error)
}
