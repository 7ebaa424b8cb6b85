//! A connection that gives actix-http one request at a time.
//!
//! actix-http 3.20 decodes every request that a segment holds, and keeps what it needs for the answer once for the connection: whether it answers HEAD, and whether
//! the connection closes. So a second request changes how the first is answered, and one after `Connection: close` is answered too. Here the bytes of a
//! request pass only when the one before has been answered.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::{
    HttpResponse,
    body::MessageBody as _,
    web::{Buf, Bytes, BytesMut},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    send::SendTimer,
    state::{Connection, Interim, Phase, State, UnreadableHead},
};
use crate::timer::KeptTimer;

/// How much of later requests is read ahead, to see whether the client is still there.
const MAX_HELD: usize = 16 * 1024;
/// How long what a client still sends is read after a refused head, so that it can read the answer.
const LINGER: Duration = Duration::from_secs(1);
/// As actix-http writes it.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// A byte that no head may have: actix-http ends the connection.
const NO_HEAD: u8 = 0;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For a head.
    pub(super) head: Duration,
    /// Between two requests; zero: there is one request to a connection.
    pub(super) idle: Duration,
    /// For a client that takes nothing of an answer; zero: any time.
    pub(super) send: Duration,
}

/// Answers a head that cannot be read.
pub(super) type Refuse = Rc<dyn Fn(UnreadableHead) -> HttpResponse>;

/// The connection.
pub(super) struct OneRequestAtATime<T> {
    io: T,
    pub(super) connection: Connection,
    /// What came and may not pass yet.
    held: BytesMut,
    times: Times,
    /// Fires when a client has taken too long.
    timer: KeptTimer,
    /// For what the client is waited, and until when.
    wait: Wait,
    send_timer: SendTimer,
    refuse: Refuse,
    parting: Option<Parting>,
}

/// For what a client is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// A head, the first byte of it included if it is the first of the connection.
    Head(Instant),
    /// The first byte of another request.
    Next(Instant),
    /// No head.
    None,
}

/// A wait that was too long.
enum Late {
    /// Nothing came of a head.
    Idle,
    /// A head came in part.
    Head,
}

/// The answer to a head that cannot be read, on its way.
struct Parting {
    answer: Bytes,
    is_shut: bool,
    linger: Pin<Box<Sleep>>,
}

impl<T> OneRequestAtATime<T> {
    pub(super) fn new(io: T, times: Times, refuse: Refuse) -> Self {
        Self {
            io,
            connection: Connection::default(),
            held: BytesMut::new(),
            times,
            timer: KeptTimer::default(),
            send_timer: SendTimer::new(times.send),
            wait: Wait::Head(Instant::now() + times.head),
            refuse,
            parting: None,
        }
    }
}

/// How many of these bytes pass now.
fn passing(state: &mut State, bytes: &[u8]) -> usize {
    let (passed, has_ended) = match &mut state.phase {
        Phase::Head(scan, _) => scan.pass(bytes),
        Phase::Body(scan) => match scan.pass(bytes) {
            Ok(passed) => passed,
            Err(_broken) => {
                state.break_body();
                return 0;
            }
        },
        Phase::Tunnel => (bytes.len(), false),
        Phase::Held | Phase::Refused(_) => (0, false),
    };
    if has_ended {
        state.phase = Phase::Held;
    }
    passed
}

