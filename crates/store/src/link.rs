//! Whether the database answers at all, and when a wait for it ends.
//!
//! A link that is half open takes statements and answers none, and there is no error. The node loop sends statements all the time, so it notices: where one of them has no answer within its bound, and no
//! other statement has one either, the database is *silent*. Then every statement that a request waits for ends with an error. One that begins later has a moment for a try; the first answer ends the silence.
//! So a long statement of a database that answers takes as long as it takes, and no request waits for one that does not. The connection of a statement that ended so is of no use:
//! the pool of [`connect`](crate::connect()) tests it when it comes back, and closes it.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{Either, select};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, QueryStream,
    Statement, StreamTrait, TransactionOptions, TransactionStream, TransactionTrait,
};
use tokio::sync::watch;

use crate::{coherence::Runtime, sql::answered};

/// What a statement is given while the database is silent: enough for a new connection.
const A_TRY: Duration = Duration::from_millis(400);

/// Whether the database answers.
#[derive(Debug)]
pub(crate) struct Link {
    silent: watch::Sender<bool>,
    /// How many answers there were.
    answers: AtomicU64,
    runtime: Arc<dyn Runtime>,
}

impl Link {
    pub(crate) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self {
            silent: watch::Sender::new(false),
            answers: AtomicU64::new(0),
            runtime,
        }
    }

    /// How many answers there were until now.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Notes that there was an answer.
    pub(crate) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        if *self.silent.borrow() {
            self.silent.send_replace(false);
        }
    }

    /// Notes that there was none in time.
    pub(crate) fn silent(&self) {
        if !self.silent.send_replace(true) {
            tracing::warn!("the database does not answer: requests that wait for it get an error");
        }
    }

    /// Completes when the database is silent, and has not answered for a moment.
    pub(crate) async fn lost(&self) {
        let mut silent = self.silent.subscribe();
        let begins_silent = *silent.borrow_and_update();
        if begins_silent {
            self.runtime.sleep(A_TRY).await;
        }
        // The sender is here, so that this never ends by itself.
        let _silent = silent.wait_for(|silent| *silent).await;
    }

    /// A statement's answer, or an error where the link is lost first.
    async fn answer<T>(&self, statement: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        let answer = self.until_lost(statement).await;
        self.heard(&answer);
        answer
    }

    /// Notes an answer, if it is one of the database: an error of the driver or the pool says nothing about it.
    pub(crate) fn heard<T>(&self, answer: &Result<T, DbErr>) {
        if answer.as_ref().map_or_else(answered, |_| true) {
            self.answered();
        }
    }

    /// The same for what may complete before the database has answered, as a stream of rows that nothing was read of.
    async fn until_lost<T>(&self, statement: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        match select(pin!(statement), pin!(self.lost())).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(no_answer()),
        }
    }
}

pub(crate) fn no_answer() -> DbErr {
    DbErr::Custom("bekci: the database does not answer".to_owned())
}

/// A pool or a transaction whose statements are given up when the link is lost.
#[derive(Clone)]
pub(crate) struct Linked<C> {
    inner: C,
    link: Arc<Link>,
}

impl<C> std::fmt::Debug for Linked<C> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Linked").finish_non_exhaustive()
    }
}

impl<C> Linked<C> {
    pub(crate) fn new(inner: C, link: Arc<Link>) -> Self {
        Self { inner, link }
    }

    /// What is below, whose statements wait for as long as they wait.
    pub(crate) fn inner(&self) -> &C {
        &self.inner
    }
}

impl<C: TransactionTrait<Transaction = DatabaseTransaction>> Linked<C> {
    pub(crate) async fn begin_with_options(
        &self,
        options: TransactionOptions,
    ) -> Result<Linked<DatabaseTransaction>, DbErr> {
        let begun = self.link.answer(self.inner.begin_with_options(options)).await?;
        Ok(Linked::new(begun, Arc::clone(&self.link)))
    }
}

impl Linked<DatabaseConnection> {
    pub(crate) async fn stream_raw(&self, statement: Statement) -> Result<QueryStream, DbErr> {
        self.link.until_lost(self.inner.stream_raw(statement)).await
    }
}

impl Linked<DatabaseTransaction> {
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        self.link.answer(self.inner.commit()).await
    }

    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        self.link.answer(self.inner.rollback()).await
    }

    pub(crate) fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<TransactionStream<'a>, DbErr>> + 'a + Send>> {
        Box::pin(self.link.until_lost(self.inner.stream_raw(statement)))
    }
}

#[async_trait::async_trait]
impl<C: ConnectionTrait + Send + Sync> ConnectionTrait for Linked<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.link.answer(self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.link.answer(self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.link.answer(self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.link.answer(self.inner.query_all_raw(statement)).await
    }

    fn support_returning(&self) -> bool {
        self.inner.support_returning()
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::RuntimeErr;

    use super::*;
    use crate::coherence::TokioRuntime;

    fn is_silent(link: &Link) -> bool {
        *link.silent.borrow()
    }

    #[test]
    fn an_error_of_the_driver_does_not_end_the_silence_and_an_answer_does() {
        let link = Link::new(Arc::new(TokioRuntime));
        link.silent();
        let acquire = RuntimeErr::SqlxError(Arc::new(sqlx::Error::PoolTimedOut));
        for error in [DbErr::Conn(acquire), no_answer(), DbErr::RecordNotFound(String::new())] {
            link.heard::<()>(&Err(error));
            assert!(is_silent(&link));
        }
        link.heard(&Ok(()));
        assert!(!is_silent(&link));
        assert_eq!(link.answers(), 1);
    }
}
