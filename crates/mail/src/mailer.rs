//! The task that sends what is queued.

use std::{sync::Arc, time::Duration};

use bekci_core::{
    Clock, Entropy, Meter,
    mail::{ClaimedMail, Mail, MailQueue},
};
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::{
    message::{self, Sender},
    templates::Templates,
    transport::{NotSent, Transport},
};

/// A mail is given up after so many attempts: about two days.
pub const MOST_ATTEMPTS: u32 = 50;
/// How many mails a node sends at once.
const AT_ONCE: u64 = 8;
/// How long one attempt may take in all.
const ATTEMPT: Duration = Duration::from_secs(150);
/// How long a claim lasts: longer than an attempt and what is written after it.
const CLAIM: Duration = Duration::from_secs(240);
/// How often the queue is looked at for what other nodes queued and what is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the queue is left alone when the database does not answer.
const PAUSE: Duration = Duration::from_secs(5);
/// The wait before the second attempt; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// What a mailer is made of.
#[derive(Debug)]
pub struct MailerParts {
    /// What is to be sent.
    pub queue: Arc<dyn MailQueue>,
    /// Where it goes.
    pub transport: Transport,
    /// What it says.
    pub templates: Templates,
    /// Who it is from.
    pub sender: Sender,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// For the spread of attempts.
    pub entropy: Arc<dyn Entropy>,
    /// What is told of each mail.
    pub meter: Arc<dyn Meter>,
}

/// Sends what is queued, beside requests.
#[derive(Debug)]
pub struct Mailer(MailerParts);

/// What became of a mail.
enum Fate {
    Sent,
    Again(String),
    GivenUp(String),
}

impl Mailer {
    /// A mailer over these parts.
    #[must_use]
    pub fn new(parts: MailerParts) -> Self {
        Self(parts)
    }

    /// Where its mails go.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// Sends until it is stopped. An attempt under way is finished first, within its time.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut failing = false;
        while !*stop.borrow() {
            let wait = match self.send_due().await {
                // There may be more.
                Ok(sent) if sent > 0 => continue,
                Ok(_) => {
                    failing = false;
                    LOOK_EVERY
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(target: "bekci::mail", %error, "the queue of mails cannot be read; what is queued waits");
                    }
                    failing = true;
                    PAUSE
                }
            };
            tokio::select! {
                biased;
                _ = stop.changed() => {}
                () = self.0.queue.wait(wait) => {}
            }
        }
    }

    /// Makes one attempt for each mail that is due, at most eight; gives how many that were.
    ///
    /// # Errors
    /// [`StoreError`](bekci_core::signin::StoreError) where the queue cannot be read.
    pub async fn send_due(&self) -> Result<usize, bekci_core::signin::StoreError> {
        let claimed = self.0.queue.claim(AT_ONCE, CLAIM).await?;
        join_all(claimed.iter().map(|mail| self.attempt(mail))).await;
        Ok(claimed.len())
    }

    async fn attempt(&self, claimed: &ClaimedMail) {
        let kind = claimed.mail.as_ref().map_or("unreadable", |mail| mail.kind.as_str());
        let fate = match &claimed.mail {
            Some(mail) => self.fate_of(claimed, mail).await,
            None => Fate::GivenUp("it was sealed under another root secret, or was changed".to_owned()),
        };
        let queue = &self.0.queue;
        let (result, kept) = match &fate {
            Fate::Sent => ("sent", queue.finish(claimed).await),
            Fate::Again(reason) => {
                tracing::warn!(target: "bekci::mail", id = claimed.id, kind, attempt = claimed.attempt, reason, "a mail was not sent; it is tried again");
                ("deferred", queue.defer(claimed, self.wait_after(claimed.attempt)).await)
            }
            Fate::GivenUp(reason) => {
                tracing::warn!(target: "bekci::audit", event = "mail.given_up", id = claimed.id, kind, attempts = claimed.attempt, reason);
                ("given_up", queue.finish(claimed).await)
            }
        };
        self.0.meter.mailed(kind, result);
        if let Err(error) = kept {
            tracing::warn!(target: "bekci::mail", id = claimed.id, %error, "what became of a mail is not written down; it is tried again when its claim lapses");
        }
    }

    async fn fate_of(&self, claimed: &ClaimedMail, mail: &Mail) -> Fate {
        let now = self.0.clock.now();
        if now >= mail.expires_at {
            return Fate::GivenUp("its time is over".to_owned());
        }
        let rendered = match self.0.templates.render(mail) {
            Ok(rendered) => rendered,
            Err(error) => return Fate::GivenUp(error.to_string()),
        };
        let text = format!("{}\n\n{}", rendered.subject, rendered.text);
        let message = match message::build(&self.0.sender, (&claimed.id, mail), rendered, now) {
            Ok(message) => message,
            Err(reason) => return Fate::GivenUp(reason),
        };
        let sending = self.0.transport.send(&claimed.id, message, &text);
        let sent = tokio::time::timeout(ATTEMPT, sending).await;
        match sent {
            Ok(Ok(())) => Fate::Sent,
            Ok(Err(NotSent { reason, for_good: true })) => Fate::GivenUp(reason),
            Ok(Err(NotSent { reason, .. })) => self.again(claimed, reason),
            Err(_) => self.again(claimed, "the mail server did not answer in time".to_owned()),
        }
    }

    fn again(&self, claimed: &ClaimedMail, reason: String) -> Fate {
        if claimed.attempt < MOST_ATTEMPTS {
            Fate::Again(reason)
        } else {
            Fate::GivenUp(format!("{} attempts failed, the last one: {reason}", claimed.attempt))
        }
    }

    /// Twice as long each time, up to an hour, and up to half of it more, so that what failed together does not come back together.
    fn wait_after(&self, attempt: u32) -> Duration {
        let doubled = FIRST_WAIT.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        let wait = doubled.min(LONGEST_WAIT);
        let mut byte = [0];
        let spread = match self.0.entropy.fill(&mut byte) {
            Ok(()) => u32::from(byte.first().copied().unwrap_or_default()),
            Err(_) => 0,
        };
        wait + wait * spread / 512
    }
}
