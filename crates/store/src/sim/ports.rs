//! The protocol's ports over the model: each statement is a request that travels, a step of the database, and an answer that travels.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bekci_core::{GuardName, Identity, Need, Permission, PolicyLine, PrincipalKey, RoleTable, TenantName};
use parking_lot::Mutex;
use sea_orm::{DbErr, RuntimeErr};

use super::{
    change::SimChange,
    database::{ALL, Lock, NodeEntry, POLICIES, ROLES, Refused, Row, TENANT_ROLES, Tables},
    executor::{Owner, Sleep},
    weak::Weak,
    world::{Link, World},
};
use crate::{
    coherence::{AppliedChange, Change, Cursor, Ledger, NodeRow, Outbox, Pending, Snapshot, Start, Versions},
    node::{Node, PolicyLabel},
    providers::Given,
};

/// A dead socket is noticed after this time by the client's keepalive.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// One process's way to the database.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) world: Arc<World>,
    pub(super) owner: Owner,
    /// Up to where a weak node misses changes.
    pub(super) missed: Arc<AtomicI64>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Connection({})", self.owner)
    }
}

fn lost() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("the connection was lost".to_owned()))
}

pub(super) fn refused(refused: Refused) -> DbErr {
    DbErr::Custom(refused.0.to_owned())
}

impl Connection {
    fn now(&self) -> u64 {
        self.world.executor.now()
    }

    pub(super) async fn travel(&self) -> Result<(), DbErr> {
        self.world.hop().await;
        let link = self.world.link(self.owner);
        match link {
            Link::Up => Ok(()),
            Link::Cut => Err(lost()),
            Link::HalfOpen => {
                Sleep::new(&self.world.executor, KEEPALIVE).await;
                Err(lost())
            }
        }
    }

    async fn ask<T>(&self, run: impl FnOnce(&World, u64) -> Result<T, Refused>) -> Result<T, DbErr> {
        self.travel().await?;
        let answer = run(&self.world, self.now()).map_err(refused);
        self.travel().await?;
        answer
    }

    fn tables(&self) -> Arc<Tables> {
        Arc::clone(&self.world.state.lock().db.tables)
    }

    pub(super) async fn begin_change(&self) -> Result<SimChange, DbErr> {
        self.travel().await?;
        let transaction = {
            let now = self.now();
            self.world.state.lock().db.begin(false, now)
        };
        let change = SimChange {
            connection: self.clone(),
            transaction,
            open: true,
            committed: Arc::default(),
        };
        let single_writer = self.world.state.lock().db.single_writer;
        if single_writer {
            change.lock(&[Lock::Writer]).await?;
        }
        self.travel().await?;
        Ok(change)
    }

    async fn remove_node(&self, which: impl Fn(&Tables, &NodeEntry) -> bool) -> Result<bool, DbErr> {
        self.ask(|world, _| {
            let mut gone = false;
            world.state.lock().db.change(|tables| {
                let mut nodes = std::mem::take(&mut tables.nodes);
                let before = nodes.len();
                nodes.retain(|entry| !which(tables, entry));
                gone = nodes.len() < before;
                tables.nodes = nodes;
            })?;
            Ok(gone)
        })
        .await
    }

    fn versions_in(&self, tables: &Tables, need: &Need<'_>, cursor: &Cursor) -> Versions {
        let names = &self.world.names;
        let key = names.principal(need.key);
        let (mut pending, mut unnumbered) = (Pending::default(), false);
        let weak = self.world.weak;
        let newer = |row: &&Row| {
            let unnumbered = weak != Weak::UnnumberedUnseen;
            row.position.map_or(unnumbered, |position| {
                position > cursor.position && weak != Weak::NewerKept
            })
        };
        for row in tables.rows.iter().filter(newer) {
            let is_tenant = need.tenant.is_some() && row.key == TENANT_ROLES;
            let concerns = Some(row.key) == key || [ROLES, POLICIES, ALL].contains(&row.key) || is_tenant;
            unnumbered |= concerns && row.position.is_none();
            pending.key |= Some(row.key) == key || row.key == ALL;
            pending.global |= row.key == ROLES || row.key == ALL;
            pending.tenant |= is_tenant || row.key == ALL;
            pending.policies |= row.key == POLICIES || row.key == ALL;
        }
        Versions {
            key: key.map(|key| tables.versions[key]).unwrap_or_default(),
            global: tables.versions[ROLES],
            tenant: need.tenant.map(|_| tables.versions[TENANT_ROLES]).unwrap_or_default(),
            policies: tables.versions[POLICIES],
            all: tables.versions[ALL],
            epoch: if weak == Weak::NoEpoch { 0 } else { tables.epoch },
            pending,
            unnumbered,
            continuous: weak == Weak::SetBackUnseen || tables.has(cursor) && tables.pruned <= cursor.position,
        }
    }
}

