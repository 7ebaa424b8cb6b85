//! Cache of policy decisions.
//!
//! - An entry is stored under the whole question, never under a hash of it. It is dropped with the snapshot that made it.
//! - The cache is bounded. A question has two slots; a new question replaces the older one of the two.

use std::{cell::RefCell, hash::BuildHasher};

use bekci_core::{AccessRequest, Verdict};
use parking_lot::RwLock;

const SHARDS: usize = 16;
/// Slots in one shard: 8,192 in all. A power of two.
const SLOTS: usize = 512;
/// A longer question is decided each time.
const LONGEST: usize = 512;

#[derive(Default)]
struct Slot {
    hash: u64,
    question: Vec<u8>,
    verdict: Option<Verdict>,
}

/// Decisions of one snapshot.
#[derive(Default)]
pub(crate) struct Decisions {
    /// Empty until the first decision.
    shards: [RwLock<Vec<Slot>>; SHARDS],
    hasher: foldhash::fast::RandomState,
}

thread_local! {
    static QUESTION: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes a question so that two that differ never look the same: each part with its length before it. False for a question that is too long to be stored.
fn write(question: &mut Vec<u8>, request: &AccessRequest<'_>) -> bool {
    let tenant = request.tenant.map(|tenant| tenant.as_str());
    let parts = [
        request.principal.as_str(),
        request.guard.as_str(),
        request.object,
        request.action,
    ];
    question.clear();
    for part in parts.into_iter().chain(tenant).chain(request.roles.iter().copied()) {
        let Ok(len) = u16::try_from(part.len()) else {
            return false;
        };
        question.extend_from_slice(&len.to_le_bytes());
        question.extend_from_slice(part.as_bytes());
    }
    question.push(u8::from(tenant.is_some()));
    question.len() <= LONGEST
}

impl Decisions {
    /// The stored decision, or the result of `decide`, which is stored if its second value is true.
    pub(crate) fn get_or(&self, request: &AccessRequest<'_>, decide: impl FnOnce() -> (Verdict, bool)) -> Verdict {
        QUESTION.with(|question| {
            // Borrowed already only if deciding asked a question itself, which it does not.
            let Ok(mut question) = question.try_borrow_mut() else {
                return decide().0;
            };
            if !write(&mut question, request) {
                return decide().0;
            }
            let hash = self.hasher.hash_one(question.as_slice());
            let number = usize::try_from(hash >> 32).unwrap_or_default();
            let Some(shard) = self.shards.get(number % SHARDS) else {
                return decide().0;
            };
            let slot = number / SHARDS % SLOTS;
            if let Some(verdict) = find(&shard.read(), (hash, slot), &question) {
                return verdict;
            }
            let (verdict, keep) = decide();
            if keep {
                store(&mut shard.write(), (hash, slot), &question, &verdict);
            }
            verdict
        })
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let count = |shard: &RwLock<Vec<Slot>>| shard.read().iter().filter(|slot| slot.verdict.is_some()).count();
        self.shards.iter().map(count).sum()
    }
}

fn find(slots: &[Slot], (hash, slot): (u64, usize), question: &[u8]) -> Option<Verdict> {
    let found = [slot, slot ^ 1].into_iter().filter_map(|slot| slots.get(slot));
    let mut found = found.filter(|slot| slot.hash == hash && slot.question == question);
    found.next()?.verdict.clone()
}

fn store(slots: &mut Vec<Slot>, (hash, slot): (u64, usize), question: &[u8], verdict: &Verdict) {
    if slots.is_empty() {
        slots.resize_with(SLOTS, Slot::default);
    }
    // The slot's entry moves to the second one, whose entry is dropped.
    slots.swap(slot, slot ^ 1);
    if let Some(slot) = slots.get_mut(slot) {
        slot.hash = hash;
        slot.question.clear();
        slot.question.extend_from_slice(question);
        slot.verdict = Some(verdict.clone());
    }
}

#[cfg(test)]
mod tests {
    use bekci_core::{GuardName, PrincipalKey, TenantName};

    use super::*;

    fn allow() -> Verdict {
        Verdict::Allow { reason: "x".into() }
    }

    #[test]
    fn a_question_is_decided_once_and_the_cache_stays_bounded() {
        let decisions = Decisions::default();
        let (principal, guard) = (
            PrincipalKey::parse("customer:1").unwrap(),
            GuardName::new("customer").unwrap(),
        );
        let ask = |object: &str, keep: bool| {
            let mut asked = 0;
            let request = AccessRequest {
                principal: &principal,
                guard: &guard,
                roles: &["a"],
                tenant: None,
                object,
                action: "GET",
            };
            decisions.get_or(&request, || {
                asked += 1;
                (allow(), keep)
            });
            asked
        };
        assert_eq!([ask("/a", true), ask("/a", true), ask("/b", true)], [1, 0, 1]);
        assert_eq!([ask("/c", false), ask("/c", false)], [1, 1]);
        let long = format!("/{}", "x".repeat(LONGEST));
        assert_eq!([ask(&long, true), ask(&long, true)], [1, 1]);
        for at in 0..30_000 {
            ask(&format!("/{at}"), true);
        }
        assert!(decisions.len() <= SHARDS * SLOTS);
        // Two that share a slot are both stored.
        assert_eq!([ask("/29999", true), ask("/29998", true)], [0, 0]);
    }

    #[test]
    fn two_questions_never_look_the_same() {
        let (principal, guard) = (
            PrincipalKey::parse("customer:1").unwrap(),
            GuardName::new("customer").unwrap(),
        );
        let tenants = [
            None,
            Some(TenantName::new("a").unwrap()),
            Some(TenantName::new("ab").unwrap()),
        ];
        let role_lists: [&[&str]; 6] = [&[], &["a"], &["a", "b"], &["ab"], &["\u{1}a"], &["a\u{1}b"]];
        let texts = ["/", "/a", "/ab", "/a\u{3}GET", "/\u{1}a", "G", "GET"];
        let mut seen = std::collections::HashSet::new();
        let mut count = 0;
        for tenant in &tenants {
            for roles in role_lists {
                for object in texts {
                    for action in texts {
                        let request = AccessRequest {
                            principal: &principal,
                            guard: &guard,
                            roles,
                            tenant: tenant.as_ref(),
                            object,
                            action,
                        };
                        let mut question = Vec::new();
                        assert!(write(&mut question, &request));
                        seen.insert(question);
                        count += 1;
                    }
                }
            }
        }
        assert_eq!(seen.len(), count);
    }
}
