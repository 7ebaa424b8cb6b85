//! What this crate is told of an application's account tables.

use sea_orm_migration::DbErr;

use crate::dialect::Dialect;

/// How the key of an account table is stored, and so how it is written in `<model>:<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// A whole number, written in decimal.
    Integer,
    /// A UUID (PostgreSQL `uuid`; on SQLite 16 bytes, or text), written in lower case with hyphens.
    Uuid,
    /// Text, written as it is.
    Text,
}

/// An account table: where the principals of one model live.
///
/// Columns that a table does not have are `None` or absent; a name that is not a column makes [`crate::up`] fail before any
/// trigger is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelTable {
    /// The model's name, first part of its keys: `customer` in `customer:42`. `[a-z](_?[a-z0-9])*`, at most 32 bytes.
    pub model: String,
    /// The table: `members`, looked up as the connection looks up tables (PostgreSQL: `search_path`), or `shop.members` in a
    /// schema. Letters are as they are in the database.
    pub table: String,
    /// Its key, one column.
    pub id_column: String,
    /// How that key is stored.
    pub id_kind: IdKind,
    /// The columns by which somebody signs in; watched.
    pub identifiers: Vec<String>,
    /// The password's hash; never watched, unless `watched_columns` names it.
    pub password_column: Option<String>,
    /// The account's status; watched.
    pub status_column: Option<String>,
    /// When the account was verified; watched.
    pub verified_column: Option<String>,
    /// The tenant that the account belongs to; watched.
    pub tenant_column: Option<String>,
    /// Further columns of a table that [`crate::account_table_statements`] makes. Being here does not make them watched.
    pub attributes: Vec<String>,
    /// Columns, beside those above, whose change is a change of the identity: the attributes that are cached with it.
    pub watched_columns: Vec<String>,
}

impl ModelTable {
    /// The schema, where the table's name begins with one, and the table.
    pub(crate) fn schema_and_table(&self) -> (Option<&str>, &str) {
        match self.table.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, &self.table),
        }
    }

    /// Every column whose change is a change of the identity, the key first, each once.
    pub(crate) fn watched(&self) -> Vec<&str> {
        let named = [&self.status_column, &self.verified_column, &self.tenant_column];
        let all = std::iter::once(&self.id_column)
            .chain(&self.identifiers)
            .chain(named.into_iter().flatten())
            .chain(&self.watched_columns);
        distinct(all.map(String::as_str))
    }

    /// Refuses what could not be told apart in a key, or what a database would cut or misread.
    ///
    /// # Errors
    /// [`DbErr::Migration`] with the name at fault.
    pub(crate) fn check(&self, dialect: &dyn Dialect) -> Result<(), DbErr> {
        if self.schema_and_table().0.is_some() && !dialect.has_schemas() {
            return Err(DbErr::Migration(format!(
                "model {}: the table {:?} names a schema, which this database does not have",
                self.model, self.table
            )));
        }
        if !is_model_name(&self.model) {
            return Err(DbErr::Migration(format!("{:?} is not the name of a model", self.model)));
        }
        let optional = [
            &self.password_column,
            &self.status_column,
            &self.verified_column,
            &self.tenant_column,
        ];
        let columns = std::iter::once(&self.id_column)
            .chain(&self.identifiers)
            .chain(optional.into_iter().flatten())
            .chain(&self.attributes)
            .chain(&self.watched_columns);
        let (schema, table) = self.schema_and_table();
        let mut names = schema.into_iter().chain([table]).chain(columns.map(String::as_str));
        match names.find(|name| !is_identifier(name)) {
            Some(name) => Err(DbErr::Migration(format!(
                "model {}: {name:?} cannot name a table or a column",
                self.model
            ))),
            None => Ok(()),
        }
    }
}

/// The values, each where it came first.
pub(crate) fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

/// The grammar of model names; with 32 bytes at most, the name of no trigger reaches the 63 bytes at which PostgreSQL cuts.
fn is_model_name(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
        && !name.ends_with('_')
}

/// Quotes are doubled where a name is written; what no quoting helps against is refused.
fn is_identifier(name: &str) -> bool {
    (1..=63).contains(&name.len()) && !name.chars().any(char::is_control)
}
