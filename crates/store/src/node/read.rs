//! How this node answers who a principal is now.
//!
//! From memory (`warm`), while trust holds: the entry's version is not below its floor nor the token's `ver`, its epoch not below the floor of `@all`, and the
//! counters have not moved when the decision is made. No I/O.
//!
//! Else by one statement on the database that begins after the request: the versions of the key, its role tables, the policies and `@all`, and beside it a GET from the shared
//! cache. An entry, of memory or of the shared cache, is used only if its label is exactly those versions. Whatever is missing then is loaded in one snapshot
//! that begins with the versions: identity and role tables are of one moment, so that no interleaving of changes can be seen half.
//!
//! Where a committed row of the outbox that names one of the keys has no position yet (raw SQL that no node has numbered), no version says what the database holds: everything is loaded from the
//! snapshot, used once, and kept nowhere.
//!
//! **What memory holds is of one state: that of the node's cursor.** A read that finds a row past the cursor for the identity, a role table or the policy uses it and does not keep it. A change that
//! comes after the read is applied, moves a counter, and the read keeps nothing either. So what stands in memory is, item by item, what it was at the position up to which this node has applied changes;
//! applying only drops. A decision from memory takes a stamp before and compares it after: it is the decision of one state that the database had, never an old identity with a newer role table or policy, nor the
//! other way round.
//!
//! Labels count up within an epoch of the database. Where the epoch is another than memory's, or the database has not the row of the cursor any more, no label of memory is compared.
//!
//! An account that a provider of its own has is of no snapshot: the provider is asked between two reads of the versions, the second of which begins the snapshot of all else,
//! and where key or `@all` moved in between the read begins again. So the account is as of after the version that labels it, and what the database says is as of after the
//! account: who is given a role after the role lost a permission does not get that permission.
//!
//! Where the database cannot be asked there is no answer: never the last known one, never an anonymous one. A read without an answer within `read_within` is given up.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use bekci_core::{
    Authorizer, BoxFuture, Consistency, Identity, IdentitySource, IdentityVersion, Need, RoleTable, RoleView,
    SessionId, SourceUnavailable, Stamp, TenantName, Ticket, View, ViewSource,
};
use futures_util::future::{Either, select};
use sea_orm::{DatabaseTransaction, DbErr};

use super::{
    Node,
    counters::Counters,
    flight::{FlightKey, Seat, arrival},
    l1::Entry,
    memory::Held,
    policy_loads::PolicyLabel,
};
use crate::{
    coherence::{Snapshot, Start, Versions, reading},
    link::Linked,
    providers::Given,
    shared::{Label, Labelled},
};

/// How often a provider is asked in one read while the version of its account moves.
const PROVIDER_TRIES: u32 = 16;

type Policy = Option<Arc<dyn Authorizer>>;

/// Whether the database is the one that memory was filled from: same epoch, and it still has what this node has applied last.
fn is_same(place: &Start, versions: Versions) -> bool {
    versions.epoch == place.epoch && versions.continuous
}

/// Whether labels name states of this database alone: not where it was set back and has its epoch still.
fn labels_stand(place: &Start, versions: Versions) -> bool {
    versions.epoch != place.epoch || versions.continuous
}

fn label(versions: Versions) -> Label {
    Label {
        version: IdentityVersion(versions.key),
        epoch: versions.all,
        database: versions.epoch,
    }
}

