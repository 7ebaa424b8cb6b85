//! MariaDB: row triggers, and what it does without triggers.
//!
//! Traps that the text below goes round:
//!
//! - Comparison goes by the column's collation, which is blind to case by default: values are compared as bytes too.
//! - `TRUNCATE` fires no trigger. It is refused for a table that a foreign key refers to, so each watched table has an empty table that does.
//! - A foreign key's cascade fires no trigger: [`Dialect::unseen_writes`] finds such keys.
//! - `information_schema.TRIGGERS` reads all databases unless it is asked by `EVENT_OBJECT_SCHEMA`.
//! - DDL commits. `CREATE OR REPLACE TRIGGER` leaves no moment without a trigger.
//! - A locking read of a row that is missing locks the gap around it, in which other writers insert: a row is locked only once it was seen.
//! - Triggers have the rights, `sql_mode` and connection collation of whoever made them: the text names all collations and uses no mode.

mod aftermath;

use sea_orm_migration::DbErr;
#[cfg(feature = "mariadb")]
use sea_orm_migration::sea_orm::{RuntimeErr, sqlx};
use sea_orm_migration::sea_query::{Index, IndexCreateStatement, MysqlQueryBuilder, TableCreateStatement};

use super::{Dialect, key};
use crate::model::IdKind;
use crate::watch::{EVERYBODY, OWNERS, Watch};

/// The clock of the statement, in whatever time zone the session is.
const NOW: &str = "(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6)))";

/// Compares byte by byte, trailing spaces included, as the other databases do.
const EXACT: &str = "utf8mb4_nopad_bin";

/// Begins the names of the tables that keep watched tables from being truncated.
const KEEPER: &str = "bekci_keep_";

pub(super) struct MariaDb;

impl Dialect for MariaDb {
    fn table(&self, table: &TableCreateStatement) -> String {
        let mut sql = table.to_string(MysqlQueryBuilder);
        if is_own(&sql) {
            // An index takes 3,072 bytes, and a letter counts for four.
            for (column, length) in [("model", 64), ("guard", 64), ("tenant", 64)] {
                sql = sql.replace(
                    &format!("`{column}` varchar(255)"),
                    &format!("`{column}` varchar({length})"),
                );
            }
            sql = policy_lines(sql);
        }
        format!("{sql} ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={EXACT}")
    }

    fn index(&self, index: &IndexCreateStatement) -> String {
        let sql = index.to_string(MysqlQueryBuilder);
        let all_rows = sql.split(" WHERE ").next().unwrap_or_default();
        all_rows.replacen("CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ", 1)
    }

