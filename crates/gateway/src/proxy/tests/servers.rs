//! Servers on free ports of the loopback, stopped when they are dropped; and a client that writes what it is told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    http::StatusCode,
    web,
};
use bekci_core::{
    BearerToken, BoxFuture, Gate, GateParts, GuardName, HeaderCredential, IdentitySource, Need, RequestHead, RouteRule,
    SourceUnavailable, Stamp, Ticket, TokenFault, TokenKind, TokenVerifier, VerifiedClaims, View, testing::FakeClock,
};
use serde_json::Value;

use crate::{
    echo::{self, EchoCount},
    ops::Metrics,
    proxy::{Forward, HostHeader, Proxy, ProxyParts, TrustedProxies, Upstream, UpstreamSpec, testing::principal},
    routes::{Host, RouteSpec, RouteTable, Verb},
};

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

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
    pub(super) host: HostHeader,
    pub(super) health_path: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            timeout: PATIENCE,
            trusts_loopback: false,
            host: HostHeader::Original,
            health_path: None,
        }
    }
}

impl Setup {
    pub(super) fn upstream(&self, urls: &[String]) -> Arc<Upstream> {
        Upstream::new(UpstreamSpec {
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
        };
        Self {
            proxy: Proxy::new(ProxyParts {
                trusted: TrustedProxies::new(move |_| trusts),
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
            tenant: None,
            authorization: HeaderCredential::Absent,
            cookies: &[],
            fetch_site: None,
            csrf_token: None,
        };
        let admission = self.gate.admit(&head, &found.route.rule).await.unwrap();
        let customer = principal(&["buyer"], &["orders.view"], serde_json::json!({"email": "zoë@b.c"}));
        let forward = Forward {
            request,
            path: &found.path,
            host: &host,
            upstream: found.route.upstream.as_ref().unwrap(),
            principal: (&*found.route.id == "me").then_some(&customer),
            internal_token: None,
            request_id: "request-1",
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

/// An upstream that does with each connection what the test says, and keeps the heads of the requests that it read.
pub(super) struct Scripted {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A connection to a scripted upstream.
pub(super) struct Peer {
    reader: BufReader<TcpStream>,
    heads: Arc<Mutex<Vec<String>>>,
    /// Which connection it is, from 0.
    pub(super) number: usize,
}

impl Scripted {
    pub(super) fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let stops: Arc<AtomicBool> = Arc::default();
        let (kept, stopping, script) = (Arc::clone(&heads), Arc::clone(&stops), Arc::new(script));
        let thread = thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut peer = Peer {
                    reader: BufReader::new(stream),
                    heads: Arc::clone(&kept),
                    number,
                };
                let script = Arc::clone(&script);
                thread::spawn(move || script(&mut peer));
            }
        });
        Self {
            address,
            heads,
            stops,
            thread: Some(thread),
        }
    }

    /// One that answers each request with these bytes.
    pub(super) fn answering(answer: &str) -> Self {
        let answer = answer.to_owned();
        Self::start(move |peer| {
            while peer.head().is_some() {
                peer.say(&answer);
            }
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads that were read so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Peer {
    /// Reads the head of a request; `None` where the connection closes.
    pub(super) fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self
                .reader
                .read_line(&mut head)
                .ok()
                .filter(|count| *count > 0)
                .is_none()
            {
                return None;
            }
        }
        self.heads.lock().unwrap().push(head.clone());
        Some(head)
    }

    pub(super) fn say(&mut self, text: &str) {
        let _ = self.reader.get_mut().write_all(text.as_bytes());
    }

    /// Reads some bytes; none where the connection is closed.
    pub(super) fn hear(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 64 * 1024];
        let count = self.reader.read(&mut bytes).unwrap_or_default();
        bytes.truncate(count);
        bytes
    }

    /// Waits until the other side closes.
    pub(super) fn hears_the_end(&mut self) {
        while !self.hear().is_empty() {}
    }
}

/// A client's connection.
pub(super) fn connect(server: &Running) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes and reads until the server closes.
pub(super) fn exchange(server: &Running, request: &str) -> String {
    let mut stream = connect(server);
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks for a path with these header lines, and closes.
pub(super) fn get(server: &Running, target: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    exchange(
        server,
        &format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n{lines}\r\n"),
    )
}

/// The status of an answer.
pub(super) fn status(answer: &str) -> u16 {
    let word = answer.split(' ').nth(1).unwrap_or_default();
    word.parse().unwrap_or_else(|_| panic!("no answer: {answer:?}"))
}

/// The body of an answer.
pub(super) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// What the echo upstream told.
pub(super) fn told(answer: &str) -> Value {
    serde_json::from_str(body(answer)).unwrap_or_else(|_| panic!("no echo: {answer}"))
}

/// The values of a header as the echo upstream received it.
pub(super) fn received(told: &Value, name: &str) -> Vec<String> {
    let values = told["headers"][name].as_array().cloned().unwrap_or_default();
    values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}
