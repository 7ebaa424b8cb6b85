//! SeaORM and Redis: the entities that identities are made of, the connection through which they are changed, and the cache that is kept true.
//!
//! The promise: when a call that takes rights away has returned, no node decides by the old rights, in any request that starts after it; and on the hot path a
//! decision costs no I/O. The database is the truth; Redis and memory are fast ways to it. Each part has its own module, which says why it is right:
//!
//! - [`hooks`]: refuse an unguarded connection, ask that the identity be fresh.
//! - [`GuardedConnection`], [`GuardedTransaction`]: nothing reaches COMMIT without its keys being numbered.
//! - `audit`: who changed what, told where it is committed.
//! - `coherence`: the ports through which the protocol reaches the database, the shared cache, timers and tasks.
//! - `commit`: versions, the commit lock, positions, COMMIT, the barrier.
//! - `node`: what a process holds, how long it trusts that, how it sees what others changed.
//! - `shared`: entries in Redis, sealed and labelled.
//! - `link`: whether the database answers, and how those who wait for it are let go.
//! - `limits`: how many attempts were refused, in this process or in Redis.
//! - `sessions`: sign-in, refresh and sign-out on the session row.

mod accounts;
mod audit;
mod authority;
mod clock;
mod coherence;
mod columns;
mod commit;
mod compared;
mod connect;
mod departed;
mod directory;
mod drift;
pub mod entity;
mod failpoint;
mod guarded;
mod health;
pub mod hooks;
mod identifiers;
mod keys;
mod limits;
mod link;
mod load;
mod mails;
mod node;
mod policies;
#[cfg(feature = "postgres")]
mod pooler;
mod providers;
mod redis_check;
#[cfg(feature = "redis")]
mod redis_link;
mod rights;
mod sessions;
mod shared;
#[cfg(test)]
mod sim;
mod sql;

#[cfg(not(any(feature = "mariadb", feature = "postgres", feature = "sqlite")))]
compile_error!("bekci needs a database: turn on one of the features `sqlite`, `postgres` and `mariadb`");

use std::sync::Arc;

use bekci_core::{
    AuthGuard, Clock, Entropy, IdentitySource, Meter, ModelSpec, PolicyCompiler, PrincipalKey, Purpose, RateLimiter,
    RootSecret, TokenId,
    signin::{SignInStore, StoreError},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};
use tokio::{sync::watch, task::JoinHandle};

pub use accounts::{BanOrder, BlockOrder};
pub use audit::Actor;
pub use authority::Caller;
pub use clock::SystemClock;
pub use columns::{UnfitColumn, UnfitColumns, unfit_columns, unknown_statuses};
pub use commit::{Barrier, CommitError, Committed};
pub use compared::{Agreement, CachedEntry, Compared};
pub use connect::{OpenError, connect};
pub use directory::{
    AccountChange, AccountPage, AccountQuery, Changed, Directory, DirectoryError, ImportRights, ImportRow, Imported,
    Importer, NewRole, NewRow, RolePage,
};
pub use drift::Drift;
pub use failpoint::Failpoints;
pub use guarded::{GuardedConnection, GuardedTransaction};
pub use identifiers::Twins;
pub use keys::ChangeKey;
pub use limits::{MemoryLimiter, RedisLimiter};
pub use node::{CacheSettings, Metrics, MetricsSnapshot};
pub use policies::{Policies, PolicyPage};
#[cfg(feature = "postgres")]
pub use pooler::check_pooler;
pub use providers::Providers;
pub use redis_check::{RedisProblem, RedisReport};
pub use rights::{Rights, RoleEntry, Scope};
pub use sea_orm;
pub use shared::{RedisSettings, SharedCacheError};

use crate::{
    coherence::{Runtime, SqlLedger, TokioRuntime},
    link::Link,
    mails::Mails,
    node::{Node, NodeParts},
    sessions::Sessions,
    shared::SharedCache,
};

