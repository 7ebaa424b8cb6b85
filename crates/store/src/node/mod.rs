//! One process's share in keeping identities true: what it holds in memory, and how changes reach it.

mod barrier;
mod counters;
mod flight;
mod hints;
mod l1;
mod membership;
mod memory;
mod metrics;
mod policy;
mod policy_loads;
mod policy_slot;
mod polling;
mod read;
mod role_tables;
#[cfg(test)]
mod schedules;
mod seen;
mod sync;
mod trust;
mod usage;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bekci_core::{
    AuthGuard, BoxFuture, Clock, GuardName, IdentityVersion, Meter, ModelSpec, Need, PolicyCompiler, PrincipalKey,
};
use sea_orm::{DatabaseConnection, DbBackend};

use self::{
    counters::Counters,
    flight::Flights,
    hints::Wakes,
    l1::{Entry, L1},
    membership::Membership,
    memory::Memory,
    policy::Policies,
    role_tables::RoleTables,
    seen::Seen,
    trust::Trust,
    usage::Usage,
};
use crate::{
    coherence::{IdentityCache, Ledger, Runtime, Start, within},
    drift::Looks,
    failpoint::Failpoints,
    keys::ChangeKey,
    link::{Link, Linked},
    providers::Providers,
    shared::SharedCache,
};

pub(crate) use hints::{ACKNOWLEDGED, CHANNEL, Hint, hints};
pub use metrics::{Metrics, MetricsSnapshot};
pub(crate) use policy_loads::PolicyLabel;
#[cfg(test)]
pub(crate) use polling::{bound_of, half_bound_of};

/// How memory is used and how long it is trusted.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Δ: how long a node decides from memory after the beginning of the last poll that it applied. `None`: 1 s on SQLite, 5 s on a server database.
    pub max_staleness: Option<Duration>,
    /// How often the outbox is polled.
    pub poll: Duration,
    /// How long an entry lives in the shared cache.
    pub ttl: Duration,
    /// How long the shared cache may take to answer; then it is left alone for a second, and identities come from the database.
    pub shared_answer: Duration,
    /// How many bytes of identities are kept in this process.
    pub l1_bytes: usize,
    /// How long a commit waits at most for the identities that hooks named to be loaded again, so that the next request finds them warm.
    pub refresh_wait: Duration,
    /// How long a read of an identity may take, with the wait for a connection, Redis and a provider in it. Then the answer is "unavailable": a link that is half open gives no error.
    pub read_within: Duration,
    /// How many cached identities a node compares with the database a minute, of its memory and of the shared cache each; 0: none.
    pub drift_checks_per_minute: u32,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            max_staleness: None,
            poll: Duration::from_millis(50),
            ttl: Duration::from_secs(7_200),
            shared_answer: Duration::from_millis(100),
            l1_bytes: 256 << 20,
            refresh_wait: Duration::from_millis(50),
            read_within: Duration::from_millis(1_500),
            drift_checks_per_minute: 6,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Inner {
    db: Linked<DatabaseConnection>,
    link: Arc<Link>,
    backend: DbBackend,
    ledger: Arc<dyn Ledger>,
    runtime: Arc<dyn Runtime>,
    clock: Arc<dyn Clock>,
    models: Vec<ModelSpec>,
    providers: Providers,
    guards: Vec<Arc<AuthGuard>>,
    delta: Duration,
    poll: Duration,
    refresh_wait: Duration,
    read_within: Duration,
    drift_checks: u32,
    looks: Looks,
    shared: Option<Arc<SharedCache>>,
    cache: Option<Arc<dyn IdentityCache>>,
    counters: Counters,
    trust: Trust,
    l1: L1,
    epoch_floor: AtomicU64,
    roles: RoleTables,
    policies: Policies,
    /// Up to where the outbox is applied, and in which epoch of the database.
    place: parking_lot::Mutex<Start>,
    /// One round at a time.
    turn: tokio::sync::Mutex<()>,
    membership: Membership,
    flights: Arc<Flights>,
    usage: Usage,
    seen: Seen,
    metrics: Metrics,
    meter: Arc<dyn Meter>,
    /// Whose changes were timed, so that each is once.
    timed: parking_lot::Mutex<Timed>,
    wakes: Wakes,
    points: Failpoints,
}

