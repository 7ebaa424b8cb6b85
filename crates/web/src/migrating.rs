//! The schema of an application's database.

use bekci_core::{IdKind, ModelSpec};
use bekci_migration::{ModelTable, sea_orm_migration::sea_orm::DbErr};

use crate::Bekci;

impl Bekci {
    /// Brings the schema and its triggers to the state that this version needs; makes account tables that are missing, and leaves the columns of others alone.
    /// A second time it does nothing.
    ///
    /// # Errors
    /// The database's; nothing has changed then.
    pub async fn migrate(&self) -> Result<bekci_migration::Report, DbErr> {
        let tables: Vec<ModelTable> = self.0.store.models_with_tables().map(model_table).collect();
        let report = bekci_migration::up(&self.0.database, &tables).await?;
        self.0.store.wake();
        Ok(report)
    }

    /// What of the schema is missing or of another version; nothing is changed.
    ///
    /// # Errors
    /// The database's.
    pub async fn schema_status(&self) -> Result<bekci_migration::Status, DbErr> {
        let tables: Vec<ModelTable> = self.0.store.models_with_tables().map(model_table).collect();
        bekci_migration::status(&self.0.database, &tables).await
    }
}

/// A model as the migration is told of it.
#[must_use]
pub fn model_table(model: &ModelSpec) -> ModelTable {
    ModelTable {
        model: model.name.to_string(),
        table: model.table.clone(),
        id_column: model.id_column.clone(),
        id_kind: match model.id_kind {
            IdKind::Integer => bekci_migration::IdKind::Integer,
            IdKind::Uuid => bekci_migration::IdKind::Uuid,
            IdKind::Text => bekci_migration::IdKind::Text,
        },
        identifiers: model.identifiers.iter().map(|(column, _)| column.clone()).collect(),
        password_column: model.password_column.clone(),
        status_column: model.status_column.clone(),
        verified_column: model.verified_column.clone(),
        tenant_column: model.tenant_column.clone(),
        attributes: model.cached_attributes.clone(),
        watched_columns: model.watched_columns().into_iter().map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use bekci_core::ModelName;

    use super::*;

    #[test]
    fn every_column_that_an_identity_rests_on_is_watched() {
        let mut model = ModelSpec::new(ModelName::new("customer").unwrap(), "customers");
        model.tenant_column = Some("company".to_owned());
        model.filter = Some("deleted_at:null".parse().unwrap());
        model.cached_attributes = vec!["name".to_owned()];
        let watched = model_table(&model).watched_columns;
        for column in ["company", "deleted_at", "name", "status"] {
            assert!(
                watched.iter().any(|one| one == column),
                "{column} is not among {watched:?}"
            );
        }
    }
}
