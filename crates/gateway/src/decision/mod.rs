//! The decision alone, for a proxy in front that asks before it forwards: nginx, Traefik, Caddy, HAProxy, Envoy.
//!
//! 1. Only a peer of `server.trusted_proxies` is answered about another request than its own. Anybody else gets 403, whatever they say.
//! 2. What is asked about is told by one family of headers for each endpoint (see [`metadata`]). One that is missing, stands twice or cannot be read is 400 and named.
//! 3. Route and gate are those of the gateway itself, with the original method, host and path: so are the answers, and so is the proof of origin that cookies need.
//! 4. Let in: 200 with every identity header (see [`IdentityHeaders`]), `X-Auth-Token` for the route among them, empty where there is no value. No cookie is ever set here, so that nothing is rotated and nobody is
//!    remembered here.
//! 5. Refused: as the gateway refuses. A browser without a session is sent to sign in (see [`crate::sign_in`]), by 302 after GET and by 303 else.
//! 6. nginx knows 200, 401 and 403 alone. It gets any other refusal as 403, that of an unknown method too, the page to sign in at as `Location` of 401, and the code as `X-Auth-Error`. What cannot be
//!    told (5xx) stays what it is, which nginx refuses too.
//! 7. A WebSocket is let in by cookie only for pages of the origin that is asked about, or of the gateway's own.

mod description;
mod metadata;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{
            ALLOW, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, LOCATION, SEC_WEBSOCKET_KEY, WWW_AUTHENTICATE,
        },
    },
    web,
};
use bekci::{Reading, Record, Refusal, Voice};
use bekci_core::{Admission, AuthError, ErrorCode, IssueError};
use secrecy::SecretString;

pub(crate) use self::description::describe;
use self::metadata::{Asked, BadMetadata, Family};
use crate::{
    assemble,
    config::{Config, types::Origin},
    gatekeeper::Gatekeeper,
    proxy::{self, IdentityHeaders, TrustedProxies},
    routes::{Route, RouteMiss, Verb},
    sign_in,
};

const AUTH_ERROR: HeaderName = HeaderName::from_static("x-auth-error");

/// Where the endpoints are.
pub(crate) const PATHS: [&str; 3] = ["/forward-auth", "/auth-request", metadata::PREFIX];

/// What the endpoints decide by. One for all workers.
#[derive(Debug)]
pub(crate) struct Decisions {
    keeper: Arc<Gatekeeper>,
    trusted: TrustedProxies,
    headers: IdentityHeaders,
}

/// Mounts the endpoints.
pub(crate) fn configure(service: &mut web::ServiceConfig, decisions: web::Data<Decisions>) {
    service
        .app_data(decisions)
        .service(web::resource("/forward-auth").to(forward_auth))
        .service(web::resource("/auth-request").to(auth_request))
        .service(web::resource([metadata::PREFIX, "/ext-authz/{path:.*}"]).to(ext_authz));
}

/// Where the endpoints are on a listener of their own, nothing is at their paths on the public one, whatever the routes say.
pub(crate) fn configure_absence(service: &mut web::ServiceConfig) {
    for path in [
        "/forward-auth",
        "/auth-request",
        metadata::PREFIX,
        "/ext-authz/{path:.*}",
    ] {
        service.service(web::resource(path).to(HttpResponse::NotFound));
    }
}

async fn forward_auth(decisions: web::Data<Decisions>, request: HttpRequest) -> HttpResponse {
    decisions.answer(Family::Forwarded, &request).await
}

async fn auth_request(decisions: web::Data<Decisions>, request: HttpRequest) -> HttpResponse {
    decisions.answer(Family::Original, &request).await
}

async fn ext_authz(decisions: web::Data<Decisions>, request: HttpRequest) -> HttpResponse {
    decisions.answer(Family::Prefixed, &request).await
}

/// Why a request is not let in.
enum Denied {
    Untrusted,
    Metadata(BadMetadata),
    Route(RouteMiss),
    Gate(AuthError),
    CrossSite,
    NoToken(IssueError),
}

impl Denied {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Untrusted => Refusal::new(ErrorCode::Forbidden, "the peer is not in server.trusted_proxies"),
            Self::Metadata(bad) => {
                Refusal::new(ErrorCode::MalformedRequest, bad.to_string()).detail("header", bad.header)
            }
            Self::Route(miss) => Refusal::new(miss.code(), miss.to_string()),
            Self::Gate(error) => Refusal::from(error.clone()),
            Self::CrossSite => Refusal::new(ErrorCode::CsrfRejected, "a page of another origin opens a WebSocket"),
            Self::NoToken(error) => Refusal::new(ErrorCode::Internal, error.to_string()),
        }
    }

    fn status(&self, code: ErrorCode) -> StatusCode {
        let status = match self {
            Self::Route(miss) => miss.status(),
            Self::Untrusted | Self::Metadata(_) | Self::Gate(_) | Self::CrossSite | Self::NoToken(_) => code.status(),
        };
        StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN)
    }
}

/// What came out, with what of the question is known.
struct Outcome<'a> {
    asked: Option<Asked<'a>>,
    route: Option<Arc<Route>>,
    /// Who is let in, with the token that is made for what is behind the route.
    decided: Result<(Admission, Option<Arc<SecretString>>), Denied>,
}

