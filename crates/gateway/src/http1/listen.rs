//! Listeners: actix's server and its HTTP, and between them connections that have one request at a time.

use std::{fmt, io, marker::PhantomData, net::SocketAddr, rc::Rc, time::Duration};

use actix_http::{HttpService, KeepAlive, Protocol, Request, Response, error::DispatchError};
use actix_server::Server;
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, fn_service};
use actix_tls::accept::{
    TlsError,
    rustls_0_23::{Acceptor, TlsStream, reexports::ServerConfig},
};
use actix_web::{HttpResponse, body::MessageBody, dev::AppConfig, rt::net::TcpStream};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    body::UploadLimits,
    service::Answering,
    state::{Connection, UnreadableHead},
    transport::{OneRequestAtATime, Refuse, Times},
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1_024;
/// How long what a client still sends is read after the last answer, so that it can read that answer.
const DISCONNECT: Duration = Duration::from_secs(1);

/// How many bytes wait in the kernel of this machine to be sent, for each connection. The kernel reports that there is room when half of them are sent. With its own
/// bound, of megabytes, a client that reads slowly would seem to take nothing for minutes.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 * 1024;

/// Sets [`UNSENT`] for the connections that this socket accepts. A kernel that refuses keeps its own bound.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn limit_unsent(listener: &tokio::net::TcpSocket) {
    let _ = socket2::SockRef::from(listener).set_tcp_notsent_lowat(UNSENT);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn limit_unsent(_listener: &tokio::net::TcpSocket) {}

/// The bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) workers: usize,
    /// For each worker.
    pub(crate) max_connections: usize,
    pub(crate) head_timeout: Duration,
    /// How long a client may take nothing of an answer; zero: any time.
    pub(crate) send_timeout: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) uploads: UploadLimits,
    pub(crate) shutdown_seconds: u64,
}

impl Bounds {
    pub(super) fn times(&self) -> Times {
        Times {
            head: self.head_timeout,
            idle: self.keep_alive,
            send: self.send_timeout,
        }
    }
}

/// What an application sees of its listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) is_tls: bool,
    pub(super) address: SocketAddr,
}

/// The service of a listener's connections, of any transport. `stopping` ends when the listener stops.
pub(super) fn http<T, F, S, B, W, N>(
    applications: F,
    bounds: Bounds,
    shown: Shown,
    stopping: W,
) -> impl ServiceFactory<
    (OneRequestAtATime<T>, Protocol, Option<SocketAddr>),
    Config = (),
    Response = (),
    Error = DispatchError,
    InitError = (),
> + use<T, F, S, B, W, N>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    F: ServiceFactory<Request, Config = AppConfig, Service = S> + 'static,
    F::Future: 'static,
    F::Error: Into<actix_web::Error> + 'static,
    F::InitError: fmt::Debug,
    F::Response: Into<Response<B>> + 'static,
    S: Service<Request, Response = F::Response, Error = F::Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
    W: Fn() -> N + 'static,
    N: Future<Output = ()> + 'static,
{
    HttpService::<OneRequestAtATime<T>, _, _>::build()
        .graceful_shutdown_signal(stopping)
        // The transport closes idle connections, by a timer that it keeps.
        .keep_alive(match bounds.keep_alive {
            Duration::ZERO => KeepAlive::Disabled,
            _ => KeepAlive::Os,
        })
        // It has a timer for every head, not for the first alone.
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(DISCONNECT)
        .h1_allow_half_closed(false)
        .local_addr(shown.address)
        .on_connect_ext(|io: &OneRequestAtATime<T>, data| {
            data.insert::<Connection>(io.connection.clone());
        })
        .finish(Answering {
            applications,
            is_tls: shown.is_tls,
            address: shown.address,
            limits: bounds.uploads,
            body: PhantomData,
        })
}

/// Listens on an address, with TLS if there is a configuration for it. `refuse` answers heads that cannot be read. Gives the server and the address that it has.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) fn listen<A, R, F, I, S, B>(
    applications: A,
    refuse: R,
    address: SocketAddr,
    bounds: Bounds,
    tls: Option<ServerConfig>,
) -> io::Result<(Server, SocketAddr)>
where
    A: Fn() -> I + Send + Clone + 'static,
    R: Fn(UnreadableHead) -> HttpResponse + Send + Clone + 'static,
    I: IntoServiceFactory<F, Request>,
    F: ServiceFactory<Request, Config = AppConfig, Service = S> + 'static,
    F::Future: 'static,
    F::Error: Into<actix_web::Error> + 'static,
    F::InitError: fmt::Debug,
    F::Response: Into<Response<B>> + 'static,
    S: Service<Request, Response = F::Response, Error = F::Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    limit_unsent(&socket);
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    let bound = listener.local_addr()?;
    let builder = Server::build()
        .workers(bounds.workers)
        .max_concurrent_connections(bounds.max_connections)
        .shutdown_timeout(bounds.shutdown_seconds)
        .disable_signals();
    let signal = builder.graceful_shutdown_signal();
    let stopping = move || {
        let signal = signal.clone();
        async move { signal.notified().await }
    };
    let is_tls = tls.is_some();
    let times = bounds.times();
    let shown = Shown { is_tls, address: bound };
    let name = format!("bekci-{bound}");
    let builder = match tls {
        None => builder.listen(name, listener, move || {
            let refuse: Refuse = Rc::new(refuse.clone());
            fn_service(move |io: TcpStream| {
                let refuse = Rc::clone(&refuse);
                async move {
                    let _ = io.set_nodelay(true);
                    let peer = io.peer_addr().ok();
                    Ok((OneRequestAtATime::new(io, times, refuse), Protocol::Http1, peer))
                }
            })
            .and_then(http(applications().into_factory(), bounds, shown, stopping.clone()))
        })?,
        Some(mut tls) => {
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            builder.listen(name, listener, move || {
                let refuse: Refuse = Rc::new(refuse.clone());
                Acceptor::new(tls.clone())
                    .map_init_err(|_| ())
                    .map_err(TlsError::into_service_error)
                    .and_then(move |io: TlsStream<TcpStream>| {
                        let refuse = Rc::clone(&refuse);
                        async move {
                            let (tcp, _) = io.get_ref();
                            let _ = tcp.set_nodelay(true);
                            let peer = tcp.peer_addr().ok();
                            Ok((OneRequestAtATime::new(io, times, refuse), Protocol::Http1, peer))
                        }
                    })
                    .and_then(
                        http(applications().into_factory(), bounds, shown, stopping.clone()).map_err(TlsError::Service),
                    )
            })?
        }
    };
    Ok((builder.run(), bound))
}
