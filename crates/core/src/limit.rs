//! Limits: how many refusals there may be in how much time, and the port that counts them.
//!
//! 1. Refusals count, successes never do. Whether an attempt is a refusal is known at its end, so it takes a slot at its beginning and settles it at its end: no
//!    more attempts are under way at once than could still be refused, however many come at the same moment.
//! 2. A slot that is never settled, since its process died or its client went away, is given back after [`SLOT_LASTS`].
//! 3. The window slides: a refusal counts for the rate's period from when it was settled. An attempt that the limit itself turns away is no refusal, so that who keeps
//!    trying does not keep a limit closed by that.
//! 4. The count is under a key that is made of keyed hashes: whoever keeps it learns neither accounts nor addresses.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use async_trait::async_trait;

use crate::{
    name::{GuardName, ModelName},
    token::TokenId,
};

/// How long a slot is kept that nobody settles.
pub const SLOT_LASTS: Duration = Duration::from_secs(60);

/// The longest number in a rate.
const MOST: u32 = 999_999;

/// So many in so much time: `10/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    period: Duration,
}

/// A text that is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is N/s, N/min, N/h or N/day with N from 1 to 999999, as 10/min")]
pub struct BadRate;

impl Rate {
    /// So many a minute; 0 counts as 1.
    #[must_use]
    pub const fn per_minute(count: u32) -> Self {
        Self {
            count: NonZeroU32::MIN.saturating_add(count.saturating_sub(1)),
            period: Duration::from_secs(60),
        }
    }

    /// So many a day; 0 counts as 1.
    #[must_use]
    pub const fn per_day(count: u32) -> Self {
        Self {
            period: Duration::from_secs(86_400),
            ..Self::per_minute(count)
        }
    }

    /// So many times as many in the same time.
    #[must_use]
    pub const fn times(self, factor: u32) -> Self {
        Self {
            count: match self.count.get().checked_mul(factor) {
                Some(count) => NonZeroU32::MIN.saturating_add(count.saturating_sub(1)),
                None => NonZeroU32::MAX,
            },
            period: self.period,
        }
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count.get()
    }

    /// In how much time.
    #[must_use]
    pub fn period(self) -> Duration {
        self.period
    }
}

impl FromStr for Rate {
    type Err = BadRate;

    /// Reads `N/s`, `N/min`, `N/h` or `N/day`; `sec` and `hour` are taken too.
    fn from_str(text: &str) -> Result<Self, BadRate> {
        let (count, unit) = text.split_once('/').ok_or(BadRate)?;
        let seconds = match unit {
            "s" | "sec" => 1,
            "min" => 60,
            "h" | "hour" => 3_600,
            "day" => 86_400,
            _ => return Err(BadRate),
        };
        let is_plain = !count.starts_with('0') && count.bytes().all(|byte| byte.is_ascii_digit());
        let count: NonZeroU32 = count.parse().ok().filter(|_| is_plain).ok_or(BadRate)?;
        (count.get() <= MOST)
            .then_some(Self {
                count,
                period: Duration::from_secs(seconds),
            })
            .ok_or(BadRate)
    }
}

/// The limits of a guard's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardLimits {
    /// Refused sign-ins, for each account and for each address.
    pub sign_in: Rate,
    /// Refused refreshes, for each session and for each address.
    pub refresh: Rate,
    /// Calls that send a link or a code, for each account and for each address.
    pub otp_start: Rate,
    /// Calls that make an account, for each name and for each address.
    pub register: Rate,
    /// Wrong one-time codes, for each account. New codes do not reset it.
    pub otp: Rate,
}

impl Default for GuardLimits {
    /// `10/min`, `30/min`, `5/min`, `5/min` and `30/day`.
    fn default() -> Self {
        Self {
            sign_in: Rate::per_minute(10),
            refresh: Rate::per_minute(30),
            otp_start: Rate::per_minute(5),
            register: Rate::per_minute(5),
            otp: Rate::per_day(30),
        }
    }
}

/// Which of a guard's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Limit {
    /// Refused sign-ins.
    SignIn,
    /// Refused refreshes.
    Refresh,
    /// Calls that send a link or a code.
    OtpStart,
    /// Calls that make an account.
    Register,
    /// Wrong one-time codes.
    Otp,
}

