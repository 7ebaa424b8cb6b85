//! PostgreSQL: one function a table, run once a statement with the rows before and after.
//!
//! Traps that the text below goes round:
//!
//! - A trigger with transition tables takes one event and no column list; `TRUNCATE` has no transition tables.
//! - `IS DISTINCT FROM` goes by the type: it is blind to case in `citext` and not there at all for `json`. Columns are compared
//!   as text under the collation `"C"`.
//! - `session_replication_role = replica` silences ordinary triggers: ours are ENABLE ALWAYS.
//! - A writer may have another `search_path`: a function runs with that of whoever made it. It has the writer's rights, so that a
//!   writer who may not write to the outbox may not change rights either.

mod aftermath;

use sea_orm_migration::sea_query::{
    ConditionalStatement as _, Expr, ExprTrait as _, Index, IndexCreateStatement, PostgresQueryBuilder,
    TableCreateStatement,
};

use super::{Dialect, key, quoted, quoted_table};
use crate::model::IdKind;
use crate::watch::{EVERYBODY, OWNERS, Watch};

const NOW: &str = "((extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";

/// Stands in each function's text. It goes up with a change of the triggers themselves, which is seen nowhere else.
const TRIGGERS: &str = "-- bekci: triggers 1";

/// Event and the tables of rows that it comes with.
const EVENTS: [(&str, &str); 4] = [
    ("insert", "REFERENCING NEW TABLE AS new_rows "),
    ("update", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows "),
    ("delete", "REFERENCING OLD TABLE AS old_rows "),
    ("truncate", ""),
];

/// Each trigger of ours by `<trigger> ON <quoted table>`, with its schema and, where the search path finds the table, without. A
/// trigger counts only where every partition and inheriting table has it too.
const INSTALLED: &str = r#"WITH RECURSIVE found AS (
  SELECT tgname, tgrelid, tgfoid, prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
  WHERE NOT tgisinternal AND tgenabled = 'A' AND starts_with(tgname::text, proname || '_')
  AND starts_with(proname::text, 'bekci_') AND pg_function_is_visible(pg_proc.oid)),
family AS (
  SELECT tgrelid AS root, tgrelid AS member FROM found
  UNION SELECT root, inhrelid FROM pg_inherits JOIN family ON inhparent = member),
whole AS (
  SELECT * FROM found WHERE NOT EXISTS (SELECT 1 FROM family WHERE root = found.tgrelid AND NOT EXISTS (
    SELECT 1 FROM found AS its WHERE its.tgrelid = member AND its.tgname = found.tgname AND its.tgfoid = found.tgfoid))),
named AS (
  SELECT tgname, prosrc, '"' || replace(relname, '"', '""') || '"' AS named,
    '"' || replace(nspname, '"', '""') || '"' AS schema, pg_table_is_visible(tgrelid) AS visible
  FROM whole JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace)
SELECT tgname || ' ON ' || schema || '.' || named AS name, prosrc AS body FROM named
UNION ALL SELECT tgname || ' ON ' || named, prosrc FROM named WHERE visible"#;

/// The members of the families of watched tables that have no trigger of ours. It is run often, so that it reads no text of a function.
const UNWATCHED_CHILDREN: &str = "WITH RECURSIVE found AS (
  SELECT DISTINCT tgrelid FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
  WHERE NOT tgisinternal AND tgenabled = 'A' AND starts_with(tgname::text, proname || '_')
  AND starts_with(proname::text, 'bekci_') AND pg_function_is_visible(pg_proc.oid)),
family AS (
  SELECT inhrelid AS member FROM pg_inherits JOIN found ON inhparent = tgrelid
  UNION SELECT inhrelid FROM pg_inherits JOIN family ON inhparent = member)
SELECT member::regclass::text AS name FROM family WHERE member NOT IN (SELECT tgrelid FROM found) ORDER BY name";

pub(super) struct Postgres;

impl Dialect for Postgres {
    fn table(&self, table: &TableCreateStatement) -> String {
        table.to_string(PostgresQueryBuilder)
    }

    fn index(&self, index: &IndexCreateStatement) -> String {
        index.to_string(PostgresQueryBuilder)
    }