impl<T: AsyncRead + AsyncWrite + Unpin> OneRequestAtATime<T> {
    /// Reads into `out` what may pass, and keeps the rest.
    fn poll_pass(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        if self.held.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(cx, out))?;
            let came = out.filled().get(before..).unwrap_or_default();
            if came.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let connection = self.connection.clone();
            let mut state = connection.0.borrow_mut();
            match check_target(&mut state, came) {
                Ok(None) => {
                    let passed = passing(&mut state, came);
                    self.held.extend_from_slice(came.get(passed..).unwrap_or_default());
                    out.set_filled(before + passed);
                    return self.passed(&mut state, passed, cx);
                }
                Ok(Some(encoded)) => {
                    out.set_filled(before);
                    self.held.extend_from_slice(&encoded);
                }
                Err(why) => {
                    out.set_filled(before);
                    return refuse_head(&mut state, why, out);
                }
            }
        } else {
            let connection = self.connection.clone();
            let mut state = connection.0.borrow_mut();
            match check_target(&mut state, &self.held) {
                Ok(None) => {}
                Ok(Some(encoded)) => self.held = BytesMut::from(&*encoded),
                Err(why) => return refuse_head(&mut state, why, out),
            }
        }
        let connection = self.connection.clone();
        let mut state = connection.0.borrow_mut();
        let count = self.held.len().min(out.remaining());
        let passed = passing(&mut state, self.held.get(..count).unwrap_or_default());
        out.put_slice(self.held.get(..passed).unwrap_or_default());
        self.held.advance(passed);
        self.passed(&mut state, passed, cx)
    }

    /// So many bytes of what came have passed. None of them may: then the reader has to wait.
    fn passed(&mut self, state: &mut State, passed: usize, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        state.has_held_bytes = !self.held.is_empty();
        if passed > 0 {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(cx.waker().clone());
        // The client's end has to be seen: it is looked for with the next poll.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// While nothing may pass: whether the client has gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            {
                let mut state = self.connection.0.borrow_mut();
                if state.closes || matches!(state.phase, Phase::Refused(_)) {
                    // What follows the last request is never looked at.
                    self.held.clear();
                }
                state.has_held_bytes = !self.held.is_empty();
            }
            if self.held.len() >= MAX_HELD {
                return Poll::Pending;
            }
            // On the stack: most connections have nothing to hold, and an idle one needs no memory for it.
            let mut bytes = [0; 512];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.held.extend_from_slice(read.filled());
        }
    }

    /// Whether the client has taken too long for a head, or between two requests.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        let has_begun = match &self.connection.0.borrow().phase {
            Phase::Head(scan, _) => scan.has_begun,
            Phase::Body(_) | Phase::Held | Phase::Tunnel | Phase::Refused(_) => {
                self.wait = Wait::None;
                return Poll::Pending;
            }
        };
        let deadline = match self.wait {
            Wait::Head(deadline) => deadline,
            Wait::Next(deadline) if !has_begun => deadline,
            Wait::Next(_) | Wait::None => {
                let (wait, deadline) = self.begin_wait(has_begun);
                self.wait = wait;
                deadline
            }
        };
        let late = if has_begun { Late::Head } else { Late::Idle };
        self.timer.poll(deadline, cx).map(|()| late)
    }

    fn begin_wait(&self, has_begun: bool) -> (Wait, Instant) {
        let now = Instant::now();
        if has_begun {
            let deadline = now + self.times.head;
            (Wait::Head(deadline), deadline)
        } else {
            let deadline = now + self.times.idle;
            (Wait::Next(deadline), deadline)
        }
    }

    /// Sends `100 Continue` if it is due.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.connection.0.borrow_mut();
        while let Interim::Due(sent) = state.interim {
            let rest = CONTINUE.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                state.interim = Interim::None;
                break;
            }
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => state.interim = Interim::Due(sent + count),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the answer to a head that cannot be read, in place of actix-http's empty one, and ends the connection so that the client can read it.
    fn poll_part(&mut self, cx: &mut Context<'_>, written: &[u8]) -> Poll<io::Result<()>> {
        let refuse = &self.refuse;
        let parting = self.parting.get_or_insert_with(|| {
            let mut state = self.connection.0.borrow_mut();
            let why = match state.phase {
                Phase::Refused(why) => why,
                _ if written.get(9..12) == Some(b"431") => UnreadableHead::TooLarge,
                _ => UnreadableHead::Malformed,
            };
            state.phase = Phase::Refused(why);
            Parting {
                answer: bytes_of(refuse(why)),
                is_shut: false,
                linger: Box::pin(sleep(LINGER)),
            }
        });
        while !parting.answer.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &parting.answer))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => parting.answer.advance(count),
            }
        }
        if !parting.is_shut {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            parting.is_shut = true;
        }
        if parting.linger.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.poll_gone(cx)
    }
}

/// Reads the target in what came, where a head is being read.
fn check_target(state: &mut State, came: &[u8]) -> Result<Option<Vec<u8>>, UnreadableHead> {
    match &mut state.phase {
        Phase::Head(_, target) => target.pass(came),
        Phase::Body(_) | Phase::Held | Phase::Tunnel | Phase::Refused(_) => Ok(None),
    }
}

/// Refuses a head: actix-http gets a byte by which it ends the connection.
fn refuse_head(state: &mut State, why: UnreadableHead, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    state.phase = Phase::Refused(why);
    out.put_slice(&[NO_HEAD]);
    Poll::Ready(Ok(()))
}

/// An answer as it is sent.
fn bytes_of(answer: HttpResponse) -> Bytes {
    let status = answer.status();
    let mut bytes = Vec::with_capacity(1024);
    let reason = status.canonical_reason().unwrap_or_default();
    bytes.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in answer.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let body = answer.into_body().try_into_bytes().unwrap_or_default();
    let end = format!("connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    bytes.extend_from_slice(end.as_bytes());
    bytes.extend_from_slice(&body);
    bytes.into()
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for OneRequestAtATime<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.poll_late(cx) {
            Poll::Pending => {}
            // Like a client that has gone.
            Poll::Ready(Late::Idle) => return Poll::Ready(Ok(())),
            Poll::Ready(Late::Head) => {
                return refuse_head(&mut this.connection.0.borrow_mut(), UnreadableHead::TimedOut, out);
            }
        }
        let may_pass = {
            let mut state = this.connection.0.borrow_mut();
            let may_pass = matches!(state.phase, Phase::Head(..) | Phase::Body(_) | Phase::Tunnel);
            if !state.reader.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                state.reader = Some(cx.waker().clone());
            }
            may_pass
        };
        if may_pass {
            this.poll_pass(cx, out)
        } else {
            this.poll_gone(cx)
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> OneRequestAtATime<T> {
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (is_serving, interim) = {
            let state = self.connection.0.borrow();
            (state.is_serving, state.interim)
        };
        if !is_serving {
            // No service has answered: actix-http refuses a head.
            ready!(self.poll_part(cx, bytes))?;
            return Poll::Ready(Ok(bytes.len()));
        }
        match interim {
            // It is written before the service is called; the service decides whether it is sent.
            Interim::Withheld | Interim::Due(0) if bytes.starts_with(CONTINUE) => {
                return Poll::Ready(Ok(CONTINUE.len()));
            }
            // The answer has begun.
            Interim::Withheld => self.connection.0.borrow_mut().interim = Interim::None,
            Interim::None | Interim::Due(_) => {}
        }
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_send_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for OneRequestAtATime<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = this.poll_send(cx, bytes);
        this.send_timer.bound(cx, sent)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let sent = this.poll_send_rest(cx);
        ready!(this.send_timer.bound(cx, sent))?;
        // actix-http flushes when all that it has is written.
        if this.connection.0.borrow_mut().sent() {
            // The next request is waited for from now on. It cannot be late already.
            let _ = this.poll_late(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &this.parting {
            Some(parting) if parting.is_shut => Poll::Ready(Ok(())),
            _ => Pin::new(&mut this.io).poll_shutdown(cx),
        }
    }
}
