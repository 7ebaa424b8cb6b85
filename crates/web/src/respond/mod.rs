//! Saying no: one function turns every error into status, code, challenge and body.
//!
//! The rules:
//!
//! 1. Status and code are the contract's, by [`ErrorCode`]; the challenge is RFC 6750's: bare where no credential was presented.
//! 2. The body is `{"success": false, "error": {code, message, requestId, details?}}`, or RFC 9457 where that is asked for.
//! 3. What is for the log stays in the log: an answer has the code's sentence and chosen details, never an error's own text.
//! 4. A refusal is never stored by caches.

mod challenge;
mod foreign;
mod messages;
mod voice;

use std::{borrow::Cow, fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
            REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
        },
    },
};
use bekci_core::{AuthError, Challenge, ErrorCode};
use bekci_signin::SignInError;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::record::Reason;

use challenge::bearer_challenge;
pub(crate) use foreign::{is_late, json_fault, translated};
pub use messages::{BadMessage, Language, Messages, message};
pub use voice::{REQUEST_ID, RequestId, Voice};
pub(crate) use voice::{named_language, only};

/// What stands in every answer of Bekci's own, which is data about somebody and never a page: kept by nobody, taken for nothing else, in nobody's frame, and
/// followed from by no address (OWASP ASVS 5.0 section 3.4).
pub(crate) const OWN_ANSWERS: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (REFERRER_POLICY, "no-referrer"),
];

/// A request that is answered with one of the contract's codes.
///
/// It is an Actix error, so that a handler can return it; [`Front`](crate::Front) writes the answer in the request's language and shape.
#[derive(Debug)]
pub struct Refusal {
    code: ErrorCode,
    challenge: Challenge,
    details: Option<Box<Map<String, Value>>>,
    retry_after: Option<Duration>,
    status: Option<StatusCode>,
    reason: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with this code; `reason` is for the log alone.
    pub fn new(code: ErrorCode, reason: impl Into<Cow<'static, str>>) -> Self {
        let challenge = if code.status() == 401 {
            Challenge::Bare
        } else {
            Challenge::None
        };
        Self {
            code,
            challenge,
            details: None,
            retry_after: None,
            status: None,
            reason: reason.into(),
        }
    }

    /// Something that should have been set up was not: 500, and the log says what.
    pub fn misconfigured(what: impl Into<Cow<'static, str>>) -> Self {
        let refusal = Self::new(ErrorCode::Internal, what);
        tracing::error!(reason = %refusal.reason, "a request was refused since the application is not set up for it");
        refusal
    }

    /// A handler asks who acts, and no middleware admitted anybody: 500. In a debug build the answer and standard error say what to add, whoever subscribes to the log.
    pub(crate) fn unprotected(why: String) -> Self {
        let refusal = Self::misconfigured(why.clone());
        if cfg!(debug_assertions) {
            notice(&why);
            return refusal.detail("fix", why);
        }
        refusal
    }

    /// A body that did not come in time.
    pub(crate) fn late_body() -> Self {
        Self::new(ErrorCode::MalformedRequest, "the body did not come in time").with_status(StatusCode::REQUEST_TIMEOUT)
    }

    /// With another challenge than the code's usual one.
    #[must_use]
    pub fn challenged(mut self, challenge: Challenge) -> Self {
        self.challenge = challenge;
        self
    }

    /// With a detail for the client.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details
            .get_or_insert_default()
            .insert(name.to_owned(), value.into());
        self
    }

    /// With a detail for the client, where there is one.
    #[must_use]
    pub fn detail_if(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.detail(name, value),
            None => self,
        }
    }

    /// With the time after which a try may be made again, in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// With a more exact status than the code's, as 408 in place of 400.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Why, for the log.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The answer, as this request wants it.
    #[must_use]
    pub fn render(&self, voice: &Voice) -> HttpResponse {
        let status = self.status_code();
        let mut answer = HttpResponse::build(status);
        answer
            .insert_header((REQUEST_ID, voice.request_id.header()))
            .insert_header((CONTENT_LANGUAGE, voice.language.tag()));
        for (name, value) in OWN_ANSWERS {
            answer.insert_header((name, HeaderValue::from_static(value)));
        }
        if let Some(challenge) = bearer_challenge(self.challenge) {
            answer.insert_header((WWW_AUTHENTICATE, challenge.clone()));
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            answer.insert_header((RETRY_AFTER, seconds.max(1).to_string()));
        }
        let kind = if voice.problem {
            "application/problem+json"
        } else {
            "application/json"
        };
        answer.insert_header((CONTENT_TYPE, kind));
        let mut answer = answer.body(self.body(status, voice).to_string());
        answer.extensions_mut().insert(Reason {
            code: self.code,
            why: self.reason.clone(),
        });
        answer
    }

    fn body(&self, status: StatusCode, voice: &Voice) -> Value {
        let message = voice.messages.say(self.code, voice.language);
        let mut told = Map::new();
        told.insert("code".into(), self.code.as_str().into());
        told.insert("requestId".into(), voice.request_id.as_str().into());
        if let Some(details) = &self.details {
            told.insert("details".into(), Value::Object(details.as_ref().clone()));
        }
        if voice.problem {
            // RFC 9457 section 4.2.1: a problem of type about:blank has the status phrase as its title.
            told.insert("type".into(), "about:blank".into());
            told.insert("title".into(), status.canonical_reason().unwrap_or_default().into());
            told.insert("status".into(), status.as_u16().into());
            told.insert("detail".into(), message.into());
            Value::Object(told)
        } else {
            told.insert("message".into(), message.into());
            json!({"success": false, "error": told})
        }
    }
}

