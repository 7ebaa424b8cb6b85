//! The database as the protocol uses it: versions, outbox, positions, nodes, snapshots.
//!
//! Each method is one statement or one short transaction. None of them waits for a node or retries: that is the protocol's part.

use std::time::Duration;

use bekci_core::{GuardName, Identity, Need, PolicyLine, PrincipalKey, RoleTable, TenantName};
use sea_orm::DbErr;

use crate::{
    keys::ChangeKey,
    node::{Node, PolicyLabel},
    providers::Given,
};

/// Up to where a node has applied the outbox: the last row of it, by what no other row has.
///
/// Positions are in the order of commits, so a database that still has this row still has all that was committed before it. One that lost commits (a failover, a restore)
/// and gave their positions out again has another row there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) position: i64,
    /// The row's number; 0 where the outbox had none at this position, since it was pruned.
    pub(crate) row: i64,
    /// When the row was made, by the database's clock.
    pub(crate) created_at: i64,
}

/// Where a node begins: the newest row of the outbox and the epoch of the database, of one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start {
    pub(crate) cursor: Cursor,
    pub(crate) epoch: i64,
}

/// Keys of a need that a row of the outbox names which the node has not applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) key: bool,
    pub(crate) global: bool,
    pub(crate) tenant: bool,
    pub(crate) policies: bool,
}

/// The versions that a view is judged by, all of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) key: u64,
    pub(crate) global: u64,
    pub(crate) tenant: u64,
    pub(crate) policies: u64,
    pub(crate) all: u64,
    /// The epoch of the database.
    pub(crate) epoch: i64,
    /// What rows past the node's cursor name, or rows without a position.
    pub(crate) pending: Pending,
    /// Whether a row without a position names any of the keys: then no version says what the database holds.
    pub(crate) unnumbered: bool,
    /// Whether the database still has the row of the node's cursor, and all rows past it: where some of them were pruned, `pending` does not name them.
    pub(crate) continuous: bool,
}

/// A numbered row of the outbox.
#[derive(Clone, Debug)]
pub(crate) struct AppliedChange {
    pub(crate) position: i64,
    pub(crate) key: ChangeKey,
    pub(crate) version: u64,
    /// The row's number.
    pub(crate) row: i64,
    pub(crate) created_at: i64,
    /// How old the row is, by the database's clock.
    pub(crate) age: Duration,
}

/// The outbox past a cursor, all of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) changes: Vec<AppliedChange>,
    /// How many committed rows have no position.
    pub(crate) unnumbered: usize,
    /// The position up to which rows were deleted.
    pub(crate) pruned: i64,
    /// The epoch of the database.
    pub(crate) epoch: i64,
    /// What the node's own row says; `None`: it has none.
    pub(crate) acknowledged: Option<i64>,
    /// Whether the database still has the row of the cursor, or has pruned it.
    pub(crate) continuous: bool,
}

/// The row of a node, as a writer reads it.
#[derive(Clone, Debug)]
pub(crate) struct NodeRow {
    pub(crate) node: String,
    pub(crate) acknowledged: i64,
    pub(crate) delta: Duration,
    /// Changes with each heartbeat. Its distance from now says nothing: the database's clock may jump.
    pub(crate) seen_at: i64,
}

/// A key that a transaction named in the outbox.
#[derive(Clone, Debug)]
pub(crate) struct ChangedKey {
    pub(crate) key: ChangeKey,
    /// Whether every row of it only adds rights.
    pub(crate) adds: bool,
    /// Whether a hook asks that it is loaded again after the commit.
    pub(crate) refresh: bool,
}

/// Rows of the outbox that one transaction numbers.
#[derive(Clone, Debug)]
pub(crate) enum OutboxRows {
    /// Those that the transaction appended itself.
    Own,
    /// Those with these ids, which the transaction has locked.
    Ids(Vec<i64>),
}

/// A COMMIT that did not return success.
#[derive(Debug)]
pub(crate) enum CommitFailure {
    /// The database refused it; nothing was committed.
    Refused(DbErr),
    /// The connection was lost; whether it was committed is unknown.
    Unknown(DbErr),
}

/// The database.
#[async_trait::async_trait]
pub(crate) trait Ledger: Send + Sync + std::fmt::Debug {
    /// The newest row of the outbox and the epoch.
    async fn start(&self) -> Result<Start, DbErr>;

    /// Writes a node's row, which acknowledges the cursor. `false`: the database has not the row of the cursor.
    async fn register(&self, node: &str, delta: Duration, cursor: &Cursor) -> Result<bool, DbErr>;

    /// Notes that a node lives. `false`: it has no row.
    async fn heartbeat(&self, node: &str) -> Result<bool, DbErr>;

