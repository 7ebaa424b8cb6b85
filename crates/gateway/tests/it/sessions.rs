//! Sessions on two nodes, on every store.

mod bans;
mod clients;
mod cookies;
mod leaving;
mod refreshing;
mod remembering;
mod security;
