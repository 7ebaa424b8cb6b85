//! What the columns of an account table take. A table that the application brings has types of its own: what Bekci writes there must be of them, and what it cannot read
//! or write there is told when the store is opened, not by the first sign-in.
//!
//! - PostgreSQL gives a text to no column of another type by itself, so that every text is cast to the type that the catalogue names.
//! - MariaDB turns a text into what the column takes, and refuses what it cannot.
//! - SQLite takes any value anywhere; there a declared type says what the application's own readers expect.

mod fitness;
mod statuses;

use bekci_core::ModelSpec;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Value};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

pub use fitness::{UnfitColumn, UnfitColumns, unfit_columns};
pub use statuses::unknown_statuses;

use crate::{
    load::id_values,
    sql::{micros, quoted_table, statement},
};

/// What kind of values a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Text,
    /// Whole numbers up to 2^63 - 1, or longer ones.
    Whole,
    /// Whole numbers that end before the microseconds of our days.
    Short,
    Uuid,
    /// A moment, with its zone.
    Moment,
    /// A date and a time of day; that of UTC, as far as Bekci writes and reads it.
    DateAndTime,
    Truth,
    /// One word of a list.
    Listed,
    Other,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// Its type as the database writes it.
    shown: String,
    takes: Takes,
    is_required: bool,
}

/// The columns of one table.
#[derive(Debug)]
pub(crate) struct Columns {
    backend: DbBackend,
    columns: Vec<Column>,
}

/// The type below a domain is the domain's; `$1` is the table's quoted name.
const OF_POSTGRES: &str = "SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS shown, b.typname::text AS type, \
     b.typtype::text AS kind, CASE WHEN a.attnotnull THEN 1 ELSE 0 END AS required \
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
     JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END \
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";

const OF_SQLITE: &str =
    "SELECT name, type AS shown, type, '' AS kind, \"notnull\" AS required FROM pragma_table_xinfo($1)";

const OF_MARIADB: &str = "SELECT COLUMN_NAME AS name, COLUMN_TYPE AS shown, COLUMN_TYPE AS type, '' AS kind, \
     CASE IS_NULLABLE WHEN 'NO' THEN 1 ELSE 0 END AS required FROM information_schema.COLUMNS \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = $1 ORDER BY ORDINAL_POSITION";

impl Columns {
    /// Reads the catalogue; no columns where there is no such table.
    pub(crate) async fn read<C: ConnectionTrait>(db: &C, table: &str) -> Result<Self, DbErr> {
        let backend = db.get_database_backend();
        let (sql, name) = match backend {
            DbBackend::Postgres => (OF_POSTGRES, quoted_table(table)),
            DbBackend::MySql => (OF_MARIADB, table.to_owned()),
            _ => (OF_SQLITE, table.to_owned()),
        };
        let rows = db.query_all_raw(statement(backend, sql, [name.into()])).await?;
        let columns = rows.iter().map(|row| column(backend, row));
        Ok(Self {
            backend,
            columns: columns.collect::<Result<_, _>>()?,
        })
    }

    /// The names of SQLite and MariaDB are blind to case.
    fn get(&self, name: &str) -> Option<&Column> {
        let is_it = |column: &&Column| match self.backend {
            DbBackend::Postgres => column.name == name,
            _ => column.name.eq_ignore_ascii_case(name),
        };
        self.columns.iter().find(is_it)
    }

    /// Whether the table has a column of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// How many characters a column holds, if the database keeps to such a bound. SQLite does not.
    pub(crate) fn room(&self, name: &str) -> Option<usize> {
        let column = self.get(name).filter(|_| self.backend != DbBackend::Sqlite)?;
        let (_, bound) = column.shown.split_once('(')?;
        bound
            .trim_end_matches(')')
            .parse()
            .ok()
            .filter(|_| column.takes == Takes::Text)
    }

    fn takes(&self, name: &str) -> Takes {
        self.get(name).map_or(Takes::Other, |column| column.takes)
    }

    /// The expression that puts the text of parameter `at` into a column.
    pub(crate) fn text(&self, name: &str, at: usize) -> String {
        match self.get(name) {
            Some(column) if self.backend == DbBackend::Postgres && column.takes != Takes::Text => {
                format!("CAST(CAST(${at} AS text) AS {})", column.shown)
            }
            _ => format!("${at}"),
        }
    }

    /// The value that puts an id into its column: on MariaDB a UUID is 16 bytes only where the column takes bytes.
    pub(crate) fn id(&self, spec: &ModelSpec, id: &str) -> Option<Value> {
        let mut values = id_values(spec, id)?.into_iter();
        if self.backend == DbBackend::MySql && self.takes(&spec.id_column) != Takes::Uuid {
            return values.next_back();
        }
        values.next()
    }

