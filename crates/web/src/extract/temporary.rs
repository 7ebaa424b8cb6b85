//! Who acts before the sign-in is verified.

use std::{fmt, future::ready, marker::PhantomData, ops::Deref};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use bekci_core::RouteKind;
use secrecy::SecretString;

use super::{find, short_name};
use crate::{GuardType, Who, respond::Refusal};

/// Who has given a right credential at guard `G`, and waits for the verification of that: `async fn verify(who: Temp<Customer>, ..)`, on a route that asks for
/// [`unverified`](crate::Require::unverified). It holds no right.
///
/// Somebody who is signed in is no such: the route lets them in, and here they are 401 `TOKEN_INVALID`, as a temporary identity is for [`Auth<G>`](crate::Auth). A handler for
/// both takes `Either<Temp<G>, Auth<G>>` of [`actix_web::Either`].
pub struct Temp<G: GuardType> {
    who: Who,
    guard: PhantomData<fn() -> G>,
}

impl<G: GuardType> Temp<G> {
    /// What names this sign-in for [`GuardCalls::confirm_verified`](crate::GuardCalls::confirm_verified).
    ///
    /// # Errors
    /// A [`Refusal`] with `INTERNAL` where the [`Watch`](crate::Watch) was made by hand.
    pub fn verification_ref(&self) -> Result<SecretString, Refusal> {
        let sign_in = &self.who.ways()?.sign_in;
        Ok(sign_in.verification_ref(&self.who.principal().guard, self.who.session_id()))
    }
}

impl<G: GuardType> Deref for Temp<G> {
    type Target = Who;

    fn deref(&self) -> &Who {
        &self.who
    }
}

impl<G: GuardType> Clone for Temp<G> {
    fn clone(&self) -> Self {
        Self {
            who: self.who.clone(),
            guard: PhantomData,
        }
    }
}

impl<G: GuardType> fmt::Debug for Temp<G> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.who, formatter)
    }
}

impl<G: GuardType> FromRequest for Temp<G> {
    type Error = Refusal;
    type Future = std::future::Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = find(
            request,
            &format!("{}>().unverified(", short_name::<G>()),
            |admitted| admitted.is_for(G::NAME) && admitted.rule.kind == RouteKind::Unverified,
            |who| who.principal().guard.name.as_str() == G::NAME,
            true,
        );
        ready(found.map(|who| Self {
            who,
            guard: PhantomData,
        }))
    }
}
