//! The rotating security cookie: a second proof beside an access token that travels as a cookie.
//!
//! It names the session, a counter and a time, under a keyed hash. The rules:
//!
//! 1. Younger than the guard's interval it is checked without I/O.
//! 2. An older one is exchanged for the next counter, by one conditional statement. Who presents the predecessor is given the same successor, until the successor has been
//!    seen, and 10 s more: requests of one page at once, and a lost answer, do no harm.
//! 3. Any other counter was copied: the session ends.
//! 4. What is missing, cut, of another session or another guard is refused, and changes nothing.

use std::fmt::{self, Write as _};

use async_trait::async_trait;
use hkdf::Hkdf;
use secrecy::ExposeSecret as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use time::{Duration, OffsetDateTime};

use crate::{
    error::AuthError,
    guard::AuthGuard,
    key::PrincipalKey,
    name::GuardName,
    request::{CookieLookup, RequestHead, cookie},
    secret::{Purpose, RootSecret},
    session::SessionId,
    signin::StoreError,
    token::TokenId,
};

/// How long the predecessor of a cookie is good after its successor was seen.
pub const PREDECESSOR_LASTS: Duration = Duration::seconds(10);

/// How far the clocks of two nodes may be apart: a cookie that is younger than now is not exchanged for that.
const CLOCKS_APART: i64 = 5;

/// What a security cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityCookie {
    /// The session.
    pub session: SessionId,
    /// The counter, 0 from the sign-in on.
    pub generation: u32,
    /// When this counter was given, in seconds since 1970.
    pub issued_at: i64,
}

impl SecurityCookie {
    /// Whether it is checked without I/O.
    #[must_use]
    pub fn is_young(&self, interval: Duration, now: OffsetDateTime) -> bool {
        let age = now.unix_timestamp().saturating_sub(self.issued_at);
        (-CLOCKS_APART..interval.whole_seconds()).contains(&age)
    }
}

/// The key of a guard's security cookies. Without one, as a guard has until it is built, there are none and none is asked for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecurityKey(Option<[u8; 32]>);

/// Session, counter and time in hexadecimal.
const HEAD_CHARS: usize = 32 + 8 + 16;
const MAC_CHARS: usize = 64;

impl SecurityKey {
    /// The key of a guard.
    #[must_use]
    pub fn new(root: &RootSecret, guard: &GuardName) -> Self {
        Self(Some(*root.derive(Purpose::Security, Some(guard)).expose_secret()))
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// The text of a cookie; `None` without a key. The same each time.
    #[must_use]
    pub fn make(&self, cookie: &SecurityCookie) -> Option<String> {
        let mut text = String::with_capacity(HEAD_CHARS + MAC_CHARS);
        text.push_str(cookie.session.digits().as_str());
        write!(text, "{:08x}{:016x}", cookie.generation, cookie.issued_at).ok()?;
        let mac = self.mac(&text)?;
        for byte in mac {
            write!(text, "{byte:02x}").ok()?;
        }
        Some(text)
    }

    /// What a text says, if it is ours.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<SecurityCookie> {
        if text.len() != HEAD_CHARS + MAC_CHARS || !text.is_ascii() {
            return None;
        }
        let (head, given) = text.split_at_checked(HEAD_CHARS)?;
        let mut expected = String::with_capacity(MAC_CHARS);
        for byte in self.mac(head)? {
            write!(expected, "{byte:02x}").ok()?;
        }
        if !bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
            return None;
        }
        let (session, rest) = head.split_at_checked(32)?;
        let (generation, issued_at) = rest.split_at_checked(8)?;
        Some(SecurityCookie {
            session: TokenId::parse(session)?,
            generation: u32::from_str_radix(generation, 16).ok()?,
            issued_at: i64::from_str_radix(issued_at, 16).ok()?,
        })
    }

    fn mac(&self, head: &str) -> Option<[u8; 32]> {
        let key = Hkdf::<Sha256>::from_prk(self.0.as_ref()?).ok()?;
        let mut bytes = [0; 32];
        key.expand_multi_info(&[b"bekci/1/security-cookie/", head.as_bytes()], &mut bytes)
            .ok()?;
        Some(bytes)
    }
}

impl fmt::Debug for SecurityKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecurityKey(..)")
    }
}

/// What a request's security cookie is worth for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityCheck {
    /// The guard has none, or it was checked before.
    NotNeeded,
    /// It is young.
    Young(SecurityCookie),
    /// It has to be exchanged.
    Old(SecurityCookie),
    /// It is missing, not ours, or of another session.
    Invalid,
}

