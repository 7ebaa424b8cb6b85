//! What entity hooks do: refuse an unguarded connection, and ask that the identity be fresh in the cache when the write returns.
//!
//! SeaORM runs hooks for one row at a time. `Entity::delete_many().exec(&raw)`, `update_many` and `insert_many` run none: triggers alone see them, and through an
//! unguarded connection they take effect when a node next polls, not when the call returns.
//!
//! That nothing is missed is the triggers' duty; a hook names the key once more, with `refresh`. `#[derive(AuthModel)]` calls these; with `hooks = "manual"` call them first in your own
//! `ActiveModelBehavior`:
//!
//! ```
//! # use sea_orm::{ConnectionTrait, DbErr};
//! async fn before_save<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
//!     bekci_store::hooks::check(db)
//! }
//! async fn after_save<C: ConnectionTrait>(db: &C, id: i64) -> Result<(), DbErr> {
//!     bekci_store::hooks::changed(db, "customer", id.to_string()).await
//! }
//! ```

use bekci_core::PrincipalKey;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use crate::{
    guarded::{GuardedConnection, GuardedTransaction},
    keys::ChangeKey,
    sql::statement,
};

const APPEND: &str = "INSERT INTO identity_outbox (key, adds, refresh) VALUES ($1, $2, $3)";
/// The same for MariaDB.
const APPEND_MARIADB: &str = "INSERT INTO identity_outbox (`key`, adds, refresh) VALUES (?, ?, ?)";

/// Refuses a write through a connection that cannot bring a change of rights into force. Called before the statement runs, since on a plain pool it is
/// committed by the time anything runs after it. Mocks and migrations pass.
///
/// # Errors
/// [`DbErr::Custom`] that says what to write through instead.
pub fn check<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    let given = std::any::type_name::<C>();
    let guarded =
        given == std::any::type_name::<GuardedConnection>() || given == std::any::type_name::<GuardedTransaction>();
    if guarded || db.is_mock_connection() || given.contains("SchemaManagerConnection") {
        return Ok(());
    }
    Err(DbErr::Custom(format!(
        "bekci: this entity decides who may do what, and a {given} cannot make its change take effect at once; write through `bekci.connection()` or a transaction begun on it"
    )))
}

/// Asks that the identity of this account be loaded again and stored when the change is committed. Called after the statement ran.
///
/// # Errors
/// The database's, and [`DbErr::Custom`] where the id cannot be part of a key.
pub async fn changed<C: ConnectionTrait>(db: &C, model: &str, id: String) -> Result<(), DbErr> {
    let key =
        PrincipalKey::parse(&format!("{model}:{id}")).map_err(|error| DbErr::Custom(format!("bekci: {error}")))?;
    refresh(db, &ChangeKey::Principal(key)).await
}

/// Names a key in the outbox, with `refresh`.
pub(crate) async fn refresh<C: ConnectionTrait>(db: &C, key: &ChangeKey) -> Result<(), DbErr> {
    if db.is_mock_connection() {
        return Ok(());
    }
    db.execute_raw(append(db.get_database_backend(), key, true))
        .await
        .map(|_| ())
}

pub(crate) fn append(backend: DbBackend, key: &ChangeKey, refresh: bool) -> Statement {
    statement(backend, APPEND, [key.to_string().into(), false.into(), refresh.into()])
}

/// The key of a hook's own statement; `None` for any other statement.
pub(crate) fn recognise(statement: &Statement) -> Option<ChangeKey> {
    if statement.sql != APPEND && statement.sql != APPEND_MARIADB {
        return None;
    }
    match statement.values.as_ref()?.0.first()? {
        Value::String(Some(key)) => Some(ChangeKey::read(key)),
        _ => None,
    }
}

/// An insert of no rows.
pub(crate) fn nothing(backend: DbBackend) -> Statement {
    statement(
        backend,
        "INSERT INTO identity_outbox (key) SELECT key FROM identity_outbox WHERE 1 = 0",
        [],
    )
}
