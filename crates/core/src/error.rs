//! Everything that Bekci says no with. One reason each, the same in the answer, the log and the metric.

use time::OffsetDateTime;

use crate::{name::GuardName, path::BadPath, token::TokenFault};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:literal;)*) => {
        /// The stable codes of the contract, each with its HTTP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// All codes, for documents and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// All codes as they stand in answers, in the order of [`ErrorCode::ALL`].
            pub const TEXTS: &'static [&'static str] = &[$($text),*];

            /// The code of a text, if it is one.
            #[must_use]
            pub fn by_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }

            /// The code as it stands in an answer.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }
        }
    };
}

codes! {
    /// The request cannot be understood.
    MalformedRequest = "MALFORMED_REQUEST", 400;
    /// Two different credentials were presented for one guard (RFC 6750 section 2).
    AmbiguousCredentials = "AMBIGUOUS_CREDENTIALS", 400;
    /// The path is not canonical.
    BadPath = "BAD_PATH", 400;
    /// No credential was presented.
    TokenMissing = "TOKEN_MISSING", 401;
    /// The token is not good, or its session has ended.
    TokenInvalid = "TOKEN_INVALID", 401;
    /// The token's time is over.
    TokenExpired = "TOKEN_EXPIRED", 401;
    /// The token or its session is blocked, with a reason.
    TokenBlocked = "TOKEN_BLOCKED", 401;
    /// The token was made for a guard that the route does not let in.
    GuardMismatch = "GUARD_MISMATCH", 401;
    /// The account that the token names does not exist.
    IdentityNotFound = "IDENTITY_NOT_FOUND", 401;
    /// The identifier or the password is wrong; which one is not told.
    CredentialInvalid = "CREDENTIAL_INVALID", 401;
    /// Two accounts have this identifier.
    IdentityAmbiguous = "IDENTITY_AMBIGUOUS", 401;
    /// The refresh token is not good.
    RefreshTokenInvalid = "REFRESH_TOKEN_INVALID", 401;
    /// The refresh token's time is over.
    RefreshTokenExpired = "REFRESH_TOKEN_EXPIRED", 401;
    /// A refresh token was used twice; its session has ended.
    RefreshTokenReused = "REFRESH_TOKEN_REUSED", 401;
    /// The security cookie is missing or does not fit its session.
    SecurityTokenInvalid = "SECURITY_TOKEN_INVALID", 401;
    /// The secret of a link is not good: unknown, used, replaced or expired.
    CodeInvalid = "CODE_INVALID", 401;
    /// The one-time code is wrong, used, replaced, or was tried too often.
    OtpInvalid = "OTP_INVALID", 401;
    /// The one-time code has expired.
    OtpExpired = "OTP_EXPIRED", 401;
    /// The principal is known and may not do this.
    Forbidden = "FORBIDDEN", 403;
    /// A policy denies it.
    PolicyDenied = "POLICY_DENIED", 403;
    /// The account is banned.
    AccountBanned = "ACCOUNT_BANNED", 403;
    /// The account is not active: its status neither bans nor lets in.
    AccountInactive = "ACCOUNT_INACTIVE", 403;
    /// The address is not verified.
    Unverified = "UNVERIFIED", 403;
    /// An unsafe request by cookie without proof that it came from our own pages.
    CsrfRejected = "CSRF_REJECTED", 403;
    /// Nobody can register here.
    RegistrationClosed = "REGISTRATION_CLOSED", 403;
    /// There is nothing here.
    NotFound = "NOT_FOUND", 404;
    /// There is no guard of this name.
    GuardUnknown = "GUARD_UNKNOWN", 404;
    /// The method is not allowed here; `Allow` lists those that are (RFC 9110 section 15.5.6).
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405;
    /// It is already there, or somebody else changed it.
    Conflict = "CONFLICT", 409;
    /// The body is too large.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", 413;
    /// The body is not JSON by its content type.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 415;
    /// A field has a value that is not allowed.
    ValidationFailed = "VALIDATION_FAILED", 422;
    /// Too many tries.
    RateLimited = "RATE_LIMITED", 429;
    /// Something that should have been set up was not; the log says what.
    Internal = "INTERNAL", 500;
    /// The proxied service cannot be reached.
    UpstreamUnavailable = "UPSTREAM_UNAVAILABLE", 502;
    /// It cannot be told whether this is allowed.
    StoreUnavailable = "STORE_UNAVAILABLE", 503;
    /// The proxied service did not answer in time.
    UpstreamTimeout = "UPSTREAM_TIMEOUT", 504;
}

/// What the `WWW-Authenticate` header of an answer says (RFC 6750 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// No such header.
    None,
    /// `Bearer` with the realm alone: no credential was presented, or none for this guard.
    Bare,
    /// With `error="invalid_request"`.
    InvalidRequest,
    /// With `error="invalid_token"`.
    InvalidToken,
    /// With `error="insufficient_scope"`.
    InsufficientScope,
}