impl Limit {
    /// The name in the configuration, in metrics and in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Refresh => "refresh",
            Self::OtpStart => "otp_start",
            Self::Register => "register",
            Self::Otp => "otp",
        }
    }
}

/// By what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CountedBy {
    /// By the account, whichever of its identifiers was entered; by what was entered, if there is no such account.
    Account,
    /// By what was entered to name an account.
    Name,
    /// By the session that a good refresh token names.
    Session,
    /// By the address that the client is believed to have: an IPv6 address by its first 64, 56 and 48 bits.
    Address,
}

impl CountedBy {
    /// The name in keys and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Name => "name",
            Self::Session => "session",
            Self::Address => "address",
        }
    }
}

/// What one count is kept under.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LimitKey(Box<str>);

impl LimitKey {
    /// The key of a guard's limit for what this keyed hash stands for.
    #[must_use]
    pub fn new(guard: &GuardName, limit: Limit, by: CountedBy, hash: TokenId) -> Self {
        Self(format!("{guard}:{}:{}:{hash}", limit.as_str(), by.as_str()).into())
    }

    /// The key of a limit that all guards of a model share.
    #[must_use]
    pub fn of_model(model: &ModelName, limit: Limit, by: CountedBy, hash: TokenId) -> Self {
        Self(format!("model.{model}:{}:{}:{hash}", limit.as_str(), by.as_str()).into())
    }

    /// `<guard>:<limit>:<by>:<hash>`, or `model.<model>` in place of the guard.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LimitKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What asking for a slot came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// It is there, under the id that was given.
    Taken,
    /// The attempts under way take what is left. Whether there is room is known when they are settled.
    Awaited,
    /// As many were refused as may be.
    Full {
        /// After how long there is room again.
        retry_after: Duration,
    },
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was refused, and counts.
    Refused,
    /// It succeeded, or could not be judged: nothing counts.
    GivenBack,
}

/// The count cannot be asked or changed now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limits cannot be asked: {0}")]
pub struct LimiterUnavailable(pub String);

/// Counts refusals. In one process, or shared by all nodes.
#[async_trait]
pub trait RateLimiter: Send + Sync + fmt::Debug {
    /// Takes a slot under `id` where there is room. One atomic step.
    ///
    /// # Errors
    /// [`LimiterUnavailable`] where it cannot be told; a slot may have been taken.
    async fn take(&self, key: &LimitKey, rate: Rate, id: TokenId) -> Result<Slot, LimiterUnavailable>;

    /// Settles the slot `id`; gives whether the limit is full now by refusals. A refusal counts also where the slot is gone. One atomic step.
    ///
    /// # Errors
    /// [`LimiterUnavailable`] where it is not known whether it was settled; a slot that was not is given back after [`SLOT_LASTS`].
    async fn settle(
        &self,
        key: &LimitKey,
        rate: Rate,
        id: TokenId,
        settled: Settled,
    ) -> Result<bool, LimiterUnavailable>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_unit() {
        let rate = |text: &str| text.parse::<Rate>().map(|rate| (rate.count(), rate.period().as_secs()));
        assert_eq!(rate("10/min"), Ok((10, 60)));
        assert_eq!(rate("1/s"), Ok((1, 1)));
        assert_eq!(rate("1/sec"), Ok((1, 1)));
        assert_eq!(rate("5/h"), Ok((5, 3_600)));
        assert_eq!(rate("5/hour"), Ok((5, 3_600)));
        assert_eq!(rate("999999/day"), Ok((999_999, 86_400)));
        for bad in [
            "",
            "10",
            "/min",
            "0/min",
            "01/min",
            "+1/min",
            "-1/min",
            "1.5/min",
            "10/minute",
            "10 / min",
            "1/min/min",
            "1000000/s",
            "99999999999/s",
            "10/",
            "10/MIN",
            "١/min",
        ] {
            assert_eq!(rate(bad), Err(BadRate), "{bad}");
        }
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let limits = GuardLimits::default();
        assert_eq!(Ok(limits.sign_in), "10/min".parse());
        assert_eq!(Ok(limits.refresh), "30/min".parse());
        assert_eq!(Rate::per_minute(0).count(), 1);
    }
}
