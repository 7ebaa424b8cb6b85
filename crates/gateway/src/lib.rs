//! The inside of the `bekci` binary, as a library so that its parts can be tested. No public API: it changes with the binary.

mod assemble;
mod commands;
mod config;
mod decision;
mod demo;
pub mod echo;
mod gatekeeper;
mod generation;
mod http1;
pub mod in_process;
mod internal_token;
mod log;
mod lookout;
pub mod ops;
pub mod proxy;
mod readiness;
pub mod routes;
mod schema_watch;
mod seed;
mod serve;
mod sign_in;
mod tenancy;
mod timer;
mod tls;
mod users;

pub use commands::run;
