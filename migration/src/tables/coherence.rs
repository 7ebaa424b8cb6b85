//! How a change of rights reaches every node: versions, the outbox, the nodes.

use sea_orm_migration::sea_query::{ColumnDef, IndexCreateStatement, TableCreateStatement};

use super::{big, big_or_null, computed, flag, index, serial, table, word};
use crate::dialect::{Dialect, insert_once};

pub(super) const TABLES: &[&str] = &[
    "identity_versions",
    "identity_outbox",
    "coherence_nodes",
    "coherence_meta",
];

/// The row that says up to which position the outbox was pruned.
pub(super) fn nothing_pruned() -> String {
    insert_once("coherence_meta", "name", "'pruned_position'", "value", "0")
}

pub(super) fn tables(dialect: &dyn Dialect) -> Vec<TableCreateStatement> {
    vec![
        table("identity_versions")
            .col(word("key").primary_key())
            .col(big("version"))
            .take(),
        outbox(dialect),
        table("coherence_nodes")
            .col(word("node").primary_key())
            .col(big("acknowledged"))
            .col(big("delta_ms"))
            .col(big("seen_at"))
            .take(),
        table("coherence_meta")
            .col(word("name").primary_key())
            .col(big("value"))
            .take(),
    ]
}

/// Triggers and hooks append `key`; the commit gives `version` and `position`.
fn outbox(dialect: &dyn Dialect) -> TableCreateStatement {
    let no = |name| -> ColumnDef { flag(name).default(false).take() };
    table("identity_outbox")
        .col(serial("id"))
        .col(word("key"))
        .col(no("adds"))
        .col(no("refresh"))
        .col(big_or_null("version"))
        .col(big_or_null("position"))
        .col(computed(big("tx"), dialect.transaction_id()))
        .col(computed(big("created_at"), dialect.now()))
        .take()
}

/// The index of the outbox by key.
pub(super) const BY_KEY: &str = "identity_outbox_key";

/// For reads, which look for changes of their keys that are not applied yet.
pub(super) fn by_key() -> IndexCreateStatement {
    index(BY_KEY, "identity_outbox", &["key", "position"])
}

pub(super) fn indexes(dialect: &dyn Dialect) -> Vec<IndexCreateStatement> {
    let mut indexes = vec![index("identity_outbox_position", "identity_outbox", &["position"])];
    indexes.extend(dialect.outbox_indexes());
    indexes
}
