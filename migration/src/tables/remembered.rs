//! Remember-me series: which session each belongs to, and a counter. Tokens are made from both under a key that is not here, so a row gives nothing to who reads it.

use sea_orm_migration::sea_query::{ColumnDef, IndexCreateStatement, TableCreateStatement};

use super::{big, index, int, table, word};

pub(super) const TABLES: &[&str] = &["bekci_remembered"];

pub(super) fn tables() -> Vec<TableCreateStatement> {
    let remembered = table("bekci_remembered")
        .col(ColumnDef::new("id").string_len(32).not_null().primary_key())
        .col(word("model"))
        .col(word("principal_id"))
        .col(word("guard"))
        .col(ColumnDef::new("session_id").string_len(32).not_null())
        .col(int("generation"))
        .col(big("rotated_at"))
        .col(big("created_at"))
        .col(big("expires_at"))
        .take();
    vec![remembered]
}

/// For finding those of a session and of an account, and for sweeping what has expired.
pub(super) fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index("bekci_remembered_session", "bekci_remembered", &["session_id"]),
        index("bekci_remembered_owner", "bekci_remembered", &["model", "principal_id"]),
        index("bekci_remembered_expiry", "bekci_remembered", &["expires_at"]),
    ]
}
