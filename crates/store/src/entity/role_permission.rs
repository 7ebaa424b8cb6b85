//! What roles permit.

use sea_orm::entity::prelude::*;

use super::behavior::watched;

/// One permission of one role.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bekci_role_permissions")]
pub struct Model {
    /// The role's number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub role_id: i64,
    /// The permission, or a pattern of permissions.
    #[sea_orm(primary_key, auto_increment = false)]
    pub permission: String,
}

/// There are no relations: rows name each other by key.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

watched!(|_| None, |_| None);
