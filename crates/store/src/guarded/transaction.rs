use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement, StatementBuilder,
    StreamTrait, TransactionError, TransactionOptions, TransactionSession, TransactionStream,
};

use super::{connection::with_writer_lock, refuse_streamed_write};
use crate::{
    coherence::SqlChange,
    commit::{Barrier, CommitError, Committed, commit},
    link::Linked,
    node::Node,
    sql::{ends_transaction, writing, writing_begins},
};

/// A transaction of the guarded connection. What it changes of rights is in force when its outermost commit returns, and nobody sees any of it after a rollback.
pub struct GuardedTransaction {
    inner: Linked<DatabaseTransaction>,
    node: Node,
    outermost: bool,
    /// MariaDB has rolled it back: no further statement runs in it, and it cannot be committed.
    is_ended: Arc<AtomicBool>,
}

impl std::fmt::Debug for GuardedTransaction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("GuardedTransaction")
    }
}

impl GuardedTransaction {
    pub(super) async fn outermost(node: &Node, options: TransactionOptions) -> Result<Self, DbErr> {
        let inner = node
            .db()
            .begin_with_options(writing(node.backend(), with_writer_lock(options)))
            .await?;
        writing_begins(&inner).await?;
        Ok(Self {
            inner,
            node: node.clone(),
            outermost: true,
            is_ended: Arc::default(),
        })
    }

    /// Begins a savepoint.
    pub(super) async fn open(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        self.must_go_on()?;
        let inner = self.inner.begin_with_options(options).await?;
        Ok(Self {
            inner,
            node: self.node.clone(),
            outermost: false,
            is_ended: Arc::clone(&self.is_ended),
        })
    }

    fn must_go_on(&self) -> Result<(), DbErr> {
        if self.is_ended.load(Ordering::Acquire) {
            return Err(DbErr::Custom(
                "bekci: the database has rolled this transaction back, after a deadlock or a lock wait timeout: begin it again".to_owned(),
            ));
        }
        Ok(())
    }

    /// Runs a statement, and remembers whether the transaction ended with it.
    async fn run<T>(&self, statement: impl Future<Output = Result<T, DbErr>> + Send) -> Result<T, DbErr> {
        self.must_go_on()?;
        let answer = statement.await;
        if answer.as_ref().is_err_and(ends_transaction) {
            self.is_ended.store(true, Ordering::Release);
        }
        answer
    }

    /// Commits, and tells what came of it. [`Barrier::Always`] waits for the other nodes also where this transaction changed no rights, so
    /// that a retry after a lost answer is as good as the first try. A nested transaction only gives its changes to the outer one.
    ///
    /// # Errors
    /// [`CommitError::NotCommitted`]: nothing was changed. [`CommitError::Unknown`]: it cannot be told; a retry is safe.
    pub async fn commit_with(self, barrier: Barrier) -> Result<Committed, CommitError> {
        if let Err(ended) = self.must_go_on() {
            let _rolled_back = self.inner.rollback().await;
            return Err(CommitError::NotCommitted(ended));
        }
        if !self.outermost {
            return self
                .inner
                .commit()
                .await
                .map(|()| Committed::nothing())
                .map_err(CommitError::NotCommitted);
        }
        commit(self.node, Box::new(SqlChange::new(self.inner)), barrier).await
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
        self.run(self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.run(self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.run(self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.run(self.inner.query_all_raw(statement)).await
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
            self.must_go_on()?;
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
