//! A guard's cookies, by section 5 of the contract: HttpOnly but for the CSRF token, SameSite=Lax, Secure where the public URL is https, the refresh token
//! only for the paths of the guard's calls.

use actix_web::{
    HttpResponseBuilder,
    cookie::{Cookie, SameSite, time::Duration},
};
use bekci_core::CookieLookup;
use bekci_signin::{SignedIn, TemporarySignIn, csrf_token};
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use super::{Mounted, credentials::Presented};
use crate::respond::Refusal;

/// A CSRF cookie that is shorter was not made by us (32 characters of base64url are 192 bits).
const MIN_CSRF_CHARS: usize = 32;

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

/// Sets the tokens of a sign-in. A new sign-in has a new CSRF token; a refresh keeps the one that the browser has.
pub(super) fn set(
    answer: &mut HttpResponseBuilder,
    mounted: &Mounted,
    signed_in: &SignedIn,
    kept_csrf: Option<&str>,
) -> Result<(), Refusal> {
    let csrf = match kept_csrf {
        Some(csrf) => csrf.to_owned(),
        None => new_csrf(mounted)?,
    };
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

fn new_csrf(mounted: &Mounted) -> Result<String, Refusal> {
    let made = csrf_token(mounted.bekci.entropy());
    let made = made.map_err(|error| Refusal::misconfigured(format!("no CSRF token can be made: {error}")))?;
    Ok(made.expose_secret().to_owned())
}

/// Sets the token of a temporary identity, and a CSRF token where the browser has none.
pub(super) fn set_temporary(
    answer: &mut HttpResponseBuilder,
    mounted: &Mounted,
    temporary: &TemporarySignIn,
    kept_csrf: Option<&str>,
) -> Result<(), Refusal> {
    let (jar, names) = (Jar { mounted }, &mounted.guard.cookies);
    let lasts = Duration::seconds(temporary.expires_in_seconds);
    let token = temporary.token.expose_secret().to_owned();
    answer.cookie(jar.cookie(&names.temporary, token, "/", lasts));
    if kept_csrf.is_none() {
        answer.cookie(jar.cookie(&names.csrf, new_csrf(mounted)?, "/", lasts));
    }
    Ok(())
}

/// Removes the guard's cookies: a browser takes away what has the same name and path.
pub(super) fn clear(answer: &mut HttpResponseBuilder, mounted: &Mounted) {
    let gone = || (String::new(), Duration::ZERO);
    for cookie in (Jar { mounted }).all([gone(), gone(), gone()]) {
        answer.cookie(cookie);
    }
}

/// The browser's CSRF token, if it can be one of ours.
pub(super) fn csrf_of<'a>(presented: &Presented<'a>, mounted: &Mounted) -> Option<&'a str> {
    let fits = |value: &&str| {
        value.len() >= MIN_CSRF_CHARS
            && value.len() <= 2 * MIN_CSRF_CHARS
            && value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    match presented.cookie(&mounted.guard.cookies.csrf) {
        CookieLookup::One(value) => Some(value).filter(fits),
        CookieLookup::Absent | CookieLookup::Several => None,
    }
}

fn seconds(until: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::seconds((until - now).whole_seconds().max(0))
}
