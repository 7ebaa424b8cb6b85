//! How long a client may take nothing of what is sent to it.

use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use crate::timer::KeptTimer;

/// The time between two writes that a client takes, as `send_timeout` of nginx.
#[derive(Debug)]
pub(super) struct SendTimer {
    /// Zero: any time.
    timeout: Duration,
    waiting_since: Option<Instant>,
    timer: KeptTimer,
}

impl SendTimer {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            waiting_since: None,
            timer: KeptTimer::default(),
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
        ready!(self.timer.poll(deadline, cx));
        let seconds = self.timeout.as_secs();
        tracing::info!(
            event = "client.send_timeout",
            seconds,
            "a client took nothing of an answer in time"
        );
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}
