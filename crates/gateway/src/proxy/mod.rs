//! Forwarding a request that the gate let through.
//!
//! What holds for every request, whatever the client sent:
//!
//! 1. There is a [`Permit`], which only the gate can make, and the upstream is one from configuration.
//! 2. The upstream receives the path that was judged, byte for byte, and the query as it came. Redirects are the client's affair.
//! 3. Headers about one connection are dropped, those that `Connection` names too; trailers are. Identity, forwarding and method-override headers are dropped in every
//!    spelling, as are `Authorization` and our cookies; ours are set after that. See `names`, `cookies`, `identity`, `client`.
//! 4. Bodies stream both ways with bounded memory, and their framing is written anew from what was parsed, so that nothing that was read in one way here can be
//!    read in another there.
//! 5. A request is sent twice only if a connection that was used before closed without a byte of an answer, and only where sending twice does no harm (RFC 9110
//!    section 9.2.2) and there is no body. A server that cannot be connected to was sent nothing: the next one is tried.
//! 6. Of upgrades only a WebSocket's is tunnelled, and only after the upstream has switched.
//! 7. When the client goes away, the upstream's connection is closed.

mod answer;
mod chunks;
mod client;
mod cookies;
mod error;
mod exchange;
mod head;
mod health;
mod identity;
mod names;
mod pool;
mod stream;
mod upload;
mod upstream;
mod websocket;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{future::poll_fn, sync::Arc, task::Poll};

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, RequestHead},
    http::{
        ConnectionType, Method, StatusCode, Version,
        header::{self, HeaderMap, HeaderValue},
    },
};
use bekci::{Tenancy, Trace};
use bekci_core::{Clock, Permit, Principal};
use secrecy::SecretString;
use smallvec::SmallVec;
use tokio::time::Instant;

use self::{
    answer::Head,
    exchange::{Exchange, NoAnswer},
    head::Own,
    pool::Connection,
    upload::{BodyFraming, Upload},
    upstream::Target,
};
use crate::{ops::Metrics, routes::Host};

pub use client::{Client, TrustedProxies};
pub use error::ProxyError;
pub use health::{examine, probe, watch};
pub(crate) use identity::{Bound, IdentityHeaders, gaps};
pub use names::StrippedHeaders;
pub use upstream::{HostHeader, Upstream, UpstreamProblem, UpstreamSpec};

/// What a proxy is made of.
#[derive(Clone, Debug)]
pub struct ProxyParts {
    /// Which peers may say whom they speak for.
    pub trusted: TrustedProxies,
    /// Which header names a tenant, and from whom.
    pub tenancy: Tenancy,
    /// How upstreams are told who acts.
    pub(crate) identity: Arc<IdentityHeaders>,
    /// Which headers of clients are dropped beside those that are known.
    pub stripped: StrippedHeaders,
    /// The gateway's name in `Via`: a token (RFC 9110 section 5.6.2) that no other gateway has, else two in a row look like a circle.
    pub pseudonym: Box<str>,
    /// The origin of `server.public_url`: pages of others may not open WebSockets with the browser's cookies.
    pub own_origin: Box<str>,
    /// Tells how long upstreams take.
    pub clock: Arc<dyn Clock>,
    /// Where that is counted.
    pub metrics: Arc<Metrics>,
}

/// Forwards requests. One for all workers; connections are kept by each thread for itself.
#[derive(Debug)]
pub struct Proxy {
    parts: ProxyParts,
}

/// A request to forward.
#[derive(Debug)]
pub struct Forward<'a> {
    /// The head of the request as received.
    pub request: &'a RequestHead,
    /// Whether it came by TLS.
    pub is_https: bool,
    /// The canonical path that was judged.
    pub path: &'a str,
    /// The host that was judged.
    pub host: &'a Host<'a>,
    /// The servers of the route.
    pub upstream: &'a Upstream,
    /// Who acts; `None` on routes for anybody, where an upstream then sees no identity header at all.
    pub principal: Option<&'a Principal>,
    /// The token made for this upstream.
    pub internal_token: Option<&'a SecretString>,
    /// The request's id: it must have no byte that could end a header.
    pub request_id: &'a str,
    /// The request's trace, with the span that is the parent of what the upstream does.
    pub trace: Option<&'a Trace>,
}