fn policy_label(versions: Versions) -> PolicyLabel {
    PolicyLabel {
        database: versions.epoch,
        all: versions.all,
        version: versions.policies,
    }
}

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
        self.0.flights.ticket()
    }

    fn warm(&self, need: &Need<'_>) -> Option<View> {
        let Held {
            entry,
            roles,
            policy,
            stamp,
        } = self.memory().look(need, || self.trusted())?;
        self.0.metrics.warm_hits.fetch_add(1, Ordering::Relaxed);
        Some(View {
            identity: entry.identity,
            version: entry.version,
            roles,
            policy,
            stamp,
            source: ViewSource::L1,
        })
    }

    fn read<'a>(&'a self, need: &'a Need<'a>, ticket: Ticket) -> BoxFuture<'a, Result<View, SourceUnavailable>> {
        Box::pin(self.in_time(self.read_together(need, ticket)))
    }

    fn unmoved(&self, stamp: &Stamp) -> bool {
        self.trusted() && self.0.counters.unmoved(stamp)
    }

    fn used(&self, _view: &View, session: SessionId, generation: u32) {
        self.0.usage.note(session, generation);
    }

    fn security_seen(&self, session: SessionId, generation: u32) {
        self.0.seen.note(session, generation);
    }

    fn used_again(&self, view: &View, session: SessionId, generation: u32) -> bool {
        if !self.unmoved(&view.stamp) {
            return false;
        }
        // Memory has answered once more.
        self.0.metrics.warm_hits.fetch_add(1, Ordering::Relaxed);
        self.used(view, session, generation);
        true
    }
}

