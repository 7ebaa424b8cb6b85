//! What `#[permission(..)]` puts before a handler's own extractors.

use std::{
    future::{Ready, ready},
    marker::PhantomData,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use bekci_core::{AuthError, NameError, Permission, RoleName};

use crate::{AnyAuth, PermissionName, Reading, Who, respond::Refusal};

/// One thing that is asked, as the macro writes it.
#[derive(Clone, Copy, Debug)]
pub enum Term {
    /// Any of these permissions.
    Any(&'static [PermissionName]),
    /// All of these permissions.
    All(&'static [PermissionName]),
    /// This role.
    Role(&'static str),
    /// That the policies allow the request's method on its path.
    Policy,
}

#[derive(Debug)]
enum Right {
    Any(Vec<Permission>),
    All(Vec<Permission>),
    Role(RoleName),
    Policy,
}

/// All that is asked of whoever calls a handler.
#[derive(Debug)]
pub struct Rights(Result<Vec<Right>, NameError>);

impl Rights {
    /// Reads the names; one that breaks its grammar makes every call of the handler a 500.
    #[must_use]
    pub fn new(terms: &[Term]) -> Self {
        let right = |term: &Term| {
            Ok(match term {
                Term::Any(list) => Right::Any(permissions(list)?),
                Term::All(list) => Right::All(permissions(list)?),
                Term::Role(role) => Right::Role(RoleName::new(role)?),
                Term::Policy => Right::Policy,
            })
        };
        Self(terms.iter().map(right).collect())
    }

    fn check(&self, who: &Who, request: &HttpRequest) -> Result<(), Refusal> {
        let rights = match &self.0 {
            Ok(rights) => rights,
            Err(fault) => return Err(Refusal::misconfigured(format!("#[permission]: {fault}"))),
        };
        rights.iter().try_for_each(|right| right.check(who, request))
    }
}

fn permissions(names: &[PermissionName]) -> Result<Vec<Permission>, NameError> {
    names.iter().map(|name| Permission::new(name.as_str())).collect()
}

impl Right {
    fn check(&self, who: &Who, request: &HttpRequest) -> Result<(), Refusal> {
        if matches!(self, Self::Policy) {
            return ask_policy(who, request);
        }
        let missing = self.missing(who);
        missing.map_or(Ok(()), |right| Err(AuthError::MissingRight(right.into()).into()))
    }

    /// What is missing of it, in words.
    fn missing(&self, who: &Who) -> Option<String> {
        match self {
            Self::Policy => None,
            Self::Any(names) => {
                let texts: Vec<&str> = names.iter().map(Permission::as_str).collect();
                (!names.iter().any(|name| who.can(name))).then(|| format!("permission {}", texts.join(" or ")))
            }
            Self::All(names) => {
                let first = names.iter().find(|name| !who.can(*name));
                first.map(|name| format!("permission {name}"))
            }
            Self::Role(role) => (!who.has_role(role)).then(|| format!("role {role}")),
        }
    }
}

/// Asks about the method and the canonical path, as [`Require::policy`](crate::Require::policy) does.
fn ask_policy(who: &Who, request: &HttpRequest) -> Result<(), Refusal> {
    if who.principal().view.policy.is_none() {
        return Err(Refusal::misconfigured(
            "#[permission(policy)]: no policy is loaded; give the builder one with .policy(..)",
        ));
    }
    let reading = Reading::of(request).map_err(AuthError::from)?;
    Ok(who.principal().ask_policy(reading.path(), request.method().as_str())?)
}

/// What a handler asks; the macro makes one for each.
pub trait Ask: 'static {
    /// The rights, read once.
    fn rights() -> &'static Rights;
}

/// The extractor: there is a principal, and it holds what `A` asks.
#[derive(Debug)]
pub struct Asked<A: Ask>(PhantomData<A>);

impl<A: Ask> FromRequest for Asked<A> {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let who = AnyAuth::from_request(request, payload).into_inner();
        ready(
            who.and_then(|who| A::rights().check(&who, request))
                .map(|()| Self(PhantomData)),
        )
    }
}
