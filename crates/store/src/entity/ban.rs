//! Why and until when an account is banned.

use sea_orm::entity::prelude::*;

use super::behavior::{principal, principal_of, watched};

/// The ban of one account; its status says that it is banned.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bekci_bans")]
pub struct Model {
    /// The model of the principal.
    #[sea_orm(primary_key, auto_increment = false)]
    pub model: String,
    /// The id of the principal, as text.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// What the principal is told.
    pub reason: Option<String>,
    /// When it ends, in microseconds since 1970; none: it does not.
    pub until: Option<i64>,
    /// The status before.
    pub status_before: Option<String>,
    /// When it was banned, in microseconds since 1970.
    pub banned_at: i64,
    /// The key of who banned.
    pub banned_by: Option<String>,
}

/// There are no relations: rows name each other by key.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

watched!(|row| principal(&row.model, &row.id), |row| principal_of(
    &row.model, &row.id
));
