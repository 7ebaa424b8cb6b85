//! All tables of the first version, and the triggers on them.
#![expect(
    elided_lifetimes_in_paths,
    reason = "the trait's methods elide it, and async_trait gives another signature where it is said"
)]

use sea_orm_migration::prelude::{
    ConnectionTrait as _, DbErr, DeriveMigrationName, MigrationTrait, SchemaManager, async_trait,
};

use crate::watch::{ACCOUNT_PREFIX, OWN_PREFIX};
use crate::{dialect, tables, watches};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let own = super::begin(manager).await?;
        let db = own.as_ref().unwrap_or(manager).get_connection();
        let dialect = dialect::of(db.get_database_backend())?;
        watches::run(db, &tables::create(dialect)).await?;
        watches::run(db, &watches::own_statements(dialect)).await?;
        super::commit(own).await
    }

    /// Account tables stay, but not the triggers on them: without the outbox they would refuse every write.
    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let own = super::begin(manager).await?;
        let db = own.as_ref().unwrap_or(manager).get_connection();
        let dialect = dialect::of(db.get_database_backend())?;
        watches::remove(db, ACCOUNT_PREFIX).await?;
        watches::remove(db, OWN_PREFIX).await?;
        watches::run(db, &tables::drop(dialect)).await?;
        super::commit(own).await
    }

    fn use_transaction(&self) -> Option<bool> {
        super::NONE_OF_SEA_ORMS
    }
}
