//! No limiter that nodes share, since Redis is not built in: the type has no values.

use std::time::Duration;

use async_trait::async_trait;
use bekci_core::{LimitKey, LimiterUnavailable, Rate, RateLimiter, Settled, Slot, TokenId};

use crate::{RedisSettings, SharedCacheError, redis_check::RedisProblem};

/// A limiter in Redis. There is none without the feature `redis`.
#[derive(Debug)]
pub enum RedisLimiter {}

impl RedisLimiter {
    /// No limiter.
    ///
    /// # Errors
    /// [`SharedCacheError::Feature`], always.
    pub fn new(_: &RedisSettings, _: Duration) -> Result<Self, SharedCacheError> {
        Err(SharedCacheError::Feature)
    }

    pub(crate) async fn try_out(&self) -> Result<(), RedisProblem> {
        match *self {}
    }
}

#[async_trait]
impl RateLimiter for RedisLimiter {
    async fn take(&self, _: &LimitKey, _: Rate, _: TokenId) -> Result<Slot, LimiterUnavailable> {
        match *self {}
    }

    async fn settle(&self, _: &LimitKey, _: Rate, _: TokenId, _: Settled) -> Result<bool, LimiterUnavailable> {
        match *self {}
    }
}
