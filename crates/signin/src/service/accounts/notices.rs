//! Mails that tell the owner of an account what was done with it.

use bekci_core::{
    accounts::{Addressee, Notices},
    mail::{EmailAddress, Mail, MailKind, MailLanguage},
};
use time::{Duration, OffsetDateTime};

/// How long a notice is worth being sent.
const LASTS: Duration = Duration::days(3);

/// A change of which nobody is told.
pub(super) struct NoNotice;

impl Notices for NoNotice {
    fn of(&self, _: &Addressee, _: Option<&EmailAddress>) -> Option<Mail> {
        None
    }
}

/// A notice to the address that the account had before.
pub(super) struct Notice {
    pub(super) kind: MailKind,
    pub(super) language: MailLanguage,
    pub(super) now: OffsetDateTime,
}

impl Notices for Notice {
    fn of(&self, before: &Addressee, new_address: Option<&EmailAddress>) -> Option<Mail> {
        let address = new_address.map(|address| ("address".to_owned(), address.as_str().to_owned()));
        Some(Mail {
            kind: self.kind,
            to: before.address.clone()?,
            language: self.language,
            values: address.into_iter().collect(),
            expires_at: self.now + LASTS,
        })
    }
}
