//! What the ring accepts and refuses, and what becomes of keys: with real key files, and a clock that stands still.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a panic is the failure"
)]

mod cache;
mod claims;
mod forge;
mod header;
mod id_token;
mod inputs;
mod inspect;
mod issue;
mod kinds;
mod root;
mod rotation;
mod settings;
mod signature;
mod store;
mod times;
