//! Models whose table is missing in a database that an application uses too: an empty table beside the one that was meant would sign
//! in no user.

use sea_orm_migration::DbErr;
use sea_orm_migration::sea_orm::{ConnectionTrait, Statement};

use crate::migrator::MIGRATIONS;
use crate::model::ModelTable;
use crate::{dialect, table_exists, tables};

/// A model whose table is missing, and the tables that may be the one that was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The model.
    pub model: String,
    /// Its table, which is missing.
    pub table: String,
    /// Tables of the same name in other letters or in another schema, as a configuration names them.
    pub alike: Vec<String>,
    /// The application's other tables, where no model of the configuration has its table. At most `MOST_OTHERS`.
    pub others: Vec<String>,
}

/// How many of the other tables are listed.
const MOST_OTHERS: usize = 8;

impl std::fmt::Display for Unmatched {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "model {}: there is no table {}", self.model, self.table)?;
        let (what, tables) = match (self.alike.is_empty(), self.others.is_empty()) {
            (false, _) => ("a table of a similar name", &self.alike),
            (true, false) => ("tables of an application", &self.others),
            (true, true) => return Ok(()),
        };
        write!(formatter, ", and the database has {what}: {}", tables.join(", "))
    }
}

/// The models for which [`crate::up`] would make an empty table although the database may hold the one that was meant: one of a
/// similar name is there, or no model has its table and there are tables of an application.
///
/// # Errors
/// Those of the database, [`DbErr::BackendNotSupported`].
pub async fn unmatched_tables<C: ConnectionTrait>(db: &C, models: &[ModelTable]) -> Result<Vec<Unmatched>, DbErr> {
    let mut missing = Vec::new();
    for model in models {
        if !table_exists(db, &model.table).await? {
            missing.push(model);
        }
    }
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let backend = db.get_database_backend();
    let query = dialect::of(backend)?.application_tables();
    let rows = db.query_all_raw(Statement::from_string(backend, query)).await?;
    let mut found: Vec<(String, String)> = Vec::with_capacity(rows.len());
    for row in rows {
        let name: String = row.try_get("", "name")?;
        if !is_own(&name) {
            found.push((row.try_get("", "shown")?, name));
        }
    }
    let none_is_there = missing.len() == models.len();
    let others: Vec<String> = found.iter().map(|(shown, _)| shown.clone()).take(MOST_OTHERS).collect();
    let unmatched = missing.into_iter().map(|model| {
        let (_, wanted) = model.schema_and_table();
        // Where it is another model's table it is not this one's.
        let is_taken = |shown: &str| models.iter().any(|other| other.table == shown);
        let alike = found
            .iter()
            .filter(|(shown, name)| name.eq_ignore_ascii_case(wanted) && !is_taken(shown));
        Unmatched {
            model: model.model.clone(),
            table: model.table.clone(),
            alike: alike.map(|(shown, _)| shown.clone()).collect(),
            others: if none_is_there { others.clone() } else { Vec::new() },
        }
    });
    Ok(unmatched
        .filter(|unmatched| !unmatched.alike.is_empty() || !unmatched.others.is_empty())
        .collect())
}

/// Whether a table is Bekci's, or another migration tool's list.
fn is_own(name: &str) -> bool {
    name == MIGRATIONS || name == "seaql_migrations" || tables::names().any(|own| own == name)
}
