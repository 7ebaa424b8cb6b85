//! The ledger in SQL.

use std::time::Duration;

use bekci_core::{GuardName, Identity, Need, PolicyLine, PrincipalKey, RoleTable, TenantName};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel,
    QueryResult, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use super::ledger::{
    AppliedChange, Change, ChangedKey, CommitFailure, Ledger, NodeRow, Outbox, OutboxRows, Snapshot, Versions,
};
use crate::{
    keys::ChangeKey,
    load,
    node::Node,
    providers::Given,
    sql::{answered, now_micros, own_rows, statement},
};

/// The tables of `bekci migrate up` on a connection pool.
#[derive(Debug)]
pub(crate) struct SqlLedger {
    db: DatabaseConnection,
    backend: DbBackend,
}

/// A transaction that writes.
pub(crate) struct SqlChange(pub(crate) DatabaseTransaction);

struct SqlSnapshot(DatabaseTransaction);

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

impl SqlLedger {
    pub(crate) fn new(db: DatabaseConnection) -> Self {
        let backend = db.get_database_backend();
        Self { db, backend }
    }

    /// A transaction that reads, and sees one moment of the database. There is nothing to commit in it.
    pub(crate) async fn read_only(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
        // SQLite has neither mode, and needs none: sea-orm would warn at every load.
        let has_modes = db.get_database_backend() != DbBackend::Sqlite;
        let isolation = has_modes.then_some(IsolationLevel::RepeatableRead);
        let reading = has_modes.then_some(AccessMode::ReadOnly);
        db.begin_with_config(isolation, reading).await
    }

    async fn begin_writing(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.db.begin_with_options(options).await
    }
}

#[async_trait::async_trait]
impl Ledger for SqlLedger {
    async fn register(&self, node: &str, delta: Duration) -> Result<(), DbErr> {
        let now = now_micros(self.backend);
        let delta = i64::try_from(delta.as_millis()).unwrap_or(i64::MAX);
        let sql = format!(
            "INSERT INTO coherence_nodes (node, acknowledged, delta_ms, seen_at) VALUES ($1, 0, $2, {now}) \
             ON CONFLICT (node) DO UPDATE SET acknowledged = 0, delta_ms = excluded.delta_ms, seen_at = excluded.seen_at"
        );
        let values = [node.into(), delta.into()];
        self.db
            .execute_raw(statement(self.backend, sql, values))
            .await
            .map(|_| ())
    }

    async fn heartbeat(&self, node: &str) -> Result<bool, DbErr> {
        let now = now_micros(self.backend);
        let sql = format!("UPDATE coherence_nodes SET seen_at = {now} WHERE node = $1");
        let hit = self.db.execute_raw(statement(self.backend, sql, [node.into()])).await?;
        Ok(hit.rows_affected() > 0)
    }

    async fn acknowledge(&self, node: &str, position: i64) -> Result<(), DbErr> {
        let sql = "UPDATE coherence_nodes SET acknowledged = $1 WHERE node = $2";
        let values = [position.into(), node.into()];
        self.db
            .execute_raw(statement(self.backend, sql, values))
            .await
            .map(|_| ())
    }

    async fn reap(&self) -> Result<u64, DbErr> {
        let now = now_micros(self.backend);
        let sql = format!("DELETE FROM coherence_nodes WHERE seen_at < {now} - delta_ms * 10000");
        let gone = self.db.execute_raw(statement(self.backend, sql, [])).await?;
        Ok(gone.rows_affected())
    }

    async fn leave(&self, node: &str) -> Result<(), DbErr> {
        let sql = "DELETE FROM coherence_nodes WHERE node = $1";
        self.db
            .execute_raw(statement(self.backend, sql, [node.into()]))
            .await
            .map(|_| ())
    }

