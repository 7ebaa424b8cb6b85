//! How this node answers who a principal is now.
//!
//! From memory (`warm`), while trust holds: the entry's version is not below its floor nor the token's `ver`, its epoch not below the floor of `@all`, and the
//! counters have not moved when the decision is made. No I/O.
//!
//! Else by one statement on the database that begins after the request: the versions of the key, its role tables, the policies and `@all`, and beside it a GET from the shared
//! cache. An entry, of memory or of the shared cache, is used only if its label is exactly those versions. Whatever is missing then is loaded in one snapshot
//! that begins with the versions: identity and role tables are of one moment, so that no interleaving of changes can be seen half.
//!
//! An account that a provider of its own has is of no snapshot: the provider is asked between two reads of the versions, the second of which begins the snapshot of all else,
//! and where key or `@all` moved in between the read begins again. So the account is as of after the version that labels it, and what the database says is as of after the
//! account: who is given a role after the role lost a permission does not get that permission.
//!
//! Where the database cannot be asked there is no answer: never the last known one, never an anonymous one.

use std::sync::{Arc, atomic::Ordering};

use bekci_core::{
    Authorizer, BoxFuture, Consistency, Identity, IdentitySource, IdentityVersion, Need, RoleTable, RoleView,
    SessionId, SourceUnavailable, Stamp, TenantName, Ticket, View, ViewSource,
};
use sea_orm::{DatabaseTransaction, DbErr};

use super::{
    Node,
    counters::Counters,
    flight::{FlightKey, Seat, arrival},
    l1::Entry,
};
use crate::{
    coherence::{Snapshot, SqlLedger, Versions},
    providers::Given,
};

/// How often a provider is asked in one read while the version of its account moves.
const PROVIDER_TRIES: u32 = 16;

type Policy = Option<Arc<dyn Authorizer>>;

/// What a load brought, all of one snapshot.
struct Loaded {
    versions: Versions,
    identity: Arc<Identity>,
    roles: RoleView,
    policy: Policy,
    /// Whether the identity came from the database rather than from memory with the same label.
    fresh: bool,
}

impl IdentitySource for Node {
    fn ticket(&self) -> Ticket {
        Ticket(self.0.tickets.load(Ordering::SeqCst))
    }

    fn warm(&self, need: &Need<'_>) -> Option<View> {
        if !self.trusted() {
            return None;
        }
        let node = &*self.0;
        let hash = Counters::hash(need.key);
        let stamp = node.counters.stamp(hash);
        let entry = node.l1.get(need.key, hash)?;
        if entry.version < need.at_least || entry.epoch < node.epoch_floor.load(Ordering::SeqCst) {
            return None;
        }
        let global = node.roles.get(need.guard, None)?;
        let tenant = match need.tenant {
            Some(tenant) => Some(node.roles.get(need.guard, Some(tenant))?),
            None => None,
        };
        let policy = if need.policy {
            Some(node.policies.current()?)
        } else {
            None
        };
        node.metrics.warm_hits.fetch_add(1, Ordering::Relaxed);
        Some(View {
            identity: entry.identity,
            version: entry.version,
            roles: RoleView { global, tenant },
            policy,
            stamp,
            source: ViewSource::L1,
        })
    }

    fn read<'a>(&'a self, need: &'a Need<'a>, ticket: Ticket) -> BoxFuture<'a, Result<View, SourceUnavailable>> {
        Box::pin(self.read_together(need, ticket))
    }

    fn unmoved(&self, stamp: &Stamp) -> bool {
        self.trusted() && self.0.counters.unmoved(stamp)
    }

    fn used(&self, _view: &View, session: SessionId, generation: u32) {
        self.0.usage.note(session, generation);
    }
}

impl Node {
    async fn read_together(&self, need: &Need<'_>, ticket: Ticket) -> Result<View, SourceUnavailable> {
        let direct = need.consistency == Consistency::Direct;
        loop {
            match self.0.flights.board(FlightKey::of(need), ticket, direct, self) {
                Seat::Pilot(landing) => {
                    let answer = self.read_now(need).await;
                    landing.land(answer.clone());
                    return answer;
                }
                Seat::Passenger(answer) => {
                    if let Some(answer) = arrival(answer).await {
                        return answer;
                    }
                }
                Seat::Waiting(answer) => {
                    arrival(answer).await;
                    if let Some(view) = self.warm(need) {
                        return Ok(view);
                    }
                }
            }
        }
    }

