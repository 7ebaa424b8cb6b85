//! Identities in this process's memory, bounded by bytes.
//!
//! A slot holds an identity, a floor, or both. The floor is the version below which nothing may be used: an invalidation sets it, so that a read that
//! was under way cannot put back what was just dropped. A slot is evicted whole; an insert that is under way then is refused by the
//! counters, since an invalidation moves them too.
//!
//! Eviction goes round the slots of a shard with a bit for "seen since last time" (the CLOCK approximation of least-recently-used).

use bekci_core::{Identity, IdentityVersion, PrincipalKey};
use std::{collections::HashMap, sync::Arc};

use super::sync::{AtomicBool, Ordering, RwLock, SHARDS};

const SLOT_BYTES: usize = 96;

/// An identity with the label that it was loaded under.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) identity: Arc<Identity>,
    pub(crate) version: IdentityVersion,
    pub(crate) epoch: u64,
}

#[derive(Debug)]
struct Slot {
    entry: Option<Entry>,
    floor: IdentityVersion,
    weight: usize,
    seen: AtomicBool,
    ring: usize,
}

#[derive(Debug, Default)]
struct Shard {
    slots: HashMap<PrincipalKey, Slot, foldhash::fast::RandomState>,
    ring: Vec<PrincipalKey>,
    hand: usize,
    bytes: usize,
}

#[derive(Debug)]
pub(crate) struct L1 {
    shards: Box<[RwLock<Shard>]>,
    bytes_per_shard: usize,
}

impl L1 {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::new(Shard::default())).collect(),
            bytes_per_shard: bytes / SHARDS,
        }
    }

    fn shard(&self, hash: u64) -> Option<&RwLock<Shard>> {
        // The top bits, since the low ones choose the stripe of counters.
        self.shards
            .get(usize::try_from(hash >> 58).unwrap_or_default() & (SHARDS - 1))
    }

    pub(crate) fn get(&self, key: &PrincipalKey, hash: u64) -> Option<Entry> {
        let shard = self.shard(hash)?.read();
        let slot = shard.slots.get(key)?;
        let entry = slot.entry.as_ref().filter(|entry| entry.version >= slot.floor)?;
        if !slot.seen.load(Ordering::Relaxed) {
            slot.seen.store(true, Ordering::Relaxed);
        }
        Some(entry.clone())
    }

    /// Puts an entry in, unless its slot has a higher floor or a newer entry, or `still_stands` (asked under the shard's lock) says no.
    pub(crate) fn insert(
        &self,
        key: &PrincipalKey,
        hash: u64,
        entry: Entry,
        still_stands: impl FnOnce() -> bool,
    ) -> bool {
        let Some(shard) = self.shard(hash) else { return false };
        let mut shard = shard.write();
        if !still_stands() {
            return false;
        }
        if let Some(slot) = shard.slots.get(key) {
            let newer = slot
                .entry
                .as_ref()
                .is_some_and(|held| (held.version, held.epoch) > (entry.version, entry.epoch));
            if entry.version < slot.floor || newer {
                return false;
            }
        }
        let weight = SLOT_BYTES + entry.identity.weight();
        shard.put(key, Some(entry), weight, IdentityVersion(0));
        shard.shrink_to(self.bytes_per_shard);
        true
    }

    /// Drops what is older than `version` and keeps it out. `moved` is called unless the floor stood that high already: the node loop brings this node's own
    /// commits once more, and must not drop what was loaded since. A key that is not here gets a slot for its floor alone.
    pub(crate) fn invalidate(&self, key: &PrincipalKey, hash: u64, version: IdentityVersion, moved: impl FnOnce()) {
        let Some(shard) = self.shard(hash) else { return moved() };
        let mut shard = shard.write();
        match shard.slots.get_mut(key) {
            None => shard.put(key, None, SLOT_BYTES, version),
            Some(slot) if slot.floor >= version => return,
            Some(slot) => {
                slot.floor = version;
                if slot.entry.as_ref().is_some_and(|entry| entry.version < version) {
                    slot.entry = None;
                    let freed = slot.weight - SLOT_BYTES;
                    slot.weight = SLOT_BYTES;
                    shard.bytes = shard.bytes.saturating_sub(freed);
                }
            }
        }
        moved();
        shard.shrink_to(self.bytes_per_shard);
    }

    /// An entry that may be used: from one shard after the other, and in each from one slot after the other.
    pub(crate) fn sample(&self, turn: u64) -> Option<Entry> {
        let turn = usize::try_from(turn).unwrap_or_default();
        // In an order that leaps, so that with few entries none of them comes most of the time.
        let first = turn.wrapping_mul(37);
        (0..SHARDS).find_map(|further| {
            let shard = self.shards.get(first.wrapping_add(further) % SHARDS)?.read();
            let slots = shard.ring.len();
            let key = shard.ring.get((turn / SHARDS).checked_rem(slots)?)?;
            let slot = shard.slots.get(key)?;
            slot.entry.as_ref().filter(|entry| entry.version >= slot.floor).cloned()
        })
    }

    /// Forgets every identity and floor.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.write() = Shard::default();
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().slots.len()).sum()
    }
}

