//! Values on their way into columns, and what the database says to them.

use bekci_core::signin::StoreError;
use sea_orm::{DbErr, RuntimeErr, SqlErr, Value, sqlx};

use super::DirectoryError;
use crate::sql::mariadb_number;

/// The value of a column; `None`: a list or an object, which no column takes.
pub(super) fn column_value(json: &serde_json::Value) -> Option<Value> {
    match json {
        serde_json::Value::Null => Some(None::<String>.into()),
        serde_json::Value::Bool(value) => Some((*value).into()),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Some(whole.into()),
            None => number.as_f64().map(Value::from),
        },
        serde_json::Value::String(text) => Some(text.as_str().into()),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    }
}

/// What a statement's failure means to who asked. A table refuses values by its constraints and types; that is no failure of the store.
pub(super) fn refused(error: DbErr) -> DirectoryError {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => return DirectoryError::Taken,
        Some(SqlErr::ForeignKeyConstraintViolation(_)) => return DirectoryError::InUse,
        _ => {}
    }
    match about_values(&error) {
        Some(told) => DirectoryError::Value(told),
        None => DirectoryError::Store(StoreError::Unavailable(error.to_string())),
    }
}

/// What is wrong with the values of a statement; `None`: something else is wrong. It does not tell them.
pub(crate) fn about_values(error: &DbErr) -> Option<String> {
    let (DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner))) = error else {
        return None;
    };
    let sqlx::Error::Database(answer) = &**inner else {
        return None;
    };
    match answer.kind() {
        // Both databases name the column here, and no value.
        sqlx::error::ErrorKind::NotNullViolation => {
            return Some(format!(
                "the table needs a value that is not there: {}",
                answer.message()
            ));
        }
        sqlx::error::ErrorKind::CheckViolation => {}
        // MariaDB: truncated, out of range, too long, of another type, a failed constraint.
        _ if matches!(mariadb_number(&**answer), Some(1264 | 1265 | 1292 | 1366 | 1406 | 4025)) => {}
        // PostgreSQL: class 22 is data that no type takes, 42804 a value of another type than the column's.
        _ => {
            let of_values = |code: &str| code.len() == 5 && (code.starts_with("22") || code == "42804");
            answer.code().filter(|code| of_values(code))?;
        }
    }
    Some("the table does not take such values".to_owned())
}
