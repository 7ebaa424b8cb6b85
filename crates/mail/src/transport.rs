//! Where messages go: to a mail server, or for development into a folder or the log.

use std::{
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    transport::smtp::{
        PoolConfig,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
        response::Code,
    },
};
use secrecy::{ExposeSecret as _, SecretString};

/// How long one command may take. RFC 5321 section 4.5.3.2 allows minutes for some; a mail that takes longer is tried again.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// How many connections a node keeps to the server.
const CONNECTIONS: u32 = 4;

/// How the connection to the mail server is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// In clear first, then TLS. A server that offers no TLS is sent nothing.
    StartTls,
    /// TLS from the start.
    Tls,
    /// Not at all.
    None,
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// Its name, which its certificate has to show.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub tls: MailTls,
    /// A PEM file with the authorities that are believed; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// User and password.
    pub credentials: Option<(SecretString, SecretString)>,
}

/// A transport that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// A file or folder cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("TLS to the mail server cannot be set up: {0}")]
    Tls(String),
}

/// Why a message was not sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotSent {
    pub(crate) reason: String,
    /// Whether the server refuses this message for good.
    pub(crate) for_good: bool,
}

/// Where messages go.
#[derive(Clone, Debug)]
pub struct Transport(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    File(PathBuf),
    Log,
}

impl Transport {
    /// Into a folder, a file `<id>.eml` for each message; for development. The folder is made for the first one.
    #[must_use]
    pub fn file(folder: impl Into<PathBuf>) -> Self {
        Self(Kind::File(folder.into()))
    }

    /// Into the log, with codes and links; for development.
    #[must_use]
    pub fn log() -> Self {
        Self(Kind::Log)
    }

    /// To a mail server. Nothing is connected yet.
    ///
    /// # Errors
    /// [`TransportError`] where TLS cannot be set up.
    pub fn smtp(settings: &SmtpSettings) -> Result<Self, TransportError> {
        let tls = match settings.tls {
            MailTls::None => Tls::None,
            MailTls::StartTls => Tls::Required(parameters(settings)?),
            MailTls::Tls => Tls::Wrapper(parameters(settings)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(COMMAND_TIMEOUT))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS));
        if let Some((user, password)) = &settings.credentials {
            let (user, password) = (user.expose_secret(), password.expose_secret());
            builder = builder.credentials(Credentials::new(user.to_owned(), password.to_owned()));
        }
        Ok(Self(Kind::Smtp(builder.build())))
    }

    /// Whether the server can be reached, and takes TLS, user and password.
    ///
    /// # Errors
    /// Why not.
    pub async fn test(&self) -> Result<(), String> {
        match &self.0 {
            Kind::Smtp(transport) => match transport.test_connection().await {
                Ok(true) => Ok(()),
                Ok(false) => Err("the mail server did not answer NOOP".to_owned()),
                Err(error) => Err(described(&error)),
            },
            Kind::File(_) | Kind::Log => Ok(()),
        }
    }

    /// Whether messages leave the machine.
    #[must_use]
    pub fn is_smtp(&self) -> bool {
        matches!(self.0, Kind::Smtp(_))
    }

    pub(crate) async fn send(&self, id: &str, message: Message, text: &str) -> Result<(), NotSent> {
        match &self.0 {
            Kind::Smtp(transport) => match transport.send(message).await {
                Ok(_) => Ok(()),
                Err(error) => Err(NotSent {
                    for_good: error.status().is_some_and(is_for_good),
                    reason: described(&error),
                }),
            },
            Kind::File(folder) => written(folder, id, &message.formatted()).map_err(|error| NotSent {
                reason: error.to_string(),
                for_good: false,
            }),
            Kind::Log => {
                let to = message.envelope().to().first().map(ToString::to_string);
                // The text is a field: it cannot look like a line of its own.
                tracing::info!(target: "bekci::mail", to, text, "a mail, which mail.transport = \"log\" sends nowhere");
                Ok(())
            }
        }
    }
}

fn parameters(settings: &SmtpSettings) -> Result<TlsParameters, TransportError> {
    let tls = |error: lettre::transport::smtp::Error| TransportError::Tls(error.to_string());
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(path) = &settings.ca_file {
        let unusable = |reason: String| TransportError::File {
            path: path.clone(),
            reason,
        };
        let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let authorities = certificates(&pem);
        if authorities.is_empty() {
            return Err(unusable("has no certificate in PEM".to_owned()));
        }
        builder = builder.certificate_store(CertificateStore::None);
        for authority in authorities {
            let authority = Certificate::from_pem(authority).map_err(tls)?;
            builder = builder.add_root_certificate(authority);
        }
    }
    builder.build_rustls().map_err(tls)
}

/// Each certificate of a PEM file.
fn certificates(pem: &[u8]) -> Vec<&[u8]> {
    const END: &[u8] = b"-----END CERTIFICATE-----";
    let mut rest = pem;
    let mut found = Vec::new();
    while let Some(at) = rest.windows(END.len()).position(|part| part == END) {
        let (one, after) = rest.split_at(at + END.len());
        found.push(one);
        rest = after;
    }
    found
}

/// Whether another attempt is in vain: the server refuses the message or its recipient. That it refuses this client is something that an operator can mend: RFC 4954
/// section 6 has 530, 534, 535 and 538 for authentication, RFC 5321 has 503 for the order of commands and 554 at the greeting, which lettre gives without a message.
fn is_for_good(code: Code) -> bool {
    let number = u16::from(code);
    (500..600).contains(&number) && !matches!(number, 503 | 530 | 534 | 535 | 538)
}

fn written(folder: &Path, id: &str, message: &[u8]) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Whole or not there: a reader that waits for the file never sees a part of it.
    let begun = folder.join(format!(".{id}"));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&begun)?;
    file.write_all(message)?;
    file.sync_all()?;
    std::fs::rename(begun, folder.join(format!("{id}.eml")))
}

/// An error with its causes. A server's answer is one line.
fn described(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(500)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_client_is_tried_again_and_one_of_the_message_is_not() {
        let code = |number: u16| {
            use lettre::transport::smtp::response::{Category, Detail, Severity};
            let severity = [
                Severity::TransientNegativeCompletion,
                Severity::PermanentNegativeCompletion,
            ];
            let category = [
                Category::Syntax,
                Category::Information,
                Category::Connections,
                Category::Unspecified3,
            ];
            let detail = [
                Detail::Zero,
                Detail::One,
                Detail::Two,
                Detail::Three,
                Detail::Four,
                Detail::Five,
            ];
            let digits = (
                usize::from(number / 100 - 4),
                usize::from(number / 10 % 10),
                usize::from(number % 10),
            );
            is_for_good(Code::new(severity[digits.0], category[digits.1], detail[digits.2]))
        };
        assert!(!code(421) && !code(530) && !code(535));
        assert!(code(501) && code(521));
    }

    #[test]
    fn each_certificate_of_a_file_is_found() {
        let one = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert_eq!(certificates(format!("{one}{one}").as_bytes()).len(), 2);
        assert_eq!(certificates(b"nothing").len(), 0);
    }
}
