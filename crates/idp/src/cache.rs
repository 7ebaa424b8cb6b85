//! What is known of a provider, and when it is fetched again. Times are the clock's uptime.
//!
//! 1. Keys are used for [`FRESH`]. Then the next use has them fetched in the background, and goes on with the old ones, until they are [`LONGEST`] old.
//! 2. A failed fetch is not repeated within [`RETRY_AFTER`]: calls in that time get its error at once.
//! 3. An unknown `kid` has the keys fetched again, [`BURST`] times and then once in [`REFILL`]. One that was not among them is remembered for [`FORGOTTEN_AFTER`].

use std::{collections::HashMap, sync::Arc, time::Duration};

use bekci_core::idp::IdpKeys;

/// How long keys are used before they are fetched again.
pub(crate) const FRESH: Duration = Duration::from_secs(15 * 60);
/// The age from which keys are not used any more. A key that its provider withdrew verifies nothing after this.
pub(crate) const LONGEST: Duration = Duration::from_secs(60 * 60);
/// How long after a failed fetch the next one is tried.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How many fetches for unknown keys may follow each other.
pub(crate) const BURST: u32 = 3;
/// In how much time one more may.
pub(crate) const REFILL: Duration = Duration::from_secs(10);
/// How long an unknown `kid` is remembered.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// How many are remembered.
const MOST_UNKNOWN: usize = 1_024;

/// What was fetched.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) keys: Arc<dyn IdpKeys>,
    pub(crate) at: Duration,
}

/// Which keys there are for a call.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    /// These.
    Fresh(Loaded),
    /// These, and they are to be fetched again beside the call.
    Ageing(Loaded),
    /// None: they are to be fetched first.
    None,
}

#[derive(Debug)]
pub(crate) struct Cache {
    loaded: Option<Loaded>,
    failed: Option<(Duration, Box<str>)>,
    allowance: u32,
    refilled: Duration,
    unknown: HashMap<String, Duration>,
}

impl Cache {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            loaded: None,
            failed: None,
            allowance: BURST,
            refilled: now,
            unknown: HashMap::new(),
        }
    }

    /// The keys for a call.
    pub(crate) fn held(&self, now: Duration) -> Held {
        match &self.loaded {
            Some(loaded) => match now.saturating_sub(loaded.at) {
                age if age < FRESH => Held::Fresh(loaded.clone()),
                age if age < LONGEST => Held::Ageing(loaded.clone()),
                _ => Held::None,
            },
            None => Held::None,
        }
    }

    /// Keys that were fetched after this time.
    pub(crate) fn newer_than(&self, at: Option<Duration>) -> Option<Loaded> {
        let is_newer = |loaded: &&Loaded| at.is_none_or(|at| loaded.at > at);
        self.loaded.as_ref().filter(is_newer).cloned()
    }

    /// Why the last fetch failed, if that was a moment ago.
    pub(crate) fn just_failed(&self, now: Duration) -> Option<Box<str>> {
        let (at, why) = self.failed.as_ref()?;
        (now.saturating_sub(*at) < RETRY_AFTER).then(|| why.clone())
    }

    pub(crate) fn fetched(&mut self, loaded: Loaded) {
        self.loaded = Some(loaded);
        self.failed = None;
    }

    pub(crate) fn failed(&mut self, now: Duration, why: &str) {
        self.failed = Some((now, why.into()));
    }

    /// Whether the keys may be fetched for a `kid` that is not among them.
    pub(crate) fn may_look_for(&mut self, kid: &str, now: Duration) -> bool {
        let is_remembered = |at: &Duration| now.saturating_sub(*at) < FORGOTTEN_AFTER;
        if self.unknown.get(kid).is_some_and(is_remembered) {
            return false;
        }
        let periods = now.saturating_sub(self.refilled).as_nanos() / REFILL.as_nanos();
        if periods > 0 {
            let more = u32::try_from(periods).unwrap_or(u32::MAX);
            self.allowance = self.allowance.saturating_add(more).min(BURST);
            self.refilled = now;
        }
        match self.allowance.checked_sub(1) {
            Some(left) => {
                self.allowance = left;
                true
            }
            None => false,
        }
    }

    /// Remembers a `kid` that was not among the keys.
    pub(crate) fn is_unknown(&mut self, kid: String, now: Duration) {
        if self.unknown.len() >= MOST_UNKNOWN {
            self.unknown.retain(|_, at| now.saturating_sub(*at) < FORGOTTEN_AFTER);
        }
        if self.unknown.len() < MOST_UNKNOWN {
            self.unknown.insert(kid, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use bekci_core::{
        TokenFault,
        idp::{ExpectedIdToken, IdTokenClaims},
    };

    use super::*;

    #[derive(Debug)]
    struct NoKeys;

    impl IdpKeys for NoKeys {
        fn verify(&self, _: &str, _: &ExpectedIdToken<'_>) -> Result<IdTokenClaims, TokenFault> {
            Err(TokenFault::UnknownKey)
        }

        fn kid(&self, _: &str) -> Option<String> {
            None
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn loaded(seconds: u64) -> Loaded {
        Loaded {
            keys: Arc::new(NoKeys),
            at: at(seconds),
        }
    }

    #[test]
    fn keys_are_fetched_again_beside_calls_and_first_when_they_are_old() {
        let mut cache = Cache::new(at(0));
        assert!(matches!(cache.held(at(0)), Held::None));
        cache.fetched(loaded(100));
        assert!(matches!(cache.held(at(100) + FRESH - at(1)), Held::Fresh(_)));
        assert!(matches!(cache.held(at(100) + FRESH), Held::Ageing(_)));
        assert!(matches!(cache.held(at(100) + LONGEST), Held::None));
    }

    #[test]
    fn a_failure_answers_for_a_second_and_keeps_the_keys() {
        let mut cache = Cache::new(at(0));
        cache.fetched(loaded(0));
        cache.failed(at(10), "down");
        assert_eq!(cache.just_failed(at(10)).as_deref(), Some("down"));
        assert_eq!(cache.just_failed(at(11)), None);
        assert!(matches!(cache.held(at(11)), Held::Fresh(_)));
        cache.fetched(loaded(12));
        assert_eq!(cache.just_failed(at(10)), None);
    }

    #[test]
    fn a_flood_of_unknown_keys_has_few_fetches_and_a_new_key_is_found_soon() {
        let mut cache = Cache::new(at(0));
        let allowed = (0..10_000)
            .filter(|n| cache.may_look_for(&format!("k{n}"), at(0)))
            .count();
        assert_eq!(allowed, BURST as usize);
        assert!(!cache.may_look_for("k", at(9)));
        assert!(cache.may_look_for("k", at(10)));
        assert!(!cache.may_look_for("k", at(11)));
        // However long nothing came, there are no more at once.
        let allowed = (0..100)
            .filter(|n| cache.may_look_for(&format!("l{n}"), at(100_000)))
            .count();
        assert_eq!(allowed, BURST as usize);
    }

    #[test]
    fn an_unknown_key_is_remembered_for_a_minute_and_only_so_many_are() {
        let mut cache = Cache::new(at(0));
        cache.is_unknown("k".into(), at(0));
        assert!(!cache.may_look_for("k", at(59)));
        assert!(cache.may_look_for("k", at(60)));
        for n in 0..2 * MOST_UNKNOWN {
            cache.is_unknown(format!("k{n}"), at(60));
        }
        assert!(cache.unknown.len() <= MOST_UNKNOWN);
        cache.is_unknown("later".into(), at(200));
        assert_eq!(cache.unknown.len(), 1);
    }
}
