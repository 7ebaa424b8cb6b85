//! How the mails of a configuration leave.

use bekci::{MailSettings, MailTls, Sender, SmtpSettings, Transport, TransportError};
use bekci_core::mail::MailLanguage;
use secrecy::SecretString;

use super::AssembleError;
use crate::config::{
    Config,
    types::{self, Secret},
};

/// The transport, sender and templates of `[mail]`. Nothing is connected.
pub(crate) fn mail(config: &Config) -> Result<MailSettings, AssembleError> {
    let section = &config.mail;
    let sender = Sender::new(section.from.as_str()).map_err(|error| AssembleError::Mail(error.to_string()))?;
    let transport = transport(section).map_err(|error| AssembleError::Mail(error.to_string()))?;
    let mut settings = MailSettings::new(transport, sender);
    settings.templates.clone_from(&section.templates);
    settings.language = match section.language {
        types::MailLanguage::English => MailLanguage::English,
        types::MailLanguage::Turkish => MailLanguage::Turkish,
    };
    Ok(settings)
}

fn transport(section: &types::Mail) -> Result<Transport, TransportError> {
    match section.transport {
        types::MailTransport::Log => Ok(Transport::log()),
        types::MailTransport::File => Ok(Transport::file(&section.folder)),
        types::MailTransport::Smtp => Transport::smtp(&SmtpSettings {
            host: section.host.as_str().to_owned(),
            port: section.port,
            tls: match section.tls {
                types::MailTls::StartTls => MailTls::StartTls,
                types::MailTls::Tls => MailTls::Tls,
                types::MailTls::None => MailTls::None,
            },
            ca_file: section.ca_file.clone(),
            credentials: section.user.as_ref().map(|user| (user.text(), password(section))),
        }),
    }
}

/// Empty beside a user alone, which the check of the configuration refuses.
fn password(section: &types::Mail) -> SecretString {
    section.password.as_ref().map(Secret::text).unwrap_or_default()
}
