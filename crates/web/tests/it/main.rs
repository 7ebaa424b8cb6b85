//! What the public face does, seen from outside.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that cannot go on shows where, and its helpers are for this binary alone"
)]

mod asking;
mod calls;
mod guarding;
mod town;
