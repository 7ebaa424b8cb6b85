//! The application as Actix sees it: one service for each worker, for as long as the process runs, which asks the application of the current generation.

use std::{
    cell::RefCell,
    fmt,
    marker::PhantomData,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use actix_service::IntoServiceFactory;
use actix_web::dev::{AppConfig, Service, ServiceFactory};
use futures_util::future::LocalBoxFuture;

use super::{Current, Generation};

/// Makes the service of a worker. `build` makes a generation's application.
pub(crate) struct Renewing<F, S> {
    current: Current,
    build: F,
    made: PhantomData<S>,
}

impl<F, S> Renewing<F, S> {
    pub(crate) fn new<I, R>(current: &Current, build: F) -> Self
    where
        F: Fn(&Generation) -> I + Clone + 'static,
        I: IntoServiceFactory<S, R>,
        S: ServiceFactory<R, Config = AppConfig> + 'static,
    {
        Self {
            current: current.clone(),
            build,
            made: PhantomData,
        }
    }
}

/// The service of a worker.
pub(crate) struct Renewed<F, S: ServiceFactory<R>, R> {
    current: Current,
    build: F,
    config: AppConfig,
    latest: Rc<RefCell<Latest<S::Service>>>,
}

/// The application that was built last, and for which generation.
struct Latest<S> {
    number: u64,
    service: Rc<S>,
}

impl<F, I, S, R> ServiceFactory<R> for Renewing<F, S>
where
    F: Fn(&Generation) -> I + Clone + 'static,
    I: IntoServiceFactory<S, R>,
    S: ServiceFactory<R, Config = AppConfig> + 'static,
    S::Future: 'static,
    S::Service: 'static,
    S::InitError: fmt::Debug,
    R: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Config = AppConfig;
    type Service = Renewed<F, S, R>;
    type InitError = S::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, Self::InitError>>;

    fn new_service(&self, config: AppConfig) -> Self::Future {
        let (current, build) = (self.current.clone(), self.build.clone());
        Box::pin(async move {
            let generation = current.now();
            let app = build(&generation).into_factory();
            let service = Rc::new(app.new_service(config.clone()).await?);
            let latest = Latest {
                number: generation.number,
                service,
            };
            Ok(Renewed {
                current,
                build,
                config,
                latest: Rc::new(RefCell::new(latest)),
            })
        })
    }
}

impl<F, I, S, R> Service<R> for Renewed<F, S, R>
where
    F: Fn(&Generation) -> I + Clone + 'static,
    I: IntoServiceFactory<S, R>,
    S: ServiceFactory<R, Config = AppConfig> + 'static,
    S::Future: 'static,
    S::Service: 'static,
    S::InitError: fmt::Debug,
    R: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    /// Actix's applications are always ready.
    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, request: R) -> Self::Future {
        let generation = self.current.now();
        let latest = self.latest.borrow();
        if latest.number == generation.number {
            let service = Rc::clone(&latest.service);
            return Box::pin(async move { within(&generation, &service, request).await });
        }
        drop(latest);
        let app = (self.build)(&generation).into_factory();
        let (building, latest) = (app.new_service(self.config.clone()), Rc::clone(&self.latest));
        Box::pin(async move {
            let service = match building.await {
                Ok(service) => Rc::new(service),
                Err(error) => {
                    // A generation is put in place only after its application could be built, so that this does not happen.
                    tracing::error!(?error, "the application cannot be built; the one before answers");
                    let before = Rc::clone(&latest.borrow().service);
                    return within(&generation, &before, request).await;
                }
            };
            if latest.borrow().number < generation.number {
                *latest.borrow_mut() = Latest {
                    number: generation.number,
                    service: Rc::clone(&service),
                };
            }
            within(&generation, &service, request).await
        })
    }
}

/// Answers while the generation is held, so that its store stays open.
async fn within<S: Service<R>, R>(
    _held: &Arc<Generation>,
    service: &Rc<S>,
    request: R,
) -> Result<S::Response, S::Error> {
    service.call(request).await
}