    fn now(&self) -> &'static str {
        NOW
    }

    /// A connection has one transaction at a time.
    fn transaction_id(&self) -> &'static str {
        "(CONNECTION_ID())"
    }

    fn outbox_indexes(&self) -> Vec<IndexCreateStatement> {
        let mut by_transaction = Index::create();
        by_transaction
            .name("identity_outbox_tx")
            .table("identity_outbox")
            .col("tx")
            .col("position")
            .if_not_exists();
        vec![by_transaction]
    }

    /// This row is the commit lock too.
    fn create_positions(&self) -> String {
        super::insert_once("coherence_meta", "name", "'position'", "value", "0")
    }

    /// Of the time, the server and a random number: it has to be another one each time, and no secret.
    fn random(&self) -> &'static str {
        "CAST(CONV(SUBSTR(MD5(CONCAT(UUID(), RAND())), 1, 15), 16, 10) AS SIGNED)"
    }

    fn drop_index(&self, name: &str, table: &str) -> String {
        format!("DROP INDEX IF EXISTS {name} ON {table}")
    }

    fn drop_positions(&self) -> Option<&'static str> {
        None
    }

    fn quoted(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn concat(&self, parts: &[&str]) -> String {
        format!("CONCAT({})", parts.join(", "))
    }

    fn id_text(&self, kind: IdKind, expression: &str) -> String {
        let text = |expression: &str| format!("CONVERT({expression} USING utf8mb4) COLLATE {EXACT}");
        match kind {
            IdKind::Integer => format!("CAST({expression} AS CHAR)"),
            IdKind::Text => text(expression),
            IdKind::Uuid => text(&uuid_text(expression)),
        }
    }

    fn watch(&self, watch: &Watch<'_>) -> Vec<String> {
        let mut statements: Vec<String> = self
            .triggers(watch)
            .into_iter()
            .map(|(name, event, body)| {
                format!(
                    "CREATE OR REPLACE TRIGGER {name} AFTER {event} ON {} FOR EACH ROW {body}",
                    self.quoted(watch.table)
                )
            })
            .collect();
        statements.insert(0, format!("DROP TABLE IF EXISTS {}", keeper(watch)));
        // Triggers of a model that was in another table before: a name is unique in its database, and `CREATE OR REPLACE` does not move one.
        statements.insert(1, elsewhere(&watch.name, watch.table));
        if let Some(first) = watch.primary_key.first() {
            let (table, column) = (self.quoted(watch.table), self.quoted(first));
            statements.push(format!(
                "CREATE TABLE {} (FOREIGN KEY ({column}) REFERENCES {table} ({column})) ENGINE=InnoDB \
                 AS SELECT {column} FROM {table} WHERE 1 = 0",
                keeper(watch)
            ));
        }
        statements
    }

    fn unwatch(&self, watch: &Watch<'_>) -> Vec<String> {
        let mut statements = vec![format!("DROP TABLE IF EXISTS {}", keeper(watch))];
        let triggers = self.triggers(watch).into_iter();
        statements.extend(triggers.map(|(name, ..)| format!("DROP TRIGGER IF EXISTS {name}")));
        statements
    }

    fn installed(&self) -> String {
        format!(
            "SELECT CONCAT(TRIGGER_NAME, ' ON ', EVENT_OBJECT_TABLE) AS name, COALESCE(ACTION_STATEMENT, '') AS body FROM information_schema.TRIGGERS \
             WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND LEFT(TRIGGER_NAME, 6) = 'bekci_' \
             UNION ALL SELECT CONCAT(TABLE_NAME, ' ON ', REFERENCED_TABLE_NAME), REFERENCED_COLUMN_NAME \
             FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_SCHEMA = DATABASE() \
             AND LEFT(TABLE_NAME, {}) = '{KEEPER}'",
            KEEPER.len()
        )
    }

    fn expected(&self, watch: &Watch<'_>) -> Vec<(String, String)> {
        let on = |name: &str| format!("{name} ON {}", watch.table);
        let triggers = self.triggers(watch).into_iter();
        let mut expected: Vec<_> = triggers.map(|(name, _, body)| (on(&name), body)).collect();
        let first = watch.primary_key.first();
        expected.extend(first.map(|column| (on(&keeper(watch)), (*column).to_owned())));
        expected
    }

    fn removals(&self, prefix: &str) -> String {
        let length = prefix.len();
        let keepers = prefix.replace("bekci_", KEEPER);
        format!(
            "SELECT CONCAT('DROP TABLE `', TABLE_NAME, '`') AS statement FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = DATABASE() AND LEFT(TABLE_NAME, {}) = '{keepers}' \
             UNION ALL SELECT CONCAT('DROP TRIGGER `', TRIGGER_NAME, '`') FROM information_schema.TRIGGERS \
             WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND LEFT(TRIGGER_NAME, {length}) = '{prefix}'",
            keepers.len()
        )
    }

    fn table_exists(&self) -> &'static str {
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?"
    }

    fn table_parameter(&self, table: &str) -> String {
        table.to_owned()
    }

    fn application_tables(&self) -> &'static str {
        "SELECT TABLE_NAME AS name, TABLE_NAME AS shown FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = DATABASE() AND LEFT(TABLE_NAME, 11) <> 'bekci_keep_' ORDER BY TABLE_NAME"
    }

    /// Here a schema is a database.
    fn has_schemas(&self) -> bool {
        false
    }

    /// Without schemas a dot is a letter like any other.
    fn quoted_table(&self, table: &str) -> String {
        self.quoted(table)
    }

    fn unseen_writes(&self) -> Option<&'static str> {
        Some(
            "SELECT CONCAT('foreign key ', CONSTRAINT_NAME, ' (ON DELETE ', DELETE_RULE, ' ON UPDATE ', UPDATE_RULE, ')') AS why \
             FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = ? \
             AND (DELETE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT') OR UPDATE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT')) \
             UNION ALL SELECT CONCAT('storage engine ', COALESCE(ENGINE, 'of a view')) FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND NOT COALESCE(ENGINE, '') = 'InnoDB'",
        )
    }

    /// A user with a role is not judged: the rights of a role are listed under its own name.
    fn lacks_privilege(&self) -> Option<String> {
        let user = r"CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')";
        let none = |list: &str, place: &str| {
            format!(
                "AND NOT EXISTS (SELECT 1 FROM information_schema.{list} WHERE PRIVILEGE_TYPE = 'TRIGGER' AND GRANTEE = {user}{place})"
            )
        };
        Some(format!(
            "SELECT CONCAT('GRANT TRIGGER ON `', DATABASE(), '`.* TO ', {user}) AS statement FROM (SELECT 1 AS one) AS once \
             WHERE CURRENT_ROLE() IS NULL {} {} {}",
            none("USER_PRIVILEGES", ""),
            none("SCHEMA_PRIVILEGES", " AND DATABASE() LIKE TABLE_SCHEMA"),
            none("TABLE_PRIVILEGES", " AND TABLE_SCHEMA = DATABASE()"),
        ))
    }

    fn advice(&self, error: &DbErr) -> Option<&'static str> {
        match number(error)? {
            1419 => Some(
                "the server has a binary log and lets this user make no triggers: set log_bin_trust_function_creators = 1, \
                 or migrate as a user with SUPER; then run the migration again",
            ),
            1044 | 1142 | 1143 | 1227 | 1370 => Some(
                "the user that migrates needs CREATE, ALTER, DROP, INDEX, REFERENCES, TRIGGER, SELECT, INSERT, UPDATE and DELETE on the database: \
                 grant them, then run the migration again",
            ),
            _ => None,
        }
    }

    fn lock(&self) -> Option<&'static str> {
        Some(
            "BEGIN NOT ATOMIC\nIF NOT GET_LOCK(CONCAT('bekci_migrations ', DATABASE()), 600) <=> 1 THEN\n\
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'another migration is running';\nEND IF;\nEND",
        )
    }

    fn unlock(&self) -> Option<&'static str> {
        Some("DO RELEASE_LOCK(CONCAT('bekci_migrations ', DATABASE()))")
    }

    fn begin(&self) -> &'static str {
        "START TRANSACTION"
    }

    /// The statements of a trigger end with `;` themselves.
    fn script(&self, statements: &[String]) -> String {
        let lines = statements.iter().map(|statement| {
            if statement.contains(';') {
                // A column may be called anything.
                let mut end = "$$".to_owned();
                while statement.contains(&end) {
                    end.push('$');
                }
                format!("DELIMITER {end}\n{statement} {end}\nDELIMITER ;\n\n")
            } else {
                format!("{statement};\n\n")
            }
        });
        lines.collect()
    }
}

