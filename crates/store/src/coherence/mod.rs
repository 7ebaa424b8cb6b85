//! The ports of the coherence protocol: the database, the shared cache, time and tasks.
//!
//! The protocol (`node`, `commit`) decides what happens in which order. It reaches the outside only through these ports, so that a test can drive the same code against a
//! model of the database and of Redis, with a scheduler and clocks of its own.

mod cache;
mod ledger;
mod runtime;
mod sql_change;
mod sql_ledger;

pub(crate) use cache::IdentityCache;
#[cfg(test)]
pub(crate) use ledger::{AppliedChange, ChangedKey, Pending};
pub(crate) use ledger::{
    Change, CommitFailure, Cursor, Ledger, NodeRow, Outbox, OutboxRows, Snapshot, Start, Versions,
};
pub(crate) use runtime::{Runtime, TokioRuntime, within};
pub(crate) use sql_change::SqlChange;
pub(crate) use sql_ledger::{SqlLedger, policy_line, policy_lines, policy_page, reading};
