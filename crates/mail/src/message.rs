//! A mail as a message of RFC 5322.

use bekci_core::mail::{EmailAddress, Mail};
use lettre::{
    Address, Message,
    message::{Mailbox, MultiPart, header},
};
use time::OffsetDateTime;

use crate::templates::Rendered;

/// The sender of all mails: `Example <no-reply@example.com>`, or the address alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    name: Option<String>,
    address: EmailAddress,
}

/// A text that is no sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address, or a name and an address in angle brackets: Example <no-reply@example.com>")]
pub struct NotASender;

impl Sender {
    /// Reads a sender.
    ///
    /// # Errors
    /// [`NotASender`].
    pub fn new(text: &str) -> Result<Self, NotASender> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>') {
            Some(text) => text.rsplit_once('<').ok_or(NotASender)?,
            None => ("", text),
        };
        let name = name.trim().trim_matches('"').trim();
        if name
            .chars()
            .any(|c| c.is_control() || matches!(c, '<' | '>' | '"' | '\\'))
        {
            return Err(NotASender);
        }
        Ok(Self {
            name: (!name.is_empty()).then(|| name.to_owned()),
            address: EmailAddress::new(address).map_err(|_| NotASender)?,
        })
    }

    /// What mails call the sender: its name, or its domain.
    #[must_use]
    pub fn service(&self) -> &str {
        let domain = || self.address.as_str().rsplit('@').next().unwrap_or_default();
        self.name.as_deref().unwrap_or_else(domain)
    }

    fn domain(&self) -> &str {
        self.address.as_str().rsplit('@').next().unwrap_or_default()
    }
}

/// Makes the message of a mail. Its id is the same at each attempt, so that a receiver knows a second copy as one.
pub(crate) fn build(
    sender: &Sender,
    (id, mail): (&str, &Mail),
    rendered: Rendered,
    now: OffsetDateTime,
) -> Result<Message, String> {
    let address = |address: &EmailAddress| address.as_str().parse::<Address>().map_err(|error| error.to_string());
    let since_epoch = u64::try_from(now.unix_timestamp()).unwrap_or_default();
    Message::builder()
        .from(Mailbox::new(sender.name.clone(), address(&sender.address)?))
        .to(Mailbox::new(None, address(&mail.to)?))
        .subject(rendered.subject)
        .date(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since_epoch))
        .message_id(Some(format!("<{id}@{}>", sender.domain())))
        .header(AutoSubmitted)
        .header(header::MIME_VERSION_1_0)
        .multipart(MultiPart::alternative_plain_html(rendered.text, rendered.html))
        .map_err(|error| error.to_string())
}

/// `Auto-Submitted: auto-generated` (RFC 3834): no out-of-office answer comes back.
#[derive(Clone, Debug)]
struct AutoSubmitted;

impl header::Header for AutoSubmitted {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use bekci_core::mail::{MailKind, MailLanguage};

    use super::*;

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        let service = |text: &str| Sender::new(text).map(|sender| sender.service().to_owned());
        assert_eq!(service("Example <no-reply@example.com>"), Ok("Example".to_owned()));
        assert_eq!(
            service("\"Örnek Ltd.\" <no-reply@example.com>"),
            Ok("Örnek Ltd.".to_owned())
        );
        assert_eq!(service("no-reply@example.com"), Ok("example.com".to_owned()));
        for bad in [
            "",
            "Example",
            "Example <>",
            "A <a@b",
            "A\r\nBcc: x@y <a@b>",
            "<a@b> <c@d>",
            "A <a@b>, <c@d>",
        ] {
            assert_eq!(service(bad), Err(NotASender), "{bad:?}");
        }
    }

    #[test]
    fn a_message_has_one_recipient_and_the_headers_that_it_was_given() {
        let mail = Mail {
            kind: MailKind::SignInCode,
            to: EmailAddress::new("a@b.c").unwrap(),
            language: MailLanguage::English,
            values: [].into(),
            expires_at: OffsetDateTime::UNIX_EPOCH,
        };
        let rendered = Rendered {
            // Even a subject that was not cleaned before.
            subject: "Code\r\nBcc: v@y.z\r\n\r\nşifre".to_owned(),
            text: "Text\r\n.\r\nRCPT TO:<v@y.z>".to_owned(),
            html: "<p>Text</p>".to_owned(),
        };
        let sender = Sender::new("Örnek <no-reply@example.com>").unwrap();
        let message = build(&sender, ("0f", &mail), rendered, OffsetDateTime::UNIX_EPOCH).unwrap();
        assert_eq!(message.envelope().to().len(), 1);
        let text = String::from_utf8(message.formatted()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .filter_map(|line| line.split_once(':').map(|(name, _)| name))
            .collect();
        let mut expected = vec![
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
        ];
        let mut found = names.clone();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{head}");
        assert!(head.contains("<0f@example.com>"), "{head}");
    }
}
