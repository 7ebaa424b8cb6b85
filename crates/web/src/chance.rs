//! Bytes for the ids of requests and traces, which name and prove nothing: keys, tokens and nonces are made elsewhere.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering},
};

/// The system is asked for so many bytes at once: asking it for each request would cost as much as deciding about it.
const STORE: usize = 1024;

/// Bytes that were not given out yet: those before `left`.
struct Store {
    bytes: [u8; STORE],
    left: usize,
}

thread_local! {
    static STORES: RefCell<Store> = const { RefCell::new(Store { bytes: [0; STORE], left: 0 }) };
}

/// So many bytes that nobody else has.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    const { assert!(N > 0 && N <= STORE, "more than the store holds") };
    let taken = STORES.with_borrow_mut(|store| {
        if store.left < N {
            getrandom::fill(&mut store.bytes).ok()?;
            store.left = STORE;
        }
        store.left -= N;
        store.bytes.get(store.left..)?.first_chunk().copied()
    });
    taken.unwrap_or_else(counted)
}

/// A machine without randomness still gets ids that differ; tokens it would not.
fn counted<const N: usize>() -> [u8; N] {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = u64::from(std::process::id()).to_be_bytes();
    let mut bytes = [0; N];
    // From the end, so that the count stands in the shortest of ids too.
    let parts = count.into_iter().rev().chain(process.into_iter().rev());
    for (byte, part) in bytes.iter_mut().rev().zip(parts) {
        *byte = part;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_bytes_are_given_twice_over_many_fillings_and_threads() {
        let many = || {
            (0..1_000)
                .flat_map(|_| [bytes::<16>(), bytes::<16>()])
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(many)).collect();
        let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), different.len()), (8_000, 8_000));
        // Nor do two overlap.
        let halves: BTreeSet<_> = all.iter().flat_map(|id| [&id[..8], &id[8..]]).collect();
        assert_eq!(halves.len(), 16_000);
    }

    #[test]
    fn without_randomness_ids_still_differ() {
        let different: BTreeSet<[u8; 8]> = (0..100).map(|_| counted()).collect();
        assert_eq!(different.len(), 100);
    }
}
