//! Decisions that were made, for the questions that come again.
//!
//! A decision is kept under the whole question, never under a hash of it, and goes with the snapshot that made it. What is kept is bounded: a share that is full
//! begins anew.

use std::{cell::RefCell, collections::HashMap, hash::BuildHasher};

use bekci_core::{AccessRequest, Verdict};
use parking_lot::RwLock;

const SHARES: usize = 16;
/// Decisions in one share: 8,192 in all.
const IN_A_SHARE: usize = 512;
/// A longer question is decided each time.
const LONGEST: usize = 512;

type Share = RwLock<HashMap<Box<str>, Verdict, foldhash::fast::RandomState>>;

/// Decisions of one snapshot.
#[derive(Default)]
pub(crate) struct Decisions {
    shares: [Share; SHARES],
    hasher: foldhash::fast::RandomState,
}

thread_local! {
    static QUESTION: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Writes a question so that two that differ never look the same: each part with its length before it.
fn write(question: &mut String, request: &AccessRequest<'_>) {
    let tenant = request.tenant.map(|tenant| tenant.as_str());
    let parts = [
        request.principal.as_str(),
        request.guard.as_str(),
        request.object,
        request.action,
    ];
    question.clear();
    for part in parts.into_iter().chain(tenant).chain(request.roles.iter().copied()) {
        // A length is one character, so that nothing need be formatted; those that do not fit in one are of questions that are not kept.
        let len = u32::try_from(part.len()).ok().and_then(char::from_u32);
        question.push(len.unwrap_or(char::MAX));
        question.push_str(part);
    }
    question.push(if tenant.is_some() { 't' } else { 'n' });
}

impl Decisions {
    /// The kept decision, else what `decide` says, which is kept if it says so.
    pub(crate) fn get_or(&self, request: &AccessRequest<'_>, decide: impl FnOnce() -> (Verdict, bool)) -> Verdict {
        QUESTION.with(|question| {
            // Held already only if deciding asked a question of its own, which it does not.
            let Ok(mut question) = question.try_borrow_mut() else {
                return decide().0;
            };
            write(&mut question, request);
            let share = self.share(&question);
            let kept = share.and_then(|share| share.read().get(question.as_str()).cloned());
            if let Some(verdict) = kept {
                return verdict;
            }
            let (verdict, keep) = decide();
            if let Some(share) = share.filter(|_| keep) {
                let mut share = share.write();
                if share.len() >= IN_A_SHARE {
                    share.clear();
                }
                share.insert(question.as_str().into(), verdict.clone());
            }
            verdict
        })
    }

    fn share(&self, question: &str) -> Option<&Share> {
        let at = usize::try_from(self.hasher.hash_one(question) >> 32).unwrap_or_default();
        self.shares.get(at % SHARES).filter(|_| question.len() <= LONGEST)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shares.iter().map(|share| share.read().len()).sum()
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
        assert!(decisions.len() <= SHARES * IN_A_SHARE);
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
                        let mut question = String::new();
                        write(&mut question, &request);
                        seen.insert(question);
                        count += 1;
                    }
                }
            }
        }
        assert_eq!(seen.len(), count);
    }
}
