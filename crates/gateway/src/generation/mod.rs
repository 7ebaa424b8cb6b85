//! What a configuration makes of the gateway, whole: a reload builds the next one beside it, and puts it in its place at once.
//!
//! 1. A request belongs to one generation from its first byte to the head of its answer. There is no mixture of two.
//! 2. Connections belong to none: the listeners stay, and a kept connection asks the next generation with its next request.
//! 3. A generation that was replaced finishes the requests that it has. Then its store is closed, so that no writer waits for its node.
//! 4. What a new file leaves as it was is handed on: where routes alone change, the store with its memory stays.

mod direct;
mod house;
mod listed;
mod renewing;
mod turn;

use std::{sync::Arc, time::Duration};

use actix_web::web;
use bekci::{Bekci, Front};
use bekci_core::{AuthGuard, Clock, Gate};
use bekci_migration::sea_orm_migration::sea_orm::DatabaseConnection;
use parking_lot::RwLock;

pub(crate) use direct::Direct;
use direct::OwnPaths;
use house::House;
pub(crate) use house::until_trusted;
use listed::Watched;
pub(crate) use renewing::Renewing;
pub(crate) use turn::{Read, Turner};

use crate::{
    assemble::{self, AssembleError},
    config::Loaded,
    decision::Decisions,
    gatekeeper::Gatekeeper,
    internal_token::InternalTokens,
    lookout::Lookout,
    ops::Metrics,
    proxy::{self, Proxy, ProxyParts, StrippedHeaders, TrustedProxies},
    serve,
    sign_in::SignInPages,
    tls::Served,
};

/// How often upstreams with a health path are asked.
const HEALTH_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether the last request of a replaced generation has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What all generations share: it is there as long as the process.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) database: DatabaseConnection,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The certificate that the listeners show; `None`: they speak in the clear.
    pub(crate) served: Option<Served>,
    pub(crate) gates: CurrentGate,
}

/// The gate of the generation that is in force, for connections that outlive the one that they were opened by.
#[derive(Clone, Debug, Default)]
pub(crate) struct CurrentGate(Arc<RwLock<Option<Gate>>>);

impl CurrentGate {
    /// `None` before there is a generation.
    pub(crate) fn now(&self) -> Option<Gate> {
        self.0.read().clone()
    }

    pub(crate) fn set(&self, gate: &Gate) {
        *self.0.write() = Some(gate.clone());
    }
}

/// One configuration, put to work.
#[derive(Debug)]
pub(crate) struct Generation {
    /// Counted from 1.
    pub(crate) number: u64,
    pub(crate) loaded: Loaded,
    pub(crate) house: Arc<House>,
    pub(crate) keeper: web::Data<Gatekeeper>,
    pub(crate) decisions: web::Data<Decisions>,
    pub(crate) front: Front,
    own_paths: OwnPaths,
}

impl Generation {
    /// Puts a configuration to work beside whatever runs. With `before`, what did not change is taken from there.
    ///
    /// # Errors
    /// [`AssembleError`]; whatever ran is as it was.
    pub(crate) async fn build(ground: &Ground, loaded: Loaded, before: Option<&Self>) -> Result<Self, AssembleError> {
        // First what costs nothing to find wrong.
        let guards: Vec<Arc<AuthGuard>> = assemble::guards(&loaded.config).into_iter().map(Arc::new).collect();
        assemble::routes(&loaded.config, &guards)?;
        let house = House::open(ground, &loaded, before).await?;
        match Self::over(ground, loaded, Arc::clone(&house), before) {
            Ok(generation) => Ok(generation),
            Err(error) => {
                house::leave(house).await;
                Err(error)
            }
        }
    }

