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

use sea_orm::{ConnectionTrait, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait};

use super::Node;
use crate::{
    commit::give_numbers,
    keys::ChangeKey,
    sql::{now_micros, statement},
};

/// How often in one round rows of raw writers are numbered before the round goes on without leasing trust.
const NUMBERING_TRIES: u32 = 8;
/// Rows numbered in one transaction.
const NUMBERING_BATCH: u32 = 10_000;
/// How long an applied row is kept.
const KEEP_MICROS: i64 = 3_600_000_000;
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// What one look at the outbox saw.
#[derive(Debug, Default)]
struct Seen {
    changes: Vec<(i64, ChangeKey, u64)>,
    /// How old each position's change was, by the database's clock, when it was looked.
    ages: BTreeMap<i64, Duration>,
    /// When it was looked.
    at: Duration,
    unnumbered: usize,
    pruned: i64,
}

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
                () = tokio::time::sleep(self.0.poll) => {}
                () = self.0.wake.notified() => {}
                _ = stop.changed() => {}
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
            let seen = self.look().await?;
            self.points().reach("poll.seen").await;
            let whole = seen.unnumbered == 0;
            self.apply_seen(seen).await?;
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

    async fn look(&self) -> Result<Seen, DbErr> {
        let cursor = self.0.cursor.load(Ordering::SeqCst);
        let now = now_micros(self.backend());
        let sql = format!(
            "SELECT key, version, position, 0 AS pruned, {now} - created_at AS age FROM identity_outbox \
             WHERE position > $1 OR position IS NULL \
             UNION ALL SELECT '', NULL, value, 1, 0 FROM coherence_meta WHERE name = 'pruned_position'"
        );
        let mut seen = Seen {
            at: self.uptime(),
            ..Seen::default()
        };
        for row in self
            .db()
            .query_all_raw(statement(self.backend(), sql, [cursor.into()]))
            .await?
        {
            let position: Option<i64> = row.try_get("", "position")?;
            let pruned = row.try_get::<i32>("", "pruned")? != 0;
            match position {
                Some(position) if pruned => seen.pruned = position,
                Some(position) => {
                    let version = row.try_get::<Option<i64>>("", "version")?.unwrap_or_default();
                    let version = u64::try_from(version).unwrap_or_default();
                    let (key, version) = ChangeKey::numbered(&row.try_get::<String>("", "key")?, version);
                    let age = u64::try_from(row.try_get::<i64>("", "age")?).unwrap_or_default();
                    let oldest = seen.ages.entry(position).or_default();
                    *oldest = Duration::from_micros(age).max(*oldest);
                    seen.changes.push((position, key, version));
                }
                None => seen.unnumbered += 1,
            }
        }
        seen.changes.sort_by_key(|(position, ..)| *position);
        Ok(seen)
    }

    async fn apply_seen(&self, seen: Seen) -> Result<(), DbErr> {
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
        for (position, key, version) in seen.changes {
            self.apply(&key, version);
            cursor = cursor.max(position);
            if key == ChangeKey::Policies {
                policies = policies.max(Some(version));
            }
        }
        if let Some(version) = policies {
            self.swap_policy(version).await?;
        }
        self.points().reach("poll.applied").await;
        self.measure(&seen.ages, seen.at, cursor);
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
        let sql = "SELECT count(*) AS unapplied FROM identity_outbox WHERE position > $1 OR position IS NULL";
        let counted = statement(self.backend(), sql, [cursor.into()]);
        let row = self.db().query_one_raw(counted).await?;
        let count = row.map(|row| row.try_get::<i64>("", "unapplied")).transpose()?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
    }

    /// Numbers what raw writers committed; gives how many rows that were.
    pub(crate) async fn number_raw_rows(&self) -> Result<u64, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.db().begin_with_options(options).await?;
        let skip = if self.backend() == DbBackend::Sqlite {
            ""
        } else {
            "FOR UPDATE SKIP LOCKED"
        };
        let sql =
            format!("SELECT id FROM identity_outbox WHERE position IS NULL ORDER BY id LIMIT {NUMBERING_BATCH} {skip}");
        let rows = transaction.query_all_raw(statement(self.backend(), sql, [])).await?;
        let ids: Vec<String> = rows
            .iter()
            .map(|row| row.try_get::<i64>("", "id").map(|id| id.to_string()))
            .collect::<Result<_, _>>()?;
        if ids.is_empty() {
            transaction.rollback().await?;
            return Ok(0);
        }
        give_numbers(self, &transaction, &format!("id IN ({})", ids.join(","))).await?;
        self.points().reach("numbering.before_commit").await;
        transaction.commit().await?;
        let count = ids.len() as u64;
        self.metrics().rows_numbered.fetch_add(count, Ordering::Relaxed);
        Ok(count)
    }

    /// Deletes rows that every node has applied and that are older than this.
    pub(crate) async fn prune(&self, keep_micros: i64) -> Result<u64, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.db().begin_with_options(options).await?;
        let now = now_micros(self.backend());
        let sql = format!(
            "SELECT max(position) AS position FROM identity_outbox WHERE created_at < {now} - {keep_micros} \
             AND position <= (SELECT coalesce(min(acknowledged), 0) FROM coherence_nodes)"
        );
        let row = transaction.query_one_raw(statement(self.backend(), sql, [])).await?;
        let position = row
            .map(|row| row.try_get::<Option<i64>>("", "position"))
            .transpose()?
            .flatten();
        let Some(position) = position else {
            transaction.rollback().await?;
            return Ok(0);
        };
        let set = "UPDATE coherence_meta SET value = $1 WHERE name = 'pruned_position' AND value < $1";
        transaction
            .execute_raw(statement(self.backend(), set, [position.into()]))
            .await?;
        let gone = transaction
            .execute_raw(statement(
                self.backend(),
                "DELETE FROM identity_outbox WHERE position <= $1",
                [position.into()],
            ))
            .await?
            .rows_affected();
        transaction.commit().await?;
        Ok(gone)
    }
}
