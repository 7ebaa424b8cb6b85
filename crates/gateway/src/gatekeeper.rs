//! What happens to a request that is not one of the gateway's own calls: route, gate, proxy.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    dev::{Payload, RequestHead},
    http::{
        Method, StatusCode,
        header::{ALLOW, HeaderValue, LOCATION, WWW_AUTHENTICATE},
    },
    web,
};
use bekci::{
    AsIs, Asked, BrowserSession, BrowserUpdate, Clues, Host, Reading, Record, Refusal, RequestContext, Tenancy, Voice,
};
use bekci_core::{Admission, AskedTenant, AuthError, Clock, Denial, ErrorCode, Gate, IssueError, Lasting, RouteKind};
use secrecy::SecretString;

use crate::{
    internal_token::InternalTokens,
    lookout::Lookout,
    proxy::{Client, Forward, IdentityHeaders, Proxy, ProxyError},
    routes::{Route, RouteMiss, RouteTable, Verb},
    sign_in::{self, SignInPages, Wanted},
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
    /// Where browsers without a session are sent.
    pub(crate) pages: SignInPages,
    /// Signs browsers in by their remember-me token.
    pub(crate) browsers: Option<BrowserSession>,
    /// Looks after WebSockets.
    pub(crate) lookout: Lookout,
}

/// Why a request was not answered by its upstream.
enum Refused {
    Route(RouteMiss),
    Host,
    Gate {
        error: AuthError,
        /// The page to sign in at, where a browser asked for another one.
        page: Option<HeaderValue>,
    },
    Upstream(ProxyError),
    NoUpstream,
    NoToken(IssueError),
}

/// The handler of everything that is not one of the gateway's own calls.
pub(crate) async fn handle(keeper: web::Data<Gatekeeper>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let (record, voice) = (Record::of(&request), Voice::of(&request));
    let context = RequestContext {
        record: &record,
        voice: &voice,
    };
    let is_https = request.app_config().secure();
    let payload = payload.into_inner();
    let mut update = None;
    let passed = keeper
        .pass(request.head(), is_https, context, payload, &mut update)
        .await;
    let mut answer = match passed {
        Ok(mut answer) => {
            answer.extensions_mut().insert(AsIs);
            answer
        }
        Err(refused) => refused.answer(&request.head().method, &voice),
    };
    if let Some(update) = update {
        update.put(answer.headers_mut());
    }
    answer
}

impl Gatekeeper {
    /// Answers a request that came in the clear or by TLS: refuses it, or forwards it.
    pub(crate) async fn answer(
        &self,
        head: &RequestHead,
        is_https: bool,
        context: RequestContext<'_>,
        payload: Payload,
    ) -> HttpResponse {
        let mut update = None;
        let mut answer = match self.pass(head, is_https, context, payload, &mut update).await {
            Ok(answer) => answer,
            Err(refused) => refused.answer(&head.method, context.voice),
        };
        if let Some(update) = update {
            update.put(answer.headers_mut());
        }
        answer
    }

