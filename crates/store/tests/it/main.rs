//! The write path, the read path and sessions, on every database, with the shared cache and without it.
//!
//! A suite is a list of functions that take a [`scene::Scene`]; another database is one line in [`scene::on_every_store`].
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test has nothing better to do with an error"
)]

mod authority;
mod barriers;
mod codes;
mod directory;
mod drift;
mod full_database;
mod half_open;
mod identifiers;
mod interleavings;
mod interleavings_nodes;
mod interleavings_places;
mod interleavings_states;
mod limits;
mod links;
mod mails;
mod mariadb;
mod own_tables;
mod policies;
mod policy_names;
mod poolers;
mod providers;
mod redis_kinds;
mod rights;
mod scene;
mod sessions;
mod shared_cache;
mod weak_variants;
mod writing;
