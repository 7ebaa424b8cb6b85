//! Before the whole application.
//!
//! 1. A request is given its id, trace, language and shape, which every answer to it has; when it is answered, it is told once how it went (see [`Record`]).
//! 2. A path that is not canonical, and a second `Host` header, is 400 before anything is matched or asked.
//! 3. A header that would name a tenant, and that nobody who is believed has set, is taken away.
//! 4. Where a handler asked who acts and nothing had admitted anybody, the answer is 500, whatever the handler made of it.
//! 5. A body in chunks that is not read closes its connection after the answer, see [`unread`](super::unread).
//! 6. Where the public URL is https, browsers are told to come by https alone for a year (RFC 6797), unless the answer says something else itself.
//! 7. Where pages of other origins may call, their browsers are answered before anything is matched (see [`cors`](super::cors)).
//! 8. A refusal, and an error of Actix's own, is told in the contract's shape. An application's own error tells itself, except a bare 500: that would tell
//!    the error's text.

use std::{future::Ready, rc::Rc, sync::Arc, time::Duration};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{BodySize, BoxBody, EitherBody, MessageBody},
    dev::{Payload, RequestHead, Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    error::InternalError,
    http::{
        Method, StatusCode, Uri,
        header::{
            ALLOW, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
        },
    },
};
use bekci_core::{AuthError, Clock, ErrorCode, Meter, canonical_path};
use futures_util::future::LocalBoxFuture;

use super::{
    cors::{Asking, Cors},
    unread::Held,
};
use crate::{
    Record, Tenancy, Trace,
    extract::Unadmitted,
    record,
    respond::{Messages, REQUEST_ID, Refusal, Voice, translated},
};

/// This host alone: of those below it Bekci knows nothing, and a browser could not go back on them for a year.
const A_YEAR: &str = "max-age=31536000";

/// Middleware for the whole application; `App::new().wrap(bekci.middleware())`, as the outermost one.
#[derive(Clone, Debug, Default)]
pub struct Front {
    tenancy: Tenancy,
    told: Option<Telling>,
    messages: Messages,
    /// Whether browsers are told to come by https alone.
    by_https: bool,
    cors: Option<Cors>,
}

/// By what it is told how a request went.
#[derive(Clone, Debug)]
struct Telling {
    clock: Arc<dyn Clock>,
    meter: Arc<dyn Meter>,
}

impl Front {
    pub(crate) fn new(tenancy: Tenancy, clock: Arc<dyn Clock>, meter: Arc<dyn Meter>) -> Self {
        Self {
            tenancy,
            told: Some(Telling { clock, meter }),
            messages: Messages::default(),
            by_https: false,
            cors: None,
        }
    }

    /// With what pages of other origins may do; `None`: whoever is further in says so itself.
    #[must_use]
    pub fn cors(mut self, cors: Option<Cors>) -> Self {
        self.cors = cors;
        self
    }

    /// Where the public URL is https, every answer has `Strict-Transport-Security` (RFC 6797), unless it brings its own.
    pub(crate) fn by_https(mut self, by_https: bool) -> Self {
        self.by_https = by_https;
        self
    }

    /// The answer to bytes that are no request, since their head cannot be read. It has what every answer has, is in English, and is logged and counted like any other.
    #[must_use]
    pub fn refuse_head(&self, refusal: &Refusal) -> HttpResponse {
        let headers = HeaderMap::new();
        let voice = Voice::read(&headers).saying(&self.messages);
        let mut answer = refusal.render(&voice);
        self.dress(answer.headers_mut(), &voice, None);
        if let Some(told) = &self.told {
            let record = Record::begin(Trace::taken_or_made(&headers));
            record.fits_no_route(Duration::ZERO);
            let request = record::Request {
                method: &Method::from_bytes(b"-").unwrap_or_default(),
                path: "-",
                call: None,
                voice: &voice,
            };
            told.tell(&record, &request, &answer, Duration::ZERO);
        }
        answer
    }

