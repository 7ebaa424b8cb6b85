//! The node loop: sees what others changed, applies it, acknowledges it, and leases trust.
//!
//! One round:
//!
//! 1. A heartbeat, where one is due.
//! 2. The clock is read, before anything else: trust is leased from here, not from when the answer came.
//! 3. One statement gives the rows past the cursor, the rows without a number, how far the outbox was pruned, the epoch of the database, the row of the cursor, and this
//!    node's own row: one snapshot.
//! 4. A database with another epoch, or without the row of the cursor, was set back: it lost commits that this node has applied. The node forgets everything and registers anew.
//!    A set-back that kept the epoch gives the database another, since its versions name other states now. A node without a row registers anew too.
//! 5. Everything is applied: floors, counters, memory. Then the cursor, and the acknowledgement, whenever the row is behind the cursor. It hits only a row that is there, in a database that
//!    has the row of the cursor. Then trust.
//! 6. Rows without a number were committed by raw writers. This node numbers them, under the commit lock like any commit, and polls again; rows that another
//!    node is numbering are skipped, and then this round leases nothing: they are not applied, and cannot be acknowledged by a position.
//!
//! What rests on this order: **a lease that a poll gives is backed by an acknowledgement of all that the poll saw.** A writer that finds the acknowledgement of its position missing after
//! 1.05 Δ, and deletes the row, has therefore excluded every lease: polls before its COMMIT gave leases that are over, and polls after it have yet to acknowledge, which hits no row.
//!
//! Rounds take turns. A writer that has to wait for its own node polls in the loop's place. On a server database each statement is bounded by a quarter of Δ, a second at least, so that a
//! connection that died costs that and not the loop. SQLite has no connection that dies; its statements wait for the writer lock.
//!
//! A node whose cursor is older than what was pruned has missed rows: it drops everything instead.

use std::{collections::BTreeMap, pin::pin, sync::atomic::Ordering, time::Duration};

use bekci_core::BoxFuture;
use sea_orm::{DbBackend, DbErr};

use super::{Node, hints::Hint};
use crate::{
    coherence::{CommitFailure, Cursor, Outbox, OutboxRows, Start, within},
    commit::{give_position, raise},
    keys::ChangeKey,
    link::no_answer,
};

/// How often in one round rows of raw writers are numbered before the round goes on without leasing trust.
const NUMBERING_TRIES: u32 = 8;
/// Rows numbered in one transaction.
const NUMBERING_BATCH: u32 = 10_000;
/// How long an applied row is kept.
const KEEP_MICROS: i64 = 3_600_000_000;
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// No statement of the loop is given less time, however small Δ is: a database that is busy is not dead. The lease does not rest on it.
const LEAST_BOUND: Duration = Duration::from_secs(1);
/// Nor is one that waits for nobody given more, however large Δ is: those who wait for the database are let go when it has no answer.
const MOST_BOUND: Duration = Duration::from_millis(1_250);

/// How long a statement of the loop may take that may have to wait for another transaction.
pub(crate) fn bound_of(delta: Duration) -> Duration {
    (delta / 4).max(LEAST_BOUND)
}

/// Half of the time that one may take that waits for no other transaction.
pub(crate) fn half_bound_of(delta: Duration) -> Duration {
    bound_of(delta).min(MOST_BOUND) / 2
}

/// What became of one poll.
enum Poll {
    /// Everything that is committed is applied.
    Whole,
    /// There are committed rows without a number.
    Unnumbered,
    /// This node has to register anew.
    Lost,
}

/// Why a poll cannot go on from where the last one ended.
enum Break {
    OtherEpoch,
    SetBack,
    Pruned,
    NoRow,
}