    /// One read of its own, by the rules in the module's documentation.
    pub(crate) async fn read_now(&self, need: &Need<'_>) -> Result<View, SourceUnavailable> {
        for _ in 0..PROVIDER_TRIES {
            if let Some(view) = self.try_read(need).await? {
                return Ok(view);
            }
        }
        Err(SourceUnavailable("the account changes too often".to_owned()))
    }

    /// `None`: the version moved while the provider was asked.
    async fn try_read(&self, need: &Need<'_>) -> Result<Option<View>, SourceUnavailable> {
        let unavailable = |error: DbErr| SourceUnavailable(error.to_string());
        let stamp = self.0.counters.stamp(Counters::hash(need.key));
        self.points().reach("read.begin").await;
        let shared = async {
            match self.shared_for(need.key) {
                Some(shared) => shared.get(need.key).await,
                None => None,
            }
        };
        let (versions, shared) = tokio::join!(self.ledger().versions(need), shared);
        let versions = versions.map_err(unavailable)?;
        self.0.metrics.version_reads.fetch_add(1, Ordering::Relaxed);
        let found = self.labelled(need, versions, shared);
        let global = self
            .0
            .roles
            .get(need.guard, None)
            .filter(|table| table.version() == versions.global);
        let tenant = self.tenant_table(need.guard, need.tenant, versions.tenant);
        let policy = if need.policy {
            self.0.policies.at(versions.policies).map(Some)
        } else {
            Some(None)
        };
        if let (Some((identity, source)), Some(global), Some(tenant), Some(policy)) = (found, global, tenant, policy) {
            if source == ViewSource::Redis {
                self.meter().identity_loaded(source);
            }
            self.keep(need, &stamp, &identity, versions);
            let view = self.view(stamp, identity, versions, (RoleView { global, tenant }, policy), source);
            return Ok(Some(view));
        }
        let given = self.given(need.key).await;
        let given = given.map_err(|error| SourceUnavailable(error.to_string()))?;
        self.points().reach("read.given").await;
        self.load_snapshot(need, stamp, (given, versions))
            .await
            .map_err(unavailable)
    }