impl MariaDb {
    /// Name, event and text of each trigger. `information_schema` keeps the text to the letter.
    fn triggers(&self, watch: &Watch<'_>) -> Vec<(String, &'static str, String)> {
        let name_old = self.name_key(watch, "OLD", false);
        let name_new = self.name_key(watch, "NEW", false);
        let deleted = aftermath::of_delete(self, &watch.aftermath);
        let updated = aftermath::of_update(self, &watch.aftermath);
        let on_update = format!(
            "IF {} THEN\n{name_old}IF NOT ({} <=> {}) THEN\n{name_new}END IF;\n{updated}END IF;\n",
            self.changed(watch),
            key(self, &watch.key, "OLD"),
            key(self, &watch.key, "NEW"),
        );
        let name = |event: &str| format!("{}_{event}", watch.name);
        vec![
            (
                name("insert"),
                "INSERT",
                block(&self.name_key(watch, "NEW", watch.insert_adds)),
            ),
            (name("update"), "UPDATE", block(&on_update)),
            (name("delete"), "DELETE", block(&format!("{name_old}{deleted}"))),
        ]
    }

    /// One row for the outbox, unless the row that this connection wrote last says the same and has no number yet.
    ///
    /// That row is locked then, so that it gets its number after this transaction. Session variables only say where to look: whatever they hold, nothing is left
    /// out unless the locked row says it. Rows are counted by statement, since `NOW` is of the statement.
    fn name_key(&self, watch: &Watch<'_>, row: &str, adds: bool) -> String {
        let named = key(self, &watch.key, row);
        let adds = u8::from(adds);
        let too_many = if watch.key.is_within_everybody() {
            format!("IF @bekci_rows >= {OWNERS} THEN SET named = '{EVERYBODY}', adding = 0; END IF;\n")
        } else {
            String::new()
        };
        format!(
            "SET named = {named}, adding = {adds}, found = 0;\n\
             IF named IS NOT NULL THEN\n\
             SET @bekci_rows = IF(@bekci_statement <=> NOW(6), @bekci_rows, 0);\n\
             {too_many}\
             IF @bekci_statement <=> NOW(6) AND CONVERT(@bekci_key USING utf8mb4) COLLATE {EXACT} <=> named AND @bekci_adds <=> adding THEN\n\
             SELECT COUNT(*) INTO found FROM identity_outbox WHERE id = @bekci_row AND position IS NULL;\n\
             IF found > 0 THEN\n\
             SELECT COUNT(*) INTO found FROM identity_outbox WHERE id = @bekci_row AND `key` = named AND adds = adding AND position IS NULL FOR UPDATE;\n\
             END IF;\nEND IF;\n\
             IF found = 0 THEN\n\
             INSERT INTO identity_outbox (`key`, adds) VALUES (named, adding);\n\
             SET @bekci_key = named, @bekci_adds = adding, @bekci_row = LAST_INSERT_ID(), @bekci_rows = @bekci_rows + 1;\n\
             END IF;\n\
             SET @bekci_statement = NOW(6);\n\
             END IF;\n"
        )
    }

