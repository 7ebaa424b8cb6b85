//! The ledger in SQL.

use std::{sync::Arc, time::Duration};

use bekci_core::{GuardName, Identity, Need, PolicyLine, PrincipalKey, RoleTable, TenantName};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel,
    QueryResult, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use super::{
    ledger::{AppliedChange, Change, Cursor, Ledger, NodeRow, Outbox, Snapshot, Start, Versions},
    sql_change::SqlChange,
};
use crate::{
    keys::ChangeKey,
    link::{Link, Linked},
    load,
    node::{ACKNOWLEDGED, CHANNEL, Node, PolicyLabel},
    providers::Given,
    sql::{now_micros, random, statement, writing},
};

/// The tables of `bekci migrate up` on a connection pool.
#[derive(Debug)]
pub(crate) struct SqlLedger {
    db: DatabaseConnection,
    link: Arc<Link>,
    backend: DbBackend,
}

struct SqlSnapshot(DatabaseTransaction);

/// The options of a transaction that reads, and sees one moment of the database. There is nothing to commit in it.
pub(crate) fn reading(backend: DbBackend) -> TransactionOptions {
    // SQLite has neither mode, and needs none: sea-orm would warn at every load.
    let has_modes = backend != DbBackend::Sqlite;
    TransactionOptions {
        isolation_level: has_modes.then_some(IsolationLevel::RepeatableRead),
        access_mode: has_modes.then_some(AccessMode::ReadOnly),
        sqlite_transaction_mode: None,
    }
}

/// Whether the database has a row of the outbox still: its position, number and time are the second value and the last two.
const HAS_ROW: &str = "EXISTS (SELECT 1 FROM identity_outbox WHERE position = $2 AND id = $4 AND created_at = $5)";
const HAS_ROW_AT_3: &str = "EXISTS (SELECT 1 FROM identity_outbox WHERE position = $2 AND id = $3 AND created_at = $4)";

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

impl SqlLedger {
    pub(crate) fn new(db: DatabaseConnection, link: Arc<Link>) -> Self {
        let backend = db.get_database_backend();
        Self { db, link, backend }
    }

    async fn begin_writing(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.db.begin_with_options(writing(self.backend, options)).await
    }
}

#[async_trait::async_trait]
impl Ledger for SqlLedger {
    async fn start(&self) -> Result<Start, DbErr> {
        let sql = "SELECT 'newest' AS name, position, id, created_at FROM \
                   (SELECT position, id, created_at FROM identity_outbox WHERE position IS NOT NULL ORDER BY position DESC, id DESC LIMIT 1) AS newest \
                   UNION ALL SELECT name, value, 0, 0 FROM coherence_meta WHERE name IN ('epoch', 'pruned_position')";
        let mut start = Start::default();
        for row in self.db.query_all_raw(statement(self.backend, sql, [])).await? {
            let value: i64 = row.try_get("", "position")?;
            let cursor = Cursor {
                position: value,
                row: row.try_get("", "id")?,
                created_at: row.try_get("", "created_at")?,
            };
            match row.try_get::<String>("", "name")?.as_str() {
                "epoch" => start.epoch = value,
                _ if value > start.cursor.position => start.cursor = cursor,
                _ => {}
            }
        }
        Ok(start)
    }

    async fn register(&self, node: &str, delta: Duration, cursor: &Cursor) -> Result<bool, DbErr> {
        let now = now_micros(self.backend);
        let delta = i64::try_from(delta.as_millis()).unwrap_or(i64::MAX);
        let sql = format!(
            "INSERT INTO coherence_nodes (node, acknowledged, delta_ms, seen_at) SELECT $1, $2, $3, {now} FROM (SELECT 1 AS one) AS one WHERE {HAS_ROW} \
             OR EXISTS (SELECT 1 FROM coherence_meta WHERE name = 'pruned_position' AND value >= $2) \
             ON CONFLICT (node) DO UPDATE SET acknowledged = excluded.acknowledged, delta_ms = excluded.delta_ms, seen_at = excluded.seen_at"
        );
        let values = [
            node.into(),
            cursor.position.into(),
            delta.into(),
            cursor.row.into(),
            cursor.created_at.into(),
        ];
        let hit = self.db.execute_raw(statement(self.backend, sql, values)).await?;
        Ok(hit.rows_affected() > 0)
    }

    async fn heartbeat(&self, node: &str) -> Result<bool, DbErr> {
        let now = now_micros(self.backend);
        // Another value each time, also where the clock went back: by it others see that the node lives.
        let sql = format!(
            "UPDATE coherence_nodes SET seen_at = CASE WHEN {now} > seen_at THEN {now} ELSE seen_at + 1 END WHERE node = $1"
        );
        let hit = self.db.execute_raw(statement(self.backend, sql, [node.into()])).await?;
        Ok(hit.rows_affected() > 0)
    }