impl Decisions {
    /// The endpoints of a configuration.
    pub(crate) fn new(config: &Config, keeper: Arc<Gatekeeper>) -> Self {
        let server = config.server.clone();
        Self {
            keeper,
            trusted: TrustedProxies::new(move |peer| server.trusts(peer)),
            headers: assemble::identity_headers(config, config.limits.decision_header_bytes),
        }
    }

    async fn answer(&self, family: Family, request: &HttpRequest) -> HttpResponse {
        let outcome = self.outcome(family, request).await;
        let record = Record::of(request);
        if let Some(asked) = &outcome.asked {
            record.asks_about(asked.method.as_str(), asked.path);
        }
        match &outcome.decided {
            Ok((admission, token)) => self.let_in(admission, token.as_deref()),
            Err(denied) => {
                if matches!(denied, Denied::Route(_)) {
                    record.fits_no_route(Duration::ZERO);
                }
                let voice = Voice::of(request);
                self.refuse(family, request.headers(), &voice, &outcome, denied, &denied.refusal())
            }
        }
    }

    async fn outcome<'a>(&self, family: Family, request: &'a HttpRequest) -> Outcome<'a> {
        let denied = |asked, route, denied| Outcome {
            asked,
            route,
            decided: Err(denied),
        };
        let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
        if !peer.is_some_and(|peer| self.trusted.has(peer)) {
            return denied(None, None, Denied::Untrusted);
        }
        let asked = match Asked::of(family, request) {
            Ok(asked) => asked,
            Err(bad) => return denied(None, None, Denied::Metadata(bad)),
        };
        let found = Verb::of(&asked.method).map_err(RouteMiss::NoVerb).and_then(|verb| {
            let found = self.keeper.routes.find(verb, &asked.host, asked.path)?;
            Ok((verb, Arc::clone(found.route)))
        });
        let (verb, route) = match found {
            Ok(found) => found,
            Err(miss) => return denied(Some(asked), None, Denied::Route(miss)),
        };
        let headers = request.headers();
        let reading = Reading::new(verb.as_str(), asked.path, headers).map_err(AuthError::from);
        let reading = self.keeper.checked(reading, &route).await;
        let decided = self
            .keeper
            .admit(reading, request.head(), &Record::of(request), &asked.host, &route)
            .await
            .map_err(Denied::Gate);
        let decided = decided.and_then(|admission| {
            let is_open = admission.principal.is_none() || self.may_open(headers, &asked);
            if !is_open {
                return Err(Denied::CrossSite);
            }
            let token = self
                .keeper
                .internal_token(&self.headers, &admission, &route)
                .map_err(Denied::NoToken)?;
            Ok((admission, token))
        });
        Outcome {
            asked: Some(asked),
            route: Some(route),
            decided,
        }
    }

    /// Rule 7. Proxies do not pass on `Upgrade` when they ask, but what goes with it.
    fn may_open(&self, headers: &HeaderMap, asked: &Asked<'_>) -> bool {
        let pages = &self.keeper.pages;
        let is_opened_by = |origin: &Origin| proxy::is_opened_by(headers, origin.as_str());
        !headers.contains_key(SEC_WEBSOCKET_KEY)
            || is_opened_by(pages.own())
            || pages
                .origin_of(&asked.wanted())
                .is_some_and(|origin| is_opened_by(&origin))
    }

    fn let_in(&self, admission: &Admission, token: Option<&SecretString>) -> HttpResponse {
        let mut answer = HttpResponse::Ok();
        answer.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")));
        for header in self.headers.of(admission.principal.as_ref(), token) {
            answer.append_header(header);
        }
        answer.finish()
    }

    fn refuse(
        &self,
        family: Family,
        headers: &HeaderMap,
        voice: &Voice,
        outcome: &Outcome<'_>,
        denied: &Denied,
        refusal: &Refusal,
    ) -> HttpResponse {
        let mut answer = refusal.render(voice);
        let mut status = denied.status(refusal.code());
        if status == StatusCode::METHOD_NOT_ALLOWED {
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static(Verb::allow()));
        }
        let wants_page = status == StatusCode::UNAUTHORIZED && sign_in::is_navigation(headers);
        if let (true, Some(asked), Some(route)) = (wants_page, &outcome.asked, &outcome.route)
            && let Some(location) = self.keeper.pages.location(&route.rule, &asked.wanted())
        {
            answer.headers_mut().insert(LOCATION, location);
            if family != Family::Original {
                answer.headers_mut().remove(WWW_AUTHENTICATE);
                status = sign_in::status_after(&asked.method);
            }
        }
        if family == Family::Original {
            let code = HeaderValue::from_static(refusal.code().as_str());
            answer.headers_mut().insert(AUTH_ERROR, code);
            // A method that is unknown is 501 elsewhere: it is the client's fault all the same.
            let cannot_tell = status.is_server_error() && !matches!(denied, Denied::Route(_));
            if status != StatusCode::UNAUTHORIZED && !cannot_tell {
                status = StatusCode::FORBIDDEN;
            }
        }
        *answer.status_mut() = status;
        answer
    }
}
