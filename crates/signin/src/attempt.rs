//! What goes into a sign-in and what comes out of it.

use std::{fmt, net::IpAddr};

use bekci_core::{PrincipalKey, SessionId, TenantName, Verification, View, mail::MailLanguage, signin::SignInTenant};
use secrecy::SecretString;
use time::OffsetDateTime;

use crate::error::{AttemptResult, SignInError};

/// The longest identifier in characters: an e-mail address has 64 before and 255 after its `@` (RFC 5321 section 4.5.3.1).
pub const MAX_IDENTIFIER_CHARS: usize = 320;

/// The longest device name in characters; what is longer is cut.
pub const MAX_DEVICE_NAME_CHARS: usize = 200;

/// What somebody says they are called: an address, a user name. Trimmed, not empty, at most [`MAX_IDENTIFIER_CHARS`] characters, none of
/// them a control character. Whether case counts is the model's business.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identifier(String);

impl Identifier {
    /// Takes what was typed.
    ///
    /// # Errors
    /// [`SignInError::Field`] with the rule that it breaks.
    pub fn new(text: &str) -> Result<Self, SignInError> {
        let refuse = |rule| SignInError::Field {
            field: "identifier",
            rule,
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(refuse("must not be empty"));
        }
        if text.chars().count() > MAX_IDENTIFIER_CHARS {
            return Err(refuse("must have at most 320 characters"));
        }
        if text.chars().any(char::is_control) {
            return Err(refuse("must not have control characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text as it is looked up.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address is personal data: it is not for logs.
        write!(formatter, "Identifier({} bytes)", self.0.len())
    }
}

/// A sign-in by password.
#[derive(Clone, Debug)]
pub struct PasswordAttempt {
    /// Who somebody says they are.
    pub identifier: Identifier,
    /// The password as it was typed, not normalised.
    pub password: SecretString,
    /// What the client calls its device.
    pub device_name: Option<String>,
    /// A random value that the client keeps for its device; see [`device_hash`](crate::device_hash).
    pub device_id: Option<String>,
    /// The session whose verified credential came with the request; it ends.
    pub replaces: Option<SessionId>,
    /// The tenant that the tokens are made for.
    pub tenant: SignInTenant,
    /// Whether this sign-in is to be verified before it opens a session; `None`: as the guard says.
    pub verification: Option<Verification>,
    /// The language of the mail, if a mailed code verifies the sign-in.
    pub language: MailLanguage,
    /// Whether a remember-me series begins with the session.
    pub remember: bool,
    /// The address that the client is believed to have; `None` where it is not known: then refusals are counted by account alone.
    pub client: Option<IpAddr>,
}

/// A refresh of a session.
#[derive(Clone, Copy, Debug)]
pub struct RefreshAttempt<'a> {
    /// The refresh token.
    pub token: &'a str,
    /// What the client calls its device.
    pub device_id: Option<&'a str>,
    /// Whether it came by cookie: then no lost answer is recovered.
    pub by_cookie: bool,
    /// The address that the client is believed to have.
    pub client: Option<IpAddr>,
}

/// A session that an application opens for somebody without a credential.
#[derive(Clone, Debug, Default)]
pub struct IssueOrder {
    /// What the session's device is called in lists.
    pub device_name: Option<String>,
    /// The tenant that the tokens are made for.
    pub tenant: SignInTenant,
    /// The language of the mail, if a mailed code verifies the sign-in.
    pub language: MailLanguage,
}

/// By what somebody was signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedInBy {
    /// A password opened a new session.
    Password,
    /// A one-time code opened a new session.
    EmailOtp,
    /// A mailed link opened a new session.
    EmailLink,
    /// An identity provider vouched for the user, and a new session was opened.
    External,
    /// The application vouched for somebody, without a credential.
    Issued,
    /// A remember-me token opened a new session.
    Remembered,
    /// A temporary identity was verified.
    Verified,
    /// A refresh gave the next generation.
    Rotated,
    /// A refresh gave the current generation again.
    Replayed,
    /// A refresh replaced a generation that never reached its client.
    Recovered,
}

/// Somebody is signed in: the pair of tokens and who it is.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub key: PrincipalKey,
    /// In which session.
    pub session: SessionId,
    /// The access token.
    pub access: SecretString,
    /// When it ends: its `exp`, a whole second.
    pub access_expires_at: OffsetDateTime,
    /// How long it is good from now.
    pub expires_in_seconds: i64,
    /// The refresh token.
    pub refresh: SecretString,
    /// When it ends unless it is used.
    pub refresh_expires_at: OffsetDateTime,
    /// The remember-me token, where one is to be kept. One that was there before is good for 10 s more.
    pub remember: Option<RememberToken>,
    /// How it came about.
    pub outcome: SignedInBy,
    /// The tenant that the tokens are for.
    pub tenant: Option<TenantName>,
    /// The identity at least as new as the session, for the answer's user object.
    pub view: View,
}