    /// By value and by bytes: bytes tell apart what a collation does not, and values what two numbers look alike as text do not.
    fn changed(&self, watch: &Watch<'_>) -> String {
        let changed: Vec<String> = watch
            .watched
            .iter()
            .map(|column| self.quoted(column))
            .map(|column| {
                format!("NOT (OLD.{column} <=> NEW.{column} AND BINARY OLD.{column} <=> BINARY NEW.{column})")
            })
            .collect();
        changed.join("\nOR ")
    }
}

/// The number of the server's error; `None`: it is another's.
#[cfg(feature = "mariadb")]
fn number(error: &DbErr) -> Option<u16> {
    let (DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner))) = error else {
        return None;
    };
    let sqlx::Error::Database(answer) = &**inner else {
        return None;
    };
    let answer = answer.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
    answer.map(sqlx::mysql::MySqlDatabaseError::number)
}

/// Without the driver there is no such error.
#[cfg(not(feature = "mariadb"))]
fn number(_: &DbErr) -> Option<u16> {
    None
}

fn is_own(create: &str) -> bool {
    let name = create.split('`').nth(1).unwrap_or_default();
    ["bekci_", "identity_", "coherence_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn block(body: &str) -> String {
    format!(
        "BEGIN\nDECLARE named varchar(255) CHARACTER SET utf8mb4 COLLATE {EXACT};\nDECLARE adding tinyint;\nDECLARE found int;\n{body}END"
    )
}

fn keeper(watch: &Watch<'_>) -> String {
    watch.name.replacen("bekci_", KEEPER, 1)
}

/// Removes a watch's triggers from any other table.
fn elsewhere(name: &str, table: &str) -> String {
    let table = table.replace('\\', "\\\\").replace('\'', "''");
    let drops: String = ["insert", "update", "delete"]
        .iter()
        .map(|event| format!("DROP TRIGGER IF EXISTS {name}_{event};\n"))
        .collect();
    format!(
        "BEGIN NOT ATOMIC\nIF EXISTS (SELECT 1 FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() \
         AND TRIGGER_NAME IN ('{name}_insert', '{name}_update', '{name}_delete') AND EVENT_OBJECT_TABLE <> '{table}') THEN\n{drops}END IF;\nEND"
    )
}

/// Seven long columns are more than an index takes: lines are unique by their hash, in which each value has its length before it.
fn policy_lines(sql: String) -> String {
    let columns = ["kind", "v0", "v1", "v2", "v3", "v4", "v5"];
    let parts = columns
        .map(|column| format!("LENGTH(`{column}`), `{column}`"))
        .join(", ");
    let names = columns.map(|column| format!("`{column}`")).join(", ");
    sql.replace(
        &format!("UNIQUE KEY `bekci_policies_line` ({names})"),
        &format!(
            "`line` binary(32) GENERATED ALWAYS AS (UNHEX(SHA2(CONCAT_WS(':', {parts}), 256))) STORED, UNIQUE KEY `bekci_policies_line` (`line`)"
        ),
    )
    .replace("` varchar(255) NOT NULL DEFAULT '', `v", "` varchar(1024) NOT NULL DEFAULT '', `v")
    .replace("`v5` varchar(255)", "`v5` varchar(1024)")
}

/// A UUID is stored as 16 bytes, or as text with or without hyphens; NULL stays NULL.
fn uuid_text(expression: &str) -> String {
    let hex = format!(
        "LOWER(CONVERT(CASE LENGTH({expression}) WHEN 16 THEN HEX({expression}) ELSE REPLACE({expression}, '-', '') END USING utf8mb4))"
    );
    let parts = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)];
    let part = |(from, length)| format!("SUBSTR({hex}, {from}, {length})");
    format!("CONCAT({})", parts.map(part).join(", '-', "))
}
