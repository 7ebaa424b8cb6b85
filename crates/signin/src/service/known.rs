//! Addresses and devices by which an account was signed in to before, so that these go first when many wait for a hash.
//!
//! It is kept in this process, and bounded: what was used longest ago is forgotten. Only a sign-in that succeeded is remembered, and only for its own account, so that who
//! has an account of his own gains nothing at others.

use std::{collections::HashSet, net::IpAddr};

use bekci_core::{AuthGuard, Purpose, RootSecret, identifier::normal_form};
use parking_lot::Mutex;

use crate::{
    keyed::{keyed, networks},
    password::Origin,
};

/// How many are remembered in each of two generations: 8 bytes each, with what a set takes.
const MOST: usize = 1 << 16;

#[derive(Debug, Default)]
struct Generations {
    newer: HashSet<u64>,
    older: HashSet<u64>,
}

/// What was used to sign in.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Generations>);

impl Known {
    fn has(&self, mark: u64) -> bool {
        let generations = self.0.lock();
        generations.newer.contains(&mark) || generations.older.contains(&mark)
    }

    fn add(&self, mark: u64) {
        let mut generations = self.0.lock();
        if generations.newer.len() >= MOST {
            generations.older = std::mem::take(&mut generations.newer);
        }
        generations.newer.insert(mark);
    }

    /// Whether one of these marks was used to sign in.
    pub(super) fn has_any(&self, marks: &[u64]) -> bool {
        marks.iter().any(|mark| self.has(*mark))
    }

    /// These were used to sign in.
    pub(super) fn add_all(&self, marks: &[u64]) {
        marks.iter().for_each(|mark| self.add(*mark));
    }
}

/// What an account is recognised by: its identifier with the address, by its smallest network, and with the device.
pub(super) fn marks(
    root: &RootSecret,
    guard: &AuthGuard,
    identifier: &str,
    (client, device_hash): (Option<IpAddr>, Option<&[u8]>),
) -> Vec<u64> {
    let form = normal_form(identifier, true);
    let mark = |label: &[u8], other: &[u8]| {
        let text = [other, b"\0", form.as_bytes()].concat();
        number(keyed((root, Purpose::Device, &guard.name), label, &text))
    };
    let network = client.and_then(|address| networks(address).into_iter().next());
    let by_address = network.map(|network| mark(b"known address\0", &network));
    let by_device = device_hash.map(|device| mark(b"known device\0", device));
    by_address.into_iter().chain(by_device).collect()
}

/// The networks of a client as numbers, the largest first.
pub(super) fn origin(root: &RootSecret, guard: &AuthGuard, client: Option<IpAddr>) -> Origin {
    let mut origin = Origin::default();
    let networks = client.map(networks).unwrap_or_default();
    let number = |network: &Vec<u8>| number(keyed((root, Purpose::Limit, &guard.name), b"network\0", network)) | 1;
    let smallest = networks.first().map(number).unwrap_or_default();
    origin.networks = [smallest; 3];
    for (place, network) in origin.networks.iter_mut().rev().zip(&networks) {
        *place = number(network);
    }
    if networks.len() == 1 {
        origin.networks = [smallest; 3];
    }
    origin
}

fn number(hash: [u8; 32]) -> u64 {
    hash.iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
