//! TLS: at the listener, to upstreams, to Redis and to PostgreSQL.

mod authority;
pub mod listener;
mod stores;
mod upstreams;