/// Which changes were timed.
#[derive(Debug, Default)]
struct Timed {
    /// Positions of this node's own commits that its loop has not read back yet.
    own: BTreeSet<i64>,
    /// Up to where the loop has.
    read_back: i64,
}

/// A handle to this process's node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Node(Arc<Inner>);

/// What a node is made of.
pub(crate) struct NodeParts {
    pub(crate) db: DatabaseConnection,
    pub(crate) backend: DbBackend,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) link: Arc<Link>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) models: Vec<ModelSpec>,
    pub(crate) providers: Providers,
    pub(crate) guards: Vec<Arc<AuthGuard>>,
    pub(crate) settings: CacheSettings,
    /// Redis, for those who look into it.
    pub(crate) shared: Option<Arc<SharedCache>>,
    /// The shared cache of the protocol: Redis, if there is one.
    pub(crate) cache: Option<Arc<dyn IdentityCache>>,
    pub(crate) policy: Option<Arc<dyn PolicyCompiler>>,
    pub(crate) name: String,
    pub(crate) meter: Arc<dyn Meter>,
}

impl Node {
    pub(crate) fn new(parts: NodeParts) -> Self {
        let by_backend = if parts.backend == DbBackend::Sqlite {
            Duration::from_secs(1)
        } else {
            Duration::from_secs(5)
        };
        Self(Arc::new(Inner {
            db: Linked::new(parts.db, Arc::clone(&parts.link)),
            link: parts.link,
            backend: parts.backend,
            ledger: parts.ledger,
            runtime: parts.runtime,
            clock: parts.clock,
            models: parts.models,
            providers: parts.providers,
            guards: parts.guards,
            delta: parts.settings.max_staleness.unwrap_or(by_backend),
            poll: parts.settings.poll,
            refresh_wait: parts.settings.refresh_wait,
            read_within: parts.settings.read_within,
            drift_checks: parts.settings.drift_checks_per_minute,
            looks: Looks::default(),
            shared: parts.shared,
            cache: parts.cache,
            counters: Counters::new(),
            trust: Trust::default(),
            l1: L1::new(parts.settings.l1_bytes),
            epoch_floor: AtomicU64::new(0),
            roles: RoleTables::default(),
            policies: Policies::new(parts.policy),
            place: parking_lot::Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            membership: Membership::new(parts.name),
            flights: Arc::default(),
            usage: Usage::default(),
            seen: Seen::default(),
            metrics: Metrics::default(),
            meter: parts.meter,
            timed: parking_lot::Mutex::default(),
            wakes: Wakes::default(),
            points: Failpoints::new(),
        }))
    }

    /// The database, for what a request waits for.
    pub(crate) fn db(&self) -> &Linked<DatabaseConnection> {
        &self.0.db
    }

    /// Whether the database answers.
    pub(crate) fn link(&self) -> &Link {
        &self.0.link
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        &*self.0.ledger
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.0.runtime
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.0.backend
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.0.clock.uptime()
    }

    pub(crate) fn points(&self) -> &Failpoints {
        &self.0.points
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn meter(&self) -> &dyn Meter {
        &*self.0.meter
    }

    /// Looks for drift a minute.
    pub(crate) fn drift_checks(&self) -> u32 {
        self.0.drift_checks
    }

    pub(crate) fn looks(&self) -> &Looks {
        &self.0.looks
    }

    /// An entry of memory: another one each turn, and every one in time.
    pub(crate) fn sample(&self, turn: u64) -> Option<Entry> {
        self.0.l1.sample(turn)
    }

    pub(crate) fn delta(&self) -> Duration {
        self.0.delta
    }

    pub(crate) fn models(&self) -> &[ModelSpec] {
        &self.0.models
    }

    pub(crate) fn model(&self, name: &str) -> Option<&ModelSpec> {
        self.0.models.iter().find(|model| model.name.as_str() == name)
    }

    pub(crate) fn providers(&self) -> &Providers {
        &self.0.providers
    }

    pub(crate) fn guards(&self) -> &[Arc<AuthGuard>] {
        &self.0.guards
    }

    pub(crate) fn shared(&self) -> Option<&SharedCache> {
        self.0.shared.as_deref()
    }

    /// The shared cache as far as this principal's identity may be in it: not where each node may be given another account.
    pub(crate) fn shared_for(&self, key: &PrincipalKey) -> Option<&dyn IdentityCache> {
        let provider = self.0.providers.of(key.model());
        let is_same = provider.is_none_or(|provider| provider.is_same_for_all_nodes());
        self.0.cache.as_deref().filter(|_| is_same)
    }

    pub(crate) fn name(&self) -> &str {
        self.0.membership.name()
    }

    pub(crate) fn trusted(&self) -> bool {
        self.0.trust.holds(self.uptime())
    }

    /// Brings one change to this node. The same change applied twice does nothing the second time, where memory can tell.
    pub(crate) fn apply(&self, key: &ChangeKey, version: u64) {
        self.memory().apply(key, version);
    }

    fn memory(&self) -> Memory<'_> {
        let node = &*self.0;
        Memory {
            counters: &node.counters,
            l1: &node.l1,
            epoch_floor: &node.epoch_floor,
            roles: &node.roles,
            policies: &node.policies.slot,
        }
    }

