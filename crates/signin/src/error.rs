//! Why a sign-in, a refresh or a sign-out was refused, and what of it is told to whom.

use bekci_core::{ErrorCode, IssueError, SourceUnavailable, TenantName, signin::StoreError};
use time::OffsetDateTime;

use crate::password::{HashError, WeakPassword};

/// The result of a sign-in attempt, with the classic numbers that listeners and the audit log see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptResult {
    /// 1: signed in.
    Success,
    /// 0: refused for a reason that has no number of its own, such as a ban.
    Failure,
    /// -1: the identifier belongs to several accounts.
    FailureIdentityAmbiguous,
    /// -2: identifier or password is wrong.
    FailureCredentialInvalid,
    /// -3: it could not be judged: the store, the hashing or the signing failed.
    FailureUncategorized,
    /// -4: the password was right, and a second step was asked for.
    TemporaryAuthHasBeenCreated,
    /// -5: the second step is still awaited.
    FailureUnverified,
}

impl AttemptResult {
    /// The name in answers, events and the audit log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::FailureIdentityAmbiguous => "FAILURE_IDENTITY_AMBIGUOUS",
            Self::FailureCredentialInvalid => "FAILURE_CREDENTIAL_INVALID",
            Self::FailureUncategorized => "FAILURE_UNCATEGORIZED",
            Self::TemporaryAuthHasBeenCreated => "TEMPORARY_AUTH_HAS_BEEN_CREATED",
            Self::FailureUnverified => "FAILURE_UNVERIFIED",
        }
    }

    /// The number that goes with the name.
    #[must_use]
    pub fn number(self) -> i8 {
        match self {
            Self::Success => 1,
            Self::Failure => 0,
            Self::FailureIdentityAmbiguous => -1,
            Self::FailureCredentialInvalid => -2,
            Self::FailureUncategorized => -3,
            Self::TemporaryAuthHasBeenCreated => -4,
            Self::FailureUnverified => -5,
        }
    }
}

