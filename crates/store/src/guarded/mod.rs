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

/// Implements `TransactionTrait` over `open`, which begins a transaction or a savepoint.
macro_rules! begins_transactions {
    ($type:ident) => {
        #[async_trait::async_trait]
        impl sea_orm::TransactionTrait for $type {
            type Transaction = crate::guarded::GuardedTransaction;

            async fn begin(&self) -> Result<crate::guarded::GuardedTransaction, sea_orm::DbErr> {
                self.open(sea_orm::TransactionOptions::default()).await
            }

            async fn begin_with_config(
                &self,
                isolation_level: Option<sea_orm::IsolationLevel>,
                access_mode: Option<sea_orm::AccessMode>,
            ) -> Result<crate::guarded::GuardedTransaction, sea_orm::DbErr> {
                self.open(sea_orm::TransactionOptions {
                    isolation_level,
                    access_mode,
                    sqlite_transaction_mode: None,
                })
                .await
            }

            async fn begin_with_options(
                &self,
                options: sea_orm::TransactionOptions,
            ) -> Result<crate::guarded::GuardedTransaction, sea_orm::DbErr> {
                self.open(options).await
            }

            async fn transaction<F, T, E>(&self, callback: F) -> Result<T, sea_orm::TransactionError<E>>
            where
                F: for<'c> FnOnce(
                        &'c crate::guarded::GuardedTransaction,
                    ) -> std::pin::Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
                    + Send,
                T: Send,
                E: std::fmt::Display + std::fmt::Debug + Send,
            {
                self.transaction_with_config(callback, None, None).await
            }

            async fn transaction_with_config<F, T, E>(
                &self,
                callback: F,
                isolation_level: Option<sea_orm::IsolationLevel>,
                access_mode: Option<sea_orm::AccessMode>,
            ) -> Result<T, sea_orm::TransactionError<E>>
            where
                F: for<'c> FnOnce(
                        &'c crate::guarded::GuardedTransaction,
                    ) -> std::pin::Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
                    + Send,
                T: Send,
                E: std::fmt::Display + std::fmt::Debug + Send,
            {
                let transaction = self
                    .begin_with_config(isolation_level, access_mode)
                    .await
                    .map_err(sea_orm::TransactionError::Connection)?;
                transaction.finish(callback).await
            }
        }
    };
}

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
