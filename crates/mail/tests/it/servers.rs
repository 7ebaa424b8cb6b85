//! TLS and users: nothing is sent to a server that cannot prove who it is, or that takes another password.

use std::path::{Path, PathBuf};

use bekci_mail::{MailTls, SmtpSettings, Transport};
use bekci_test_support::{Smtp, SmtpManner, TempDir};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::world::{code, plain, result_of};

const USER: (&str, &str) = ("mailer", "opensesame");

/// An authority, and a certificate of it for a name: the files of authority, certificate and key.
fn certificate(folder: &Path, name: &str) -> (PathBuf, (PathBuf, PathBuf)) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let put = |file: &str, text: &str| {
        let path = folder.join(format!("{name}-{file}"));
        std::fs::write(&path, text).unwrap();
        path
    };
    (
        put("ca.pem", &authority_certificate.pem()),
        (
            put("cert.pem", &certificate.pem()),
            put("key.pem", &key.serialize_pem()),
        ),
    )
}

fn by_tls(smtp: &Smtp, tls: MailTls, ca: &Path) -> SmtpSettings {
    SmtpSettings {
        tls,
        ca_file: Some(ca.to_owned()),
        credentials: Some((USER.0.into(), USER.1.into())),
        ..plain(smtp)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_starttls_and_by_tls_a_mail_goes_encrypted_and_signed_in() {
    let folder = TempDir::new("tls");
    let (ca, certificate) = certificate(folder.path(), "127.0.0.1");
    for (tls, wrapped) in [(MailTls::StartTls, false), (MailTls::Tls, true)] {
        let smtp = Smtp::start_with(&SmtpManner {
            certificate: Some(certificate.clone()),
            wrapped,
            user: Some(USER),
            ..SmtpManner::default()
        });
        let settings = by_tls(&smtp, tls, &ca);
        assert_eq!(Transport::smtp(&settings).unwrap().test().await, Ok(()), "{tls:?}");
        assert_eq!(
            result_of(&settings, code("a@customer.test", &[])).await,
            "sent",
            "{tls:?}"
        );
        let mail = smtp.wait_for("a@customer.test", 1).remove(0);
        assert_eq!((mail.tls, mail.user.as_deref()), (true, Some(USER.0)), "{tls:?}");
        // Another password is an operator's mistake: the mail waits.
        let wrong = SmtpSettings {
            credentials: Some((USER.0.into(), "guess".into())),
            ..settings
        };
        assert!(Transport::smtp(&wrong).unwrap().test().await.is_err());
        assert_eq!(
            result_of(&wrong, code("a@customer.test", &[])).await,
            "deferred",
            "{tls:?}"
        );
        assert_eq!(smtp.received().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_a_server_of_another_name_or_authority_or_without_tls() {
    let folder = TempDir::new("tls");
    let (ca, _) = certificate(folder.path(), "127.0.0.1");
    let (other_ca, other) = certificate(folder.path(), "mail.example.com");
    let clear = Smtp::start();
    let named = Smtp::start_with(&SmtpManner {
        certificate: Some(other),
        ..SmtpManner::default()
    });
    for (smtp, ca) in [(&named, &other_ca), (&named, &ca), (&clear, &ca)] {
        let settings = by_tls(smtp, MailTls::StartTls, ca);
        assert_eq!(result_of(&settings, code("a@customer.test", &[])).await, "deferred");
        assert!(smtp.received().is_empty());
        assert_eq!(smtp.attempts(), 0);
    }
}

#[test]
fn a_file_without_authorities_is_refused() {
    let folder = TempDir::new("tls");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "none").unwrap();
    let settings = SmtpSettings {
        host: "127.0.0.1".to_owned(),
        port: 25,
        tls: MailTls::Tls,
        ca_file: Some(file),
        credentials: None,
    };
    assert!(Transport::smtp(&settings).is_err());
}