    async fn acknowledge(&self, node: &str, cursor: &Cursor) -> Result<bool, DbErr> {
        let sql = "UPDATE coherence_nodes SET acknowledged = $1 WHERE node = $2 \
                   AND EXISTS (SELECT 1 FROM identity_outbox WHERE position = $1 AND id = $3 AND created_at = $4)";
        let values = [
            cursor.position.into(),
            node.into(),
            cursor.row.into(),
            cursor.created_at.into(),
        ];
        if self.backend == DbBackend::Postgres {
            // One statement that tells the writers as well. It does not wait for the disk: an acknowledgement that a crash takes back is sent again.
            let sql = format!(
                "WITH hit AS ({sql} RETURNING node) SELECT node, pg_notify('{CHANNEL}', '{ACKNOWLEDGED}')::text AS told, \
                 set_config('synchronous_commit', 'off', true) AS waits FROM hit"
            );
            let hit = self.db.query_all_raw(statement(self.backend, sql, values)).await?;
            return Ok(!hit.is_empty());
        }
        let hit = self.db.execute_raw(statement(self.backend, sql, values)).await?;
        Ok(hit.rows_affected() > 0)
    }

    async fn fence(&self, node: &str, at: &Cursor) -> Result<bool, DbErr> {
        let sql = format!("DELETE FROM coherence_nodes WHERE node = $1 AND acknowledged < $2 AND {HAS_ROW_AT_3}");
        let values = [node.into(), at.position.into(), at.row.into(), at.created_at.into()];
        let gone = self.db.execute_raw(statement(self.backend, sql, values)).await?;
        Ok(gone.rows_affected() > 0)
    }

    async fn reap(&self, node: &str, seen_at: i64) -> Result<bool, DbErr> {
        let sql = "DELETE FROM coherence_nodes WHERE node = $1 AND seen_at = $2";
        let values = [node.into(), seen_at.into()];
        let gone = self.db.execute_raw(statement(self.backend, sql, values)).await?;
        Ok(gone.rows_affected() > 0)
    }

    async fn leave(&self, node: &str) -> Result<(), DbErr> {
        let sql = "DELETE FROM coherence_nodes WHERE node = $1";
        self.db
            .execute_raw(statement(self.backend, sql, [node.into()]))
            .await
            .map(|_| ())
    }