fn broken(place: &Start, seen: &Outbox) -> Option<Break> {
    if seen.epoch != place.epoch {
        Some(Break::OtherEpoch)
    } else if !seen.continuous {
        Some(Break::SetBack)
    } else if seen.acknowledged.is_none() {
        Some(Break::NoRow)
    } else if seen.pruned > place.cursor.position {
        Some(Break::Pruned)
    } else {
        None
    }
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
                // Beside the loop: it may take longer than any lease.
                let node = self.clone();
                self.runtime().spawn(Box::pin(async move {
                    if let Err(error) = node.prune(KEEP_MICROS).await {
                        tracing::warn!(%error, "the outbox could not be pruned");
                    }
                }));
            }
            tokio::select! {
                biased;
                _ = stop.changed() => {}
                () = self.wakes().wanted() => {}
                () = self.runtime().sleep(self.0.poll) => {}
            }
        }
    }

    /// How long a statement of the loop may take on a server database.
    pub(crate) fn bound(&self) -> Duration {
        bound_of(self.delta())
    }

    /// A statement of the loop that waits for no other transaction, with its bound. What is given up goes with its connection. The database is silent when such a statement has no answer within its
    /// bound, and no statement of a request had one in the second half of it: where there are answers, this one connection died, or the machine is busy.
    pub(crate) async fn bounded<T>(&self, statement: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        let half = half_bound_of(self.delta());
        let mut statement = pin!(statement);
        let mut answer = self.within(half, statement.as_mut()).await;
        let before = self.link().answers();
        if answer.is_none() {
            answer = self.within(half, statement).await;
        }
        match answer {
            Some(answer) => {
                self.link().heard(&answer);
                answer
            }
            None => {
                if self.link().answers() == before {
                    self.link().silent();
                }
                Err(no_answer())
            }
        }
    }

    /// The same for a statement that may have to wait for another transaction.
    async fn patient<T>(&self, statement: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        let answer = self.within(self.bound(), statement).await;
        answer.unwrap_or_else(|| Err(no_answer()))
    }

    async fn within<T>(&self, time: Duration, statement: impl Future<Output = T>) -> Option<T> {
        // SQLite is in the process: no link leads to it.
        if self.backend() == DbBackend::Sqlite {
            return Some(statement.await);
        }
        within(&**self.runtime(), time, statement).await
    }

    /// Up to where this node has applied the outbox, and in which epoch of the database.
    pub(crate) fn place(&self) -> Start {
        *self.0.place.lock()
    }

    /// One round of the loop.
    pub(crate) async fn round(&self) -> Result<(), DbErr> {
        let _turn = self.0.turn.lock().await;
        if !self.0.membership.is_registered() {
            self.register().await?;
        } else if self.0.membership.beat_is_due(self.uptime(), self.delta()) {
            if !self.heartbeat().await? {
                self.register().await?;
            }
            self.reap().await?;
        }
        for _ in 0..NUMBERING_TRIES {
            match self.poll().await? {
                Poll::Whole => return Ok(()),
                Poll::Lost => self.register().await?,
                Poll::Unnumbered => {
                    if self.number_raw_rows().await? == 0 {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Polls in the loop's place.
    pub(crate) fn poll_now(&self) -> BoxFuture<'_, Result<(), DbErr>> {
        Box::pin(async move {
            let _turn = self.0.turn.lock().await;
            if self.0.membership.is_registered() {
                self.poll().await?;
            }
            Ok(())
        })
    }

    async fn poll(&self) -> Result<Poll, DbErr> {
        let began = self.uptime();
        self.points().reach("poll.begin").await;
        let place = self.place();
        let at = self.uptime();
        let look = self.ledger().outbox(self.name(), &place.cursor);
        let mut seen = self.bounded(look).await?;
        seen.changes.sort_by_key(|change| (change.position, change.row));
        self.points().reach("poll.seen").await;
        if let Some(why) = broken(&place, &seen) {
            self.start_over(&place, &seen, &why).await?;
            return Ok(Poll::Lost);
        }
        let (unnumbered, acknowledged) = (seen.unnumbered, seen.acknowledged);
        let cursor = self.apply_seen(place, seen, at).await?;
        if acknowledged < Some(cursor.position) {
            self.points().reach("poll.acknowledge").await;
            if !self.bounded(self.ledger().acknowledge(self.name(), &cursor)).await? {
                self.lose_row();
                return Ok(Poll::Lost);
            }
            self.send_hint(Hint::Acknowledged);
        }
        if unnumbered > 0 {
            return Ok(Poll::Unnumbered);
        }
        if self.0.membership.may_trust(self.uptime(), self.delta()) {
            self.0.trust.extend(began + self.delta());
        }
        self.metrics().polls.fetch_add(1, Ordering::Relaxed);
        Ok(Poll::Whole)
    }

    /// Forgets everything, since what this node holds may be of a state that the database has not any more, or may lack changes.
    async fn start_over(&self, place: &Start, seen: &Outbox, why: &Break) -> Result<(), DbErr> {
        let cursor = place.cursor.position;
        match why {
            Break::NoRow => {
                self.lose_row();
                return Ok(());
            }
            Break::Pruned => tracing::warn!(
                cursor,
                pruned = seen.pruned,
                "this node was away for longer than the outbox is kept: dropping what it holds"
            ),
            Break::OtherEpoch => tracing::error!(
                target: "bekci::audit", event = "database.other_epoch", cursor,
                "the database has another epoch: it was restored, or `bekci migrate epoch` ran; dropping all that memory holds"
            ),
            Break::SetBack => tracing::error!(
                target: "bekci::audit", event = "database.set_back", cursor,
                "the database has lost changes that this node has applied: dropping all that memory holds, and giving the database another epoch"
            ),
        }
        self.forget_everything();
        if matches!(why, Break::SetBack) {
            // Before the cursor is taken anew: if this fails, the next poll finds the same.
            self.bounded(self.ledger().change_epoch(place.epoch)).await?;
        }
        self.0.membership.lose();
        Ok(())
    }

    /// Applies what a poll saw, and gives the new cursor.
    async fn apply_seen(&self, place: Start, seen: Outbox, at: Duration) -> Result<Cursor, DbErr> {
        let mut cursor = place.cursor;
        self.metrics()
            .changes_applied
            .fetch_add(seen.changes.len() as u64, Ordering::Relaxed);
        if !seen.changes.is_empty() {
            self.wakes().applied(at);
        }
        let mut policies = None;
        let mut ages: BTreeMap<i64, Duration> = BTreeMap::new();
        for change in seen.changes {
            self.apply(&change.key, change.version);
            cursor = Cursor {
                position: change.position,
                row: change.row,
                created_at: change.created_at,
            };
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
        self.measure(&ages, at, cursor.position);
        self.0.place.lock().cursor = cursor;
        Ok(cursor)
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
        self.ledger().unapplied(self.place().cursor.position).await
    }

    /// Numbers what raw writers committed; gives how many rows that were.
    pub(crate) async fn number_raw_rows(&self) -> Result<u64, DbErr> {
        let transaction = self.patient(self.ledger().begin()).await?;
        let ids = self.patient(transaction.lock_unnumbered(NUMBERING_BATCH)).await?;
        if ids.is_empty() {
            self.patient(transaction.rollback()).await?;
            return Ok(0);
        }
        let count = ids.len() as u64;
        let rows = OutboxRows::Ids(ids);
        let numbered = async {
            raise(self, &*transaction, &rows).await?;
            give_position(self, &*transaction, &rows).await
        };
        self.patient(numbered).await?;
        self.points().reach("numbering.before_commit").await;
        let commit = async {
            match transaction.commit().await {
                Ok(()) => Ok(()),
                Err(CommitFailure::Refused(error) | CommitFailure::Unknown(error)) => Err(error),
            }
        };
        self.patient(commit).await?;
        self.metrics().rows_numbered.fetch_add(count, Ordering::Relaxed);
        Ok(count)
    }

    /// Deletes rows that every node has applied and that are older than this.
    pub(crate) async fn prune(&self, keep_micros: i64) -> Result<u64, DbErr> {
        self.ledger().prune(keep_micros).await
    }
}
