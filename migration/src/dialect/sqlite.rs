//! SQLite: row triggers.
//!
//! Traps that the text below goes round:
//!
//! - `UPDATE OF id` does not see `SET rowid = …`, so updates are told apart by their values alone.
//! - `IS NOT` goes by the column's collation, so that `NOCASE` would hide a change: compared as `BINARY`.
//! - The outer statement's conflict clause overrules the trigger's own, so nothing rests on `OR IGNORE`.
//! - The `sqlite3` program on the machine may be older than the library in Bekci: no function younger than 3.33.
//! - `REPLACE` fires delete triggers only with `PRAGMA recursive_triggers`, which is set by the connection.

mod aftermath;

use sea_orm_migration::sea_query::{
    ConditionalStatement as _, Expr, ExprTrait as _, Index, IndexCreateStatement, SqliteQueryBuilder,
    TableCreateStatement,
};

use super::{Dialect, key, quoted};
use crate::model::IdKind;
use crate::watch::{EVERYBODY, OWNERS, Watch};

/// Milliseconds and no finer, since `unixepoch('subsec')` is younger than many a `sqlite3` program.
const NOW: &str =
    "(CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000)";

pub(super) struct Sqlite;

impl Dialect for Sqlite {
    fn table(&self, table: &TableCreateStatement) -> String {
        table.to_string(SqliteQueryBuilder)
    }

    fn index(&self, index: &IndexCreateStatement) -> String {
        index.to_string(SqliteQueryBuilder)
    }

    fn now(&self) -> &'static str {
        NOW
    }

    /// One writer at a time, so that every unnumbered row belongs to the one who numbers.
    fn transaction_id(&self) -> &'static str {
        "0"
    }

    fn random(&self) -> &'static str {
        "(random() & 9223372036854775807)"
    }

    fn drop_index(&self, name: &str, _table: &str) -> String {
        format!("DROP INDEX IF EXISTS {name}")
    }

    fn outbox_indexes(&self) -> Vec<IndexCreateStatement> {
        let mut by_key = Index::create();
        by_key
            .name("identity_outbox_unnumbered")
            .table("identity_outbox")
            .col("key")
            .col("adds")
            .and_where(Expr::col("position").is_null())
            .if_not_exists();
        vec![by_key]
    }

    fn create_positions(&self) -> String {
        super::insert_once("coherence_meta", "name", "'position'", "value", "0")
    }

    fn drop_positions(&self) -> Option<&'static str> {
        None
    }

    fn id_text(&self, kind: IdKind, expression: &str) -> String {
        match kind {
            IdKind::Integer | IdKind::Text => format!("CAST({expression} AS TEXT)"),
            IdKind::Uuid => uuid_text(expression),
        }
    }

    fn watch(&self, watch: &Watch<'_>) -> Vec<String> {
        let mut statements = self.unwatch(watch);
        statements.extend(self.triggers(watch).into_iter().map(|(_, sql)| sql));
        statements
    }

    fn unwatch(&self, watch: &Watch<'_>) -> Vec<String> {
        let drop = |(name, _)| format!("DROP TRIGGER IF EXISTS {name}");
        self.triggers(watch).into_iter().map(drop).collect()
    }

    fn installed(&self) -> String {
        "SELECT name, sql AS body FROM sqlite_master WHERE type = 'trigger' AND name GLOB 'bekci_*'".to_owned()
    }

    fn expected(&self, watch: &Watch<'_>) -> Vec<(String, String)> {
        self.triggers(watch)
    }

    fn removals(&self, prefix: &str) -> String {
        format!(
            "SELECT 'DROP TRIGGER ' || name AS statement FROM sqlite_master WHERE type = 'trigger' AND name GLOB '{prefix}*'"
        )
    }

    fn table_exists(&self) -> &'static str {
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND lower(name) = lower($1)"
    }

    fn table_parameter(&self, table: &str) -> String {
        table.to_owned()
    }

    fn application_tables(&self) -> &'static str {
        "SELECT name, name AS shown FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         ORDER BY name"
    }

    fn has_schemas(&self) -> bool {
        false
    }

    fn lock(&self) -> Option<&'static str> {
        None
    }

    fn begin(&self) -> &'static str {
        "BEGIN IMMEDIATE"
    }
}