impl Shard {
    fn put(&mut self, key: &PrincipalKey, entry: Option<Entry>, weight: usize, floor: IdentityVersion) {
        if let Some(slot) = self.slots.get_mut(key) {
            self.bytes = self.bytes.saturating_sub(slot.weight) + weight;
            slot.weight = weight;
            slot.entry = entry;
            return;
        }
        let ring = self.ring.len();
        self.ring.push(key.clone());
        self.bytes += weight;
        let seen = AtomicBool::new(entry.is_some());
        self.slots.insert(
            key.clone(),
            Slot {
                entry,
                floor,
                weight,
                seen,
                ring,
            },
        );
    }

    fn shrink_to(&mut self, bytes: usize) {
        while self.bytes > bytes && self.ring.len() > 1 {
            if self.hand >= self.ring.len() {
                self.hand = 0;
            }
            let Some(key) = self.ring.get(self.hand).cloned() else {
                return;
            };
            let kept = self
                .slots
                .get(&key)
                .is_some_and(|slot| slot.seen.swap(false, Ordering::Relaxed));
            if kept {
                self.hand += 1;
            } else {
                self.evict(&key);
            }
        }
    }

    fn evict(&mut self, key: &PrincipalKey) {
        let Some(slot) = self.slots.remove(key) else { return };
        self.bytes = self.bytes.saturating_sub(slot.weight);
        self.ring.swap_remove(slot.ring);
        if let Some(moved) = self.ring.get(slot.ring)
            && let Some(other) = self.slots.get_mut(moved)
        {
            other.ring = slot.ring;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sync, *};

    fn key(n: u32) -> PrincipalKey {
        PrincipalKey::parse(&format!("customer:{n}")).unwrap()
    }

    fn entry(n: u32, version: u64) -> Entry {
        Entry {
            identity: Arc::new(Identity::absent(key(n))),
            version: IdentityVersion(version),
            epoch: 0,
        }
    }

    #[test]
    fn what_was_invalidated_does_not_come_back_below_its_floor() {
        sync::test(|| {
            let l1 = L1::new(1 << 20);
            assert!(l1.insert(&key(1), 7, entry(1, 3), || true));
            let mut moves = 0;
            l1.invalidate(&key(1), 7, IdentityVersion(4), || moves += 1);
            assert!(l1.get(&key(1), 7).is_none());
            assert!(!l1.insert(&key(1), 7, entry(1, 3), || true));
            assert!(l1.insert(&key(1), 7, entry(1, 4), || true));
            l1.invalidate(&key(1), 7, IdentityVersion(4), || moves += 1);
            assert_eq!(
                l1.get(&key(1), 7).unwrap().version,
                IdentityVersion(4),
                "the same change applied twice drops nothing"
            );
            assert_eq!(moves, 1);
        });
    }

    #[test]
    fn an_insert_that_was_overtaken_is_refused() {
        sync::test(|| {
            let l1 = L1::new(1 << 20);
            assert!(!l1.insert(&key(1), 7, entry(1, 3), || false));
            assert!(l1.get(&key(1), 7).is_none());
        });
    }

    #[test]
    fn memory_stays_within_its_bound_and_what_is_used_stays() {
        sync::test(|| {
            let l1 = L1::new(SHARDS * 20_000);
            for n in 0..1_000 {
                l1.insert(&key(n), 0, entry(n, 1), || true);
                assert!(l1.get(&key(0), 0).is_some() || n > 0);
                l1.get(&key(1), 0);
            }
            assert!(l1.len() < 100, "{}", l1.len());
            assert!(l1.get(&key(1), 0).is_some());
            let shard = l1.shards.first().unwrap().read();
            assert!(shard.bytes <= 20_000);
            assert_eq!(shard.ring.len(), shard.slots.len());
            assert!(
                shard
                    .slots
                    .values()
                    .all(|slot| shard.slots.contains_key(&shard.ring[slot.ring]))
            );
        });
    }
}
