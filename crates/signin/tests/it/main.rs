//! Signing in and out over a small model of the store, with a clock that stands still.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod audit;
mod inputs;
mod leave;
mod limits;
mod model;
mod password;
mod refresh;
mod secrets;
mod series;
mod verification;
mod world;