pub(crate) fn moment(time: OffsetDateTime) -> Option<String> {
    time.to_offset(time::UtcOffset::UTC).format(&Rfc3339).ok()
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code.as_str(), self.reason)
    }
}

impl std::error::Error for Refusal {}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        if let Some(status) = self.status {
            return status;
        }
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The answer where no [`Front`](crate::Front) stands before the application: in English, as an envelope.
    fn error_response(&self) -> HttpResponse {
        self.render(&Voice::read(&actix_web::http::header::HeaderMap::new()))
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        let refusal = Self::new(error.code(), error.to_string()).challenged(error.challenge());
        match error {
            AuthError::TokenBlocked { reason, until } => refusal
                .detail("reason", reason.as_ref())
                .detail_if("until", until.and_then(moment)),
            AuthError::AccountBanned { reason, until } => refusal
                .detail_if("reason", reason.as_deref())
                .detail_if("until", until.and_then(moment)),
            AuthError::MissingRight(right) => refusal.detail("missing", right.as_ref()),
            AuthError::NotInTenant(tenant) => refusal.detail("tenant", tenant.as_ref()),
            AuthError::BadTenant(why) => refusal.detail("tenant", why),
            AuthError::NotFresh(seconds) => refusal.detail("freshWithinSeconds", seconds),
            AuthError::BadPath(_)
            | AuthError::AmbiguousCredentials
            | AuthError::TokenMissing
            | AuthError::TokenInvalid(_)
            | AuthError::GuardMismatch(_)
            | AuthError::SessionEnded
            | AuthError::GenerationRetired
            | AuthError::SecurityTokenInvalid
            | AuthError::IdentityNotFound
            | AuthError::AccountInactive
            | AuthError::Unverified
            | AuthError::GuestsOnly
            | AuthError::PolicyDenied(_)
            | AuthError::CsrfRejected
            | AuthError::StoreUnavailable(_) => refusal,
        }
    }
}

impl From<SignInError> for Refusal {
    fn from(error: SignInError) -> Self {
        let retry = error.retry_after_seconds();
        let refusal = Self::new(error.code(), error.to_string());
        let refusal = match error {
            SignInError::Field { field, rule } => refusal.detail("fields", json!({field: rule})),
            SignInError::Banned { reason, until } => refusal
                .detail_if("reason", reason.as_deref())
                .detail_if("until", until.and_then(moment)),
            SignInError::NotInTenant(tenant) => refusal
                .challenged(Challenge::InsufficientScope)
                .detail("tenant", tenant.as_str()),
            SignInError::AmbiguousCredentials => refusal.challenged(Challenge::InvalidRequest),
            SignInError::Pending { position } => refusal.detail("effective", "pending").detail("position", position),
            SignInError::CommitUnknown(_) => refusal.detail("outcome", "unknown"),
            SignInError::MissingRight(right) => refusal
                .challenged(Challenge::InsufficientScope)
                .detail("missing", right.as_ref()),
            SignInError::CredentialInvalid
            | SignInError::IdentityAmbiguous { .. }
            | SignInError::Inactive
            | SignInError::Unverified
            | SignInError::CodeInvalid
            | SignInError::OtpInvalid
            | SignInError::OtpExpired
            | SignInError::NotOffered
            | SignInError::RegistrationClosed
            | SignInError::Taken
            | SignInError::Weak(_)
            | SignInError::Refused(_)
            | SignInError::NotFresh
            | SignInError::RefreshInvalid
            | SignInError::RefreshExpired
            | SignInError::RefreshReused
            | SignInError::VerificationInvalid
            | SignInError::RememberInvalid
            | SignInError::RememberStolen
            | SignInError::SecurityTokenInvalid
            | SignInError::TokenMissing
            | SignInError::GuardMismatch
            | SignInError::NotFound
            | SignInError::RateLimited { .. }
            | SignInError::Busy
            | SignInError::StoreUnavailable(_)
            | SignInError::ProviderUnavailable(_)
            | SignInError::Internal(_) => refusal,
        };
        match retry {
            Some(seconds) => refusal.retry_after(Duration::from_secs(seconds.into())),
            None => refusal,
        }
    }
}

/// Writes a line for the developer of the application to standard error.
pub(crate) fn notice(line: &str) {
    use std::io::Write;
    // A closed standard error is no reason to fail.
    let _written = writeln!(std::io::stderr().lock(), "bekci: {line}");
}

#[cfg(test)]
mod tests;
