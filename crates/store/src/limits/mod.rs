//! Where refusals are counted: in this process, or in Redis for all nodes together. See [`bekci_core::RateLimiter`].

mod memory;
#[cfg(not(feature = "redis"))]
mod off;
#[cfg(feature = "redis")]
mod redis;

use std::sync::Arc;

pub use self::memory::MemoryLimiter;
#[cfg(not(feature = "redis"))]
pub use self::off::RedisLimiter;
#[cfg(feature = "redis")]
pub use self::redis::RedisLimiter;
use crate::{CacheSettings, RedisSettings, SharedCacheError};

/// A sign-in may wait longer for Redis than an identity does: an identity can come from the database instead.
const PATIENCE: u32 = 10;

/// The limiter that counts in Redis, where there is one, so that nodes share the counts.
pub(crate) fn in_redis(
    redis: Option<&RedisSettings>,
    cache: &CacheSettings,
) -> Result<Option<Arc<RedisLimiter>>, SharedCacheError> {
    let limiter = redis.map(|redis| RedisLimiter::new(redis, cache.shared_answer * PATIENCE));
    Ok(limiter.transpose()?.map(Arc::new))
}