    /// The expression that puts a value of an attribute into a column: a text by [`Columns::text`], any other as it is.
    pub(crate) fn value(&self, name: &str, at: usize, value: &Value) -> String {
        match value {
            Value::String(Some(_)) => self.text(name, at),
            _ => format!("${at}"),
        }
    }

    /// The expression that puts a moment into a column, and the value of its parameter `at`: microseconds since 1970 in a column of whole numbers, else what the column's
    /// type says, in UTC.
    pub(crate) fn moment(&self, name: &str, at: usize, moment: OffsetDateTime) -> (String, Value) {
        let number = Value::from(micros(moment));
        match (self.takes(name), self.backend) {
            (Takes::Moment, DbBackend::Postgres) => (
                format!("TIMESTAMPTZ 'epoch' + ${at} * INTERVAL '1 microsecond'"),
                number,
            ),
            (Takes::DateAndTime, DbBackend::Postgres) => {
                (format!("TIMESTAMP 'epoch' + ${at} * INTERVAL '1 microsecond'"), number)
            }
            (Takes::DateAndTime, DbBackend::MySql) => (
                format!("TIMESTAMP '1970-01-01 00:00:00' + INTERVAL ${at} MICROSECOND"),
                number,
            ),
            (Takes::Moment | Takes::DateAndTime | Takes::Text, _) => {
                let text = as_text(moment).map_or(number, Value::from);
                (format!("${at}"), text)
            }
            _ => (format!("${at}"), number),
        }
    }
}

/// RFC 3339 in UTC, to the microsecond.
fn as_text(moment: OffsetDateTime) -> Option<String> {
    let utc = moment.to_offset(UtcOffset::UTC);
    let whole = utc.replace_nanosecond(utc.microsecond() * 1_000).ok()?;
    whole.format(&Rfc3339).ok()
}

fn column(backend: DbBackend, row: &QueryResult) -> Result<Column, DbErr> {
    let (kind, name): (String, String) = (row.try_get("", "type")?, row.try_get("", "name")?);
    let takes = match backend {
        DbBackend::Postgres => of_postgres(&kind, &row.try_get::<String>("", "kind")?),
        DbBackend::MySql => of_mariadb(&kind),
        _ => of_sqlite(&kind),
    };
    let shown: String = row.try_get("", "shown")?;
    Ok(Column {
        name,
        shown: if shown.is_empty() {
            "of no type".to_owned()
        } else {
            shown
        },
        takes,
        is_required: row.try_get::<i32>("", "required")? != 0,
    })
}

fn of_postgres(name: &str, kind: &str) -> Takes {
    match (name, kind) {
        (_, "e") => Takes::Listed,
        ("text" | "varchar" | "bpchar" | "citext" | "name", _) => Takes::Text,
        ("int8" | "numeric", _) => Takes::Whole,
        ("int2" | "int4", _) => Takes::Short,
        ("uuid", _) => Takes::Uuid,
        ("timestamptz", _) => Takes::Moment,
        ("timestamp", _) => Takes::DateAndTime,
        ("bool", _) => Takes::Truth,
        _ => Takes::Other,
    }
}

/// The session is in UTC, so that a `timestamp` is read and written as the `datetime` beside it.
fn of_mariadb(declared: &str) -> Takes {
    let declared = declared.to_ascii_lowercase();
    let name = declared.split(['(', ' ']).next().unwrap_or_default();
    match name {
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Takes::Text,
        "bigint" | "decimal" => Takes::Whole,
        "tinyint" if declared.starts_with("tinyint(1)") => Takes::Truth,
        "tinyint" | "smallint" | "mediumint" | "int" => Takes::Short,
        "binary" if declared == "binary(16)" => Takes::Uuid,
        "datetime" | "timestamp" => Takes::DateAndTime,
        "enum" => Takes::Listed,
        _ => Takes::Other,
    }
}

/// By the rules of <https://www.sqlite.org/datatype3.html#determination_of_column_affinity>, and what people mean by the names that it gives no rule for.
fn of_sqlite(declared: &str) -> Takes {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    if has("INT") {
        Takes::Whole
    } else if has("DATE") || has("TIME") {
        Takes::DateAndTime
    } else if has("UUID") {
        Takes::Uuid
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Takes::Text
    } else if has("BOOL") {
        Takes::Truth
    } else {
        Takes::Other
    }
}
