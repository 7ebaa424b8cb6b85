//! A connection pooler between Bekci and PostgreSQL, found by what it does.
//!
//! A pooler that gives a client another server connection for each transaction (pgbouncer, `pool_mode = transaction`) must keep
//! prepared statements; without that, statements fail at random once two nodes are there. So the start tries it.

use sea_orm::{
    DatabaseConnection, DbBackend,
    sqlx::{
        self, Connection as _, Executor as _, Row as _,
        postgres::{PgConnectOptions, PgConnection},
    },
};

use crate::OpenError;

/// What a pooler lacks. The words name its settings.
const NO_STATEMENTS: &str = "PostgreSQL is reached through a pooler that pools by transaction and keeps no prepared statements: set \
     max_prepared_statements = 200 in pgbouncer (1.21 or newer), or pool_mode = session for this database";
const NO_PARAMETERS: &str = "a pooler refuses the parameters that Bekci connects with: set \
     ignore_startup_parameters = extra_float_digits, options in pgbouncer, and idle_in_transaction_session_timeout = '10s' for the user in PostgreSQL \
     (ALTER ROLE … SET)";

/// How often it is tried: other clients of the pooler may take the server connection in between.
const ROUNDS: usize = 3;

/// Checks that what Bekci prepares is there when it is used.
///
/// # Errors
/// [`OpenError::Pooler`], or the database's.
pub async fn check_pooler(db: &DatabaseConnection) -> Result<(), OpenError> {
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let options = db.get_postgres_connection_pool().connect_options();
    for _ in 0..ROUNDS {
        match round(&options).await {
            Ok(true) => {}
            // Each connection has a server connection of its own.
            Ok(false) => return Ok(()),
            Err(error) if is_of_a_statement(&error) => return Err(OpenError::Pooler(NO_STATEMENTS)),
            Err(error) => return Err(sea_orm::DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())).into()),
        }
    }
    Ok(())
}

/// What an error at connecting means, where a pooler made it.
pub(crate) fn refused_parameter(error: &sea_orm::DbErr) -> Option<OpenError> {
    let told = error.to_string();
    told.contains("unsupported startup parameter")
        .then_some(OpenError::Pooler(NO_PARAMETERS))
}

/// Whether two connections share a server connection. If they do, both prepare a statement of one name and run it.
async fn round(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut first = PgConnection::connect_with(options).await?;
    let mut second = PgConnection::connect_with(options).await?;
    let alone = server_of(&mut first).await?;
    second.execute("BEGIN").await?;
    let held = server_of(&mut second).await?;
    second.execute("COMMIT").await?;
    let again = server_of(&mut first).await?;
    let is_shared = alone == held || alone != again;
    if is_shared {
        for connection in [&mut first, &mut second] {
            for _ in 0..2 {
                sqlx::query("SELECT 1").execute(&mut *connection).await?;
            }
        }
    }
    first.close().await?;
    second.close().await?;
    Ok(is_shared)
}

/// The server process, by a statement that nothing prepares.
async fn server_of(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()")).await?;
    // The simple protocol answers with text.
    let text: &str = row.try_get_unchecked(0)?;
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Whether a prepared statement was not there, or was there already.
fn is_of_a_statement(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("26000" | "42P05" | "08P01"))
}
