//! Staying signed in, from code.

use std::sync::Arc;

use actix_web::cookie::Cookie;
use bekci_core::{PrincipalKey, security::SessionListener};
use bekci_signin::SignedIn;

use super::GuardCalls;
use crate::{
    Builder, GuardType,
    auth::{self, cookies::Jar},
    respond::Refusal,
};

impl Builder {
    /// What decides about sessions in place of the defaults, as where a security cookie was copied.
    #[must_use]
    pub fn session_listener(mut self, listener: Arc<dyn SessionListener>) -> Self {
        self.listener = Some(listener);
        self
    }
}

impl<G: GuardType> GuardCalls<G> {
    /// The cookies of a sign-in, as the guard's own calls set them: access, refresh and CSRF token, and a remember-me token where one began. Give them with the answer:
    /// `for cookie in guard.cookies(&signed_in)? { answer.cookie(cookie); }`.
    ///
    /// # Errors
    /// A [`Refusal`] with `INTERNAL` where the guard was not registered.
    pub fn cookies(&self, signed_in: &SignedIn) -> Result<Vec<Cookie<'static>>, Refusal> {
        let guard = self.settings()?;
        let ways = self.bekci.watch().ways();
        let prefix = ways.and_then(|ways| ways.prefix.get());
        let path = auth::calls_of(guard, prefix.map_or("/auth", |prefix| prefix));
        Jar::new(guard, &path).signed_in(signed_in, self.bekci.watch().clock().now())
    }

    /// Forgets every browser of an account at this guard, and signs nobody out: from now on none of its remember-me tokens is good. Gives how many there were.
    ///
    /// # Errors
    /// A [`Refusal`] with `STORE_UNAVAILABLE`.
    pub async fn rotate_remember_token(&self, key: &PrincipalKey) -> Result<u64, Refusal> {
        let which = bekci_core::remember::Forget::All(key.clone());
        Ok(self.bekci.sign_in().forget(self.settings()?, &which).await?)
    }
}
