//! Servers on free ports of the loopback, stopped when they are dropped.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    http::StatusCode,
    web,
};
use bekci::Tenancy;
use bekci_core::{
    AskedTenant, BearerToken, BoxFuture, Gate, GateParts, GuardName, HeaderCredential, IdentitySource, Need,
    RequestHead, RouteRule, SourceUnavailable, Stamp, Ticket, TokenFault, TokenKind, TokenVerifier, VerifiedClaims,
    View, testing::FakeClock,
};

use super::client::PATIENCE;
use crate::{
    echo::{self, EchoCount},
    ops::Metrics,
    proxy::{
        Forward, HostHeader, Proxy, ProxyParts, StrippedHeaders, TrustedProxies, Upstream, UpstreamSpec,
        testing::{identity_headers, principal},
    },
    routes::{Host, RouteSpec, RouteTable, Verb},
};

/// An Actix server on a thread of its own.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(make: impl FnOnce(TcpListener) -> Server + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            actix_web::rt::System::new().block_on(async {
                let server = make(listener);
                sender.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let handle = receiver.recv().unwrap();
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The command is sent at once; the thread's end is what is waited for.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The echo upstream and its count.
pub(super) fn echo_upstream() -> (Running, EchoCount) {
    let count = EchoCount::default();
    let counted = count.clone();
    let server = Running::start(move |listener| {
        HttpServer::new(move || App::new().configure(|config| echo::configure(config, counted.clone())))
            .workers(1)
            .disable_signals()
            .listen(listener)
            .unwrap()
            .run()
    });
    (server, count)
}

/// How a test's gateway is set up. Its routes: `/public/**` for anybody, `/me/**` where customer 42 has been let in.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) timeout: Duration,
    pub(super) trusts_loopback: bool,
    pub(super) tenancy: Tenancy,
    pub(super) host: HostHeader,
    pub(super) health_path: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            timeout: PATIENCE,
            trusts_loopback: false,
            tenancy: Tenancy::none(),
            host: HostHeader::Original,
            health_path: None,
        }
    }
}

impl Setup {
    pub(super) fn upstream(&self, urls: &[String]) -> Arc<Upstream> {
        Upstream::new(UpstreamSpec {
            tls: None,
            urls: urls.to_vec(),
            health_path: self.health_path.clone(),
            timeout: self.timeout,
            host: self.host,
        })
        .unwrap()
    }

    /// A gateway with one worker, so that all requests share its connections.
    pub(super) fn start(&self, urls: &[String]) -> Running {
        let gateway = Arc::new(Gateway::new(self, self.upstream(urls)));
        Running::start(move |listener| {
            HttpServer::new(move || {
                App::new()
                    .app_data(web::Data::from(Arc::clone(&gateway)))
                    .default_service(web::to(handle))
            })
            .workers(1)
            .h1_allow_half_closed(false)
            .disable_signals()
            .listen(listener)
            .unwrap()
            .run()
        })
    }
}

/// A gateway in front of these upstreams.
pub(super) fn gateway(urls: &[String]) -> Running {
    Setup::default().start(urls)
}

struct Gateway {
    proxy: Proxy,
    gate: Gate,
    routes: RouteTable,
}

impl Gateway {
    fn new(setup: &Setup, upstream: Arc<Upstream>) -> Self {
        let clock = Arc::new(FakeClock::at(1_000));
        let trusts = setup.trusts_loopback;
        let spec = |id: &str, path: &str| RouteSpec {
            id: id.into(),
            hosts: vec!["*".to_owned()],
            paths: vec![path.to_owned()],
            methods: vec!["*".to_owned()],
            rule: Arc::new(RouteRule::public(id)),
            upstream: Some(Arc::clone(&upstream)),
            semicolon_allowed: false,
            double_encoding_allowed: false,
        };
        Self {
            proxy: Proxy::new(ProxyParts {
                trusted: TrustedProxies::new(move |_| trusts),
                tenancy: setup.tenancy.clone(),
                identity: Arc::new(identity_headers(8_192)),
                stripped: StrippedHeaders::new(["x-company-*"]),
                pseudonym: "bekci-test".into(),
                own_origin: "http://gw.test".into(),
                clock: Arc::<FakeClock>::clone(&clock),
                metrics: Arc::new(Metrics::default()),
            }),
            gate: Gate::new(GateParts {
                verifier: Arc::new(Unasked),
                identities: Arc::new(Unasked),
                clock,
            }),
            routes: RouteTable::new([spec("public", "/public/**"), spec("me", "/me/**")])
                .unwrap()
                .0,
        }
    }

    async fn serve(&self, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, (u16, String)> {
        let told = |status: u16, error: &dyn ToString| (status, error.to_string());
        let host = Host::of(request.headers(), request.uri()).map_err(|bad| told(400, &bad))?;
        let verb = Verb::of(request.method()).map_err(|none| {
            let miss = crate::routes::RouteMiss::NoVerb(none);
            told(miss.status(), &miss)
        })?;
        let found = self.routes.find(verb, &host, request.uri().path());
        let found = found.map_err(|miss| told(miss.status(), &miss))?;
        let head = RequestHead {
            method: verb.as_str(),
            path: &found.path,
            tenant: AskedTenant::None,
            authorization: HeaderCredential::Absent,
            cookies: &[],
            fetch_site: None,
            csrf_token: None,
            secured: None,
        };
        let admission = self.gate.admit(&head, &found.route.rule).await.unwrap();
        let customer = principal(&["buyer"], &["orders.view"], serde_json::json!({"email": "zoë@b.c"}));
        let forward = Forward {
            request: request.head(),
            is_https: false,
            path: &found.path,
            host: &host,
            upstream: found.route.upstream.as_ref().unwrap(),
            principal: (&*found.route.id == "me").then_some(&customer),
            internal_token: None,
            request_id: "request-1",
            trace: None,
        };
        let forwarded = self
            .proxy
            .forward(&admission.permit, forward, payload.into_inner())
            .await;
        forwarded.map_err(|error| told(error.code().status(), &error))
    }
}

async fn handle(request: HttpRequest, payload: web::Payload, gateway: web::Data<Gateway>) -> HttpResponse {
    match gateway.serve(&request, payload).await {
        Ok(answer) => answer,
        Err((status, error)) => HttpResponse::build(StatusCode::from_u16(status).unwrap()).body(error),
    }
}

/// Ports that a public route never asks.
#[derive(Debug)]
struct Unasked;

impl TokenVerifier for Unasked {
    fn guard_of(&self, _: BearerToken<'_>) -> Result<GuardName, TokenFault> {
        Err(TokenFault::UnknownKey)
    }

    fn verify(&self, _: &GuardName, _: TokenKind, _: BearerToken<'_>) -> Result<Arc<VerifiedClaims>, TokenFault> {
        Err(TokenFault::UnknownKey)
    }
}

impl IdentitySource for Unasked {
    fn ticket(&self) -> Ticket {
        Ticket(0)
    }

    fn warm(&self, _: &Need<'_>) -> Option<View> {
        None
    }

    fn read<'a>(&'a self, _: &'a Need<'a>, _: Ticket) -> BoxFuture<'a, Result<View, SourceUnavailable>> {
        Box::pin(async { Err(SourceUnavailable("not asked".to_owned())) })
    }

    fn unmoved(&self, _: &Stamp) -> bool {
        true
    }

    fn used(&self, _: &View, _: bekci_core::SessionId, _: u32) {}
}