    async fn pass(
        &self,
        head: &RequestHead,
        is_https: bool,
        context: RequestContext<'_>,
        payload: Payload,
        update: &mut Option<BrowserUpdate>,
    ) -> Result<HttpResponse, Refused> {
        let RequestContext { record, voice } = context;
        let unrouted = |refused| {
            record.fits_no_route(Duration::ZERO);
            refused
        };
        let host = Host::of(&head.headers, &head.uri).map_err(|_| unrouted(Refused::Host))?;
        let found = Verb::of(&head.method)
            .map_err(RouteMiss::NoVerb)
            .and_then(|verb| self.routes.find(verb, &host, head.uri.path()))
            .map_err(|miss| unrouted(Refused::Route(miss)))?;
        let route = found.route;
        // What is judged is what is forwarded: the path as the routes found it.
        let reading = Reading::new(head.method.as_str(), &found.path, &head.headers).map_err(AuthError::from);
        let client = || self.proxy.client(head, is_https, &host);
        let refused = |error| Refused::Gate {
            page: self.page(&error, head, client, &found.path, route),
            error,
        };
        if let (Some(browsers), Ok(reading)) = (&self.browsers, &reading) {
            let (asked, address) = (reading.head(AskedTenant::None), || client().address());
            let came = browsers.before(&asked, &head.headers, &route.rule, address).await;
            *update = came.map_err(refused)?;
        }
        let cookie = update.as_ref().and_then(|update| update.cookie.as_ref());
        let reading = match cookie {
            Some(cookie) => reading.map(|reading| reading.with_cookie(cookie)),
            None => reading,
        };
        let secured = update.as_ref().and_then(|update| update.secured);
        let reading = reading.map(|reading| reading.secured_by(secured));
        let admission = self.admit(reading, head, record, &host, route).await;
        let admission = admission.map_err(refused)?;
        let upstream = route.upstream.as_ref().ok_or(Refused::NoUpstream)?;
        let internal_token = self
            .internal_token(self.proxy.identity(), &admission, route)
            .map_err(Refused::NoToken)?;
        let trace = record.trace();
        let forward = Forward {
            request: head,
            is_https,
            path: &found.path,
            host: &host,
            upstream,
            principal: admission.principal.as_ref(),
            internal_token: internal_token.as_deref(),
            request_id: voice.request_id.as_str(),
            trace: trace.as_ref(),
        };
        let began = self.clock.uptime();
        let answer = self.proxy.forward(&admission.permit, forward, payload).await;
        record.waited_for_upstream(self.clock.uptime().saturating_sub(began));
        let answer = answer.map_err(Refused::Upstream)?;
        Ok(match admission.principal {
            Some(principal) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let (gate, rule) = (self.gate.clone(), Arc::clone(&route.rule));
                let lasting = Lasting::new(gate, principal, rule, head.method.as_str(), &found.path);
                self.lookout.over(answer, lasting, voice.request_id.as_str())
            }
            _ => answer,
        })
    }

    /// Where a browser is sent that asked for a page of the route and is not signed in; for anybody else, and for any other refusal, nowhere.
    fn page(
        &self,
        error: &AuthError,
        head: &RequestHead,
        client: impl FnOnce() -> Client,
        path: &str,
        route: &Route,
    ) -> Option<HeaderValue> {
        if error.code().status() != 401 || !sign_in::is_navigation(&head.headers) {
            return None;
        }
        let client = client();
        let wanted = Wanted {
            // In the clear may be behind a proxy that speaks TLS and says nothing: then it is as `server.public_url` has it.
            scheme: client.https.then_some("https"),
            host: &client.host,
            path,
            query: head.uri.query(),
        };
        self.pages.location(&route.rule, &wanted)
    }

    /// The same request, with its security cookie checked where it is old and cannot be exchanged.
    pub(crate) async fn checked<'a>(
        &self,
        reading: Result<Reading<'a>, AuthError>,
        route: &Route,
    ) -> Result<Reading<'a>, AuthError> {
        let reading = reading?;
        let Some(browsers) = &self.browsers else {
            return Ok(reading);
        };
        let secured = browsers.check(&reading.head(AskedTenant::None), &route.rule).await?;
        Ok(reading.secured_by(secured))
    }

    /// The token for what is behind the route, where somebody acts.
    pub(crate) fn internal_token(
        &self,
        headers: &IdentityHeaders,
        admission: &Admission,
        route: &Route,
    ) -> Result<Option<Arc<SecretString>>, IssueError> {
        let asked = self.internal.as_ref().zip(admission.principal.as_ref());
        asked
            .filter(|_| headers.has_token())
            .map(|(tokens, principal)| tokens.token(headers, principal, &route.id))
            .transpose()
    }

    /// The one decision, for what is proxied and for what another proxy asks about: `reading` and `host` are of that, `head` brought the question.
    pub(crate) async fn admit(
        &self,
        reading: Result<Reading<'_>, AuthError>,
        head: &RequestHead,
        record: &Record,
        host: &Host<'_>,
        route: &Route,
    ) -> Result<Admission, AuthError> {
        let began = self.clock.uptime();
        let decided = self.decide(reading, head, host, route).await;
        let took = self.clock.uptime().saturating_sub(began);
        record.decided(&route.id, took, &decided);
        decided.map_err(|denial| denial.error)
    }

    async fn decide(
        &self,
        reading: Result<Reading<'_>, AuthError>,
        asking: &RequestHead,
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
                    headers: &asking.headers,
                    peer: asking.peer_addr.map(|peer| peer.ip()),
                })?
            }
        };
        let head = reading.head(asked.tenant());
        loop {
            let admission = self.gate.decide_again(&head, &route.rule).await?;
            // Trust may have run out, or something changed, since the decision was made: then it is made again.
            if self.gate.still_stands(&admission) {
                return Ok(admission);
            }
        }
    }
}

impl Refused {
    fn answer(&self, method: &Method, voice: &Voice) -> HttpResponse {
        let (refusal, status) = match self {
            Self::Route(miss) => (Refusal::new(miss.code(), miss.to_string()), Some(miss.status())),
            Self::Host => (
                Refusal::new(ErrorCode::MalformedRequest, "the host cannot be read"),
                None,
            ),
            Self::Gate { error, page } => {
                let status = page.as_ref().map(|_| sign_in::status_after(method).as_u16());
                (Refusal::from(error.clone()), status)
            }
            Self::Upstream(error) => {
                let is_late = matches!(error, ProxyError::ClientTooSlow);
                let status = is_late.then_some(StatusCode::REQUEST_TIMEOUT.as_u16());
                (Refusal::new(error.code(), error.to_string()), status)
            }
            Self::NoUpstream => (Refusal::new(ErrorCode::NotFound, "the route has no upstream"), None),
            Self::NoToken(error) => (Refusal::new(ErrorCode::Internal, error.to_string()), None),
        };
        let mut answer = refusal.render(voice);
        if let Self::Gate { page: Some(page), .. } = self {
            answer.headers_mut().insert(LOCATION, page.clone());
            answer.headers_mut().remove(WWW_AUTHENTICATE);
        }
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
