//! What repeats exactly: allocations and instructions of one request.
//!
//! One thread has both ends of a connection in memory, so that what is counted is all that a request costs the thread of a worker, but for the client's socket. The upstream and the tasks of the
//! store have threads of their own.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
};

use actix_http::{HttpService, Protocol};
use actix_service::{Service as _, ServiceFactory as _, map_config};
use actix_web::{
    App,
    dev::AppConfig,
    rt::{System, SystemRunner},
    web,
};
use bekci_core::{GuardChain, RouteRule};
use bekci_gateway::in_process::Gateway;
use bekci_test_support::TempDir;
use bekci_token::Algorithm;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    runtime::Runtime,
};

use crate::{
    application::hello,
    gateway::CONFIG,
    house::{House, admin},
};

/// So many requests come before those that count.
const WARM_UP: u32 = 300;

/// Asks so many requests of a scene that count, after those that warm it up.
pub(crate) fn ask(scene: &str, requests: u32) {
    let mut scene = Scene::named(scene);
    asked(&mut scene, WARM_UP);
    counted(&mut scene, requests);
}

/// A question of another proxy about `/api/orders/7`.
const ASKED: [&str; 4] = [
    "x-forwarded-method: GET",
    "x-forwarded-proto: http",
    "x-forwarded-host: bekci.test",
    "x-forwarded-uri: /api/orders/7",
];

/// The name by which callgrind knows what counts.
#[inline(never)]
fn counted(scene: &mut Scene, requests: u32) {
    asked(scene, requests);
}

fn asked(scene: &mut Scene, requests: u32) {
    let Scene { system, client, .. } = scene;
    system.block_on(async {
        for _ in 0..requests {
            client.ask().await;
        }
    });
}

/// One kind of request, and what answers it.
struct Scene {
    client: Client,
    system: SystemRunner,
    _answers: Answers,
}

/// What has to live as long as a scene.
enum Answers {
    Plain,
    Application {
        _house: House,
        _tasks: Runtime,
    },
    Gateway {
        _gateway: Gateway,
        _tasks: Runtime,
        _folder: TempDir,
    },
}

impl Scene {
    fn named(name: &str) -> Self {
        match name {
            "plain" => Self::plain(),
            "open" => Self::application("/open"),
            "guarded" => Self::application("/guarded"),
            "public" => Self::gateway(&[], "/public/orders/7"),
            "checked" => Self::gateway(&[], "/api/orders/7"),
            "forward-auth" => Self::gateway(&ASKED, "/forward-auth"),
            _ => panic!("{name}?"),
        }
    }

    /// A handler that returns 200, and nothing else.
    fn plain() -> Self {
        let system = System::new();
        let io = system.block_on(async { serve!(App::new().default_service(web::to(hello))) });
        Self::of(system, Client::new(io, "/", &[]), Answers::Plain)
    }

    /// The application with a route that Bekci guards beside the same route unguarded.
    fn application(path: &str) -> Self {
        let (tasks, system) = (tasks(), System::new());
        let house = tasks.block_on(House::build(Algorithm::EdDsa));
        let io = system.block_on(async {
            let rule = RouteRule::guarded("guarded", GuardChain::new([Arc::clone(&house.guard)]));
            let app = App::new()
                .service(web::scope("/open").route("", web::get().to(hello)))
                .service(
                    web::scope("/guarded")
                        .wrap(house.bekci.require_rule(rule))
                        .route("", web::get().to(hello)),
                );
            serve!(app)
        });
        let authorization = format!("authorization: {}", house.bearer);
        let client = Client::new(io, path, &[&authorization]);
        let answers = Answers::Application {
            _house: house,
            _tasks: tasks,
        };
        Self::of(system, client, answers)
    }

    /// A gateway before an upstream. The request is of an admin who is signed in.
    fn gateway(more: &[&str], path: &str) -> Self {
        let (tasks, system) = (tasks(), System::new());
        let folder = TempDir::new("counts");
        let config = folder.path().join("bekci.toml");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        let text = CONFIG
            // Nothing listens there.
            .replace("{port}", "1")
            .replace("{ops}", "2")
            .replace("{workers}", "1")
            .replace("level = \"warn\"", "level = \"info\"")
            .replace("{upstream}", &upstream().to_string())
            .replace("{folder}", &folder.path().display().to_string())
            .replace("{config}", &root.display().to_string());
        std::fs::write(&config, text).unwrap();
        let (gateway, bearer) = tasks.block_on(async {
            let gateway = Gateway::start(&config).await.unwrap();
            let (_, bearer) = admin(&gateway.bekci()).await;
            (gateway, bearer)
        });
        let io = system.block_on(async {
            let worker = gateway.worker().await.unwrap();
            worker.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)))
        });
        let authorization = format!("authorization: {bearer}");
        let headers: Vec<&str> = more.iter().copied().chain([&*authorization]).collect();
        let client = Client::new(io, path, &headers);
        let answers = Answers::Gateway {
            _gateway: gateway,
            _tasks: tasks,
            _folder: folder,
        };
        Self::of(system, client, answers)
    }

    fn of(system: SystemRunner, client: Client, answers: Answers) -> Self {
        Self {
            client,
            system,
            _answers: answers,
        }
    }
}