/// Why signing in or out was refused. Its text is for logs and holds no secret; a client learns [`code`](Self::code) and
/// [`told`](Self::told).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// A field cannot be what it must be, whoever asks; nothing was looked up.
    #[error("{field}: {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// There is no such account, or its password is another. Which of the two is known to nobody.
    #[error("the identifier or the password is wrong")]
    CredentialInvalid,
    /// Several accounts have the identifier.
    #[error("several accounts have this identifier")]
    IdentityAmbiguous {
        /// Whether the password of the first of them was right; only then is the client told.
        proven: bool,
    },
    /// The credential was right, and the account is banned.
    #[error("the account is banned")]
    Banned {
        /// What the principal is told.
        reason: Option<Box<str>>,
        /// When the ban ends by itself.
        until: Option<OffsetDateTime>,
    },
    /// The credential was right, and the account's status neither bans nor lets in.
    #[error("the account has a status that is none of its model's")]
    Inactive,
    /// The credential was right, and the guard requires a verified address, which the account's is not.
    #[error("the address is not verified")]
    Unverified,
    /// The credential was right, and the account does not belong to the tenant that the sign-in asked about.
    #[error("not a member of tenant {0}")]
    NotInTenant(TenantName),
    /// The refresh token is no good: not ours, another guard's, of an ended session, never given.
    #[error("the refresh token is not good")]
    RefreshInvalid,
    /// The refresh token's time is over.
    #[error("the refresh token has expired")]
    RefreshExpired,
    /// The refresh token was used before; its session has ended.
    #[error("the refresh token was used before; its session has ended")]
    RefreshReused,
    /// The remember-me token is no good: not ours, another guard's, expired, or its series has ended.
    #[error("the remember-me token is not good")]
    RememberInvalid,
    /// A copy of the remember-me token was used before; the series and its session have ended.
    #[error("the remember-me token was used before; its session has ended")]
    RememberStolen,
    /// The security cookie is missing or does not fit its session.
    #[error("the security cookie is missing or does not fit its session")]
    SecurityTokenInvalid,
    /// The reference names no sign-in of this guard that waits for its verification: it never did, was verified already, or its time is over.
    #[error("no sign-in waits for its verification under this reference")]
    VerificationInvalid,
    /// The secret of a link is not good: unknown, used, replaced, expired, or of another guard.
    #[error("the code is not good")]
    CodeInvalid,
    /// The one-time code or the link is wrong, unknown, used, replaced, or was tried too often. Which of these, no client learns.
    #[error("the one-time code is not valid")]
    OtpInvalid,
    /// The one-time code or the link has expired.
    #[error("the one-time code has expired")]
    OtpExpired,
    /// The guard does not offer this way to sign in.
    #[error("this guard does not offer this way to sign in")]
    NotOffered,
    /// Nobody makes an account here.
    #[error("registration is closed")]
    RegistrationClosed,
    /// Another account has the address.
    #[error("another account has the address")]
    Taken,
    /// A new password that may not be set.
    #[error("the new password {0}")]
    Weak(WeakPassword),
    /// A value that the table of accounts refuses.
    #[error("{0}")]
    Refused(Box<str>),
    /// The caller lacks this right.
    #[error("the caller lacks the {0}")]
    MissingRight(Box<str>),
    /// The sign-in is too old for this.
    #[error("the sign-in is not fresh")]
    NotFresh,
    /// Two credentials of two sessions.
    #[error("two credentials of different sessions were presented")]
    AmbiguousCredentials,
    /// No credential.
    #[error("no credential was presented")]
    TokenMissing,
    /// The access token is of another guard.
    #[error("the access token is of another guard")]
    GuardMismatch,
    /// There is no such session of this principal.
    #[error("the principal has no such session")]
    NotFound,
    /// As many were refused for this account, session or address as may be. Nothing was looked up.
    #[error("too many were refused; room again in {retry_after_seconds} s")]
    RateLimited {
        /// After how long there is room again, 1 at least.
        retry_after_seconds: u32,
    },
    /// More passwords wait to be hashed than the queue holds.
    #[error("too many sign-ins at once")]
    Busy,
    /// The database or the identities cannot be reached.
    #[error("{0}")]
    StoreUnavailable(Box<str>),
    /// The identity provider cannot be reached, or answers what cannot be used.
    #[error("{0}")]
    ProviderUnavailable(Box<str>),
    /// The change is committed and not yet confirmed on every node. For a sign-out: it holds within the staleness bound.
    #[error("committed at position {position}, not yet confirmed on every node")]
    Pending {
        /// The position in the order of changes.
        position: i64,
    },
    /// The connection was lost while committing: whether it was done is not known. The same call again is safe.
    #[error("{0}")]
    CommitUnknown(Box<str>),
    /// Something that should have been set up was not, or the machine failed.
    #[error("{0}")]
    Internal(Box<str>),
}

