//! One read for all who wait: a request joins a read only if that began after the request.

use std::{collections::HashMap, sync::Arc};

use bekci_core::{GuardName, Need, PrincipalKey, SourceUnavailable, TenantName, Ticket, View};
use tokio::sync::watch;

use super::sync::{AtomicU64, Mutex, Ordering};

/// What a read answers: the same for every request with the same of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    key: PrincipalKey,
    guard: GuardName,
    tenant: Option<TenantName>,
    policy: bool,
}

impl FlightKey {
    pub(crate) fn of(need: &Need<'_>) -> Self {
        Self {
            key: need.key.clone(),
            guard: need.guard.clone(),
            tenant: need.tenant.cloned(),
            policy: need.policy,
        }
    }
}

type Answer = Option<Result<View, SourceUnavailable>>;

#[derive(Clone, Debug)]
struct Flight {
    began: Ticket,
    answer: watch::Receiver<Answer>,
}

#[derive(Debug, Default)]
pub(crate) struct Flights {
    /// How many reads have begun.
    tickets: AtomicU64,
    under_way: Mutex<HashMap<FlightKey, Flight, foldhash::fast::RandomState>>,
}

/// A request's part in a read.
pub(crate) enum Seat {
    /// It makes the read.
    Pilot(Landing),
    /// It takes the answer of a read that began after it.
    Passenger(watch::Receiver<Answer>),
    /// A read that began before it is under way: its answer may be too old for it, and what it leaves in memory may not.
    Waiting(watch::Receiver<Answer>),
}

/// The pilot's duty to tell the others. Dropped without an answer (the pilot's request was given up), the others look for themselves.
pub(crate) struct Landing {
    flights: Arc<Flights>,
    key: FlightKey,
    began: Ticket,
    answer: watch::Sender<Answer>,
}

impl Landing {
    pub(crate) fn land(self, answer: Result<View, SourceUnavailable>) {
        self.answer.send_replace(Some(answer));
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.leave(&self.key, self.began);
    }
}

impl Flights {
    /// The moment of a request that begins now.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.tickets.load(Ordering::SeqCst))
    }

    /// Takes a seat. With `alone` the request does not wait for an older read (`direct`).
    pub(crate) fn board(self: &Arc<Self>, key: FlightKey, mine: Ticket, alone: bool) -> Seat {
        let mut under_way = self.under_way.lock();
        if let Some(flight) = under_way.get(&key) {
            if flight.began > mine {
                return Seat::Passenger(flight.answer.clone());
            }
            if !alone {
                return Seat::Waiting(flight.answer.clone());
            }
        }
        let began = Ticket(self.tickets.fetch_add(1, Ordering::SeqCst) + 1);
        let (sender, receiver) = watch::channel(None);
        under_way.insert(
            key.clone(),
            Flight {
                began,
                answer: receiver,
            },
        );
        Seat::Pilot(Landing {
            flights: Arc::clone(self),
            key,
            began,
            answer: sender,
        })
    }

    fn leave(&self, key: &FlightKey, began: Ticket) {
        let mut under_way = self.under_way.lock();
        if under_way.get(key).is_some_and(|flight| flight.began == began) {
            under_way.remove(key);
        }
    }
}

/// Waits for a read's answer; `None` where its pilot gave up.
pub(crate) async fn arrival(mut answer: watch::Receiver<Answer>) -> Answer {
    answer
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|answer| answer.clone())
}
