//! Identities at identity providers, each with its account.

use sea_orm_migration::sea_query::{ColumnDef, IndexCreateStatement, TableCreateStatement};

use super::{big, index, table, text, word};

pub(super) const TABLES: &[&str] = &["bekci_links"];

pub(super) fn tables() -> Vec<TableCreateStatement> {
    let links = table("bekci_links")
        // SHA-256 of model, provider, issuer and subject: one row for each identity of a model, whatever a collation takes for equal.
        .col(ColumnDef::new("id").string_len(64).not_null().primary_key())
        .col(word("model"))
        .col(word("principal_id"))
        .col(word("provider"))
        .col(word("issuer"))
        .col(word("subject"))
        .col(text("address"))
        .col(big("created_at"))
        .col(big("used_at"))
        .take();
    vec![links]
}

/// For listing those of an account, and for taking them away with it.
pub(super) fn indexes() -> Vec<IndexCreateStatement> {
    vec![index("bekci_links_owner", "bekci_links", &["model", "principal_id"])]
}
