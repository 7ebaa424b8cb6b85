//! Mails: what is to be sent, and the port of the queue that keeps it until it is.
//!
//! 1. A mail is queued in the transaction of what causes it, so there is none without its cause, and none is lost with a process.
//! 2. It carries a kind and values, not a text: templates make the text when it is sent.
//! 3. No value comes from a client, except addresses of accounts. So a client cannot send its own text to a stranger.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::signin::StoreError;

/// The longest address in bytes: a path of SMTP has 256 with its brackets (RFC 5321 section 4.5.3.1.3).
pub const MAX_ADDRESS_BYTES: usize = 254;
/// The longest part before the `@` in bytes (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// The longest label of a domain in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// An e-mail address that can be sent to: `local@domain` in ASCII, the local part a dot-string, the domain a host name (RFC 5321 section 4.1.2). An internationalised
/// domain stands in its A-labels. There are no quoted local parts, no address literals, no display names and no lists.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(Box<str>);

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address, such as name@example.com")]
pub struct NotAnAddress;

impl EmailAddress {
    /// Reads an address; blanks around it are left out.
    ///
    /// # Errors
    /// [`NotAnAddress`].
    pub fn new(text: &str) -> Result<Self, NotAnAddress> {
        let text = text.trim_matches([' ', '\t']);
        let (local, domain) = text.rsplit_once('@').ok_or(NotAnAddress)?;
        let fits = text.len() <= MAX_ADDRESS_BYTES && local.len() <= MAX_LOCAL_BYTES;
        let is_local = local
            .split('.')
            .all(|atom| !atom.is_empty() && atom.bytes().all(is_atext));
        let is_domain = domain.split('.').all(is_label);
        (fits && is_local && is_domain)
            .then(|| Self(text.into()))
            .ok_or(NotAnAddress)
    }

    /// The address as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }
}

/// `atext` of RFC 5322 section 3.2.3.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

fn is_label(label: &str) -> bool {
    let ends = [label.bytes().next(), label.bytes().next_back()];
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    label.len() <= MAX_LABEL_BYTES
        && ends.into_iter().all(is_edge)
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl TryFrom<String> for EmailAddress {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        Self::new(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0.into()
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address is personal data: it is not for logs.
        write!(formatter, "EmailAddress({} bytes)", self.0.len())
    }
}

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// A link that confirms the address of an account.
    VerifyAddress,
    /// A registration or a change named an address that an account has already. The mail informs its owner.
    AddressInUse,
    /// A link that sets a new password.
    ResetPassword,
    /// The password was changed.
    PasswordChanged,
    /// A link that makes an address the one of an account.
    ChangeAddress,
    /// The address was changed; sent to the one before.
    AddressChanged,
    /// A code that signs in.
    SignInCode,
    /// A link that signs in.
    SignInLink,
    /// A code that completes a sign-in by password.
    VerificationCode,
    /// A link that accepts an invitation.
    Invitation,
}

impl MailKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::VerifyAddress,
        Self::AddressInUse,
        Self::ResetPassword,
        Self::PasswordChanged,
        Self::ChangeAddress,
        Self::AddressChanged,
        Self::SignInCode,
        Self::SignInLink,
        Self::VerificationCode,
        Self::Invitation,
    ];

    /// The name in templates, metrics and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifyAddress => "verify_address",
            Self::AddressInUse => "address_in_use",
            Self::ResetPassword => "reset_password",
            Self::PasswordChanged => "password_changed",
            Self::ChangeAddress => "change_address",
            Self::AddressChanged => "address_changed",
            Self::SignInCode => "sign_in_code",
            Self::SignInLink => "sign_in_link",
            Self::VerificationCode => "verification_code",
            Self::Invitation => "invitation",
        }
    }
}

/// The language of a mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MailLanguage {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// Turkish.
    #[serde(rename = "tr")]
    Turkish,
}

impl MailLanguage {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::Turkish];

    /// The language tag.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Turkish => "tr",
        }
    }
}