    fn over(ground: &Ground, loaded: Loaded, house: Arc<House>, before: Option<&Self>) -> Result<Self, AssembleError> {
        let config = &loaded.config;
        let bekci = &house.bekci;
        let guards: Vec<Arc<AuthGuard>> = bekci.watch().guards().cloned().collect();
        let (routes, unreachable) = assemble::routes(config, &guards)?;
        for problem in unreachable {
            tracing::warn!("{problem}");
        }
        for gap in assemble::identity_gaps(config) {
            tracing::warn!("{gap}");
        }
        for upstream in routes.iter().filter_map(|route| route.upstream.clone()) {
            if upstream.is_asked_for_health() {
                // It ends by itself with the last holder of the upstream.
                actix_web::rt::spawn(proxy::watch(upstream, Arc::clone(&ground.clock), HEALTH_EVERY));
            }
        }
        let server = config.server.clone();
        let trusted = TrustedProxies::new(move |peer| server.trusts(peer));
        let keeper = web::Data::new(Gatekeeper {
            // What was remembered of requests to the generation before is of another gate.
            gate: bekci.gate().anew(),
            routes,
            tenancy: bekci.watch().tenancy().clone(),
            proxy: Proxy::new(ProxyParts {
                trusted,
                tenancy: bekci.watch().tenancy().clone(),
                stripped: StrippedHeaders::new(config.server.strip_headers.iter().map(|name| name.as_str())),
                identity: Arc::new(assemble::identity_headers(config, config.limits.identity_header_bytes)),
                pseudonym: format!("bekci-{}", bekci.store().node_name().get(..12).unwrap_or_default()).into(),
                own_origin: config.server.public_url.as_str().into(),
                clock: Arc::clone(&ground.clock),
                metrics: Arc::clone(&ground.metrics),
            }),
            internal: Some(InternalTokens::new(bekci.clone())),
            clock: Arc::clone(&ground.clock),
            pages: SignInPages::new(config),
            browsers: bekci.watch().browser_sessions(),
            lookout: Lookout {
                gates: ground.gates.clone(),
                delta: config.identity_cache.max_staleness_ms.duration(),
            },
        });
        let decisions = web::Data::new(Decisions::new(config, keeper.clone().into_inner()));
        let front = bekci.middleware().saying(assemble::messages(config)?);
        let front = front.cors(assemble::cors(config)?);
        let own_paths = OwnPaths::new(serve::own_paths(bekci));
        Ok(Self {
            number: before.map_or(1, |before| before.number + 1),
            house,
            keeper,
            decisions,
            front,
            own_paths,
            loaded,
        })
    }

    /// The library's part of it.
    pub(crate) fn bekci(&self) -> &Bekci {
        &self.house.bekci
    }
}

/// The generation that requests go to. Cheap to clone; one for all workers and listeners.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    generation: Arc<RwLock<Arc<Generation>>>,
    /// Why the files as they are now are not in force.
    refused: Arc<RwLock<Option<String>>>,
}

impl Current {
    pub(crate) fn new(first: Generation) -> Self {
        Self {
            generation: Arc::new(RwLock::new(Arc::new(first))),
            refused: Arc::default(),
        }
    }

    /// The generation as of now. Whoever holds it keeps its store open.
    pub(crate) fn now(&self) -> Arc<Generation> {
        Arc::clone(&self.generation.read())
    }

    /// Lets requests go to this one from now on, and gives the one before.
    fn replace(&self, next: Generation) -> Arc<Generation> {
        std::mem::replace(&mut *self.generation.write(), Arc::new(next))
    }

    /// Why the files as they are now were refused, and this generation stays; `None`: they were not.
    pub(crate) fn refused(&self) -> Option<String> {
        self.refused.read().clone()
    }

    /// Notes the mistakes of the files as they are now; none: they are in force.
    fn note(&self, mistakes: &[String]) {
        let others = match mistakes.len() {
            0 | 1 => String::new(),
            count => format!(" (and {} more, in the log)", count - 1),
        };
        let first = mistakes.first();
        *self.refused.write() =
            first.map(|first| format!("a newer one was refused, the one before is in force: {first}{others}"));
    }

    /// Closes what runs, when no more requests come: also where some still have it.
    pub(crate) async fn close(&self) {
        self.now().bekci().close().await;
    }
}

/// Waits until nobody holds the generation, and closes what no other one uses.
async fn retire(mut generation: Arc<Generation>) {
    let last = loop {
        match Arc::try_unwrap(generation) {
            Ok(last) => break last,
            Err(held) => generation = held,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    house::leave(last.house).await;
}
