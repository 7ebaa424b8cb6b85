//! Redis as the shared place for identities: readable JSON under a MAC.
//!
//! An entry is used only when its label equals the version rows in the database, so losing, keeping or reviving any entry costs time, never safety. The MAC keeps out who
//! can write to Redis and not to the database: an entry that it does not fit is no entry. Redis is not in the path of a write, and a Redis that does not answer is left alone
//! for a second.
//!
//! A label is (version, version of `@all`, epoch of the database). The epoch is random: a database that was restored gives versions out again, and never an epoch.
//!
//! The value under `<prefix><model>:<id>` is `{"mac":"…","entry":{…}}`; the MAC (HMAC-SHA-256, base64url) is over the prefix, a zero byte, and the very bytes of
//! the entry, which names its key, so that an entry copied to another key, or to an installation with another prefix, does not fit there.

#[cfg(not(feature = "redis"))]
mod off;
#[cfg(feature = "redis")]
mod redis_cache;

use std::{path::PathBuf, sync::Arc};

use bekci_core::{Identity, IdentityVersion};
use secrecy::SecretString;

#[cfg(not(feature = "redis"))]
pub(crate) use off::{ScanPlace, SharedCache};
#[cfg(feature = "redis")]
pub(crate) use redis_cache::{SharedCache, check_prefix};

#[cfg(feature = "redis")]
pub(crate) use crate::redis_link::ScanPlace;

/// Where Redis is.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `redis://…`, or `rediss://…` for TLS; `redis-cluster://[user:password@]host:port,host:port` for a cluster;
    /// `redis-sentinel://[user:password@]host:port,host:port/service/number` for the master that sentinels name. The last two take
    /// `?tls=true`.
    pub url: SecretString,
    /// The authorities that are believed where it is reached by TLS, a PEM file; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// What stands before each key.
    pub prefix: String,
}

/// A shared cache that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SharedCacheError {
    /// The URL cannot be read.
    #[error("the Redis URL cannot be used: {0}")]
    Url(String),
    /// The file of the authorities cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Authorities {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Redis is not built in.
    #[error("Redis needs the cargo feature `redis` of bekci, which is off")]
    Feature,
    /// The prefix has a byte that it may not have.
    #[error("the Redis prefix may not have braces, spaces or control characters")]
    Prefix,
}

/// An identity with the label that it was stored under.
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    pub(crate) identity: Arc<Identity>,
    pub(crate) label: Label,
}

/// Which state of an identity an entry holds. The versions count up within an epoch of the database; after a restore they are given out again, in another epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) version: IdentityVersion,
    /// The version of everything.
    pub(crate) epoch: u64,
    /// The epoch of the database.
    pub(crate) database: i64,
}
