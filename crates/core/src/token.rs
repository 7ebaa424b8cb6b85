//! Tokens before, and after, they are believed; and the ports that make and judge them.

use std::{fmt, sync::Arc};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{
    identity::IdentityVersion,
    key::PrincipalKey,
    name::{GuardName, TenantName},
    session::SessionId,
};

/// 128 random bits that name a thing; 32 lower-case hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(pub [u8; 16]);

impl TokenId {
    /// Reads 32 lower-case hex digits; `None` for anything else, so that an id has one spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        if text.len() != 32 {
            return None;
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut digits = text.bytes().map(digit);
        for byte in &mut bytes {
            *byte = (digits.next()?? << 4) | digits.next()??;
        }
        Some(Self(bytes))
    }
}

/// The text of a [`TokenId`], which needs no memory of its own.
#[derive(Clone, Copy)]
pub struct Digits([u8; 32]);

impl Digits {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Of digits alone, so that the other case does not happen.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl TokenId {
    /// Its 32 digits.
    #[must_use]
    pub fn digits(self) -> Digits {
        // Written on every request: by hand it takes a tenth of what a pattern for each byte does.
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
        let mut text = [0; 32];
        for (pair, byte) in text.as_chunks_mut().0.iter_mut().zip(self.0) {
            *pair = [digit(byte >> 4), digit(byte & 0xf)];
        }
        Digits(text)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.digits().as_str())
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl TryFrom<String> for TokenId {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("an id is 32 lower-case hex digits")
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> String {
        id.to_string()
    }
}

/// The text of a token that a client presented; nothing of it is believed. It does not print.
#[derive(Clone, Copy)]
pub struct BearerToken<'a>(&'a str);

/// Longer tokens are refused before any of them is read (ours are under 1 KiB).
pub(crate) const MAX_TOKEN_BYTES: usize = 8 * 1024;

impl<'a> BearerToken<'a> {
    /// Takes what may be a token in compact form (RFC 7515 section 7.1): base64url parts joined by dots, of bounded length.
    ///
    /// # Errors
    /// [`TokenFault::Malformed`] for an empty or overlong text, or one with a byte outside `A-Z a-z 0-9 - _ .`.
    pub fn new(text: &'a str) -> Result<Self, TokenFault> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = !text.is_empty() && text.len() <= MAX_TOKEN_BYTES;
        // To the end whatever comes, which lets the compiler look at many bytes at once: this is asked of each request's token.
        if fits && text.bytes().fold(true, |all, byte| all & allowed(byte)) {
            Ok(Self(text))
        } else {
            Err(TokenFault::Malformed("not a token in compact form"))
        }
    }

    /// The text itself, for verifying.
    #[must_use]
    pub fn expose(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BearerToken({} bytes)", self.0.len())
    }
}

/// What a token is for. Each kind has its own `typ` (RFC 8725 section 3.11), so that one never passes for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// `at+jwt` (RFC 9068): presented to routes.
    Access,
    /// `bekci-temp+jwt`: a temporary identity, only where a route asks for `unverified`.
    Temporary,
    /// `bekci-internal+jwt`: made for an upstream.
    Internal,
}

impl TokenKind {
    /// The `typ` of the header.
    #[must_use]
    pub fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Temporary => "bekci-temp+jwt",
            Self::Internal => "bekci-internal+jwt",
        }
    }
}

