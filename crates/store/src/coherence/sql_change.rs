//! A transaction that writes, in SQL.

use std::{sync::OnceLock, time::Duration};

use bekci_core::PolicyLine;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Value};

use super::{
    ledger::{Change, ChangedKey, CommitFailure, Cursor, OutboxRows},
    sql_ledger::{policy_lines, unsigned},
};
use crate::{
    keys::ChangeKey,
    link::Linked,
    node::CHANNEL,
    sql::{answered, own_rows, statement},
};

/// A transaction that writes.
pub(crate) struct SqlChange {
    transaction: Linked<DatabaseTransaction>,
    /// MariaDB: the ids of this transaction's own rows, once they were read.
    own: OnceLock<Vec<i64>>,
}

impl SqlChange {
    pub(crate) fn new(transaction: Linked<DatabaseTransaction>) -> Self {
        Self {
            transaction,
            own: OnceLock::new(),
        }
    }

    /// Locks the rows of this connection that have no position, and returns their ids. Its transaction before this one may have left some, through an
    /// unguarded write or a change of the schema. A node loop may be numbering those: it holds their locks and waits for the commit lock, which this transaction does not hold yet.
    /// So this waits for it. Their position is then before that of this transaction. A node that has applied this one has applied them.
    async fn lock_own(&self) -> Result<&[i64], DbErr> {
        if let Some(ids) = self.own.get() {
            return Ok(ids);
        }
        let backend = self.transaction.get_database_backend();
        let sql = format!(
            "SELECT id, CAST(@@in_transaction AS SIGNED) AS holds FROM identity_outbox WHERE {} ORDER BY id",
            own_rows(backend)
        );
        let (mut ids, mut holds) = (Vec::new(), true);
        for row in self.transaction.query_all_raw(statement(backend, sql, [])).await? {
            ids.push(row.try_get("", "id")?);
            holds = row.try_get::<i64>("", "holds")? != 0;
        }
        if !holds {
            // A statement that changes the schema has ended the transaction, and no lock outlives its statement: the numbers would not be in the order of commits.
            self.transaction.execute_unprepared("START TRANSACTION").await?;
        }
        let ids = self.lock(&ids, "").await?;
        Ok(self.own.get_or_init(|| ids))
    }

    /// MariaDB: locks those of these rows that have no position, and returns their ids. By the primary key alone: a row that is skipped would keep its lock in the index by
    /// which it was found, and who numbers it needs that one too.
    async fn lock(&self, ids: &[i64], of_others: &str) -> Result<Vec<i64>, DbErr> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let which = among(ids);
        let sql = format!(
            "SELECT id FROM identity_outbox FORCE INDEX (PRIMARY) WHERE {} AND position IS NULL ORDER BY id FOR UPDATE {of_others}",
            which.sql
        );
        let locked = statement(self.transaction.get_database_backend(), sql, which.values);
        let rows = self.transaction.query_all_raw(locked).await?;
        rows.iter().map(|row| row.try_get("", "id")).collect()
    }

    /// The condition that selects these rows.
    async fn condition(&self, rows: &OutboxRows) -> Result<Condition, DbErr> {
        let backend = self.transaction.get_database_backend();
        match rows {
            OutboxRows::Own if backend == DbBackend::MySql => Ok(among(self.lock_own().await?)),
            OutboxRows::Own => Ok(Condition::from(own_rows(backend).to_owned())),
            OutboxRows::Ids(ids) => Ok(among(ids)),
        }
    }
}

/// Rows that another transaction has locked are left out.
const SKIPPED: &str = "SKIP LOCKED";

/// What selects rows of the outbox, with the values of its placeholders.
struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl From<String> for Condition {
    fn from(sql: String) -> Self {
        Self {
            sql,
            values: Vec::new(),
        }
    }
}

/// So many ids are values of placeholders. Their number is a power of two, so that the statements are a few texts, prepared once: a text for each id would push all others out of the connection's
/// cache. On MariaDB each that goes also delays the next statement by 40 ms: the driver sends its end and the statement as two packets, without `TCP_NODELAY`.
const MOST_PLACES: usize = 64;