    /// Answers a request that no application sees, by a handler that answers refusals itself. All that this middleware does for an application is done: an id, a record,
    /// the checks of rule 2, tenancy, CORS, the headers of every answer.
    pub async fn answer<H>(&self, head: &mut RequestHead, payload: Payload, handle: H) -> HttpResponse
    where
        H: AsyncFnOnce(&RequestHead, RequestContext<'_>, Payload) -> HttpResponse,
    {
        let voice = Voice::read(&head.headers).saying(&self.messages);
        let record = Record::begin(Trace::taken_or_made(&head.headers));
        let began = self.told.as_ref().map(|told| told.clock.uptime());
        let (held, payload) = match Held::is_due(&head.headers) {
            true => {
                let (held, payload) = Held::new(payload);
                (Some(held), payload)
            }
            false => (None, payload),
        };
        let cors = self.cors.as_ref();
        let asking = cors.and_then(|cors| cors.ask(&head.method, head.uri.path(), &head.headers));
        let mut answer = match early(head, asking.as_ref(), &voice, Some(&record)) {
            Some(answer) => answer,
            None => {
                self.tenancy
                    .strip(&mut head.headers, head.peer_addr.map(|peer| peer.ip()));
                let context = RequestContext {
                    record: &record,
                    voice: &voice,
                };
                handle(head, context, payload).await
            }
        };
        self.dress(answer.headers_mut(), &voice, asking.as_ref());
        if let Some((told, began)) = self.told.as_ref().zip(began) {
            let request = record::Request {
                method: &head.method,
                path: head.uri.path(),
                call: None,
                voice: &voice,
            };
            let took = told.clock.uptime().saturating_sub(began);
            told.tell(&record, &request, &answer, took);
        }
        match held {
            Some(held) => held.until_answered(answer),
            None => answer,
        }
    }

    /// What every answer has.
    fn dress(&self, headers: &mut HeaderMap, voice: &Voice, asking: Option<&Asking>) {
        headers.insert(REQUEST_ID, voice.request_id.header());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.by_https && !headers.contains_key(STRICT_TRANSPORT_SECURITY) {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(A_YEAR));
        }
        if let Some(asking) = asking {
            asking.dress(headers);
        }
    }

    /// With sentences of one's own in answers.
    #[must_use]
    pub fn saying(mut self, messages: Messages) -> Self {
        self.messages = messages;
        self
    }
}

/// What [`Front::answer`] knows of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// Where decisions and times are noted, for the log and the metrics.
    pub record: &'a Record,
    /// How the request wants to be answered.
    pub voice: &'a Voice,
}

/// Among the extensions of an answer: it is somebody else's, as an upstream's, and is passed on as it is even where it has no body.
#[derive(Clone, Copy, Debug)]
pub struct AsIs;

/// [`Front`] before a service.
#[derive(Debug)]
pub struct FrontService<S> {
    inner: Rc<S>,
    front: Rc<Front>,
}

impl<S, B> Transform<S, ServiceRequest> for Front
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = FrontService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        std::future::ready(Ok(FrontService {
            inner: Rc::new(inner),
            front: Rc::new(self.clone()),
        }))
    }
}

impl<S, B> Service<ServiceRequest> for FrontService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let voice = Voice::read(request.headers()).saying(&self.front.messages);
        let telling = self.front.told.clone().map(|told| told.begin(&mut request, &voice));
        let held = Held::is_due(request.headers()).then(|| {
            let (held, payload) = Held::new(request.take_payload());
            request.set_payload(payload);
            held
        });
        let cors = self.front.cors.as_ref();
        let asking = cors.and_then(|cors| cors.ask(request.method(), request.path(), request.headers()));
        let record = telling.as_ref().map(|telling| &telling.record);
        if let Some(mut answer) = early(request.head(), asking.as_ref(), &voice, record) {
            self.front.dress(answer.headers_mut(), &voice, asking.as_ref());
            if let Some(telling) = telling {
                telling.tell(&answer, None);
            }
            if let Some(held) = held {
                answer = held.until_answered(answer);
            }
            let answered = request.into_response(answer.map_into_right_body());
            return Box::pin(std::future::ready(Ok(answered)));
        }
        let peer = request.peer_addr().map(|peer| peer.ip());
        self.front.tenancy.strip(request.headers_mut(), peer);
        request.extensions_mut().insert(voice.clone());
        let answering = self.inner.call(request);
        let front = Rc::clone(&self.front);
        Box::pin(async move {
            match answering.await {
                Ok(answered) => {
                    let mut answered = finish(answered, &voice);
                    front.dress(answered.headers_mut(), &voice, asking.as_ref());
                    if let Some(telling) = telling {
                        // It is made anew each time, and for the log alone. What another server answered is at no call.
                        let is_foreign = answered.response().extensions().contains::<AsIs>();
                        let is_wanted = record::is_logged() && !is_foreign;
                        let call = is_wanted.then(|| answered.request().match_pattern());
                        telling.tell(answered.response(), call.flatten());
                    }
                    Ok(match held {
                        Some(held) => hold(answered, held),
                        None => answered,
                    })
                }
                // A middleware further in failed before there was an answer; the request is gone with it.
                Err(error) => {
                    let mut answer = told(&error, &voice).unwrap_or_else(|| error.error_response());
                    front.dress(answer.headers_mut(), &voice, asking.as_ref());
                    if let Some(telling) = telling {
                        telling.tell(&answer, None);
                    }
                    if let Some(held) = held {
                        answer = held.until_answered(answer);
                    }
                    Err(InternalError::from_response(error, answer).into())
                }
            }
        })
    }
}

/// The answer to a request that goes no further: to one that no application is to see, and to a preflight.
fn early(head: &RequestHead, asking: Option<&Asking>, voice: &Voice, record: Option<&Record>) -> Option<HttpResponse> {
    let Err(refusal) = check(head) else {
        return asking.and_then(Asking::preflight);
    };
    if let Some(record) = record {
        record.fits_no_route(Duration::ZERO);
    }
    Some(refusal.render(voice))
}

