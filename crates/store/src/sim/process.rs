//! What a process has beside its database: the shared cache, a clock, tasks.

use std::{sync::Arc, time::Duration};

use bekci_core::{BoxFuture, Clock, Identity, PrincipalKey};
use time::OffsetDateTime;

use super::{
    database::{ALL, DATA, POLICIES},
    executor::{Executor, Owner, Sleep, YieldNow},
    ports::Connection,
    weak::Weak,
    world::World,
};
use crate::{
    coherence::{IdentityCache, Runtime},
    node::Hint,
    shared::{Label, Labelled},
};

#[async_trait::async_trait]
impl IdentityCache for Connection {
    async fn get(&self, key: &PrincipalKey) -> Option<Labelled> {
        self.world.hop().await;
        let found = self.world.cached(self.world.names.principal(key)?);
        self.world.hop().await;
        found
    }

    async fn set(&self, identity: &Identity, label: Label) {
        self.world.hop().await;
        if let Some(at) = self.world.names.principal(&identity.key) {
            let identity = Arc::new(identity.clone());
            self.world.store(at, Labelled { identity, label });
        }
        self.world.hop().await;
    }

    fn hint(&self, hint: Hint) {
        self.world.hint(self.owner, hint);
    }
}

/// A process's clock: it runs a little slow or fast, and its wall clock may show anything.
#[derive(Clone)]
pub(super) struct SimClock {
    pub(super) executor: Arc<Executor>,
    pub(super) per_mille: u64,
    pub(super) since: u64,
}

impl std::fmt::Debug for SimClock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SimClock({} per mille)", self.per_mille)
    }
}

impl Clock for SimClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + self.uptime()
    }

    fn uptime(&self) -> Duration {
        Duration::from_nanos(self.since + self.executor.now() / 1_000 * self.per_mille)
    }
}

/// Tasks and timers of one process.
#[derive(Clone)]
pub(super) struct SimRuntime {
    pub(super) world: Arc<World>,
    pub(super) owner: Owner,
    /// After which times the node loop gives a statement up.
    pub(super) bounds: [Duration; 2],
}

impl std::fmt::Debug for SimRuntime {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SimRuntime({})", self.owner)
    }
}

impl Runtime for SimRuntime {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        if self.world.weak == Weak::UnboundedLoop && self.bounds.contains(&time) {
            return Box::pin(std::future::pending());
        }
        Box::pin(Sleep::new(&self.world.executor, time))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.world.executor.spawn(self.owner, task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let world = Arc::clone(&self.world);
        self.spawn(Box::pin(async move {
            world.hop().await;
            YieldNow::default().await;
            work();
        }));
    }
}

/// Every datum that a key stands for.
pub(super) fn data_of(key: usize) -> std::ops::Range<usize> {
    if key == ALL { 0..POLICIES } else { key..key + 1 }
}

const _: () = assert!(DATA == POLICIES + 1);
