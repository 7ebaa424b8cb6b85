//! Whether mails can leave.

use std::time::Duration;

use super::finding::Finding;
use crate::{
    assemble,
    config::{Config, types::MailTransport},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Connects, with TLS and the password, and sends nothing.
pub(super) async fn look(config: &Config) -> Finding {
    let section = &config.mail;
    match section.transport {
        MailTransport::Log => return Finding::ok("mail", "goes to the log (mail.transport = \"log\")"),
        MailTransport::File => {
            let folder = section.folder.display();
            return Finding::ok(
                "mail",
                format!("goes into the folder {folder} (mail.transport = \"file\")"),
            );
        }
        MailTransport::Smtp => {}
    }
    let server = format!("{}:{}", section.host.as_str(), section.port);
    let advice = "are mail.host, port, tls, user and password right? Is the port open to this machine?";
    let settings = match assemble::mail(config) {
        Ok(settings) => settings,
        Err(error) => return Finding::failed("mail", error, advice),
    };
    match tokio::time::timeout(PATIENCE, settings.transport.test()).await {
        Ok(Ok(())) => Finding::ok("mail", format!("{server} answers")),
        Ok(Err(why)) => Finding::failed("mail", format!("{server}: {why}"), advice),
        Err(_) => Finding::failed("mail", format!("{server} does not answer within 10 s"), advice),
    }
}
