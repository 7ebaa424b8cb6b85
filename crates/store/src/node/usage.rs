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
use sea_orm::{ConnectionTrait, DbBackend, DbErr, SqliteTransactionMode, Statement, TransactionOptions};

use super::Node;
use crate::sql::{micros, statement, writing};

const CELLS: usize = if cfg!(test) { 16 } else { 4096 };
/// How late use is written at most.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// Notes of use since the last flush. The cells spare the lock for a session that was noted already; two sessions that meet in a cell are noted
/// more often than needed, which does no harm.
#[derive(Debug)]
pub(crate) struct Usage {
    cells: Box<[AtomicU64]>,
    notes: Mutex<Notes>,
    /// One flush at a time: the end of one must not forget what another has under way.
    flushing: tokio::sync::Mutex<()>,
}

type Generations = HashMap<SessionId, u32, foldhash::fast::RandomState>;

/// A note counts until the database has it: what is being written stays here, and is written again after a failure.
#[derive(Debug, Default)]
struct Notes {
    pending: Generations,
    writing: Generations,
}

fn newest(notes: &mut Generations, session: SessionId, generation: u32) {
    let noted = notes.entry(session).or_insert(generation);
    *noted = (*noted).max(generation);
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
            notes: Mutex::default(),
            flushing: tokio::sync::Mutex::default(),
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
        newest(&mut self.notes.lock().pending, session, generation);
    }

    /// What is to be written, in order of id.
    fn take(&self) -> Vec<(SessionId, u32)> {
        let mut listed: Vec<_> = {
            let mut notes = self.notes.lock();
            for (session, generation) in std::mem::take(&mut notes.pending) {
                newest(&mut notes.writing, session, generation);
            }
            notes
                .writing
                .iter()
                .map(|(session, noted)| (*session, *noted))
                .collect()
        };
        for cell in &self.cells {
            cell.store(0, Ordering::Relaxed);
        }
        listed.sort_unstable_by_key(|(session, _)| session.0);
        listed
    }

    fn written(&self) {
        self.notes.lock().writing.clear();
    }

    /// The generation noted for a session and not written yet.
    pub(crate) fn noted(&self, session: SessionId) -> Option<u32> {
        let notes = self.notes.lock();
        notes.pending.get(&session).max(notes.writing.get(&session)).copied()
    }
}

impl Node {
    pub(crate) fn noted_use(&self, session: SessionId) -> Option<u32> {
        self.0.usage.noted(session)
    }

    /// Writes what was noted. Columns that nobody watches: no version, no outbox, no barrier.
    pub(crate) async fn flush_usage(&self) -> Result<(), DbErr> {
        let _one_at_a_time = self.0.usage.flushing.lock().await;
        let noted = self.0.usage.take();
        self.points().reach("usage.taken").await;
        if noted.is_empty() {
            return Ok(());
        }
        let now = micros(self.clock().now());
        let busy = self.write_free(&noted, now).await?;
        // One by one, so that a row waited for is the only one held: others, a sign-out everywhere above all, lock many rows in an order of their own.
        for (session, generation) in busy {
            let update = self.note_statement("id = $3", session, generation, now);
            self.db().execute_raw(update).await?;
        }
        self.0.usage.written();
        Ok(())
    }

    /// Writes in one transaction the notes of all sessions that nobody has locked, and gives the others, and those that have ended.
    async fn write_free(&self, noted: &[(SessionId, u32)], now: i64) -> Result<Vec<(SessionId, u32)>, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let free = if self.backend() == DbBackend::Postgres {
            "id = (SELECT id FROM bekci_sessions WHERE id = $3 FOR UPDATE SKIP LOCKED)"
        } else {
            "id = $3"
        };
        let transaction = self.db().begin_with_options(writing(self.backend(), options)).await?;
        let mut busy = Vec::new();
        for (session, generation) in noted {
            // MariaDB reads no table that it updates.
            let free_row = "SELECT id FROM bekci_sessions WHERE id = $1 FOR UPDATE SKIP LOCKED";
            let free_row = statement(self.backend(), free_row, [session.to_string().into()]);
            if self.backend() == DbBackend::MySql && transaction.query_one_raw(free_row).await?.is_none() {
                busy.push((*session, *generation));
                continue;
            }
            let update = self.note_statement(free, *session, *generation, now);
            if transaction.execute_raw(update).await?.rows_affected() == 0 {
                busy.push((*session, *generation));
            }
        }
        transaction.commit().await?;
        if self.backend() == DbBackend::Sqlite {
            busy.clear();
        }
        Ok(busy)
    }

    fn note_statement(&self, which: &str, session: SessionId, generation: u32, now: i64) -> Statement {
        let sql = format!(
            "UPDATE bekci_sessions SET last_used_at = $1, used_generation = CASE WHEN coalesce(used_generation, -1) < $2 THEN $2 ELSE used_generation END \
             WHERE {which} AND ended_at IS NULL"
        );
        let generation = i32::try_from(generation).unwrap_or(i32::MAX);
        let values = [now.into(), generation.into(), session.to_string().into()];
        statement(self.backend(), sql, values)
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
            if let Err(error) = self.flush_seen().await {
                tracing::warn!(%error, "the use of security cookies could not be written");
            }
        }
    }
}
