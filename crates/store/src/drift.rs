//! The search for drift: cached identities, compared with the database.
//!
//! A command looks at the entries of the shared cache. Each node looks at a few entries a minute of its own memory and of the shared cache, one after the other, so that in
//! time it has looked at all. Accounts that a provider of its own has are left out: the database does not have them.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bekci_core::{PrincipalKey, signin::StoreError};
use tokio::sync::watch;

use crate::{
    Store,
    compared::Agreement,
    node::Node,
    shared::{Label, ScanPlace},
};

/// How many names the shared cache is asked for at once.
const PAGE: usize = 100;
/// How many pages of a sample may bring nothing new: other keys may share the server.
const MOST_PAGES: usize = 100_000;

/// What a look at the shared cache came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Entries that have the database's label, and were compared with it.
    pub compared: u64,
    /// Entries that have another label, or whose principal was changing: no node uses them.
    pub outdated: u64,
    /// Whose entry has a seal that does not fit: no node uses it.
    pub refused: Vec<PrincipalKey>,
    /// Whose entry has the database's label and another content: nodes use it.
    pub drifting: Vec<PrincipalKey>,
}

impl Drift {
    fn count(&mut self, key: PrincipalKey, agreement: Option<Agreement>) {
        match agreement {
            Some(Agreement::Agrees) => self.compared += 1,
            Some(Agreement::Drifts) => {
                self.compared += 1;
                self.drifting.push(key);
            }
            Some(Agreement::OtherEpoch | Agreement::OtherVersion | Agreement::Changing) => self.outdated += 1,
            None => self.refused.push(key),
        }
    }
}

impl Store {
    /// Compares entries of the shared cache with the database, at most so many; none where there is no shared cache. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the database or the shared cache cannot be asked.
    pub async fn drift(&self, most: usize) -> Result<Drift, StoreError> {
        let (mut found, mut place, mut seen) = (Drift::default(), ScanPlace::default(), BTreeSet::new());
        let Some(shared) = self.node.shared() else {
            return Ok(found);
        };
        for _ in 0..MOST_PAGES {
            let (next, keys) = shared.names(place, PAGE).await.map_err(StoreError::Unavailable)?;
            for key in keys.into_iter().filter(|key| self.node.is_comparable(key)) {
                if seen.len() >= most {
                    return Ok(found);
                }
                if seen.insert(key.clone()) {
                    let compared = self.compare(&key).await?;
                    if compared.entry.is_some() {
                        found.count(key, compared.agreement);
                    }
                }
            }
            let Some(next) = next else { break };
            place = next;
        }
        Ok(found)
    }

    /// Compares the next entry of this node's memory and the next one of the shared cache with the database, as the node does by itself a few times a minute.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the database cannot be asked.
    pub async fn look_for_drift(&self) -> Result<(), StoreError> {
        self.node.look_for_drift().await
    }
}

/// Where the next look is.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    memory: AtomicU64,
    shared: tokio::sync::Mutex<(ScanPlace, Vec<PrincipalKey>)>,
}

impl Node {
    /// Whether the database alone says what the identity is.
    fn is_comparable(&self, key: &PrincipalKey) -> bool {
        self.model(key.model()).is_some() && self.providers().of(key.model()).is_none()
    }

    /// Looks for drift, so many times a minute, until it is stopped.
    pub(crate) async fn run_drift_checks(self, mut stop: watch::Receiver<bool>) {
        let Some(every) = Duration::from_secs(60).checked_div(self.drift_checks()) else {
            return;
        };
        while !*stop.borrow() {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                _ = stop.changed() => return,
            }
            // Without a lease memory is not used, and there may be no database to compare with.
            if self.trusted()
                && let Err(error) = self.look_for_drift().await
            {
                tracing::debug!(%error, "cached identities could not be compared with the database");
            }
        }
    }

    pub(crate) async fn look_for_drift(&self) -> Result<(), StoreError> {
        let unavailable = |error: sea_orm::DbErr| StoreError::Unavailable(error.to_string());
        let database = self.place().epoch;
        let turn = self.looks().memory.fetch_add(1, Ordering::Relaxed);
        if let Some(entry) = self
            .sample(turn)
            .filter(|entry| self.is_comparable(&entry.identity.key))
        {
            let label = Label {
                version: entry.version,
                epoch: entry.epoch,
                database,
            };
            let truth = self.truth(&entry.identity.key).await.map_err(unavailable)?;
            self.note("memory", &entry.identity.key, truth.judge(&entry.identity, label));
        }
        let Some(key) = self.next_shared().await else {
            return Ok(());
        };
        if let Some(shared) = self.shared()
            && let Ok(Some(entry)) = shared.peek(&key).await
            && let Some((identity, label)) = entry.labelled()
        {
            let truth = self.truth(&key).await.map_err(unavailable)?;
            self.note("Redis", &key, truth.judge(identity, label));
        }
        Ok(())
    }

    /// The next name in the shared cache. `None`: there is none, or it does not say.
    async fn next_shared(&self) -> Option<PrincipalKey> {
        let shared = self.shared()?;
        let mut looks = self.looks().shared.lock().await;
        if looks.1.is_empty() {
            let (next, keys) = shared.names(looks.0, PAGE).await.ok()?;
            // After the last ones it begins again.
            *looks = (
                next.unwrap_or_default(),
                keys.into_iter().filter(|key| self.is_comparable(key)).collect(),
            );
        }
        looks.1.pop()
    }

    fn note(&self, place: &'static str, key: &PrincipalKey, agreement: Agreement) {
        let drifts = agreement == Agreement::Drifts;
        self.meter().cache_compared(drifts);
        if drifts {
            tracing::error!(
                target: "bekci::audit", event = "cache.drift", place, %key,
                "a cached identity has the database's version and another content: the database was changed past its triggers"
            );
        }
    }
}
