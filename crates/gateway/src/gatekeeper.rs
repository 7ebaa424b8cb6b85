//! What happens to a request that is not one of the gateway's own calls: route, gate, proxy. And one wide event about it.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{ALLOW, HeaderValue},
    },
    web,
};
use bekci::{Asked, Clues, Host, Reading, Refusal, Tenancy, Voice};
use bekci_core::{Admission, AuthError, Clock, ErrorCode, Gate, IssueError, RouteKind};
use secrecy::SecretString;

use crate::{
    internal_token::InternalTokens,
    ops::Metrics,
    proxy::{Forward, Proxy, ProxyError},
    routes::{Route, RouteMiss, RouteTable, Verb},
};

/// What all workers share to handle requests.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    pub(crate) gate: Gate,
    pub(crate) routes: RouteTable,
    pub(crate) proxy: Proxy,
    /// Which tenant a request asks about.
    pub(crate) tenancy: Tenancy,
    /// Makes `X-Auth-Token`; `None`: upstreams get none.
    pub(crate) internal: Option<InternalTokens>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Why a request was not answered by its upstream.
enum Refused {
    Route(RouteMiss),
    Host,
    Gate(AuthError),
    Upstream(ProxyError),
    NoUpstream,
    NoToken(IssueError),
}

/// What is told of a request when it is over.
struct Told<'a> {
    route: &'a str,
    guard: &'a str,
    source: &'static str,
    principal: Option<String>,
    code: Option<ErrorCode>,
    reason: Option<String>,
}

/// The handler of everything that is not one of the gateway's own calls.
pub(crate) async fn handle(keeper: web::Data<Gatekeeper>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let voice = Voice::of(&request);
    let began = keeper.clock.uptime();
    let host = match Host::of(request.headers(), request.uri()) {
        Ok(host) => host,
        Err(_) => return keeper.refuse(&request, &voice, "", None, &Refused::Host, began),
    };
    let found = Verb::of(request.method())
        .map_err(RouteMiss::NoVerb)
        .and_then(|verb| keeper.routes.find(verb, &host, request.path()));
    let found = match found {
        Ok(found) => found,
        Err(miss) => return keeper.refuse(&request, &voice, "", None, &Refused::Route(miss), began),
    };
    let route = Arc::clone(found.route);
    // What is judged is what is forwarded: the path as the routes found it.
    let reading = Reading::new(request.method().as_str(), &found.path, request.headers()).map_err(AuthError::from);
    let admission = match keeper.admit(reading, &request, &host, &route).await {
        Ok(admission) => admission,
        Err(error) => return keeper.refuse(&request, &voice, &route.id, None, &Refused::Gate(error), began),
    };
    keeper.count_decision(&route, &admission, began);
    let Some(upstream) = route.upstream.as_ref() else {
        return keeper.refuse(
            &request,
            &voice,
            &route.id,
            Some(&admission),
            &Refused::NoUpstream,
            began,
        );
    };
    let internal_token = match keeper.internal_token(&admission, &route) {
        Ok(token) => token,
        Err(error) => {
            let refused = Refused::NoToken(error);
            return keeper.refuse(&request, &voice, &route.id, Some(&admission), &refused, began);
        }
    };
    let forward = Forward {
        request: &request,
        path: &found.path,
        host: &host,
        upstream,
        principal: admission.principal.as_ref(),
        internal_token: internal_token.as_ref(),
        request_id: voice.request_id.as_str(),
    };
    match keeper
        .proxy
        .forward(&admission.permit, forward, payload.into_inner())
        .await
    {
        Ok(answer) => {
            keeper.tell(
                &request,
                &voice,
                answer.status(),
                &told_of(&route.id, Some(&admission)),
                began,
            );
            answer
        }
        Err(error) => keeper.refuse(
            &request,
            &voice,
            &route.id,
            Some(&admission),
            &Refused::Upstream(error),
            began,
        ),
    }
}

fn told_of<'a>(route: &'a str, admission: Option<&'a Admission>) -> Told<'a> {
    let principal = admission.and_then(|admission| admission.principal.as_ref());
    Told {
        route,
        guard: principal
            .map(|principal| principal.guard.name.as_str())
            .unwrap_or_default(),
        source: principal
            .map(|principal| principal.view.source.as_str())
            .unwrap_or_default(),
        principal: principal.map(|principal| principal.claims.key.to_string()),
        code: None,
        reason: None,
    }
}