/// What a store is opened with.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The models whose accounts it knows.
    pub models: Vec<ModelSpec>,
    /// Which of them have their accounts elsewhere than in a table of the database.
    pub providers: Providers,
    /// The guards, for the rules of their sessions.
    pub guards: Vec<Arc<AuthGuard>>,
    /// How memory is used.
    pub cache: CacheSettings,
    /// The shared cache; `None`: everything in process.
    pub redis: Option<RedisSettings>,
    /// The root secret, from which the seal of shared entries is derived.
    pub root: Arc<RootSecret>,
    /// Compiles policies; `None`: no route asks any.
    pub policy: Option<Arc<dyn PolicyCompiler>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// For the name of this node.
    pub entropy: Arc<dyn Entropy>,
    /// What is told of loads, changes and barriers as they happen.
    pub meter: Arc<dyn Meter>,
}

/// An identity store: one for a process, shared by its workers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    node: Node,
    entropy: Arc<dyn Entropy>,
    limiter: Arc<dyn RateLimiter>,
    /// The limiter again, if it counts in Redis.
    redis_limiter: Option<Arc<RedisLimiter>>,
    tasks: Arc<Tasks>,
    mails: Arc<Mails>,
    /// Whose its changes are told as.
    actor: Arc<Actor>,
    /// By whose rights its changes are judged.
    caller: Option<Arc<Caller>>,
}

#[derive(Debug)]
struct Tasks {
    stop: watch::Sender<bool>,
    running: parking_lot::Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Store {
    /// Opens a store on a connection pool and starts its node loop in the running tokio runtime. The tables may be missing: then nothing is trusted, and no
    /// identity can be read, until they are there.
    ///
    /// # Errors
    /// [`OpenError`] where the connection or the settings cannot be used.
    pub async fn open(db: DatabaseConnection, settings: StoreSettings) -> Result<Self, OpenError> {
        #[cfg(feature = "postgres")]
        check_pooler(&db).await?;
        let store = Self::open_quiet(db, settings).await?;
        // One that is down comes back by itself; one that refuses would leave sign-in closed.
        if let Some(RedisReport {
            problem: Some(problem @ RedisProblem::Refuses { .. }),
            ..
        }) = store.try_redis().await
        {
            return Err(OpenError::Redis(problem));
        }
        store.spawn();
        Ok(store)
    }

    /// The same without a node loop: for a command-line process, which writes like any writer and decides nothing from memory, and for tests that turn the
    /// loop by hand.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_quiet(db: DatabaseConnection, settings: StoreSettings) -> Result<Self, OpenError> {
        connect::check(&db).await?;
        let elsewhere = |model: &&ModelSpec| settings.providers.of(model.name.as_str()).is_some();
        let in_tables = settings.models.iter().filter(|model| !elsewhere(model));
        let unfit = columns::unfit_columns(&db, in_tables).await?;
        if !unfit.is_empty() {
            return Err(OpenError::Columns(UnfitColumns(unfit)));
        }
        let mut name = TokenId([0; 16]);
        settings.entropy.fill(&mut name.0).map_err(OpenError::Entropy)?;
        let shared = settings.redis.as_ref().map(|redis| {
            SharedCache::new(
                redis,
                (settings.cache.ttl, settings.cache.shared_answer),
                settings.root.derive(Purpose::Seal, None),
                Arc::clone(&settings.clock),
            )
        });
        let redis_limiter = limits::in_redis(settings.redis.as_ref(), &settings.cache)?;
        let limiter: Arc<dyn RateLimiter> = match &redis_limiter {
            Some(limiter) => Arc::<RedisLimiter>::clone(limiter),
            None => Arc::new(MemoryLimiter::new(Arc::clone(&settings.clock))),
        };
        let shared = shared.transpose()?.map(Arc::new);
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let link = Arc::new(Link::new(Arc::clone(&runtime)));
        let node = Node::new(NodeParts {
            backend: db.get_database_backend(),
            ledger: Arc::new(SqlLedger::new(db.clone(), Arc::clone(&link))),
            runtime,
            link,
            db,
            clock: settings.clock,
            models: settings.models,
            providers: settings.providers,
            guards: settings.guards,
            settings: settings.cache,
            cache: shared.clone().map(|shared| shared as _),
            shared,
            policy: settings.policy,
            name: name.to_string(),
            meter: settings.meter,
        });
        let (stop, _) = watch::channel(false);
        let seal = settings.root.derive(Purpose::Mail, None);
        let mails = Arc::new(Mails::new(node.clone(), Arc::clone(&settings.entropy), seal));
        Ok(Self {
            node,
            mails,
            entropy: settings.entropy,
            limiter,
            redis_limiter,
            tasks: Arc::new(Tasks {
                stop,
                running: parking_lot::Mutex::default(),
            }),
            actor: Arc::new(Actor::application()),
            caller: None,
        })
    }

