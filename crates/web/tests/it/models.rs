//! `#[derive(AuthModel)]` on real SeaORM models: plain ones and those of `#[sea_orm::model]`, with whole numbers, UUIDs and texts as ids.

use bekci::{
    AuthModel, GuardType,
    core::{IdKind, ModelSpec},
};
use sea_orm::{ActiveModelTrait, Database, Set};

pub mod admin {
    use bekci::AuthModel;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, AuthModel)]
    #[auth(
        guard = "admin",
        identifier = "email:nocase",
        password = "password_hash",
        status(column = "status", banned = ["banned", "suspended"]),
        verified = "email_verified_at",
        cached("email", "name")
    )]
    #[sea_orm(table_name = "admins")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        #[sea_orm(unique)]
        pub email: String,
        pub name: Option<String>,
        pub password_hash: Option<String>,
        pub status: String,
        pub email_verified_at: Option<TimeDateTimeWithTimeZone>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
}

pub mod customer {
    use bekci::AuthModel;
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, AuthModel)]
    #[auth(
        guard = "customer",
        identifier("email", "login"),
        password = "secret",
        cached("email")
    )]
    #[sea_orm(table_name = "customers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false, column_name = "customer_id")]
        pub id: Uuid,
        pub email: String,
        pub login: String,
        #[sea_orm(column_name = "secret")]
        pub password: String,
    }
}

pub mod partner {
    use bekci::AuthModel;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, AuthModel)]
    #[auth(guard = "back_office", model = "partner", identifier = "code", hooks = "manual")]
    #[sea_orm(table_name = "partners")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub code: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[test]
fn a_model_says_what_its_columns_mean() {
    let spec = admin::Model::spec().unwrap();
    let expected = ModelSpec {
        identifiers: vec![("email".to_owned(), true)],
        ..ModelSpec::new(spec.name.clone(), "admins")
    };
    assert_eq!(spec, expected);
    assert_eq!(spec.name.as_str(), "admin");
    assert_eq!(admin::Admin::NAME, "admin");
}

#[test]
fn a_model_of_relations_is_one_account_model_all_the_same() {
    let spec = customer::Model::spec().unwrap();
    assert_eq!((spec.id_kind, spec.id_column.as_str()), (IdKind::Uuid, "customer_id"));
    assert_eq!(
        spec.identifiers,
        [("email".to_owned(), false), ("login".to_owned(), false)]
    );
    assert_eq!(spec.password_column.as_deref(), Some("secret"));
    assert_eq!(spec.status_column, None);
    assert_eq!(customer::Customer::NAME, "customer");
}

#[test]
fn model_and_guard_may_have_two_names() {
    let spec = partner::Model::spec().unwrap();
    assert_eq!((spec.name.as_str(), spec.id_kind), ("partner", IdKind::Text));
    assert_eq!(partner::BackOffice::NAME, "back_office");
}

#[actix_web::test]
async fn the_hooks_refuse_a_connection_that_cannot_make_the_change_take_effect() {
    let plain = Database::connect("sqlite::memory:").await.unwrap();
    let admin = || admin::ActiveModel {
        id: Set(1),
        email: Set("a@example.com".into()),
        status: Set("active".into()),
        ..Default::default()
    };
    let customer = customer::ActiveModel {
        id: Set(sea_orm::prelude::Uuid::nil()),
        ..Default::default()
    };
    for refused in [
        admin().insert(&plain).await.map(drop),
        admin().update(&plain).await.map(drop),
        admin().delete(&plain).await.map(drop),
        customer.insert(&plain).await.map(drop),
    ] {
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("bekci.connection()"), "{told}");
    }
    // Its own behaviour calls no hook: the statement reaches the database, which has no such table.
    let partner = partner::ActiveModel { code: Set("p".into()) };
    let told = partner.insert(&plain).await.unwrap_err().to_string();
    assert!(told.contains("partners"), "{told}");
}
