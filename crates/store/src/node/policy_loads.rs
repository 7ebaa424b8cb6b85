//! Loads of the policies that outlast the reads which wait for them.
//!
//! A policy of 100,000 lines takes longer to read and to compile than a request may wait. So a load is a task of its own: a read waits for it as long as its own bound says, and the load goes on without it. One runs
//! at a time, and its result is kept under its label. Equal labels name equal lines, so that a read may use the result of a load that began before it.

use std::sync::Arc;

use bekci_core::Authorizer;
use sea_orm::DbErr;
use tokio::sync::watch;

use super::sync::Mutex;

/// What names the lines of a policy: the epoch of the database, the version of `@all`, and that of the policies. Lines that a raw writer changed, and that no node has numbered, have no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PolicyLabel {
    pub(crate) database: i64,
    pub(crate) all: u64,
    pub(crate) version: u64,
}

/// A compiled policy and the label of its lines.
#[derive(Clone, Debug)]
pub(super) struct LoadedPolicy {
    pub(super) label: PolicyLabel,
    pub(super) policy: Arc<dyn Authorizer>,
}

/// `None` within: the lines had no label.
pub(super) type LoadResult = Result<Option<LoadedPolicy>, DbErr>;
pub(super) type Answer = watch::Receiver<Option<LoadResult>>;

#[derive(Debug, Default)]
struct State {
    last: Option<LoadedPolicy>,
    running: Option<Answer>,
}

#[derive(Debug, Default)]
pub(super) struct PolicyLoads(Mutex<State>);

/// A reader's part in a load.
pub(super) enum Turn {
    /// There is a result under its label.
    Loaded(Arc<dyn Authorizer>),
    /// A load is under way.
    Wait(Answer),
    /// It has to load.
    Load(Duty),
}

/// The duty to finish a load. Dropped without that, the readers see it and one of them loads.
pub(super) struct Duty {
    told: watch::Sender<Option<LoadResult>>,
}

impl Duty {
    /// The result, for a reader that waits for this load.
    pub(super) fn answer(&self) -> Answer {
        self.told.subscribe()
    }
}

impl PolicyLoads {
    /// The result of the last load, if it has this label.
    pub(super) fn under(&self, label: PolicyLabel) -> Option<Arc<dyn Authorizer>> {
        let state = self.0.lock();
        let loaded = state.last.as_ref().filter(|loaded| loaded.label == label)?;
        Some(Arc::clone(&loaded.policy))
    }

    /// What a reader that wants this label has to do.
    pub(super) fn turn(&self, label: PolicyLabel) -> Turn {
        if let Some(policy) = self.under(label) {
            return Turn::Loaded(policy);
        }
        match self.begin() {
            Ok(duty) => Turn::Load(duty),
            Err(running) => Turn::Wait(running),
        }
    }

    /// Begins a load, if none is under way.
    pub(super) fn begin(&self) -> Result<Duty, Answer> {
        let mut state = self.0.lock();
        // One whose task is gone has a closed channel.
        if let Some(running) = state.running.as_ref().filter(|running| running.has_changed().is_ok()) {
            return Err(running.clone());
        }
        let (told, answer) = watch::channel(None);
        state.running = Some(answer);
        Ok(Duty { told })
    }

    /// Ends a load.
    pub(super) fn end(&self, duty: Duty, result: &LoadResult) {
        {
            let mut state = self.0.lock();
            state.running = None;
            if let Ok(Some(loaded)) = result {
                state.last = Some(loaded.clone());
            }
        }
        duty.told.send_replace(Some(result.clone()));
    }

    pub(super) fn forget(&self) {
        self.0.lock().last = None;
    }
}

/// Waits for a load. `None`: its task is gone.
pub(super) async fn result_of(mut answer: Answer) -> Option<LoadResult> {
    answer
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|answer| answer.clone())
}
