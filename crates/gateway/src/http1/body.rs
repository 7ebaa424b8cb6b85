//! The bodies of a request and of its answer, as their connection sees them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    body::{BodySize, MessageBody},
    dev::Payload,
    error::PayloadError,
    web::Bytes,
};
use futures_util::Stream;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::state::Connection;

/// How slowly a client may send the body of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadLimits {
    /// The bytes a second that it has to send while it is waited for; 0: any pace.
    pub(crate) bytes_per_second: u32,
    /// How far it may fall behind that.
    pub(crate) grace: Duration,
    /// How long a body may take in all; zero: any time.
    pub(crate) total: Duration,
}

/// The time that a client has left: what it waits for is taken from it, what it sends is added to it.
#[derive(Debug)]
struct Credit {
    limits: UploadLimits,
    left: Duration,
}

impl Credit {
    fn new(limits: UploadLimits) -> Self {
        Self {
            left: limits.grace,
            limits,
        }
    }

    fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }

    /// Never more than the grace, so that many bytes at once buy no long silence.
    fn earn(&mut self, bytes: usize) {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000);
        if let Some(earned) = nanos.checked_div(u64::from(self.limits.bytes_per_second)) {
            self.left = (self.left + Duration::from_nanos(earned)).min(self.limits.grace);
        }
    }
}

/// The body of a request, within [`UploadLimits`].
pub(super) struct LimitedBody {
    body: Payload,
    connection: Option<Connection>,
    credit: Credit,
    began: Instant,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

impl LimitedBody {
    pub(super) fn new(body: Payload, connection: Option<Connection>, limits: UploadLimits) -> Self {
        Self {
            body,
            connection,
            credit: Credit::new(limits),
            began: Instant::now(),
            waiting_since: None,
            timer: None,
            is_over: false,
        }
    }

    /// When a wait that began then is too long; `None`: never.
    fn deadline(&self, since: Instant) -> Option<Instant> {
        let limits = self.credit.limits;
        let behind = (limits.bytes_per_second > 0).then(|| since + self.credit.left);
        let end = (!limits.total.is_zero()).then(|| self.began + limits.total);
        behind.into_iter().chain(end).min()
    }

    fn fail(&mut self, error: PayloadError) -> Poll<Option<Result<Bytes, PayloadError>>> {
        self.is_over = true;
        self.timer = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl Stream for LimitedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let too_slow = || PayloadError::Io(io::ErrorKind::TimedOut.into());
        let total = this.credit.limits.total;
        if let Poll::Ready(piece) = Pin::new(&mut this.body).poll_next(cx) {
            if let Some(since) = this.waiting_since.take() {
                this.credit.spend(since.elapsed());
            }
            if let Some(Ok(bytes)) = &piece {
                this.credit.earn(bytes.len());
                if !total.is_zero() && this.began.elapsed() > total {
                    return this.fail(too_slow());
                }
            }
            return Poll::Ready(piece);
        }
        if let Some(connection) = &this.connection
            && connection.read_body(cx.waker())
        {
            return this.fail(PayloadError::EncodingCorrupted);
        }
        let since = *this.waiting_since.get_or_insert_with(Instant::now);
        let Some(deadline) = this.deadline(since) else {
            return Poll::Pending;
        };
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => this.fail(too_slow()),
            Poll::Pending => Poll::Pending,
        }
    }
}

pin_project! {
    /// The body of an answer. With its last byte, or when it is dropped, the answer is written.
    pub(crate) struct AnswerBody<B> {
        #[pin]
        body: B,
        connection: Option<Connection>,
    }

    impl<B> PinnedDrop for AnswerBody<B> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(connection) = this.project().connection {
                connection.answered();
            }
        }
    }
}

impl<B> AnswerBody<B> {
    pub(super) fn new(body: B, connection: Option<Connection>) -> Self {
        Self { body, connection }
    }
}

impl<B: MessageBody> MessageBody for AnswerBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().body.poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_lives_on_what_it_sends_and_saves_no_more_than_the_grace() {
        let limits = UploadLimits {
            bytes_per_second: 100,
            grace: Duration::from_secs(10),
            total: Duration::ZERO,
        };
        let mut credit = Credit::new(limits);
        credit.earn(1_000_000);
        assert_eq!(credit.left, limits.grace);
        credit.spend(Duration::from_secs(4));
        credit.earn(200);
        assert_eq!(credit.left, Duration::from_secs(8));
        credit.spend(Duration::from_secs(9));
        assert_eq!(credit.left, Duration::ZERO);
        let mut free = Credit::new(UploadLimits {
            bytes_per_second: 0,
            ..limits
        });
        free.earn(5);
        assert_eq!(free.left, limits.grace);
    }
}
