//! The few things in which the databases differ, in one place.
//!
//! Statements are written once, as PostgreSQL and SQLite read them. [`mariadb`] rewrites what MariaDB reads otherwise: placeholders, quotes, and what happens on a
//! duplicate key.

pub(crate) mod mariadb;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, IsolationLevel, Statement, TransactionOptions, Value, sqlx};

/// The database's own clock, in microseconds since 1970.
pub(crate) fn now_micros(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "(extract(epoch from clock_timestamp()) * 1000000)::bigint",
        DbBackend::MySql => mariadb::NOW,
        _ => "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000",
    }
}

/// A random number that is not negative, as an expression.
pub(crate) fn random(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "(('x' || substr(md5(gen_random_uuid()::text), 1, 15))::bit(60)::bigint)",
        DbBackend::MySql => "CAST(CONV(SUBSTR(MD5(CONCAT(UUID(), RAND())), 1, 15), 16, 10) AS SIGNED)",
        _ => "(random() & 9223372036854775807)",
    }
}

/// Rows of the outbox that the running transaction appended and nobody has numbered yet. On SQLite that is every unnumbered row: there is one
/// writer, so what stands there unnumbered was committed by a writer from outside, and is numbered along.
pub(crate) fn own_rows(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "position IS NULL AND tx = pg_current_xact_id()::text::bigint",
        DbBackend::MySql => "position IS NULL AND tx = CONNECTION_ID()",
        _ => "position IS NULL",
    }
}

/// Locks the roles until the transaction ends: alone, or beside others that only need them to stay as they are. `None`: the transaction has the only
/// writer's lock already.
pub(crate) fn lock_roles(backend: DbBackend, alone: bool) -> Option<&'static str> {
    match (backend, alone) {
        (DbBackend::Sqlite, _) => None,
        (DbBackend::Postgres, true) => Some("SELECT pg_advisory_xact_lock(5213408129570011) AS locked"),
        (DbBackend::Postgres, false) => Some("SELECT pg_advisory_xact_lock_shared(5213408129570011) AS locked"),
        (_, true) => Some("SELECT name FROM coherence_meta WHERE name = 'pruned_position' FOR UPDATE"),
        (_, false) => Some("SELECT name FROM coherence_meta WHERE name = 'pruned_position' LOCK IN SHARE MODE"),
    }
}

/// Ends a `SELECT` whose rows nobody may change or delete until the transaction ends.
pub(crate) fn shared_rows(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "",
        DbBackend::Postgres => " FOR SHARE",
        _ => " LOCK IN SHARE MODE",
    }
}

/// Ends a `SELECT` whose rows this transaction is going to change.
pub(crate) fn locked_rows(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "",
        _ => " FOR UPDATE",
    }
}

/// A statement with values. The placeholders are `$1`, `$2`, in any order and more than once.
pub(crate) fn statement(
    backend: DbBackend,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    if backend == DbBackend::MySql {
        return mariadb::statement(&sql.into(), values.into_iter().collect());
    }
    Statement::from_sql_and_values(backend, sql, values)
}

/// Whether a column of an application's table holds the text of a parameter, as an expression. A column's own collation has no say in it: MariaDB's default ones
/// take other accents and other case for the same.
pub(crate) fn equals(backend: DbBackend, column: &str, at: usize) -> String {
    let column = quoted(column);
    match backend {
        // The first half is for an index on the column.
        DbBackend::MySql => format!("({column} = ${at} AND {} = ${at})", mariadb::exact(&column)),
        _ => format!("{column} = ${at}"),
    }
}

/// A value as JSON: of an application's column, of whatever type.
pub(crate) fn as_json(backend: DbBackend, column: &str) -> String {
    let column = quoted(column);
    match backend {
        // `char(n)` is padded with blanks that are no part of its value; as text it is without them.
        DbBackend::Postgres => format!(
            "(CASE WHEN pg_typeof({column}) = 'bpchar'::regtype THEN to_jsonb({column}::text) ELSE to_jsonb({column}) END)::text"
        ),
        DbBackend::MySql => format!("JSON_EXTRACT(JSON_ARRAY({column}), '$[0]')"),
        _ => format!("json_quote(CASE typeof({column}) WHEN 'blob' THEN lower(hex({column})) ELSE {column} END)"),
    }
}

/// What a transaction that writes is begun with. On MariaDB READ COMMITTED, as on PostgreSQL: the default there reads old rows, and locks the gaps between rows.
pub(crate) fn writing(backend: DbBackend, mut options: TransactionOptions) -> TransactionOptions {
    if backend == DbBackend::MySql && options.isolation_level.is_none() {
        options.isolation_level = Some(IsolationLevel::ReadCommitted);
    }
    options
}

/// What a transaction of an application begins with on MariaDB: the bound on an idle holder of the commit lock is a setting of the session, and goes on from the
/// transaction before.
pub(crate) async fn writing_begins<C: ConnectionTrait>(transaction: &C) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DbBackend::MySql {
        let own = "SET SESSION idle_transaction_timeout = CAST(COALESCE(@bekci_idle, @@idle_transaction_timeout) AS UNSIGNED)";
        transaction.execute_unprepared(own).await?;
    }
    Ok(())
}

/// Whether MariaDB has rolled the transaction back with this error, or may have: after a deadlock, and after a lock that was not given in time. What followed would be
/// committed statement by statement.
pub(crate) fn ends_transaction(error: &DbErr) -> bool {
    let (DbErr::Exec(runtime) | DbErr::Query(runtime)) = error else {
        return false;
    };
    let sea_orm::RuntimeErr::SqlxError(inner) = runtime else {
        return false;
    };
    matches!(&**inner, sqlx::Error::Database(answer) if matches!(mariadb_number(&**answer), Some(1205 | 1213)))
}

/// The number of an error of MariaDB; `None`: the error is another database's.
#[cfg(feature = "mariadb")]
pub(crate) fn mariadb_number(answer: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    let answer = answer.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
    answer.map(sqlx::mysql::MySqlDatabaseError::number)
}

/// Without the driver there is no such error.
#[cfg(not(feature = "mariadb"))]
pub(crate) fn mariadb_number(_: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    None
}

/// A name as a quoted identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table of the configuration, quoted: `members`, or `shop.members` in a schema. Letters stay as they are.
pub(crate) fn quoted_table(table: &str) -> String {
    match table.split_once('.') {
        Some((schema, name)) => format!("{}.{}", quoted(schema), quoted(name)),
        None => quoted(table),
    }
}

/// A column as text, whatever its type: the type of the result stays the same when the column's type changes, so a statement that
/// was prepared before goes on. Without the blanks that pad `char(n)`.
pub(crate) fn as_text(column: &str) -> String {
    format!("CAST({} AS TEXT)", quoted(column))
}

/// Whether an error is the database's own answer. Anything else leaves open what the database did.
pub(crate) fn answered(error: &DbErr) -> bool {
    let runtime = match error {
        DbErr::Exec(runtime) | DbErr::Query(runtime) | DbErr::Conn(runtime) => runtime,
        _ => return false,
    };
    matches!(runtime, sea_orm::RuntimeErr::SqlxError(inner) if matches!(&**inner, sqlx::Error::Database(_)))
}

/// Microseconds since 1970.
pub(crate) fn micros(time: time::OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}

/// The moment so many microseconds after 1970.
pub(crate) fn from_micros(micros: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}
