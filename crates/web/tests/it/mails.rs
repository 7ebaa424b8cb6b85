//! What an application queues is sent beside its requests, by whichever node is there.

use std::sync::Arc;

use bekci::{
    BuildError, MailSettings, MailTls, Sender, SmtpSettings, Transport,
    core::mail::{EmailAddress, Mail, MailKind, MailLanguage},
};
use bekci_test_support::{ReceivedMail, Smtp, SmtpManner, TempDir};
use time::OffsetDateTime;

use crate::{
    house::{House, refused},
    models::admin::Admin,
};

fn settings(smtp: &Smtp) -> MailSettings {
    let transport = Transport::smtp(&SmtpSettings {
        host: "127.0.0.1".to_owned(),
        port: smtp.port(),
        tls: MailTls::None,
        ca_file: None,
        credentials: None,
    });
    MailSettings::new(transport.unwrap(), Sender::new("Shop <no-reply@example.com>").unwrap())
}

fn mail(to: &str) -> Mail {
    Mail {
        kind: MailKind::PasswordChanged,
        to: EmailAddress::new(to).unwrap(),
        language: MailLanguage::Turkish,
        values: [].into(),
        expires_at: OffsetDateTime::from_unix_timestamp(4_000_000_000).unwrap(),
    }
}

/// The mails to an address, when there is one. The thread of the runtime stays free to send it.
async fn waited(smtp: &Arc<Smtp>, to: &str) -> Vec<ReceivedMail> {
    let (smtp, to) = (Arc::clone(smtp), to.to_owned());
    tokio::task::spawn_blocking(move || smtp.wait_for(&to, 1))
        .await
        .unwrap()
}

#[actix_web::test]
async fn what_is_queued_is_sent_once_with_two_nodes_looking() {
    let smtp = Arc::new(Smtp::start());
    let house = House::built("http://localhost", |builder| builder.mail(settings(&smtp))).await;
    let second = house.second_node_with(|builder| builder.mail(settings(&smtp))).await;
    for n in 0..20 {
        let node = if n % 2 == 0 { &house.bekci } else { &second };
        node.store()
            .queue_mail(&mail(&format!("c{n}@customer.test")))
            .await
            .unwrap();
    }
    for n in 0..20 {
        let to = format!("c{n}@customer.test");
        let mails = waited(&smtp, &to).await;
        assert_eq!(mails.len(), 1);
        assert!(
            mails[0].text().contains("Hesabınızın şifresi değiştirildi"),
            "{}",
            mails[0].text()
        );
    }
    house.bekci.close().await;
    second.close().await;
    assert_eq!(smtp.received().len(), 20);
}

#[actix_web::test]
async fn what_a_node_could_not_send_is_sent_by_the_next_one() {
    let smtp = Arc::new(Smtp::start_with(&SmtpManner {
        refuse: Some("451 later"),
        ..SmtpManner::default()
    }));
    let house = House::built("http://localhost", |builder| builder.mail(settings(&smtp))).await;
    // The call that causes a mail does not wait for the server.
    house.bekci.store().queue_mail(&mail("a@customer.test")).await.unwrap();
    house.bekci.close().await;
    smtp.become_of(&SmtpManner::default());
    house.clock.advance(std::time::Duration::from_secs(3_600));
    let second = house.second_node_with(|builder| builder.mail(settings(&smtp))).await;
    assert_eq!(waited(&smtp, "a@customer.test").await.len(), 1);
    second.close().await;
}

#[actix_web::test]
async fn a_template_that_cannot_be_used_refuses_the_start() {
    let folder = TempDir::new("templates");
    std::fs::write(folder.path().join("reset_password.en.txt"), "{{ nothing }}").unwrap();
    let mut settings = MailSettings::new(Transport::log(), Sender::new("a@b.c").unwrap());
    settings.templates = Some(folder.path().to_owned());
    let error = refused(|builder| builder.mail(settings).guard::<Admin>()).await;
    assert!(matches!(error, BuildError::Mail(_)), "{error}");
}