impl Gatekeeper {
    /// The token for the upstream, where somebody acts.
    fn internal_token(&self, admission: &Admission, route: &Route) -> Result<Option<SecretString>, IssueError> {
        let asked = self.internal.as_ref().zip(admission.principal.as_ref());
        asked
            .map(|(tokens, principal)| tokens.token(principal, &route.id))
            .transpose()
    }

    /// The one decision, for what is proxied and for what another proxy asks about: `reading` and `host` are of that, `request` brought the question.
    pub(crate) async fn admit(
        &self,
        reading: Result<Reading<'_>, AuthError>,
        request: &HttpRequest,
        host: &Host<'_>,
        route: &Route,
    ) -> Result<Admission, AuthError> {
        let reading = reading?;
        let asked = match route.rule.kind {
            RouteKind::Public => Asked::None,
            RouteKind::Authorized | RouteKind::Fresh(_) | RouteKind::Guest => self.tenancy.asked(&Clues {
                host: Some(host),
                path: Some(reading.path()),
                headers: request.headers(),
                peer: request.peer_addr().map(|peer| peer.ip()),
            })?,
        };
        let head = reading.head(asked.tenant());
        loop {
            let admission = self.gate.admit(&head, &route.rule).await?;
            // Trust may have run out, or something changed, since the decision was made: then it is made again.
            if self.gate.still_stands(&admission) {
                return Ok(admission);
            }
        }
    }

    pub(crate) fn count_decision(&self, route: &Route, admission: &Admission, began: Duration) {
        let Some(principal) = &admission.principal else {
            self.metrics.decisions.with(["", &*route.id, "allowed", ""]).add_one();
            return;
        };
        self.metrics
            .decisions
            .with([principal.guard.name.as_str(), &*route.id, "allowed", ""])
            .add_one();
        let took = self.clock.uptime().saturating_sub(began);
        self.metrics
            .decision_seconds
            .with([principal.view.source.as_str()])
            .observe(took);
    }

    pub(crate) fn count_refusal(&self, route: &str, code: ErrorCode) {
        let outcome = if code == ErrorCode::StoreUnavailable {
            "unavailable"
        } else {
            "refused"
        };
        self.metrics
            .decisions
            .with(["", route, outcome, code.as_str()])
            .add_one();
    }

    fn refuse(
        &self,
        request: &HttpRequest,
        voice: &Voice,
        route: &str,
        admission: Option<&Admission>,
        refused: &Refused,
        began: Duration,
    ) -> HttpResponse {
        let (refusal, status) = match refused {
            Refused::Route(miss) => (Refusal::new(miss.code(), miss.to_string()), Some(miss.status())),
            Refused::Host => (
                Refusal::new(ErrorCode::MalformedRequest, "the host cannot be read"),
                None,
            ),
            Refused::Gate(error) => (Refusal::from(error.clone()), None),
            Refused::Upstream(error) => (Refusal::new(error.code(), error.to_string()), None),
            Refused::NoUpstream => (Refusal::new(ErrorCode::NotFound, "the route has no upstream"), None),
            Refused::NoToken(error) => (Refusal::new(ErrorCode::Internal, error.to_string()), None),
        };
        let mut answer = refusal.render(voice);
        if let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) {
            *answer.status_mut() = status;
            if status == StatusCode::METHOD_NOT_ALLOWED {
                answer
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_static(Verb::allow()));
            }
        }
        let mut told = told_of(route, admission);
        told.code = Some(refusal.code());
        told.reason = Some(refusal.reason().to_owned());
        if matches!(refused, Refused::Gate(_)) {
            self.count_refusal(route, refusal.code());
        }
        self.tell(request, voice, answer.status(), &told, began);
        answer
    }

    fn tell(&self, request: &HttpRequest, voice: &Voice, status: StatusCode, told: &Told<'_>, began: Duration) {
        let took = self.clock.uptime().saturating_sub(began);
        tracing::info!(
            target: "bekci::request",
            request_id = voice.request_id.as_str(),
            method = request.method().as_str(),
            path = request.path(),
            status = status.as_u16(),
            route = told.route,
            guard = told.guard,
            principal = told.principal.as_deref(),
            code = told.code.map(ErrorCode::as_str),
            reason = told.reason.as_deref(),
            identity = told.source,
            micros = u64::try_from(took.as_micros()).unwrap_or_default(),
            "request"
        );
    }
}