/// Threads for what is not part of a request.
fn tasks() -> Runtime {
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    threads.unwrap()
}

/// A connection to an Actix application, served by a task of this thread.
macro_rules! serve {
    ($app:expr) => {{
        let app = map_config($app, |()| AppConfig::default());
        let service = HttpService::build().finish(app).new_service(()).await.unwrap();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        actix_web::rt::spawn(service.call((far, Protocol::Http1, Some(peer))));
        near
    }};
}
pub(crate) use serve;

/// A client that allocates nothing for a request.
struct Client {
    io: DuplexStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    /// How long each answer is; `None` before the first one.
    length: Option<usize>,
}

impl Client {
    fn new(io: DuplexStream, path: &str, headers: &[&str]) -> Self {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        Self {
            io,
            request: format!("GET {path} HTTP/1.1\r\nhost: bekci.test\r\n{headers}\r\n").into_bytes(),
            answer: vec![0; 16 * 1024],
            length: None,
        }
    }

    async fn ask(&mut self) {
        self.io.write_all(&self.request).await.unwrap();
        match self.length {
            Some(length) => {
                self.io.read_exact(&mut self.answer[..length]).await.unwrap();
            }
            None => self.length = Some(self.first().await),
        }
        assert_eq!(&self.answer[..13], b"HTTP/1.1 200 ", "{}", self.text());
    }

    /// Reads the first answer, and gives its length. The others are as long.
    async fn first(&mut self) -> usize {
        let mut had = 0;
        loop {
            had += self.io.read(&mut self.answer[had..]).await.unwrap();
            let text = String::from_utf8_lossy(&self.answer[..had]).into_owned();
            let Some((head, _)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")
                        .map(str::to_owned)
                })
                .map_or(0, |length| length.parse().unwrap());
            if had == head.len() + 4 + length {
                return had;
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.answer[..self.length.unwrap_or(200)]).into_owned()
    }
}

/// A server that answers every request alike, as nginx writes it.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 30 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello";
    stream.set_nodelay(true).unwrap();
    let (mut head, mut had) = ([0; 16 * 1024], 0);
    loop {
        match stream.read(&mut head[had..]) {
            Ok(0) | Err(_) => return,
            Ok(read) => had += read,
        }
        if head[..had].ends_with(b"\r\n\r\n") {
            had = 0;
            // The gateway that asked may be gone.
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: usize = 2_001;

    /// How often one request allocates: the median of many, since a thread that shares the machine, or a new second, may add some to one of them.
    fn allocations(mut scene: Scene) -> u64 {
        asked(&mut scene, WARM_UP);
        let count = |work: &mut dyn FnMut()| allocation_counter::measure(work).count_total;
        let mut counts: Vec<u64> = (0..REQUESTS)
            .map(|_| {
                let nothing = count(&mut || scene.system.block_on(async {}));
                count(&mut || asked(&mut scene, 1)) - nothing
            })
            .collect();
        counts.sort_unstable();
        counts[REQUESTS / 2]
    }

    /// Each scene with the allocations that it may have: those that it had when this was last lowered.
    const BOUNDS: [(&str, u64); 6] = [
        ("plain", 5),
        ("open", 10),
        ("guarded", 15),
        ("public", 19),
        ("checked", 20),
        ("forward-auth", 30),
    ];

    #[test]
    fn no_request_allocates_more_than_it_did() {
        let counts = BOUNDS.map(|(name, _)| (name, allocations(Scene::named(name))));
        let is_within = |((_, count), (_, bound)): (&(&str, u64), &(&str, u64))| count <= bound;
        assert!(
            counts.iter().zip(&BOUNDS).all(is_within),
            "allocations are {counts:?}, and may be {BOUNDS:?}"
        );
    }
}
