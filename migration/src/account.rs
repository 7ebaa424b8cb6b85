//! Account tables of models that are made by configuration alone.

use sea_orm_migration::DbErr;
use sea_orm_migration::sea_orm::DbBackend;
use sea_orm_migration::sea_query::{Alias, ColumnDef, Expr, IntoTableRef as _, Table, TableCreateStatement};

use crate::dialect::{self, Dialect};
use crate::model::{IdKind, ModelTable, distinct};

/// The column beside those that a model names: when the account was made, in microseconds of unix time.
const CREATED_AT: &str = "created_at";

/// What makes an account table where there is none; one that is there is never altered.
///
/// Identifiers are unique and required, the status is `active` from the start, `verified` is a time in microseconds or NULL, and
/// everything else is text that may be missing.
///
/// # Errors
/// [`DbErr::Migration`] for a name that cannot stand in a database, [`DbErr::BackendNotSupported`].
pub fn account_table_statements(backend: DbBackend, table: &ModelTable) -> Result<Vec<String>, DbErr> {
    let dialect = dialect::of(backend)?;
    table.check(dialect)?;
    Ok(vec![dialect.table(&create(dialect, table))])
}

fn create(dialect: &dyn Dialect, model: &ModelTable) -> TableCreateStatement {
    let mut table = Table::create();
    let named = match model.schema_and_table() {
        (Some(schema), name) => (Alias::new(schema), Alias::new(name)).into_table_ref(),
        (None, name) => Alias::new(name).into_table_ref(),
    };
    table.table(named).if_not_exists().col(id(model));
    // A column may be named in several parts: the first says what it is.
    let named = [
        &model.status_column,
        &model.verified_column,
        &model.tenant_column,
        &model.password_column,
    ];
    let rest = named
        .into_iter()
        .flatten()
        .chain(&model.attributes)
        .chain(&model.watched_columns);
    let columns = distinct(model.identifiers.iter().chain(rest).map(String::as_str));
    for name in columns {
        if name != model.id_column && name != CREATED_AT {
            table.col(column(model, name));
        }
    }
    if model.id_column != CREATED_AT {
        let now = Expr::cust(dialect.now());
        table.col(ColumnDef::new(CREATED_AT).big_integer().not_null().default(now));
    }
    table
}

fn id(model: &ModelTable) -> ColumnDef {
    let mut id = ColumnDef::new(model.id_column.clone());
    match model.id_kind {
        IdKind::Integer => id.big_integer().auto_increment(),
        IdKind::Uuid => id.uuid(),
        IdKind::Text => id.string(),
    };
    id.not_null().primary_key().take()
}

fn column(model: &ModelTable, name: &str) -> ColumnDef {
    let is = |column: &Option<String>| column.as_deref() == Some(name);
    let mut column = ColumnDef::new(name.to_owned());
    if model.identifiers.iter().any(|identifier| identifier == name) {
        column.string().not_null().unique_key();
    } else if is(&model.status_column) {
        column.string().not_null().default("active");
    } else if is(&model.verified_column) {
        column.big_integer().null();
    } else {
        column.text().null();
    }
    column.take()
}
