//! The barrier: a writer waits until no node can decide by the old state.
//!
//! Every other node has either acknowledged the position, after applying it, or its trust has run out: it leased at most its own Δ from the beginning of a poll that
//! missed the row, so before COMMIT returned, and 5 % are added for clocks that do not run alike. The rows are read after the COMMIT: a node that registers later polls
//! later, and finds the change.
//!
//! A node that was waited out is fenced: its row is deleted, unless it has acknowledged meanwhile. From then on it has no lease and gains none before it registers anew (the argument is in
//! `polling`), so that no later writer waits for it. That argument is of one history: where the database has lost the writer's own change, a node polls and finds nothing to acknowledge. So the row
//! goes only in a database that still has the change. Nothing rests on the database's clock.
//!
//! The writer's own node is a node like the others: a change of another writer, which a call that changes nothing waits for, may not have come here yet. The writer polls in the place of its loop, and
//! where it cannot, it waits for the lease.
//!
//! An acknowledgement wakes the writer (`hints`). Without that it looks again after 1 ms, and twice as long each time, up to 20 ms.
//!
//! A call that changes nothing waits for the highest position that it finds, from the moment that it found it: whatever it repeats was committed before.

use std::{pin::pin, sync::atomic::Ordering, time::Duration};

use futures_util::future::{Either, select};
use sea_orm::DbErr;

use super::Node;
use crate::coherence::{Cursor, within};

const FIRST_LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(20);
/// How much longer than its Δ another node's lease is taken to last: clocks do not run alike.
const CLOCKS_DIFFER: f64 = 1.05;

impl Node {
    /// Waits for every node to reach a position, or the highest one there is. `committed`: when COMMIT returned. `false`: it could not be told,
    /// since the database cannot be asked who the others are.
    pub(crate) async fn barrier(&self, position: Option<Cursor>, committed: Duration) -> bool {
        let is_told = self.barrier_from(position, committed).await;
        self.meter().barrier(self.uptime().saturating_sub(committed));
        is_told
    }

    async fn barrier_from(&self, position: Option<Cursor>, committed: Duration) -> bool {
        self.metrics().barriers.fetch_add(1, Ordering::Relaxed);
        self.points().reach("barrier.begin").await;
        let (at, since) = match position {
            Some(at) => (at, committed),
            None => match self.bounded(self.ledger().start()).await {
                Ok(newest) => (newest.cursor, self.uptime()),
                Err(_) => return false,
            },
        };
        let waiting = async { tokio::join!(self.catch_up(at.position, since), self.wait_for_others(at, since)).1 };
        // A database that does not answer cannot name the other nodes. So the writer does not wait for it.
        let is_told = match select(pin!(waiting), pin!(self.link().lost())).await {
            Either::Left((is_told, _)) => is_told,
            Either::Right(_) => false,
        };
        let elapsed = self.uptime().saturating_sub(committed);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or_default();
        self.metrics().barrier_micros.fetch_add(micros, Ordering::Relaxed);
        is_told
    }

    /// Brings this node to a position, or waits until it has no lease that is older. It polls once at least: the database may have lost commits since the last poll, and
    /// positions of the lost state say nothing of this one. In another epoch the position is of a lost state itself; this node has then forgotten everything and begun anew.
    pub(crate) async fn catch_up(&self, position: i64, since: Duration) {
        let mut look = FIRST_LOOK;
        let mut has_polled = false;
        let epoch = self.place().epoch;
        loop {
            let place = self.place();
            let is_behind = place.epoch == epoch && (!has_polled || place.cursor.position < position);
            let lease = self.delta().saturating_sub(self.uptime().saturating_sub(since));
            if !self.0.membership.is_registered() || !is_behind || lease.is_zero() {
                return;
            }
            if look > FIRST_LOOK {
                self.runtime().sleep(look).await;
            }
            look = (look * 2).min(LONGEST_LOOK);
            has_polled |= matches!(within(&**self.runtime(), lease, self.poll_now()).await, Some(Ok(())));
        }
    }

    async fn wait_for_others(&self, at: Cursor, since: Duration) -> bool {
        let position = at.position;
        let mut acknowledgement = Box::pin(self.wakes().acknowledgement());
        let Ok(mut others) = self.bounded(self.ledger().nodes(self.name())).await else {
            return false;
        };
        if others.iter().any(|other| other.acknowledged < position) {
            self.metrics().barrier_waits.fetch_add(1, Ordering::Relaxed);
        }
        let mut longest = Duration::ZERO;
        let mut look = FIRST_LOOK;
        loop {
            self.points().reach("barrier.look").await;
            longest = others.iter().map(|other| other.delta).fold(longest, Duration::max);
            others.retain(|other| other.acknowledged < position);
            if others.is_empty() {
                return true;
            }
            if self.uptime().saturating_sub(since) >= longest.mul_f64(CLOCKS_DIFFER) {
                for other in &others {
                    self.fence(&other.node, &at).await;
                }
                return true;
            }
            if let Either::Left(_) = select(acknowledgement, self.runtime().sleep(look)).await {
                self.points().reach("barrier.woken").await;
            }
            look = (look * 2).min(LONGEST_LOOK);
            // From before the rows are read: what comes in between wakes.
            acknowledgement = Box::pin(self.wakes().acknowledgement());
            // Where the database cannot be asked, what was read last stands, and the time runs out.
            if let Ok(now) = self.bounded(self.ledger().nodes(self.name())).await {
                others = now;
            }
        }
    }

    /// Takes the row of a node that was waited out. Where that fails, the next writer waits too.
    async fn fence(&self, node: &str, at: &Cursor) {
        match self.bounded(self.ledger().fence(node, at)).await {
            Ok(true) => tracing::warn!(
                node,
                position = at.position,
                "a node did not acknowledge a change within its lease: it has to register anew before it decides from memory"
            ),
            Ok(false) => {}
            Err(error) => tracing::warn!(node, %error, "a node that was waited out could not be fenced"),
        }
    }

    /// Whether every node decides by the change at a position, asked at any time after its commit; 0 stands for all that is committed now. `None`: no such
    /// position was given yet.
    pub(crate) async fn holds(&self, position: i64) -> Result<Option<bool>, DbErr> {
        let highest = self.highest_position().await?;
        if position > highest {
            return Ok(None);
        }
        let position = if position == 0 { highest } else { position };
        // This node has a row like any other, so it counts without being told apart.
        let nodes = self.bounded(self.ledger().nodes("")).await?;
        Ok(Some(nodes.iter().all(|node| node.acknowledged >= position)))
    }

    /// The highest position that was given.
    pub(crate) async fn highest_position(&self) -> Result<i64, DbErr> {
        self.bounded(self.ledger().highest_position()).await
    }
}
