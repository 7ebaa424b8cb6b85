//! Waiting and tasks, as a port.

use std::{pin::pin, time::Duration};

use bekci_core::BoxFuture;
use futures_util::future::{Either, select};

/// What runs the protocol's tasks and wakes them.
pub(crate) trait Runtime: Send + Sync + std::fmt::Debug {
    /// Completes after this time.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;

    /// Runs a task to its end, also if the caller goes away.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs work that may block its thread.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);
}

/// The tokio runtime that the caller runs in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokioRuntime;

impl Runtime for TokioRuntime {
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(work);
    }
}

/// The future's output, or `None` after this time. The future is dropped then.
pub(crate) async fn within<T>(runtime: &dyn Runtime, time: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), runtime.sleep(time)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}