pub(super) fn policy_lines(value: u32) -> Vec<PolicyLine> {
    vec![PolicyLine {
        kind: value.to_string(),
        values: Vec::new(),
    }]
}

#[async_trait::async_trait]
impl Ledger for Connection {
    async fn start(&self) -> Result<Start, DbErr> {
        self.ask(|world, _| {
            let state = world.state.lock();
            let tables = &state.db.tables;
            let newest = tables.rows.iter().max_by_key(|row| (row.position, row.id));
            if world.weak == Weak::NothingToWaitFor {
                return Ok(Start {
                    epoch: tables.epoch,
                    ..Start::default()
                });
            }
            let newest = newest.and_then(|row| row.position.map(|position| (position, row)));
            let cursor = match newest {
                Some((position, row)) if position > tables.pruned => Cursor {
                    position,
                    row: row.id,
                    created_at: row.created,
                },
                _ => Cursor {
                    position: tables.pruned,
                    ..Cursor::default()
                },
            };
            let start = Start {
                cursor,
                epoch: if world.weak == Weak::NoEpoch { 0 } else { tables.epoch },
            };
            drop(state);
            world.note(|| format!("process {} begins at {start:?}", self.owner));
            Ok(start)
        })
        .await
    }

    async fn register(&self, node: &str, delta: Duration, cursor: &Cursor) -> Result<bool, DbErr> {
        self.ask(|world, now| {
            let state = world.state.lock();
            let seen = state.db.micros(now);
            let mut acknowledged = cursor.position;
            let mut hit = false;
            if world.weak == Weak::LateCursor {
                acknowledged = state.db.tables.highest_position();
                self.missed.store(acknowledged, Ordering::Relaxed);
            }
            drop(state);
            world.note(|| format!("{node} registers, and has acknowledged {acknowledged}"));
            let mut state = world.state.lock();
            state.db.change(|tables| {
                if !tables.has(cursor) {
                    return;
                }
                hit = true;
                tables.nodes.retain(|entry| entry.name != node);
                tables.nodes.push(NodeEntry {
                    name: node.to_owned(),
                    acknowledged,
                    delta,
                    seen,
                });
            })?;
            Ok(hit)
        })
        .await
    }

    async fn heartbeat(&self, node: &str) -> Result<bool, DbErr> {
        self.ask(|world, now| {
            let mut state = world.state.lock();
            let seen = state.db.micros(now);
            let mut hit = false;
            state.db.change(|tables| {
                for entry in tables.nodes.iter_mut().filter(|entry| entry.name == node) {
                    entry.seen = seen.max(entry.seen + 1);
                    hit = true;
                }
            })?;
            Ok(hit)
        })
        .await
    }

    async fn acknowledge(&self, node: &str, cursor: &Cursor) -> Result<bool, DbErr> {
        let mut hit = false;
        self.ask(|world, _| {
            world.state.lock().db.change(|tables| {
                if world.weak != Weak::SetBackUnseen && !tables.has_row(cursor) {
                    return;
                }
                for entry in tables.nodes.iter_mut().filter(|entry| entry.name == node) {
                    entry.acknowledged = cursor.position;
                    hit = true;
                }
            })
        })
        .await?;
        self.world.note(|| format!("{node} acknowledges {cursor:?}: {hit}"));
        Ok(hit)
    }