impl Proxy {
    /// A proxy of these parts.
    #[must_use]
    pub fn new(parts: ProxyParts) -> Self {
        Self { parts }
    }

    /// How upstreams are told who acts.
    pub(crate) fn identity(&self) -> &IdentityHeaders {
        &self.parts.identity
    }

    /// Who the client of a request is.
    #[must_use]
    pub fn client(&self, head: &RequestHead, is_https: bool, host: &Host<'_>) -> Client {
        Client::of((head.peer_addr, is_https), host, &head.headers, &self.parts.trusted)
    }

    /// Forwards a request and gives the upstream's answer, whose body is read from the upstream as it is sent on.
    ///
    /// # Errors
    /// [`ProxyError`], where there is no answer to give.
    pub async fn forward(
        &self,
        _permit: &Permit,
        forward: Forward<'_>,
        payload: Payload,
    ) -> Result<HttpResponse, ProxyError> {
        let request = forward.request;
        let opens_websocket = websocket::is_asked_for(&request.method, request.version, &request.headers)?;
        if opens_websocket && forward.principal.is_some() {
            websocket::check_origin(&request.headers, &self.parts.own_origin)?;
        }
        let framing = head::body_framing(request)?;
        let (body, tunnel) = match framing {
            Some(framing) => (Some((payload, framing)), None),
            None => (None, opens_websocket.then_some(payload)),
        };
        let client = self.client(request, forward.is_https, forward.host);
        let answered = self.send(&forward, &client, body, opens_websocket).await?;
        self.answer(&forward, answered, tunnel)
    }

    /// Sends the request, and again where rule 5 lets it.
    async fn send(
        &self,
        forward: &Forward<'_>,
        client: &Client,
        mut body: Option<(Payload, BodyFraming)>,
        opens_websocket: bool,
    ) -> Result<Answered, ProxyError> {
        let method = &forward.request.method;
        let framing = body.as_ref().map(|(_, framing)| *framing);
        let mut may_reuse = true;
        loop {
            let begun = self.parts.clock.uptime();
            let (mut connection, target) = self.connect(forward.upstream, may_reuse).await?;
            let own = Own {
                tenancy: &self.parts.tenancy,
                stripped: &self.parts.stripped,
                identity: &self.parts.identity,
                pseudonym: &self.parts.pseudonym,
                target: &target,
                client,
                framing,
                opens_websocket,
            };
            let head = head::write(forward, &own, std::mem::take(&mut connection.head))?;
            let may_retry = connection.reused && framing.is_none() && is_idempotent(method);
            let mut exchange = Exchange::new(connection, Upload::new(head, body.take()));
            let outcome = match head_of(&mut exchange, method, forward.upstream).await {
                Err(NoAnswer::Closed(_)) if may_retry => {
                    may_reuse = false;
                    continue;
                }
                Err(NoAnswer::Closed(error)) => Err(ProxyError::unavailable("it closed the connection", &error)),
                Err(NoAnswer::Failed(error)) => Err(error),
                Ok(head) => Ok(head),
            };
            let status = outcome
                .as_ref()
                .map_or_else(|error| error.code().status(), |head| head.status.as_u16());
            let took = self.parts.clock.uptime().saturating_sub(begun);
            self.parts.metrics.upstream_answered(&target.authority, status, took);
            return outcome.map(|head| Answered { head, exchange, target });
        }
    }

