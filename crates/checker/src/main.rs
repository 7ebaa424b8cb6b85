//! Runs several gateways on one database under faults, and checks each decision against the history of what it is about.
//!
//! `cargo run --release -p bekci-checker -- --seconds 60`: docs/coherence.md says what it shows, [`history`] what is checked, [`faults`] what goes wrong meanwhile.
//!
//! 1. It exits with 1 where one decision was stale, or showed a state that never was.
//! 2. A seed gives the same operations and the same faults in the same order; which of them meet is up to the machine.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a run that cannot be set up has nothing to check"
)]

mod clock;
mod cluster;
mod disk;
mod faults;
mod history;
mod http;
mod measure;
mod options;
mod picture;
mod proxy;
mod readers;
mod report;
mod setup;
mod shell;
mod subjects;
mod tally;
mod weak;
mod world;
mod writers;

use std::{io::Write as _, process::ExitCode, sync::Arc, thread::JoinHandle};

use clap::Parser as _;

use crate::{
    clock::{Moment, SECOND, now, pause},
    faults::Kind,
    options::{FaultPlan, Options},
    world::World,
};

/// Commands of the gateway, which this program is where its first argument is one of them.
const GATEWAY: [&str; 11] = [
    "serve",
    "migrate",
    "key",
    "principal",
    "role",
    "grant",
    "revoke",
    "deny",
    "policy",
    "session",
    "cache",
];

fn main() -> ExitCode {
    let first = std::env::args().nth(1).unwrap_or_default();
    if GATEWAY.contains(&first.as_str()) {
        return bekci_gateway::run();
    }
    let options = Options::parse();
    match options.plan() {
        Ok(plan) if options.disk.is_none() && plan.has(Kind::needs_disk) => {
            disk::run_on_own_disk().unwrap_or_else(|| check(options, &plan))
        }
        Ok(plan) => check(options, &plan),
        Err(why) => {
            say(&why);
            ExitCode::from(2)
        }
    }
}

fn say(text: &str) {
    let _written = writeln!(std::io::stderr().lock(), "{text}");
}

fn check(options: Options, plan: &FaultPlan) -> ExitCode {
    let _start = now();
    say("starting database, gateways and principals …");
    let world = Arc::new(setup::world(options));
    if world.cluster.disk.is_none() && plan.has(Kind::needs_disk) {
        world
            .tally
            .note("disk-full is left out: this user may not mount a file system");
    }
    if plan.has(|kind| kind == Kind::SetBack) {
        world.cluster.database.copy();
        world.mark_copied();
    }
    weak::make(&world);
    let idle = measure::idle(&world);
    let schedule = faults::schedule(
        plan,
        world.options.seed,
        world.options.seconds,
        world.cluster.nodes.len(),
    );
    let length = match plan {
        FaultPlan::Availability => schedule.last().map_or(0, |last| last.at + last.lasts + 12_000),
        FaultPlan::None | FaultPlan::Chance(_) => world.options.seconds * 1_000,
    };
    say(&format!("{} faults in {} s …", schedule.len(), length / 1_000));
    let began = now();
    let threads: Vec<_> = [readers::start(&world), writers::start(&world)]
        .into_iter()
        .flatten()
        .collect();
    let faults = {
        let world = Arc::clone(&world);
        std::thread::spawn(move || faults::run(&world, &schedule, began))
    };
    world.rest(length);
    world.stop();
    let ended = now();
    finish(&world, threads.into_iter().chain([faults]).collect());
    let report = report::Report::of(&world, plan, (began, ended), idle);
    report.publish(&world)
}

/// How long readers, writers and faults may take to come to their ends.
const LAST_CALLS: Moment = 45 * SECOND;

/// Waits for the threads. One that does not end is left behind and ends with the process.
fn finish(world: &World, threads: Vec<JoinHandle<()>>) {
    let until = now() + LAST_CALLS;
    for thread in threads {
        while !thread.is_finished() && now() < until {
            pause(20);
        }
        if !thread.is_finished() {
            world.tally.note("a reader, a writer or a fault did not end in time");
        } else if thread.join().is_err() {
            world.tally.note("a reader, a writer or a fault ended with a panic");
        }
    }
}
