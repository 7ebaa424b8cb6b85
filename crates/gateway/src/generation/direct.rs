//! Requests that are proxied do not pass the application.
//!
//! 1. The application has Bekci's own calls. All else is for its default service: route, gate, proxy. Such a request goes there at once: without the application's routing,
//!    its request with extensions, and the futures of each layer.
//! 2. Where the application may have something at a path, it has the request, see [`OwnPaths`]. So a request that comes here by mistake does not exist; one that passes the
//!    application without need costs a little more.
//! 3. What both ways do is one code: [`Front::answer`](bekci::Front::answer) before it, [`Gatekeeper::answer`](crate::gatekeeper::Gatekeeper::answer) for it.

use std::{
    fmt,
    task::{Context, Poll},
};

use actix_http::{Request, Response};
use actix_web::{
    body::{BoxBody, EitherBody},
    dev::{AppConfig, Service, ServiceFactory, ServiceResponse},
};
use futures_util::future::LocalBoxFuture;

use super::Current;

/// The paths at which an application may have something.
#[derive(Debug)]
pub(crate) struct OwnPaths(Box<[Box<str>]>);

impl OwnPaths {
    /// These paths, each with all below it. A placeholder in one stands for anything.
    pub(crate) fn new(paths: impl IntoIterator<Item = String>) -> Self {
        let literal = |path: String| {
            let fixed = path.split('{').next().unwrap_or_default();
            fixed.trim_end_matches('/').into()
        };
        let mut paths: Vec<Box<str>> = paths.into_iter().map(literal).collect();
        paths.sort();
        paths.dedup();
        Self(paths.into())
    }

    /// Whether a request for this path, as it was received, is for the application. Where a byte is encoded, the application's router may see another path.
    fn may_have(&self, path: &str) -> bool {
        let is_below = |own: &str| {
            let rest = path.strip_prefix(own);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !path.starts_with('/') || path.contains('%') || self.0.iter().any(|own| is_below(own))
    }
}

/// An application, and before it the way of the requests that are not for it.
pub(crate) struct Direct<F> {
    current: Current,
    application: F,
}

impl<F> Direct<F> {
    pub(crate) fn new(current: &Current, application: F) -> Self {
        Self {
            current: current.clone(),
            application,
        }
    }
}

/// [`Direct`] in a worker.
pub(crate) struct DirectService<S> {
    current: Current,
    application: S,
    is_https: bool,
}

/// An answer by one of the two ways.
pub(crate) enum Answer<B> {
    OfApplication(ServiceResponse<B>),
    Direct(Response<BoxBody>),
}

impl<B> From<Answer<B>> for Response<EitherBody<B>> {
    fn from(answer: Answer<B>) -> Self {
        match answer {
            Answer::OfApplication(answer) => Response::<B>::from(answer).map_body(|_, body| EitherBody::left(body)),
            Answer::Direct(answer) => answer.map_body(|_, body| EitherBody::right(body)),
        }
    }
}

impl<F, B> ServiceFactory<Request> for Direct<F>
where
    F: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<B>>,
    F::Future: 'static,
    F::Service: 'static,
    <F::Service as Service<Request>>::Future: 'static,
    F::InitError: fmt::Debug,
    B: 'static,
{
    type Response = Answer<B>;
    type Error = F::Error;
    type Config = AppConfig;
    type Service = DirectService<F::Service>;
    type InitError = F::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, Self::InitError>>;

    fn new_service(&self, config: AppConfig) -> Self::Future {
        let (current, is_https) = (self.current.clone(), config.secure());
        let making = self.application.new_service(config);
        Box::pin(async move {
            Ok(DirectService {
                current,
                application: making.await?,
                is_https,
            })
        })
    }
}

impl<S, B> Service<Request> for DirectService<S>
where
    S: Service<Request, Response = ServiceResponse<B>>,
    S::Future: 'static,
    B: 'static,
{
    type Response = Answer<B>;
    type Error = S::Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.application.poll_ready(cx)
    }

    fn call(&self, mut request: Request) -> Self::Future {
        let generation = self.current.now();
        if generation.own_paths.may_have(request.path()) {
            let answering = self.application.call(request);
            return Box::pin(async move { answering.await.map(Answer::OfApplication) });
        }
        let is_https = self.is_https;
        Box::pin(async move {
            let (payload, keeper) = (request.take_payload(), &generation.keeper);
            let answer = generation
                .front
                .answer(request.head_mut(), payload, async |head, context, payload| {
                    keeper.answer(head, is_https, context, payload).await
                })
                .await;
            Ok(Answer::Direct(answer.into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_has_what_it_may_have_and_nothing_else() {
        let own = ["/auth", "/docs/", "/api/v1/auth", "/x/{id}/y"].map(str::to_owned);
        let own = OwnPaths::new(own);
        for path in [
            "/auth",
            "/auth/",
            "/auth/admin/login",
            "/docs",
            "/docs/page.js",
            "/api/v1/auth/me",
            "/x/1/y",
            "/x",
            // Encoded bytes may be read as other ones.
            "/%61uth/admin/login",
            "/orders/%20",
            "*",
            "",
        ] {
            assert!(own.may_have(path), "{path}");
        }
        for path in ["/", "/authors", "/api/v1/authors", "/api/v1", "/Auth", "/y", "//auth"] {
            assert!(!own.may_have(path), "{path}");
        }
    }
}
