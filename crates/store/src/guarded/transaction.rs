use std::{future::Future, pin::Pin};

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement, StatementBuilder,
    StreamTrait, TransactionError, TransactionOptions, TransactionSession, TransactionStream, TransactionTrait,
};

use super::{connection::with_writer_lock, refuse_streamed_write};
use crate::{
    coherence::SqlChange,
    commit::{Barrier, CommitError, Committed, commit},
    node::Node,
};

/// A transaction of the guarded connection. What it changes of rights is in force when its outermost commit returns, and nobody sees any of it after a rollback.
pub struct GuardedTransaction {
    inner: DatabaseTransaction,
    node: Node,
    outermost: bool,
}

impl std::fmt::Debug for GuardedTransaction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("GuardedTransaction")
    }
}

impl GuardedTransaction {
    pub(super) async fn outermost(node: &Node, options: TransactionOptions) -> Result<Self, DbErr> {
        let inner = node.db().begin_with_options(with_writer_lock(options)).await?;
        Ok(Self {
            inner,
            node: node.clone(),
            outermost: true,
        })
    }

    /// Begins a savepoint.
    pub(super) async fn open(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        let inner = self.inner.begin_with_options(options).await?;
        Ok(Self {
            inner,
            node: self.node.clone(),
            outermost: false,
        })
    }

    /// Commits, and tells what came of it. [`Barrier::Always`] waits for the other nodes also where this transaction changed no rights, so
    /// that a retry after a lost answer is as good as the first try. A nested transaction only gives its changes to the outer one.
    ///
    /// # Errors
    /// [`CommitError::NotCommitted`]: nothing was changed. [`CommitError::Unknown`]: it cannot be told; a retry is safe.
    pub async fn commit_with(self, barrier: Barrier) -> Result<Committed, CommitError> {
        if !self.outermost {
            return self
                .inner
                .commit()
                .await
                .map(|()| Committed::nothing())
                .map_err(CommitError::NotCommitted);
        }
        commit(self.node, Box::new(SqlChange(self.inner)), barrier).await
    }

    pub(super) async fn finish<F, T, E>(self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c GuardedTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        match callback(&self).await {
            Ok(value) => self
                .commit()
                .await
                .map(|()| value)
                .map_err(TransactionError::Connection),
            Err(error) => {
                self.rollback().await.map_err(TransactionError::Connection)?;
                Err(TransactionError::Transaction(error))
            }
        }
    }
}

#[async_trait::async_trait]
impl TransactionSession for GuardedTransaction {
    async fn commit(self) -> Result<(), DbErr> {
        let committed = self.commit_with(Barrier::Auto).await?;
        committed.confirmed().map_err(DbErr::from)
    }

    async fn rollback(self) -> Result<(), DbErr> {
        self.inner.rollback().await
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for GuardedTransaction {
    fn get_database_backend(&self) -> DbBackend {
        self.node.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.inner.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.inner.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.inner.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.inner.query_all_raw(statement).await
    }

    fn support_returning(&self) -> bool {
        self.inner.support_returning()
    }
}

impl StreamTrait for GuardedTransaction {
    type Stream<'a> = TransactionStream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        self.node.backend()
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<TransactionStream<'a>, DbErr>> + 'a + Send>> {
        Box::pin(async move {
            refuse_streamed_write(&statement)?;
            self.inner.stream_raw(statement).await
        })
    }

    fn stream<'a, S: StatementBuilder + Sync>(
        &'a self,
        statement: &S,
    ) -> Pin<Box<dyn Future<Output = Result<TransactionStream<'a>, DbErr>> + 'a + Send>> {
        self.stream_raw(self.node.backend().build(statement))
    }
}

begins_transactions!(GuardedTransaction);
