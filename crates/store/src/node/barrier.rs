//! The barrier: a writer waits until no other node can decide by the old state.
//!
//! Every other node has either acknowledged the position, after applying it, or its trust has run out: it leased at most its own Δ from the beginning of a poll that
//! missed the row, so before COMMIT returned, and 5 % are added for clocks that do not run alike. The rows are read after the COMMIT: a node that registers later polls
//! later, and finds the change. A node that has been silent for over 6 of its own Δ has no trust left, since a poll renews it only within 5 Δ of a heartbeat.

use std::{sync::atomic::Ordering, time::Duration};

use sea_orm::DbErr;

use super::Node;
use crate::coherence::NodeRow;

impl NodeRow {
    fn may_trust(&self) -> bool {
        self.silent <= self.delta * 6
    }
}

const FIRST_LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(20);

impl Node {
    /// Waits for the other nodes to reach a position, or the highest one there is. `committed`: when COMMIT returned. `false`: it could not be told,
    /// since the database cannot be asked who the others are.
    pub(crate) async fn barrier(&self, position: Option<i64>, committed: Duration) -> bool {
        let is_told = self.barrier_from(position, committed).await;
        self.meter().barrier(self.uptime().saturating_sub(committed));
        is_told
    }

    async fn barrier_from(&self, position: Option<i64>, committed: Duration) -> bool {
        let metrics = self.metrics();
        metrics.barriers.fetch_add(1, Ordering::Relaxed);
        let Ok((position, mut others)) = self.barrier_begin(position).await else {
            return false;
        };
        let waits = others
            .iter()
            .any(|other| other.may_trust() && other.acknowledged < position);
        if waits {
            metrics.barrier_waits.fetch_add(1, Ordering::Relaxed);
        }
        let mut longest = Duration::ZERO;
        let mut look = FIRST_LOOK;
        loop {
            self.points().reach("barrier.look").await;
            longest = others.iter().map(|other| other.delta).fold(longest, Duration::max);
            let waiting = others
                .iter()
                .any(|other| other.may_trust() && other.acknowledged < position);
            let elapsed = self.uptime().saturating_sub(committed);
            if !waiting || elapsed >= longest.mul_f64(1.05) {
                metrics.barrier_micros.fetch_add(
                    u64::try_from(elapsed.as_micros()).unwrap_or_default(),
                    Ordering::Relaxed,
                );
                return true;
            }
            self.runtime().sleep(look).await;
            look = (look * 2).min(LONGEST_LOOK);
            // Where the database cannot be asked, what was read last stands, and the time runs out.
            if let Ok(now) = self.others().await {
                others = now;
            }
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
        let nodes = self.ledger().nodes("").await?;
        Ok(Some(
            nodes
                .iter()
                .all(|node| node.acknowledged >= position || !node.may_trust()),
        ))
    }

    async fn barrier_begin(&self, position: Option<i64>) -> Result<(i64, Vec<NodeRow>), DbErr> {
        self.points().reach("barrier.begin").await;
        let position = match position {
            Some(position) => position,
            None => self.highest_position().await?,
        };
        Ok((position, self.others().await?))
    }

    /// The highest position that was given.
    pub(crate) async fn highest_position(&self) -> Result<i64, DbErr> {
        self.ledger().highest_position().await
    }

    async fn others(&self) -> Result<Vec<NodeRow>, DbErr> {
        self.ledger().nodes(self.name()).await
    }
}
