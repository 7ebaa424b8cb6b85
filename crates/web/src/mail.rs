//! Mails of an application: how they leave, and the task that sends them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bekci_core::{Clock, Entropy, Meter, mail::MailLanguage};
use bekci_mail::{Mailer, MailerParts, Sender, TemplateError, Templates, Transport};
use bekci_store::Store;
use tokio::{sync::watch, task::JoinHandle};

/// How long a stop waits for mails that are being sent. What takes longer is sent again when its claim lapses.
const LAST_MAILS: Duration = Duration::from_secs(10);

/// How mails leave; [`Builder::mail`](crate::Builder::mail) takes it.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// Where they go.
    pub transport: Transport,
    /// Who they are from.
    pub sender: Sender,
    /// A folder with templates that replace the built-in ones.
    pub templates: Option<PathBuf>,
    /// Their language if a request names none that Bekci speaks.
    pub language: MailLanguage,
}

impl MailSettings {
    /// Mails in English by the built-in templates.
    #[must_use]
    pub fn new(transport: Transport, sender: Sender) -> Self {
        Self {
            transport,
            sender,
            templates: None,
            language: MailLanguage::English,
        }
    }
}

/// What sending rests on.
pub(crate) struct SendingParts<'a> {
    pub(crate) store: &'a Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) meter: Arc<dyn Meter>,
}

/// The mailer over a store's queue.
pub(crate) fn mailer(settings: &MailSettings, parts: SendingParts<'_>) -> Result<Mailer, TemplateError> {
    Ok(Mailer::new(MailerParts {
        queue: parts.store.mail_queue(),
        transport: settings.transport.clone(),
        templates: Templates::load(settings.sender.service(), settings.templates.as_deref())?,
        sender: settings.sender.clone(),
        clock: parts.clock,
        entropy: parts.entropy,
        meter: parts.meter,
    }))
}

/// The task of a mailer.
#[derive(Debug)]
pub(crate) struct Sending {
    stop: watch::Sender<bool>,
    running: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Sending {
    /// Starts it in the running tokio runtime.
    pub(crate) fn start(mailer: Mailer) -> Self {
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(mailer.run(stopped));
        Self {
            stop,
            running: std::sync::Mutex::new(Some(running)),
        }
    }

    /// Stops it: mails under way are finished first, for a while.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let running = self.running.lock();
        let running = running.map_or_else(|poisoned| poisoned.into_inner().take(), |mut slot| slot.take());
        if let Some(mut running) = running
            && tokio::time::timeout(LAST_MAILS, &mut running).await.is_err()
        {
            running.abort();
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}