impl Node {
    async fn read_together(&self, need: &Need<'_>, ticket: Ticket) -> Result<View, SourceUnavailable> {
        let direct = need.consistency == Consistency::Direct;
        loop {
            match self.0.flights.board(FlightKey::of(need), ticket, direct) {
                Seat::Pilot(landing) => {
                    let answer = self.read_rounds(need).await;
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
        self.in_time(self.read_rounds(need)).await
    }

    /// The result of a read within [`CacheSettings::read_within`](super::CacheSettings::read_within). The bound covers the wait for a connection, Redis and a provider.
    async fn in_time<T>(
        &self,
        read: impl Future<Output = Result<T, SourceUnavailable>>,
    ) -> Result<T, SourceUnavailable> {
        let late = async {
            select(pin!(self.link().lost()), self.runtime().sleep(self.0.read_within)).await;
        };
        match select(pin!(read), pin!(late)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(SourceUnavailable("the database does not answer in time".to_owned())),
        }
    }

    async fn read_rounds(&self, need: &Need<'_>) -> Result<View, SourceUnavailable> {
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
        // After the stamp: what was applied before is no change to this read, and what is applied later moves a counter.
        let place = self.place();
        self.points().reach("read.begin").await;
        let shared = async {
            match self.shared_for(need.key) {
                Some(shared) => shared.get(need.key).await,
                None => None,
            }
        };
        let (versions, shared) = tokio::join!(self.ledger().versions(need, &place.cursor), shared);
        let versions = versions.map_err(unavailable)?;
        self.link().answered();
        self.0.metrics.version_reads.fetch_add(1, Ordering::Relaxed);
        if versions.epoch != place.epoch || !versions.continuous {
            // The loop has to see it soon.
            self.wake();
        }
        if let Some((identity, roles, policy, source)) = self.at_hand(need, (&stamp, &place), versions, shared) {
            if source == ViewSource::Redis {
                self.meter().identity_loaded(source);
            }
            self.keep(need, &stamp, &identity, (versions, &place));
            return Ok(Some(self.view(stamp, identity, versions, (roles, policy), source)));
        }
        // Before the snapshot, which holds a connection.
        self.load_policy_for(need, &place, versions)
            .await
            .map_err(unavailable)?;
        let given = self.given(need.key).await;
        let given = given.map_err(|error| SourceUnavailable(error.to_string()))?;
        self.points().reach("read.given").await;
        self.load_snapshot(need, (stamp, place), (given, versions))
            .await
            .map_err(unavailable)
    }

    /// Has the policy loaded that these versions name, unless memory has it. Where the versions do not name it, or it changes meanwhile, the snapshot of this read brings it.
    async fn load_policy_for(&self, need: &Need<'_>, place: &Start, versions: Versions) -> Result<(), DbErr> {
        let is_wanted = need.policy && self.asks_policy() && !versions.unnumbered;
        if is_wanted && !(is_same(place, versions) && self.0.policies.slot.at(versions.policies).is_some()) {
            self.policy_under(policy_label(versions)).await?;
        }
        Ok(())
    }

    /// All that a need asks for from memory and the shared cache, if each has exactly the label that the database has.
    fn at_hand(
        &self,
        need: &Need<'_>,
        (stamp, place): (&Stamp, &Start),
        versions: Versions,
        shared: Option<Labelled>,
    ) -> Option<(Arc<Identity>, RoleView, Policy, ViewSource)> {
        if versions.unnumbered {
            return None;
        }
        let (identity, source) = self.labelled(need, place, versions, shared)?;
        let pending = versions.pending;
        let global = self.held_table((need.guard, None), versions.global, pending.global, stamp)?;
        let tenant = match need.tenant {
            Some(tenant) => {
                Some(self.held_table((need.guard, Some(tenant)), versions.tenant, pending.tenant, stamp)?)
            }
            None => None,
        };
        let policy = if need.policy {
            Some(self.0.policies.slot.at(versions.policies)?)
        } else {
            None
        };
        // Held under the labels of another epoch, or of a state that the database has lost: they say nothing.
        is_same(place, versions).then_some((identity, RoleView { global, tenant }, policy, source))
    }

    /// The identity from memory or the shared cache, if its label is exactly these versions.
    fn labelled(
        &self,
        need: &Need<'_>,
        place: &Start,
        versions: Versions,
        shared: Option<Labelled>,
    ) -> Option<(Arc<Identity>, ViewSource)> {
        if let Some(entry) = self.held(need, place, versions) {
            // Its label came from the database, and Redis had no part in it.
            return Some((entry.identity, ViewSource::Database));
        }
        let shared = shared?;
        if shared.label == label(versions) && labels_stand(place, versions) {
            self.0.metrics.shared_hits.fetch_add(1, Ordering::Relaxed);
            return Some((shared.identity, ViewSource::Redis));
        }
        self.0.metrics.shared_refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// The entry of memory, if its label is exactly these versions.
    fn held(&self, need: &Need<'_>, place: &Start, versions: Versions) -> Option<Entry> {
        let held = self.0.l1.get(need.key, Counters::hash(need.key))?;
        let is_that = held.version.0 == versions.key && held.epoch == versions.all;
        (is_that && is_same(place, versions) && !versions.unnumbered).then_some(held)
    }

    /// A role table of memory, if it is of this version, no change of it is `pending`, and none was applied since the stamp. A change of `@all`, which stands for every role table, raises
    /// the version of none: by the version alone a table of before it, or one of after it, would do.
    fn held_table(
        &self,
        (guard, tenant): (&bekci_core::GuardName, Option<&TenantName>),
        version: u64,
        pending: bool,
        stamp: &Stamp,
    ) -> Option<Arc<RoleTable>> {
        let held = self.0.roles.get(guard, tenant)?;
        let stands = held.version() == version && !pending && self.0.counters.roles_unmoved(stamp);
        stands.then_some(held)
    }

    /// A transaction that reads, and sees one moment of the database. There is nothing to commit in it.
    pub(crate) async fn snapshot(&self) -> Result<Linked<DatabaseTransaction>, DbErr> {
        self.db().begin_with_options(reading(self.backend())).await
    }

    /// Loads what is missing in one snapshot that begins with the versions. An account that a provider gave was read after the versions beside it: `None` where they
    /// are not those of the snapshot.
    async fn load_snapshot(
        &self,
        need: &Need<'_>,
        (stamp, place): (Stamp, Start),
        given: (Given, Versions),
    ) -> Result<Option<View>, DbErr> {
        let snapshot = self.ledger().snapshot().await?;
        let loaded = self.load_within(need, &*snapshot, (&stamp, &place), given).await;
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
        self.keep(need, &stamp, &identity, (versions, &place));
        if is_same(&place, versions) && !versions.unnumbered {
            let (still, pending) = (|| self.0.counters.roles_unmoved(&stamp), versions.pending);
            if !pending.global {
                self.0.roles.put(need.guard, None, &roles.global, still);
            }
            if !pending.tenant
                && let (Some(tenant), Some(table)) = (need.tenant, roles.tenant.as_ref())
            {
                self.0.roles.put(need.guard, Some(tenant), table, still);
            }
            if !pending.policies
                && let Some(policy) = &policy
            {
                self.keep_policy(versions.policies, policy, &stamp);
            }
        }
        // Nor what is past the cursor: a node that has applied a change sees that the database lost it, and gives the labels another epoch. One that has not would leave its state behind. A command has no loop
        // and no cursor.
        let has_place = place.epoch != 0;
        if fresh
            && !versions.unnumbered
            && !(has_place && versions.pending.key)
            && labels_stand(&place, versions)
            && let Some(shared) = self.shared_for(need.key)
        {
            shared.set(&identity, label(versions)).await;
        }
        let view = self.view(stamp, identity, versions, (roles, policy), ViewSource::Database);
        Ok(Some(view))
    }

    async fn load_within(
        &self,
        need: &Need<'_>,
        snapshot: &dyn Snapshot,
        (stamp, place): (&Stamp, &Start),
        (given, before): (Given, Versions),
    ) -> Result<Option<Loaded>, DbErr> {
        let versions = snapshot.versions(need, &place.cursor).await?;
        self.points().reach("read.versions").await;
        if given.is_some() && (versions.key, versions.all) != (before.key, before.all) {
            return Ok(None);
        }
        let (identity, fresh) = match self.held(need, place, versions) {
            Some(entry) => (entry.identity, false),
            None => {
                let identity = snapshot.identity(self, need.key, &given).await?;
                self.0.metrics.identity_loads.fetch_add(1, Ordering::Relaxed);
                self.meter().identity_loaded(ViewSource::Database);
                (Arc::new(identity), true)
            }
        };
        self.points().reach("read.identity").await;
        let holds = is_same(place, versions) && !versions.unnumbered;
        let pending = versions.pending;
        let held = self.held_table((need.guard, None), versions.global, pending.global, stamp);
        let global = self
            .role_table(snapshot, (need.guard, None), versions.global, held.filter(|_| holds))
            .await?;
        let tenant = match need.tenant {
            Some(tenant) => {
                let which = (need.guard, Some(tenant));
                let held = self.held_table(which, versions.tenant, pending.tenant, stamp);
                let table = self.role_table(snapshot, which, versions.tenant, held.filter(|_| holds));
                Some(table.await?)
            }
            None => None,
        };
        let policy = match need.policy {
            true => self.policy_within(snapshot, versions, holds).await?,
            false => None,
        };
        Ok(Some(Loaded {
            versions,
            identity,
            roles: RoleView { global, tenant },
            policy,
            fresh,
        }))
    }

    /// The policy of a snapshot: of memory where that `holds`, of a load with the same label, or of the snapshot's own lines.
    async fn policy_within(&self, snapshot: &dyn Snapshot, versions: Versions, holds: bool) -> Result<Policy, DbErr> {
        let held = self.0.policies.slot.at(versions.policies).filter(|_| holds);
        if held.is_some() || !self.asks_policy() {
            return Ok(held);
        }
        let loaded = self.0.policies.loads.under(policy_label(versions));
        if let Some(policy) = loaded.filter(|_| !versions.unnumbered) {
            return Ok(Some(policy));
        }
        let lines = self.policy_lines(snapshot).await?;
        Ok(Some(self.compile_or_deny(lines).await))
    }

    async fn role_table(
        &self,
        snapshot: &dyn Snapshot,
        (guard, tenant): (&bekci_core::GuardName, Option<&TenantName>),
        version: u64,
        held: Option<Arc<RoleTable>>,
    ) -> Result<Arc<RoleTable>, DbErr> {
        if let Some(table) = held {
            return Ok(table);
        }
        self.0.metrics.role_table_loads.fetch_add(1, Ordering::Relaxed);
        snapshot.role_table(guard, tenant, version).await.map(Arc::new)
    }

    /// Keeps an identity, if it is what it was at the node's cursor: see the module's documentation.
    fn keep(&self, need: &Need<'_>, stamp: &Stamp, identity: &Arc<Identity>, (versions, place): (Versions, &Start)) {
        if versions.pending.key || versions.unnumbered || !is_same(place, versions) {
            return;
        }
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
