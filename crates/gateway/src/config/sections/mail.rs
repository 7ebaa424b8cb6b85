//! `[mail]`, `[idp.<name>]` and `[clients.<name>]`.

use std::path::PathBuf;

use crate::config::schema::{
    Fallback::Absent, Fallback::Computed, Fallback::Required, Fallback::Toml, Kind, Refusal, range, settings, some,
};
use crate::config::tree::Value;
use crate::config::values::names::{Audience, Scope, Sentence};
use crate::config::values::secret::{self, Secret};
use crate::config::values::url::HttpUrl;
use crate::config::values::{choice, text_type};

choice! {
    /// How mails leave.
    MailTransport {
        /// To a mail server.
        Smtp = "smtp",
        /// Into a file, for development.
        File = "file",
        /// Into the log, for development.
        Log = "log",
    }
}

choice! {
    /// How the connection to the mail server is secured.
    MailTls {
        /// In clear first, then TLS, else nothing is sent.
        StartTls = "starttls",
        /// TLS from the start.
        Tls = "tls",
        /// Not at all.
        None = "none",
    }
}

choice! {
    /// The languages that Bekci speaks.
    MailLanguage {
        /// English.
        English = "en",
        /// Turkish.
        Turkish = "tr",
    }
}

text_type! {
    /// The sender of mails.
    Mailbox: "an e-mail address, or a name and an address: Example <no-reply@example.com>", None,
    |text| match bekci_mail::Sender::new(text) { Ok(_) => Ok(()), Err(_) => Err(Refusal::Malformed) }
}

settings! {
    /// How mails leave.
    Mail {
        /// `smtp`, or for development `file` or `log`.
        transport: MailTransport = Toml("'log'");
        /// The mail server.
        host: Sentence = Toml("'127.0.0.1'");
        /// Its port.
        port: u16 [range(1, 65_535)] = Toml("587");
        /// `starttls`, `tls` or `none`.
        tls: MailTls = Toml("'starttls'");
        /// The user at the mail server.
        user: Option<Secret> = Absent;
        /// The password at the mail server.
        password: Option<Secret> = Absent;
        /// A PEM file with the certificate authorities that are believed. Left out: the system's.
        ca_file: Option<PathBuf> = Absent;
        /// The sender of the mails: an address, or a name and an address as `Example <no-reply@example.com>`.
        from: Mailbox = Toml("'Bekci <no-reply@localhost>'");
        /// The language where `Accept-Language` names none that Bekci speaks.
        language: MailLanguage = Toml("'en'");
        /// A folder with templates that replace the built-in ones, each by its name: `reset_password.en.txt` (its first line is the subject), `layout.html`.
        templates: Option<PathBuf> = Absent;
        /// The folder of `transport = "file"`.
        folder: PathBuf = Toml("'data/mails'");
    }
}

settings! {
    /// An identity provider (OpenID Connect).
    Idp {
        /// The provider's issuer, whose discovery document is read.
        issuer: HttpUrl = Computed {
            says: "known for `google`, `apple` and `facebook`, else required",
            value: |facts| Value::Text(known_issuer(&facts.name).to_owned()),
        };
        /// Every audience that is accepted: of the web page, of iOS, of Android.
        client_ids: Vec<Audience> [some::<Audience>()] = Required;
        /// The client's secret, where the provider has given one.
        client_secret: Option<Secret> = Absent;
        /// What is asked for.
        scopes: Vec<Scope> [some::<Scope>()] = Toml("['openid', 'email', 'profile']");
        /// A PEM file with the certificate authorities that are accepted. Left out: the system's.
        ca_file: Option<PathBuf> = Absent;
    }
}

/// The issuer of a provider that everybody knows; empty for others, which the check refuses.
fn known_issuer(name: &str) -> &'static str {
    match name {
        "google" => "https://accounts.google.com",
        "apple" => "https://appleid.apple.com",
        "facebook" => "https://www.facebook.com",
        _ => "",
    }
}

settings! {
    /// Who may call introspection (RFC 7662) and revocation (RFC 7009).
    Client {
        /// Its secret; 16 bytes at least.
        secret: Secret [Kind::Secret(&secret::CLIENT)] = Required;
    }
}
