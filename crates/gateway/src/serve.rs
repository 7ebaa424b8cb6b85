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
    decision::{self, Decisions},
    gatekeeper::{self, Gatekeeper},
    internal_token::InternalTokens,
    ops::{self, Metrics},
    proxy::{self, Proxy, ProxyParts, TrustedProxies},
    readiness::Ready,
};

/// How often upstreams with a health path are asked.
const HEALTH_EVERY: Duration = Duration::from_secs(5);

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
    decisions: Option<Server>,
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
    for upstream in routes.iter().filter_map(|route| route.upstream.clone()) {
        if upstream.is_asked_for_health() {
            actix_web::rt::spawn(proxy::watch(upstream, Arc::clone(&clock), HEALTH_EVERY));
        }
    }
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
        internal: Some(InternalTokens::new(bekci.clone())),
        clock,
        metrics: Arc::clone(&metrics),
    });
    let decisions = web::Data::new(Decisions::new(config, keeper.clone().into_inner()));
    let (public, address) = listen_public(config, &bekci, keeper, decisions.clone())?;
    let decisions = listen_decisions(config, &bekci, decisions)?;
    let (ops, ops_address) = listen_ops(config, &bekci, metrics)?;
    Ok(Running {
        bekci,
        address,
        ops_address,
        public,
        ops,
        decisions,
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
    decisions: web::Data<Decisions>,
) -> Result<(Server, SocketAddr), ServeError> {
    let address = config.server.listen;
    let bekci = bekci.clone();
    let decides_elsewhere = config.server.decision_listen.is_some();
    let server = HttpServer::new(move || {
        let decisions = decisions.clone();
        App::new()
            .wrap(bekci.middleware())
            .app_data(keeper.clone())
            .configure(bekci.mount("/auth"))
            .configure(bekci.mount_admin("/admin/v1", "admin"))
            .configure(move |service| match decides_elsewhere {
                true => decision::configure_absence(service),
                false => decision::configure(service, decisions),
            })
            .default_service(web::to(gatekeeper::handle))
    })
    .workers(workers(config))
    .max_connections(usize::try_from(config.limits.max_connections).unwrap_or(25_000))
    .client_request_timeout(config.limits.head_timeout_seconds.duration())
    .keep_alive(config.limits.keep_alive_seconds.duration())
    .shutdown_timeout(u64::from(config.server.shutdown_timeout_seconds.get()))
    .h1_allow_half_closed(false)
    .disable_signals()
    .bind(address)
    .map_err(|error| ServeError::Listen { address, error })?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}

fn listen_decisions(
    config: &Config,
    bekci: &Bekci,
    decisions: web::Data<Decisions>,
) -> Result<Option<Server>, ServeError> {
    let Some(address) = config.server.decision_listen else {
        return Ok(None);
    };
    let bekci = bekci.clone();
    let server = HttpServer::new(move || {
        let decisions = decisions.clone();
        App::new()
            .wrap(bekci.middleware())
            .configure(move |service| decision::configure(service, decisions))
    })
    .workers(workers(config))
    .client_request_timeout(config.limits.head_timeout_seconds.duration())
    .keep_alive(config.limits.keep_alive_seconds.duration())
    .shutdown_timeout(u64::from(config.server.shutdown_timeout_seconds.get()))
    .disable_signals()
    .bind(address)
    .map_err(|error| ServeError::Listen { address, error })?;
    Ok(Some(server.run()))
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
        let handles = [&self.public, &self.ops].into_iter().chain(&self.decisions);
        let stopping = actix_web::rt::spawn(stop_on_signal(handles.map(Server::handle).collect()));
        let decisions = async {
            match self.decisions {
                Some(server) => server.await,
                None => Ok(()),
            }
        };
        let (served, decided, _) = tokio::join!(self.public, decisions, self.ops);
        stopping.abort();
        self.bekci.close().await;
        served.and(decided).map_err(ServeError::Ended)
    }
}

async fn stop_on_signal(servers: Vec<ServerHandle>) {
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
    // Together: each may take the whole of the time that it has.
    futures_util::future::join_all(servers.iter().map(|server| server.stop(true))).await;
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
