//! Mails that wait to be sent. A body is sealed; when it was sent its row goes.

use sea_orm_migration::sea_query::{ColumnDef, IndexCreateStatement, TableCreateStatement};

use super::{big, big_or_null, index, int, table};

pub(super) const TABLES: &[&str] = &["bekci_mails"];

pub(super) fn tables() -> Vec<TableCreateStatement> {
    let mails = table("bekci_mails")
        .col(ColumnDef::new("id").string_len(32).not_null().primary_key())
        .col(ColumnDef::new("body").blob().not_null())
        .col(big("queued_at"))
        .col(big("due_at"))
        .col(int("attempts"))
        .col(ColumnDef::new("claim").string_len(32).null())
        .col(big_or_null("claimed_until"))
        .take();
    vec![mails]
}

/// For finding what is due.
pub(super) fn indexes() -> Vec<IndexCreateStatement> {
    vec![index("bekci_mails_due", "bekci_mails", &["due_at"])]
}
