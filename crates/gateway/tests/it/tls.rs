//! TLS: at the listener, to upstreams, to Redis and to PostgreSQL.

pub mod authority;
pub mod listener;
mod stores;
mod upstreams;
