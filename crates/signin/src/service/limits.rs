//! Attempts under limits.
//!
//! 1. An attempt takes a slot for its address first and then one for what it names, so that an address that has used up its limit closes nobody else's.
//! 2. It waits while the attempts under way take what is left: had they all succeeded, it would have been let try. It waits for no longer than [`TRIES`] allow, and only so
//!    many wait at once; then it is turned away like one over the limit.
//! 3. Nothing is looked up and nothing hashed before both slots are there. So what is over the limit is answered alike for an account that there is and one that there is not.
//! 4. A limit belongs to the account. Names and accounts are counted by model, so that all guards of a model share a count. What was looked up takes a third slot, for the
//!    account whatever its identifier, or for the name if no account has it: both take the same steps.
//! 5. An IPv6 address takes a slot in its /64, its /56 and its /48; the larger networks have [`SHARE_OF_56`] and [`SHARE_OF_48`] times the limit.
//! 6. A refusal is counted before it is told. One that cannot be counted is not told.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bekci_core::{
    AuthGuard, CountedBy, Limit, LimitKey, LimiterUnavailable, PrincipalKey, Rate, Settled, Slot, TokenId,
};

use super::SignIn;
use crate::{
    audit,
    error::SignInError,
    keyed::{account_hash, address_hashes, name_hash, session_hash},
};

/// How often a slot that is awaited is asked for.
const TRIES: u32 = 100;
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(50);
/// What a /56 may use up, as a multiple of a /64.
const SHARE_OF_56: u32 = 4;
/// What a /48 may use up, as a multiple of a /64.
const SHARE_OF_48: u32 = 16;
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
    unreachable: Unreachable,
    id: TokenId,
    keys: Vec<(CountedBy, LimitKey, Rate)>,
}

/// What an attempt names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named<'a> {
    /// An identifier, as it was entered.
    Identifier(&'a str),
    /// The account that was found by an identifier, or the identifier if none was.
    Account(Result<&'a PrincipalKey, &'a str>),
    /// A session.
    Session(&'a str),
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
        named: Option<Named<'_>>,
    ) -> Result<Counted, SignInError> {
        let root = &self.parts.root;
        let (rate, unreachable) = match limit {
            Limit::SignIn => (guard.limits.sign_in, Unreachable::Closed),
            Limit::Refresh => (guard.limits.refresh, Unreachable::Open),
            Limit::OtpStart => (guard.limits.otp_start, Unreachable::Closed),
            Limit::Register => (guard.limits.register, Unreachable::Closed),
            Limit::Otp => (guard.limits.otp, Unreachable::Closed),
        };
        let networks = client.map(|address| address_hashes(root, &guard.name, address));
        let shares = [1, SHARE_OF_56, SHARE_OF_48];
        let by_network = networks.into_iter().flatten().zip(shares).map(|(hash, share)| {
            let key = LimitKey::new(&guard.name, limit, CountedBy::Address, hash);
            (CountedBy::Address, key, rate.times(share))
        });
        let by_name = named.map(|named| {
            let (by, key) = match named {
                Named::Identifier(name) => {
                    let hash = name_hash(root, &guard.model, name);
                    (
                        CountedBy::Name,
                        LimitKey::of_model(&guard.model, limit, CountedBy::Name, hash),
                    )
                }
                Named::Account(account) => {
                    let hash = account_hash(root, &guard.model, account);
                    let key = LimitKey::of_model(&guard.model, limit, CountedBy::Account, hash);
                    (CountedBy::Account, key)
                }
                Named::Session(session) => {
                    let hash = session_hash(root, &guard.name, session);
                    (
                        CountedBy::Session,
                        LimitKey::new(&guard.name, limit, CountedBy::Session, hash),
                    )
                }
            };
            (by, key, rate)
        });
        Ok(Counted {
            limit,
            unreachable,
            id: self.random_id()?,
            keys: by_network.chain(by_name).collect(),
        })
    }

    /// Makes an attempt if the limits leave room for it, and counts it if it is refused.
    pub(super) async fn within<T>(
        &self,
        guard: &AuthGuard,
        counted: &Counted,
        attempt: impl Future<Output = Result<T, SignInError>>,
    ) -> Result<T, SignInError> {
        self.take_all(guard, counted).await?;
        let result = attempt.await;
        match &result {
            Err(error) if error.is_refusal() => self.count(guard, counted).await?,
            Ok(_) | Err(_) => self.give_back(counted, &counted.keys).await,
        }
        result
    }

    /// Takes every slot, or none.
    async fn take_all(&self, guard: &AuthGuard, counted: &Counted) -> Result<(), SignInError> {
        for (at, (by, key, rate)) in counted.keys.iter().enumerate() {
            if let Err(error) = self.take(counted, key, *rate).await {
                let taken = counted.keys.get(..at).unwrap_or_default();
                self.give_back(counted, taken).await;
                if matches!(error, SignInError::RateLimited { .. }) {
                    self.parts.meter.rate_limited(&guard.name, counted.limit.as_str());
                    tracing::debug!(target: "bekci::signin", guard = guard.name.as_str(), by = by.as_str(), "an attempt is over its limit");
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Counts a call whatever comes of it: one that sends a mail to whom it names.
    pub(super) async fn count_call(
        &self,
        guard: &AuthGuard,
        limit: Limit,
        client: Option<IpAddr>,
        named: Named<'_>,
    ) -> Result<(), SignInError> {
        let counted = self.counted(guard, limit, client, Some(named))?;
        self.take_all(guard, &counted).await?;
        self.count(guard, &counted).await
    }

    async fn take(&self, counted: &Counted, key: &LimitKey, rate: Rate) -> Result<(), SignInError> {
        let mut waiting = None;
        let mut look = FIRST_LOOK;
        for _ in 0..TRIES {
            match self.parts.limiter.take(key, rate, counted.id).await {
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
        for (by, key, rate) in &counted.keys {
            let limiter = &self.parts.limiter;
            match limiter.settle(key, *rate, counted.id, Settled::Refused).await {
                // The account's own event says it.
                Ok(true) if *by == CountedBy::Name => {}
                Ok(true) => audit::limit_reached(guard, counted.limit, *by, key),
                Ok(false) => {}
                Err(error) => answer = answer.and(counted.without(error)),
            }
        }
        answer
    }

    /// A slot that cannot be given back now is given back by itself.
    async fn give_back(&self, counted: &Counted, keys: &[(CountedBy, LimitKey, Rate)]) {
        for (_, key, rate) in keys {
            let limiter = &self.parts.limiter;
            let settled = limiter.settle(key, *rate, counted.id, Settled::GivenBack);
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