    async fn nodes(&self, but: &str) -> Result<Vec<NodeRow>, DbErr> {
        let now = now_micros(self.backend);
        let sql =
            format!("SELECT acknowledged, delta_ms, {now} - seen_at AS silent FROM coherence_nodes WHERE node <> $1");
        let rows = self
            .db
            .query_all_raw(statement(self.backend, sql, [but.into()]))
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(NodeRow {
                    acknowledged: row.try_get("", "acknowledged")?,
                    delta: Duration::from_millis(unsigned(row.try_get("", "delta_ms")?)),
                    silent: Duration::from_micros(unsigned(row.try_get("", "silent")?)),
                })
            })
            .collect()
    }

    async fn highest_position(&self) -> Result<i64, DbErr> {
        let sql = "SELECT greatest_position FROM (SELECT max(position) AS greatest_position FROM identity_outbox \
                   UNION ALL SELECT value FROM coherence_meta WHERE name = 'pruned_position') AS positions \
                   WHERE greatest_position IS NOT NULL ORDER BY greatest_position DESC LIMIT 1";
        let row = self.db.query_one_raw(statement(self.backend, sql, [])).await?;
        row.map_or(Ok(0), |row| row.try_get("", "greatest_position"))
    }

    async fn outbox(&self, cursor: i64) -> Result<Outbox, DbErr> {
        let now = now_micros(self.backend);
        let sql = format!(
            "SELECT key, version, position, 0 AS pruned, {now} - created_at AS age FROM identity_outbox \
             WHERE position > $1 OR position IS NULL \
             UNION ALL SELECT '', NULL, value, 1, 0 FROM coherence_meta WHERE name = 'pruned_position'"
        );
        let mut outbox = Outbox::default();
        let rows = self
            .db
            .query_all_raw(statement(self.backend, sql, [cursor.into()]))
            .await?;
        for row in rows {
            let position: Option<i64> = row.try_get("", "position")?;
            let pruned = row.try_get::<i32>("", "pruned")? != 0;
            match position {
                Some(position) if pruned => outbox.pruned = position,
                Some(position) => outbox.changes.push(applied_change(position, &row)?),
                None => outbox.unnumbered += 1,
            }
        }
        Ok(outbox)
    }

    async fn unapplied(&self, cursor: i64) -> Result<u64, DbErr> {
        let sql = "SELECT count(*) AS unapplied FROM identity_outbox WHERE position > $1 OR position IS NULL";
        let counted = statement(self.backend, sql, [cursor.into()]);
        let row = self.db.query_one_raw(counted).await?;
        let count = row.map(|row| row.try_get::<i64>("", "unapplied")).transpose()?;
        Ok(count.map(unsigned).unwrap_or_default())
    }

    async fn prune(&self, keep_micros: i64) -> Result<u64, DbErr> {
        let transaction = self.begin_writing().await?;
        let now = now_micros(self.backend);
        let sql = format!(
            "SELECT max(position) AS position FROM identity_outbox WHERE created_at < {now} - {keep_micros} \
             AND position <= (SELECT coalesce(min(acknowledged), 0) FROM coherence_nodes)"
        );
        let row = transaction.query_one_raw(statement(self.backend, sql, [])).await?;
        let position = row
            .map(|row| row.try_get::<Option<i64>>("", "position"))
            .transpose()?
            .flatten();
        let Some(position) = position else {
            transaction.rollback().await?;
            return Ok(0);
        };
        let set = "UPDATE coherence_meta SET value = $1 WHERE name = 'pruned_position' AND value < $1";
        transaction
            .execute_raw(statement(self.backend, set, [position.into()]))
            .await?;
        let delete = "DELETE FROM identity_outbox WHERE position <= $1";
        let gone = transaction
            .execute_raw(statement(self.backend, delete, [position.into()]))
            .await?;
        transaction.commit().await?;
        Ok(gone.rows_affected())
    }

    async fn versions(&self, need: &Need<'_>) -> Result<Versions, DbErr> {
        versions(&self.db, need).await
    }

    async fn policy_lines(&self) -> Result<Vec<PolicyLine>, DbErr> {
        policy_lines(&self.db).await
    }

    async fn begin(&self) -> Result<Box<dyn Change>, DbErr> {
        Ok(Box::new(SqlChange(self.begin_writing().await?)))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, DbErr> {
        Ok(Box::new(SqlSnapshot(Self::read_only(&self.db).await?)))
    }
}