/// One request of which it is told.
struct Told {
    telling: Telling,
    record: Record,
    began: Duration,
    method: Method,
    uri: Uri,
    voice: Voice,
}

impl Telling {
    /// Reports an answer by the record of its request.
    fn tell<B>(&self, record: &Record, request: &record::Request<'_>, answer: &HttpResponse<B>, took: Duration) {
        let extensions = answer.extensions();
        let reason = extensions.get::<record::Reason>();
        record.tell(&*self.meter, request, answer.status(), reason, took);
    }

    fn begin(self, request: &mut ServiceRequest, voice: &Voice) -> Told {
        let record = Record::begin(Trace::taken_or_made(request.headers()));
        request.extensions_mut().insert(record.clone());
        Told {
            began: self.clock.uptime(),
            telling: self,
            record,
            method: request.method().clone(),
            uri: request.uri().clone(),
            voice: voice.clone(),
        }
    }
}

impl Told {
    fn tell<B>(self, answer: &HttpResponse<B>, call: Option<String>) {
        let request = record::Request {
            method: &self.method,
            path: self.uri.path(),
            call,
            voice: &self.voice,
        };
        let took = self.telling.clock.uptime().saturating_sub(self.began);
        self.telling.tell(&self.record, &request, answer, took);
    }
}

fn hold<B: MessageBody + 'static>(
    answered: ServiceResponse<EitherBody<B>>,
    held: Held,
) -> ServiceResponse<EitherBody<B>> {
    let (request, answer) = answered.into_parts();
    ServiceResponse::new(request, held.until_answered(answer).map_into_right_body())
}

/// What no application is to see.
fn check(head: &RequestHead) -> Result<(), Refusal> {
    canonical_path(head.uri.path(), false).map_err(|fault| Refusal::from(AuthError::BadPath(fault)))?;
    // RFC 9112 section 3.2: servers disagree on which of two counts.
    if head.headers.get_all(HOST).count() > 1 {
        return Err(Refusal::new(ErrorCode::MalformedRequest, "it names more than one host"));
    }
    Ok(())
}

fn finish<B: MessageBody>(answered: ServiceResponse<B>, voice: &Voice) -> ServiceResponse<EitherBody<B>> {
    let unadmitted = answered
        .request()
        .extensions()
        .get::<Unadmitted>()
        .map(|why| why.0.clone());
    let retold = match answered.response().error() {
        // The handler went on without asking who acts, as one that takes an `Option` does.
        _ if unadmitted.is_some() => {
            let fix = unadmitted.filter(|_| cfg!(debug_assertions));
            let refusal = Refusal::new(ErrorCode::Internal, "nothing admitted the request");
            Some(refusal.detail_if("fix", fix).render(voice))
        }
        Some(error) => told(error, voice),
        None if answered.response().extensions().contains::<AsIs>() => None,
        None if is_bare(answered.response()) => default_of(answered.response(), voice),
        None => None,
    };
    match retold {
        Some(answer) => answered.into_response(answer.map_into_right_body()),
        None => answered.map_into_left_body(),
    }
}

/// No body and no type, as Actix's own "not found" and "method not allowed". An application's own have either.
fn is_bare<B: MessageBody>(answer: &HttpResponse<B>) -> bool {
    matches!(answer.body().size(), BodySize::None | BodySize::Sized(0)) && !answer.headers().contains_key(CONTENT_TYPE)
}

/// What Actix answers where nothing is mounted, or not for this method, told like any other refusal.
fn default_of<B>(answer: &HttpResponse<B>, voice: &Voice) -> Option<HttpResponse<BoxBody>> {
    match answer.status() {
        StatusCode::NOT_FOUND => Some(Refusal::new(ErrorCode::NotFound, "nothing is mounted here").render(voice)),
        StatusCode::METHOD_NOT_ALLOWED => {
            let refusal = Refusal::new(ErrorCode::MethodNotAllowed, "nothing is mounted for this method");
            let mut told = refusal.render(voice);
            *told.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            // RFC 9110 section 15.5.6: it says which methods there are.
            for allowed in answer.headers().get_all(ALLOW) {
                told.headers_mut().append(ALLOW, allowed.clone());
            }
            Some(told)
        }
        _ => None,
    }
}

fn told(error: &Error, voice: &Voice) -> Option<HttpResponse<BoxBody>> {
    if let Some(refusal) = error.as_error::<Refusal>() {
        return Some(refusal.render(voice));
    }
    if let Some(refusal) = translated(error) {
        return Some(refusal.render(voice));
    }
    let answer = error.error_response();
    let bare = answer
        .headers()
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if answer.status() != StatusCode::INTERNAL_SERVER_ERROR || !bare {
        return None;
    }
    tracing::error!(request_id = voice.request_id.as_str(), %error, "a handler failed");
    Some(Refusal::new(ErrorCode::Internal, "a handler failed").render(voice))
}
