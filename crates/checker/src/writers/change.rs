//! A change by the management API: one call, or several that race or repeat it, at several nodes.
//!
//! A call that has no answer after a while is repeated at another node and not given up: the change is finished only when each of its calls has an answer or lost its
//! connection, so that none of them can take effect after the next change.

use std::{
    net::SocketAddr,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::Duration,
};

use bekci_test_support::Chance;

use crate::{
    clock::{Moment, SECOND, now, pause},
    history::Register,
    http::{Request, once},
    world::World,
};

/// When a call is repeated that has no answer.
const REPEAT: Duration = Duration::from_secs(2);
/// How long a call may take at most, before its register is left as it is.
const PATIENCE: Duration = Duration::from_secs(60);
/// Calls of one change at one time.
const MOST: usize = 4;

/// What one call came to.
enum Outcome {
    /// In force since it returned.
    Done,
    /// Committed, and not confirmed: to be asked about by its position.
    Pending(i64),
    /// 503, with the outcome unknown or not.
    Unknown,
    Refused(u16),
    Lost,
}

struct Returned {
    outcome: Outcome,
    sent: Moment,
    read: Moment,
    at: SocketAddr,
}

/// Makes registers take values by a call, and returns when no call of it is under way. Gives the body of an answer that says 200.
pub(super) fn change(
    world: &World,
    kind: &'static str,
    registers: &[(&Register, u32)],
    request: &Request,
    chance: &mut Chance,
) -> Option<serde_json::Value> {
    let request = world.admin.signed(request);
    let begun = now();
    for (register, value) in registers {
        register.begin(*value, begun);
    }
    let mut calls = Calls::new(world, kind, request);
    let first = world.any_node(chance);
    calls.call(first, 0);
    // A duel, or a repetition at another node after an answer that the network lost.
    if chance.once_in(3) {
        calls.call(
            world.other_node(first, chance),
            u64::try_from(chance.below(30)).unwrap_or_default(),
        );
    }
    calls.wait_for_all(registers, chance)
}

struct Calls<'a> {
    world: &'a World,
    kind: &'static str,
    request: Request,
    sender: Sender<(Returned, serde_json::Value)>,
    answers: Receiver<(Returned, serde_json::Value)>,
    open: usize,
    last: Option<SocketAddr>,
}

impl<'a> Calls<'a> {
    fn new(world: &'a World, kind: &'static str, request: Request) -> Self {
        let (sender, answers) = channel();
        Self {
            world,
            kind,
            request,
            sender,
            answers,
            open: 0,
            last: None,
        }
    }

    fn call(&mut self, at: SocketAddr, later: u64) {
        self.open += 1;
        self.last = Some(at);
        let (request, sender) = (self.request.clone(), self.sender.clone());
        std::thread::spawn(move || {
            pause(later);
            let sent = now();
            let answer = once(at, &request, PATIENCE);
            let read = now();
            let (outcome, body) = match answer {
                Ok(answer) => {
                    let body = answer.json();
                    (outcome_of(answer.status, &body), body)
                }
                Err(_) => (Outcome::Lost, serde_json::Value::Null),
            };
            let returned = Returned {
                outcome,
                sent,
                read,
                at,
            };
            // Nobody listens any more where the run has ended.
            let _sent = sender.send((returned, body));
        });
    }

    fn wait_for_all(mut self, registers: &[(&Register, u32)], chance: &mut Chance) -> Option<serde_json::Value> {
        let began = now();
        let mut done = None;
        while done.is_none() || self.open > 0 {
            match self.answers.recv_timeout(REPEAT) {
                Ok((returned, body)) => {
                    self.open -= 1;
                    if let Some(from) = self.count(&returned) {
                        for (register, _) in registers {
                            register.in_force(from, from);
                        }
                        done.get_or_insert(body);
                    } else if done.is_none() && self.open == 0 && self.world.runs() {
                        pause(20);
                        self.again(chance);
                    }
                }
                Err(RecvTimeoutError::Timeout) if done.is_none() && self.open < MOST => self.again(chance),
                Err(_) => {}
            }
            if self.open == 0 && !self.world.runs() {
                break;
            }
            if now() > began + 90 * SECOND {
                self.world
                    .tally
                    .note("a call had no answer for 90 s, and its change was left as it was");
                break;
            }
        }
        done
    }

    fn again(&mut self, chance: &mut Chance) {
        let at = match self.last {
            Some(last) => self.world.other_node(last, chance),
            None => self.world.any_node(chance),
        };
        self.call(at, 0);
    }

    /// Counts a call. From when on the change counts, where this call says so.
    fn count(&self, returned: &Returned) -> Option<Moment> {
        let tally = &self.world.tally;
        match returned.outcome {
            Outcome::Done => {
                tally.write(self.kind, |writes| writes.took.push(returned.read - returned.sent));
                Some(returned.read)
            }
            Outcome::Pending(position) => {
                tally.write(self.kind, |writes| writes.pending += 1);
                self.confirmed(returned.at, position)
            }
            Outcome::Unknown => {
                tally.write(self.kind, |writes| writes.unknown += 1);
                None
            }
            Outcome::Refused(status) => {
                tally.write(self.kind, |writes| writes.refused += 1);
                tally.note(format!("{}: {status}", self.kind));
                None
            }
            Outcome::Lost => {
                tally.write(self.kind, |writes| writes.lost += 1);
                None
            }
        }
    }

    /// Asks whether a change is in force everywhere, a few times.
    fn confirmed(&self, at: SocketAddr, position: i64) -> Option<Moment> {
        let path = format!("/admin/v1/changes/{position}");
        let request = self.world.admin.signed(&Request::new("GET", path));
        for _ in 0..20 {
            if let Ok(answer) = once(at, &request, Duration::from_secs(5))
                && answer.json().pointer("/data/effective").and_then(|text| text.as_str()) == Some("everywhere")
            {
                return Some(now());
            }
            pause(100);
        }
        None
    }
}

fn outcome_of(status: u16, body: &serde_json::Value) -> Outcome {
    match status {
        200 => Outcome::Done,
        202 => Outcome::Pending(
            body.pointer("/data/position")
                .and_then(serde_json::Value::as_i64)
                .unwrap_or_default(),
        ),
        // What a repetition finds done, where the call names what it removes: 0 asks about everything that is committed now.
        404 => Outcome::Pending(0),
        503 => Outcome::Unknown,
        other => Outcome::Refused(other),
    }
}
