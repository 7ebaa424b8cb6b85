//! Statistics of one node for the management API: decisions, sign-ins, the cache, and how long changes take.
//!
//! 1. [`Stats`] counts what the meter of the application receives, and passes it on.
//! 2. A decision costs one relaxed addition more. Everything else is counted where a database or a hash was waited for.
//! 3. Percentiles are upper bounds of buckets; the largest value is exact.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bekci_core::{Decided, GuardName, Meter, Outcome, ViewSource};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::respond::moment;

/// Upper bounds of the buckets, in milliseconds.
const BUCKETS: [u64; 16] = [
    1, 2, 5, 10, 20, 30, 50, 75, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000,
];

/// What a node counts since it was made. Clones count together, so that a node that is built anew with the same goes on counting.
#[derive(Clone, Debug)]
pub struct Stats(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    since: OffsetDateTime,
    outcomes: [AtomicU64; 3],
    sources: [AtomicU64; 3],
    lag: Durations,
    barrier: Durations,
    by_name: Mutex<ByName>,
}

#[derive(Debug, Default)]
struct ByName {
    sign_ins: BTreeMap<(GuardName, Box<str>, &'static str), u64>,
    limited: BTreeMap<(GuardName, &'static str), u64>,
}

/// How long something took, by bucket.
#[derive(Debug, Default)]
struct Durations {
    counts: [AtomicU64; BUCKETS.len()],
    longest_micros: AtomicU64,
}

impl Durations {
    fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BUCKETS.partition_point(|most| most.saturating_mul(1_000) < micros);
        if let Some(count) = self.counts.get(at).or(self.counts.last()) {
            count.fetch_add(1, Relaxed);
        }
        self.longest_micros.fetch_max(micros, Relaxed);
    }

    fn to_json(&self) -> Value {
        let counts = self.counts.each_ref().map(|count| count.load(Relaxed));
        let all: u64 = counts.iter().sum();
        let longest = Duration::from_micros(self.longest_micros.load(Relaxed)).as_secs_f64() * 1_000.0;
        // The bucket in which the value of this rank is; never more than the longest.
        let percentile = |percent: u64| {
            let rank = all.saturating_mul(percent).div_ceil(100);
            let mut seen = 0;
            let buckets = BUCKETS.iter().zip(counts);
            let mut reached = buckets.filter(|(_, count)| {
                seen += count;
                seen >= rank
            });
            #[expect(clippy::cast_precision_loss, reason = "bounds of buckets are small")]
            let bound = reached.next().map(|(most, _)| *most as f64);
            bound.filter(|_| all > 0).map(|bound| bound.min(longest))
        };
        json!({
            "count": all,
            "p50Ms": percentile(50),
            "p99Ms": percentile(99),
            "maxMs": (all > 0).then_some(longest),
        })
    }
}

impl Stats {
    /// Nothing counted, since this moment.
    #[must_use]
    pub fn since(since: OffsetDateTime) -> Self {
        Self(Arc::new(Counts {
            since,
            outcomes: Default::default(),
            sources: Default::default(),
            lag: Durations::default(),
            barrier: Durations::default(),
            by_name: Mutex::default(),
        }))
    }

    fn by_name(&self) -> std::sync::MutexGuard<'_, ByName> {
        // A count is whole or not there.
        self.0.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted, as the management API answers it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let counts = &self.0;
        let [allowed, refused, unavailable] = counts.outcomes.each_ref().map(|count| count.load(Relaxed));
        let [l1, redis, database] = counts.sources.each_ref().map(|count| count.load(Relaxed));
        let looks = l1.saturating_add(redis).saturating_add(database);
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
        let hit_ratio = (looks > 0).then(|| l1 as f64 / looks as f64);
        let by_name = self.by_name();
        let sign_ins = by_name
            .sign_ins
            .iter()
            .map(|((guard, way, result), count)| json!({"guard": guard, "way": way, "result": result, "count": count}));
        let limited = by_name
            .limited
            .iter()
            .map(|((guard, limit), count)| json!({"guard": guard, "limit": limit, "count": count}));
        json!({
            "since": moment(counts.since),
            "decisions": {"allowed": allowed, "refused": refused, "unavailable": unavailable},
            "signIns": sign_ins.collect::<Vec<_>>(),
            "limited": limited.collect::<Vec<_>>(),
            "cache": {"l1": l1, "redis": redis, "database": database, "hitRatio": hit_ratio},
            "revocationLag": counts.lag.to_json(),
            "barrier": counts.barrier.to_json(),
        })
    }

    /// A meter that counts here, and passes everything on.
    pub(crate) fn before(&self, meter: Arc<dyn Meter>) -> Arc<dyn Meter> {
        Arc::new(Counted {
            stats: self.clone(),
            meter,
        })
    }
}

/// A meter with statistics before it.
#[derive(Debug)]
struct Counted {
    stats: Stats,
    meter: Arc<dyn Meter>,
}