/// Looks at the cookie, without I/O.
#[must_use]
pub fn look(head: &RequestHead<'_>, guard: &AuthGuard, session: SessionId, now: OffsetDateTime) -> SecurityCheck {
    let Some(interval) = guard.security_interval() else {
        return SecurityCheck::NotNeeded;
    };
    if head.secured == Some(session) {
        return SecurityCheck::NotNeeded;
    }
    let CookieLookup::One(text) = cookie(head.cookies, &guard.cookies.security) else {
        return SecurityCheck::Invalid;
    };
    match guard.security.read(text) {
        Some(cookie) if cookie.session != session => SecurityCheck::Invalid,
        Some(cookie) if cookie.is_young(interval, now) => SecurityCheck::Young(cookie),
        Some(cookie) => SecurityCheck::Old(cookie),
        None => SecurityCheck::Invalid,
    }
}

/// Refuses a session by cookie without a security cookie that is young, or was exchanged before the gate.
///
/// # Errors
/// [`AuthError::SecurityTokenInvalid`].
pub fn check(
    head: &RequestHead<'_>,
    guard: &AuthGuard,
    session: SessionId,
    now: OffsetDateTime,
) -> Result<Option<SecurityCookie>, AuthError> {
    match look(head, guard, session, now) {
        SecurityCheck::NotNeeded => Ok(None),
        SecurityCheck::Young(cookie) => Ok(Some(cookie)),
        SecurityCheck::Old(_) | SecurityCheck::Invalid => Err(AuthError::SecurityTokenInvalid),
    }
}

/// What presenting an old cookie came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchanged {
    /// This is the cookie to hold from now on.
    For(SecurityCookie),
    /// Its counter is neither the current one nor a predecessor that is still good.
    Mismatch,
}

/// A security cookie that does not fit its session: a copy was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityMismatch {
    /// Through which guard.
    pub guard: GuardName,
    /// Whose session it is.
    pub key: PrincipalKey,
    /// The session.
    pub session: SessionId,
}

/// What becomes of a session whose security cookie was copied. The request is refused either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MismatchReaction {
    /// The session ends.
    #[default]
    EndSession,
    /// The session stays, as where the application asks its user first.
    KeepSession,
}

/// What an application decides about sessions. Each method is awaited, so what is slow in it holds its request up.
#[async_trait]
pub trait SessionListener: Send + Sync + fmt::Debug {
    /// A security cookie does not fit its session.
    async fn security_mismatch(&self, mismatch: &SecurityMismatch) -> MismatchReaction {
        let _ = mismatch;
        MismatchReaction::EndSession
    }
}

/// The store as security cookies see it.
#[async_trait]
pub trait SecurityStore: Send + Sync + fmt::Debug {
    /// Exchanges an old cookie for its successor, by one conditional statement. Of any number of calls with one cookie, one moves the counter on; the others are given the same
    /// successor while the predecessor is good.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn exchange(&self, held: &SecurityCookie, now: OffsetDateTime) -> Result<Exchanged, StoreError>;

    /// Whether a cookie is the current one, or a predecessor that is still good; nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn is_current(&self, held: &SecurityCookie, now: OffsetDateTime) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: SecurityCookie = SecurityCookie {
        session: TokenId([7; 16]),
        generation: 3,
        issued_at: 1_800_000_000,
    };

    fn key(first: u8, guard: &str) -> SecurityKey {
        let root = RootSecret::new(&(first..first + 32).collect::<Vec<u8>>()).unwrap();
        SecurityKey::new(&root, &GuardName::new(guard).unwrap())
    }

    #[test]
    fn a_cookie_is_its_guards_alone_and_every_changed_character_is_refused() {
        let text = key(0, "customer").make(&COOKIE).unwrap();
        assert_eq!(key(0, "customer").read(&text), Some(COOKIE));
        assert_eq!(key(0, "admin").read(&text), None);
        assert_eq!(key(1, "customer").read(&text), None);
        assert!(SecurityKey::default().make(&COOKIE).is_none() && SecurityKey::default().read(&text).is_none());
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(
                key(0, "customer").read(&String::from_utf8(changed).unwrap()),
                None,
                "{at}"
            );
            assert_eq!(key(0, "customer").read(&text[..at]), None, "{at}");
        }
        for odd in [text.to_uppercase(), format!("{text}0"), "é".repeat(60)] {
            assert_eq!(key(0, "customer").read(&odd), None, "{odd}");
        }
    }

    #[test]
    fn it_is_young_until_the_interval_is_over() {
        let at = |seconds| OffsetDateTime::from_unix_timestamp(COOKIE.issued_at + seconds).unwrap();
        let young = |seconds| COOKIE.is_young(Duration::seconds(30), at(seconds));
        assert!(young(0) && young(29) && young(-5));
        assert!(!young(30) && !young(-6));
    }
}
