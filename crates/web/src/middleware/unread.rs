//! A body in chunks that nobody reads.
//!
//! Actix takes a request whose body was dropped for one whose body is to be read and thrown away, where it comes in chunks: without an end, and without a limit in
//! time. Anybody could hold a connection that way by a request that was refused long ago. A body that is still held when the answer goes out closes the connection
//! after it instead, as for a body with a length.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::Payload,
    error::PayloadError,
    http::header::{HeaderMap, TRANSFER_ENCODING},
    web::Bytes,
};
use futures_util::Stream;

/// The body of a request, held until its answer has gone out.
#[derive(Clone)]
pub(super) struct Held(Rc<RefCell<Payload>>);

impl Held {
    /// Whether a request with these headers has a body that is to be held: one in chunks.
    pub(super) fn is_due(headers: &HeaderMap) -> bool {
        headers.contains_key(TRANSFER_ENCODING)
    }

    /// Holds the body, and gives what is read in its place.
    pub(super) fn new(body: Payload) -> (Self, Payload) {
        let held = Self(Rc::new(RefCell::new(body)));
        let payload: Pin<Box<dyn Stream<Item = _>>> = Box::pin(held.clone());
        (held, Payload::Stream { payload })
    }

    /// Keeps it until the last byte of the answer is written: Actix looks when the head goes out, and again after the body.
    pub(super) fn until_answered<B: MessageBody + 'static>(self, answer: HttpResponse<B>) -> HttpResponse<BoxBody> {
        let mut answer = answer.map_body(|_, body| {
            BoxBody::new(Answering {
                body: Box::pin(body),
                _held: self.clone(),
            })
        });
        answer.extensions_mut().insert(self);
        answer
    }
}

/// The body of an answer, and the request's.
struct Answering<B> {
    body: Pin<Box<B>>,
    _held: Held,
}

impl<B: MessageBody> MessageBody for Answering<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.get_mut().body.as_mut().poll_next(context)
    }
}

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}