    async fn fence(&self, node: &str, at: &Cursor) -> Result<bool, DbErr> {
        let weak = self.world.weak;
        self.remove_node(|tables, entry| {
            let stands = tables.has_row(at);
            weak != Weak::NothingFenced && stands && entry.name == node && entry.acknowledged < at.position
        })
        .await
    }

    async fn reap(&self, node: &str, seen_at: i64) -> Result<bool, DbErr> {
        self.remove_node(|_, entry| entry.name == node && entry.seen == seen_at)
            .await
    }

    async fn leave(&self, node: &str) -> Result<(), DbErr> {
        self.remove_node(|_, entry| entry.name == node).await.map(|_| ())
    }

    async fn nodes(&self, but: &str) -> Result<Vec<NodeRow>, DbErr> {
        self.ask(|world, now| {
            let state = world.state.lock();
            let now = state.db.micros(now);
            let others = state.db.tables.nodes.iter().filter(|entry| {
                let silent = now - entry.seen > i64::try_from(entry.delta.as_micros()).unwrap() * 6;
                entry.name != but && !(silent && world.weak == Weak::SilenceByDatabaseClock)
            });
            Ok(others
                .map(|entry| NodeRow {
                    node: entry.name.clone(),
                    acknowledged: entry.acknowledged,
                    delta: entry.delta,
                    seen_at: entry.seen,
                })
                .collect())
        })
        .await
    }

    async fn highest_position(&self) -> Result<i64, DbErr> {
        self.ask(|world, _| {
            let highest = world.state.lock().db.tables.highest_position();
            Ok(highest)
        })
        .await
    }

    async fn outbox(&self, node: &str, cursor: &Cursor) -> Result<Outbox, DbErr> {
        self.ask(|world, now| {
            let state = world.state.lock();
            let now = state.db.micros(now);
            let tables = &state.db.tables;
            let own = tables.nodes.iter().find(|entry| entry.name == node);
            let mut outbox = Outbox {
                pruned: tables.pruned,
                epoch: if world.weak == Weak::NoEpoch { 0 } else { tables.epoch },
                acknowledged: own.map(|entry| entry.acknowledged),
                continuous: world.weak == Weak::SetBackUnseen || tables.has(cursor),
                ..Outbox::default()
            };
            for row in &tables.rows {
                match row.position {
                    None => outbox.unnumbered += 1,
                    Some(position) if position > cursor.position => outbox.changes.push(AppliedChange {
                        position,
                        key: world.names.keys[row.key].clone(),
                        version: row.version,
                        row: row.id,
                        created_at: row.created,
                        age: Duration::from_micros(u64::try_from(now - row.created).unwrap_or_default()),
                    }),
                    Some(_) => {}
                }
            }
            drop(state);
            world.note(|| format!("{node} polls from {cursor:?}: {outbox:?}"));
            let missed = self.missed.load(Ordering::Relaxed);
            outbox.changes.retain(|change| change.position > missed);
            if world.weak == Weak::AcknowledgedOnMoveOnly && outbox.changes.is_empty() {
                outbox.acknowledged = outbox.acknowledged.map(|_| i64::MAX);
            }
            Ok(outbox)
        })
        .await
    }

    async fn change_epoch(&self, from: i64) -> Result<(), DbErr> {
        self.ask(|world, _| {
            let mut state = world.state.lock();
            state.db.epochs += 1;
            let next = state.db.epochs;
            state.db.change(|tables| {
                if tables.epoch == from {
                    tables.epoch = next;
                }
            })
        })
        .await
    }

    async fn unapplied(&self, cursor: i64) -> Result<u64, DbErr> {
        self.ask(|world, _| {
            let state = world.state.lock();
            let newer = |row: &&Row| row.position.is_none_or(|position| position > cursor);
            Ok(state.db.tables.rows.iter().filter(newer).count() as u64)
        })
        .await
    }