    /// The identity from memory or the shared cache, if its label is exactly these versions.
    fn labelled(
        &self,
        need: &Need<'_>,
        versions: Versions,
        shared: Option<crate::shared::Labelled>,
    ) -> Option<(Arc<Identity>, ViewSource)> {
        let held = self.0.l1.get(need.key, Counters::hash(need.key));
        if let Some(entry) = held.filter(|entry| entry.version.0 == versions.key && entry.epoch == versions.all) {
            // Its label came from the database, and Redis had no part in it.
            return Some((entry.identity, ViewSource::Database));
        }
        let shared = shared?;
        if (shared.version.0, shared.epoch) == (versions.key, versions.all) {
            self.0.metrics.shared_hits.fetch_add(1, Ordering::Relaxed);
            return Some((shared.identity, ViewSource::Redis));
        }
        self.0.metrics.shared_refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// `Some(None)`: no tenant is asked about. `None`: the table is not here in this version.
    fn tenant_table(
        &self,
        guard: &bekci_core::GuardName,
        tenant: Option<&TenantName>,
        version: u64,
    ) -> Option<Option<Arc<RoleTable>>> {
        match tenant {
            None => Some(None),
            Some(tenant) => self
                .0
                .roles
                .get(guard, Some(tenant))
                .filter(|table| table.version() == version)
                .map(Some),
        }
    }

    /// A transaction that reads, and sees one moment of the database. There is nothing to commit in it.
    pub(crate) async fn snapshot(&self) -> Result<DatabaseTransaction, DbErr> {
        SqlLedger::read_only(self.db()).await
    }

    /// Loads what is missing in one snapshot that begins with the versions. An account that a provider gave was read after the versions beside it: `None` where they
    /// are not those of the snapshot.
    async fn load_snapshot(
        &self,
        need: &Need<'_>,
        stamp: Stamp,
        given: (Given, Versions),
    ) -> Result<Option<View>, DbErr> {
        let snapshot = self.ledger().snapshot().await?;
        let loaded = self.load_within(need, &*snapshot, given).await;
        snapshot.close().await;
        let Some(Loaded {
            versions,
            identity,
            roles,
            policy,
            fresh,
        }) = loaded?
        else {
            return Ok(None);
        };
        self.points().reach("read.loaded").await;
        self.keep(need, &stamp, &identity, versions);
        let still = || self.0.counters.roles_unmoved(&stamp);
        self.0.roles.put(need.guard, None, &roles.global, still);
        if let (Some(tenant), Some(table)) = (need.tenant, roles.tenant.as_ref()) {
            self.0.roles.put(need.guard, Some(tenant), table, still);
        }
        if let Some(policy) = &policy {
            self.keep_policy(versions.policies, policy, &stamp);
        }
        if fresh && let Some(shared) = self.shared_for(need.key) {
            shared.set(&identity, IdentityVersion(versions.key), versions.all).await;
        }
        let view = self.view(stamp, identity, versions, (roles, policy), ViewSource::Database);
        Ok(Some(view))
    }

    async fn load_within(
        &self,
        need: &Need<'_>,
        snapshot: &dyn Snapshot,
        (given, before): (Given, Versions),
    ) -> Result<Option<Loaded>, DbErr> {
        let versions = snapshot.versions(need).await?;
        self.points().reach("read.versions").await;
        if given.is_some() && (versions.key, versions.all) != (before.key, before.all) {
            return Ok(None);
        }
        let held = self.0.l1.get(need.key, Counters::hash(need.key));
        let held = held.filter(|entry| entry.version.0 == versions.key && entry.epoch == versions.all);
        let (identity, fresh) = match held {
            Some(entry) => (entry.identity, false),
            None => {
                let identity = snapshot.identity(self, need.key, &given).await?;
                self.0.metrics.identity_loads.fetch_add(1, Ordering::Relaxed);
                self.meter().identity_loaded(ViewSource::Database);
                (Arc::new(identity), true)
            }
        };
        self.points().reach("read.identity").await;
        let global = self.role_table(snapshot, need.guard, None, versions.global).await?;
        let tenant = match need.tenant {
            Some(tenant) => Some(
                self.role_table(snapshot, need.guard, Some(tenant), versions.tenant)
                    .await?,
            ),
            None => None,
        };
        let policy = match need.policy.then(|| self.0.policies.at(versions.policies)) {
            Some(None) if self.asks_policy() => Some(self.compile_or_deny(snapshot.policy_lines().await?).await),
            held => held.flatten(),
        };
        Ok(Some(Loaded {
            versions,
            identity,
            roles: RoleView { global, tenant },
            policy,
            fresh,
        }))
    }

    async fn role_table(
        &self,
        snapshot: &dyn Snapshot,
        guard: &bekci_core::GuardName,
        tenant: Option<&TenantName>,
        version: u64,
    ) -> Result<Arc<RoleTable>, DbErr> {
        if let Some(table) = self
            .0
            .roles
            .get(guard, tenant)
            .filter(|table| table.version() == version)
        {
            return Ok(table);
        }
        self.0.metrics.role_table_loads.fetch_add(1, Ordering::Relaxed);
        snapshot.role_table(guard, tenant, version).await.map(Arc::new)
    }

    fn keep(&self, need: &Need<'_>, stamp: &Stamp, identity: &Arc<Identity>, versions: Versions) {
        let entry = Entry {
            identity: Arc::clone(identity),
            version: IdentityVersion(versions.key),
            epoch: versions.all,
        };
        self.0.l1.insert(need.key, Counters::hash(need.key), entry, || {
            self.0.counters.identity_unmoved(stamp)
        });
    }

    fn view(
        &self,

        stamp: Stamp,
        identity: Arc<Identity>,
        versions: Versions,
        (roles, policy): (RoleView, Policy),
        source: ViewSource,
    ) -> View {
        View {
            identity,
            version: IdentityVersion(versions.key),
            roles,
            policy,
            stamp,
            source,
        }
    }
}
