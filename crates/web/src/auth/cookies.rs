//! A guard's cookies, by section 5 of the contract: HttpOnly but for the CSRF token, SameSite=Lax, Secure where the public URL is https, the refresh token
//! only for the paths of the guard's calls.

use actix_web::{
    HttpResponseBuilder,
    cookie::{Cookie, SameSite, time::Duration},
};
use bekci_core::{AuthGuard, SessionId, security::SecurityCookie};
use bekci_signin::{RememberToken, SignedIn, SignedInBy, TemporarySignIn};
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use super::Mounted;
use crate::respond::Refusal;

/// Where a guard's cookies go.
#[derive(Clone, Copy)]
pub(crate) struct Jar<'a> {
    guard: &'a AuthGuard,
    /// The path of its calls.
    path: &'a str,
}

impl<'a> Jar<'a> {
    pub(crate) fn new(guard: &'a AuthGuard, path: &'a str) -> Self {
        Self { guard, path }
    }

    fn of(mounted: &'a Mounted) -> Self {
        Self::new(&mounted.guard, &mounted.path)
    }

    fn cookie(&self, name: &str, value: String, path: &str, lasts: Duration) -> Cookie<'static> {
        Cookie::build(name.to_owned(), value)
            .path(path.to_owned())
            .same_site(SameSite::Lax)
            .secure(self.guard.cookies.secure)
            .http_only(name != self.guard.cookies.csrf)
            .max_age(lasts)
            .finish()
    }

    fn all(&self, values: [(String, Duration); 3]) -> [Cookie<'static>; 3] {
        let names = &self.guard.cookies;
        let [(access, access_lasts), (refresh, refresh_lasts), (csrf, csrf_lasts)] = values;
        [
            self.cookie(&names.access, access, "/", access_lasts),
            self.cookie(&names.refresh, refresh, self.path, refresh_lasts),
            self.cookie(&names.csrf, csrf, "/", csrf_lasts),
        ]
    }

    /// The tokens of a sign-in. The CSRF token is the session's: a new sign-in has a new one, a refresh keeps it.
    pub(crate) fn signed_in(&self, signed_in: &SignedIn, now: OffsetDateTime) -> Result<Vec<Cookie<'static>>, Refusal> {
        let csrf = self.csrf(signed_in.session)?;
        let session = seconds(signed_in.refresh_expires_at, now);
        let values = [
            (
                signed_in.access.expose_secret().to_owned(),
                Duration::seconds(signed_in.expires_in_seconds),
            ),
            (signed_in.refresh.expose_secret().to_owned(), session),
            (csrf, session),
        ];
        let mut cookies = self.all(values).to_vec();
        cookies.extend(signed_in.remember.as_ref().map(|remember| self.remember(remember, now)));
        // A refresh keeps the one that there is, or has exchanged it.
        if !is_refreshed(signed_in) {
            let first = SecurityCookie {
                session: signed_in.session,
                generation: 0,
                issued_at: now.unix_timestamp(),
            };
            let first = self
                .guard
                .security_interval()
                .and_then(|_| self.guard.security.make(&first));
            cookies.extend(first.map(|text| self.security(text, session)));
        }
        Ok(cookies)
    }

    /// The security cookie, which lasts as long as the session.
    pub(crate) fn security(&self, text: String, lasts: Duration) -> Cookie<'static> {
        self.cookie(&self.guard.cookies.security, text, "/", lasts)
    }

    /// The same after an exchange: as long as a session can last.
    pub(crate) fn exchanged(&self, text: String) -> Cookie<'static> {
        let rules = &self.guard.session.refresh;
        self.security(text, Duration::seconds(rules.ttl.whole_seconds()))
    }

    fn remember(&self, remember: &RememberToken, now: OffsetDateTime) -> Cookie<'static> {
        let token = remember.token.expose_secret().to_owned();
        let lasts = seconds(remember.expires_at, now);
        self.cookie(&self.guard.cookies.remember, token, "/", lasts)
    }

    /// What takes the remember-me token away.
    pub(crate) fn without_remember(&self) -> Cookie<'static> {
        self.cookie(&self.guard.cookies.remember, String::new(), "/", Duration::ZERO)
    }

    fn csrf(&self, session: SessionId) -> Result<String, Refusal> {
        let token = self.guard.csrf.token(session);
        token.ok_or_else(|| Refusal::misconfigured("the guard has no key for CSRF tokens".to_owned()))
    }
}

/// Sets the tokens of a sign-in.
pub(super) fn set(answer: &mut HttpResponseBuilder, mounted: &Mounted, signed_in: &SignedIn) -> Result<(), Refusal> {
    let now = mounted.bekci.watch().clock().now();
    for cookie in Jar::of(mounted).signed_in(signed_in, now)? {
        answer.cookie(cookie);
    }
    Ok(())
}

/// Sets the token of a temporary identity and its CSRF token.
pub(super) fn set_temporary(
    answer: &mut HttpResponseBuilder,
    mounted: &Mounted,
    temporary: &TemporarySignIn,
) -> Result<(), Refusal> {
    let (jar, names) = (Jar::of(mounted), &mounted.guard.cookies);
    let lasts = Duration::seconds(temporary.expires_in_seconds);
    let token = temporary.token.expose_secret().to_owned();
    answer.cookie(jar.cookie(&names.temporary, token, "/", lasts));
    answer.cookie(jar.cookie(&names.csrf, jar.csrf(temporary.session)?, "/", lasts));
    Ok(())
}

/// Removes the token of a temporary identity.
pub(super) fn clear_temporary(answer: &mut HttpResponseBuilder, mounted: &Mounted) {
    let (jar, names) = (Jar::of(mounted), &mounted.guard.cookies);
    answer.cookie(jar.cookie(&names.temporary, String::new(), "/", Duration::ZERO));
}

/// What takes the remember-me token of a browser away.
pub(super) fn without_remember(mounted: &Mounted) -> Cookie<'static> {
    Jar::of(mounted).without_remember()
}

/// Removes the guard's cookies: a browser takes away what has the same name and path.
pub(super) fn clear(answer: &mut HttpResponseBuilder, mounted: &Mounted) {
    let gone = || (String::new(), Duration::ZERO);
    let jar = Jar::of(mounted);
    for cookie in jar.all([gone(), gone(), gone()]) {
        answer.cookie(cookie);
    }
    if mounted.guard.security_interval().is_some() {
        answer.cookie(jar.security(String::new(), Duration::ZERO));
    }
}

/// Whether a refresh gave the tokens.
fn is_refreshed(signed_in: &SignedIn) -> bool {
    match signed_in.outcome {
        SignedInBy::Rotated | SignedInBy::Replayed | SignedInBy::Recovered => true,
        SignedInBy::Password
        | SignedInBy::EmailOtp
        | SignedInBy::EmailLink
        | SignedInBy::External
        | SignedInBy::Issued
        | SignedInBy::Remembered
        | SignedInBy::Verified => false,
    }
}

/// Sets a security cookie that was exchanged.
pub(super) fn set_exchanged(answer: &mut HttpResponseBuilder, mounted: &Mounted, text: String) {
    answer.cookie(Jar::of(mounted).exchanged(text));
}

fn seconds(until: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::seconds((until - now).whole_seconds().max(0))
}