impl Sqlite {
    /// Name and text of each trigger. `sqlite_master` keeps the text to the letter, as long as there is one space after
    /// `CREATE TRIGGER`.
    fn triggers(&self, watch: &Watch<'_>) -> Vec<(String, String)> {
        let name_old = self.name_key(watch, "OLD", false);
        let name_new = self.name_key(watch, "NEW", false);
        let deleted = aftermath::of_delete(self, &watch.aftermath);
        let updated = aftermath::of_update(self, &watch.aftermath);
        vec![
            trigger(watch, "insert", "", &[self.name_key(watch, "NEW", watch.insert_adds)]),
            trigger(
                watch,
                "update",
                &changed(watch),
                &[vec![name_old.clone(), name_new], updated].concat(),
            ),
            trigger(watch, "delete", "", &[vec![name_old], deleted].concat()),
        ]
    }

    /// One row for the outbox, unless an unnumbered one says it already: whoever numbers that one does so after this
    /// transaction, since there is one writer at a time. A row that adds never stands in for one that takes away.
    fn name_key(&self, watch: &Watch<'_>, row: &str, adds: bool) -> String {
        let named = key(self, &watch.key, row);
        let adds = u8::from(adds);
        let unnumbered = "SELECT 1 FROM identity_outbox WHERE position IS NULL";
        let unsaid =
            format!("named.key IS NOT NULL AND NOT EXISTS ({unnumbered} AND adds = {adds} AND key = named.key)");
        if !watch.key.is_within_everybody() {
            return format!(
                "INSERT INTO identity_outbox (key, adds) SELECT named.key, {adds} FROM (SELECT {named} AS key) AS named WHERE {unsaid}"
            );
        }
        // Counted in the answer and not in the condition: once everybody is named, a further row costs one look at the index.
        let too_many = format!("(SELECT count(*) FROM ({unnumbered} LIMIT {OWNERS} + 1)) > {OWNERS}");
        let adds = if adds == 0 {
            "0".to_owned()
        } else {
            format!("CASE WHEN {too_many} THEN 0 ELSE 1 END")
        };
        format!(
            "INSERT INTO identity_outbox (key, adds) \
             SELECT CASE WHEN {too_many} THEN '{EVERYBODY}' ELSE named.key END, {adds} FROM (SELECT {named} AS key) AS named \
             WHERE NOT EXISTS ({unnumbered} AND adds = 0 AND key = '{EVERYBODY}') AND {unsaid}"
        )
    }
}

fn trigger(watch: &Watch<'_>, event: &str, when: &str, body: &[String]) -> (String, String) {
    let name = format!("{}_{event}", watch.name);
    let body: String = body.iter().map(|statement| format!("  {statement};\n")).collect();
    let sql = format!(
        "CREATE TRIGGER {name} AFTER {} ON {}{when}\nBEGIN\n{body}END",
        event.to_uppercase(),
        quoted(watch.table),
    );
    (name, sql)
}

fn changed(watch: &Watch<'_>) -> String {
    let changed: Vec<String> = watch
        .watched
        .iter()
        .map(|column| quoted(column))
        .map(|column| format!("OLD.{column} IS NOT NEW.{column} COLLATE BINARY"))
        .collect();
    format!("\nWHEN {}", changed.join(" OR "))
}

/// A UUID is stored as 16 bytes, or as text with or without hyphens; NULL stays NULL.
fn uuid_text(expression: &str) -> String {
    let hex = format!(
        "CASE typeof({expression}) WHEN 'blob' THEN lower(hex({expression})) ELSE replace(lower({expression}), '-', '') END"
    );
    let parts = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)];
    let part = |(from, length)| format!("substr({hex}, {from}, {length})");
    format!("({})", parts.map(part).join(" || '-' || "))
}
