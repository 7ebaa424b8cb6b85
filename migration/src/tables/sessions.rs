//! Who is signed in, from where, and up to which generation of tokens.

use sea_orm_migration::sea_query::{
    ColumnDef, ConditionalStatement as _, Expr, ExprTrait as _, IndexCreateStatement, TableCreateStatement,
};

use super::{big, big_or_null, flag, index, int, table, tenant, text, word};

pub(super) const TABLES: &[&str] = &["bekci_sessions"];

pub(super) fn tables() -> Vec<TableCreateStatement> {
    let sessions = table("bekci_sessions")
        .col(ColumnDef::new("id").string_len(32).not_null().primary_key())
        .col(word("model"))
        .col(word("principal_id"))
        .col(word("guard"))
        .col(tenant())
        .col(word("way"))
        .col(flag("remembered"))
        .col(text("device_name"))
        .col(ColumnDef::new("device_hash").blob().null())
        .col(int("generation"))
        .col(ColumnDef::new("previous_generation").integer().null())
        .col(int("min_generation").default(0))
        .col(ColumnDef::new("used_generation").integer().null())
        .col(big("rotated_at"))
        .col(big("created_at"))
        .col(big("authenticated_at"))
        .col(big("last_used_at"))
        .col(big_or_null("expires_at"))
        .col(big_or_null("ended_at"))
        .col(text("end_reason"))
        .take();
    vec![sessions]
}

/// Of live sessions alone, so that it stays small however many have ended.
pub(super) fn indexes() -> Vec<IndexCreateStatement> {
    let mut live = index("bekci_sessions_live", "bekci_sessions", &["model", "principal_id"]);
    live.and_where(Expr::col("ended_at").is_null());
    vec![live]
}
