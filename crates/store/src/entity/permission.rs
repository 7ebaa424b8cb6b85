//! The permissions that a guard knows.

use sea_orm::entity::prelude::*;

use super::behavior::watched;

/// One known permission.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bekci_permissions")]
pub struct Model {
    /// The row's number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The guard.
    pub guard: String,
    /// Its name.
    pub name: String,
}

/// There are no relations: rows name each other by key.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

watched!(|_| None, |_| None);
