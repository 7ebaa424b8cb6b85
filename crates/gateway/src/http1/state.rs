//! The state of a connection: whether the client sends a request, or the server its answer.

use std::{cell::RefCell, rc::Rc, task::Waker};

use actix_web::http::StatusCode;
use bekci::Refusal;
use bekci_core::{AuthError, BadPath, ErrorCode};

use super::{
    framing::{BodyScan, HeadScan},
    target::TargetScan,
};

/// The state of a connection, shared by its transport, the service that answers, and the bodies of request and answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection(pub(super) Rc<RefCell<State>>);

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// Whether a service has a request and its answer is not sent.
    pub(super) is_serving: bool,
    /// Whether the answer of the current request is written, perhaps not sent.
    pub(super) is_answered: bool,
    /// Whether no request follows the current one.
    pub(super) closes: bool,
    pub(super) interim: Interim,
    /// The task that reads the client's bytes.
    pub(super) reader: Option<Waker>,
    /// The task that reads the request's body, while the transport has to wake it.
    pub(super) body_reader: Option<Waker>,
    /// Whether the body breaks its coding or a bound.
    pub(super) is_body_broken: bool,
    /// Whether bytes came that may not pass yet.
    pub(super) has_held_bytes: bool,
}

/// What of the client's bytes may pass.
#[derive(Debug)]
pub(super) enum Phase {
    /// A head.
    Head(HeadScan, TargetScan),
    /// A body.
    Body(BodyScan),
    /// Nothing: a head has passed that no service has seen, or a whole request that is not answered.
    Held,
    /// Everything: a tunnel.
    Tunnel,
    /// Nothing any more: the head is refused.
    Refused(UnreadableHead),
}

impl Default for Phase {
    fn default() -> Self {
        Self::Head(HeadScan::default(), TargetScan::default())
    }
}

/// Why a head is refused before there is a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnreadableHead {
    /// It is no head of HTTP/1, or has no host, or more than one.
    Malformed,
    /// It has too many bytes or fields.
    TooLarge,
    /// It did not come in time.
    TimedOut,
    /// The target has a fragment.
    Fragment,
    /// The path has a byte that no path may have.
    Path,
}

impl UnreadableHead {
    /// What is answered.
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::Malformed => Refusal::new(ErrorCode::MalformedRequest, "the head of the request cannot be read"),
            Self::TooLarge => Refusal::new(ErrorCode::MalformedRequest, "the head of the request is too large")
                .with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Self::TimedOut => Refusal::new(
                ErrorCode::MalformedRequest,
                "the head of the request did not come in time",
            )
            .with_status(StatusCode::REQUEST_TIMEOUT),
            Self::Fragment => Refusal::new(ErrorCode::MalformedRequest, "the target of the request has a fragment"),
            Self::Path => AuthError::BadPath(BadPath("it has a byte that may not stand in a path")).into(),
        }
    }
}

/// `100 Continue`, which actix-http writes before a service has seen the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Interim {
    /// None is due.
    #[default]
    None,
    /// The client waits for it, and the body is not read yet.
    Withheld,
    /// It is due, from this byte on.
    Due(usize),
}

impl Connection {
    /// A service has the request; this body follows its head.
    pub(super) fn begin(&self, body: Phase, closes: bool, expects_continue: bool) {
        let mut state = self.0.borrow_mut();
        state.phase = body;
        state.is_serving = true;
        state.is_answered = false;
        state.closes = closes;
        state.is_body_broken = false;
        state.body_reader = None;
        state.interim = if expects_continue {
            Interim::Withheld
        } else {
            Interim::None
        };
        if !matches!(state.phase, Phase::Held) {
            state.wake_reader();
        }
    }

    /// The request's body is read: a client that waits for `100 Continue` gets it. Gives whether the body is broken; else the reader is woken when it is.
    pub(super) fn read_body(&self, reader: &Waker) -> bool {
        let mut state = self.0.borrow_mut();
        if state.interim == Interim::Withheld {
            state.interim = Interim::Due(0);
            // A body may be read by another task than the connection's.
            state.wake_reader();
        }
        if !state.is_body_broken && !state.body_reader.as_ref().is_some_and(|known| known.will_wake(reader)) {
            state.body_reader = Some(reader.clone());
        }
        state.is_body_broken
    }

    /// Whether the whole of the request has passed. Else the connection closes after the answer.
    pub(super) fn has_read_request(&self) -> bool {
        matches!(self.0.borrow().phase, Phase::Held)
    }

    /// No request follows the answer that begins.
    pub(super) fn close(&self) {
        self.0.borrow_mut().closes = true;
    }

    /// The answer is written.
    pub(super) fn answered(&self) {
        self.0.borrow_mut().is_answered = true;
    }
}

impl State {
    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// The body breaks its coding or a bound: its reader learns it, and nothing passes any more.
    pub(super) fn break_body(&mut self) {
        self.phase = Phase::Held;
        self.closes = true;
        self.is_body_broken = true;
        if let Some(reader) = self.body_reader.take() {
            reader.wake();
        }
    }

    /// All that was written is sent. With the end of an answer, the next request may pass; gives whether it may from now on.
    pub(super) fn sent(&mut self) -> bool {
        if !self.is_answered || self.closes || !matches!(self.phase, Phase::Held) {
            return false;
        }
        self.is_answered = false;
        self.is_serving = false;
        self.phase = Phase::default();
        // Bytes that have not come yet wake their reader by themselves.
        if self.has_held_bytes {
            self.wake_reader();
        }
        true
    }
}
