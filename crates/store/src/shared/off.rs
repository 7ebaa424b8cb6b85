//! No shared cache, since Redis is not built in: the type has no values.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bekci_core::{Clock, Identity, PrincipalKey};
use secrecy::SecretBox;

use super::{Label, Labelled, RedisSettings, SharedCacheError};
use crate::{compared::CachedEntry, node::Hint, redis_check::RedisProblem};

/// A cache in Redis.
#[derive(Debug)]
pub(crate) enum SharedCache {}

/// Where a listing of its entries goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ScanPlace {}

/// What other nodes say.
pub(crate) enum Heard {}

impl Heard {
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        match *self {}
    }
}

impl SharedCache {
    pub(crate) fn new(
        _: &RedisSettings,
        _: (Duration, Duration),
        _: SecretBox<[u8; 32]>,
        _: Arc<dyn Clock>,
    ) -> Result<Self, SharedCacheError> {
        Err(SharedCacheError::Feature)
    }

    pub(crate) async fn try_out(&self) -> Result<(), RedisProblem> {
        match *self {}
    }

    pub(crate) async fn try_hints(&self) -> Result<(), RedisProblem> {
        match *self {}
    }

    pub(crate) async fn peek(&self, _: &PrincipalKey) -> Result<Option<CachedEntry>, String> {
        match *self {}
    }

    pub(crate) async fn names(&self, _: ScanPlace, _: usize) -> Result<(Option<ScanPlace>, Vec<PrincipalKey>), String> {
        match *self {}
    }

    pub(crate) async fn get(&self, _: &PrincipalKey) -> Option<Labelled> {
        match *self {}
    }

    pub(crate) async fn set(&self, _: &Identity, _: Label) {
        match *self {}
    }

    pub(crate) async fn forget(&self, _: &PrincipalKey) {
        match *self {}
    }

    pub(crate) fn hint(&self, _: Hint) {
        match *self {}
    }

    pub(crate) async fn listen(&self) -> Result<Heard, Infallible> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{limits::RedisLimiter, shared::RedisSettings};

    #[test]
    fn redis_that_is_not_built_in_names_its_feature() {
        let settings = RedisSettings {
            url: "redis://127.0.0.1".into(),
            ca_file: None,
            prefix: "bekci:".to_owned(),
        };
        let refused = RedisLimiter::new(&settings, Duration::from_secs(1)).unwrap_err();
        let needs = "Redis needs the cargo feature `redis` of bekci, which is off";
        assert_eq!(refused.to_string(), needs);
    }
}
