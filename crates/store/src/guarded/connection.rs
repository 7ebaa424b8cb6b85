use std::{future::Future, pin::Pin};

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, QueryStream,
    SqliteTransactionMode, Statement, StatementBuilder, StreamTrait, TransactionOptions, TransactionSession,
};

use super::{GuardedTransaction, only_reads, refuse_streamed_write};
use crate::{hooks, node::Node};

/// The connection pool, guarded: what is written through it is in force when the call returns. Cheap to clone.
#[derive(Clone)]
pub struct GuardedConnection {
    pub(crate) node: Node,
}

impl std::fmt::Debug for GuardedConnection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("GuardedConnection")
    }
}

impl GuardedConnection {
    /// The connection below. A change of rights written through it takes effect within Δ instead of at return, and hooks refuse it.
    #[must_use = "writing through the connection below gives up that changes of rights are in force at return"]
    pub fn unguarded(&self) -> &DatabaseConnection {
        self.node.db().inner()
    }

    /// Begins a transaction.
    pub(super) async fn open(&self, options: TransactionOptions) -> Result<GuardedTransaction, DbErr> {
        GuardedTransaction::outermost(&self.node, options).await
    }

    /// Runs one write as a transaction of its own.
    async fn write<T, F>(&self, run: F) -> Result<T, DbErr>
    where
        F: for<'c> FnOnce(&'c GuardedTransaction) -> Pin<Box<dyn Future<Output = Result<T, DbErr>> + Send + 'c>>,
    {
        let transaction = self.open(TransactionOptions::default()).await?;
        match run(&transaction).await {
            Ok(value) => transaction.commit().await.map(|()| value),
            Err(error) => {
                // The first error is the one to tell; a transaction that cannot be rolled back is closed with its connection.
                let _rolled_back = transaction.rollback().await;
                Err(error)
            }
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for GuardedConnection {
    fn get_database_backend(&self) -> DbBackend {
        self.node.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        if let Some(key) = hooks::recognise(&statement) {
            self.node.refresh_soon(&key).await;
            // The answer of an INSERT of no rows: nothing was appended, since the write itself was numbered already.
            return self.node.db().execute_raw(hooks::nothing(self.node.backend())).await;
        }
        self.write(|transaction| Box::pin(async move { transaction.execute_raw(statement).await }))
            .await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql = sql.to_owned();
        self.write(|transaction| Box::pin(async move { transaction.execute_unprepared(&sql).await }))
            .await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.write(|transaction| Box::pin(async move { transaction.query_one_raw(statement).await }))
            .await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.write(|transaction| Box::pin(async move { transaction.query_all_raw(statement).await }))
            .await
    }

    async fn query_one<S: StatementBuilder>(&self, statement: &S) -> Result<Option<QueryResult>, DbErr> {
        let built = self.node.backend().build(statement);
        if only_reads::<S>(&built) {
            self.node.db().query_one_raw(built).await
        } else {
            self.query_one_raw(built).await
        }
    }

    async fn query_all<S: StatementBuilder>(&self, statement: &S) -> Result<Vec<QueryResult>, DbErr> {
        let built = self.node.backend().build(statement);
        if only_reads::<S>(&built) {
            self.node.db().query_all_raw(built).await
        } else {
            self.query_all_raw(built).await
        }
    }

    fn support_returning(&self) -> bool {
        self.node.db().support_returning()
    }
}

impl StreamTrait for GuardedConnection {
    type Stream<'a> = QueryStream;

    fn get_database_backend(&self) -> DbBackend {
        self.node.backend()
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<QueryStream, DbErr>> + 'a + Send>> {
        Box::pin(async move {
            refuse_streamed_write(&statement)?;
            self.node.db().stream_raw(statement).await
        })
    }
}

/// A transaction that may write takes SQLite's writer lock at its beginning: one that began as a reader would fail when it first writes.
pub(super) fn with_writer_lock(mut options: TransactionOptions) -> TransactionOptions {
    if options.access_mode != Some(AccessMode::ReadOnly) && options.sqlite_transaction_mode.is_none() {
        options.sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
    }
    options
}

begins_transactions!(GuardedConnection);
