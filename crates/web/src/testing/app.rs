//! The application under test.

use std::{fmt, rc::Rc};

use actix_web::{
    App, Error, HttpMessage, HttpRequest,
    body::{self, BoxBody, MessageBody},
    dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse},
    http::{Method, header::HeaderMap},
    test::{self, TestRequest},
};
use bekci_core::GuardName;
use futures_util::future::LocalBoxFuture;

use super::{Call, Caller, TestAnswer, done};
use crate::{AsPrincipal, Bekci, GuardType, extract::Unadmitted};

type Serve = dyn Fn(TestRequest) -> LocalBoxFuture<'static, Reply>;

/// The application as it is served, and who may call it. From [`Bekci::test_app`]. Cheap to clone.
#[derive(Clone)]
pub struct TestApp {
    pub(super) bekci: Bekci,
    serve: Rc<Serve>,
    pub(super) expected: Expected,
}

/// What the routes are meant to be; see [`TestApp::assert_guard_isolation`].
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) public: Vec<String>,
    pub(super) shared: Vec<String>,
    pub(super) only: Vec<(String, GuardName)>,
    pub(super) examples: Vec<(String, String)>,
}

/// An answer whose body was not read.
pub(super) struct Reply {
    pub(super) status: u16,
    headers: HeaderMap,
    body: BoxBody,
    /// `None` where a middleware failed before there was an answer.
    pub(super) request: Option<HttpRequest>,
}

impl Reply {
    pub(super) async fn read(self) -> TestAnswer {
        let bytes = body::to_bytes(self.body).await;
        TestAnswer {
            status: self.status,
            headers: self.headers,
            body: done(bytes, "the body breaks off").to_vec(),
        }
    }

    /// Why nothing could tell the handler who acts, if so.
    pub(super) fn unadmitted(&self) -> Option<String> {
        let request = self.request.as_ref()?;
        request.extensions().get::<Unadmitted>().map(|why| why.0.clone())
    }
}

impl Bekci {
    /// The application under test, as it is served: `bekci.test_app(App::new().wrap(bekci.middleware()).configure(routes(&bekci))).await`.
    pub async fn test_app<T, B>(&self, app: App<T>) -> TestApp
    where
        T: ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<B>, Error = Error, InitError = ()>
            + 'static,
        T::Future: 'static,
        B: MessageBody + 'static,
    {
        let service = Rc::new(test::init_service(app).await);
        let serve = move |request: TestRequest| -> LocalBoxFuture<'static, Reply> {
            let service = Rc::clone(&service);
            Box::pin(async move {
                match service.call(request.to_request()).await {
                    Ok(answered) => {
                        let (request, answer) = answered.into_parts();
                        Reply {
                            status: answer.status().as_u16(),
                            headers: answer.headers().clone(),
                            body: answer.into_body().boxed(),
                            request: Some(request),
                        }
                    }
                    // As a server does.
                    Err(error) => {
                        let answer = error.error_response();
                        Reply {
                            status: answer.status().as_u16(),
                            headers: answer.headers().clone(),
                            body: answer.into_body(),
                            request: None,
                        }
                    }
                }
            })
        };
        TestApp {
            bekci: self.clone(),
            serve: Rc::new(serve),
            expected: Expected::default(),
        }
    }
}

impl TestApp {
    /// Somebody who is signed in: `app.acting_as(&admin).can(posts::delete).delete("/admin/posts/7").await`. Takes a key or the row of an account.
    ///
    /// # Panics
    /// Where the row's id is none that its model may have.
    #[must_use]
    pub fn acting_as(&self, principal: &impl AsPrincipal) -> Caller {
        Caller::new(self, done(principal.principal_key(), "no principal"))
    }

    /// The routes of this pattern (or below it, where it ends in `/**`) are for anybody, on purpose.
    #[must_use]
    pub fn public(mut self, pattern: &str) -> Self {
        self.expected.public.push(pattern.to_owned());
        self
    }

    /// The routes of this pattern let in more than one guard, on purpose.
    #[must_use]
    pub fn shared(mut self, pattern: &str) -> Self {
        self.expected.shared.push(pattern.to_owned());
        self
    }

    /// The routes of this pattern are for `G` alone; said of a place within a shared pattern, it counts there.
    ///
    /// # Panics
    /// Where `G`'s name is none.
    #[must_use]
    pub fn only<G: GuardType>(mut self, pattern: &str) -> Self {
        let guard = done(GuardName::new(G::NAME), "no guard");
        self.expected.only.push((pattern.to_owned(), guard));
        self
    }

    /// A path that a route of this pattern answers, where one cannot be guessed from the pattern: `("/posts/{slug:[a-z]{9}}", "/posts/abcdefghi")`.
    #[must_use]
    pub fn example(mut self, pattern: &str, path: &str) -> Self {
        self.expected.examples.push((pattern.to_owned(), path.to_owned()));
        self
    }

    /// A request by nobody.
    pub fn request(&self, method: Method, path: &str) -> Call {
        Call::new(self, None, method, path)
    }

    /// `GET` by nobody.
    pub fn get(&self, path: &str) -> Call {
        self.request(Method::GET, path)
    }

    /// `POST` by nobody.
    pub fn post(&self, path: &str) -> Call {
        self.request(Method::POST, path)
    }

    pub(super) async fn serve(&self, request: TestRequest) -> Reply {
        (self.serve)(request).await
    }
}

impl fmt::Debug for TestApp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TestApp({:?})", self.expected)
    }
}
