//! The gateway inside another program: all that a connection passes, but for the socket. What counts allocations and instructions asks it so.

use std::{net::SocketAddr, path::Path, sync::Arc};

use bekci::Bekci;
use bekci_store::SystemClock;
use tokio::io::DuplexStream;

use crate::{
    assemble,
    commands::{self, log_to},
    generation::{Current, CurrentGate, Direct, Generation, Ground, Renewing},
    http1,
    log::Sink,
    ops::Metrics,
    serve,
};

/// How many bytes wait in each direction of a connection.
const PIPE: usize = 64 * 1024;

/// A gateway without listeners.
#[derive(Debug)]
pub struct Gateway {
    current: Current,
}

/// A thread's way to a [`Gateway`].
pub struct Worker(http1::Handed);

impl Gateway {
    /// Puts the configuration of a file to work. The log is written, and goes nowhere. The tasks of the store run in the runtime that this is called in.
    ///
    /// # Errors
    /// The text that `bekci serve` ends with.
    pub async fn start(file: &Path) -> Result<Self, String> {
        let loaded = commands::load(Some(file)).map_err(|failure| failure.to_string())?;
        let metrics = Arc::new(Metrics::default());
        let sink = Sink::to_writer(
            std::io::sink(),
            metrics.log_lost.with([]),
            Arc::clone(&metrics.log_refuses),
        );
        log_to(sink, &loaded.config.log.level.to_string(), loaded.config.log.format);
        let ground = Ground {
            database: assemble::database(&loaded.config)
                .await
                .map_err(|error| error.to_string())?,
            metrics,
            clock: Arc::new(SystemClock),
            served: None,
            gates: CurrentGate::default(),
        };
        let first = Generation::build(&ground, loaded, None).await;
        let current = Current::new(first.map_err(|error| error.to_string())?);
        ground.gates.set(current.now().bekci().gate());
        Ok(Self { current })
    }

    /// The library's part of it.
    #[must_use]
    pub fn bekci(&self) -> Bekci {
        self.current.now().bekci().clone()
    }

    /// What a worker's thread has, for the thread that calls this.
    pub async fn worker(&self) -> Option<Worker> {
        let config = self.current.now().loaded.config.clone();
        let application = Direct::new(&self.current, Renewing::new(&self.current, serve::public_app));
        let refuse = serve::refuse(&self.current);
        let handed = http1::hand(application, refuse, serve::bounds(&config), config.server.listen);
        handed.await.map(Worker)
    }

    /// Takes its node out.
    pub async fn close(&self) {
        self.current.close().await;
    }
}

impl Worker {
    /// Opens a connection of a client at this address. It is served by a task of this thread.
    #[must_use]
    pub fn connect(&self, peer: SocketAddr) -> DuplexStream {
        let (near, far) = tokio::io::duplex(PIPE);
        actix_web::rt::spawn((self.0)(far, peer));
        near
    }
}