    /// A connection to the first of the servers that has one.
    async fn connect(&self, upstream: &Upstream, may_reuse: bool) -> Result<(Connection, Arc<Target>), ProxyError> {
        let uptime = self.parts.clock.uptime();
        let mut failure = ProxyError::Unavailable("it has no server".to_owned());
        let mut begun = uptime;
        for target in upstream.in_turn(uptime) {
            if let Some(connection) = may_reuse.then(|| pool::take(target, uptime)).flatten() {
                return Ok((connection, Arc::clone(target)));
            }
            match pool::open(target, upstream.connect_timeout()).await {
                Ok(connection) => {
                    target.succeeded();
                    return Ok((connection, Arc::clone(target)));
                }
                Err(error) => {
                    tracing::warn!(upstream = &*target.authority, %error, "an upstream server cannot be reached");
                    target.failed(uptime);
                    let now = self.parts.clock.uptime();
                    let (status, took) = (error.code().status(), now.saturating_sub(begun));
                    self.parts.metrics.upstream_answered(&target.authority, status, took);
                    begun = now;
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    fn answer(
        &self,
        forward: &Forward<'_>,
        answered: Answered,
        tunnel: Option<Payload>,
    ) -> Result<HttpResponse, ProxyError> {
        let Answered {
            head,
            mut exchange,
            target,
        } = answered;
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let mut body = match (switches, tunnel) {
            (true, Some(payload)) if head.names_websocket() => {
                exchange.upload.tunnel(payload);
                exchange.into_tunnel(&head, &target, &self.parts.clock)
            }
            (true, _) => return Err(ProxyError::BadAnswer("it switches protocols unasked")),
            (false, _) => exchange.into_body(&head, &target, &self.parts.clock),
        };
        body.settle();
        let streams = body.size() == BodySize::Stream;
        let mut response = HttpResponse::with_body(head.status, BoxBody::new(body));
        if switches {
            let websocket = HeaderValue::from_static("websocket");
            response.headers_mut().insert(header::UPGRADE, websocket);
            response.head_mut().set_connection_type(ConnectionType::Upgrade);
        } else if streams && forward.request.version < Version::HTTP_11 {
            // HTTP/1.0 knows no chunks: the body ends with the connection.
            response.head_mut().no_chunking(true);
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        answer_headers(response.headers_mut(), head, forward);
        Ok(response)
    }
}

/// Whether no page opens the WebSocket that these headers ask for, or one of this origin.
pub(crate) fn is_opened_by(headers: &HeaderMap, origin: &str) -> bool {
    websocket::check_origin(headers, origin).is_ok()
}

/// An exchange whose answer has begun.
struct Answered {
    head: Head,
    exchange: Exchange,
    target: Arc<Target>,
}

fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    )
}

/// Waits for the head of the answer. The time counts from when something was last sent, so that a long upload is not cut.
async fn head_of(exchange: &mut Exchange, method: &Method, upstream: &Upstream) -> Result<Head, NoAnswer> {
    let mut deadline = Instant::now() + upstream.timeout;
    let mut written = 0;
    poll_fn(|cx| {
        if let Poll::Ready(head) = exchange.poll_head(method, cx) {
            return Poll::Ready(head);
        }
        if exchange.upload.written != written {
            written = exchange.upload.written;
            deadline = Instant::now() + upstream.timeout;
        }
        exchange.poll_deadline(deadline, cx).map(|()| {
            Err(NoAnswer::Failed(if exchange.upload.waits_for_client {
                ProxyError::ClientTooSlow
            } else {
                ProxyError::Timeout("no answer")
            }))
        })
    })
    .await
}

/// The headers of the answer as the client receives them. Where somebody was let in and the upstream says nothing about storing, nothing may be stored: a cache in
/// front that goes by the look of a path would give one's page to another.
fn answer_headers(headers: &mut HeaderMap, head: Head, forward: &Forward<'_>) {
    let options: SmallVec<[String; 2]> = head.connection_options().collect();
    for (name, value) in head.headers {
        let is_named = options.iter().any(|option| option == name.as_str());
        let sets_ours = name == header::SET_COOKIE && cookies::sets_ours(value.as_bytes());
        if !is_named && !sets_ours && !names::is_dropped_from_answers(name.as_str()) {
            headers.append(name, value);
        }
    }
    if forward.principal.is_some() && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
