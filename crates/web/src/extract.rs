//! Extractors. All of them are ready at once: the middleware has done the work, and they only look at what it left with the request.
//!
//! 1. Where no [`Require`](crate::Require) has admitted the request for the guard that is asked for, the application is not set up right: 500, and
//!    the log says which `wrap` to add. It never counts as anonymous.
//! 2. Where one has, and the request was let in through another of the rule's guards: 401 `GUARD_MISMATCH`.
//! 3. Who is let in before the sign-in is verified is for [`Temp`] alone, and nobody else is: 401 `TOKEN_INVALID`.
//! 4. Where one has, and nobody is signed in (a route for guests): 401 `TOKEN_MISSING`.

mod temporary;

use std::{
    fmt,
    future::{Ready, ready},
    marker::PhantomData,
    ops::Deref,
    sync::Arc,
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::{Extensions, Payload},
};
use bekci_core::{Admission, AuthError, Permit, Principal, RouteRule, TokenFault};
use smallvec::SmallVec;

pub use self::temporary::Temp;
use crate::{GuardType, Watch, Who, respond::Refusal};

/// What one [`Require`](crate::Require) left with the request.
#[derive(Debug)]
pub(crate) struct Admitted {
    who: Option<Who>,
    permit: Permit,
    rule: Arc<RouteRule>,
}

/// What all of them left, the innermost last.
#[derive(Debug, Default)]
struct AllAdmitted(SmallVec<[Admitted; 1]>);

impl Admitted {
    pub(crate) fn new(admission: Admission, rule: Arc<RouteRule>, watch: Watch) -> Self {
        Self {
            who: admission
                .principal
                .map(|principal| Who::new(Arc::new(principal), watch)),
            permit: admission.permit,
            rule,
        }
    }

    pub(crate) fn note(extensions: &mut Extensions, admitted: Self) {
        if let Some(all) = extensions.get_mut::<AllAdmitted>() {
            all.0.push(admitted);
        } else {
            extensions.insert(AllAdmitted(SmallVec::from_iter([admitted])));
        }
    }

    fn is_for(&self, guard: &str) -> bool {
        self.rule.guards.iter().any(|named| named.name.as_str() == guard)
    }
}

/// The answer of the innermost middleware that `fits`, by the rules in the module's documentation. `temporary`: whether who is not verified yet is asked for, and nobody
/// else, or nobody of these.
fn find(
    request: &HttpRequest,
    asked: &str,
    fits: impl Fn(&Admitted) -> bool,
    is_asked: impl Fn(&Who) -> bool,
    temporary: bool,
) -> Result<Who, Refusal> {
    let extensions = request.extensions();
    let all = extensions.get::<AllAdmitted>().map_or(&[][..], |all| &all.0);
    let mut found = None;
    for admitted in all.iter().rev().filter(|admitted| fits(admitted)) {
        match &admitted.who {
            Some(who) if is_asked(who) && who.is_temporary() == temporary => return Ok(who.clone()),
            Some(who) if is_asked(who) => found = found.or(Some(of_the_other_kind())),
            Some(who) => found = found.or(Some(AuthError::GuardMismatch(Some(who.principal().guard.name.clone())))),
            None => found = found.or(Some(AuthError::TokenMissing)),
        }
    }
    drop(extensions);
    Err(found.map_or_else(|| not_set_up(request, asked), Refusal::from))
}

fn of_the_other_kind() -> AuthError {
    AuthError::TokenInvalid(TokenFault::Header("typ is not this kind's"))
}

/// Left with a request whose handler asked who acts where nothing had admitted anybody.
#[derive(Debug)]
pub(crate) struct Unadmitted(pub(crate) String);

fn not_set_up(request: &HttpRequest, asked: &str) -> Refusal {
    let path = request.match_pattern().unwrap_or_else(|| request.path().to_owned());
    let why = format!("nothing admitted {path} for {asked}: wrap it in bekci.require::<{asked}>()");
    request.extensions_mut().insert(Unadmitted(why.clone()));
    Refusal::unprotected(why)
}