fn applied_change(position: i64, row: &QueryResult) -> Result<AppliedChange, DbErr> {
    let version = row.try_get::<Option<i64>>("", "version")?.unwrap_or_default();
    let (key, version) = ChangeKey::numbered(&row.try_get::<String>("", "key")?, unsigned(version));
    Ok(AppliedChange {
        position,
        key,
        version,
        age: Duration::from_micros(unsigned(row.try_get("", "age")?)),
    })
}

async fn versions<C: ConnectionTrait>(db: &C, need: &Need<'_>) -> Result<Versions, DbErr> {
    let global = ChangeKey::Roles(need.guard.clone(), None).to_string();
    let tenant = need
        .tenant
        .map(|tenant| ChangeKey::Roles(need.guard.clone(), Some(tenant.clone())).to_string())
        .unwrap_or_default();
    let values = [need.key.as_str().into(), global.clone().into(), tenant.clone().into()];
    let sql = "SELECT key, version FROM identity_versions WHERE key IN ($1, $2, $3, '@policies', '@all')";
    let mut versions = Versions::default();
    let asked = statement(db.get_database_backend(), sql, values);
    for row in db.query_all_raw(asked).await? {
        let key: String = row.try_get("", "key")?;
        let version = unsigned(row.try_get("", "version")?);
        match key.as_str() {
            "@all" => versions.all = version,
            "@policies" => versions.policies = version,
            key if key == global => versions.global = version,
            key if key == tenant => versions.tenant = version,
            _ => versions.key = version,
        }
    }
    Ok(versions)
}

/// All policy lines, in their order.
pub(crate) async fn policy_lines<C: ConnectionTrait>(db: &C) -> Result<Vec<PolicyLine>, DbErr> {
    let sql = "SELECT kind, v0, v1, v2, v3, v4, v5 FROM bekci_policies ORDER BY id";
    let rows = db.query_all_raw(statement(db.get_database_backend(), sql, [])).await?;
    rows.iter().map(policy_line).collect()
}

/// At most `limit` policy lines, each with its number, from behind a number.
pub(crate) async fn policy_page<C: ConnectionTrait>(
    db: &C,
    after: i64,
    limit: usize,
) -> Result<Vec<(i64, PolicyLine)>, DbErr> {
    let sql =
        format!("SELECT id, kind, v0, v1, v2, v3, v4, v5 FROM bekci_policies WHERE id > $1 ORDER BY id LIMIT {limit}");
    let query = statement(db.get_database_backend(), sql, [after.into()]);
    let rows = db.query_all_raw(query).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "id")?, policy_line(row)?)))
        .collect()
}

fn policy_line(row: &QueryResult) -> Result<PolicyLine, DbErr> {
    let mut values = Vec::with_capacity(6);
    for column in ["v0", "v1", "v2", "v3", "v4", "v5"] {
        values.push(row.try_get::<String>("", column)?);
    }
    // A casbin line is as long as its last value that is not empty.
    while values.last().is_some_and(String::is_empty) {
        values.pop();
    }
    Ok(PolicyLine {
        kind: row.try_get("", "kind")?,
        values,
    })
}

/// The condition that selects these rows.
fn condition(backend: DbBackend, rows: &OutboxRows) -> String {
    match rows {
        OutboxRows::Own => own_rows(backend).to_owned(),
        OutboxRows::Ids(ids) => {
            let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
            format!("id IN ({})", ids.join(","))
        }
    }
}

#[async_trait::async_trait]
impl Change for SqlChange {
    async fn changed_keys(&self) -> Result<Vec<ChangedKey>, DbErr> {
        let backend = self.0.get_database_backend();
        let own = own_rows(backend);
        let aggregates = match backend {
            DbBackend::Postgres => "bool_and(adds)::int AS adds, bool_or(refresh)::int AS refresh",
            _ => "min(adds) AS adds, max(refresh) AS refresh",
        };
        let sql = format!("SELECT key, {aggregates} FROM identity_outbox WHERE {own} GROUP BY key ORDER BY key");
        let rows = self.0.query_all_raw(statement(backend, sql, [])).await?;
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
        let backend = self.0.get_database_backend();
        let skip = if backend == DbBackend::Sqlite {
            ""
        } else {
            "FOR UPDATE SKIP LOCKED"
        };
        let sql = format!("SELECT id FROM identity_outbox WHERE position IS NULL ORDER BY id LIMIT {limit} {skip}");
        let rows = self.0.query_all_raw(statement(backend, sql, [])).await?;
        rows.iter().map(|row| row.try_get("", "id")).collect()
    }

