//! Beside the session that stands for a temporary identity: what the session is to have that comes of it. A row names nobody, and gives nothing to who reads it.

use sea_orm_migration::sea_query::{ColumnDef, IndexCreateStatement, TableCreateStatement};

use super::{big, index, table, word};

pub(super) const TABLES: &[&str] = &["bekci_temporaries"];

pub(super) fn tables() -> Vec<TableCreateStatement> {
    let temporaries = table("bekci_temporaries")
        .col(ColumnDef::new("session_id").string_len(32).not_null().primary_key())
        .col(word("way"))
        .col(ColumnDef::new("replaces").string_len(32).null())
        .col(big("expires_at"))
        .take();
    vec![temporaries]
}

/// For sweeping what has run out.
pub(super) fn indexes() -> Vec<IndexCreateStatement> {
    vec![index("bekci_temporaries_expiry", "bekci_temporaries", &["expires_at"])]
}