fn among(ids: &[i64]) -> Condition {
    let Some(last) = ids.last() else {
        return Condition::from("1 = 0".to_owned());
    };
    if ids.len() > MOST_PLACES {
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        return Condition::from(format!("id IN ({})", ids.join(",")));
    }
    let places = ids.len().next_power_of_two();
    let values = ids.iter().chain(std::iter::repeat(last)).take(places);
    let names: Vec<String> = (1..=places).map(|at| format!("${at}")).collect();
    Condition {
        sql: format!("id IN ({})", names.join(",")),
        values: values.map(|id| Value::from(*id)).collect(),
    }
}

/// By how much a commit raises the version of a key: at most 2^20, by chance. A database that went back and counted by one would give the versions of lost commits again, and an entry that was
/// cached under one of them would pass for another state. 2^43 changes of a key fit.
fn version_step(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "(1 + floor(random() * 1048575))::bigint",
        DbBackend::MySql => "(1 + FLOOR(RAND() * 1048575))",
        _ => "(1 + (random() & 1048575))",
    }
}

#[async_trait::async_trait]
impl Change for SqlChange {
    async fn changed_keys(&self) -> Result<Vec<ChangedKey>, DbErr> {
        let backend = self.transaction.get_database_backend();
        let own = self.condition(&OutboxRows::Own).await?;
        let aggregates = match backend {
            DbBackend::Postgres => "bool_and(adds)::int AS adds, bool_or(refresh)::int AS refresh",
            _ => "min(adds) AS adds, max(refresh) AS refresh",
        };
        let sql = format!(
            "SELECT key, {aggregates} FROM identity_outbox WHERE {} GROUP BY key ORDER BY key",
            own.sql
        );
        let rows = self
            .transaction
            .query_all_raw(statement(backend, sql, own.values))
            .await?;
        rows.iter()
            .map(|row| {
                Ok(ChangedKey {
                    key: ChangeKey::read(&row.try_get::<String>("", "key")?),
                    adds: row.try_get::<i32>("", "adds")? != 0,
                    refresh: row.try_get::<i32>("", "refresh")? != 0,
                })
            })
            .collect()
    }

    async fn lock_unnumbered(&self, limit: u32) -> Result<Vec<i64>, DbErr> {
        let backend = self.transaction.get_database_backend();
        let skip = if backend == DbBackend::Postgres {
            "FOR UPDATE SKIP LOCKED"
        } else {
            ""
        };
        let sql = format!("SELECT id FROM identity_outbox WHERE position IS NULL ORDER BY id LIMIT {limit} {skip}");
        let rows = self.transaction.query_all_raw(statement(backend, sql, [])).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?;
        if backend == DbBackend::MySql {
            return self.lock(&ids, SKIPPED).await;
        }
        Ok(ids)
    }

    async fn raise_versions(&self, rows: &OutboxRows) -> Result<Vec<(ChangeKey, u64)>, DbErr> {
        let backend = self.transaction.get_database_backend();
        let Condition { sql: which, values } = self.condition(rows).await?;
        let step = version_step(backend);
        let sql = format!(
            "INSERT INTO identity_versions (key, version) SELECT key, {step} FROM identity_outbox WHERE {which} GROUP BY key ORDER BY 1 \
             ON CONFLICT (key) DO UPDATE SET version = identity_versions.version + {step}"
        );
        let raised = if backend == DbBackend::MySql {
            self.transaction
                .execute_raw(statement(backend, sql, values.clone()))
                .await?;
            let read = format!(
                "SELECT key, version FROM identity_versions WHERE key IN (SELECT key FROM identity_outbox WHERE {which}) ORDER BY key"
            );
            self.transaction.query_all_raw(statement(backend, read, values)).await?
        } else {
            let sql = format!("{sql} RETURNING key, version");
            self.transaction.query_all_raw(statement(backend, sql, values)).await?
        };
        raised
            .iter()
            .map(|row| {
                let version = unsigned(row.try_get("", "version")?);
                Ok(ChangeKey::numbered(&row.try_get::<String>("", "key")?, version))
            })
            .collect()
    }

