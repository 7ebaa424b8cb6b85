//! Links between accounts and identity providers.
#![expect(
    elided_lifetimes_in_paths,
    reason = "the trait's methods elide it, and async_trait gives another signature where it is said"
)]

use sea_orm_migration::prelude::{
    ConnectionTrait as _, DbErr, DeriveMigrationName, MigrationTrait, SchemaManager, async_trait,
};

use crate::{dialect, tables, watches};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let own = super::begin(manager).await?;
        let db = own.as_ref().unwrap_or(manager).get_connection();
        let dialect = dialect::of(db.get_database_backend())?;
        watches::run(db, &tables::create_links(dialect)).await?;
        super::commit(own).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        watches::run(manager.get_connection(), &tables::drop_links()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        super::NONE_OF_SEA_ORMS
    }
}
