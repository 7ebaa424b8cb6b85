//! The connection through which an application writes: it sees each statement, and it owns the commit.
//!
//! Why it is right: a change of rights is in force when the call returns, only if nothing can reach COMMIT without its keys being numbered first. So a write outside a
//! transaction is run as one, the outermost commit goes through [`commit`](crate::commit), and there is no way to the connection below but
//! [`GuardedConnection::unguarded`], which says what it gives up.
//!
//! - Whether a statement is a read is told by its type, not by its text: a `SelectStatement` without a `WITH` is one, all else counts as a write. Raw SQL always does:
//!   a `SELECT` can call a function that writes.
//! - The hook's own outbox statement is recognised by its text. Outside a transaction the statement that it belongs to has been committed and numbered by then, so
//!   that it only asks for the refresh.

mod connection;
mod transaction;

use sea_orm::{DbErr, Statement, StatementBuilder};

pub use connection::GuardedConnection;
pub use transaction::GuardedTransaction;

/// Whether a built statement only reads.
fn only_reads<S: StatementBuilder>(statement: &Statement) -> bool {
    std::any::type_name::<S>().ends_with("::SelectStatement")
        && statement.sql.trim_start_matches('(').starts_with("SELECT")
}

/// Streams are for reading; a streamed write could not be committed by anybody.
fn refuse_streamed_write(statement: &Statement) -> Result<(), DbErr> {
    if statement.sql.trim_start_matches('(').starts_with("SELECT") {
        Ok(())
    } else {
        Err(DbErr::Custom(
            "bekci: only a SELECT can be streamed through the guarded connection; use execute or query for writes"
                .to_owned(),
        ))
    }
}
