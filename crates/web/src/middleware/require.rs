//! Before what is guarded: asks the gate, and lets through with the answer or refuses, before the body is touched.

use std::{
    future::Ready,
    rc::Rc,
    sync::{Arc, Once},
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::header::COOKIE,
};
use actix_web_httpauth::extractors::bearer::BearerAuth;
use bekci_core::{Admission, AskedTenant, AuthError, Consistency, Denial, GuardChain, RouteKind, RouteRule};
use futures_util::future::LocalBoxFuture;

use crate::{
    Asked, BrowserSession, BrowserUpdate, GuardType, Reading, Record, Watch,
    extract::Admitted,
    middleware::secure::{note_secured, of_browser},
    permission::{AsPermission, AsRole},
    respond::{Refusal, Voice, notice},
};

/// Middleware that lets in only what its rule allows. Made by [`Watch::require`]; `.wrap()` it round a scope or resource.
///
/// A rule that cannot be right (an unknown guard, a role that breaks the grammar of roles) lets the server not start.
#[derive(Clone, Debug)]
pub struct Require {
    watch: Watch,
    rule: RouteRule,
    problems: Vec<String>,
}

impl Require {
    pub(crate) fn new(watch: Watch, mut rule: RouteRule) -> Self {
        rule.policy_at_hand = watch.ways().is_some_and(|ways| ways.has_policy);
        Self {
            watch,
            rule,
            problems: Vec::new(),
        }
    }

    pub(crate) fn broken(mut self, problem: impl Into<String>) -> Self {
        self.problems.push(problem.into());
        self
    }

    /// Lets those in too who are signed in through `G`. The guards' cookies are looked for in the order in which they are named.
    #[must_use]
    pub fn or<G: GuardType>(mut self) -> Self {
        match self.watch.guard(G::NAME) {
            Some(guard) => {
                let guards = self.rule.guards.iter().chain([guard]).cloned();
                self.rule.guards = GuardChain::new(guards);
                self
            }
            None => self.broken(format!("guard {:?} is not registered with the builder", G::NAME)),
        }
    }

    /// Asks for this role; of several roles, any.
    #[must_use]
    pub fn role(mut self, role: impl AsRole) -> Self {
        match role.as_role() {
            Ok(role) => {
                self.rule.roles.push(role.into_owned());
                self
            }
            Err(fault) => self.broken(fault.to_string()),
        }
    }

    /// Asks for this permission; of several, all.
    #[must_use]
    pub fn permission(mut self, permission: impl AsPermission) -> Self {
        match permission.as_permission() {
            Ok(permission) => {
                self.rule.permissions.push(permission.into_owned());
                self
            }
            Err(fault) => self.broken(fault.to_string()),
        }
    }

    /// Asks for one of these permissions.
    #[must_use]
    pub fn any_permission<P: AsPermission>(mut self, permissions: impl IntoIterator<Item = P>) -> Self {
        for permission in permissions {
            match permission.as_permission() {
                Ok(permission) => self.rule.any_permission.push(permission.into_owned()),
                Err(fault) => self.problems.push(fault.to_string()),
            }
        }
        if self.rule.any_permission.is_empty() {
            return self.broken("any_permission with no permission would ask for nothing");
        }
        self
    }

    /// Asks for one of these names, held as a role or as a permission.
    #[must_use]
    pub fn role_or_permission<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        for name in names {
            let either = (name.as_role(), name.as_permission());
            if let (Err(fault), Err(_)) = &either {
                self.problems.push(fault.to_string());
            }
            let (role, permission) = either;
            self.rule.role_or_permission.push((
                role.ok().map(|r| r.into_owned()),
                permission.ok().map(|p| p.into_owned()),
            ));
        }
        if self.rule.role_or_permission.is_empty() {
            return self.broken("role_or_permission with no name would ask for nothing");
        }
        self
    }

    /// Asks for a sign-in not older than this many seconds.
    #[must_use]
    pub fn fresh(mut self, seconds: u32) -> Self {
        self.rule.kind = RouteKind::Fresh(seconds);
        self
    }

    /// Asks the policies too: (subjects, tenant, path, method).
    #[must_use]
    pub fn policy(mut self) -> Self {
        self.rule.policy = true;
        self
    }

    /// Reads the identity from the database for each request, instead of this process's memory.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.rule.consistency = Consistency::Direct;
        self
    }

    /// Lets those in too whose sign-in waits for its verification, for handlers that take [`Temp<G>`](crate::Temp). They hold no right: a rule that asks one keeps them out.
    #[must_use]
    pub fn unverified(mut self) -> Self {
        self.rule.kind = RouteKind::Unverified;
        self
    }

    /// Lets only those in who are not signed in through one of the guards.
    #[must_use]
    pub fn guest(mut self) -> Self {
        self.rule.kind = RouteKind::Guest;
        self
    }
}

