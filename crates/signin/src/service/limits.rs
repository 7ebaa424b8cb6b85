//! Attempts under limits.
//!
//! 1. An attempt takes a slot for its address first and then one for what it names, so that an address that has used up its limit closes nobody else's.
//! 2. It waits while the attempts under way take what is left: had they all succeeded, it would have been let try. It waits for no longer than [`TRIES`] allow, and only so
//!    many wait at once; then it is turned away like one over the limit.
//! 3. Nothing is looked up and nothing hashed before both slots are there. So what is over the limit is answered alike for an account that there is and one that there is not.
//! 4. A refusal is counted before it is told. One that cannot be counted is not told.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bekci_core::{AuthGuard, CountedBy, Limit, LimitKey, LimiterUnavailable, Rate, Settled, Slot, TokenId};

use super::SignIn;
use crate::{
    audit,
    error::SignInError,
    keyed::{address_hash, limit_hash},
};

/// How often a slot that is awaited is asked for.
const TRIES: u32 = 100;
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(50);
/// How many may wait at once.
const MOST_WAITING: usize = 512;

/// Where the limiter cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreachable {
    /// The attempt is not made: passwords can be guessed.
    Closed,
    /// The attempt is made uncounted: what it presents has a MAC, which cannot be guessed.
    Open,
}

/// What an attempt counts for.
#[derive(Debug)]
pub(super) struct Counted {
    limit: Limit,
    rate: Rate,
    unreachable: Unreachable,
    id: TokenId,
    keys: Vec<(CountedBy, LimitKey)>,
}

/// How many wait now; leaves when dropped, so that who goes away waits no more.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(count: &'a AtomicUsize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        // Made in any case, so that it leaves again.
        let joined = Self(count);
        (before < MOST_WAITING).then_some(joined)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SignIn {
    pub(super) fn counted(
        &self,
        guard: &AuthGuard,
        limit: Limit,
        client: Option<IpAddr>,
        named: Option<(CountedBy, &str)>,
    ) -> Result<Counted, SignInError> {
        let root = &self.parts.root;
        let by_address = client.map(|address| (CountedBy::Address, address_hash(root, &guard.name, address)));
        let by_name = named.map(|(by, name)| (by, limit_hash(root, &guard.name, name)));
        let keys = by_address.into_iter().chain(by_name);
        let (rate, unreachable) = match limit {
            Limit::SignIn => (guard.limits.sign_in, Unreachable::Closed),
            Limit::Refresh => (guard.limits.refresh, Unreachable::Open),
        };
        Ok(Counted {
            limit,
            rate,
            unreachable,
            id: self.random_id()?,
            keys: keys
                .map(|(by, hash)| (by, LimitKey::new(&guard.name, limit, by, hash)))
                .collect(),
        })
    }

    /// Makes an attempt if the limits leave room for it, and counts it if it is refused.
    pub(super) async fn within<T>(
        &self,
        guard: &AuthGuard,
        counted: &Counted,
        attempt: impl Future<Output = Result<T, SignInError>>,
    ) -> Result<T, SignInError> {
        for (at, (by, key)) in counted.keys.iter().enumerate() {
            if let Err(error) = self.take(counted, key).await {
                let taken = counted.keys.get(..at).unwrap_or_default();
                self.give_back(counted, taken).await;
                if matches!(error, SignInError::RateLimited { .. }) {
                    self.parts.meter.rate_limited(&guard.name, counted.limit.as_str());
                    tracing::debug!(target: "bekci::signin", guard = guard.name.as_str(), by = by.as_str(), "an attempt is over its limit");
                }
                return Err(error);
            }
        }
        let result = attempt.await;
        match &result {
            Err(error) if error.is_refusal() => self.count(guard, counted).await?,
            Ok(_) | Err(_) => self.give_back(counted, &counted.keys).await,
        }
        result
    }

    async fn take(&self, counted: &Counted, key: &LimitKey) -> Result<(), SignInError> {
        let mut waiting = None;
        let mut look = FIRST_LOOK;
        for _ in 0..TRIES {
            match self.parts.limiter.take(key, counted.rate, counted.id).await {
                Ok(Slot::Taken) => return Ok(()),
                Ok(Slot::Full { retry_after }) => return Err(limited(retry_after)),
                Ok(Slot::Awaited) => {}
                Err(error) => return counted.without(error),
            }
            if waiting.is_none() {
                waiting = Waiting::join(&self.waiting);
            }
            if waiting.is_none() {
                break;
            }
            tokio::time::sleep(look).await;
            look = (look * 2).min(LONGEST_LOOK);
        }
        Err(limited(Duration::ZERO))
    }

    /// Counts a refusal under each key, whichever fail.
    async fn count(&self, guard: &AuthGuard, counted: &Counted) -> Result<(), SignInError> {
        let mut answer = Ok(());
        for (by, key) in &counted.keys {
            let limiter = &self.parts.limiter;
            match limiter.settle(key, counted.rate, counted.id, Settled::Refused).await {
                Ok(true) => audit::limit_reached(guard, counted.limit, *by, key),
                Ok(false) => {}
                Err(error) => answer = answer.and(counted.without(error)),
            }
        }
        answer
    }

    /// A slot that cannot be given back now is given back by itself.
    async fn give_back(&self, counted: &Counted, keys: &[(CountedBy, LimitKey)]) {
        for (_, key) in keys {
            let limiter = &self.parts.limiter;
            let settled = limiter.settle(key, counted.rate, counted.id, Settled::GivenBack);
            if let Err(error) = settled.await {
                tracing::warn!(target: "bekci::signin", %error, "a slot of a limit is given back later");
            }
        }
    }
}

impl Counted {
    /// What becomes of the attempt without the limiter.
    fn without(&self, error: LimiterUnavailable) -> Result<(), SignInError> {
        match self.unreachable {
            Unreachable::Closed => Err(SignInError::StoreUnavailable(error.to_string().into())),
            Unreachable::Open => {
                tracing::warn!(target: "bekci::signin", %error, "a refresh is not counted");
                Ok(())
            }
        }
    }
}

fn limited(retry_after: Duration) -> SignInError {
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    SignInError::RateLimited {
        retry_after_seconds: u32::try_from(seconds.max(1)).unwrap_or(u32::MAX),
    }
}