    fn spawn(&self) {
        let stop = || self.tasks.stop.subscribe();
        let mut running = self.tasks.running.lock();
        running.push(tokio::spawn(self.node.clone().run_loop(stop())));
        running.push(tokio::spawn(self.node.clone().run_flushing(stop())));
        running.push(tokio::spawn(self.node.clone().run_drift_checks(stop())));
        running.extend(node::hints(&self.node, &stop()));
    }

    /// The connection to write through.
    #[must_use]
    pub fn connection(&self) -> GuardedConnection {
        GuardedConnection {
            node: self.node.clone(),
        }
    }

    /// Where identities come from.
    #[must_use]
    pub fn identities(&self) -> Arc<dyn IdentitySource> {
        Arc::new(self.node.clone())
    }

    /// Sessions and credentials.
    #[must_use]
    pub fn sign_in_store(&self) -> Arc<dyn SignInStore> {
        Arc::new(self.sessions())
    }

    /// Counts refusals: in Redis where there is one, so that the nodes share the counts, else in this process.
    #[must_use]
    pub fn rate_limiter(&self) -> Arc<dyn RateLimiter> {
        Arc::clone(&self.limiter)
    }

    /// What people do with their own accounts.
    #[must_use]
    pub fn account_store(&self) -> Arc<dyn bekci_core::accounts::AccountStore> {
        Arc::new(directory::own::OwnAccounts(self.clone()))
    }

    /// Security cookies.
    #[must_use]
    pub fn security_store(&self) -> Arc<dyn bekci_core::security::SecurityStore> {
        Arc::new(self.sessions())
    }

    /// Remember-me series.
    #[must_use]
    pub fn remember_store(&self) -> Arc<dyn bekci_core::remember::RememberStore> {
        Arc::new(self.sessions())
    }

    /// Invitations.
    #[must_use]
    pub fn invite_store(&self) -> Arc<dyn bekci_core::invites::InviteStore> {
        Arc::new(directory::own::OwnAccounts(self.clone()))
    }

    /// Sign-in by mailed secrets.
    #[must_use]
    pub fn code_store(&self) -> Arc<dyn bekci_core::codes::CodeStore> {
        Arc::new(directory::own::OwnAccounts(self.clone()))
    }

    /// Links to identity providers.
    #[must_use]
    pub fn link_store(&self) -> Arc<dyn bekci_core::idp::LinkStore> {
        Arc::new(directory::own::OwnAccounts(self.clone()))
    }

    fn sessions(&self) -> Sessions {
        Sessions {
            connection: self.connection(),
        }
    }

    /// The models that it knows.
    #[must_use]
    pub fn models(&self) -> &[ModelSpec] {
        self.node.models()
    }

    /// Who provides the accounts of which model.
    #[must_use]
    pub fn providers(&self) -> &Providers {
        self.node.providers()
    }

    /// The models whose accounts are rows of a table of the database.
    pub fn models_with_tables(&self) -> impl Iterator<Item = &ModelSpec> {
        let elsewhere = |model: &&ModelSpec| self.providers().of(model.name.as_str()).is_some();
        self.models().iter().filter(move |model| !elsewhere(model))
    }

