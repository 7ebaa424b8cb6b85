//! The listeners: public traffic, and the one for those who run the gateway.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    web,
};
use bekci::Bekci;
use bekci_core::{AuthGuard, Clock};
use bekci_store::SystemClock;

use crate::{
    assemble::{self, AssembleError},
    config::Config,
    gatekeeper::{self, Gatekeeper},
    ops::{self, Metrics},
    proxy::{Proxy, ProxyParts, TrustedProxies},
    readiness::Ready,
};

/// Why the gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The parts do not come together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The server ended with an error.
    #[error("the server ended: {0}")]
    Ended(std::io::Error),
}

/// A gateway that listens.
pub(crate) struct Running {
    pub(crate) bekci: Bekci,
    pub(crate) address: SocketAddr,
    pub(crate) ops_address: SocketAddr,
    public: Server,
    ops: Server,
}

/// Puts the gateway together, brings the schema up to date where that is wanted, and listens.
pub(crate) async fn start(config: &Config) -> Result<Running, ServeError> {
    let database = assemble::database(config).await?;
    assemble::schema(config, &database, config.database.auto_migrate).await?;
    let bekci = assemble::bekci(config, database).await?;
    let guards: Vec<Arc<AuthGuard>> = bekci.watch().guards().cloned().collect();
    let (routes, unreachable) = assemble::routes(config, &guards)?;
    for problem in unreachable {
        tracing::warn!("{problem}");
    }
    let metrics = Arc::new(Metrics::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let server = config.server.clone();
    let trusted = TrustedProxies::new(move |peer| server.trusts(peer));
    let keeper = web::Data::new(Gatekeeper {
        gate: bekci.gate().clone(),
        routes,
        proxy: Proxy::new(ProxyParts {
            trusted,
            pseudonym: format!("bekci-{}", bekci.store().node_name().get(..12).unwrap_or_default()).into(),
            own_origin: config.server.public_url.as_str().into(),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
        }),
        clock,
        metrics: Arc::clone(&metrics),
    });
    let (public, address) = listen_public(config, &bekci, keeper)?;
    let (ops, ops_address) = listen_ops(config, &bekci, metrics)?;
    Ok(Running {
        bekci,
        address,
        ops_address,
        public,
        ops,
    })
}

fn workers(config: &Config) -> usize {
    match usize::from(config.server.workers) {
        0 => std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get),
        workers => workers,
    }
}

fn listen_public(
    config: &Config,
    bekci: &Bekci,
    keeper: web::Data<Gatekeeper>,
) -> Result<(Server, SocketAddr), ServeError> {
    let address = config.server.listen;
    let bekci = bekci.clone();
    let server = HttpServer::new(move || {
        App::new()
            .wrap(bekci.middleware())
            .app_data(keeper.clone())
            .configure(bekci.mount("/auth"))
            .default_service(web::to(gatekeeper::handle))
    })
    .workers(workers(config))
    .max_connections(usize::try_from(config.limits.max_connections).unwrap_or(25_000))
    .client_request_timeout(config.limits.head_timeout_seconds.duration())
    .keep_alive(config.limits.keep_alive_seconds.duration())
    .shutdown_timeout(u64::from(config.server.shutdown_timeout_seconds.get()))
    .disable_signals()
    .bind(address)
    .map_err(|error| ServeError::Listen { address, error })?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}

fn listen_ops(config: &Config, bekci: &Bekci, metrics: Arc<Metrics>) -> Result<(Server, SocketAddr), ServeError> {
    let address = config.server.ops_listen;
    let ready = Arc::new(Ready(bekci.clone()));
    let server = HttpServer::new(move || {
        let (ready, metrics) = (Arc::clone(&ready), Arc::clone(&metrics));
        App::new().configure(move |service| ops::configure(service, ready, metrics))
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .bind(address)
    .map_err(|error| ServeError::Listen { address, error })?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}

impl Running {
    /// Serves until SIGINT or SIGTERM; then finishes what was begun, within the configured time, and takes this node out.
    pub(crate) async fn until_stopped(self) -> Result<(), ServeError> {
        let (public, ops) = (self.public.handle(), self.ops.handle());
        let stopping = actix_web::rt::spawn(stop_on_signal(public, ops));
        let (served, _) = tokio::join!(self.public, self.ops);
        stopping.abort();
        self.bekci.close().await;
        served.map_err(ServeError::Ended)
    }
}

async fn stop_on_signal(public: ServerHandle, ops: ServerHandle) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("signals cannot be listened for; the gateway stops with its process");
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping: what was begun is finished");
    public.stop(true).await;
    ops.stop(true).await;
}

/// Waits until the node decides from memory; a gateway that has just started answers its first requests from the database otherwise.
pub(crate) async fn until_trusted(bekci: &Bekci) {
    for _ in 0..200 {
        if bekci.store().is_trusted() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
