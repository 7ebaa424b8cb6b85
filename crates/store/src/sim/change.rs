//! A transaction of a process, over the model of the database.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bekci_core::PolicyLine;
use sea_orm::DbErr;

use super::{
    database::{Blocked, IDENTITIES, Lock},
    ports::{Connection, policy_lines, refused},
    weak::Weak,
    world::{Link, World},
};
use crate::{
    coherence::{Change, ChangedKey, CommitFailure, Cursor, OutboxRows},
    keys::ChangeKey,
};

/// A transaction of a process.
pub(super) struct SimChange {
    pub(super) connection: Connection,
    pub(super) transaction: u64,
    pub(super) open: bool,
    /// The commit that it became, for the checker.
    pub(super) committed: Arc<AtomicU32>,
}

impl Drop for SimChange {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let world = &self.connection.world;
        let is_up = world.link(self.connection.owner) == Link::Up;
        let now = world.executor.now();
        let mut state = world.state.lock();
        if is_up {
            state.db.roll_back(self.transaction);
        } else {
            // The server hears nothing of it, and ends it as idle.
            state.db.set_idle(self.transaction, Some(now));
        }
    }
}

impl SimChange {
    pub(super) async fn lock(&self, locks: &[Lock]) -> Result<(), DbErr> {
        let world = &self.connection.world;
        for lock in locks {
            let owner = self.connection.owner;
            let (began, rested) = (world.executor.now(), world.executor.rested(owner));
            let waiting = poll_fn(|context| {
                let now = world.executor.now();
                let mut state = world.state.lock();
                match state.db.lock(self.transaction, *lock, now) {
                    Ok(()) => Poll::Ready(Ok(())),
                    Err(Blocked::Refused(why)) => Poll::Ready(Err(refused(why))),
                    Err(Blocked::Until(ends)) => {
                        state.db.wait(context.waker());
                        if ends != u64::MAX {
                            world.executor.wake_at(ends, context.waker());
                        }
                        Poll::Pending
                    }
                }
            });
            waiting.await?;
            // A pause of this process is no wait for the lock.
            let rested = world.executor.rested(owner) - rested;
            world.waited_for(*lock, world.executor.now() - began - rested);
        }
        Ok(())
    }

    async fn ask<T>(&self, run: impl AsyncFnOnce(&World, u64) -> Result<T, DbErr>) -> Result<T, DbErr> {
        let world = &self.connection.world;
        self.connection.travel().await?;
        world.state.lock().db.set_idle(self.transaction, None);
        let answer = run(world, self.transaction).await;
        let now = world.executor.now();
        world.state.lock().db.set_idle(self.transaction, Some(now));
        self.connection.travel().await?;
        answer
    }

    /// Sets data, under its own keys or under `@all`; returns whether anything changed, and the last commit that it saw.
    pub(super) async fn write(&self, data: &[(usize, u8)], all: bool) -> Result<(bool, u32), DbErr> {
        self.ask(async |world: &World, transaction| {
            let locks: Vec<Lock> = data.iter().map(|(datum, _)| Lock::Datum(*datum)).collect();
            self.lock(&locks).await?;
            let now = world.executor.now();
            let mut state = world.state.lock();
            let seen = state.db.tables.commit;
            let changed = state.db.write(transaction, data, all, now).map_err(refused)?;
            Ok((changed, seen))
        })
        .await
    }
}

fn ids(rows: &OutboxRows) -> Option<&[i64]> {
    match rows {
        OutboxRows::Own => None,
        OutboxRows::Ids(ids) => Some(ids),
    }
}

#[async_trait::async_trait]
impl Change for SimChange {
    async fn changed_keys(&self) -> Result<Vec<ChangedKey>, DbErr> {
        self.ask(async |world: &World, transaction| {
            let rows = world.state.lock().db.own_rows(transaction).map_err(refused)?;
            let changed = rows.iter().map(|row| ChangedKey {
                key: world.names.keys[row.key].clone(),
                adds: row.adds,
                refresh: row.key < IDENTITIES,
            });
            Ok(changed.collect())
        })
        .await
    }

    async fn lock_unnumbered(&self, _limit: u32) -> Result<Vec<i64>, DbErr> {
        self.ask(async |world: &World, transaction| {
            let now = world.executor.now();
            let mut state = world.state.lock();
            state.db.lock_unnumbered(transaction, now).map_err(refused)
        })
        .await
    }

    async fn raise_versions(&self, rows: &OutboxRows) -> Result<Vec<(ChangeKey, u64)>, DbErr> {
        self.ask(async |world: &World, transaction| {
            let keys = {
                let mut state = world.state.lock();
                state.db.keys_of(transaction, ids(rows)).map_err(refused)?
            };
            let locks: Vec<Lock> = keys.iter().map(|key| Lock::Version(*key)).collect();
            self.lock(&locks).await?;
            let step = match world.weak {
                Weak::NoEpoch => 1,
                _ => world.dice(|dice| 1 + dice.below(1 << 20)),
            };
            let raised = {
                let mut state = world.state.lock();
                state.db.raise(transaction, &keys, step).map_err(refused)?
            };
            let named = raised.into_iter();
            Ok(named
                .map(|(key, version)| (world.names.keys[key].clone(), version))
                .collect())
        })
        .await
    }

    async fn next_position(&self, idle: Duration) -> Result<i64, DbErr> {
        let idle = u64::try_from(idle.as_nanos()).unwrap();
        self.ask(async |world: &World, transaction| {
            self.lock(&[Lock::Commit]).await?;
            let mut state = world.state.lock();
            if !state.db.single_writer && world.weak != Weak::LongIdle {
                state.db.may_idle(transaction, idle);
            }
            Ok(state.db.next_position())
        })
        .await
    }

    async fn number(&self, rows: &OutboxRows, position: i64) -> Result<Cursor, DbErr> {
        self.ask(async |world: &World, transaction| {
            let mut state = world.state.lock();
            state.db.number(transaction, ids(rows), position).map_err(refused)
        })
        .await
    }

    async fn policy_lines(&self) -> Result<Vec<PolicyLine>, DbErr> {
        self.ask(async |world: &World, transaction| {
            let mut state = world.state.lock();
            let value = state.db.policies_in(transaction).map_err(refused)?;
            Ok(policy_lines(value))
        })
        .await
    }

    async fn commit(mut self: Box<Self>) -> Result<(), CommitFailure> {
        self.connection.travel().await.map_err(CommitFailure::Unknown)?;
        self.open = false;
        let answer = {
            let world = &self.connection.world;
            let now = world.executor.now();
            let committed = world.state.lock().db.commit(self.transaction, now);
            world.note(|| {
                format!(
                    "process {} commits {}: {committed:?}",
                    self.connection.owner, self.transaction
                )
            });
            committed
        };
        self.connection.travel().await.map_err(CommitFailure::Unknown)?;
        let commit = answer.map_err(|why| CommitFailure::Refused(refused(why)))?;
        self.committed.store(commit, Ordering::Relaxed);
        Ok(())
    }

    async fn rollback(mut self: Box<Self>) -> Result<(), DbErr> {
        self.connection.travel().await?;
        self.open = false;
        self.connection.world.state.lock().db.roll_back(self.transaction);
        self.connection.travel().await
    }
}
