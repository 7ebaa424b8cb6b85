//! A timer that is kept.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Tells when a deadline has passed. One serves all waits of a connection: a timer costs more to make and to remove than to leave. It is left as it is while waits come and go,
/// fires at an old deadline, and is set to the one that counts then.
#[derive(Debug, Default)]
pub(crate) struct KeptTimer(Option<Pin<Box<Sleep>>>);

impl KeptTimer {
    /// Ready when this deadline has passed.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() == deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}
