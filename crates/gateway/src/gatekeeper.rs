//! What happens to a request that is not one of the gateway's own calls: route, gate, proxy.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{ALLOW, HeaderValue},
    },
    web,
};
use bekci::{Asked, Clues, Host, Reading, Record, Refusal, Tenancy, Voice};
use bekci_core::{Admission, AuthError, Clock, Denial, ErrorCode, Gate, IssueError, Lasting, RouteKind};
use secrecy::SecretString;

use crate::{
    internal_token::InternalTokens,
    lookout::Lookout,
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
    /// Looks after WebSockets.
    pub(crate) lookout: Lookout,
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

/// The handler of everything that is not one of the gateway's own calls.
pub(crate) async fn handle(keeper: web::Data<Gatekeeper>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    match keeper.pass(&request, payload).await {
        Ok(answer) => answer,
        Err(refused) => refused.answer(&Voice::of(&request)),
    }
}

impl Gatekeeper {
    async fn pass(&self, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Refused> {
        let record = Record::of(request);
        let unrouted = |refused| {
            record.fits_no_route(Duration::ZERO);
            refused
        };
        let host = Host::of(request.headers(), request.uri()).map_err(|_| unrouted(Refused::Host))?;
        let found = Verb::of(request.method())
            .map_err(RouteMiss::NoVerb)
            .and_then(|verb| self.routes.find(verb, &host, request.path()))
            .map_err(|miss| unrouted(Refused::Route(miss)))?;
        let route = Arc::clone(found.route);
        // What is judged is what is forwarded: the path as the routes found it.
        let reading = Reading::new(request.method().as_str(), &found.path, request.headers()).map_err(AuthError::from);
        let admission = self.admit(reading, request, &host, &route).await;
        let admission = admission.map_err(Refused::Gate)?;
        let upstream = route.upstream.as_ref().ok_or(Refused::NoUpstream)?;
        let internal_token = self.internal_token(&admission, &route).map_err(Refused::NoToken)?;
        let (voice, trace) = (Voice::of(request), record.trace());
        let forward = Forward {
            request,
            path: &found.path,
            host: &host,
            upstream,
            principal: admission.principal.as_ref(),
            internal_token: internal_token.as_ref(),
            request_id: voice.request_id.as_str(),
            trace: trace.as_ref(),
        };
        let began = self.clock.uptime();
        let answer = self
            .proxy
            .forward(&admission.permit, forward, payload.into_inner())
            .await;
        record.waited_for_upstream(self.clock.uptime().saturating_sub(began));
        let answer = answer.map_err(Refused::Upstream)?;
        Ok(match admission.principal {
            Some(principal) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let (gate, rule) = (self.gate.clone(), Arc::clone(&route.rule));
                let lasting = Lasting::new(gate, principal, rule, request.method().as_str(), &found.path);
                self.lookout.over(answer, lasting, voice.request_id.as_str())
            }
            _ => answer,
        })
    }

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
        let began = self.clock.uptime();
        let decided = self.decide(reading, request, host, route).await;
        let took = self.clock.uptime().saturating_sub(began);
        Record::of(request).decided(&route.id, took, &decided);
        decided.map_err(|denial| denial.error)
    }

    async fn decide(
        &self,
        reading: Result<Reading<'_>, AuthError>,
        request: &HttpRequest,
        host: &Host<'_>,
        route: &Route,
    ) -> Result<Admission, Denial> {
        let reading = reading?;
        let asked = match route.rule.kind {
            RouteKind::Public => Asked::None,
            RouteKind::Authorized | RouteKind::Unverified | RouteKind::Fresh(_) | RouteKind::Guest => {
                self.tenancy.asked(&Clues {
                    host: Some(host),
                    path: Some(reading.path()),
                    headers: request.headers(),
                    peer: request.peer_addr().map(|peer| peer.ip()),
                })?
            }
        };
        let head = reading.head(asked.tenant());
        loop {
            let admission = self.gate.decide(&head, &route.rule).await?;
            // Trust may have run out, or something changed, since the decision was made: then it is made again.
            if self.gate.still_stands(&admission) {
                return Ok(admission);
            }
        }
    }
}

impl Refused {
    fn answer(&self, voice: &Voice) -> HttpResponse {
        let (refusal, status) = match self {
            Self::Route(miss) => (Refusal::new(miss.code(), miss.to_string()), Some(miss.status())),
            Self::Host => (
                Refusal::new(ErrorCode::MalformedRequest, "the host cannot be read"),
                None,
            ),
            Self::Gate(error) => (Refusal::from(error.clone()), None),
            Self::Upstream(error) => (Refusal::new(error.code(), error.to_string()), None),
            Self::NoUpstream => (Refusal::new(ErrorCode::NotFound, "the route has no upstream"), None),
            Self::NoToken(error) => (Refusal::new(ErrorCode::Internal, error.to_string()), None),
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
        answer
    }
}
