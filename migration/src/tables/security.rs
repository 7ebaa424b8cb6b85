//! The counter of a session's security cookie, from its first exchange on. A cookie is made from it under a key that is not here, so a row gives nothing to who reads it.

use sea_orm_migration::sea_query::{ColumnDef, TableCreateStatement};

use super::{big, big_or_null, int, table};

pub(super) const TABLES: &[&str] = &["bekci_security"];

pub(super) fn tables() -> Vec<TableCreateStatement> {
    let security = table("bekci_security")
        .col(ColumnDef::new("session_id").string_len(32).not_null().primary_key())
        .col(int("generation"))
        .col(big("rotated_at"))
        .col(big_or_null("seen_at"))
        .take();
    vec![security]
}