/// Why a token is refused. For logs; a client learns only the error's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is not a token at all.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// No key of the guard has this `kid`.
    #[error("no key has its kid")]
    UnknownKey,
    /// No key that is known has this `kid`, and the keys cannot be read now: there may be a new one.
    #[error("no known key has its kid, and the keys cannot be read")]
    KeysUnreadable,
    /// It was signed with a key of another guard.
    #[error("signed for another guard")]
    OtherGuard,
    /// The header asks for something that is never done: another algorithm, `crit`, an embedded key.
    #[error("header refused: {0}")]
    Header(&'static str),
    /// The signature does not fit.
    #[error("the signature does not fit")]
    Signature,
    /// A claim is missing, of the wrong type, or has a wrong value.
    #[error("claim refused: {0}")]
    Claim(&'static str),
    /// Its time is over.
    #[error("expired")]
    Expired,
}

/// What a verified token says. Only a verifier makes it; it bears no rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClaims {
    /// What the token is for.
    pub kind: TokenKind,
    /// The guard that it was made for, agreeing with its key, `aud` and `guard`.
    pub guard: GuardName,
    /// Whom it names.
    pub key: PrincipalKey,
    /// The session that it lives by.
    pub session: SessionId,
    /// The session's refresh generation when it was made.
    pub generation: u32,
    /// The identity's version when it was made: an older view may not judge it.
    pub version: IdentityVersion,
    /// The tenant that it was made for, if any.
    pub tenant: Option<TenantName>,
    /// Its own id.
    pub id: TokenId,
    /// Seconds since 1970.
    pub issued_at: i64,
    /// Seconds since 1970.
    pub expires_at: i64,
}

/// What goes into a token that is to be made. Issuer, audience, key and `typ` come from the guard and the kind.
#[derive(Clone, Debug)]
pub struct AccessClaims {
    /// What the token is for.
    pub kind: TokenKind,
    /// Whom it names.
    pub key: PrincipalKey,
    /// The session that it lives by.
    pub session: SessionId,
    /// The session's refresh generation.
    pub generation: u32,
    /// The identity's version.
    pub version: IdentityVersion,
    /// The tenant, if any.
    pub tenant: Option<TenantName>,
    /// Its own id.
    pub id: TokenId,
    /// Seconds since 1970.
    pub issued_at: i64,
    /// Seconds since 1970.
    pub expires_at: i64,
    /// Claims of the developer's own; one with a name that Bekci uses is refused. Never read back as rights.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// A token could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The guard has no key that signs now.
    #[error("guard {0} has no key that signs")]
    NoKey(GuardName),
    /// A claim of the developer's own has a name that Bekci uses.
    #[error("claim {0:?} is Bekci's own")]
    ReservedClaim(String),
    /// The signing itself failed.
    #[error("signing failed: {0}")]
    Signing(String),
}

/// For how long a verifier gives the same answer about a token that it has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// By which reading of the keys.
    pub reading: u64,
    /// From this second since 1970 on: the clock may be set back.
    pub from: i64,
    /// Before this one.
    pub until: i64,
}

/// Judges tokens.
pub trait TokenVerifier: Send + Sync + fmt::Debug {
    /// The guard whose key the token's `kid` names, without believing anything of it.
    ///
    /// # Errors
    /// [`TokenFault::Malformed`] or [`TokenFault::Header`] where no `kid` can be read, [`TokenFault::UnknownKey`] where no guard has such a key.
    fn guard_of(&self, token: BearerToken<'_>) -> Result<GuardName, TokenFault>;

    /// Checks signature, header and claims for this guard and kind.
    ///
    /// # Errors
    /// The first [`TokenFault`] found.
    fn verify(
        &self,
        guard: &GuardName,
        kind: TokenKind,
        token: BearerToken<'_>,
    ) -> Result<Arc<VerifiedClaims>, TokenFault>;

    /// For how long the answer holds that this token says these claims. `None`: it has to be verified each time.
    fn standing(&self, _token: BearerToken<'_>, _claims: &Arc<VerifiedClaims>) -> Option<Standing> {
        None
    }

    /// Whether the token with this standing would be accepted now.
    fn stands(&self, _standing: &Standing) -> bool {
        false
    }
}

/// Makes tokens.
pub trait TokenIssuer: Send + Sync + fmt::Debug {
    /// Signs the claims with the guard's current key.
    ///
    /// # Errors
    /// [`IssueError`]; nothing was made.
    fn issue(&self, guard: &GuardName, claims: &AccessClaims) -> Result<SecretString, IssueError>;
}
