//! A queue in memory, and a mailer over it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bekci_core::{
    Clock, Entropy, Meter, async_trait,
    mail::{ClaimedMail, EmailAddress, Mail, MailKind, MailLanguage, MailQueue},
    signin::StoreError,
};
use bekci_mail::{MailTls, Mailer, MailerParts, Sender, SmtpSettings, Templates, Transport};
use bekci_test_support::Smtp;
use parking_lot::Mutex;
use time::OffsetDateTime;

pub const NOW: OffsetDateTime = time::macros::datetime!(2026-11-30 12:00 UTC);

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> OffsetDateTime {
        NOW
    }

    fn uptime(&self) -> Duration {
        Duration::ZERO
    }
}

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), String> {
        bytes.fill(0);
        Ok(())
    }
}

/// What became of each mail.
#[derive(Debug, Default)]
pub struct Queue {
    pub waiting: Mutex<Vec<ClaimedMail>>,
    pub finished: Mutex<Vec<String>>,
    pub deferred: Mutex<Vec<(String, Duration)>>,
    pub counted: Mutex<Vec<(&'static str, &'static str)>>,
}

#[async_trait]
impl MailQueue for Queue {
    async fn claim(&self, most: u64, _: Duration) -> Result<Vec<ClaimedMail>, StoreError> {
        let mut waiting = self.waiting.lock();
        let most = usize::try_from(most).unwrap().min(waiting.len());
        Ok(waiting.drain(..most).collect())
    }

    async fn finish(&self, mail: &ClaimedMail) -> Result<(), StoreError> {
        self.finished.lock().push(mail.id.clone());
        Ok(())
    }

    async fn defer(&self, mail: &ClaimedMail, wait: Duration) -> Result<(), StoreError> {
        self.deferred.lock().push((mail.id.clone(), wait));
        Ok(())
    }

    async fn wait(&self, _: Duration) {}
}

impl Meter for Queue {
    fn mailed(&self, kind: &'static str, result: &'static str) {
        self.counted.lock().push((kind, result));
    }
}

pub fn code(to: &str, values: &[(&str, &str)]) -> Mail {
    let mut all: BTreeMap<String, String> = [("code", "123456"), ("minutes", "3")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    all.extend(
        values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    Mail {
        kind: MailKind::SignInCode,
        to: EmailAddress::new(to).unwrap(),
        language: MailLanguage::English,
        values: all,
        expires_at: NOW + time::Duration::minutes(3),
    }
}

pub fn claimed(id: &str, attempt: u32, mail: Option<Mail>) -> ClaimedMail {
    ClaimedMail {
        id: id.to_owned(),
        claim: "claim".to_owned(),
        attempt,
        queued_at: NOW,
        mail,
    }
}

pub fn plain(smtp: &Smtp) -> SmtpSettings {
    SmtpSettings {
        host: "127.0.0.1".to_owned(),
        port: smtp.port(),
        tls: MailTls::None,
        ca_file: None,
        credentials: None,
    }
}

/// Makes one attempt for each of these mails.
pub async fn attempt(transport: Transport, mails: Vec<ClaimedMail>) -> Arc<Queue> {
    let queue = Arc::new(Queue::default());
    queue.waiting.lock().extend(mails);
    let mailer = Mailer::new(MailerParts {
        queue: Arc::<Queue>::clone(&queue),
        transport,
        templates: Templates::load("Shop", None).unwrap(),
        sender: Sender::new("Shop <no-reply@example.com>").unwrap(),
        clock: Arc::new(Fixed),
        entropy: Arc::new(Fixed),
        meter: Arc::<Queue>::clone(&queue),
    });
    while mailer.send_due().await.unwrap() > 0 {}
    queue
}

/// Sends one mail by these settings, and gives the name of what came of it.
pub async fn result_of(settings: &SmtpSettings, mail: Mail) -> &'static str {
    let transport = Transport::smtp(settings).unwrap();
    let queue = attempt(transport, vec![claimed("01", 1, Some(mail))]).await;
    let counted = queue.counted.lock();
    assert_eq!(counted.len(), 1, "{counted:?}");
    counted[0].1
}