/// Why a request was not let through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Two different credentials for the guard that decides.
    #[error("two different credentials were presented")]
    AmbiguousCredentials,
    /// The path is not canonical.
    #[error(transparent)]
    BadPath(#[from] BadPath),
    /// Nothing was presented.
    #[error("no credential was presented")]
    TokenMissing,
    /// What was presented is not good.
    #[error("token refused: {0}")]
    TokenInvalid(TokenFault),
    /// It was made for another guard than the route lets in.
    #[error("the token is for {}, which this route does not let in", .0.as_ref().map_or("no guard of this service", GuardName::as_str))]
    GuardMismatch(Option<GuardName>),
    /// The token is good, and its session has ended or never was.
    #[error("the session has ended")]
    SessionEnded,
    /// The token's generation was taken back by a recovered refresh.
    #[error("the token's generation was taken back")]
    GenerationRetired,
    /// A session by cookie without a security cookie that fits it.
    #[error("the security cookie is missing or does not fit its session")]
    SecurityTokenInvalid,
    /// The token or its session is blocked.
    #[error("blocked: {reason}")]
    TokenBlocked {
        /// What the holder is told.
        reason: Box<str>,
        /// When the block ends.
        until: Option<OffsetDateTime>,
    },
    /// The account does not exist.
    #[error("the account does not exist")]
    IdentityNotFound,
    /// The account is banned.
    #[error("the account is banned")]
    AccountBanned {
        /// What the principal is told.
        reason: Option<Box<str>>,
        /// When the ban ends.
        until: Option<OffsetDateTime>,
    },
    /// The account's status neither bans nor lets in.
    #[error("the account has a status that is none of its model's")]
    AccountInactive,
    /// The account must be verified first.
    #[error("the account is not verified")]
    Unverified,
    /// The principal lacks a right.
    #[error("missing {0}")]
    MissingRight(Box<str>),
    /// The principal does not belong to the tenant that is asked about.
    #[error("not a member of tenant {0}")]
    NotInTenant(Box<str>),
    /// What should name the tenant that is asked about cannot: what stands there breaks the grammar of tenants, or stands twice.
    #[error("the tenant that is asked about {0}")]
    BadTenant(&'static str),
    /// The route asks for a sign-in not older than this many seconds.
    #[error("the sign-in is older than {0} s")]
    NotFresh(u32),
    /// The route is for guests.
    #[error("the route is for guests alone")]
    GuestsOnly,
    /// A policy denies it, with the deciding rule where there is one.
    #[error("denied by policy: {0}")]
    PolicyDenied(std::sync::Arc<str>),
    /// An unsafe request by cookie without proof of origin.
    #[error("the request may come from another site")]
    CsrfRejected,
    /// It cannot be told who the principal is now.
    #[error("{0}")]
    StoreUnavailable(Box<str>),
}

impl AuthError {
    /// The code that an answer carries.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::AmbiguousCredentials => ErrorCode::AmbiguousCredentials,
            Self::BadPath(_) => ErrorCode::BadPath,
            Self::BadTenant(_) => ErrorCode::MalformedRequest,
            Self::TokenMissing => ErrorCode::TokenMissing,
            Self::TokenInvalid(TokenFault::Expired) => ErrorCode::TokenExpired,
            Self::TokenInvalid(_) | Self::SessionEnded | Self::GenerationRetired => ErrorCode::TokenInvalid,
            Self::GuardMismatch(_) => ErrorCode::GuardMismatch,
            Self::SecurityTokenInvalid => ErrorCode::SecurityTokenInvalid,
            Self::TokenBlocked { .. } => ErrorCode::TokenBlocked,
            Self::IdentityNotFound => ErrorCode::IdentityNotFound,
            Self::AccountBanned { .. } => ErrorCode::AccountBanned,
            Self::AccountInactive => ErrorCode::AccountInactive,
            Self::Unverified => ErrorCode::Unverified,
            Self::MissingRight(_) | Self::NotInTenant(_) | Self::NotFresh(_) | Self::GuestsOnly => ErrorCode::Forbidden,
            Self::PolicyDenied(_) => ErrorCode::PolicyDenied,
            Self::CsrfRejected => ErrorCode::CsrfRejected,
            Self::StoreUnavailable(_) => ErrorCode::StoreUnavailable,
        }
    }

    /// The challenge that goes with it. Another guard's token is answered like none at all, so that it tells nothing.
    #[must_use]
    pub fn challenge(&self) -> Challenge {
        match self {
            Self::TokenMissing | Self::GuardMismatch(_) => Challenge::Bare,
            Self::AmbiguousCredentials => Challenge::InvalidRequest,
            Self::TokenInvalid(_)
            | Self::SessionEnded
            | Self::GenerationRetired
            | Self::SecurityTokenInvalid
            | Self::TokenBlocked { .. }
            | Self::IdentityNotFound => Challenge::InvalidToken,
            Self::MissingRight(_) | Self::NotInTenant(_) | Self::NotFresh(_) | Self::PolicyDenied(_) => {
                Challenge::InsufficientScope
            }
            Self::BadPath(_)
            | Self::BadTenant(_)
            | Self::AccountBanned { .. }
            | Self::AccountInactive
            | Self::Unverified
            | Self::GuestsOnly
            | Self::CsrfRejected
            | Self::StoreUnavailable(_) => Challenge::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_stands_twice_and_each_is_an_error_status() {
        let mut texts: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        let count = texts.len();
        texts.dedup();
        assert_eq!(texts.len(), count);
        assert!(ErrorCode::ALL.iter().all(|code| (400..=599).contains(&code.status())));
    }
}
