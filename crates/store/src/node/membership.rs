//! Which nodes there are: a row for each.
//!
//! - A node reads where the outbox ends, **then** forgets everything, **then** makes that its cursor, and then writes its row, which acknowledges the cursor. A read that began
//!   before it forgot can put nothing back, because the counters moved. One that begins while it forgets goes by the old cursor, so that nothing of memory that changed since is used.
//!   What commits later is past the new cursor, so that the next poll brings it.
//! - The row is written only in a database that still has the row of the outbox that it acknowledges.
//! - It has no lease before a poll that began with the row written: a writer that does not see the row committed before that poll.
//! - A node whose row is gone has no lease to gain: each poll looks for the row, in the same statement as the outbox, and each acknowledgement has to hit it. A writer that has
//!   waited a lease out deletes the row (it *fences* the node), and no later writer waits for it. The node registers anew.
//! - A row that no heartbeat changed for 10 of its own Δ, by the clock of the node that looks, is deleted too. Its owner has no lease: a poll renews one only within 5 Δ
//!   of the beginning of a heartbeat that hit the row. The database's clock has no part in it, so that it may jump.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use sea_orm::DbErr;

use super::Node;
use crate::coherence::NodeRow;

/// A heartbeat of another node, and since when this node has seen no later one.
type Silence = (i64, Duration);

/// Heartbeats of this node that hit its row, by the node's uptime clock; 0: there is none.
#[derive(Debug)]
pub(crate) struct Membership {
    name: String,
    last_beat: AtomicU64,
    silences: Mutex<HashMap<String, Silence>>,
}

impl Membership {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            last_beat: AtomicU64::new(0),
            silences: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn last_beat(&self) -> Option<Duration> {
        match self.last_beat.load(Ordering::SeqCst) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    fn beat(&self, began: Duration) {
        self.last_beat.store(
            u64::try_from(began.as_nanos()).unwrap_or(u64::MAX).max(1),
            Ordering::SeqCst,
        );
    }

    pub(crate) fn lose(&self) {
        self.last_beat.store(0, Ordering::SeqCst);
    }

    /// Whether a poll that ends now may renew trust.
    pub(crate) fn may_trust(&self, now: Duration, delta: Duration) -> bool {
        self.last_beat()
            .is_some_and(|beat| now.saturating_sub(beat) < delta * 5)
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.last_beat().is_some()
    }

    pub(crate) fn beat_is_due(&self, now: Duration, delta: Duration) -> bool {
        self.last_beat().is_none_or(|beat| now.saturating_sub(beat) >= delta)
    }

    /// Those of these rows that no heartbeat has changed for 10 of their own Δ of this node's time.
    fn silent(&self, rows: Vec<NodeRow>, now: Duration) -> Vec<NodeRow> {
        let mut silences = self.silences.lock();
        let before = std::mem::take(&mut *silences);
        rows.into_iter()
            .filter(|row| {
                let known = before.get(&row.node).filter(|(beat, _)| *beat == row.seen_at);
                let since = known.map_or(now, |(_, since)| *since);
                silences.insert(row.node.clone(), (row.seen_at, since));
                now.saturating_sub(since) >= row.delta * 10
            })
            .collect()
    }
}

impl Node {
    /// Reads the end of the outbox, forgets what it holds, makes that end the cursor, and writes this node's row, in this order.
    pub(crate) async fn register(&self) -> Result<(), DbErr> {
        let start = self.bounded(self.ledger().start()).await?;
        self.points().reach("register.cursor").await;
        self.forget_everything();
        *self.0.place.lock() = start;
        let began = self.uptime();
        let row = self.ledger().register(self.name(), self.delta(), &start.cursor);
        if !self.bounded(row).await? {
            // It went back in between: what would be acknowledged here may be given out again.
            return Err(DbErr::Custom(
                "bekci: the database was set back while this node registered".to_owned(),
            ));
        }
        self.0.membership.beat(began);
        self.points().reach("membership.registered").await;
        Ok(())
    }

    /// Says that this node lives. `false`: its row is gone; it has dropped what it held and must register anew.
    pub(crate) async fn heartbeat(&self) -> Result<bool, DbErr> {
        self.points().reach("membership.heartbeat").await;
        let began = self.uptime();
        let hit = self.bounded(self.ledger().heartbeat(self.name())).await?;
        if hit {
            self.0.membership.beat(began);
        } else {
            self.lose_row();
        }
        Ok(hit)
    }

    /// Drops what this node holds, since no writer waits for it any more.
    pub(crate) fn lose_row(&self) {
        tracing::warn!("this node's row is gone: dropping what it holds and registering anew");
        self.0.membership.lose();
        self.forget_everything();
    }

    /// Deletes the rows of nodes that are silent.
    pub(crate) async fn reap(&self) -> Result<(), DbErr> {
        let rows = self.bounded(self.ledger().nodes(self.name())).await?;
        for row in self.0.membership.silent(rows, self.uptime()) {
            let gone = self.bounded(self.ledger().reap(&row.node, row.seen_at)).await?;
            tracing::info!(node = row.node, gone, "a node that is silent has its row no more");
        }
        Ok(())
    }

    /// Takes this node out: nobody waits for it from now on. It decides nothing from memory any more.
    pub(crate) async fn leave(&self) -> Result<(), DbErr> {
        let _turn = self.0.turn.lock().await;
        self.0.membership.lose();
        self.forget_everything();
        self.bounded(self.ledger().leave(self.name())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_measured_by_the_clock_of_the_one_who_looks() {
        let membership = Membership::new("here".to_owned());
        let row = |seen_at| NodeRow {
            node: "there".to_owned(),
            acknowledged: 0,
            delta: Duration::from_secs(1),
            seen_at,
        };
        let silent = |seen_at, now| membership.silent(vec![row(seen_at)], Duration::from_secs(now)).len();
        assert_eq!(silent(-1_000_000_000_000, 100), 0, "however long ago it says");
        assert_eq!(silent(-1_000_000_000_000, 109), 0);
        assert_eq!(silent(5, 109), 0, "it has beaten");
        assert_eq!(silent(5, 118), 0);
        assert_eq!(silent(5, 119), 1);
        assert_eq!(membership.silent(Vec::new(), Duration::from_secs(119)).len(), 0);
        assert_eq!(silent(5, 200), 0, "one that was gone meanwhile is new");
    }
}