    async fn raise_versions(&self, rows: &OutboxRows) -> Result<Vec<(ChangeKey, u64)>, DbErr> {
        let backend = self.0.get_database_backend();
        let which = condition(backend, rows);
        let sql = format!(
            "INSERT INTO identity_versions (key, version) SELECT DISTINCT key, 1 FROM identity_outbox WHERE {which} ORDER BY 1 \
             ON CONFLICT (key) DO UPDATE SET version = identity_versions.version + 1 RETURNING key, version"
        );
        let raised = self.0.query_all_raw(statement(backend, sql, [])).await?;
        raised
            .iter()
            .map(|row| {
                let version = unsigned(row.try_get("", "version")?);
                Ok(ChangeKey::numbered(&row.try_get::<String>("", "key")?, version))
            })
            .collect()
    }

    async fn next_position(&self) -> Result<i64, DbErr> {
        let backend = self.0.get_database_backend();
        let next = match backend {
            DbBackend::Postgres => {
                "WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock(7306365843041087337)) SELECT nextval('bekci_position') AS position FROM held"
            }
            _ => "UPDATE coherence_meta SET value = value + 1 WHERE name = 'position' RETURNING value AS position",
        };
        let row = self.0.query_one_raw(statement(backend, next, [])).await?;
        row.ok_or_else(|| {
            DbErr::Custom("bekci: the schema has no position counter; run `bekci migrate up`".to_owned())
        })?
        .try_get("", "position")
    }

    async fn number(&self, rows: &OutboxRows, position: i64) -> Result<(), DbErr> {
        let backend = self.0.get_database_backend();
        let which = condition(backend, rows);
        let sql = format!(
            "UPDATE identity_outbox SET position = $1, version = (SELECT version FROM identity_versions v WHERE v.key = identity_outbox.key) WHERE {which}"
        );
        self.0.execute_raw(statement(backend, sql, [position.into()])).await?;
        if backend == DbBackend::Postgres {
            self.0.execute_unprepared("NOTIFY bekci").await?;
        }
        Ok(())
    }

    async fn policy_lines(&self) -> Result<Vec<PolicyLine>, DbErr> {
        policy_lines(&self.0).await
    }

    async fn commit(self: Box<Self>) -> Result<(), CommitFailure> {
        // The database's own refusal means that nothing was committed; a lost connection leaves it open.
        self.0.commit().await.map_err(|error| {
            if answered(&error) {
                CommitFailure::Refused(error)
            } else {
                CommitFailure::Unknown(error)
            }
        })
    }

    async fn rollback(self: Box<Self>) -> Result<(), DbErr> {
        self.0.rollback().await
    }
}

#[async_trait::async_trait]
impl Snapshot for SqlSnapshot {
    async fn versions(&self, need: &Need<'_>) -> Result<Versions, DbErr> {
        versions(&self.0, need).await
    }

    async fn identity(&self, node: &Node, key: &PrincipalKey, given: &Given) -> Result<Identity, DbErr> {
        load::identity_of(node, &self.0, key, given).await
    }

    async fn role_table(
        &self,
        guard: &GuardName,
        tenant: Option<&TenantName>,
        version: u64,
    ) -> Result<RoleTable, DbErr> {
        load::role_table(&self.0, guard, tenant, version).await
    }

    async fn policy_lines(&self) -> Result<Vec<PolicyLine>, DbErr> {
        policy_lines(&self.0).await
    }

    async fn close(self: Box<Self>) {
        let _closed = self.0.rollback().await;
    }
}