    /// Applies this node's own commit, and hints the others. `committed`: when COMMIT returned.
    pub(crate) fn apply_own(&self, keys: &[(ChangeKey, u64)], position: i64, committed: Duration) {
        for (key, version) in keys {
            self.apply(key, *version);
        }
        let is_new = {
            let mut timed = self.0.timed.lock();
            // Between COMMIT and here the loop may have read it back already.
            timed.read_back < position && timed.own.insert(position)
        };
        if is_new {
            self.meter().applied(self.uptime().saturating_sub(committed));
        }
        tracing::debug!(position, keys = keys.len(), "change of rights committed");
        self.wake();
        self.send_hint(Hint::Change);
    }

    /// Drops everything that memory holds, and the right to use it.
    pub(crate) fn forget_everything(&self) {
        self.0.trust.drop();
        self.memory().forget();
        self.0.policies.loads.forget();
    }

    /// Wakes the node loop.
    pub(crate) fn wake(&self) {
        self.0.wakes.wake_loop();
    }

    pub(crate) fn wakes(&self) -> &Wakes {
        &self.0.wakes
    }

    /// Loads what hooks named again, so that the next request finds it warm; at most as long as
    /// [`CacheSettings::refresh_wait`] says. A failure is counted, never the writer's.
    /// `committed`: the position and when it was committed; what is loaded before this node is there is not kept.
    pub(crate) async fn refresh_beside(&self, keys: Vec<ChangeKey>, committed: Option<(i64, Duration)>) {
        if keys.is_empty() {
            return;
        }
        let all: BoxFuture<'_, ()> = Box::pin(async move {
            if let Some((position, since)) = committed {
                self.catch_up(position, since).await;
            }
            self.refresh_all(keys).await;
        });
        if within(&**self.runtime(), self.0.refresh_wait, all).await.is_none() {
            self.metrics().refresh_failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A hook outside a transaction: its write is in force already.
    pub(crate) async fn refresh_soon(&self, key: &ChangeKey) {
        self.refresh_beside(vec![key.clone()], None).await;
    }

    fn refresh_all(&self, keys: Vec<ChangeKey>) -> BoxFuture<'_, ()> {
        let loads: Vec<BoxFuture<'_, ()>> = keys
            .into_iter()
            .map(|key| -> BoxFuture<'_, ()> { Box::pin(self.refresh_now(key)) })
            .collect();
        Box::pin(async move {
            futures_util::future::join_all(loads).await;
        })
    }

    async fn refresh_now(&self, key: ChangeKey) {
        let ChangeKey::Principal(principal) = &key else { return };
        let Some(guard) = self.guard_for(principal) else { return };
        let need = Need {
            key: principal,
            guard,
            tenant: None,
            at_least: IdentityVersion(0),
            policy: false,
            consistency: bekci_core::Consistency::Direct,
        };
        if self.read_now(&need).await.is_err() {
            self.metrics().refresh_failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn guard_for(&self, key: &PrincipalKey) -> Option<&GuardName> {
        self.0
            .guards
            .iter()
            .find(|guard| guard.model.as_str() == key.model())
            .map(|guard| &guard.name)
    }
}
