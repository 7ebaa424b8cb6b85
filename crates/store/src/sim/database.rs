//! A model of the database: committed tables, transactions with their locks, positions, its own clock.
//!
//! PostgreSQL's rules where they matter here: a statement sees what is committed when it runs and what its transaction wrote; a snapshot sees one moment, that of its first
//! statement; a row that another transaction changed is waited for; `SKIP LOCKED` passes it over; the sequence of positions is of no transaction. With `single_writer` SQLite's: one
//! transaction writes at a time, and unnumbered rows of others count as its own.

use std::{collections::BTreeMap, sync::Arc, task::Waker, time::Duration};

use crate::coherence::Cursor;

/// What can change: two identities, the role tables (global, of a tenant), the policies.
pub(super) const DATA: usize = 5;
pub(super) const IDENTITIES: usize = 2;
pub(super) const ROLES: usize = 2;
pub(super) const TENANT_ROLES: usize = 3;
pub(super) const POLICIES: usize = 4;
/// The key `@all`, beside one key for each datum.
pub(super) const ALL: usize = 5;
pub(super) const KEYS: usize = 6;

/// A server ends the transaction of a client that says nothing for this long.
pub(super) const IDLE_IN_TRANSACTION: u64 = 10_000_000_000;

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) key: usize,
    pub(super) adds: bool,
    pub(super) version: u64,
    pub(super) position: Option<i64>,
    pub(super) created: i64,
}

#[derive(Clone, Debug)]
pub(super) struct NodeEntry {
    pub(super) name: String,
    pub(super) acknowledged: i64,
    pub(super) delta: Duration,
    pub(super) seen: i64,
}

/// All tables, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// 1 where the right is given.
    pub(super) content: [u8; DATA],
    /// Which commit gave each datum what it is.
    pub(super) value: [u32; DATA],
    pub(super) versions: [u64; KEYS],
    pub(super) rows: Vec<Row>,
    pub(super) nodes: Vec<NodeEntry>,
    pub(super) pruned: i64,
    pub(super) epoch: i64,
    /// The last commit that changed data.
    pub(super) commit: u32,
}

impl Tables {
    pub(super) fn highest_position(&self) -> i64 {
        let highest = self.rows.iter().filter_map(|row| row.position).max();
        highest.unwrap_or_default().max(self.pruned)
    }

    /// Whether a row of the outbox is there still, or was pruned.
    pub(super) fn has(&self, cursor: &Cursor) -> bool {
        self.pruned >= cursor.position || self.has_row(cursor)
    }

