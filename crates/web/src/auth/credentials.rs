//! The credentials that came with a call, and whether they count.

use std::sync::Arc;

use actix_web::HttpRequest;
use bekci_core::{
    Admission, AskedTenant, AuthError, CookieLookup, GuardChain, GuardOutcome, RequestHead, SessionId, TokenFault,
    VerifiedClaims, check_origin, cookie,
    remember::SeriesId,
    security::{self, SecurityCheck},
};
use bekci_signin::RefreshTokens;

use super::Mounted;
use crate::{Asked, Reading, Who, record, respond::Refusal};

/// A request's credentials for the guard of its path.
pub(super) struct Presented<'a> {
    head: RequestHead<'a>,
    mounted: &'a Mounted,
}

/// A refresh token, and whether it came by cookie.
pub(super) struct RefreshCredential<'a> {
    pub(super) token: &'a str,
    pub(super) by_cookie: bool,
}

/// Asks the gate who calls, as before any route. It is about the principal itself, so about no tenant.
pub(super) async fn admitted(request: &HttpRequest, mounted: &Mounted) -> Result<Who, Refusal> {
    admitted_to(request, mounted, &Asked::None).await
}

/// The same where the answer tells what the principal holds in a tenant.
pub(super) async fn admitted_to(request: &HttpRequest, mounted: &Mounted, asked: &Asked) -> Result<Who, Refusal> {
    let reading = Reading::of(request).map_err(AuthError::from)?;
    let watch = mounted.bekci.watch();
    let Admission { principal, .. } =
        record::admit(watch, request, &reading.head(asked.tenant()), &mounted.rule).await?;
    let principal = principal.ok_or(AuthError::TokenMissing)?;
    Ok(Who::new(Arc::new(principal), watch.clone()))
}

impl<'a> Presented<'a> {
    pub(super) fn new(reading: &'a Reading<'_>, mounted: &'a Mounted) -> Self {
        Self {
            head: reading.head(AskedTenant::None),
            mounted,
        }
    }

    /// What its security cookie is worth for a session.
    pub(super) fn security(&self, session: SessionId) -> SecurityCheck {
        let now = self.mounted.bekci.watch().clock().now();
        security::look(&self.head, &self.mounted.guard, session, now)
    }