    fn now(&self) -> &'static str {
        NOW
    }

    fn transaction_id(&self) -> &'static str {
        "(pg_current_xact_id()::text::bigint)"
    }

    /// Hashed, because a random UUID has bits that are always the same.
    fn random(&self) -> &'static str {
        "(('x' || substr(md5(gen_random_uuid()::text), 1, 15))::bit(60)::bigint)"
    }

    fn drop_index(&self, name: &str, _table: &str) -> String {
        format!("DROP INDEX IF EXISTS {name}")
    }

    fn outbox_indexes(&self) -> Vec<IndexCreateStatement> {
        let unnumbered = |name: &'static str, column: &'static str| {
            let mut index = Index::create();
            index
                .name(name)
                .table("identity_outbox")
                .col(column)
                .and_where(Expr::col("position").is_null())
                .if_not_exists();
            index
        };
        vec![
            unnumbered("identity_outbox_unnumbered", "id"),
            unnumbered("identity_outbox_tx", "tx"),
        ]
    }

    fn create_positions(&self) -> String {
        "CREATE SEQUENCE IF NOT EXISTS bekci_position".to_owned()
    }

    fn drop_positions(&self) -> Option<&'static str> {
        Some("DROP SEQUENCE IF EXISTS bekci_position")
    }

    fn id_text(&self, kind: IdKind, expression: &str) -> String {
        match kind {
            IdKind::Integer => format!("{expression}::text"),
            // Two ids may be equal to the column's collation and are two keys all the same.
            IdKind::Text => format!("{expression}::text COLLATE \"C\""),
            IdKind::Uuid => format!("{expression}::text::uuid::text"),
        }
    }

    fn watch(&self, watch: &Watch<'_>) -> Vec<String> {
        let mut statements = vec![function(&watch.name, &self.body(watch)), drop_triggers(&watch.name)];
        statements.push(create_triggers(watch));
        statements
    }

    fn unwatch(&self, watch: &Watch<'_>) -> Vec<String> {
        vec![format!("DROP FUNCTION IF EXISTS {}() CASCADE", watch.name)]
    }

    fn installed(&self) -> String {
        INSTALLED.to_owned()
    }

    fn expected(&self, watch: &Watch<'_>) -> Vec<(String, String)> {
        let body = self.body(watch);
        let table = quoted_table(watch.table);
        let name = |event| format!("{}_{event} ON {table}", watch.name);
        EVENTS.map(|(event, _)| (name(event), body.clone())).to_vec()
    }

    fn removals(&self, prefix: &str) -> String {
        format!(
            "SELECT 'DROP FUNCTION ' || oid::regprocedure || ' CASCADE' AS statement FROM pg_proc \
             WHERE starts_with(proname::text, '{prefix}') AND prorettype = 'trigger'::regtype AND pg_function_is_visible(oid)"
        )
    }

    fn table_exists(&self) -> &'static str {
        "SELECT 1 WHERE to_regclass($1) IS NOT NULL"
    }

    fn table_parameter(&self, table: &str) -> String {
        quoted_table(table)
    }

    /// Those of extensions are no application's.
    fn application_tables(&self) -> &'static str {
        "SELECT relname::text AS name, CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE nspname || '.' END || relname AS shown \
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace \
         WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT relispartition AND nspname <> 'information_schema' \
         AND NOT starts_with(nspname::text, 'pg_') \
         AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
         ORDER BY pg_table_is_visible(c.oid) DESC, shown"
    }

    fn has_schemas(&self) -> bool {
        true
    }

    fn unwatched_children(&self) -> Option<&'static str> {
        Some(UNWATCHED_CHILDREN)
    }

    fn lock(&self) -> Option<&'static str> {
        // The name of the table of migrations, as a number.
        Some("SELECT pg_advisory_xact_lock(hashtextextended('bekci_migrations', 0))")
    }

    fn begin(&self) -> &'static str {
        "BEGIN"
    }
}

impl Postgres {
    /// What the function does for each event.
    fn body(&self, watch: &Watch<'_>) -> String {
        let key_of = |row| key(self, &watch.key, row);
        let inserted = name_keys(
            "",
            &format!("SELECT {} AS key FROM new_rows", key_of("new_rows")),
            watch.insert_adds,
        );
        let deleted = name_keys(
            "",
            &format!("SELECT {} AS key FROM old_rows", key_of("old_rows")),
            false,
        );
        let updated = name_keys(
            &changed(watch, &key_of("o"), &key_of("n")),
            "SELECT old_key AS key FROM changed UNION ALL SELECT new_key FROM changed",
            false,
        );
        let truncated = watch.key.when_truncated();
        let after = aftermath::of(self, &watch.aftermath);
        format!(
            "\n{TRIGGERS}\n{declared}BEGIN\n\
             IF TG_OP = 'INSERT' THEN\n{inserted}\
             ELSIF TG_OP = 'UPDATE' THEN\n{updated}{on_update}\
             ELSIF TG_OP = 'DELETE' THEN\n{deleted}{on_delete}\
             ELSIF TG_OP = 'TRUNCATE' THEN\n  INSERT INTO identity_outbox (key) VALUES ('{truncated}');\n{on_truncate}\
             END IF;\nRETURN NULL;\nEND\n",
            declared = after.declared,
            on_update = after.update,
            on_delete = after.delete,
            on_truncate = after.truncate,
        )
    }
}

