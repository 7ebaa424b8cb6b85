//! Before a guard's own calls: an old security cookie is exchanged, as [`Require`](crate::Require) does before a route.

use std::{
    future::{Ready, ready},
    rc::Rc,
    sync::Arc,
};

use actix_web::{
    Error, HttpMessage,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::header::COOKIE,
};
use bekci_core::{AskedTenant, AuthError, AuthGuard, GuardChain, RouteRule, SessionId};
use futures_util::future::LocalBoxFuture;

use crate::{
    BrowserSession, BrowserUpdate, Reading, Watch,
    head::Secured,
    respond::{Refusal, Voice},
};

/// A request with a cookie, and who takes the steps of browsers. Most requests have none, and are read once.
pub(super) fn of_browser<'a>(
    request: &'a ServiceRequest,
    browsers: Option<&'a BrowserSession>,
) -> Option<(&'a BrowserSession, Reading<'a>)> {
    let browsers = browsers.filter(|_| request.headers().contains_key(COOKIE))?;
    Some((browsers, Reading::of(request.request()).ok()?))
}

/// Notes for the gate that the security cookie of this session was exchanged, or compared with its row.
pub(super) fn note_secured(request: &ServiceRequest, session: Option<SessionId>) {
    if let Some(session) = session {
        request.extensions_mut().insert(Secured(session));
    }
}

/// Middleware for the calls of one guard.
#[derive(Clone, Debug)]
pub(crate) struct SecureCalls {
    browsers: Option<BrowserSession>,
    rule: Arc<RouteRule>,
}

impl SecureCalls {
    pub(crate) fn new(watch: &Watch, guard: &Arc<AuthGuard>) -> Self {
        let chain = GuardChain::new([Arc::clone(guard)]);
        Self {
            browsers: watch.browser_sessions().filter(|_| guard.security_interval().is_some()),
            rule: Arc::new(RouteRule::guarded("auth", chain)),
        }
    }

    async fn before(&self, request: &ServiceRequest) -> Result<Option<BrowserUpdate>, AuthError> {
        let Some((browsers, reading)) = of_browser(request, self.browsers.as_ref()) else {
            return Ok(None);
        };
        browsers.exchange(&reading.head(AskedTenant::None), &self.rule).await
    }
}

/// [`SecureCalls`] before a service.
#[derive(Debug)]
pub(crate) struct SecureService<S> {
    inner: Rc<S>,
    calls: SecureCalls,
}

impl<S, B> Transform<S, ServiceRequest> for SecureCalls
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = SecureService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(SecureService {
            inner: Rc::new(inner),
            calls: self.clone(),
        }))
    }
}

impl<S, B> Service<ServiceRequest> for SecureService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (inner, calls) = (Rc::clone(&self.inner), self.calls.clone());
        Box::pin(async move {
            let update = match calls.before(&request).await {
                Ok(update) => update,
                Err(error) => {
                    let voice = Voice::of(request.request());
                    let answer = Refusal::from(error).render(&voice);
                    return Ok(request.into_response(answer.map_into_right_body()));
                }
            };
            note_secured(&request, update.as_ref().and_then(|update| update.secured));
            let mut answered = inner.call(request).await?.map_into_left_body();
            if let Some(update) = update {
                update.put(answered.headers_mut());
            }
            Ok(answered)
        })
    }
}
