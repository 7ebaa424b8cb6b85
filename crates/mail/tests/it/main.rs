//! The mailer against a real SMTP server.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that cannot go on shows where, and its helpers are for this binary alone"
)]

mod sending;
mod servers;
mod world;
