//! What is counted while a run lasts.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::{
    clock::{Moment, SECOND},
    history::Verdict,
    subjects::{Check, Decision},
};

/// The width of a bar in the picture.
pub(crate) const BAR: Moment = SECOND / 4;

/// An answer that takes longer hangs.
pub(crate) const SLOW: Moment = 2 * SECOND;

/// How many violations are told with their history.
const TOLD: usize = 50;

/// Requests of one bar, by outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bar {
    pub(crate) allowed: u64,
    pub(crate) refused: u64,
    pub(crate) unavailable: u64,
    pub(crate) failed: u64,
    pub(crate) slow: u64,
    pub(crate) violations: u64,
    /// How long after its COMMIT a write from outside was not yet seen, at most.
    pub(crate) behind: Moment,
}

/// A fault, from and to.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) from: Moment,
    pub(crate) to: Moment,
}

/// The outcome of a request as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Allowed,
    Refused,
    Unavailable,
    /// No answer: the connection was refused, reset, or silent for too long.
    Failed,
}

/// One request that took too long or was not served, for the availability of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unserved {
    pub(crate) node: usize,
    pub(crate) sent: Moment,
    pub(crate) read: Moment,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    bars: Mutex<Vec<Bar>>,
    pub(crate) decisions: AtomicU64,
    pub(crate) checks: AtomicU64,
    /// Checks of which one value alone was right.
    pub(crate) exact: AtomicU64,
    pub(crate) violations: AtomicU64,
    told: Mutex<Vec<String>>,
    /// Violations by register.
    pub(crate) by_register: Mutex<BTreeMap<String, u64>>,
    /// How long stale values had been replaced.
    pub(crate) stale: Mutex<Vec<Moment>>,
    /// How long after their COMMIT writes from outside were not yet seen.
    pub(crate) behind: Mutex<Vec<Moment>>,
    /// By kind of write: calls that returned, and how long each took.
    pub(crate) writes: Mutex<BTreeMap<&'static str, Writes>>,
    pub(crate) spans: Mutex<Vec<Span>>,
    pub(crate) unserved: Mutex<Vec<Unserved>>,
    notes: Mutex<BTreeMap<String, u64>>,
}

/// The writes of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes {
    /// How long each took that returned with success, in microseconds.
    pub(crate) took: Vec<Moment>,
    pub(crate) pending: u64,
    pub(crate) unknown: u64,
    pub(crate) refused: u64,
    pub(crate) lost: u64,
    pub(crate) rolled_back: u64,
}

impl Tally {
    /// Counts one request.
    pub(crate) fn request(
        &self,
        node: usize,
        sent: Moment,
        read: Moment,
        outcome: Outcome,
        violations: u64,
        behind: Moment,
    ) {
        let at = usize::try_from(read / BAR).unwrap_or_default();
        let mut bars = self.bars.lock();
        if bars.len() <= at {
            bars.resize(at + 1, Bar::default());
        }
        if let Some(bar) = bars.get_mut(at) {
            match outcome {
                Outcome::Allowed => bar.allowed += 1,
                Outcome::Refused => bar.refused += 1,
                Outcome::Unavailable => bar.unavailable += 1,
                Outcome::Failed => bar.failed += 1,
            }
            bar.slow += u64::from(read.saturating_sub(sent) > SLOW);
            bar.violations += violations;
            bar.behind = bar.behind.max(behind);
        }
        drop(bars);
        if matches!(outcome, Outcome::Unavailable | Outcome::Failed) || read.saturating_sub(sent) > SLOW {
            self.unserved.lock().push(Unserved {
                node,
                sent,
                read,
                outcome,
            });
        }
    }

    /// Counts what a decision says, and gives how many violations it has and how far it was behind a write from outside.
    pub(crate) fn decision(&self, about: &str, sent: Moment, read: Moment, decision: &Decision) -> (u64, Moment) {
        let checks = match decision {
            Decision::Allowed(checks) | Decision::Refused(checks) => checks,
            Decision::Unavailable => return (0, 0),
            Decision::Unexpected(what) => {
                self.decisions.fetch_add(1, Ordering::Relaxed);
                self.violation(&format!("{about}, sent {sent}, read {read}: unexpected answer {what}"));
                return (1, 0);
            }
        };
        self.decisions.fetch_add(1, Ordering::Relaxed);
        self.checks
            .fetch_add(u64::try_from(checks.len()).unwrap_or_default(), Ordering::Relaxed);
        let (mut violations, mut most) = (0, 0);
        for check in checks {
            match &check.verdict {
                Verdict::Right { exact, behind } => {
                    self.exact.fetch_add(u64::from(*exact), Ordering::Relaxed);
                    if let Some(behind) = behind {
                        most = most.max(*behind);
                        self.behind.lock().push(*behind);
                    }
                }
                Verdict::Stale { since, history } => {
                    violations += 1;
                    self.stale.lock().push(*since);
                    *self.by_register.lock().entry(check.register.clone()).or_default() += 1;
                    self.violation(&told(
                        about,
                        sent,
                        read,
                        check,
                        &format!("stale for {since} µs"),
                        history,
                    ));
                }
                Verdict::Impossible { history } => {
                    violations += 1;
                    *self.by_register.lock().entry(check.register.clone()).or_default() += 1;
                    self.violation(&told(about, sent, read, check, "a state that never was", history));
                }
            }
        }
        (violations, most)
    }

    fn violation(&self, what: &str) {
        self.violations.fetch_add(1, Ordering::Relaxed);
        let mut list = self.told.lock();
        if list.len() < TOLD {
            list.push(what.to_owned());
        }
    }

    /// Counts the outcome of one call of a kind of write.
    pub(crate) fn write(&self, kind: &'static str, count: impl FnOnce(&mut Writes)) {
        count(self.writes.lock().entry(kind).or_default());
    }

    /// Counts something that is told at the end.
    pub(crate) fn note(&self, what: impl Into<String>) {
        *self.notes.lock().entry(what.into()).or_default() += 1;
    }

    pub(crate) fn notes(&self) -> Vec<(String, u64)> {
        self.notes
            .lock()
            .iter()
            .map(|(what, count)| (what.clone(), *count))
            .collect()
    }

    pub(crate) fn bars(&self) -> Vec<Bar> {
        self.bars.lock().clone()
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().clone()
    }

    /// How many calls returned with success.
    pub(crate) fn written(&self) -> usize {
        self.writes.lock().values().map(|writes| writes.took.len()).sum()
    }

    pub(crate) fn span(&self, name: String, from: Moment, to: Moment) {
        self.spans.lock().push(Span { name, from, to });
    }
}

fn told(about: &str, sent: Moment, read: Moment, check: &Check, what: &str, history: &str) -> String {
    format!(
        "{about}, sent {sent}, read {read}: {} shows {}, {what}\n{history}",
        check.register, check.seen
    )
}
