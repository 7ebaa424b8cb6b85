//! What is done after the answer, so that the answer tells nothing of it.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::error::SignInError;

/// How many are under way at once; more are turned away, whatever they name.
const MOST: u32 = 256;
/// The waits between attempts while the database is away.
const WAITS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];
/// How long a stop waits.
const LAST: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(super) struct Background(Arc<Semaphore>);

impl Default for Background {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST as usize)))
    }
}

impl Background {
    /// Runs it beside the request; while the database is away, again.
    pub(super) fn run<F>(
        &self,
        what: &'static str,
        work: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<(), SignInError>
    where
        F: Future<Output = Result<(), SignInError>> + Send + 'static,
    {
        let room = Arc::clone(&self.0).try_acquire_owned().map_err(|_| SignInError::Busy)?;
        let runtime =
            tokio::runtime::Handle::try_current().map_err(|error| SignInError::Internal(error.to_string().into()))?;
        runtime.spawn(async move {
            let mut waits = WAITS.into_iter();
            loop {
                let error = match work().await {
                    Ok(()) => break,
                    Err(error) => error,
                };
                match waits.next().filter(|_| matches!(error, SignInError::StoreUnavailable(_))) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => {
                        tracing::warn!(target: "bekci::signin", what, %error, "what was to be done after an answer failed; its caller has to call again");
                        break;
                    }
                }
            }
            drop(room);
        });
        Ok(())
    }

    pub(super) async fn close(&self) {
        let all = tokio::time::timeout(LAST, self.0.acquire_many(MOST)).await;
        if all.is_err() {
            tracing::warn!(target: "bekci::signin", "what was to be done after an answer is cut off by the stop");
        }
    }
}