/// The rows that an update really changed, by the keys before and after.
fn changed(watch: &Watch<'_>, old_key: &str, new_key: &str) -> String {
    let same: Vec<String> = watch
        .primary_key
        .iter()
        .map(|column| quoted(column))
        .map(|column| format!("o.{column} = n.{column}"))
        .collect();
    let differs: Vec<String> = watch
        .watched
        .iter()
        .map(|column| quoted(column))
        .map(|column| format!("o.{column}::text COLLATE \"C\" IS DISTINCT FROM n.{column}::text COLLATE \"C\""))
        .collect();
    format!(
        "changed AS MATERIALIZED (\n    SELECT {old_key} AS old_key, {new_key} AS new_key\n    \
         FROM old_rows AS o FULL JOIN new_rows AS n ON {}\n    WHERE {}),\n    ",
        same.join(" AND "),
        differs.join("\n    OR "),
    )
}

/// The keys that a query gives, each once, or everybody where they are too many.
fn name_keys(with: &str, keys: &str, adds: bool) -> String {
    let adds = if adds {
        format!("total.keys <= {OWNERS}")
    } else {
        "false".to_owned()
    };
    format!(
        "  INSERT INTO identity_outbox (key, adds)\n  WITH {with}named AS MATERIALIZED (\n    \
         SELECT DISTINCT key FROM ({keys}) AS every WHERE key IS NOT NULL LIMIT {OWNERS} + 1)\n  \
         SELECT DISTINCT CASE WHEN total.keys > {OWNERS} THEN '{EVERYBODY}' ELSE named.key END, {adds}\n  \
         FROM named, (SELECT count(*) AS keys FROM named) AS total;\n"
    )
}

fn function(name: &str, body: &str) -> String {
    let tag = dollar_tag(body);
    format!(
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS {tag}{body}{tag}"
    )
}

/// The triggers of this name on whatever table they are: a model may have moved to another one.
fn drop_triggers(name: &str) -> String {
    let names = EVENTS.map(|(event, _)| format!("'{name}_{event}'")).join(", ");
    format!(
        "DO $bekci$\nDECLARE found record;\nBEGIN\n  FOR found IN SELECT tgname, tgrelid FROM pg_trigger \
         WHERE tgname IN ({names}) AND tgfoid = to_regproc('{name}') LOOP\n    \
         EXECUTE format('DROP TRIGGER %I ON %s', found.tgname, found.tgrelid::regclass);\n  END LOOP;\nEND\n$bekci$"
    )
}

/// The triggers on a table, its partitions and the tables that inherit from it: a write by the name of one of these runs its own
/// statement triggers alone, and one by the name of the table runs those of the table alone.
fn create_triggers(watch: &Watch<'_>) -> String {
    let each: String = EVENTS
        .iter()
        .map(|(event, rows)| {
            let name = format!("{}_{event}", watch.name);
            format!(
                "    EXECUTE format('CREATE TRIGGER {name} AFTER {} ON %s {rows}FOR EACH STATEMENT EXECUTE FUNCTION {}()', found.name);\n    \
                 EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER {name}', found.name);\n",
                event.to_uppercase(),
                watch.name
            )
        })
        .collect();
    let table = quoted_table(watch.table).replace('\'', "''");
    let body = format!(
        "\nDECLARE found record;\nBEGIN\n  FOR found IN WITH RECURSIVE family AS (\n      \
         SELECT '{table}'::regclass::oid AS member UNION SELECT inhrelid FROM pg_inherits JOIN family ON inhparent = member)\n    \
         SELECT member::regclass AS name FROM family LOOP\n{each}  END LOOP;\nEND\n"
    );
    let tag = dollar_tag(&body);
    format!("DO {tag}{body}{tag}")
}

/// A dollar quote that the text does not hold: a column may be called anything.
fn dollar_tag(body: &str) -> String {
    let mut tag = "$bekci$".to_owned();
    while body.contains(&tag) {
        tag.insert(tag.len() - 1, '_');
    }
    tag
}
