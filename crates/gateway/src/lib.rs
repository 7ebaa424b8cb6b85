//! The inside of the `bekci` binary, as a library so that its parts can be tested. No public API: it changes with the binary.

pub mod echo;
pub mod ops;
pub mod proxy;
pub mod routes;
