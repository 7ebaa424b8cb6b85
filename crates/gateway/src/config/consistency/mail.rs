//! `[mail]`: a user belongs to a password, and both to a connection that others cannot read.

use super::Findings;
use crate::config::sections::{
    Config,
    mail::{MailTls, MailTransport},
};

pub(super) fn check(config: &Config, findings: &mut Findings<'_>) {
    let mail = &config.mail;
    if mail.user.is_some() != mail.password.is_some() {
        let (there, missing) = match mail.user {
            Some(_) => ("user", "password"),
            None => ("password", "user"),
        };
        findings.add(&["mail", there], format!("needs a {missing} beside it"));
    }
    let is_local = matches!(mail.host.as_str(), "127.0.0.1" | "localhost" | "::1");
    if mail.transport == MailTransport::Smtp && mail.tls == MailTls::None && mail.user.is_some() && !is_local {
        findings.add(
            &["mail", "tls"],
            "the password would be sent in clear to another machine; use \"starttls\" or \"tls\"",
        );
    }
}