    async fn nodes(&self, but: &str) -> Result<Vec<NodeRow>, DbErr> {
        let sql = "SELECT node, acknowledged, delta_ms, seen_at FROM coherence_nodes WHERE node <> $1";
        let rows = self
            .db
            .query_all_raw(statement(self.backend, sql, [but.into()]))
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(NodeRow {
                    node: row.try_get("", "node")?,
                    acknowledged: row.try_get("", "acknowledged")?,
                    delta: Duration::from_millis(unsigned(row.try_get("", "delta_ms")?)),
                    seen_at: row.try_get("", "seen_at")?,
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

    async fn outbox(&self, node: &str, cursor: &Cursor) -> Result<Outbox, DbErr> {
        let now = now_micros(self.backend);
        let sql = format!(
            "SELECT key, version, position, 0 AS kind, {now} - created_at AS age, id, created_at FROM identity_outbox \
             WHERE position >= $1 OR position IS NULL \
             UNION ALL SELECT name, NULL, value, 1, 0, 0, 0 FROM coherence_meta WHERE name IN ('epoch', 'pruned_position') \
             UNION ALL SELECT '', NULL, acknowledged, 2, 0, 0, 0 FROM coherence_nodes WHERE node = $2"
        );
        let mut outbox = Outbox::default();
        let values = [cursor.position.into(), node.into()];
        let rows = self.db.query_all_raw(statement(self.backend, sql, values)).await?;
        for row in rows {
            let Some(position) = row.try_get::<Option<i64>>("", "position")? else {
                outbox.unnumbered += 1;
                continue;
            };
            match row.try_get::<i32>("", "kind")? {
                1 if row.try_get::<String>("", "key")? == "epoch" => outbox.epoch = position,
                1 => outbox.pruned = position,
                2 => outbox.acknowledged = Some(position),
                _ if position > cursor.position => outbox.changes.push(applied_change(position, &row)?),
                _ => {
                    let at = (row.try_get::<i64>("", "id")?, row.try_get::<i64>("", "created_at")?);
                    outbox.continuous |= at == (cursor.row, cursor.created_at);
                }
            }
        }
        outbox.continuous |= outbox.pruned >= cursor.position;
        Ok(outbox)
    }

    async fn change_epoch(&self, from: i64) -> Result<(), DbErr> {
        let random = random(self.backend);
        let sql = format!("UPDATE coherence_meta SET value = {random} WHERE name = 'epoch' AND value = $1");
        let changed = statement(self.backend, sql, [from.into()]);
        self.db.execute_raw(changed).await.map(|_| ())
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

    async fn versions(&self, need: &Need<'_>, cursor: &Cursor) -> Result<Versions, DbErr> {
        versions(&self.db, need, cursor).await
    }

    async fn begin(&self) -> Result<Box<dyn Change>, DbErr> {
        let begun = self.begin_writing().await?;
        Ok(Box::new(SqlChange::new(Linked::new(begun, Arc::clone(&self.link)))))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, DbErr> {
        Ok(Box::new(SqlSnapshot(
            self.db.begin_with_options(reading(self.backend)).await?,
        )))
    }
}

fn applied_change(position: i64, row: &QueryResult) -> Result<AppliedChange, DbErr> {
    let version = row.try_get::<Option<i64>>("", "version")?.unwrap_or_default();
    let (key, version) = ChangeKey::numbered(&row.try_get::<String>("", "key")?, unsigned(version));
    Ok(AppliedChange {
        position,
        key,
        version,
        row: row.try_get("", "id")?,
        created_at: row.try_get("", "created_at")?,
        age: Duration::from_micros(unsigned(row.try_get("", "age")?)),
    })
}

async fn versions<C: ConnectionTrait>(db: &C, need: &Need<'_>, cursor: &Cursor) -> Result<Versions, DbErr> {
    let global = ChangeKey::Roles(need.guard.clone(), None).to_string();
    let tenant = need
        .tenant
        .map(|tenant| ChangeKey::Roles(need.guard.clone(), Some(tenant.clone())).to_string())
        .unwrap_or_default();
    let values = [
        need.key.as_str().into(),
        global.clone().into(),
        tenant.clone().into(),
        cursor.position.into(),
        cursor.row.into(),
        cursor.created_at.into(),
    ];
    let keys = "($1, $2, $3, '@policies', '@all')";
    let sql = format!(
        "SELECT key, version, 0 AS kind FROM identity_versions WHERE key IN {keys} \
         UNION ALL SELECT key, 0, 1 FROM identity_outbox WHERE key IN {keys} AND position > $4 \
         UNION ALL SELECT key, 0, 2 FROM identity_outbox WHERE key IN {keys} AND position IS NULL \
         UNION ALL SELECT name, value, 3 FROM coherence_meta WHERE name IN ('epoch', 'pruned_position') \
         UNION ALL SELECT '', 0, 4 FROM identity_outbox WHERE position = $4 AND id = $5 AND created_at = $6"
    );
    let mut versions = Versions::default();
    let asked = statement(db.get_database_backend(), sql, values);
    for row in db.query_all_raw(asked).await? {
        let key: String = row.try_get("", "key")?;
        let value: i64 = row.try_get("", "version")?;
        match row.try_get::<i32>("", "kind")? {
            0 => match key.as_str() {
                "@all" => versions.all = unsigned(value),
                "@policies" => versions.policies = unsigned(value),
                key if key == global => versions.global = unsigned(value),
                key if key == tenant => versions.tenant = unsigned(value),
                _ => versions.key = unsigned(value),
            },
            3 if key == "epoch" => versions.epoch = value,
            3 => versions.continuous |= value == cursor.position,
            4 => versions.continuous = true,
            kind => {
                versions.unnumbered |= kind == 2;
                let (pending, is_all) = (&mut versions.pending, key == "@all");
                pending.policies |= is_all || key == "@policies";
                pending.global |= is_all || key == global;
                pending.tenant |= is_all || (!tenant.is_empty() && key == tenant);
                pending.key |= is_all || key == need.key.as_str();
            }
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

pub(crate) fn policy_line(row: &QueryResult) -> Result<PolicyLine, DbErr> {
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

#[async_trait::async_trait]
impl Snapshot for SqlSnapshot {
    async fn versions(&self, need: &Need<'_>, cursor: &Cursor) -> Result<Versions, DbErr> {
        versions(&self.0, need, cursor).await
    }

    async fn policy_label(&self) -> Result<Option<PolicyLabel>, DbErr> {
        let sql = "SELECT key, version AS value FROM identity_versions WHERE key IN ('@policies', '@all') \
                   UNION ALL SELECT name, value FROM coherence_meta WHERE name = 'epoch' \
                   UNION ALL SELECT 'unnumbered', 0 FROM identity_outbox WHERE key IN ('@policies', '@all') AND position IS NULL";
        let mut label = PolicyLabel {
            database: 0,
            all: 0,
            version: 0,
        };
        let asked = statement(self.0.get_database_backend(), sql, []);
        for row in self.0.query_all_raw(asked).await? {
            let value = row.try_get("", "value")?;
            match row.try_get::<String>("", "key")?.as_str() {
                "@policies" => label.version = unsigned(value),
                "@all" => label.all = unsigned(value),
                "epoch" => label.database = value,
                _ => return Ok(None),
            }
        }
        Ok(Some(label))
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

    async fn policy_page(&self, after: i64, limit: usize) -> Result<Vec<(i64, PolicyLine)>, DbErr> {
        policy_page(&self.0, after, limit).await
    }

    async fn close(self: Box<Self>) {
        let _closed = self.0.rollback().await;
    }
}
