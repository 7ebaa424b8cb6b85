//! Before the gate: a browser that has no token of a session, and a remember-me token, is signed in by that.
//!
//! 1. Only for a page that a browser navigates to: `GET`, `Sec-Fetch-Mode: navigate`, and not for a frame. What scripts, forms and images ask for is never signed in by itself;
//!    a script calls `token/refresh`.
//! 2. Only where no token is presented: no `Authorization` header, and no access cookie of any guard of the route. A bad one is no reason to use another.
//! 3. Only on routes for who is signed in, verified or not. On a route for fresh sign-ins it would be of no use.
//! 4. The first guard in the route's order whose remember-me cookie is there decides, alone.
//! 5. What comes of it is an access token, which the gate judges like any other. The answer sets the cookies, whatever the gate says.
//! 6. A token that is good for nothing is taken away, and the request goes on without one.
//! 7. A session by cookie has its security cookie exchanged where that is old, see [`bekci_core::security`]. One that is missing or of another session is reported, and the gate
//!    refuses the request. Only a good access token has anything exchanged.
//! 8. Where too many were refused, the request goes on without one, too: the page to sign in at is of more use than 429.

use std::{net::IpAddr, sync::Arc};

use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use bekci_core::{
    AuthError, AuthGuard, Clock, CookieLookup, GuardOutcome, HeaderCredential, RequestHead, RouteKind, RouteRule,
    SessionId, TokenVerifier, cookie,
    security::{self, SecurityCheck, SecurityCookie},
};
use bekci_signin::{RecallAttempt, SignIn, SignInError, SignedIn};
use secrecy::ExposeSecret as _;

use crate::{
    Watch,
    auth::{self, cookies::Jar},
    respond::only,
    watch::Ways,
};

static FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Signs browsers in by their remember-me token, before a gate.
#[derive(Clone, Debug)]
pub struct BrowserSession {
    ways: Ways,
    clock: Arc<dyn Clock>,
    verifier: Arc<dyn TokenVerifier>,
}

/// What came of a remember-me token.
#[derive(Debug)]
pub struct BrowserUpdate {
    /// A `Cookie` header with the access token; `None`: the browser is not signed in.
    pub cookie: Option<HeaderValue>,
    /// The session whose security cookie was exchanged, or has just begun.
    pub secured: Option<SessionId>,
    set: Vec<HeaderValue>,
}

