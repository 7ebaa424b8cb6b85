//! Two kinds of account, each with a table and a guard of its own.

pub mod admin {
    use bekci::AuthModel;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, AuthModel)]
    #[auth(
        guard = "admin",
        identifier = "email",
        password = "password_hash",
        status(column = "status", banned = ["banned"]),
        cached("email")
    )]
    #[sea_orm(table_name = "admins")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        #[sea_orm(unique)]
        pub email: String,
        pub password_hash: Option<String>,
        pub status: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

pub mod customer {
    use bekci::AuthModel;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, AuthModel)]
    #[auth(
        guard = "customer",
        identifier = "email:nocase",
        password = "password_hash",
        cached("email", "name")
    )]
    #[sea_orm(table_name = "customers")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        #[sea_orm(unique)]
        pub email: String,
        pub name: Option<String>,
        pub password_hash: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

pub use admin::Admin;
pub use customer::Customer;
