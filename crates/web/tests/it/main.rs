//! What the public face does, seen from outside.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "a test that cannot go on shows where, and its helpers are for this binary alone"
)]

mod admin;
mod admin_accounts;
mod admin_giving;
mod admin_policies;
mod admin_rights;
mod admin_sessions;
mod admin_shadows;
mod admin_status;
mod aliases;
mod asking;
mod building;
mod calls;
mod clock;
mod documents;
mod guarding;
mod hidden;
mod house;
mod httpauth;
mod in_code;
mod isolation;
mod limits;
mod mails;
mod making;
mod models;
mod openapi;
mod planted;
mod policy_reloads;
mod providers;
mod remembered;
mod signing;
mod staying;
mod tenants;
mod test_app;
mod town;
mod verifying;
mod wording;
mod workers;
