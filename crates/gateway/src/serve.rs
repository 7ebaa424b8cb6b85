//! The listeners: public traffic, and the one for those who run the gateway.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use actix_service::IntoServiceFactory;
use actix_web::{
    App, Error, HttpResponse, HttpServer,
    body::MessageBody,
    dev::{AppConfig, Server, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse},
    http::header::{DATE, HeaderValue, HttpDate},
    middleware::from_fn,
    web,
};
use bekci::Bekci;
use bekci_core::Clock as _;
use bekci_store::SystemClock;
use futures_util::future::LocalBoxFuture;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    assemble::{self, AssembleError},
    config::{Config, Loaded},
    decision, gatekeeper,
    generation::{Current, CurrentGate, Direct, Generation, Ground, Read, Renewing, Turner},
    http1::{self, Bounds, UnreadableHead, UploadLimits},
    ops::{self, Metrics},
    readiness::Ready,
    schema_watch,
    tls::{self, Certificate, Served, TlsProblem},
};

/// Why the gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The parts do not come together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address}: {error}")]
    Listen {
        /// The key that names it.
        key: &'static str,
        /// The address.
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
    pub(crate) address: SocketAddr,
    pub(crate) ops_address: SocketAddr,
    current: Current,
    public: Server,
    ops: Server,
    by_tls: bool,
    decisions: Option<Server>,
    turning: JoinHandle<()>,
    looking: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

/// Puts the gateway together, brings the schema up to date where that is wanted, and listens. `read`: how the configuration was read, and is again.
pub(crate) async fn start(loaded: Loaded, read: Read, metrics: Arc<Metrics>) -> Result<Running, ServeError> {
    if let Some(path) = loaded.config.database.sqlite_path().filter(|path| !path.exists()) {
        tracing::info!(database = %path.display(), "the database does not exist and is made");
    }
    let ground = Ground {
        database: assemble::database(&loaded.config).await?,
        metrics,
        clock: Arc::new(SystemClock),
        served: certificate(&loaded.config)
            .map_err(AssembleError::from)?
            .map(Served::new),
        gates: CurrentGate::default(),
    };
    let config = loaded.config.clone();
    let served = ground.served.clone();
    let current = Current::new(Generation::build(&ground, loaded, None).await?);
    warn_of_redis(current.now().bekci()).await;
    ground.gates.set(current.now().bekci().gate());
    let (public, address) = listen_public(&config, &current, served.as_ref())?;
    let decisions = listen_decisions(&config, &current, served.as_ref())?;
    let (ops, ops_address) = listen_ops(&config, &current, Arc::clone(&ground.metrics))?;
    let looking = schema_watch::run(current.clone(), ground.database.clone());
    let turner = Turner::new(ground, current.clone(), read, can_be_mounted);
    let (stop, stopped) = watch::channel(false);
    Ok(Running {
        address,
        ops_address,
        current,
        public,
        ops,
        by_tls: served.is_some(),
        decisions,
        turning: actix_web::rt::spawn(turner.run(stopped)),
        looking: actix_web::rt::spawn(looking),
        stop,
    })
}

/// The gateway starts without its Redis, and says what that means. One that refuses what is needed was refused before.
async fn warn_of_redis(bekci: &Bekci) {
    let Some(report) = bekci.store().try_redis().await else {
        return;
    };
    if let Some(problem) = report.problem {
        tracing::warn!(%problem, "{REDIS_IS_DOWN}");
    }
    if let Some(problem) = report.hints {
        tracing::warn!(%problem, "{HINTS_ARE_LOST}");
    }
}

/// What a Redis that cannot be used means.
pub(crate) const REDIS_IS_DOWN: &str = "sign-in by password answers 503 until it does; users who are signed in stay so, and identities come from the database";
/// What a Redis that announces no changes means.
pub(crate) const HINTS_ARE_LOST: &str = "nodes see changes of each other at their next poll";

fn workers(config: &Config) -> usize {
    match usize::from(config.server.workers) {
        0 => std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get),
        workers => workers,
    }
}

/// Where the calls of guards are, unless their configuration says where.
const AUTH: &str = "/auth";
/// Where the management API is.
const ADMIN: &str = "/admin/v1";

/// The paths at which [`public_app`] has something, each with all below it.
pub(crate) fn own_paths(bekci: &Bekci) -> impl Iterator<Item = String> {
    let others = [ADMIN].into_iter().chain(decision::PATHS).map(str::to_owned);
    bekci.mounted_paths(AUTH).into_iter().chain(others)
}