/// A mail that is to be sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// What it is about.
    pub kind: MailKind,
    /// To whom.
    pub to: EmailAddress,
    /// In which language.
    pub language: MailLanguage,
    /// What its template puts in: `link`, `code`, `minutes`, `address`.
    pub values: BTreeMap<String, String>,
    /// When it is of no use any more, and is not sent.
    #[serde(with = "time::serde::timestamp")]
    pub expires_at: OffsetDateTime,
}

impl fmt::Debug for Mail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its values are secrets.
        formatter
            .debug_struct("Mail")
            .field("kind", &self.kind)
            .field("to", &self.to)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A mail that this process has claimed from the queue.
#[derive(Clone, Debug)]
pub struct ClaimedMail {
    /// Its id, the same at each attempt.
    pub id: String,
    /// What proves the claim.
    pub claim: String,
    /// Which attempt this is, counted from 1.
    pub attempt: u32,
    /// When it was queued.
    pub queued_at: OffsetDateTime,
    /// The mail; `None`: it cannot be read, since it was sealed under another root secret or was changed.
    pub mail: Option<Mail>,
}

/// The queue of mails, shared by all nodes. A mail is claimed by one node at a time; a claim lapses, so that a node that dies in the middle leaves nothing behind. A mail
/// whose node dies after the server took it and before that was written down is sent twice, under one Message-ID.
#[async_trait]
pub trait MailQueue: Send + Sync + fmt::Debug {
    /// Claims at most so many mails that are due, for so long.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn claim(&self, most: u64, lasts: Duration) -> Result<Vec<ClaimedMail>, StoreError>;

    /// Takes a mail that was sent or given up from the queue; nothing happens if the claim has lapsed and another node has it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn finish(&self, mail: &ClaimedMail) -> Result<(), StoreError>;

    /// Gives a claim up, until another attempt is due.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn defer(&self, mail: &ClaimedMail, wait: Duration) -> Result<(), StoreError>;

    /// Waits until this process has queued a mail, or for so long.
    async fn wait(&self, at_most: Duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_what_smtp_can_carry() {
        for good in [
            "a@b",
            "name@example.com",
            " name@example.com\t",
            "o'hara+tag@xn--mnchen-3ya.example",
            "a.b!#$%&'*+-/=?^_`{|}~@a-b.c",
            &format!("{}@example.com", "a".repeat(64)),
        ] {
            assert_eq!(
                EmailAddress::new(good).map(|a| a.as_str().to_owned()),
                Ok(good.trim().to_owned())
            );
        }
    }

    #[test]
    fn what_could_become_a_second_recipient_or_a_header_is_no_address() {
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "a b@c",
            "a@x\r\nBcc: v@y",
            "a@x\nBcc: v@y",
            "a@x\r",
            "\na@x",
            "a\0@x",
            "a@x,b@y",
            "a@x;b@y",
            "<a@x>",
            "<a@x> b@y",
            "Name <a@x>",
            "\"a b\"@x",
            "\"a\\\"@x\"@x",
            "a(comment)@x",
            "a@[127.0.0.1]",
            "a@b@c",
            ".a@x",
            "a.@x",
            "a..b@x",
            "a@.x",
            "a@x.",
            "a@-x",
            "a@x-",
            "a@x_y",
            "ş@x",
            "a@ş.example",
            "a@x\u{2028}",
            &format!("{}@example.com", "a".repeat(65)),
            &format!("a@{}.com", "a".repeat(64)),
            &format!("a@{}com", "abcdefg.".repeat(32)),
        ] {
            assert_eq!(EmailAddress::new(bad), Err(NotAnAddress), "{bad:?}");
        }
    }

    #[test]
    fn neither_an_address_nor_a_mail_prints() {
        let mail = Mail {
            kind: MailKind::SignInCode,
            to: EmailAddress::new("a@b.c").unwrap(),
            language: MailLanguage::English,
            values: [("code".to_owned(), "123456".to_owned())].into(),
            expires_at: OffsetDateTime::UNIX_EPOCH,
        };
        let printed = format!("{mail:?}");
        assert!(!printed.contains("123456") && !printed.contains("a@b.c"), "{printed}");
    }
}
