//! Which nodes there are: a row for each, kept alive by heartbeats, by the database's clock.
//!
//! - A node writes its row before its first poll, and has no trust before that poll is applied: a writer that does not see the row committed before that poll.
//! - A heartbeat that hits no row means that others may have stopped waiting for this node: it drops its trust and all it holds, and registers anew.
//! - A row unseen for 10 of its own Δ is deleted by any node. Its owner lost its trust long before: a poll renews trust only within 5 Δ of the beginning of a
//!   heartbeat that hit the row.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use sea_orm::DbErr;

use super::Node;

/// Heartbeats of this node that hit its row, by the node's uptime clock; 0: there is none.
#[derive(Debug)]
pub(crate) struct Membership {
    name: String,
    last_beat: AtomicU64,
}

impl Membership {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            last_beat: AtomicU64::new(0),
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

    fn lose(&self) {
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
}

impl Node {
    /// Writes this node's row and begins at the newest position: what it holds in memory is nothing, so that no older change concerns it.
    pub(crate) async fn register(&self) -> Result<(), DbErr> {
        self.forget_everything();
        let began = self.uptime();
        self.ledger().register(self.name(), self.delta()).await?;
        self.0.cursor.store(self.highest_position().await?, Ordering::SeqCst);
        self.0.membership.beat(began);
        self.points().reach("membership.registered").await;
        Ok(())
    }

    /// Says that this node lives. `false`: its row is gone; it has dropped what it held and must register anew.
    pub(crate) async fn heartbeat(&self) -> Result<bool, DbErr> {
        self.points().reach("membership.heartbeat").await;
        let began = self.uptime();
        let hit = self.ledger().heartbeat(self.name()).await?;
        if hit {
            self.0.membership.beat(began);
        } else {
            tracing::warn!("this node's row is gone: dropping what it holds and registering anew");
            self.0.membership.lose();
            self.forget_everything();
        }
        Ok(hit)
    }

    /// Tells writers how far this node has applied.
    pub(crate) async fn acknowledge(&self, position: i64) -> Result<(), DbErr> {
        self.ledger().acknowledge(self.name(), position).await
    }

    /// Deletes the rows of nodes that have been silent for 10 of their own Δ.
    pub(crate) async fn reap(&self) -> Result<u64, DbErr> {
        self.ledger().reap().await
    }

    /// Takes this node out: nobody waits for it from now on. It decides nothing from memory any more.
    pub(crate) async fn leave(&self) -> Result<(), DbErr> {
        self.0.membership.lose();
        self.forget_everything();
        self.ledger().leave(self.name()).await
    }
}
