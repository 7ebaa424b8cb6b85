//! Requests that share a read of the database.

use std::sync::Arc;

use bekci_core::{Consistency, GuardName, IdentityVersion, Need, PrincipalKey, SourceUnavailable, Ticket};
use shuttle::{future::block_on, thread};

use super::{
    count_wrong,
    flight::{FlightKey, Flights, Seat, arrival},
    is_found,
    sync::{AtomicU64, Ordering, Turns},
};

/// What is made weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weak {
    Sound,
    /// A request joins whatever read is under way.
    JoinsAny,
    /// A read begins before it has its seat.
    ReadsBeforeItBoards,
}

struct Scene {
    weak: Weak,
    key: PrincipalKey,
    guard: GuardName,
    flights: Arc<Flights>,
    committed: AtomicU64,
}

impl Scene {
    fn read(&self) -> u64 {
        self.committed.load(Ordering::SeqCst)
    }

    /// A request, and whether its answer is older than it may be. `gives_up`: if it has to read, it goes away instead.
    fn answers_wrongly(&self, gives_up: bool) -> bool {
        let least = self.committed.load(Ordering::SeqCst);
        let ticket = match self.weak {
            Weak::JoinsAny => Ticket(0),
            Weak::Sound | Weak::ReadsBeforeItBoards => self.flights.ticket(),
        };
        let need = Need {
            key: &self.key,
            guard: &self.guard,
            tenant: None,
            at_least: IdentityVersion(0),
            policy: false,
            consistency: Consistency::L1,
        };
        loop {
            let early = (self.weak == Weak::ReadsBeforeItBoards).then(|| self.read());
            match self.flights.board(FlightKey::of(&need), ticket, false) {
                Seat::Pilot(landing) => {
                    if gives_up {
                        return false;
                    }
                    let state = early.unwrap_or_else(|| self.read());
                    landing.land(Err(SourceUnavailable(state.to_string())));
                    return state < least;
                }
                Seat::Passenger(answer) => {
                    if let Some(Err(SourceUnavailable(state))) = block_on(arrival(answer)) {
                        return state.parse::<u64>().unwrap() < least;
                    }
                }
                Seat::Waiting(answer) => {
                    block_on(arrival(answer));
                }
            }
        }
    }
}

/// Whether a request has an answer in a schedule that is older than the request.
fn is_wrong(weak: Weak) -> impl Fn() -> bool + Send + Sync + 'static {
    move || {
        let scene = Arc::new(Scene {
            weak,
            key: PrincipalKey::parse("customer:1").unwrap(),
            guard: GuardName::new("customer").unwrap(),
            flights: Arc::default(),
            committed: AtomicU64::new(0),
        });
        let requests = [false, true, false].map(|gives_up| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.answers_wrongly(gives_up))
        });
        scene.committed.store(1, Ordering::SeqCst);
        requests.map(|request| request.join().unwrap()).contains(&true)
    }
}

#[test]
fn a_request_that_joins_a_read_gets_nothing_older_than_itself_and_is_never_left_alone() {
    assert_eq!(count_wrong(Turns::Many, 1, is_wrong(Weak::Sound)), 0);
}

#[test]
fn a_request_that_joins_an_older_read_is_found() {
    for weak in [Weak::JoinsAny, Weak::ReadsBeforeItBoards] {
        assert!(is_found(&[Turns::Many], || is_wrong(weak)), "{weak:?}");
    }
}
