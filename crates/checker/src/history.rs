//! The history of one right, and the check of a decision against it.
//!
//! 1. A register holds one value at a time: a number that is part of a permission, a role's place in a cycle, banned or not. Its phases are its values in order.
//! 2. A phase begins before its first call is sent. The next phase begins only when every call of this one has an answer, so that the order of phases is the order
//!    of commits, also where two nodes race or an answer is lost.
//! 3. A phase is in force from the moment at which the first call that says so has returned: 200, exit status 0, or the confirmation of a change that was pending.
//!    A write from outside (raw SQL) is in force Δ after its COMMIT returned.
//! 4. A decision may see any phase from the last one that was in force when its request was sent to the last one that had begun when its answer was read. Anything else
//!    is a violation: an older phase is stale, a value of no phase is a state that never was.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::clock::Moment;

/// One value, and when it counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    pub(crate) value: u32,
    pub(crate) begun: Moment,
    /// When the write returned; for raw SQL before Δ.
    pub(crate) returned: Option<Moment>,
    pub(crate) in_force: Option<Moment>,
}

/// One right of one principal, role or policy.
#[derive(Debug)]
pub(crate) struct Register {
    pub(crate) name: String,
    phases: Mutex<Vec<Phase>>,
    /// Its value in the copy to which the database can go back.
    copied: AtomicU32,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// A phase that may be seen. `exact`: no other phase could have been. `behind`: how long after the next phase's write had returned the request was sent.
    Right { exact: bool, behind: Option<Moment> },
    /// An older phase, so long after the one that replaced it was in force.
    Stale { since: Moment, history: String },
    /// A value that the register never had.
    Impossible { history: String },
}

impl Register {
    /// A register whose first value is in force from the start of the run.
    pub(crate) fn new(name: impl Into<String>, value: u32) -> Self {
        let first = Phase {
            value,
            begun: 0,
            returned: Some(0),
            in_force: Some(0),
        };
        Self {
            name: name.into(),
            phases: Mutex::new(vec![first]),
            copied: AtomicU32::new(value),
        }
    }

    /// A register of something that the copy does not have, as a session that was opened later.
    pub(crate) fn new_since_the_copy(name: impl Into<String>, value: u32, absent: u32) -> Self {
        let register = Self::new(name, value);
        register.copied.store(absent, Ordering::SeqCst);
        register
    }

    /// Its value now is the one in the copy.
    pub(crate) fn mark_copied(&self) {
        self.copied.store(self.value(), Ordering::SeqCst);
    }

    /// Begins a phase with the value of the copy.
    pub(crate) fn begin_copied(&self, begun: Moment) {
        self.begin(self.copied.load(Ordering::SeqCst), begun);
    }

    /// The value of the last phase.
    pub(crate) fn value(&self) -> u32 {
        self.phases.lock().last().map_or(0, |phase| phase.value)
    }

    /// Begins the next phase, before its first call is sent.
    pub(crate) fn begin(&self, value: u32, begun: Moment) {
        self.phases.lock().push(Phase {
            value,
            begun,
            returned: None,
            in_force: None,
        });
    }

    /// The last phase is in force from a moment on, and so are all before it, which it replaces.
    pub(crate) fn in_force(&self, returned: Moment, from: Moment) {
        let mut phases = self.phases.lock();
        if let Some(last) = phases.last_mut()
            && last.in_force.is_none()
        {
            last.returned = Some(returned);
            last.in_force = Some(from);
        }
        for phase in phases.iter_mut().rev().skip(1) {
            if phase.in_force.is_some_and(|earlier| earlier <= from) {
                break;
            }
            phase.in_force = Some(from);
        }
    }

    /// How many phases it had.
    pub(crate) fn len(&self) -> usize {
        self.phases.lock().len()
    }

