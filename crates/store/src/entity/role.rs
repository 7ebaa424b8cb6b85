//! Roles.

use sea_orm::entity::prelude::*;

use super::behavior::watched;

/// One role of a guard, in a tenant or global.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bekci_roles")]
pub struct Model {
    /// The row's number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The guard.
    pub guard: String,
    /// The tenant whose own role it is; empty: global.
    pub tenant: String,
    /// Its name.
    pub name: String,
}

/// There are no relations: rows name each other by key.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

watched!(|_| None, |_| None);