    /// The guards that it knows.
    #[must_use]
    pub fn guards(&self) -> &[Arc<AuthGuard>] {
        self.node.guards()
    }

    /// The random name of this node, new at each start.
    #[must_use]
    pub fn node_name(&self) -> &str {
        self.node.name()
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> MetricsSnapshot {
        self.node.metrics().snapshot()
    }

    /// How many committed changes this node has not applied yet, by a look at the database.
    ///
    /// # Errors
    /// The database's.
    pub async fn unapplied(&self) -> Result<u64, sea_orm::DbErr> {
        self.node.unapplied().await
    }

    /// Whether this node decides from memory now.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.node.trusted()
    }

    /// The named points at which a test can hold its tasks.
    #[must_use]
    pub fn failpoints(&self) -> &Failpoints {
        self.node.points()
    }

    /// One round of the node loop, for a store opened without one.
    ///
    /// # Errors
    /// The database's.
    pub async fn round(&self) -> Result<(), sea_orm::DbErr> {
        self.node.round().await
    }

    /// Gives what raw SQL committed its positions, as the node loop does; returns how many rows that were.
    ///
    /// # Errors
    /// The database's.
    pub async fn number_raw_rows(&self) -> Result<u64, sea_orm::DbErr> {
        self.node.number_raw_rows().await
    }

    /// Makes the node loop look at once, as after a migration.
    pub fn wake(&self) {
        self.node.wake();
    }

    /// Says that these principals changed in a place that no trigger watches: their identities are loaded again, and no node decides by the old ones when this
    /// returns. For providers of the application's own.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn touch(&self, keys: &[PrincipalKey]) -> Result<(), StoreError> {
        let unavailable = |error: sea_orm::DbErr| StoreError::Unavailable(error.to_string());
        let transaction = self.connection().begin().await.map_err(unavailable)?;
        for key in keys {
            let named = hooks::append(self.node.backend(), &ChangeKey::Principal(key.clone()), true);
            transaction.execute_raw(named).await.map_err(unavailable)?;
        }
        let committed = transaction.commit_with(Barrier::Always).await;
        for key in keys {
            self.tell(
                "identity.refreshed",
                Some(key),
                &committed,
                &serde_json::json!({"by": "touch"}),
            );
        }
        committed?.confirmed()?;
        Ok(())
    }

    /// Whether every node decides by the change at a position; 0, which a commit tells that changed nothing, stands for all that is committed now. `None`: no such
    /// position was given.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn holds(&self, position: i64) -> Result<Option<bool>, StoreError> {
        let asked = self.node.holds(position).await;
        asked.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// Takes a principal's entry out of the shared cache, if there is one. Saves memory and changes no decision.
    pub async fn forget(&self, key: &PrincipalKey) {
        if let Some(shared) = self.node.shared() {
            shared.forget(key).await;
        }
    }

    /// Writes the use of sessions that was noted and not written yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn flush_usage(&self) -> Result<(), sea_orm::DbErr> {
        self.node.flush_usage().await
    }

    /// Deletes rows of the outbox that every node has applied and that are older than so many microseconds. The node loop does it by itself for an hour.
    ///
    /// # Errors
    /// The database's.
    pub async fn prune(&self, keep_micros: i64) -> Result<u64, sea_orm::DbErr> {
        self.node.prune(keep_micros).await
    }

    /// Stops the tasks, writes what was noted, and takes this node out, so that no writer waits for it.
    pub async fn close(&self) {
        self.tasks.stop.send_replace(true);
        let running = std::mem::take(&mut *self.tasks.running.lock());
        for task in running {
            let _ended = task.await;
        }
        if let Err(error) = self.node.leave().await {
            tracing::warn!(%error, "this node's row stays; the next writer waits for 1.05 Δ, once");
        }
    }
}