/// What a validator of actix-web-httpauth comes to.
type Validated = LocalBoxFuture<'static, Result<ServiceRequest, (Error, ServiceRequest)>>;

impl Require {
    /// The rule as a validator for `HttpAuthentication` of actix-web-httpauth, for applications that use it. It decides as `.wrap(require)` does: cookies count too,
    /// and a handler takes [`Auth`](crate::Auth).
    ///
    /// ```
    /// # use actix_web::web;
    /// # use bekci::{Bekci, GuardType, httpauth::middleware::HttpAuthentication};
    /// # fn routes<Admin: GuardType>(bekci: &Bekci) -> actix_web::Scope<impl actix_web::dev::ServiceFactory<
    /// #     actix_web::dev::ServiceRequest, Config = (), Error = actix_web::Error, InitError = (),
    /// #     Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody>>> {
    /// let admins = bekci.require::<Admin>().permission("orders.view").validator();
    /// web::scope("/admin").wrap(HttpAuthentication::with_fn(admins))
    /// # }
    /// ```
    pub fn validator(self) -> impl Fn(ServiceRequest, Option<BearerAuth>) -> Validated + Clone + use<> {
        let (watch, rule) = (self.watch, Arc::new(self.rule));
        let browsers = watch.browser_sessions();
        let problems: Rc<str> = self.problems.join("; ").into();
        // The header is parsed again with all that a decision rests on: the extractor sees one of two headers.
        move |mut request, _parsed| {
            let (watch, rule, problems) = (watch.clone(), Arc::clone(&rule), Rc::clone(&problems));
            let browsers = browsers.clone();
            Box::pin(async move {
                let admitted = if problems.is_empty() {
                    match check_security(&request, browsers.as_ref(), &rule).await {
                        Ok(()) => admit(&mut request, &watch, &rule).await,
                        Err(error) => Err(error.into()),
                    }
                } else {
                    Err(Refusal::misconfigured(problems.to_string()))
                };
                match admitted {
                    Ok(()) => Ok(request),
                    Err(refusal) => Err((refusal.into(), request)),
                }
            })
        }
    }
}

/// [`Require`] before a service.
#[derive(Debug)]
pub struct RequireService<S> {
    inner: Rc<S>,
    watch: Watch,
    browsers: Option<Rc<BrowserSession>>,
    rule: Arc<RouteRule>,
}

impl<S, B> Transform<S, ServiceRequest> for Require
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = RequireService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        if !self.problems.is_empty() {
            let problems = self.problems.join("; ");
            tracing::error!(rule = %self.rule.id, problems, "a rule cannot be kept, so the server does not start");
            return std::future::ready(Err(()));
        }
        std::future::ready(Ok(RequireService {
            inner: Rc::new(inner),
            watch: self.watch.clone(),
            browsers: self.watch.browser_sessions().map(Rc::new),
            rule: Arc::new(self.rule.clone()),
        }))
    }
}