    pub(super) fn cookie(&self, name: &str) -> CookieLookup<'a> {
        cookie(self.head.cookies, name)
    }

    /// Whether the browser says that a page of another site sends this.
    pub(super) fn is_cross_site(&self) -> bool {
        self.head.fetch_site == Some("cross-site")
    }

    /// The access token's claims, if one was presented; whether its session lives is not asked. An expired one counts as none where `expired_is_none`.
    pub(super) fn access(&self, expired_is_none: bool) -> Result<Option<Arc<VerifiedClaims>>, AuthError> {
        let verifier = &*self.mounted.bekci.watch().gate().parts().verifier;
        let chain = GuardChain::new([Arc::clone(&self.mounted.guard)]);
        match chain.authenticate(&self.head, verifier) {
            GuardOutcome::NotPresented => Ok(None),
            GuardOutcome::Authenticated { claims, by_cookie, .. } => {
                if by_cookie {
                    check_origin(&self.head, &self.mounted.guard, claims.session)?;
                }
                Ok(Some(claims))
            }
            GuardOutcome::Rejected(AuthError::TokenInvalid(TokenFault::Expired)) if expired_is_none => Ok(None),
            GuardOutcome::Rejected(error) | GuardOutcome::Unavailable(error) => Err(error),
        }
    }

    /// The refresh token, from the body or the cookie. Two different ones are ambiguous; one that the browser added by itself needs proof of origin.
    pub(super) fn refresh(&self, in_body: Option<&'a str>) -> Result<Option<RefreshCredential<'a>>, AuthError> {
        let guard = &self.mounted.guard;
        let in_cookie = if guard.sources.cookie {
            self.cookie(&guard.cookies.refresh)
        } else {
            CookieLookup::Absent
        };
        match (in_body, in_cookie) {
            (_, CookieLookup::Several) => Err(AuthError::AmbiguousCredentials),
            (Some(body), CookieLookup::One(cookie)) if body != cookie => Err(AuthError::AmbiguousCredentials),
            (Some(token), _) => Ok(Some(RefreshCredential {
                token,
                by_cookie: false,
            })),
            (None, CookieLookup::One(token)) => {
                self.check_refresh_cookie(token)?;
                Ok(Some(RefreshCredential { token, by_cookie: true }))
            }
            (None, CookieLookup::Absent) => Ok(None),
        }
    }

    /// A refresh cookie has a path, so that its name cannot begin with `__Host-`, and a sibling host can plant one. It counts only beside the CSRF cookie of its
    /// session: over https that has the prefix, and no other host can set it.
    fn check_refresh_cookie(&self, token: &str) -> Result<(), AuthError> {
        let guard = &self.mounted.guard;
        let tokens = RefreshTokens::new(self.mounted.bekci.root(), &guard.name);
        let Ok((session, _)) = tokens.parse(token) else {
            // It opens nothing; what it is counted under is still the client's.
            return if self.head.fetch_site == Some("same-origin") {
                Ok(())
            } else {
                Err(AuthError::CsrfRejected)
            };
        };
        check_origin(&self.head, guard, session)?;
        match self.cookie(&guard.cookies.csrf) {
            CookieLookup::One(held) if guard.csrf.is_token_of(session, held) => Ok(()),
            _ => Err(AuthError::CsrfRejected),
        }
    }

    /// The remember-me token. The browser adds it by itself, so it needs proof of origin: `Sec-Fetch-Site`, or the CSRF cookie's value in the header. The latter counts over
    /// https alone, where no other host can set that cookie.
    pub(super) fn remember(&self) -> Result<Option<&'a str>, AuthError> {
        let guard = &self.mounted.guard;
        if !guard.sources.cookie {
            return Ok(None);
        }
        let token = match self.cookie(&guard.cookies.remember) {
            CookieLookup::Absent => return Ok(None),
            CookieLookup::Several => return Err(AuthError::AmbiguousCredentials),
            CookieLookup::One(token) => token,
        };
        let is_own = match (self.head.fetch_site, self.head.csrf_token) {
            (Some("same-origin"), _) => true,
            (None, Some(given)) if guard.cookies.secure => {
                matches!(self.cookie(&guard.cookies.csrf), CookieLookup::One(held) if held == given)
            }
            _ => false,
        };
        if is_own {
            Ok(Some(token))
        } else {
            Err(AuthError::CsrfRejected)
        }
    }

    /// The series of a remember-me token that came from our own pages.
    pub(super) fn series(&self) -> Option<SeriesId> {
        let token = self.remember().ok().flatten()?;
        self.mounted.bekci.sign_in().series_of(&self.mounted.guard, token)
    }

    /// The session that a new sign-in replaces: that of the credentials that it came with, if they are good. Bad ones do not hinder a sign-in, but two
    /// different ones do.
    pub(super) fn replaced(&self) -> Result<Option<SessionId>, AuthError> {
        match self.access(true) {
            Ok(Some(claims)) => return Ok(Some(claims.session)),
            Err(AuthError::AmbiguousCredentials) => return Err(AuthError::AmbiguousCredentials),
            Ok(None) | Err(_) => {}
        }
        match self.refresh(None) {
            Ok(Some(refresh)) => {
                let tokens = RefreshTokens::new(self.mounted.bekci.root(), &self.mounted.guard.name);
                Ok(tokens.parse(refresh.token).ok().map(|(session, _)| session))
            }
            Err(AuthError::AmbiguousCredentials) => Err(AuthError::AmbiguousCredentials),
            Ok(None) | Err(_) => Ok(None),
        }
    }
}