impl SignInError {
    /// The code that an answer carries. An ambiguous identifier is told only to who proved to know a password of it.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Field { .. } => ErrorCode::ValidationFailed,
            Self::CredentialInvalid | Self::IdentityAmbiguous { proven: false } => ErrorCode::CredentialInvalid,
            Self::IdentityAmbiguous { proven: true } => ErrorCode::IdentityAmbiguous,
            Self::Banned { .. } => ErrorCode::AccountBanned,
            Self::Inactive => ErrorCode::AccountInactive,
            Self::Unverified => ErrorCode::Unverified,
            Self::CodeInvalid => ErrorCode::CodeInvalid,
            Self::OtpInvalid => ErrorCode::OtpInvalid,
            Self::OtpExpired => ErrorCode::OtpExpired,
            Self::RegistrationClosed => ErrorCode::RegistrationClosed,
            Self::Taken => ErrorCode::Conflict,
            Self::Weak(_) | Self::Refused(_) => ErrorCode::ValidationFailed,
            Self::NotFresh | Self::MissingRight(_) => ErrorCode::Forbidden,
            Self::NotInTenant(_) => ErrorCode::Forbidden,
            Self::RefreshInvalid => ErrorCode::RefreshTokenInvalid,
            Self::RefreshExpired => ErrorCode::RefreshTokenExpired,
            Self::RefreshReused => ErrorCode::RefreshTokenReused,
            Self::AmbiguousCredentials => ErrorCode::AmbiguousCredentials,
            Self::VerificationInvalid | Self::RememberInvalid | Self::RememberStolen => ErrorCode::TokenInvalid,
            Self::TokenMissing => ErrorCode::TokenMissing,
            Self::SecurityTokenInvalid => ErrorCode::SecurityTokenInvalid,
            Self::GuardMismatch => ErrorCode::GuardMismatch,
            Self::NotFound | Self::NotOffered => ErrorCode::NotFound,
            Self::Busy | Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::StoreUnavailable(_)
            | Self::ProviderUnavailable(_)
            | Self::Pending { .. }
            | Self::CommitUnknown(_) => ErrorCode::StoreUnavailable,
            Self::Internal(_) => ErrorCode::Internal,
        }
    }

    /// The result that listeners and the audit log see.
    #[must_use]
    pub fn result(&self) -> AttemptResult {
        match self {
            Self::CredentialInvalid | Self::OtpInvalid | Self::OtpExpired => AttemptResult::FailureCredentialInvalid,
            Self::IdentityAmbiguous { .. } => AttemptResult::FailureIdentityAmbiguous,
            Self::Unverified => AttemptResult::FailureUnverified,
            Self::Field { .. }
            | Self::Weak(_)
            | Self::Refused(_)
            | Self::RateLimited { .. }
            | Self::Busy
            | Self::StoreUnavailable(_)
            | Self::ProviderUnavailable(_)
            | Self::Pending { .. }
            | Self::CommitUnknown(_)
            | Self::Internal(_) => AttemptResult::FailureUncategorized,
            Self::Banned { .. }
            | Self::Inactive
            | Self::NotInTenant(_)
            | Self::RefreshInvalid
            | Self::RefreshExpired
            | Self::RefreshReused
            | Self::RememberInvalid
            | Self::RememberStolen
            | Self::SecurityTokenInvalid
            | Self::VerificationInvalid
            | Self::CodeInvalid
            | Self::RegistrationClosed
            | Self::Taken
            | Self::NotFresh
            | Self::MissingRight(_)
            | Self::AmbiguousCredentials
            | Self::TokenMissing
            | Self::GuardMismatch
            | Self::NotOffered
            | Self::NotFound => AttemptResult::Failure,
        }
    }

    /// The result that the client is told, in `details.result`: what would tell that an account exists is -2.
    #[must_use]
    pub fn told(&self) -> AttemptResult {
        match self {
            Self::IdentityAmbiguous { proven: false } => AttemptResult::FailureCredentialInvalid,
            other => other.result(),
        }
    }

    /// After how many seconds a try may succeed, for `Retry-After`.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after_seconds } => Some(*retry_after_seconds),
            Self::Busy
            | Self::StoreUnavailable(_)
            | Self::ProviderUnavailable(_)
            | Self::Pending { .. }
            | Self::CommitUnknown(_) => Some(1),
            Self::Field { .. }
            | Self::CredentialInvalid
            | Self::IdentityAmbiguous { .. }
            | Self::Banned { .. }
            | Self::Inactive
            | Self::Unverified
            | Self::NotInTenant(_)
            | Self::RefreshInvalid
            | Self::RefreshExpired
            | Self::RefreshReused
            | Self::RememberInvalid
            | Self::RememberStolen
            | Self::SecurityTokenInvalid
            | Self::VerificationInvalid
            | Self::CodeInvalid
            | Self::OtpInvalid
            | Self::OtpExpired
            | Self::NotOffered
            | Self::RegistrationClosed
            | Self::Taken
            | Self::Weak(_)
            | Self::Refused(_)
            | Self::NotFresh
            | Self::MissingRight(_)
            | Self::AmbiguousCredentials
            | Self::TokenMissing
            | Self::GuardMismatch
            | Self::NotFound
            | Self::Internal(_) => None,
        }
    }

    /// Whether what was presented was judged and found no good: that counts for the limits.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::CredentialInvalid
            | Self::OtpInvalid
            | Self::IdentityAmbiguous { .. }
            | Self::Banned { .. }
            | Self::Inactive
            | Self::Unverified
            | Self::NotInTenant(_)
            | Self::RefreshInvalid
            | Self::RefreshExpired
            | Self::RefreshReused
            | Self::RememberInvalid
            | Self::RememberStolen
            | Self::SecurityTokenInvalid => true,
            // Nothing was compared, so nothing was guessed.
            Self::OtpExpired => false,
            // Both are too long to be guessed.
            Self::VerificationInvalid
            | Self::CodeInvalid
            | Self::NotOffered
            | Self::RegistrationClosed
            | Self::Taken
            | Self::Weak(_)
            | Self::Refused(_)
            | Self::NotFresh
            | Self::MissingRight(_)
            | Self::Field { .. }
            | Self::AmbiguousCredentials
            | Self::TokenMissing
            | Self::GuardMismatch
            | Self::NotFound
            | Self::RateLimited { .. }
            | Self::Busy
            | Self::StoreUnavailable(_)
            | Self::ProviderUnavailable(_)
            | Self::Pending { .. }
            | Self::CommitUnknown(_)
            | Self::Internal(_) => false,
        }
    }
}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Pending { position } => Self::Pending { position },
            StoreError::Unavailable(_) => Self::StoreUnavailable(error.to_string().into()),
            StoreError::CommitUnknown(_) => Self::CommitUnknown(error.to_string().into()),
            StoreError::Refused(why) => Self::Internal(why.into()),
            StoreError::NamedByPolicy { .. } | StoreError::MissingRight(_) => Self::Internal(error.to_string().into()),
        }
    }
}

