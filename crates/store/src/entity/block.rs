//! Blocked tokens and sessions.

use sea_orm::entity::prelude::*;

use super::behavior::{principal, principal_of, watched};

/// One blocked token or session.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bekci_blocks")]
pub struct Model {
    /// The row's number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The model of the principal.
    pub model: String,
    /// The id of the principal, as text.
    pub principal_id: String,
    /// The blocked token.
    pub jti: Option<String>,
    /// The blocked session.
    pub sid: Option<String>,
    /// What its holder is told.
    pub reason: String,
    /// When it ends, in microseconds since 1970; none: it does not.
    pub until: Option<i64>,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
}

/// There are no relations: rows name each other by key.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

watched!(|row| principal(&row.model, &row.principal_id), |row| principal_of(
    &row.model,
    &row.principal_id
));
