//! Counts in Redis, which all nodes share.
//!
//! One sorted set for each key; a member for each refusal and each open slot. Its score says when it ceases to count, in milliseconds of Redis's own clock, so that nodes
//! whose clocks differ count alike; open slots stand [`OPEN`] above, so that the two are counted apart without being read. Each step is one script, which nothing comes
//! between. The set lives no longer than what is in it.
//!
//! A Redis that does not answer is an error, never "there is room": what cannot be counted is not tried.

use std::{sync::LazyLock, time::Duration};

use async_trait::async_trait;
use bekci_core::{LimitKey, LimiterUnavailable, Rate, RateLimiter, SLOT_LASTS, Settled, Slot, TokenId};
use redis::Script;

use crate::{
    redis_check::RedisProblem,
    redis_link::RedisLink,
    shared::{RedisSettings, SharedCacheError, check_prefix},
};

/// What the scores of open slots are raised by: beyond any time that comes, and exact as a double.
const OPEN: u64 = 1_000_000_000_000_000;

/// The key that is tried out, and its only id. No guard's name begins so.
const PROBE: &str = "@probe";

/// Forgets what is over, counts what is left, and keeps the key for as long as its last member. What both scripts begin with.
const BEGIN: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local open = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[1], open, open + now)
local function keep(milliseconds)
  if redis.call('PTTL', KEYS[1]) < milliseconds then redis.call('PEXPIRE', KEYS[1], milliseconds) end
end
";

/// ARGV: open, most, id, how long a slot lasts. Gives 0: taken, 1: awaited, 2: full, with the milliseconds until there is room.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&format!(
        "{BEGIN}
local most = tonumber(ARGV[2])
if redis.call('ZSCORE', KEYS[1], 'o' .. ARGV[3]) then return {{0, 0}} end
if redis.call('ZCARD', KEYS[1]) < most then
  redis.call('ZADD', KEYS[1], open + now + ARGV[4], 'o' .. ARGV[3])
  keep(tonumber(ARGV[4]))
  return {{0, 0}}
end
if redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. open) < most then return {{1, 0}} end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {{2, math.max(1, first[2] - now)}}"
    ))
});

/// ARGV: open, most, id, period, whether it was refused. Gives whether the limit is full by refusals.
static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&format!(
        "{BEGIN}
redis.call('ZREM', KEYS[1], 'o' .. ARGV[3])
if ARGV[5] == '1' then
  redis.call('ZADD', KEYS[1], now + ARGV[4], 'r' .. ARGV[3])
  keep(tonumber(ARGV[4]))
end
if redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. open) < tonumber(ARGV[2]) then return 0 end
return 1"
    ))
});

/// Counts refusals in Redis, under `<prefix>@limit:<guard>:<limit>:<by>:<hash>`. No model's name begins with `@`, so that it is no identity's key.
pub struct RedisLimiter {
    link: RedisLink,
    prefix: String,
    answer_within: Duration,
}

impl std::fmt::Debug for RedisLimiter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RedisLimiter")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl RedisLimiter {
    /// A limiter in this Redis, which may take so long to answer. It is connected to when it is first needed.
    ///
    /// # Errors
    /// [`SharedCacheError`] where the settings cannot be used.
    pub fn new(settings: &RedisSettings, answer_within: Duration) -> Result<Self, SharedCacheError> {
        check_prefix(&settings.prefix)?;
        Ok(Self {
            link: RedisLink::new(settings, answer_within, answer_within)?,
            prefix: settings.prefix.clone(),
            answer_within,
        })
    }

    async fn run<T: redis::FromRedisValue>(
        &self,
        script: &Script,
        key: &LimitKey,
        arguments: &[&str],
    ) -> Result<T, LimiterUnavailable> {
        let answer = self.call(script, key.as_str(), arguments).await;
        answer.map_err(|problem| LimiterUnavailable(problem.to_string()))
    }

    /// Runs a script. Each of them may run twice with the same id.
    async fn call<T: redis::FromRedisValue>(
        &self,
        script: &Script,
        key: &str,
        arguments: &[&str],
    ) -> Result<T, RedisProblem> {
        let name = format!("{}@limit:{key}", self.prefix);
        let name = name.as_str();
        let asked = self.link.run(move |mut connection| async move {
            let mut call = script.prepare_invoke();
            call.key(name).arg(OPEN);
            for argument in arguments {
                call.arg(*argument);
            }
            call.invoke_async(&mut connection).await
        });
        // Twice: a connection that was dropped in silence is found by its silence.
        match tokio::time::timeout(self.answer_within * 2, asked).await {
            Ok(answer) => answer.map_err(|error| {
                let commands = format!(
                    "EVALSHA, SCRIPT LOAD, TIME, ZADD, ZCARD, ZCOUNT, ZRANGE, ZREM, ZSCORE, ZREMRANGEBYSCORE, PTTL or PEXPIRE of keys {}@limit:*",
                    self.prefix
                );
                RedisProblem::of(commands, &error)
            }),
            Err(_) => Err(RedisProblem::late()),
        }
    }

    /// Takes a slot of a key that no attempt has, and gives it back.
    ///
    /// # Errors
    /// Why attempts cannot be counted.
    pub(crate) async fn try_out(&self) -> Result<(), RedisProblem> {
        let lasts = SLOT_LASTS.as_millis().to_string();
        let _taken: (u8, u64) = self.call(&TAKE, PROBE, &["100", PROBE, &lasts]).await?;
        // A refusal is what writes the rest; it ends at once.
        let _full: u8 = self.call(&SETTLE, PROBE, &["100", PROBE, "1", "1"]).await?;
        Ok(())
    }
}

#[async_trait]
impl RateLimiter for RedisLimiter {
    async fn take(&self, key: &LimitKey, rate: Rate, id: TokenId) -> Result<Slot, LimiterUnavailable> {
        let arguments = [
            rate.count().to_string(),
            id.to_string(),
            SLOT_LASTS.as_millis().to_string(),
        ];
        let (answer, milliseconds): (u8, u64) = self.run(&TAKE, key, &arguments.each_ref().map(String::as_str)).await?;
        match answer {
            0 => Ok(Slot::Taken),
            1 => Ok(Slot::Awaited),
            2 => Ok(Slot::Full {
                retry_after: Duration::from_millis(milliseconds),
            }),
            other => Err(LimiterUnavailable(format!("the script answered {other}"))),
        }
    }

    async fn settle(
        &self,
        key: &LimitKey,
        rate: Rate,
        id: TokenId,
        settled: Settled,
    ) -> Result<bool, LimiterUnavailable> {
        let refused = if settled == Settled::Refused { "1" } else { "0" };
        let arguments = [
            rate.count().to_string(),
            id.to_string(),
            rate.period().as_millis().to_string(),
            refused.to_owned(),
        ];
        let full: u8 = self
            .run(&SETTLE, key, &arguments.each_ref().map(String::as_str))
            .await?;
        Ok(full == 1)
    }
}
