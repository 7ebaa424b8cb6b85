//! The `bekci` binary as a process, asked over sockets: its commands, the demo, the gate, sessions on two nodes, the proxy, operations.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "a test that cannot go on shows where, and its helpers are for this binary alone"
)]

mod account_commands;
mod accounts;
mod aliases;
mod attacks;
mod browsers;
mod casbin;
mod commands;
mod demo;
mod direct;
mod doctoring;
mod echo;
mod examples;
mod explaining;
mod faults;
mod forge;
mod fronts;
mod gate;
mod house;
mod http;
mod identities;
mod identity_provider;
mod image;
mod importing;
mod internal;
mod limits;
mod managing;
mod measuring;
mod office;
mod operating;
mod operating_commands;
mod origins;
mod pages;
mod people;
mod proxying;
mod redis;
mod refusing;
mod reloading;
mod rotating;
mod sessions;
mod shared;
mod shell;
mod sockets;
mod telling;
mod tenants;
mod text_keys;
mod tls;
mod users_file;
mod wording;
