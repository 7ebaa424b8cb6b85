//! The migrations, in order, in a table of their own.

mod m20261121_000001_initial;
mod m20261121_000002_temporaries;
mod m20261130_000003_epoch;
mod m20261130_000004_mails;
mod m20261130_000005_codes;
mod m20261130_000006_remembered;
mod m20261130_000007_security;
mod m20261130_000008_links;

use sea_orm_migration::prelude::{DbErr, MigrationTrait, MigratorTrait, SchemaManager, async_trait};
use sea_orm_migration::sea_orm::{DbBackend, DynIden, sea_query::IntoIden as _};

/// The table that says which migrations were applied. Not sea-orm's own name for it: an application has migrations too, and
/// either side would take the other's for files that are missing.
pub(crate) const MIGRATIONS: &str = "bekci_migrations";

/// The schema of Bekci: its tables, and the triggers on them. Account tables are watched by [`crate::up`].
#[derive(Clone, Copy, Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_initial::Migration),
            Box::new(m20261121_000002_temporaries::Migration),
            Box::new(m20261130_000003_epoch::Migration),
            Box::new(m20261130_000004_mails::Migration),
            Box::new(m20261130_000005_codes::Migration),
            Box::new(m20261130_000006_remembered::Migration),
            Box::new(m20261130_000007_security::Migration),
            Box::new(m20261130_000008_links::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        MIGRATIONS.into_iden()
    }
}

/// A migration begins its own transaction: sea-orm begins one for all databases or, left alone, none on SQLite.
const NONE_OF_SEA_ORMS: Option<bool> = Some(false);

/// Begins a transaction, so that no schema is left half made. `None` on MariaDB: the first statement would end it, and its savepoints with it.
async fn begin(manager: &SchemaManager<'_>) -> Result<Option<SchemaManager<'static>>, DbErr> {
    if manager.get_database_backend() == DbBackend::MySql {
        return Ok(None);
    }
    manager.begin().await.map(Some)
}

async fn commit(own: Option<SchemaManager<'static>>) -> Result<(), DbErr> {
    match own {
        Some(own) => own.commit().await,
        None => Ok(()),
    }
}