impl From<SourceUnavailable> for SignInError {
    fn from(error: SourceUnavailable) -> Self {
        Self::StoreUnavailable(error.to_string().into())
    }
}

impl From<IssueError> for SignInError {
    fn from(error: IssueError) -> Self {
        Self::Internal(error.to_string().into())
    }
}

impl From<HashError> for SignInError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Stopped | HashError::Failed(_) | HashError::Entropy(_) | HashError::TooLong => {
                Self::Internal(error.to_string().into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ambiguous_identifier_is_told_as_wrong_to_who_does_not_know_its_password() {
        let guessed = SignInError::IdentityAmbiguous { proven: false };
        assert_eq!(guessed.code(), SignInError::CredentialInvalid.code());
        assert_eq!(guessed.told(), SignInError::CredentialInvalid.told());
        assert_eq!(guessed.result().number(), -1);
        let proven = SignInError::IdentityAmbiguous { proven: true };
        assert_eq!(
            (proven.code(), proven.told().number()),
            (ErrorCode::IdentityAmbiguous, -1)
        );
    }

    #[test]
    fn too_many_at_once_is_429_and_a_store_out_of_reach_503_and_both_say_when_to_come_again() {
        let busy = SignInError::from(HashError::Busy);
        assert_eq!((busy.code().status(), busy.retry_after_seconds()), (429, Some(1)));
        let down = SignInError::from(StoreError::Unavailable("gone".into()));
        assert_eq!((down.code().status(), down.retry_after_seconds()), (503, Some(1)));
        assert_eq!(SignInError::CredentialInvalid.retry_after_seconds(), None);
    }

    #[test]
    fn the_results_have_their_classic_numbers() {
        use AttemptResult as R;
        let numbers = [
            R::Success,
            R::Failure,
            R::FailureIdentityAmbiguous,
            R::FailureCredentialInvalid,
            R::FailureUncategorized,
            R::TemporaryAuthHasBeenCreated,
            R::FailureUnverified,
        ]
        .map(R::number);
        assert_eq!(numbers, [1, 0, -1, -2, -3, -4, -5]);
    }
}
