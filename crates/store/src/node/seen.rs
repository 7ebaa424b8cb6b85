//! Which security cookies were seen: noted without waiting, once each, and written in batches.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
};

use bekci_core::SessionId;
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use sea_orm::{ConnectionTrait, DbErr};

use super::Node;
use crate::sql::{micros, statement};

const CELLS: usize = 4096;

/// Counters that were seen and are not written yet. The cells spare the lock for one that was noted already; two sessions that meet in a cell are noted more often than needed,
/// which does no harm.
#[derive(Debug)]
pub(crate) struct Seen {
    cells: Box<[AtomicU64]>,
    pending: Mutex<HashMap<SessionId, u32, foldhash::fast::RandomState>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
            pending: Mutex::default(),
        }
    }
}

impl Seen {
    pub(crate) fn note(&self, session: SessionId, generation: u32) {
        let tag = FixedState::with_seed(2).hash_one((session.0, generation)) | 1;
        let at = usize::try_from(tag >> 1).unwrap_or_default() & (CELLS - 1);
        let Some(cell) = self.cells.get(at) else { return };
        if cell.load(Ordering::Relaxed) == tag {
            return;
        }
        cell.store(tag, Ordering::Relaxed);
        let mut pending = self.pending.lock();
        let noted = pending.entry(session).or_insert(generation);
        *noted = (*noted).max(generation);
    }

    fn take(&self) -> Vec<(SessionId, u32)> {
        let mut listed: Vec<_> = std::mem::take(&mut *self.pending.lock()).into_iter().collect();
        listed.sort_unstable_by_key(|(session, _)| session.0);
        listed
    }
}

impl Node {
    /// Writes what was noted, one row at a time. What cannot be written is noted again.
    pub(crate) async fn flush_seen(&self) -> Result<(), DbErr> {
        let listed = self.0.seen.take();
        let now = micros(self.clock().now());
        let mut failed = None;
        for (session, generation) in listed {
            if failed.is_none() {
                let sql = "UPDATE bekci_security SET seen_at = $1 WHERE session_id = $2 AND generation = $3 AND seen_at IS NULL";
                let values = [
                    now.into(),
                    session.to_string().into(),
                    i32::try_from(generation).unwrap_or(i32::MAX).into(),
                ];
                failed = self
                    .db()
                    .execute_raw(statement(self.backend(), sql, values))
                    .await
                    .err();
            }
            if failed.is_some() {
                let mut pending = self.0.seen.pending.lock();
                let noted = pending.entry(session).or_insert(generation);
                *noted = (*noted).max(generation);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