/// Who acts, through guard `G`: `async fn delete_post(who: Auth<Admin>, ..)`.
///
/// `Option<Auth<G>>` is `None` where a [`Require`](crate::Require) that names `G` let the request in through another of its guards, or a route for guests has
/// nobody. Where none names `G`, [`Front`](crate::Front) answers 500 whatever the handler made of the `None`, so that nobody is taken for anonymous by mistake.
pub struct Auth<G: GuardType> {
    who: Who,
    guard: PhantomData<fn() -> G>,
}

impl<G: GuardType> Deref for Auth<G> {
    type Target = Who;

    fn deref(&self) -> &Who {
        &self.who
    }
}

impl<G: GuardType> Clone for Auth<G> {
    fn clone(&self) -> Self {
        Self {
            who: self.who.clone(),
            guard: PhantomData,
        }
    }
}

impl<G: GuardType> fmt::Debug for Auth<G> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.who, formatter)
    }
}

impl<G: GuardType> FromRequest for Auth<G> {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let is_asked = |who: &Who| who.principal().guard.name.as_str() == G::NAME;
        let found = find(
            request,
            short_name::<G>(),
            |admitted| admitted.is_for(G::NAME),
            is_asked,
            false,
        );
        ready(found.map(|who| Self {
            who,
            guard: PhantomData,
        }))
    }
}

/// [`Auth<G>`](Auth) for who signed in at most `SECONDS` ago, not by a remember-me cookie: `async fn pay(who: Fresh<Customer, 300>)`. Else 403 `FORBIDDEN` with
/// `details.freshWithinSeconds`.
pub struct Fresh<G: GuardType, const SECONDS: u32>(Auth<G>);

impl<G: GuardType, const SECONDS: u32> Deref for Fresh<G, SECONDS> {
    type Target = Who;

    fn deref(&self) -> &Who {
        &self.0
    }
}

impl<G: GuardType, const SECONDS: u32> fmt::Debug for Fresh<G, SECONDS> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl<G: GuardType, const SECONDS: u32> FromRequest for Fresh<G, SECONDS> {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let who = Auth::<G>::from_request(request, payload).into_inner();
        ready(who.and_then(|who| {
            if who.is_fresh(time::Duration::seconds(i64::from(SECONDS))) {
                Ok(Self(who))
            } else {
                Err(AuthError::NotFresh(SECONDS).into())
            }
        }))
    }
}

/// The last segment of a type's path.
fn short_name<G>() -> &'static str {
    let name = std::any::type_name::<G>();
    name.rsplit("::").next().unwrap_or(name)
}

/// Who is signed in, through whichever guard of the route.
#[derive(Clone, Debug)]
pub struct AnyAuth(Who);

impl Deref for AnyAuth {
    type Target = Who;

    fn deref(&self) -> &Who {
        &self.0
    }
}

impl FromRequest for AnyAuth {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(find(request, "G", |_| true, |_| true, false).map(Self))
    }
}

/// The proof that the innermost [`Require`](crate::Require) let the request through, for code that must not be reached round the gate.
#[must_use]
pub fn permit(request: &HttpRequest) -> Option<Permit> {
    let extensions = request.extensions();
    let all = extensions.get::<AllAdmitted>()?;
    all.0.last().map(|admitted| admitted.permit)
}

/// The principal that the innermost [`Require`](crate::Require) admitted, also one [before its verification](Principal::is_temporary); `None` where there was none, or nobody is signed in.
#[must_use]
pub fn principal(request: &HttpRequest) -> Option<Arc<Principal>> {
    let extensions = request.extensions();
    let all = extensions.get::<AllAdmitted>()?;
    let who = all.0.last()?.who.as_ref()?;
    Some(Arc::clone(who.shared()))
}
