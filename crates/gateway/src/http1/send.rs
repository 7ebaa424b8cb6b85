//! How long a client may take nothing of what is sent to it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// The time between two writes that a client takes, as `send_timeout` of nginx.
#[derive(Debug)]
pub(super) struct SendTimer {
    /// Zero: any time.
    timeout: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl SendTimer {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            waiting_since: None,
            timer: None,
        }
    }

    /// Gives what a write came to. A write that has waited for the client for too long fails with [`io::ErrorKind::TimedOut`].
    pub(super) fn bound<W>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<W>>) -> Poll<io::Result<W>> {
        if written.is_ready() || self.timeout.is_zero() {
            self.waiting_since = None;
            return written;
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let deadline = since + self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                let seconds = self.timeout.as_secs();
                tracing::info!(
                    event = "client.send_timeout",
                    seconds,
                    "a client took nothing of an answer in time"
                );
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            // It was set for a wait that has ended. So a large answer, with many short waits, sets it seldom.
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
