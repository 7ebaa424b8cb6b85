//! Where refusals are counted: in this process, or in Redis for all nodes together. See [`bekci_core::RateLimiter`].

mod memory;
mod redis;

use std::sync::Arc;

use bekci_core::{Clock, RateLimiter};

pub use self::memory::MemoryLimiter;
pub use self::redis::RedisLimiter;
use crate::{CacheSettings, RedisSettings, SharedCacheError};

/// A sign-in may wait longer for Redis than an identity does: an identity can come from the database instead.
const PATIENCE: u32 = 10;

/// The limiter of these settings: in Redis where there is one, so that nodes share the counts.
pub(crate) fn limiter(
    redis: Option<&RedisSettings>,
    cache: &CacheSettings,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn RateLimiter>, SharedCacheError> {
    Ok(match redis {
        Some(redis) => Arc::new(RedisLimiter::new(redis, cache.shared_answer * PATIENCE)?),
        None => Arc::new(MemoryLimiter::new(Arc::clone(clock))),
    })
}
