//! The echo upstream inside the test process, which notes the paths that reached it.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, mpsc},
};

use actix_web::{App, HttpServer, dev::Service as _, http::header::HeaderName};
use bekci_gateway::echo::{self, EchoCount};

/// A request with this header, as `x-answers: name: value`, is answered with that header.
pub const ANSWERS: &str = "x-answers";

/// One for all tests: each asks for paths of its own.
pub struct Echo {
    pub address: SocketAddr,
    seen: Arc<Mutex<HashSet<String>>>,
}

impl Echo {
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Echo> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let seen: Arc<Mutex<HashSet<String>>> = Arc::default();
        let noted = Arc::clone(&seen);
        let (listening, address) = mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    let noted = Arc::clone(&noted);
                    App::new()
                        .wrap_fn(move |request, next| {
                            noted.lock().unwrap().insert(request.path().to_owned());
                            let more: Vec<_> = request.headers().get_all(ANSWERS).cloned().collect();
                            let answering = next.call(request);
                            async move {
                                let mut answer = answering.await?;
                                for header in more {
                                    let (name, value) = header.to_str().unwrap().split_once(": ").unwrap();
                                    let (name, value) = (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
                                    answer.headers_mut().append(name, value);
                                }
                                Ok(answer)
                            }
                        })
                        .configure(|config| echo::configure(config, EchoCount::default()))
                })
                .workers(1)
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
                listening.send(server.addrs()[0]).unwrap();
                server.run().await.unwrap();
            });
        });
        Self {
            address: address.recv().unwrap(),
            seen,
        }
    }

    /// Whether a request for this path reached it.
    pub fn saw(&self, path: &str) -> bool {
        self.seen.lock().unwrap().contains(path)
    }
}
