//! The node loop: sees what others changed, applies it, acknowledges it, and leases trust.
//!
//! One round:
//!
//! 1. The clock is read, before anything else: trust is leased from here, not from when the answer came.
//! 2. A heartbeat, where one is due.
//! 3. One statement gives the rows past the cursor, the rows without a number, and how far the outbox was pruned: one snapshot.
//! 4. Rows without a number were committed by raw writers. This node numbers them, under the commit lock like any commit, and polls again; rows that another
//!    node is numbering are skipped, and then this round leases nothing: they are not applied, and cannot be acknowledged by a position.
//! 5. Everything is applied: floors, counters, memory. Then cursor, acknowledgement, trust.
//!
//! A node whose cursor is older than what was pruned has missed rows: it drops everything instead.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use sea_orm::DbErr;

use super::Node;
use crate::{
    coherence::{CommitFailure, Outbox, OutboxRows},
    commit::give_numbers,
    keys::ChangeKey,
};

/// How often in one round rows of raw writers are numbered before the round goes on without leasing trust.
const NUMBERING_TRIES: u32 = 8;
/// Rows numbered in one transaction.
const NUMBERING_BATCH: u32 = 10_000;
/// How long an applied row is kept.
const KEEP_MICROS: i64 = 3_600_000_000;
const PRUNE_EVERY: Duration = Duration::from_secs(60);

impl Node {
    /// Runs until the node is stopped. Errors are counted and logged once each time they begin; trust runs out meanwhile.
    pub(crate) async fn run_loop(self, mut stop: tokio::sync::watch::Receiver<bool>) {
        let mut failing = false;
        let mut pruned_at = self.uptime();
        while !*stop.borrow() {
            match self.round().await {
                Ok(()) => failing = false,
                Err(error) => {
                    self.metrics().poll_failures.fetch_add(1, Ordering::Relaxed);
                    if !failing {
                        tracing::warn!(%error, "the outbox cannot be read; memory is trusted until its lease runs out");
                    }
                    failing = true;
                }
            }
            if self.uptime().saturating_sub(pruned_at) >= PRUNE_EVERY {
                pruned_at = self.uptime();
                if let Err(error) = self.prune(KEEP_MICROS).await {
                    tracing::warn!(%error, "the outbox could not be pruned");
                }
            }
            tokio::select! {
                biased;
                _ = stop.changed() => {}
                () = self.0.wake.notified() => {}
                () = self.runtime().sleep(self.0.poll) => {}
            }
        }
    }

    /// One round of the loop.
    pub(crate) async fn round(&self) -> Result<(), DbErr> {
        if !self.0.membership.is_registered() {
            self.register().await?;
        } else if self.0.membership.beat_is_due(self.uptime(), self.delta()) {
            if !self.heartbeat().await? {
                self.register().await?;
            }
            self.reap().await?;
        }
        for _ in 0..NUMBERING_TRIES {
            let began = self.uptime();
            self.points().reach("poll.begin").await;
            let at = self.uptime();
            let seen = self.look().await?;
            self.points().reach("poll.seen").await;
            let whole = seen.unnumbered == 0;
            self.apply_seen(seen, at).await?;
            if whole {
                if self.0.membership.may_trust(self.uptime(), self.delta()) {
                    self.0.trust.extend(began + self.delta());
                }
                self.metrics().polls.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            if self.number_raw_rows().await? == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn look(&self) -> Result<Outbox, DbErr> {
        let cursor = self.0.cursor.load(Ordering::SeqCst);
        let mut seen = self.ledger().outbox(cursor).await?;
        seen.changes.sort_by_key(|change| change.position);
        Ok(seen)
    }

    async fn apply_seen(&self, seen: Outbox, at: Duration) -> Result<(), DbErr> {
        let before = self.0.cursor.load(Ordering::SeqCst);
        if before < seen.pruned {
            tracing::warn!(
                cursor = before,
                pruned = seen.pruned,
                "this node was away for longer than the outbox is kept: dropping what it holds"
            );
            self.forget_everything();
        }
        let mut cursor = before.max(seen.pruned);
        self.metrics()
            .changes_applied
            .fetch_add(seen.changes.len() as u64, Ordering::Relaxed);
        let mut policies = None;
        let mut ages: BTreeMap<i64, Duration> = BTreeMap::new();
        for change in seen.changes {
            self.apply(&change.key, change.version);
            cursor = cursor.max(change.position);
            let oldest = ages.entry(change.position).or_default();
            *oldest = change.age.max(*oldest);
            if change.key == ChangeKey::Policies {
                policies = policies.max(Some(change.version));
            }
        }
        if let Some(version) = policies {
            self.swap_policy(version).await?;
        }
        self.points().reach("poll.applied").await;
        self.measure(&ages, at, cursor);
        if cursor != before {
            self.0.cursor.store(cursor, Ordering::SeqCst);
            self.acknowledge(cursor).await?;
        }
        Ok(())
    }

    /// Tells how long each change took to come into force here. This node's own were told when they were committed.
    fn measure(&self, ages: &BTreeMap<i64, Duration>, at: Duration, cursor: i64) {
        let since = self.uptime().saturating_sub(at);
        let mut timed = self.0.timed.lock();
        for (position, age) in ages {
            if !timed.own.contains(position) {
                self.meter().applied(*age + since);
            }
        }
        timed.own = timed.own.split_off(&cursor.saturating_add(1));
        timed.read_back = cursor;
    }

    /// How many rows of the outbox this node has not applied yet.
    pub(crate) async fn unapplied(&self) -> Result<u64, DbErr> {
        let cursor = self.0.cursor.load(Ordering::SeqCst);
        self.ledger().unapplied(cursor).await
    }

    /// Numbers what raw writers committed; gives how many rows that were.
    pub(crate) async fn number_raw_rows(&self) -> Result<u64, DbErr> {
        let transaction = self.ledger().begin().await?;
        let ids = transaction.lock_unnumbered(NUMBERING_BATCH).await?;
        if ids.is_empty() {
            transaction.rollback().await?;
            return Ok(0);
        }
        let count = ids.len() as u64;
        give_numbers(self, &*transaction, &OutboxRows::Ids(ids)).await?;
        self.points().reach("numbering.before_commit").await;
        match transaction.commit().await {
            Ok(()) => {}
            Err(CommitFailure::Refused(error) | CommitFailure::Unknown(error)) => return Err(error),
        }
        self.metrics().rows_numbered.fetch_add(count, Ordering::Relaxed);
        Ok(count)
    }

    /// Deletes rows that every node has applied and that are older than this.
    pub(crate) async fn prune(&self, keep_micros: i64) -> Result<u64, DbErr> {
        self.ledger().prune(keep_micros).await
    }
}
