//! Which sessions were used: noted without waiting, written in batches.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bekci_core::SessionId;
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use sea_orm::{ConnectionTrait, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait};

use super::Node;
use crate::sql::{micros, statement};

const CELLS: usize = 4096;
/// How late use is written at most.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// Notes of use since the last flush. The cells spare the lock for a session that was noted already; two sessions that meet in a cell are noted
/// more often than needed, which does no harm.
#[derive(Debug)]
pub(crate) struct Usage {
    cells: Box<[AtomicU64]>,
    pending: Mutex<HashMap<SessionId, u32, foldhash::fast::RandomState>>,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
            pending: Mutex::default(),
        }
    }
}

impl Usage {
    pub(crate) fn note(&self, session: SessionId, generation: u32) {
        let tag = FixedState::with_seed(1).hash_one((session.0, generation)) | 1;
        let Some(cell) = self
            .cells
            .get(usize::try_from(tag >> 1).unwrap_or_default() & (CELLS - 1))
        else {
            return;
        };
        if cell.load(Ordering::Relaxed) == tag {
            return;
        }
        cell.store(tag, Ordering::Relaxed);
        let mut pending = self.pending.lock();
        let noted = pending.entry(session).or_insert(generation);
        *noted = (*noted).max(generation);
    }

    fn take(&self) -> Vec<(SessionId, u32)> {
        let taken = std::mem::take(&mut *self.pending.lock());
        for cell in &self.cells {
            cell.store(0, Ordering::Relaxed);
        }
        taken.into_iter().collect()
    }

    /// The generation noted for a session and not written yet.
    pub(crate) fn noted(&self, session: SessionId) -> Option<u32> {
        self.pending.lock().get(&session).copied()
    }
}

impl Node {
    pub(crate) fn noted_use(&self, session: SessionId) -> Option<u32> {
        self.0.usage.noted(session)
    }

    /// Writes what was noted. Columns that nobody watches: no version, no outbox, no barrier.
    pub(crate) async fn flush_usage(&self) -> Result<(), DbErr> {
        let noted = self.0.usage.take();
        if noted.is_empty() {
            return Ok(());
        }
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.db().begin_with_options(options).await?;
        let now = micros(self.clock().now());
        let sql = "UPDATE bekci_sessions SET last_used_at = $1, used_generation = CASE WHEN coalesce(used_generation, -1) < $2 THEN $2 ELSE used_generation END \
                   WHERE id = $3 AND ended_at IS NULL";
        for (session, generation) in noted {
            let values = [
                now.into(),
                i32::try_from(generation).unwrap_or(i32::MAX).into(),
                session.to_string().into(),
            ];
            transaction.execute_raw(statement(self.backend(), sql, values)).await?;
        }
        transaction.commit().await
    }

    pub(crate) async fn run_flushing(self, mut stop: tokio::sync::watch::Receiver<bool>) {
        while !*stop.borrow() {
            tokio::select! {
                () = tokio::time::sleep(FLUSH_EVERY) => {}
                _ = stop.changed() => {}
            }
            if let Err(error) = self.flush_usage().await {
                tracing::warn!(%error, "the use of sessions could not be written");
            }
        }
    }
}