    pub(super) fn has_row(&self, cursor: &Cursor) -> bool {
        let at = (Some(cursor.position), cursor.row, cursor.created_at);
        let is_that = |known: &Row| (known.position, known.id, known.created) == at;
        self.rows.iter().any(is_that)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lock {
    Writer,
    Datum(usize),
    Row(i64),
    Version(usize),
    Commit,
}

#[derive(Debug, Default)]
struct Transaction {
    raw: bool,
    writes: Vec<(usize, u8)>,
    rows: Vec<Row>,
    raised: Vec<(usize, u64)>,
    numbered: Vec<(i64, i64)>,
    locks: Vec<Lock>,
    /// Since when the client says nothing; `None` while a statement runs.
    idle_since: Option<u64>,
    /// For how long the server lets it be so.
    may_idle: u64,
}

/// A commit that changed data, for the checker.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) value: [u32; DATA],
    /// The last guarded commit of each datum.
    pub(super) guarded: [u32; DATA],
    pub(super) at: u64,
    /// When the database went back before it.
    pub(super) lost_at: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Database {
    pub(super) tables: Arc<Tables>,
    pub(super) single_writer: bool,
    pub(super) read_only: bool,
    pub(super) log: Vec<Commit>,
    /// What a policy that a transaction read before its own commit is called, and the commit that it became.
    pub(super) own_policies: BTreeMap<u32, u32>,
    pub(super) set_back_at: Option<u64>,
    pub(super) epochs: i64,
    transactions: BTreeMap<u64, Transaction>,
    locks: BTreeMap<Lock, u64>,
    past: Vec<Arc<Tables>>,
    sequence: i64,
    ids: i64,
    begun: u64,
    clock: i64,
    waiters: Vec<Waker>,
}

/// The database refused a statement.
#[derive(Debug)]
pub(super) struct Refused(pub(super) &'static str);

/// A statement that waits for a lock, until this time at most.
#[derive(Debug)]
pub(super) enum Blocked {
    Refused(Refused),
    Until(u64),
}

impl From<Refused> for Blocked {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

const GONE: Refused = Refused("the transaction is gone");

impl Database {
    pub(super) fn new(single_writer: bool) -> Self {
        let first = Commit {
            value: [0; DATA],
            guarded: [0; DATA],
            at: 0,
            lost_at: None,
        };
        Self {
            tables: Arc::default(),
            single_writer,
            read_only: false,
            log: vec![first],
            own_policies: BTreeMap::new(),
            set_back_at: None,
            epochs: 0,
            transactions: BTreeMap::new(),
            locks: BTreeMap::new(),
            past: Vec::new(),
            sequence: 0,
            ids: 0,
            begun: 0,
            clock: 1_000_000_000_000,
            waiters: Vec::new(),
        }
    }

    /// The database's clock, in microseconds.
    pub(super) fn micros(&self, now: u64) -> i64 {
        self.clock + i64::try_from(now / 1_000).unwrap()
    }

    pub(super) fn turn_clock(&mut self, by: i64) {
        self.clock += by;
    }

    pub(super) fn wait(&mut self, waker: &Waker) {
        self.waiters.push(waker.clone());
    }

    fn wake_waiters(&mut self) {
        for waker in self.waiters.drain(..) {
            waker.wake();
        }
    }

    pub(super) fn begin(&mut self, raw: bool, now: u64) -> u64 {
        self.begun += 1;
        let transaction = Transaction {
            raw,
            idle_since: Some(now),
            may_idle: IDLE_IN_TRANSACTION,
            ..Transaction::default()
        };
        self.transactions.insert(self.begun, transaction);
        self.begun
    }

    pub(super) fn set_idle(&mut self, transaction: u64, since: Option<u64>) {
        if let Some(open) = self.transactions.get_mut(&transaction) {
            open.idle_since = since;
        }
    }

    pub(super) fn may_idle(&mut self, transaction: u64, time: u64) {
        if let Some(open) = self.transactions.get_mut(&transaction) {
            open.may_idle = time;
        }
    }

    /// Takes a lock for a transaction, or says until when its holder may keep it.
    pub(super) fn lock(&mut self, transaction: u64, lock: Lock, now: u64) -> Result<(), Blocked> {
        if !self.transactions.contains_key(&transaction) {
            return Err(GONE.into());
        }
        let holder = self.locks.get(&lock).copied();
        if let Some(holder) = holder
            && holder != transaction
        {
            let Some(other) = self.transactions.get(&holder) else {
                return Err(GONE.into());
            };
            let ends = match other.idle_since {
                Some(since) if !other.raw => since + other.may_idle,
                _ => u64::MAX,
            };
            if ends > now {
                return Err(Blocked::Until(ends));
            }
            self.roll_back(holder);
        }
        self.locks.insert(lock, transaction);
        if holder != Some(transaction)
            && let Some(open) = self.transactions.get_mut(&transaction)
        {
            open.locks.push(lock);
        }
        Ok(())
    }

    fn open(&mut self, transaction: u64) -> Result<&mut Transaction, Refused> {
        self.transactions.get_mut(&transaction).ok_or(GONE)
    }

    /// Sets data whose locks the transaction holds, and names what changed in the outbox: by its own key, or all of it by `@all`.
    pub(super) fn write(
        &mut self,
        transaction: u64,
        data: &[(usize, u8)],
        all: bool,
        now: u64,
    ) -> Result<bool, Refused> {
        if self.read_only {
            return Err(Refused("read-only"));
        }
        let created = self.micros(now);
        let tables = Arc::clone(&self.tables);
        let mut ids = self.ids;
        let open = self.open(transaction)?;
        let mut adds = true;
        let mut changed = Vec::new();
        for (datum, target) in data {
            let own = open.writes.iter().rev().find(|(written, _)| written == datum);
            if own.map_or(tables.content[*datum], |(_, content)| *content) != *target {
                open.writes.push((*datum, *target));
                changed.push(*datum);
                adds &= *target == 1;
            }
        }
        let named: Vec<usize> = match (all, changed.is_empty()) {
            (_, true) => Vec::new(),
            (true, false) => vec![ALL],
            (false, false) => changed,
        };
        for key in &named {
            ids += 1;
            open.rows.push(Row {
                id: ids,
                key: *key,
                adds: adds && !all,
                version: 0,
                position: None,
                created,
            });
        }
        self.ids = ids;
        Ok(!named.is_empty())
    }

    /// The rows that a transaction numbers as its own.
    pub(super) fn own_rows(&mut self, transaction: u64) -> Result<Vec<Row>, Refused> {
        let committed = if self.single_writer {
            self.tables.rows.clone()
        } else {
            Vec::new()
        };
        let open = self.open(transaction)?;
        let unnumbered = committed.iter().filter(|row| row.position.is_none());
        Ok(open.rows.iter().chain(unnumbered).cloned().collect())
    }

    pub(super) fn lock_unnumbered(&mut self, transaction: u64, now: u64) -> Result<Vec<i64>, Refused> {
        if self.read_only {
            return Err(Refused("read-only"));
        }
        self.open(transaction)?;
        let tables = Arc::clone(&self.tables);
        let unnumbered = tables.rows.iter().filter(|row| row.position.is_none());
        let mut ids = Vec::new();
        for row in unnumbered {
            if self.lock(transaction, Lock::Row(row.id), now).is_ok() {
                ids.push(row.id);
            }
        }
        Ok(ids)
    }

    /// The keys of these rows, sorted.
    pub(super) fn keys_of(&mut self, transaction: u64, ids: Option<&[i64]>) -> Result<Vec<usize>, Refused> {
        let rows = match ids {
            None => self.own_rows(transaction)?,
            Some(ids) => {
                let tables = Arc::clone(&self.tables);
                let chosen = tables.rows.iter().filter(|row| ids.contains(&row.id));
                chosen.cloned().collect()
            }
        };
        let mut keys: Vec<usize> = rows.iter().map(|row| row.key).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    pub(super) fn raise(&mut self, transaction: u64, keys: &[usize], step: u64) -> Result<Vec<(usize, u64)>, Refused> {
        if self.read_only {
            return Err(Refused("read-only"));
        }
        let tables = Arc::clone(&self.tables);
        let open = self.open(transaction)?;
        open.raised = keys.iter().map(|key| (*key, tables.versions[*key] + step)).collect();
        Ok(open.raised.clone())
    }

    pub(super) fn next_position(&mut self) -> i64 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) fn number(&mut self, transaction: u64, ids: Option<&[i64]>, position: i64) -> Result<Cursor, Refused> {
        let rows = match ids {
            Some(ids) => {
                let tables = Arc::clone(&self.tables);
                let chosen = tables.rows.iter().filter(|row| ids.contains(&row.id));
                chosen.cloned().collect()
            }
            None => self.own_rows(transaction)?,
        };
        let open = self.open(transaction)?;
        open.numbered = rows.iter().map(|row| (row.id, position)).collect();
        let last = rows.last();
        Ok(Cursor {
            position,
            row: last.map(|row| row.id).unwrap_or_default(),
            created_at: last.map(|row| row.created).unwrap_or_default(),
        })
    }

    pub(super) fn policies_in(&mut self, transaction: u64) -> Result<u32, Refused> {
        let committed = self.tables.value[POLICIES];
        let open = self.open(transaction)?;
        let own = open.writes.iter().any(|(datum, _)| *datum == POLICIES);
        // Raw writers may commit before this transaction does, so its number is not known yet.
        Ok(if own { own_policy(transaction) } else { committed })
    }

    pub(super) fn commit(&mut self, transaction: u64, now: u64) -> Result<u32, Refused> {
        if self.read_only {
            self.roll_back(transaction);
            return Err(Refused("read-only"));
        }
        let open = self.transactions.remove(&transaction).ok_or(GONE)?;
        self.past.push(Arc::clone(&self.tables));
        let tables = Arc::make_mut(&mut self.tables);
        tables.rows.extend(open.rows);
        for (key, version) in &open.raised {
            tables.versions[*key] = *version;
        }
        for (id, position) in open.numbered {
            if let Some(row) = tables.rows.iter_mut().find(|row| row.id == id) {
                row.position = Some(position);
                row.version = tables.versions[row.key];
            }
        }
        if !open.writes.is_empty() {
            let number = u32::try_from(self.log.len()).unwrap();
            let mut guarded = self.log[tables.commit as usize].guarded;
            if open.writes.iter().any(|(datum, _)| *datum == POLICIES) {
                self.own_policies.insert(own_policy(transaction), number);
            }
            for (datum, content) in open.writes {
                tables.content[datum] = content;
                tables.value[datum] = number;
                if !open.raw {
                    guarded[datum] = number;
                }
            }
            tables.commit = number;
            self.log.push(Commit {
                value: tables.value,
                guarded,
                at: now,
                lost_at: None,
            });
        }
        self.release(transaction, &open.locks);
        Ok(self.tables.commit)
    }

    fn release(&mut self, transaction: u64, locks: &[Lock]) {
        for lock in locks {
            if self.locks.get(lock) == Some(&transaction) {
                self.locks.remove(lock);
            }
        }
        self.wake_waiters();
    }

    pub(super) fn roll_back(&mut self, transaction: u64) {
        if let Some(open) = self.transactions.remove(&transaction) {
            self.release(transaction, &open.locks);
        }
    }

    /// Ends what has said nothing for a second, as the server does after ten.
    pub(super) fn end_idle(&mut self, now: u64) {
        let idle = self.transactions.iter().filter(|(_, open)| {
            let long_ago = |since: u64| since + 1_000_000_000 < now;
            open.idle_since.is_some_and(long_ago)
        });
        let idle: Vec<u64> = idle.map(|(transaction, _)| *transaction).collect();
        for transaction in idle {
            self.roll_back(transaction);
        }
    }

    /// Changes a table outside of any transaction of the protocol.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Tables)) -> Result<(), Refused> {
        if self.read_only {
            return Err(Refused("read-only"));
        }
        change(Arc::make_mut(&mut self.tables));
        Ok(())
    }

    /// Goes back to the state before one of its last commits, as a failover that loses commits does.
    /// Not to one that a node has registered after: no writer can know of such a node.
    pub(super) fn set_back(&mut self, commits: usize, sequence_ahead: i64, now: u64) -> bool {
        let Some(at) = self.past.len().checked_sub(commits.max(1)) else {
            return false;
        };
        let older = Arc::clone(&self.past[at]);
        let known = |node: &NodeEntry| older.nodes.iter().any(|other| other.name == node.name);
        if !self.tables.nodes.iter().all(known) {
            return false;
        }
        self.past.truncate(at);
        for lost in self.log.iter_mut().skip(older.commit as usize + 1) {
            lost.lost_at = lost.lost_at.or(Some(now));
        }
        self.sequence = older.highest_position() + sequence_ahead;
        // Rows get the numbers of those that are lost.
        self.ids = older.rows.iter().map(|row| row.id).max().unwrap_or_default();
        self.tables = older;
        self.transactions.clear();
        self.locks.clear();
        self.set_back_at = Some(now);
        self.wake_waiters();
        true
    }
}

/// No commit has such a number.
fn own_policy(transaction: u64) -> u32 {
    (1 << 30) + u32::try_from(transaction).unwrap()
}