/// What answers on the public listener.
pub(crate) fn public_app(
    generation: &Generation,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    let bekci = generation.bekci();
    let decides_elsewhere = generation.loaded.config.server.decision_listen.is_some();
    let decisions = generation.decisions.clone();
    if !decides_elsewhere {
        decision::describe(bekci);
    }
    App::new()
        .wrap(generation.front.clone())
        .app_data(generation.keeper.clone())
        .configure(bekci.mount(AUTH))
        .configure(bekci.mount_admin(ADMIN, "admin"))
        .configure(move |service| match decides_elsewhere {
            true => decision::configure_absence(service),
            false => decision::configure(service, decisions),
        })
        .default_service(web::to(gatekeeper::handle))
}

/// Whether every part of a generation's application can be made, as each worker will make it.
fn can_be_mounted(generation: &Generation) -> LocalBoxFuture<'static, bool> {
    let building = public_app(generation).into_factory().new_service(AppConfig::default());
    Box::pin(async move { building.await.is_ok() })
}

/// The certificate of the listeners, as its files have it now; `None`: they speak in the clear.
pub(crate) fn certificate(config: &Config) -> Result<Option<Certificate>, TlsProblem> {
    let files = config.server.tls.as_ref();
    files
        .map(|files| Certificate::read(&files.cert, &files.key))
        .transpose()
}

/// The bounds of the listeners that clients reach.
pub(crate) fn bounds(config: &Config) -> Bounds {
    let limits = &config.limits;
    Bounds {
        workers: workers(config),
        max_connections: usize::try_from(limits.max_connections).unwrap_or(25_000),
        head_timeout: limits.head_timeout_seconds.duration(),
        send_timeout: limits.send_timeout_seconds.duration(),
        keep_alive: limits.keep_alive_seconds.duration(),
        uploads: UploadLimits {
            bytes_per_second: limits.upload_bytes_per_second,
            grace: limits.upload_grace_seconds.duration(),
            total: limits.upload_seconds.duration(),
        },
        shutdown_seconds: u64::from(config.server.shutdown_timeout_seconds.get()),
    }
}

/// The TLS configuration of a listener that shows this certificate.
fn tls_of(served: Option<&Served>) -> Result<Option<rustls::ServerConfig>, AssembleError> {
    Ok(served.map(tls::server_config).transpose()?)
}

/// Answers heads that cannot be read, as the current generation answers.
pub(crate) fn refuse(current: &Current) -> impl Fn(UnreadableHead) -> HttpResponse + Send + Clone + 'static + use<> {
    let current = current.clone();
    move |why| {
        let mut answer = current.now().front.refuse_head(&why.refusal());
        let date = HttpDate::from(SystemTime::from(SystemClock.now())).to_string();
        if let Ok(date) = HeaderValue::from_str(&date) {
            answer.headers_mut().insert(DATE, date);
        }
        answer
    }
}

fn listen_public(
    config: &Config,
    current: &Current,
    served: Option<&Served>,
) -> Result<(Server, SocketAddr), ServeError> {
    let (refuse, current) = (refuse(current), current.clone());
    let apps = move || Direct::new(&current, Renewing::new(&current, public_app));
    let address = config.server.listen;
    http1::listen(apps, refuse, address, bounds(config), tls_of(served)?)
        .map_err(|error| unbound("server.listen", address, error))
}

fn unbound(key: &'static str, address: SocketAddr, error: std::io::Error) -> ServeError {
    ServeError::Listen { key, address, error }
}

fn listen_decisions(config: &Config, current: &Current, served: Option<&Served>) -> Result<Option<Server>, ServeError> {
    let Some(address) = config.server.decision_listen else {
        return Ok(None);
    };
    let (refuse, current) = (refuse(current), current.clone());
    let app = |generation: &Generation| {
        let decisions = generation.decisions.clone();
        App::new()
            .wrap(generation.front.clone())
            .configure(move |service| decision::configure(service, decisions))
    };
    let apps = move || Renewing::new(&current, app);
    let listening = http1::listen(apps, refuse, address, bounds(config), tls_of(served)?);
    let (server, _bound) = listening.map_err(|error| unbound("server.decision_listen", address, error))?;
    Ok(Some(server))
}

fn listen_ops(config: &Config, current: &Current, metrics: Arc<Metrics>) -> Result<(Server, SocketAddr), ServeError> {
    let address = config.server.ops_listen;
    let ready = Arc::new(Ready(current.clone()));
    let server = HttpServer::new(move || {
        let (ready, metrics) = (Arc::clone(&ready), Arc::clone(&metrics));
        App::new()
            .wrap(from_fn(ops::with_request_id))
            .configure(move |service| ops::configure(service, ready, metrics))
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .bind(address)
    .map_err(|error| unbound("server.ops_listen", address, error))?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}

impl Running {
    /// The URL of the public listener, as this machine reaches it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.by_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The library's part of what runs now.
    pub(crate) fn bekci(&self) -> Bekci {
        self.current.now().bekci().clone()
    }

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
        self.stop.send_replace(true);
        let _ended = self.turning.await;
        self.looking.abort();
        self.current.close().await;
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