impl BrowserUpdate {
    /// Gives the browser what it is to keep, with whatever answer. No cache keeps it.
    pub fn put(self, headers: &mut HeaderMap) {
        for cookie in self.set {
            headers.append(SET_COOKIE, cookie);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

impl BrowserSession {
    pub(crate) fn of(watch: &Watch) -> Option<Self> {
        Some(Self {
            ways: watch.ways()?.clone(),
            clock: Arc::clone(&watch.gate().parts().clock),
            verifier: Arc::clone(&watch.gate().parts().verifier),
        })
    }

    /// By the rules in the module's documentation; `None`: there was nothing to do.
    ///
    /// # Errors
    /// Why a request goes no further: the account is banned, or it cannot be told; two different remember-me tokens.
    pub async fn before(
        &self,
        head: &RequestHead<'_>,
        headers: &HeaderMap,
        rule: &RouteRule,
        client: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<Option<BrowserUpdate>, AuthError> {
        // What most requests are: of no browser.
        if head.cookies.is_empty() || rule.kind == RouteKind::Public {
            return Ok(None);
        }
        if let Some(update) = self.exchange(head, rule).await? {
            return Ok(Some(update));
        }
        if !is_navigation(head, headers) {
            return Ok(None);
        }
        let Some((guard, token)) = presented(head, rule)? else {
            return Ok(None);
        };
        let attempt = RecallAttempt {
            token,
            client: client(),
        };
        // Boxed, so that requests that have nothing of it do not carry its room.
        let recalled = Box::pin(self.sign_in().recall(guard, attempt)).await;
        let prefix = self.ways.prefix.get().map_or("/auth", |prefix| prefix);
        let path = auth::calls_of(guard, prefix);
        let jar = Jar::new(guard, &path);
        match recalled {
            Ok(signed_in) => self.signed_in(guard, &jar, &signed_in).map(Some),
            Err(SignInError::RememberInvalid | SignInError::RememberStolen) => Ok(Some(BrowserUpdate {
                cookie: None,
                secured: None,
                set: HeaderValue::try_from(jar.without_remember().to_string())
                    .into_iter()
                    .collect(),
            })),
            Err(SignInError::RateLimited { .. }) => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }

    /// Rule 7 alone; `None`: there was nothing to do.
    pub(crate) async fn exchange(
        &self,
        head: &RequestHead<'_>,
        rule: &RouteRule,
    ) -> Result<Option<BrowserUpdate>, AuthError> {
        if head.cookies.is_empty() {
            return Ok(None);
        }
        let Some((guard, held)) = self.to_exchange(head, rule) else {
            return Ok(None);
        };
        let exchanged = Box::pin(self.sign_in().exchange_security(guard, &held)).await;
        let text = exchanged.map_err(refused)?;
        let prefix = self.ways.prefix.get().map_or("/auth", |prefix| prefix);
        let path = auth::calls_of(guard, prefix);
        let cookie = Jar::new(guard, &path).exchanged(text);
        Ok(Some(BrowserUpdate {
            cookie: None,
            secured: Some(held.session),
            set: HeaderValue::try_from(cookie.to_string()).into_iter().collect(),
        }))
    }

    /// Checks an old security cookie where no answer could set its successor, as at a decision endpoint. Gives the session whose cookie is current.
    ///
    /// # Errors
    /// [`AuthError::SecurityTokenInvalid`], and the session ends unless the application answers otherwise; where it cannot be told.
    pub async fn check(&self, head: &RequestHead<'_>, rule: &RouteRule) -> Result<Option<SessionId>, AuthError> {
        if head.cookies.is_empty() || rule.kind == RouteKind::Public {
            return Ok(None);
        }
        let Some((guard, held)) = self.to_exchange(head, rule) else {
            return Ok(None);
        };
        let checked = Box::pin(self.sign_in().check_security(guard, &held)).await;
        checked.map_err(refused)?;
        Ok(Some(held.session))
    }

    /// The guard that judges an access cookie, and the old security cookie beside it.
    fn to_exchange<'b>(
        &self,
        head: &RequestHead<'_>,
        rule: &'b RouteRule,
    ) -> Option<(&'b Arc<AuthGuard>, SecurityCookie)> {
        // Looked at before the access token is: a young one is the gate's affair.
        let now = self.clock.now();
        let is_due = |guard: &&Arc<AuthGuard>| {
            let Some(interval) = guard.security_interval() else {
                return false;
            };
            match cookie(head.cookies, &guard.cookies.security) {
                CookieLookup::One(text) => {
                    let read = guard.security.read(text);
                    !read.is_some_and(|held| held.is_young(interval, now))
                }
                CookieLookup::Absent | CookieLookup::Several => true,
            }
        };
        let by_cookie = || rule.guards.iter().filter(|guard| guard.sources.cookie);
        by_cookie().find(is_due)?;
        let GuardOutcome::Authenticated {
            guard,
            claims,
            by_cookie: true,
        } = rule.guards.authenticate(head, &*self.verifier)
        else {
            return None;
        };
        let guard = rule.guards.iter().find(|known| known.name == guard.name)?;
        match security::look(head, guard, claims.session, now) {
            SecurityCheck::NotNeeded | SecurityCheck::Young(_) => None,
            SecurityCheck::Old(held) => Some((guard, held)),
            SecurityCheck::Invalid => {
                self.sign_in().security_missing(guard, &claims.key, claims.session);
                None
            }
        }
    }

    /// The address that the client of a request is believed to have.
    pub(crate) fn client_of(&self, request: &actix_web::HttpRequest) -> Option<IpAddr> {
        self.ways.trusted_proxies.client_of(request)
    }

    fn sign_in(&self) -> &SignIn {
        &self.ways.sign_in
    }

    fn signed_in(&self, guard: &AuthGuard, jar: &Jar<'_>, signed_in: &SignedIn) -> Result<BrowserUpdate, AuthError> {
        let cannot = |what: String| AuthError::StoreUnavailable(what.into());
        let cookies = jar.signed_in(signed_in, self.clock.now());
        let cookies = cookies.map_err(|refusal| cannot(refusal.to_string()))?;
        let value = |text: String| HeaderValue::try_from(text).map_err(|error| cannot(error.to_string()));
        let access = format!("{}={}", guard.cookies.access, signed_in.access.expose_secret());
        let set: Result<Vec<_>, _> = cookies.iter().map(|cookie| value(cookie.to_string())).collect();
        Ok(BrowserUpdate {
            cookie: Some(value(access)?),
            secured: Some(signed_in.session),
            set: set?,
        })
    }
}

/// Rule 1.
fn is_navigation(head: &RequestHead<'_>, headers: &HeaderMap) -> bool {
    let destination = only(headers, &FETCH_DEST);
    head.method == "GET"
        && only(headers, &FETCH_MODE) == Some("navigate")
        && (destination == Some("document") || !headers.contains_key(&FETCH_DEST))
}

/// Rules 2 to 4.
fn presented<'a, 'b>(
    head: &RequestHead<'a>,
    rule: &'b RouteRule,
) -> Result<Option<(&'b Arc<AuthGuard>, &'a str)>, AuthError> {
    let is_for_signed_in = matches!(rule.kind, RouteKind::Authorized | RouteKind::Unverified);
    if !is_for_signed_in || !matches!(head.authorization, HeaderCredential::Absent) {
        return Ok(None);
    }
    let is_there = |name: &str| cookie(head.cookies, name) != CookieLookup::Absent;
    let by_cookie = || rule.guards.iter().filter(|guard| guard.sources.cookie);
    let holds_token = |guard: &&Arc<AuthGuard>| {
        let names = &guard.cookies;
        let is_temporary = rule.kind == RouteKind::Unverified && is_there(&names.temporary);
        is_there(&names.access) || is_there(&names.refresh) || is_temporary
    };
    if by_cookie().any(|guard| holds_token(&guard)) {
        return Ok(None);
    }
    for guard in by_cookie() {
        match cookie(head.cookies, &guard.cookies.remember) {
            CookieLookup::Absent => {}
            CookieLookup::One(token) => return Ok(Some((guard, token))),
            CookieLookup::Several => return Err(AuthError::AmbiguousCredentials),
        }
    }
    Ok(None)
}

/// Why a request goes no further.
fn refused(error: SignInError) -> AuthError {
    match error {
        SignInError::Banned { reason, until } => AuthError::AccountBanned { reason, until },
        SignInError::Inactive => AuthError::AccountInactive,
        SignInError::Unverified => AuthError::Unverified,
        SignInError::NotInTenant(tenant) => AuthError::NotInTenant(tenant.as_str().into()),
        SignInError::SecurityTokenInvalid => AuthError::SecurityTokenInvalid,
        other => AuthError::StoreUnavailable(other.to_string().into()),
    }
}
