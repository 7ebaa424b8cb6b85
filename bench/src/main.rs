//! What Bekci costs, beside its peers, in one run: `cargo run --release -p bekci-bench`.
//!
//! Four tables. Inside one process, in nanoseconds: `Gate::admit` and policy decisions, the latter beside casbin's own evaluator. From outside, in processor time for each
//! request under `wrk`: an Actix application, the gateway, the decision endpoint, nginx, HAProxy and Caddy. At rest: memory, and the time from start to ready.
//! Under attack: what others notice of a storm of bad tokens, and whether the time of a refusal tells how much of a signature is right.
//!
//! Each figure is the median of seven repetitions, taken in turn so that a machine whose speed drifts drifts for all. Nothing here is a test: a number is compared
//! with the others of the same run. `--write` puts the tables into docs/performance.md.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement that cannot be set up has nothing to measure"
)]

mod application;
mod attack;
mod counts;
mod gateway;
mod house;
mod inside;
mod load;
mod machine;
mod options;
mod outside;
mod peers;
mod rest;
mod scale;
mod table;

use std::{io::Write, process::ExitCode};

use crate::options::{Options, Role};

fn main() -> ExitCode {
    match Options::of_this_process() {
        Role::Application { port, plain: true } => application::run_plain(port),
        Role::Application { port, plain: false } => application::run_guarded(port),
        Role::Count(scene, requests) => counts::ask(&scene, requests),
        Role::Gateway => return bekci_gateway::run(),
        Role::Measure(options) => measure(&options),
    }
    ExitCode::SUCCESS
}

fn measure(options: &Options) {
    let say = |text: &str| {
        let _written = writeln!(std::io::stderr().lock(), "{text}");
    };
    let mut parts = vec![machine::describe(options)];
    if options.wants("inside") {
        say("inside one process …");
        parts.push(inside::measure(options));
    }
    if options.wants("outside") {
        say("from outside …");
        parts.push(outside::measure(options));
    }
    if options.wants("rest") {
        say("at rest …");
        parts.push(rest::measure(options));
    }
    if options.wants("attack") {
        say("under attack …");
        parts.push(attack::measure(options));
    }
    if options.names("scale") {
        say("how it grows …");
        parts.push(scale::measure(options.largest));
    }
    let text = parts.join("\n");
    let _written = write!(std::io::stdout().lock(), "{text}");
    if options.write {
        table::write_into_the_document(&text);
        say("written into docs/performance.md");
    }
}