impl<S, B> Service<ServiceRequest> for RequireService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let (inner, watch, rule) = (Rc::clone(&self.inner), self.watch.clone(), Arc::clone(&self.rule));
        let browsers = self.browsers.clone();
        FIRST_REQUEST.call_once(|| warn_of_missing_middleware(&request));
        Box::pin(async move {
            let update = browser_steps(&mut request, browsers.as_deref(), &rule).await;
            let (update, admitted) = match update {
                Ok(update) => (update, admit(&mut request, &watch, &rule).await),
                Err(error) => (None, Err(error.into())),
            };
            let mut answered = match admitted {
                Ok(()) => inner.call(request).await?.map_into_left_body(),
                Err(refusal) => {
                    let voice = Voice::of(request.request());
                    let answer = refusal.render(&voice);
                    request.into_response(answer.map_into_right_body())
                }
            };
            if let Some(update) = update {
                update.put(answered.headers_mut());
            }
            Ok(answered)
        })
    }
}

/// The first request through any [`Require`] of this process: the one at which a missing [`Front`](crate::Front) is reported.
static FIRST_REQUEST: Once = Once::new();

/// Without the middleware of the application refusals have no request id of the client's language, errors of Actix keep their own shape, and nothing is logged.
fn warn_of_missing_middleware(request: &ServiceRequest) {
    if request.extensions().contains::<Voice>() {
        return;
    }
    let line =
        "the application lacks Bekci's middleware: add .wrap(bekci.middleware()) to App::new(), as the last wrap";
    tracing::warn!("{line}");
    if cfg!(debug_assertions) {
        notice(line);
    }
}

/// Checks an old security cookie, where no answer can set its successor.
async fn check_security(
    request: &ServiceRequest,
    browsers: Option<&BrowserSession>,
    rule: &RouteRule,
) -> Result<(), AuthError> {
    let Some((browsers, reading)) = of_browser(request, browsers) else {
        return Ok(());
    };
    let secured = browsers.check(&reading.head(AskedTenant::None), rule).await?;
    note_secured(request, secured);
    Ok(())
}

/// Signs in by the remember-me token, where that is due. What comes of it stands with the request as if the browser had sent it, so that middleware further in sees it too.
async fn browser_steps(
    request: &mut ServiceRequest,
    browsers: Option<&BrowserSession>,
    rule: &RouteRule,
) -> Result<Option<BrowserUpdate>, AuthError> {
    let update = {
        let Some((browsers, reading)) = of_browser(request, browsers) else {
            return Ok(None);
        };
        let head = reading.head(AskedTenant::None);
        let client = || browsers.client_of(request.request());
        browsers.before(&head, request.headers(), rule, client).await?
    };
    note_secured(request, update.as_ref().and_then(|update| update.secured));
    if let Some(cookie) = update.as_ref().and_then(|update| update.cookie.clone()) {
        request.headers_mut().append(COOKIE, cookie);
    }
    Ok(update)
}

/// Asks the gate, reports what it said, and leaves the admission with the request.
async fn admit(request: &mut ServiceRequest, watch: &Watch, rule: &Arc<RouteRule>) -> Result<(), Refusal> {
    let began = watch.clock().uptime();
    let decided = decide(request, watch, rule).await;
    let took = watch.clock().uptime().saturating_sub(began);
    Record::of(request.request()).decided(&rule.id, took, &decided);
    let admission = decided.map_err(|denial| Refusal::from(denial.error))?;
    let admitted = Admitted::new(admission, Arc::clone(rule), watch.clone());
    // An application without the front middleware must not see it either.
    let peer = request.peer_addr().map(|peer| peer.ip());
    watch.tenancy().strip(request.headers_mut(), peer);
    Admitted::note(&mut request.extensions_mut(), admitted);
    Ok(())
}

async fn decide(request: &ServiceRequest, watch: &Watch, rule: &Arc<RouteRule>) -> Result<Admission, Denial> {
    let reading = Reading::of(request.request()).map_err(AuthError::from)?;
    let asked = match rule.kind {
        RouteKind::Public => Asked::None,
        RouteKind::Authorized | RouteKind::Unverified | RouteKind::Fresh(_) | RouteKind::Guest => {
            watch.tenancy().asked_by(request.request(), Some(reading.path()))?
        }
    };
    watch.gate().decide_again(&reading.head(asked.tenant()), rule).await
}
