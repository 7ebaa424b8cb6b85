//! Accounts that neither of a model's status lists knows: they cannot sign in, and no one banned them.

use bekci_core::ModelSpec;
use sea_orm::{ConnectionTrait, DbErr};

use super::Columns;
use crate::sql::{as_text, quoted_table, statement};

/// How many different statuses are counted at most.
const MOST: usize = 100;

/// The statuses of a model's accounts that neither `banned_statuses` nor `active_statuses` holds, each with the number of its
/// accounts, the most frequent first. None for a model without a table or a status.
///
/// # Errors
/// The database's.
pub async fn unknown_statuses<C: ConnectionTrait>(db: &C, model: &ModelSpec) -> Result<Vec<(String, u64)>, DbErr> {
    let Some(column) = &model.status_column else {
        return Ok(Vec::new());
    };
    if Columns::read(db, &model.table).await?.get(column).is_none() {
        return Ok(Vec::new());
    }
    let (backend, status) = (db.get_database_backend(), as_text(column));
    let sql = format!(
        "SELECT {status} AS status, COUNT(*) AS accounts FROM {} WHERE {} IS NOT NULL GROUP BY {status} \
         ORDER BY COUNT(*) DESC LIMIT {MOST}",
        quoted_table(&model.table),
        crate::sql::quoted(column),
    );
    let mut unknown = Vec::new();
    for row in db.query_all_raw(statement(backend, sql, [])).await? {
        let status: String = row.try_get("", "status")?;
        let accounts: i64 = row.try_get("", "accounts")?;
        if model.is_unknown(&status) {
            unknown.push((status, u64::try_from(accounts).unwrap_or_default()));
        }
    }
    Ok(unknown)
}