    async fn next_position(&self, idle: Duration) -> Result<i64, DbErr> {
        let backend = self.transaction.get_database_backend();
        let next = match backend {
            DbBackend::Postgres => format!(
                "WITH held AS MATERIALIZED (SELECT set_config('idle_in_transaction_session_timeout', '{}', true), \
                 pg_advisory_xact_lock(7306365843041087337)) SELECT nextval('bekci_position') AS position FROM held",
                idle.as_millis().max(1)
            ),
            DbBackend::MySql => {
                // Whole seconds, rounded up; `writing_begins` puts it back, since the setting outlives the transaction.
                let idle = idle.as_millis().div_ceil(1000).max(1);
                let bound = format!(
                    "SET @bekci_idle = COALESCE(@bekci_idle, @@idle_transaction_timeout), SESSION idle_transaction_timeout = {idle}"
                );
                self.transaction.execute_unprepared(&bound).await?;
                // The row is the commit lock: it is held until the transaction ends.
                let raise = "UPDATE coherence_meta SET value = value + 1 WHERE name = 'position'";
                self.transaction.execute_raw(statement(backend, raise, [])).await?;
                "SELECT value AS position FROM coherence_meta WHERE name = 'position'".to_owned()
            }
            _ => "UPDATE coherence_meta SET value = value + 1 WHERE name = 'position' RETURNING value AS position"
                .to_owned(),
        };
        let row = self.transaction.query_one_raw(statement(backend, next, [])).await?;
        row.ok_or_else(|| {
            DbErr::Custom("bekci: the schema has no position counter; run `bekci migrate up`".to_owned())
        })?
        .try_get("", "position")
    }

    async fn number(&self, rows: &OutboxRows, position: i64) -> Result<Cursor, DbErr> {
        let backend = self.transaction.get_database_backend();
        let Condition { sql: which, values } = self.condition(rows).await?;
        let at = values.len() + 1;
        let sql = format!(
            "UPDATE identity_outbox SET position = ${at}, version = (SELECT version FROM identity_versions v WHERE v.key = identity_outbox.key) WHERE {which}"
        );
        let db = &self.transaction;
        let and_position: Vec<Value> = values.iter().cloned().chain([position.into()]).collect();
        let numbered = if backend == DbBackend::MySql {
            // MariaDB has no RETURNING here, and its condition names rows by their ids, whether they have a position or not.
            db.execute_raw(statement(backend, sql, and_position)).await?;
            let again = format!("SELECT id, created_at FROM identity_outbox WHERE {which} ORDER BY id DESC LIMIT 1");
            db.query_all_raw(statement(backend, again, values)).await?
        } else {
            let returning = format!("{sql} RETURNING id, created_at");
            db.query_all_raw(statement(backend, returning, and_position)).await?
        };
        if backend == DbBackend::Postgres {
            db.execute_unprepared(&format!("NOTIFY {CHANNEL}")).await?;
        }
        let mut at = Cursor {
            position,
            ..Cursor::default()
        };
        if let Some(row) = numbered.last() {
            at.row = row.try_get("", "id")?;
            at.created_at = row.try_get("", "created_at")?;
        }
        Ok(at)
    }

    async fn policy_lines(&self) -> Result<Vec<PolicyLine>, DbErr> {
        policy_lines(&self.transaction).await
    }

    async fn commit(self: Box<Self>) -> Result<(), CommitFailure> {
        // The database's own refusal means that nothing was committed; a lost connection leaves it open.
        self.transaction.commit().await.map_err(|error| {
            if answered(&error) {
                CommitFailure::Refused(error)
            } else {
                CommitFailure::Unknown(error)
            }
        })
    }

    async fn rollback(self: Box<Self>) -> Result<(), DbErr> {
        self.transaction.rollback().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_by_few_texts_that_hold_no_id() {
        let of = |count: i64| among(&(1..=count).collect::<Vec<_>>());
        assert_eq!(of(0).sql, "1 = 0");
        assert_eq!(of(1).sql, "id IN ($1)");
        assert_eq!(of(3).sql, "id IN ($1,$2,$3,$4)");
        assert_eq!(of(3).values, [1_i64, 2, 3, 3].map(Value::from));
        let texts: std::collections::BTreeSet<String> = (1..=64).map(|count| of(count).sql).collect();
        assert_eq!(texts.len(), 7);
        assert!(of(65).values.is_empty() && of(65).sql.ends_with(",64,65)"));
    }
}
