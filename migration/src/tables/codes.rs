//! Secrets that were mailed, as keyed hashes. What a row is about is sealed.

use sea_orm_migration::sea_query::{ColumnDef, IndexCreateStatement, TableCreateStatement};

use super::{big, big_or_null, index, int, table, word};

pub(super) const TABLES: &[&str] = &["bekci_codes"];

pub(super) fn tables() -> Vec<TableCreateStatement> {
    let codes = table("bekci_codes")
        .col(ColumnDef::new("id").string_len(32).not_null().primary_key())
        .col(word("purpose"))
        .col(word("guard"))
        .col(word("model"))
        .col(word("principal_id"))
        .col(ColumnDef::new("code_hash").blob().not_null())
        .col(ColumnDef::new("about").blob().not_null())
        .col(int("tries").default(0))
        .col(big("created_at"))
        .col(big("expires_at"))
        .col(big_or_null("spent_at"))
        .take();
    vec![codes]
}

/// For ending those of an account, and for sweeping what has expired.
pub(super) fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index("bekci_codes_owner", "bekci_codes", &["model", "principal_id"]),
        index("bekci_codes_expiry", "bekci_codes", &["expires_at"]),
    ]
}
