//! The Bearer challenge of RFC 6750, by the types of actix-web-httpauth.

use std::{fmt, sync::LazyLock};

use actix_web::{
    http::header::{HeaderValue, InvalidHeaderValue, TryIntoHeaderValue},
    web::Bytes,
};
use actix_web_httpauth::headers::www_authenticate::{
    Challenge as Scheme, WwwAuthenticate,
    bearer::{Bearer, Error},
};
use bekci_core::Challenge;

/// One realm for all guards: it must not tell which guard would have let somebody in.
const REALM: &str = "bekci";

/// [`Bearer`] with its parameters parted by commas, as RFC 9110 section 11.6.1 has them. It writes a space alone.
#[derive(Clone, Debug)]
struct WithCommas {
    realm: Bearer,
    error: Option<Error>,
}

impl fmt::Display for WithCommas {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.realm.fmt(formatter)?;
        match &self.error {
            Some(error) => write!(formatter, ", error=\"{error}\""),
            None => Ok(()),
        }
    }
}

impl TryIntoHeaderValue for WithCommas {
    type Error = InvalidHeaderValue;

    fn try_into_value(self) -> Result<HeaderValue, Self::Error> {
        HeaderValue::from_maybe_shared(self.to_bytes())
    }
}

impl Scheme for WithCommas {
    fn to_bytes(&self) -> Bytes {
        Bytes::from(self.to_string())
    }
}

/// The header of a challenge. Each is written once.
static CHALLENGES: LazyLock<[Option<HeaderValue>; 4]> = LazyLock::new(|| {
    let errors = [
        None,
        Some(Error::InvalidRequest),
        Some(Error::InvalidToken),
        Some(Error::InsufficientScope),
    ];
    errors.map(|error| {
        let realm = Bearer::build().realm(REALM).finish();
        WwwAuthenticate(WithCommas { realm, error }).try_into_value().ok()
    })
});

/// The value of `WWW-Authenticate`; `None`: there is no challenge.
pub(super) fn bearer_challenge(challenge: Challenge) -> Option<&'static HeaderValue> {
    let [bare, request, token, scope] = &*CHALLENGES;
    match challenge {
        Challenge::None => None,
        Challenge::Bare => bare.as_ref(),
        Challenge::InvalidRequest => request.as_ref(),
        Challenge::InvalidToken => token.as_ref(),
        Challenge::InsufficientScope => scope.as_ref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_challenge_has_its_header_and_httpauth_writes_the_realm() {
        let text = |challenge| bearer_challenge(challenge).map(|value| value.to_str().unwrap());
        let realm = Bearer::build().realm(REALM).finish().to_string();
        assert_eq!(text(Challenge::None), None);
        assert_eq!(text(Challenge::Bare), Some(realm.as_str()));
        for (challenge, error) in [
            (Challenge::InvalidRequest, "invalid_request"),
            (Challenge::InvalidToken, "invalid_token"),
            (Challenge::InsufficientScope, "insufficient_scope"),
        ] {
            assert_eq!(text(challenge), Some(format!("{realm}, error=\"{error}\"").as_str()));
        }
    }
}
