//! The service that answers, which tells the connection what it reads of a request.

use std::{
    fmt,
    marker::PhantomData,
    net::SocketAddr,
    task::{Context, Poll},
};

use actix_http::{ConnectionType, HttpMessage as _, Request, Response, Version, header};
use actix_service::{Service, ServiceFactory};
use actix_web::{
    body::{BoxBody, EitherBody, MessageBody},
    dev::{AppConfig, Payload},
};
use futures_util::future::LocalBoxFuture;

use super::{
    body::{AnswerBody, LimitedBody, UploadLimits},
    framing::{BodyScan, Chunked},
    state::{Connection, Phase},
};

/// Makes the services of a listener.
pub(super) struct Answering<F, B> {
    pub(super) applications: F,
    pub(super) is_tls: bool,
    pub(super) address: SocketAddr,
    pub(super) limits: UploadLimits,
    pub(super) body: PhantomData<fn() -> B>,
}

/// Answers requests.
pub(super) struct Answers<S, B> {
    application: S,
    limits: UploadLimits,
    body: PhantomData<fn() -> B>,
}

impl<F, B> ServiceFactory<Request> for Answering<F, B>
where
    F: ServiceFactory<Request, Config = AppConfig> + 'static,
    F::Future: 'static,
    F::Service: 'static,
    <F::Service as Service<Request>>::Future: 'static,
    F::Error: Into<actix_web::Error>,
    F::InitError: fmt::Debug,
    F::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    type Response = Response<AnswerBody<EitherBody<B>>>;
    type Error = Response<BoxBody>;
    type Config = ();
    type Service = Answers<F::Service, B>;
    type InitError = F::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, Self::InitError>>;

    fn new_service(&self, (): ()) -> Self::Future {
        // actix-web's own server makes it in the same way. There is no other way to say that a connection is encrypted.
        let config = AppConfig::__priv_test_new(self.is_tls, self.address.to_string(), self.address);
        let (making, limits) = (self.applications.new_service(config), self.limits);
        Box::pin(async move {
            Ok(Answers {
                application: making.await?,
                limits,
                body: PhantomData,
            })
        })
    }
}

impl<S, B> Service<Request> for Answers<S, B>
where
    S: Service<Request>,
    S::Future: 'static,
    S::Error: Into<actix_web::Error>,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    type Response = Response<AnswerBody<EitherBody<B>>>;
    type Error = Response<BoxBody>;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let ready = self.application.poll_ready(cx);
        ready.map_err(|error| Response::from(error.into().error_response()))
    }

    fn call(&self, mut request: Request) -> Self::Future {
        let connection = request.conn_data::<Connection>().cloned();
        let has_body = !matches!(request.payload(), Payload::None);
        let body = body_of(&request, has_body);
        let is_tunnel = matches!(body, Phase::Tunnel);
        if let Some(connection) = &connection {
            let head = request.head();
            connection.begin(body, head.connection_type() == ConnectionType::Close, head.expect());
        }
        if has_body && !is_tunnel {
            let limited = LimitedBody::new(request.take_payload(), connection.clone(), self.limits);
            *request.payload() = Payload::Stream {
                payload: Box::pin(limited),
            };
        }
        let answering = self.application.call(request);
        Box::pin(async move {
            let mut answer: Response<EitherBody<B>> = match answering.await {
                Ok(answer) => {
                    let answer: Response<B> = answer.into();
                    answer.map_body(|_, body| EitherBody::left(body))
                }
                Err(error) => Response::from(error.into().error_response()).map_body(|_, body| EitherBody::right(body)),
            };
            // Heads of answers are used again, with the version of the answer before. The right one is written with the head.
            answer.head_mut().version = Version::HTTP_11;
            if let Some(connection) = &connection {
                if !is_tunnel && !connection.has_read_request() {
                    answer.head_mut().set_connection_type(ConnectionType::Close);
                }
                if answer.head().connection_type() == ConnectionType::Close {
                    connection.close();
                }
            }
            Ok(answer.map_body(|_, body| AnswerBody::new(body, connection)))
        })
    }
}

/// What follows a head, as actix-http reads it: it has refused a request with both framings, a length that is no number, and another coding.
fn body_of(request: &Request, has_body: bool) -> Phase {
    let headers = request.headers();
    if !has_body {
        return Phase::Held;
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Phase::Body(BodyScan::Chunked(Chunked::default()));
    }
    let is_websocket = |value: &header::HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.trim().eq_ignore_ascii_case("websocket")
    };
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    match length.and_then(|length| length.trim().parse().ok()) {
        // The bytes of a WebSocket, or those after CONNECT.
        None | Some(0) => Phase::Tunnel,
        Some(_) if headers.get_all(header::UPGRADE).any(is_websocket) => Phase::Tunnel,
        Some(length) => Phase::Body(BodyScan::Length(length)),
    }
}
