//! The protocol as a model small enough to look at every state that it can come to, and weaker protocols in the same model: each of them must be caught, or the
//! model could catch nothing.
//!
//! The promise, as the model checks it: a request that starts after the write returned never decides by the old value, and after a rollback nobody has decided by the new one.

mod model;
mod protocol;

use model::{Finding, explore};
use protocol::Protocol;

/// Far more than any protocol here has; a model that grew past it is to be made smaller, not cut off.
const MOST_STATES: usize = 500_000;

fn broken(weaken: impl FnOnce(&mut Protocol)) {
    let mut protocol = Protocol::as_built();
    weaken(&mut protocol);
    match explore(&protocol, MOST_STATES) {
        Finding::Violation { steps, .. } => assert!(!steps.is_empty()),
        other => panic!("the checker did not see that this is wrong: {other:?} {protocol:?}"),
    }
}

#[test]
fn the_protocol_as_built_keeps_the_promise_in_every_state() {
    for deltas in [[2, 1], [1, 2]] {
        for (raw, bump_all) in [(false, false), (true, false), (false, true)] {
            let protocol = Protocol {
                raw,
                bump_all,
                deltas,
                ..Protocol::as_built()
            };
            match explore(&protocol, MOST_STATES) {
                Finding::Sound { states } => assert!(states > 1_000, "only {states} states: the model does nothing"),
                other => panic!("{other:?} {protocol:?}"),
            }
        }
    }
}

#[test]
fn deleting_in_the_hook_breaks_it() {
    broken(|protocol| {
        protocol.labels = false;
        protocol.barrier = false;
        protocol.delete_in_hook = true;
    });
}

#[test]
fn deleting_after_commit_breaks_it() {
    broken(|protocol| {
        protocol.labels = false;
        protocol.delete_after_commit = true;
    });
}

#[test]
fn storing_in_the_hook_shows_what_was_rolled_back() {
    broken(|protocol| {
        protocol.labels = false;
        protocol.store_in_hook = true;
    });
}

#[test]
fn reading_data_before_its_version_breaks_it() {
    broken(|protocol| protocol.version_first = false);
}

#[test]
fn comparing_labels_without_all_breaks_it() {
    broken(|protocol| {
        protocol.bump_all = true;
        protocol.compare_epoch = false;
    });
}

#[test]
fn acknowledging_unnumbered_rows_by_one_number_breaks_it() {
    broken(|protocol| {
        protocol.raw = true;
        protocol.scalar_acknowledgement = true;
    });
}

#[test]
fn leasing_from_the_end_of_the_poll_breaks_it() {
    broken(|protocol| protocol.lease_at_end = true);
}

#[test]
fn a_node_whose_lease_is_longer_than_the_writer_waits_breaks_it() {
    broken(|protocol| protocol.waits_for_own_delta = true);
}

#[test]
fn not_waiting_at_all_breaks_it() {
    broken(|protocol| protocol.barrier = false);
}

#[test]
fn keeping_a_load_that_was_overtaken_breaks_it() {
    broken(|protocol| protocol.counters = false);
}
