//! The account tables: found by their names, with columns that can be used, and statuses that a list knows.

use bekci_migration::sea_orm_migration::sea_orm::DatabaseConnection;
use bekci_store::{unfit_columns, unknown_statuses};

use super::finding::Finding;
use crate::{assemble, config::Config};

/// The findings, and whether the tables can be used as the configuration says.
pub(super) async fn look(config: &Config, database: &DatabaseConnection) -> (Vec<Finding>, bool) {
    let unread = "may the database user read the catalogue and these tables?";
    let models = assemble::models_with_tables(config);
    let unfit = match unfit_columns(database, models.iter()).await {
        Ok(unfit) => unfit,
        Err(error) => return (vec![Finding::failed("tables", error, unread)], false),
    };
    let unmatched = match bekci_migration::unmatched_tables(database, &assemble::tables(config)).await {
        Ok(unmatched) => unmatched,
        Err(error) => return (vec![Finding::failed("tables", error, unread)], false),
    };
    let name_columns =
        "correct the column in the model's section, or alter the table; `bekci serve` refuses to start until then";
    let name_tables =
        "set models.<name>.table as the database writes it; `bekci migrate up --create-tables` makes an empty table";
    let unfit = unfit
        .iter()
        .map(|column| Finding::failed("tables", column, name_columns));
    let mut findings: Vec<Finding> = unfit.collect();
    findings.extend(
        unmatched
            .iter()
            .map(|model| Finding::failed("tables", model, name_tables)),
    );
    if !findings.is_empty() {
        return (findings, false);
    }
    for model in &models {
        match unknown_statuses(database, model).await {
            Ok(unknown) if unknown.is_empty() => {}
            Ok(unknown) => {
                let told: Vec<String> = unknown
                    .iter()
                    .map(|(status, count)| format!("{count} have {status:?}"))
                    .collect();
                let found = format!(
                    "model {}: accounts cannot sign in for their status: {}",
                    model.name,
                    told.join(", ")
                );
                let advice = format!(
                    "add the statuses that let in to models.{}.active_statuses and the others to banned_statuses, or make an account active with `bekci principal unban`",
                    model.name
                );
                findings.push(Finding::warning("tables", found, &advice));
            }
            Err(error) => findings.push(Finding::failed("tables", error, unread)),
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("tables", "columns and statuses fit their models"));
    }
    (findings, true)
}
