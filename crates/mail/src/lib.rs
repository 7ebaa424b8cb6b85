//! Mails: text by templates, SMTP by lettre, and the task that sends what is queued.
//!
//! [`Mailer::run`] is that task. Requests only queue: a slow mail server delays no request, and one that is away loses no mail. The rules:
//!
//! 1. A mail is claimed, sent, and taken from the queue. What the server refuses for good is given up; everything else is tried again, later each time.
//! 2. It is given up after [`MOST_ATTEMPTS`], and when its time is over: a code that has expired is not sent.
//! 3. What is given up is a security event and a metric. Neither names the recipient.
//! 4. A message has exactly one recipient, and no header with a value from outside but its `To`, which is an [`EmailAddress`](bekci_core::mail::EmailAddress).

mod mailer;
mod message;
mod templates;
mod transport;

pub use mailer::{MOST_ATTEMPTS, Mailer, MailerParts};
pub use message::{NotASender, Sender};
pub use templates::{TemplateError, Templates};
pub use transport::{MailTls, SmtpSettings, Transport, TransportError};
