//! One request and its answer on one connection, both ways at once: the answer is given on while the request is still being sent.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix_web::{
    body::{BodySize, MessageBody},
    http::{Method, StatusCode},
    web::Bytes,
};
use bekci_core::Clock;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use super::{
    answer::{self, Framing, Head},
    chunks::{Decoder, Piece},
    error::ProxyError,
    pool::{self, Connection},
    upload::Upload,
    upstream::Target,
};

/// How much is read at once while a head or a small body is awaited: most answers fit, and an idle stream holds no more.
const READ: usize = 4 * 1024;
/// How much is read at once of a larger body.
const READ_LARGE: usize = 32 * 1024;
/// A buffer of so many bytes is not kept for the next head.
const LONG_HEAD: usize = 8 * 1024;
/// How many interim answers (1xx) may come before the answer.
const MAX_INTERIM: u8 = 16;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The connection closed before a byte of the answer: a server may have closed it as idle just when the request was sent (RFC 9112 section 9.3.1).
    Closed(io::Error),
    /// Anything else.
    Failed(ProxyError),
}

impl From<ProxyError> for NoAnswer {
    fn from(error: ProxyError) -> Self {
        Self::Failed(error)
    }
}

/// A request on its way.
pub(super) struct Exchange {
    connection: Connection,
    pub(super) upload: Upload,
    interim: u8,
    answered: bool,
}

impl Exchange {
    pub(super) fn new(connection: Connection, upload: Upload) -> Self {
        Self {
            connection,
            upload,
            interim: 0,
            answered: false,
        }
    }

    /// Sends, and reads until the head of the answer is there.
    pub(super) fn poll_head(&mut self, method: &Method, cx: &mut Context<'_>) -> Poll<Result<Head, NoAnswer>> {
        let _ = self.upload.poll(&mut self.connection.stream, cx)?;
        loop {
            if let Some(head) = answer::take(&mut self.connection.input, method)? {
                if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    return Poll::Ready(Err(ProxyError::BadAnswer("it has too many interim answers").into()));
                }
                continue;
            }
            let read = ready!(self.connection.poll_read(READ, cx));
            match read {
                Ok(count) if count > 0 => self.answered = true,
                Ok(_) => return Poll::Ready(Err(self.closed(io::ErrorKind::UnexpectedEof.into()))),
                Err(error) => return Poll::Ready(Err(self.closed(error))),
            }
        }
    }

    /// Ready when this deadline has passed.
    pub(super) fn poll_deadline(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.poll_deadline(deadline, cx)
    }

    fn closed(&mut self, error: io::Error) -> NoAnswer {
        if self.answered {
            NoAnswer::Failed(ProxyError::BadAnswer("its head ends early"))
        } else {
            NoAnswer::Closed(self.upload.broken.take().unwrap_or(error))
        }
    }

    /// The body that follows the head.
    pub(super) fn into_body(self, head: &Head, target: &Arc<Target>, clock: &Arc<dyn Clock>) -> AnswerBody {
        let size = match (head.framing, head.length) {
            // Where an answer never has a body its length is not told either; only HEAD tells what GET would give.
            (Framing::None, _) if head.status == StatusCode::SWITCHING_PROTOCOLS => BodySize::Stream,
            (Framing::None, Some(length)) if !head.status_has_no_body() => BodySize::Sized(length),
            (Framing::None, _) => BodySize::None,
            (Framing::Length(length), _) => BodySize::Sized(length),
            (Framing::Chunked | Framing::UntilClose, _) => BodySize::Stream,
        };
        AnswerBody {
            size,
            decoder: Decoder::new(head.framing),
            keeps_alive: head.keeps_alive,
            exchange: Some(self),
            target: Arc::clone(target),
            clock: Arc::clone(clock),
        }
    }

    /// The two halves of a tunnel, once the upstream has switched protocols.
    pub(super) fn into_tunnel(self, head: &Head, target: &Arc<Target>, clock: &Arc<dyn Clock>) -> AnswerBody {
        AnswerBody {
            decoder: Decoder::UntilClose,
            keeps_alive: false,
            ..self.into_body(head, target, clock)
        }
    }
}

impl Connection {
    /// Reads some bytes. tokio notes where a read emptied the socket, so that the look for a closed connection before the next request costs no system call.
    fn poll_read(&mut self, size: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(size);
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input)
    }
}

/// The body of an answer, read from the upstream as the client takes it. Dropped before its end, it closes the connection, which cancels the request.
pub(super) struct AnswerBody {
    size: BodySize,
    decoder: Decoder,
    keeps_alive: bool,
    /// `None` once the body has ended.
    exchange: Option<Exchange>,
    target: Arc<Target>,
    clock: Arc<dyn Clock>,
}

impl AnswerBody {
    /// Gives the connection back if nothing follows the head.
    pub(super) fn settle(&mut self) {
        if matches!(self.decoder, Decoder::Length(0)) {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let Some(Exchange {
            mut connection, upload, ..
        }) = self.exchange.take()
        else {
            return;
        };
        if self.keeps_alive && upload.is_done() {
            let mut buffer = upload.into_buffer();
            // A client's long head is no reason to hold as much from now on.
            if !buffer.try_reclaim(LONG_HEAD) {
                connection.head = buffer;
            }
            pool::keep(&self.target, connection, self.clock.uptime());
        }
    }
}

impl MessageBody for AnswerBody {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        loop {
            let Some(exchange) = &mut this.exchange else {
                return Poll::Ready(None);
            };
            let _ = exchange.upload.poll(&mut exchange.connection.stream, cx)?;
            match this.decoder.take(&mut exchange.connection.input)? {
                Piece::Data(data) => return Poll::Ready(Some(Ok(data))),
                Piece::End => {
                    this.finish();
                    return Poll::Ready(None);
                }
                Piece::More => {}
            }
            let size = if this.decoder.awaits_more_than(READ) {
                READ_LARGE
            } else {
                READ
            };
            match ready!(exchange.connection.poll_read(size, cx)) {
                Ok(0) if this.decoder.may_end_by_close() => this.exchange = None,
                Ok(0) => {
                    this.exchange = None;
                    return Poll::Ready(Some(Err("the upstream's answer ends early".into())));
                }
                Ok(_) => {}
                Err(error) => {
                    this.exchange = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
    }
}
