//! What is sent to an upstream: the head, then the client's body as it comes, framed anew.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    dev::Payload,
    error::PayloadError,
    web::{Buf, BytesMut},
};
use futures_util::Stream;
use tokio::io::AsyncWrite;

use super::{error::ProxyError, stream::Stream as Server};

/// How much is gathered before it is written; a client that sends faster than the upstream reads is held back beyond this.
const GATHER: usize = 64 * 1024;

/// How the upstream learns where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// So many bytes are left to come.
    Length(u64),
    /// In chunks (RFC 9112 section 7.1).
    Chunked,
    /// Bytes of a tunnel: they end when the client closes, which closes this side too.
    Raw,
}

/// The sending half of an exchange.
pub(super) struct Upload {
    head: BytesMut,
    gathered: BytesMut,
    body: Option<(Payload, BodyFraming)>,
    closes: bool,
    /// How many bytes were written, to see whether anything moves.
    pub(super) written: u64,
    /// Whether nothing can be sent until the client sends more.
    pub(super) waits_for_client: bool,
    /// The upstream takes no more. It may have answered nevertheless, so this is no error yet.
    pub(super) broken: Option<io::Error>,
}

impl Upload {
    pub(super) fn new(head: BytesMut, body: Option<(Payload, BodyFraming)>) -> Self {
        let mut upload = Self {
            head,
            gathered: BytesMut::new(),
            body,
            closes: false,
            written: 0,
            waits_for_client: false,
            broken: None,
        };
        if upload.body.is_some() {
            // Head and first piece of the body leave in one packet where they can.
            upload.gathered.extend_from_slice(&upload.head);
            upload.head.clear();
        }
        upload
    }

    /// Turns a finished upload into the client's half of a tunnel.
    pub(super) fn tunnel(&mut self, payload: Payload) {
        self.body = Some((payload, BodyFraming::Raw));
        self.closes = true;
    }

    /// The buffer of the head, for another one.
    pub(super) fn into_buffer(self) -> BytesMut {
        self.head
    }

    /// Whether all was sent.
    pub(super) fn is_done(&self) -> bool {
        self.body.is_none() && self.head.is_empty() && self.gathered.is_empty() && !self.closes && self.broken.is_none()
    }

    /// Sends what can be sent now. Ready when all is sent, or when the upstream takes no more.
    ///
    /// # Errors
    /// [`ProxyError::ClientBody`]: then the upstream has half a request and the connection must be closed.
    pub(super) fn poll(&mut self, stream: &mut Server, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        if self.broken.is_some() {
            return Poll::Ready(Ok(()));
        }
        loop {
            self.gather(cx)?;
            let is_head = !self.head.is_empty();
            let waiting: &[u8] = if is_head { &self.head } else { &self.gathered };
            if waiting.is_empty() {
                // TLS may hold back what it was given.
                match Pin::new(&mut *stream).poll_flush(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return self.breaks(error),
                    Poll::Ready(Ok(())) => {}
                }
                if self.body.is_some() {
                    return Poll::Pending;
                }
                if self.closes {
                    let closed = ready!(Pin::new(&mut *stream).poll_shutdown(cx));
                    self.closes = false;
                    self.broken = closed.err();
                }
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut *stream).poll_write(cx, waiting)) {
                Ok(count) if count > 0 => {
                    self.written += count as u64;
                    if is_head {
                        self.head.advance(count);
                    } else {
                        self.gathered.advance(count);
                    }
                }
                Ok(_) => return self.breaks(io::ErrorKind::WriteZero.into()),
                Err(error) => return self.breaks(error),
            }
        }
    }

    fn breaks(&mut self, error: io::Error) -> Poll<Result<(), ProxyError>> {
        self.broken = Some(error);
        self.body = None;
        self.gathered = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Takes what the client has sent.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<(), ProxyError> {
        self.waits_for_client = false;
        while let Some((payload, framing)) = &mut self.body {
            if self.gathered.len() >= GATHER {
                return Ok(());
            }
            match Pin::new(payload).poll_next(cx) {
                Poll::Pending => {
                    self.waits_for_client = self.gathered.is_empty();
                    return Ok(());
                }
                Poll::Ready(Some(Ok(piece))) => framing.frame(&piece, &mut self.gathered)?,
                Poll::Ready(Some(Err(_))) if *framing == BodyFraming::Raw => self.body = None,
                Poll::Ready(Some(Err(PayloadError::Io(error)))) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(ProxyError::ClientTooSlow);
                }
                Poll::Ready(Some(Err(error))) => return Err(ProxyError::ClientBody(error.to_string())),
                Poll::Ready(None) => {
                    framing.end(&mut self.gathered)?;
                    self.body = None;
                }
            }
        }
        Ok(())
    }
}

impl BodyFraming {
    fn frame(&mut self, piece: &[u8], out: &mut BytesMut) -> Result<(), ProxyError> {
        match self {
            // An empty chunk would end the body.
            _ if piece.is_empty() => {}
            Self::Length(left) => {
                let rest = left.checked_sub(piece.len() as u64);
                *left = rest.ok_or_else(|| ProxyError::ClientBody("it is longer than it said".to_owned()))?;
                out.extend_from_slice(piece);
            }
            Self::Chunked => {
                out.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            Self::Raw => out.extend_from_slice(piece),
        }
        Ok(())
    }

    fn end(self, out: &mut BytesMut) -> Result<(), ProxyError> {
        match self {
            Self::Length(0) | Self::Raw => Ok(()),
            Self::Length(_) => Err(ProxyError::ClientBody("it is shorter than it said".to_owned())),
            Self::Chunked => {
                out.extend_from_slice(b"0\r\n\r\n");
                Ok(())
            }
        }
    }
}
