//! Connections that no listener accepted.

use std::{fmt, net::SocketAddr, rc::Rc};

use actix_http::{Protocol, Request, Response};
use actix_service::{Service, ServiceFactory};
use actix_web::{HttpResponse, body::MessageBody, dev::AppConfig};
use futures_util::future::LocalBoxFuture;
use tokio::io::DuplexStream;

use super::{
    listen::{Bounds, Shown, http},
    state::UnreadableHead,
    transport::{OneRequestAtATime, Refuse},
};

/// Serves one connection of a client until it ends.
pub(crate) type Handed = Rc<dyn Fn(DuplexStream, SocketAddr) -> LocalBoxFuture<'static, ()>>;

/// What serves connections in memory as [`listen`](super::listen) serves those that it accepts; `None`: the application cannot be built.
pub(crate) async fn hand<R, F, S, B>(application: F, refuse: R, bounds: Bounds, address: SocketAddr) -> Option<Handed>
where
    R: Fn(UnreadableHead) -> HttpResponse + 'static,
    F: ServiceFactory<Request, Config = AppConfig, Service = S> + 'static,
    F::Future: 'static,
    F::Error: Into<actix_web::Error> + 'static,
    F::InitError: fmt::Debug,
    F::Response: Into<Response<B>> + 'static,
    S: Service<Request, Response = F::Response, Error = F::Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    let shown = Shown { is_tls: false, address };
    let service = http::<DuplexStream, _, _, _, _, _>(application, bounds, shown, std::future::pending);
    let service = Rc::new(service.new_service(()).await.ok()?);
    let (times, refuse): (_, Refuse) = (bounds.times(), Rc::new(refuse));
    Some(Rc::new(move |io, peer| {
        let io = OneRequestAtATime::new(io, times, Rc::clone(&refuse));
        let serving = service.call((io, Protocol::Http1, Some(peer)));
        Box::pin(async move {
            // A client that goes away ends its connection with an error.
            let _ended = serving.await;
        })
    }))
}
