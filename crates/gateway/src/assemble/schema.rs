//! The schema: whether it is what this version needs, and what is looked at before it is changed.
//!
//! Columns and tables are looked at before triggers: a configuration that `serve` would refuse changes no trigger that is in force.

use bekci_core::ModelSpec;
use bekci_migration::{Report, Unmatched, sea_orm_migration::sea_orm::DatabaseConnection};
use bekci_store::{OpenError, UnfitColumns, unfit_columns};

use super::{AssembleError, guards, outdated};
use crate::{config::Config, users};

/// What to do about tables that may be the wrong ones.
const NAME_THE_TABLE: &str = "set models.<name>.table to the account table, as it is written in the database (\"Customers\", \"shop.customers\"), \
     or make an empty one with `bekci migrate up --create-tables`";

/// Checks that the schema is what this version needs; with `change` migrates it.
pub(crate) async fn schema(config: &Config, database: &DatabaseConnection, change: bool) -> Result<(), AssembleError> {
    check_tables(config, database).await?;
    let tables = guards::tables(config);
    let status = bekci_migration::status(database, &tables).await.map_err(failed)?;
    if status.is_current() {
        return Ok(());
    }
    check_names(config, database).await?;
    if !change {
        return Err(AssembleError::SchemaOld(outdated::lacking(&status)));
    }
    let report = bekci_migration::up(database, &tables).await.map_err(failed)?;
    tracing::info!(applied = ?report.applied, created = ?report.created, watched = ?report.watched, "the schema was brought up to date");
    Ok(())
}

/// Migrates. `create_tables`: also where the database may hold the tables that were meant.
pub(crate) async fn migrate(
    config: &Config,
    database: &DatabaseConnection,
    create_tables: bool,
) -> Result<Report, AssembleError> {
    check_tables(config, database).await?;
    if !create_tables {
        check_names(config, database).await?;
    }
    bekci_migration::up(database, &guards::tables(config))
        .await
        .map_err(failed)
}

/// The models whose accounts are in tables of the database.
pub(crate) fn models_with_tables(config: &Config) -> Vec<ModelSpec> {
    let in_files = users::files(config);
    let mut models = guards::models(config);
    models.retain(|model| !in_files.contains_key(&model.name));
    models
}

async fn check_tables(config: &Config, database: &DatabaseConnection) -> Result<(), AssembleError> {
    let models = models_with_tables(config);
    match unfit_columns(database, models.iter()).await.map_err(failed)? {
        unfit if unfit.is_empty() => Ok(()),
        unfit => Err(OpenError::Columns(UnfitColumns(unfit)).into()),
    }
}

/// Refuses models whose table is missing where it may be there under another name.
async fn check_names(config: &Config, database: &DatabaseConnection) -> Result<(), AssembleError> {
    let tables = guards::tables(config);
    let unmatched = bekci_migration::unmatched_tables(database, &tables);
    match unmatched.await.map_err(failed)? {
        unmatched if unmatched.is_empty() => Ok(()),
        unmatched => Err(AssembleError::TablesUnmatched(listed(&unmatched))),
    }
}

fn listed(unmatched: &[Unmatched]) -> String {
    let all: Vec<String> = unmatched.iter().map(ToString::to_string).collect();
    format!("{}; {NAME_THE_TABLE}", all.join("; "))
}

fn failed(error: bekci_migration::sea_orm_migration::DbErr) -> AssembleError {
    AssembleError::SchemaUnread(error.to_string())
}
