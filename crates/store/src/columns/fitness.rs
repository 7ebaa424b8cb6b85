//! Whether a model's columns are of types that Bekci can read and write.

use std::fmt;

use bekci_core::{IdKind, ModelSpec};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::{Column, Columns, Takes};

/// A column of an account table that Bekci cannot use as its model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfitColumn {
    /// The model.
    pub model: String,
    /// Its table.
    pub table: String,
    /// What the column is to the model, as `verified_column`.
    pub part: &'static str,
    /// The column.
    pub column: String,
    /// Its type, as the database writes it; `None`: the table has no such column.
    pub found: Option<String>,
    /// What would be taken.
    pub taken: &'static str,
}

impl fmt::Display for UnfitColumn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            model,
            table,
            part,
            column,
            found,
            taken,
        } = self;
        write!(formatter, "table {table}, column {column} ({part} of model {model}): ")?;
        match found {
            Some(found) => write!(formatter, "is {found}; taken is {taken}"),
            None => write!(formatter, "is not there; taken is {taken}"),
        }
    }
}

/// Every column that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfitColumns(pub Vec<UnfitColumn>);

impl fmt::Display for UnfitColumns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        formatter.write_str(&told.join("; "))
    }
}

/// What a column is to its model, and what types it may have then.
struct Part<'a> {
    name: &'static str,
    column: &'a str,
    taken: &'static str,
    fits: fn(DbBackend, &Column) -> bool,
}

/// The columns of these models, each of which has its accounts in a table, that Bekci cannot read or write as the model says. A table
/// that is missing has none.
///
/// # Errors
/// The database's.
pub async fn unfit_columns<'a, C: ConnectionTrait>(
    db: &C,
    models: impl Iterator<Item = &'a ModelSpec>,
) -> Result<Vec<UnfitColumn>, DbErr> {
    let mut unfit = Vec::new();
    for model in models {
        let columns = Columns::read(db, &model.table).await?;
        if columns.columns.is_empty() {
            continue;
        }
        for part in parts(model) {
            let column = columns.get(part.column);
            if column.is_some_and(|column| (part.fits)(columns.backend, column)) {
                continue;
            }
            let optional = |column: &Column| if column.is_required { " NOT NULL" } else { "" };
            unfit.push(UnfitColumn {
                model: model.name.to_string(),
                table: model.table.clone(),
                part: part.name,
                column: part.column.to_owned(),
                found: column.map(|column| format!("{}{}", column.shown, optional(column))),
                taken: part.taken,
            });
        }
    }
    Ok(unfit)
}

fn parts(model: &ModelSpec) -> Vec<Part<'_>> {
    let mut parts = vec![id(model)];
    let identifiers = model.identifiers.iter().map(|(column, _)| Part {
        name: "identifiers",
        column,
        taken: "text or varchar",
        fits: is_text,
    });
    parts.extend(identifiers);
    parts.extend(model.password_column.iter().map(|column| Part {
        name: "password_column",
        column,
        taken: "text or varchar",
        fits: is_text,
    }));
    parts.extend(model.status_column.iter().map(|column| Part {
        name: "status_column",
        column,
        taken: "text, varchar, an enum, smallint, integer, bigint or boolean",
        fits: is_status,
    }));
    parts.extend(model.verified_column.iter().map(|column| Part {
        name: "verified_column",
        column,
        taken: "timestamptz, timestamp or datetime (UTC), bigint (microseconds since 1970) or text (RFC 3339), NULL while the address is not verified",
        fits: is_moment,
    }));
    let anything = |name, column| Part {
        name,
        column,
        taken: "any type",
        fits: |_, _| true,
    };
    let tenant = model.tenant_column.iter();
    parts.extend(tenant.map(|column| anything("tenant_column", column)));
    parts.extend(model.filter.iter().map(|filter| anything("filter", filter.column())));
    let cached = model.cached_attributes.iter();
    parts.extend(cached.map(|column| anything("cached_attributes", column)));
    parts
}

fn id(model: &ModelSpec) -> Part<'_> {
    let (taken, fits): (_, fn(DbBackend, &Column) -> bool) = match model.id_kind {
        IdKind::Integer => ("smallint, integer or bigint, or another id_kind", is_number),
        IdKind::Uuid => (
            "uuid (in SQLite text or blob, in MariaDB binary(16) or char(36)), or another id_kind",
            is_uuid,
        ),
        IdKind::Text => ("text or varchar, or another id_kind", is_text),
    };
    Part {
        name: "id_column",
        column: &model.id_column,
        taken,
        fits,
    }
}

fn is_text(backend: DbBackend, column: &Column) -> bool {
    match backend {
        DbBackend::Postgres | DbBackend::MySql => column.takes == Takes::Text,
        // What is declared as a number would take the zeros off its texts.
        _ => column.takes != Takes::Whole,
    }
}

fn is_number(backend: DbBackend, column: &Column) -> bool {
    match backend {
        DbBackend::Postgres | DbBackend::MySql => matches!(column.takes, Takes::Whole | Takes::Short),
        _ => matches!(column.takes, Takes::Whole | Takes::Other),
    }
}

fn is_uuid(backend: DbBackend, column: &Column) -> bool {
    match backend {
        DbBackend::Postgres => column.takes == Takes::Uuid,
        DbBackend::MySql => matches!(column.takes, Takes::Uuid | Takes::Text),
        _ => column.takes != Takes::Whole,
    }
}

fn is_status(backend: DbBackend, column: &Column) -> bool {
    let known = matches!(
        column.takes,
        Takes::Text | Takes::Listed | Takes::Short | Takes::Whole | Takes::Truth
    );
    known || backend == DbBackend::Sqlite
}

/// A truth value is none: `false` is not NULL, and would be read as verified. So would whatever stands in a column that is never NULL.
fn is_moment(backend: DbBackend, column: &Column) -> bool {
    let known = matches!(
        column.takes,
        Takes::Whole | Takes::Moment | Takes::DateAndTime | Takes::Text
    );
    let fits = known || (backend == DbBackend::Sqlite && column.takes == Takes::Other);
    fits && !column.is_required
}
