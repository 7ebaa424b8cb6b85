//! Which roles a principal holds.

use sea_orm::entity::prelude::*;

use super::behavior::{principal, principal_of, watched};

/// One role held by one principal.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bekci_principal_roles")]
pub struct Model {
    /// The model of the principal.
    #[sea_orm(primary_key, auto_increment = false)]
    pub model: String,
    /// The id of the principal, as text.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The guard in which the role counts.
    #[sea_orm(primary_key, auto_increment = false)]
    pub guard: String,
    /// The tenant in which it counts; empty: globally.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant: String,
    /// The role's name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub role: String,
}

/// There are no relations: rows name each other by key.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

watched!(|row| principal(&row.model, &row.id), |row| principal_of(
    &row.model, &row.id
));