    /// Writes how far a node has applied. `false`: the node has no row, or the database has not the row of the cursor.
    async fn acknowledge(&self, node: &str, cursor: &Cursor) -> Result<bool, DbErr>;

    /// Deletes a node's row if it has not acknowledged this row of the outbox, and the database still has it. `false`: it has, it has no row, or the row of the outbox is not there.
    async fn fence(&self, node: &str, at: &Cursor) -> Result<bool, DbErr>;

    /// Deletes a node's row if there was no heartbeat since this one.
    async fn reap(&self, node: &str, seen_at: i64) -> Result<bool, DbErr>;

    /// Deletes a node's row.
    async fn leave(&self, node: &str) -> Result<(), DbErr>;

    /// The rows of all nodes but the one with this name.
    async fn nodes(&self, but: &str) -> Result<Vec<NodeRow>, DbErr>;

    /// The highest position that was given.
    async fn highest_position(&self) -> Result<i64, DbErr>;

    /// The outbox past a cursor, and what concerns the node that reads it.
    async fn outbox(&self, node: &str, cursor: &Cursor) -> Result<Outbox, DbErr>;

    /// Gives the database another epoch, if it still has this one.
    async fn change_epoch(&self, from: i64) -> Result<(), DbErr>;

    /// How many rows of the outbox are past a cursor or have no position.
    async fn unapplied(&self, cursor: i64) -> Result<u64, DbErr>;

    /// Deletes outbox rows that every node has acknowledged and that are older than this; returns how many.
    async fn prune(&self, keep_micros: i64) -> Result<u64, DbErr>;

    /// The versions that a need is judged by.
    async fn versions(&self, need: &Need<'_>, cursor: &Cursor) -> Result<Versions, DbErr>;

    /// Begins a transaction that writes.
    async fn begin(&self) -> Result<Box<dyn Change>, DbErr>;

    /// Begins a transaction that reads one moment of the database.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, DbErr>;
}

/// A transaction that numbers rows of the outbox and commits. Dropped without an end, it is rolled back.
#[async_trait::async_trait]
pub(crate) trait Change: Send + Sync {
    /// The keys of the rows that this transaction appended, sorted.
    async fn changed_keys(&self) -> Result<Vec<ChangedKey>, DbErr>;

    /// Locks committed rows without a position, at most so many, and returns their ids. Rows that another transaction has locked are skipped.
    async fn lock_unnumbered(&self, limit: u32) -> Result<Vec<i64>, DbErr>;

    /// Raises the version of each key of these rows, in order of key, by a step that is not told beforehand.
    async fn raise_versions(&self, rows: &OutboxRows) -> Result<Vec<(ChangeKey, u64)>, DbErr>;

    /// Takes the commit lock and the next position. The lock is held until the transaction ends; a server database ends a transaction that does nothing for `idle`.
    async fn next_position(&self, idle: Duration) -> Result<i64, DbErr>;

    /// Gives these rows the position and the versions of their keys; returns one of them.
    async fn number(&self, rows: &OutboxRows, position: i64) -> Result<Cursor, DbErr>;

    /// All policy lines, as this transaction sees them.
    async fn policy_lines(&self) -> Result<Vec<PolicyLine>, DbErr>;

    /// Commits.
    async fn commit(self: Box<Self>) -> Result<(), CommitFailure>;

    /// Rolls back.
    async fn rollback(self: Box<Self>) -> Result<(), DbErr>;
}

/// A transaction that reads one moment of the database.
#[async_trait::async_trait]
pub(crate) trait Snapshot: Send + Sync {
    /// The versions that a need is judged by.
    async fn versions(&self, need: &Need<'_>, cursor: &Cursor) -> Result<Versions, DbErr>;

    /// The label of the policies; `None` where a row of the outbox without a position names them.
    async fn policy_label(&self) -> Result<Option<PolicyLabel>, DbErr>;

    /// The identity of a principal, with what its model's provider returned.
    async fn identity(&self, node: &Node, key: &PrincipalKey, given: &Given) -> Result<Identity, DbErr>;

    /// What the roles of a guard permit, globally or in one tenant.
    async fn role_table(
        &self,
        guard: &GuardName,
        tenant: Option<&TenantName>,
        version: u64,
    ) -> Result<RoleTable, DbErr>;

    /// At most `limit` policy lines, each with its number, from behind a number, in their order.
    async fn policy_page(&self, after: i64, limit: usize) -> Result<Vec<(i64, PolicyLine)>, DbErr>;

    /// Ends it. There is nothing to commit; one that cannot be ended goes with its connection.
    async fn close(self: Box<Self>);
}