    /// Checks what a decision saw whose request was sent at `sent` and whose answer was read at `read`.
    pub(crate) fn check(&self, seen: u32, sent: Moment, read: Moment) -> Verdict {
        let phases = self.phases.lock();
        let oldest = phases
            .partition_point(|phase| phase.in_force.is_some_and(|from| from <= sent))
            .saturating_sub(1);
        let newest = phases.partition_point(|phase| phase.begun <= read).saturating_sub(1);
        let newest = newest.max(oldest);
        let allowed = phases.get(oldest..=newest).unwrap_or_default();
        if let Some(at) = allowed.iter().rposition(|phase| phase.value == seen) {
            let next = allowed.get(at + 1).and_then(|next| next.returned);
            return Verdict::Right {
                exact: oldest == newest,
                behind: next.and_then(|returned| sent.checked_sub(returned)),
            };
        }
        let history = describe(&phases, oldest, newest);
        let older = phases.get(..oldest).unwrap_or_default();
        match older.iter().rposition(|phase| phase.value == seen) {
            Some(at) => {
                let replaced = phases.get(at + 1).and_then(|next| next.in_force).unwrap_or(sent);
                Verdict::Stale {
                    since: sent.saturating_sub(replaced),
                    history,
                }
            }
            None => Verdict::Impossible { history },
        }
    }
}

/// The phases around those that may be seen, one a line.
fn describe(phases: &[Phase], oldest: usize, newest: usize) -> String {
    let from = oldest.saturating_sub(3);
    let shown = phases.iter().enumerate().take(newest + 1).skip(from);
    let lines: Vec<String> = shown
        .map(|(at, phase)| {
            format!(
                "phase {at}: value {} begun {} returned {:?} in force {:?}{}",
                phase.value,
                phase.begun,
                phase.returned,
                phase.in_force,
                if at >= oldest { " (may be seen)" } else { "" }
            )
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register() -> Register {
        let register = Register::new("r", 0);
        register.begin(1, 100);
        register.in_force(200, 200);
        register.begin(2, 300);
        register
    }

    #[test]
    fn before_and_while_a_call_runs_both_values_may_be_seen() {
        let register = register();
        for value in [0, 1] {
            assert!(matches!(
                register.check(value, 150, 180),
                Verdict::Right { exact: false, .. }
            ));
        }
        assert!(matches!(
            register.check(1, 250, 260),
            Verdict::Right { exact: true, .. }
        ));
        assert!(matches!(
            register.check(2, 250, 310),
            Verdict::Right { exact: false, .. }
        ));
    }

    #[test]
    fn a_value_that_was_replaced_before_the_request_is_stale() {
        let Verdict::Stale { since, .. } = register().check(0, 250, 260) else {
            panic!("not found")
        };
        assert_eq!(since, 50);
    }

    #[test]
    fn a_value_that_never_was_or_is_not_yet_there_is_impossible() {
        assert!(matches!(register().check(7, 250, 260), Verdict::Impossible { .. }));
        assert!(matches!(register().check(2, 210, 260), Verdict::Impossible { .. }));
    }

    #[test]
    fn what_replaces_a_change_from_outside_ends_its_time() {
        let register = Register::new("r", 0);
        register.begin(1, 100);
        register.in_force(200, 1_200);
        assert!(matches!(
            register.check(0, 1_100, 1_110),
            Verdict::Right { behind: Some(900), .. }
        ));
        register.begin(2, 300);
        register.in_force(400, 400);
        for value in [0, 1] {
            assert!(matches!(register.check(value, 500, 510), Verdict::Stale { .. }));
        }
    }

    #[test]
    fn a_call_whose_outcome_is_unknown_may_count_until_the_next_one_is_in_force() {
        let register = register();
        assert!(matches!(register.check(1, 900, 910), Verdict::Right { .. }));
        assert!(matches!(register.check(2, 900, 910), Verdict::Right { .. }));
        register.in_force(1_000, 1_000);
        assert!(matches!(register.check(1, 1_001, 1_002), Verdict::Stale { .. }));
    }
}