    async fn prune(&self, keep_micros: i64) -> Result<u64, DbErr> {
        self.ask(|world, now| {
            let mut state = world.state.lock();
            let before = state.db.micros(now) - keep_micros;
            state.db.change(|tables| {
                let acknowledged = tables
                    .nodes
                    .iter()
                    .map(|node| node.acknowledged)
                    .min()
                    .unwrap_or_default();
                let old = tables.rows.iter().filter(|row| row.created < before);
                let positions = old.filter_map(|row| row.position).filter(|at| *at <= acknowledged);
                if let Some(position) = positions.max() {
                    tables.pruned = tables.pruned.max(position);
                    tables.rows.retain(|row| row.position.is_none_or(|at| at > position));
                }
            })?;
            Ok(0)
        })
        .await
    }

    async fn versions(&self, need: &Need<'_>, cursor: &Cursor) -> Result<Versions, DbErr> {
        self.travel().await?;
        let versions = self.versions_in(&self.tables(), need, cursor);
        self.travel().await?;
        Ok(versions)
    }

    async fn begin(&self) -> Result<Box<dyn Change>, DbErr> {
        Ok(Box::new(self.begin_change().await?))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, DbErr> {
        self.travel().await?;
        Ok(Box::new(SimSnapshot {
            connection: self.clone(),
            tables: Mutex::new(None),
        }))
    }
}

struct SimSnapshot {
    connection: Connection,
    tables: Mutex<Option<Arc<Tables>>>,
}

impl SimSnapshot {
    async fn ask<T>(&self, read: impl FnOnce(&Tables) -> T) -> Result<T, DbErr> {
        self.connection.travel().await?;
        let answer = {
            let mut tables = self.tables.lock();
            if self.connection.world.weak == Weak::NoSnapshot {
                *tables = None;
            }
            let tables = tables.get_or_insert_with(|| self.connection.tables());
            read(tables)
        };
        self.connection.travel().await?;
        Ok(answer)
    }
}

#[async_trait::async_trait]
impl Snapshot for SimSnapshot {
    async fn versions(&self, need: &Need<'_>, cursor: &Cursor) -> Result<Versions, DbErr> {
        self.ask(|tables| self.connection.versions_in(tables, need, cursor))
            .await
    }

    async fn policy_label(&self) -> Result<Option<PolicyLabel>, DbErr> {
        self.ask(|tables| {
            let unnumbered = |row: &Row| row.position.is_none() && (row.key == POLICIES || row.key == ALL);
            let is_known = !tables.rows.iter().any(unnumbered);
            let weak = self.connection.world.weak;
            is_known.then_some(PolicyLabel {
                database: if weak == Weak::NoEpoch { 0 } else { tables.epoch },
                all: tables.versions[ALL],
                version: tables.versions[POLICIES],
            })
        })
        .await
    }

    async fn identity(&self, _node: &Node, key: &PrincipalKey, _given: &Given) -> Result<Identity, DbErr> {
        let at = self.connection.world.names.principal(key);
        self.ask(|tables| {
            let mut identity = Identity::absent(key.clone());
            identity.exists = true;
            identity.status = at.map(|at| tables.value[at].to_string().into_boxed_str());
            identity
        })
        .await
    }

    async fn role_table(
        &self,
        _guard: &GuardName,
        tenant: Option<&TenantName>,
        version: u64,
    ) -> Result<RoleTable, DbErr> {
        let role = self.connection.world.names.role.clone();
        self.ask(|tables| {
            let at = if tenant.is_some() { TENANT_ROLES } else { ROLES };
            let permission = Permission::new(&format!("v.n{}", tables.value[at])).unwrap();
            RoleTable::new(version, [(role, vec![permission])])
        })
        .await
    }

    async fn policy_page(&self, after: i64, _limit: usize) -> Result<Vec<(i64, PolicyLine)>, DbErr> {
        let first = if after == 0 { usize::MAX } else { 0 };
        let page = self.ask(|tables| policy_lines(tables.value[POLICIES])).await?;
        Ok(page.into_iter().take(first).map(|line| (1, line)).collect())
    }

    async fn close(self: Box<Self>) {}
}
