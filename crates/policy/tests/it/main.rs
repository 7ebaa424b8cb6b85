//! Behaviour of the policy crate, through its public face.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may fail the test where something is not as it must be"
)]

mod against_casbin;
mod generic_models;
mod inputs;
mod loading;
mod requests;
mod shipped;
mod support;
