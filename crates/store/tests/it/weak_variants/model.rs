//! Looking at every state, the nearest first, so that what is found is the shortest way there.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
};

use super::protocol::{Protocol, State, Step};

/// What looking at every state came to.
pub(super) enum Finding {
    /// The promise holds in each of so many.
    Sound { states: usize },
    /// It does not: these steps, one after another, break it.
    Violation { states: usize, steps: Vec<Step> },
    /// There are more than were allowed.
    TooMany,
}

impl std::fmt::Debug for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sound { states } => write!(formatter, "sound in all of {states} states"),
            Self::TooMany => formatter.write_str("too many states"),
            Self::Violation { states, steps } => {
                writeln!(formatter, "broken after {} steps ({states} states seen):", steps.len())?;
                steps
                    .iter()
                    .enumerate()
                    .try_for_each(|(n, step)| writeln!(formatter, "{:>3}. {step:?}", n + 1))
            }
        }
    }
}

/// The states that were seen, each with the step that led to it and the state that it was taken in.
#[derive(Default)]
struct Seen<S = RandomState> {
    numbers: HashMap<State, u32, S>,
    came_by: Vec<Option<(u32, Step)>>,
}

impl<S: BuildHasher> Seen<S> {
    /// The state's number, if it is a new one.
    fn add(&mut self, state: &State, came_by: Option<(u32, Step)>) -> Option<u32> {
        let number = u32::try_from(self.came_by.len()).unwrap();
        match self.numbers.entry(state.clone()) {
            std::collections::hash_map::Entry::Occupied(_) => None,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(number);
                self.came_by.push(came_by);
                Some(number)
            }
        }
    }

    fn way_to(&self, mut number: u32) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some((before, step)) = self.came_by[number as usize] {
            steps.push(step);
            number = before;
        }
        steps.reverse();
        steps
    }
}

pub(super) fn explore(protocol: &Protocol, most: usize) -> Finding {
    let mut seen: Seen = Seen::default();
    let mut next = VecDeque::new();
    let start = State::default();
    next.extend(seen.add(&start, None).map(|number| (number, start)));
    while let Some((number, state)) = next.pop_front() {
        for (step, after) in protocol.steps(&state) {
            let Some(number) = seen.add(&after, Some((number, step))) else {
                continue;
            };
            if after.broken {
                return Finding::Violation {
                    states: seen.came_by.len(),
                    steps: seen.way_to(number),
                };
            }
            if seen.came_by.len() > most {
                return Finding::TooMany;
            }
            next.push_back((number, after));
        }
    }
    Finding::Sound {
        states: seen.came_by.len(),
    }
}
