//! Counts in this process.
//!
//! What is over is forgotten. Where more is counted than [`MOST_KEYS`], the half that was refused longest ago is forgotten too: who floods the table has spent far more
//! refusals than that gives back.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bekci_core::{Clock, LimitKey, LimiterUnavailable, Rate, RateLimiter, SLOT_LASTS, Settled, Slot, TokenId};
use parking_lot::Mutex;

/// How much is counted at most: some 300 bytes each where one refusal is counted, so 40 MiB in all. Whoever has a /48 of IPv6 has half as many addresses.
const MOST_KEYS: usize = 1 << 17;
/// The table is looked through for what is over when it has grown to this, and each time that it has doubled.
const FIRST_LOOK: usize = 1 << 10;

#[derive(Debug, Default)]
struct Count {
    /// When each refusal ceases to count, the next first.
    refused: VecDeque<Duration>,
    /// The slots that are not settled, and when each is given back by itself.
    open: Vec<(TokenId, Duration)>,
}

impl Count {
    fn forget(&mut self, now: Duration) {
        while self.refused.front().is_some_and(|until| *until <= now) {
            self.refused.pop_front();
        }
        self.open.retain(|(_, until)| *until > now);
        self.spare_room();
    }

    /// Most keys are of one refusal, long settled: without this they would keep the room of their slot.
    fn spare_room(&mut self) {
        if self.open.is_empty() {
            self.open = Vec::new();
        }
    }

    fn last(&self) -> Duration {
        let open = self.open.iter().map(|(_, until)| *until).max();
        open.max(self.refused.back().copied()).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Table {
    counts: HashMap<LimitKey, Count>,
    look_at: usize,
}

impl Table {
    /// Makes room before a key is added.
    fn tidy(&mut self, now: Duration) {
        if self.counts.len() < self.look_at.max(FIRST_LOOK) {
            return;
        }
        self.counts.retain(|_, count| {
            count.forget(now);
            !count.refused.is_empty() || !count.open.is_empty()
        });
        if self.counts.len() >= MOST_KEYS {
            let mut lasts: Vec<Duration> = self.counts.values().map(Count::last).collect();
            let half = lasts.len() / 2;
            let (_, middle, _) = lasts.select_nth_unstable(half);
            let middle = *middle;
            self.counts.retain(|_, count| count.last() > middle);
        }
        self.look_at = (self.counts.len() * 2).min(MOST_KEYS);
    }
}

/// Counts refusals in this process, by the clock's uptime.
#[derive(Debug)]
pub struct MemoryLimiter {
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
}

impl MemoryLimiter {
    /// A limiter that has counted nothing yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            table: Mutex::default(),
        }
    }

    /// How many keys something is counted under.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().counts.len()
    }

    /// Whether nothing is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with<T>(&self, key: &LimitKey, run: impl FnOnce(&mut Count, Duration) -> T) -> T {
        let mut table = self.table.lock();
        let now = self.clock.uptime();
        if !table.counts.contains_key(key) {
            table.tidy(now);
        }
        let count = table.counts.entry(key.clone()).or_default();
        count.forget(now);
        let answer = run(count, now);
        if count.refused.is_empty() && count.open.is_empty() {
            table.counts.remove(key);
        }
        answer
    }
}

#[async_trait]
impl RateLimiter for MemoryLimiter {
    async fn take(&self, key: &LimitKey, rate: Rate, id: TokenId) -> Result<Slot, LimiterUnavailable> {
        let most = rate.count() as usize;
        Ok(self.with(key, |count, now| {
            if count.refused.len() + count.open.len() < most {
                count.open.push((id, now + SLOT_LASTS));
                return Slot::Taken;
            }
            match count.refused.front() {
                Some(until) if count.refused.len() >= most => Slot::Full {
                    retry_after: until.saturating_sub(now),
                },
                _ => Slot::Awaited,
            }
        }))
    }

    async fn settle(
        &self,
        key: &LimitKey,
        rate: Rate,
        id: TokenId,
        settled: Settled,
    ) -> Result<bool, LimiterUnavailable> {
        Ok(self.with(key, |count, now| {
            count.open.retain(|(open, _)| *open != id);
            count.spare_room();
            if settled == Settled::Refused {
                count.refused.push_back(now + rate.period());
            }
            count.refused.len() >= rate.count() as usize
        }))
    }
}