/// What a browser keeps to be signed in again without a password.
#[derive(Clone, Debug)]
pub struct RememberToken {
    /// The token.
    pub token: SecretString,
    /// When its series ends.
    pub expires_at: OffsetDateTime,
}

/// A credential was right, and the sign-in waits for its verification.
#[derive(Clone, Debug)]
pub struct TemporarySignIn {
    /// Who.
    pub key: PrincipalKey,
    /// The session that stands for it, the `sid` of its token; another one comes of it.
    pub session: SessionId,
    /// [`AttemptResult::TemporaryAuthHasBeenCreated`]; or [`AttemptResult::FailureUnverified`] where it waited already.
    pub result: AttemptResult,
    /// What names it, for [`SignIn::confirm_verified`](crate::SignIn::confirm_verified). Who learns it can do nothing with it without the application's consent.
    pub verification_ref: SecretString,
    /// Its token, which is taken where a route asks for `unverified` alone.
    pub token: SecretString,
    /// When it runs out.
    pub expires_at: OffsetDateTime,
    /// How long that is from now.
    pub expires_in_seconds: i64,
    /// The tenant that it is for.
    pub tenant: Option<TenantName>,
}

/// What a right credential gave.
#[derive(Clone, Debug)]
pub enum Granted {
    /// A session.
    Full(Box<SignedIn>),
    /// A temporary identity.
    Temporary(Box<TemporarySignIn>),
}

impl Granted {
    /// The session, where it gave one.
    #[must_use]
    pub fn full(self) -> Option<SignedIn> {
        match self {
            Self::Full(signed_in) => Some(*signed_in),
            Self::Temporary(_) => None,
        }
    }

    /// The temporary identity, where it gave one.
    #[must_use]
    pub fn temporary(self) -> Option<TemporarySignIn> {
        match self {
            Self::Full(_) => None,
            Self::Temporary(temporary) => Some(*temporary),
        }
    }

    /// Who it was.
    #[must_use]
    pub fn key(&self) -> &PrincipalKey {
        match self {
            Self::Full(signed_in) => &signed_in.key,
            Self::Temporary(temporary) => &temporary.key,
        }
    }

    /// In which session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        match self {
            Self::Full(signed_in) => signed_in.session,
            Self::Temporary(temporary) => temporary.session,
        }
    }

    /// The result with its classic number.
    #[must_use]
    pub fn result(&self) -> AttemptResult {
        match self {
            Self::Full(_) => AttemptResult::Success,
            Self::Temporary(temporary) => temporary.result,
        }
    }
}

/// Somebody is signed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOut {
    /// The session that has ended.
    pub session: SessionId,
    /// Whose it is; `None` where the session is so long gone that nobody knows.
    pub key: Option<PrincipalKey>,
    /// Whether it was ended by this call and not before.
    pub ended_now: bool,
}

/// A device name fit to be stored and shown: no control characters, at most [`MAX_DEVICE_NAME_CHARS`], `None` where nothing is left.
pub(crate) fn tidy_device_name(name: Option<String>) -> Option<String> {
    let tidy: String = name?
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_DEVICE_NAME_CHARS)
        .collect();
    (!tidy.is_empty()).then_some(tidy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_trimmed_and_nothing_else() {
        assert_eq!(Identifier::new(" A@b.c\t").unwrap().as_str(), "A@b.c");
        for bad in ["", "  ", "a\0b", "a\nb", "a\u{85}b", &"x".repeat(321)] {
            assert!(
                matches!(
                    Identifier::new(bad),
                    Err(SignInError::Field {
                        field: "identifier",
                        ..
                    })
                ),
                "{bad:?}"
            );
        }
        assert!(Identifier::new(&"ş".repeat(320)).is_ok());
    }

    #[test]
    fn an_identifier_does_not_print() {
        assert_eq!(
            format!("{:?}", Identifier::new("a@b.c").unwrap()),
            "Identifier(5 bytes)"
        );
    }

    #[test]
    fn a_device_name_is_made_fit_to_be_shown() {
        let tidy = |name: &str| tidy_device_name(Some(name.to_owned()));
        assert_eq!(tidy(" my\u{1b}[31m phone\r\n"), Some("my[31m phone".to_owned()));
        assert_eq!(tidy("\n"), None);
        assert_eq!(tidy(&"ş".repeat(300)), Some("ş".repeat(200)));
        assert_eq!(tidy_device_name(None), None);
    }
}