impl Meter for Counted {
    fn decided(&self, decided: &Decided<'_>) {
        let [allowed, refused, unavailable] = &self.stats.0.outcomes;
        let outcome = match decided.outcome {
            Outcome::Allowed => allowed,
            Outcome::Refused => refused,
            Outcome::Unavailable => unavailable,
        };
        outcome.fetch_add(1, Relaxed);
        let [l1, redis, database] = &self.stats.0.sources;
        let source = decided.source.map(|source| match source {
            ViewSource::L1 => l1,
            ViewSource::Redis => redis,
            ViewSource::Database => database,
        });
        if let Some(source) = source {
            source.fetch_add(1, Relaxed);
        }
        self.meter.decided(decided);
    }

    fn identity_loaded(&self, source: ViewSource) {
        self.meter.identity_loaded(source);
    }

    fn signed_in(&self, guard: &GuardName, way: &str, result: &'static str) {
        *self
            .stats
            .by_name()
            .sign_ins
            .entry((guard.clone(), way.into(), result))
            .or_default() += 1;
        self.meter.signed_in(guard, way, result);
    }

    fn rate_limited(&self, guard: &GuardName, limit: &'static str) {
        *self.stats.by_name().limited.entry((guard.clone(), limit)).or_default() += 1;
        self.meter.rate_limited(guard, limit);
    }

    fn mailed(&self, kind: &'static str, result: &'static str) {
        self.meter.mailed(kind, result);
    }

    fn applied(&self, lag: Duration) {
        self.stats.0.lag.observe(lag);
        self.meter.applied(lag);
    }

    fn barrier(&self, took: Duration) {
        self.stats.0.barrier.observe(took);
        self.meter.barrier(took);
    }

    fn cache_compared(&self, drifts: bool) {
        self.meter.cache_compared(drifts);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use bekci_core::ErrorCode;

    use super::*;

    #[derive(Debug, Default)]
    struct Calls(AtomicUsize);

    impl Meter for Calls {
        fn decided(&self, _: &Decided<'_>) {
            self.0.fetch_add(1, Relaxed);
        }
        fn identity_loaded(&self, _: ViewSource) {
            self.0.fetch_add(1, Relaxed);
        }
        fn signed_in(&self, _: &GuardName, _: &str, _: &'static str) {
            self.0.fetch_add(1, Relaxed);
        }
        fn rate_limited(&self, _: &GuardName, _: &'static str) {
            self.0.fetch_add(1, Relaxed);
        }
        fn mailed(&self, _: &'static str, _: &'static str) {
            self.0.fetch_add(1, Relaxed);
        }
        fn applied(&self, _: Duration) {
            self.0.fetch_add(1, Relaxed);
        }
        fn barrier(&self, _: Duration) {
            self.0.fetch_add(1, Relaxed);
        }
        fn cache_compared(&self, _: bool) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn decided(outcome: Outcome, source: Option<ViewSource>) -> Decided<'static> {
        Decided {
            guard: None,
            route: "shop",
            outcome,
            code: (outcome != Outcome::Allowed).then_some(ErrorCode::Forbidden),
            source,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn what_a_meter_receives_is_counted_and_passed_on() {
        let (stats, calls) = (Stats::since(OffsetDateTime::UNIX_EPOCH), Arc::new(Calls::default()));
        let empty = stats.to_json();
        assert_eq!(empty["cache"]["hitRatio"], Value::Null);
        assert_eq!(
            empty["barrier"],
            json!({"count": 0, "p50Ms": null, "p99Ms": null, "maxMs": null})
        );
        let meter = stats.before(calls.clone());
        let customer = GuardName::new("customer").unwrap();
        for source in [ViewSource::L1, ViewSource::L1, ViewSource::L1, ViewSource::Database] {
            meter.decided(&decided(Outcome::Allowed, Some(source)));
        }
        meter.decided(&decided(Outcome::Refused, None));
        meter.decided(&decided(Outcome::Unavailable, None));
        meter.identity_loaded(ViewSource::Redis);
        meter.signed_in(&customer, "password", "SUCCESS");
        meter.signed_in(&customer, "password", "SUCCESS");
        meter.rate_limited(&customer, "sign_in");
        meter.mailed("invite", "sent");
        meter.cache_compared(false);
        for _ in 0..98 {
            meter.applied(Duration::from_millis(4));
        }
        meter.applied(Duration::from_millis(40));
        meter.applied(Duration::from_secs(3_600));
        meter.barrier(Duration::from_micros(300));
        let told = stats.to_json();
        assert_eq!(
            told,
            json!({
                "since": "1970-01-01T00:00:00Z",
                "decisions": {"allowed": 4, "refused": 1, "unavailable": 1},
                "signIns": [{"guard": "customer", "way": "password", "result": "SUCCESS", "count": 2}],
                "limited": [{"guard": "customer", "limit": "sign_in", "count": 1}],
                "cache": {"l1": 3, "redis": 0, "database": 1, "hitRatio": 0.75},
                "revocationLag": {"count": 100, "p50Ms": 5.0, "p99Ms": 50.0, "maxMs": 3_600_000.0},
                "barrier": {"count": 1, "p50Ms": 0.3, "p99Ms": 0.3, "maxMs": 0.3},
            })
        );
        assert_eq!(calls.0.load(Relaxed), 6 + 1 + 2 + 1 + 1 + 1 + 100 + 1);
    }
}
