//! A WebSocket outlives the request that it was opened by: whom it was opened for is looked at as long as it lasts.
//!
//! 1. Every second, and twice in Δ where that is shorter, it is looked whether what let it in has changed. Memory tells, without I/O.
//! 2. Where something may have changed, it is judged again, by the configuration that is in force then. What passes through the tunnel does not wait for it.
//! 3. One that may not go on is ended: both connections are closed, and the log says why. No close frame is sent: a tunnel does not know where a frame ends.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    web::Bytes,
};
use bekci_core::{AuthError, Lasting};
use futures_util::future::LocalBoxFuture;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::generation::CurrentGate;

/// It is never looked less often than this.
const AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// How lasting connections are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Lookout {
    /// Decides now.
    pub(crate) gates: CurrentGate,
    /// Δ: after this long a change is to be in force.
    pub(crate) delta: Duration,
}

impl Lookout {
    /// The same answer, whose tunnel ends when `lasting` may not go on.
    pub(crate) fn over(&self, answer: HttpResponse, lasting: Lasting, request_id: &str) -> HttpResponse {
        let mut ticks = interval(AT_LEAST_EVERY.min(self.delta / 2));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let lookout = self.clone();
        let watched = |body| Watched {
            body: Some(body),
            lasting: Some(Box::new(lasting)),
            looking: None,
            lookout,
            ticks,
            request_id: request_id.into(),
        };
        answer.map_body(|_, body| BoxBody::new(watched(body)))
    }
}

type Looked = (Box<Lasting>, Result<(), AuthError>);

/// A tunnel, as the body of the answer that opened it.
struct Watched {
    /// `None` once it was ended.
    body: Option<BoxBody>,
    /// `None` while it is judged.
    lasting: Option<Box<Lasting>>,
    looking: Option<LocalBoxFuture<'static, Looked>>,
    lookout: Lookout,
    ticks: Interval,
    request_id: Box<str>,
}

impl Watched {
    /// Whether it has to end now.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if let Some(looking) = &mut self.looking {
                let Poll::Ready((lasting, result)) = looking.as_mut().poll(cx) else {
                    return false;
                };
                self.looking = None;
                if let Err(error) = result {
                    self.tell(&lasting, &error);
                    return true;
                }
                self.lasting = Some(lasting);
            }
            if self.ticks.poll_tick(cx).is_pending() {
                return false;
            }
            let Some(lasting) = self.lasting.take() else {
                return true;
            };
            let Some(gate) = self.lookout.gates.now() else {
                return true;
            };
            match lasting.at_a_glance(&gate) {
                Some(Ok(())) => self.lasting = Some(lasting),
                Some(Err(error)) => {
                    self.tell(&lasting, &error);
                    return true;
                }
                None => {
                    let (mut lasting, patience) = (lasting, self.lookout.delta);
                    self.looking = Some(Box::pin(async move {
                        let result = timeout(patience, lasting.look(&gate)).await;
                        let late = |_| Err(AuthError::StoreUnavailable("it takes too long to tell".into()));
                        let result = result.unwrap_or_else(late);
                        (lasting, result)
                    }));
                }
            }
        }
    }

    fn tell(&self, lasting: &Lasting, error: &AuthError) {
        let principal = lasting.principal();
        tracing::info!(
            target: "bekci::request",
            request_id = &*self.request_id,
            guard = principal.guard.name.as_str(),
            principal = principal.claims.key.as_str(),
            session = %principal.claims.session,
            code = error.code().as_str(),
            reason = error.to_string(),
            "a WebSocket was ended"
        );
    }
}

impl MessageBody for Watched {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.body.as_ref().map_or(BodySize::Stream, MessageBody::size)
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        if this.body.is_some() && this.is_over(cx) {
            // With the body goes the upstream's connection.
            this.body = None;
        }
        match &mut this.body {
            Some(body) => Pin::new(body).poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}
