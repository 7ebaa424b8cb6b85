//! A guard's cookies, by section 5 of the contract: HttpOnly but for the CSRF token, SameSite=Lax, Secure where the public URL is https, the refresh token
//! only for the paths of the guard's calls.

use actix_web::{
    HttpResponseBuilder,
    cookie::{Cookie, SameSite, time::Duration},
};
use bekci_core::SessionId;
use bekci_signin::{SignedIn, TemporarySignIn};
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use super::Mounted;
use crate::respond::Refusal;

struct Jar<'a> {
    mounted: &'a Mounted,
}

impl<'a> Jar<'a> {
    fn cookie(&self, name: &'a str, value: String, path: &'a str, lasts: Duration) -> Cookie<'a> {
        Cookie::build(name, value)
            .path(path)
            .same_site(SameSite::Lax)
            .secure(self.mounted.guard.cookies.secure)
            .http_only(name != self.mounted.guard.cookies.csrf)
            .max_age(lasts)
            .finish()
    }

    fn all(&self, values: [(String, Duration); 3]) -> [Cookie<'a>; 3] {
        let names = &self.mounted.guard.cookies;
        let [(access, access_lasts), (refresh, refresh_lasts), (csrf, csrf_lasts)] = values;
        [
            self.cookie(&names.access, access, "/", access_lasts),
            self.cookie(&names.refresh, refresh, &self.mounted.path, refresh_lasts),
            self.cookie(&names.csrf, csrf, "/", csrf_lasts),
        ]
    }
}

/// Sets the tokens of a sign-in. The CSRF token is the session's: a new sign-in has a new one, a refresh keeps it.
pub(super) fn set(answer: &mut HttpResponseBuilder, mounted: &Mounted, signed_in: &SignedIn) -> Result<(), Refusal> {
    let csrf = csrf(mounted, signed_in.session)?;
    let now = mounted.bekci.watch().clock().now();
    let session = seconds(signed_in.refresh_expires_at, now);
    let values = [
        (
            signed_in.access.expose_secret().to_owned(),
            Duration::seconds(signed_in.expires_in_seconds),
        ),
        (signed_in.refresh.expose_secret().to_owned(), session),
        (csrf, session),
    ];
    for cookie in (Jar { mounted }).all(values) {
        answer.cookie(cookie);
    }
    Ok(())
}

fn csrf(mounted: &Mounted, session: SessionId) -> Result<String, Refusal> {
    let token = mounted.guard.csrf.token(session);
    token.ok_or_else(|| Refusal::misconfigured("the guard has no key for CSRF tokens".to_owned()))
}

/// Sets the token of a temporary identity and its CSRF token.
pub(super) fn set_temporary(
    answer: &mut HttpResponseBuilder,
    mounted: &Mounted,
    temporary: &TemporarySignIn,
) -> Result<(), Refusal> {
    let (jar, names) = (Jar { mounted }, &mounted.guard.cookies);
    let lasts = Duration::seconds(temporary.expires_in_seconds);
    let token = temporary.token.expose_secret().to_owned();
    answer.cookie(jar.cookie(&names.temporary, token, "/", lasts));
    answer.cookie(jar.cookie(&names.csrf, csrf(mounted, temporary.session)?, "/", lasts));
    Ok(())
}

/// Removes the token of a temporary identity.
pub(super) fn clear_temporary(answer: &mut HttpResponseBuilder, mounted: &Mounted) {
    let (jar, names) = (Jar { mounted }, &mounted.guard.cookies);
    answer.cookie(jar.cookie(&names.temporary, String::new(), "/", Duration::ZERO));
}

/// Removes the guard's cookies: a browser takes away what has the same name and path.
pub(super) fn clear(answer: &mut HttpResponseBuilder, mounted: &Mounted) {
    let gone = || (String::new(), Duration::ZERO);
    for cookie in (Jar { mounted }).all([gone(), gone(), gone()]) {
        answer.cookie(cookie);
    }
}

fn seconds(until: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::seconds((until - now).whole_seconds().max(0))
}
