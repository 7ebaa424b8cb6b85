//! One schedule: processes start, callers change rights, requests decide, things break. At its end all is mended, and the nodes must be as good as new.

use std::{sync::Arc, time::Duration};

use bekci_core::{Consistency, IdentitySource, IdentityVersion, Need, ViewSource};
use tokio::sync::oneshot;

use super::{
    database::{Database, IDENTITIES, Lock, POLICIES},
    executor::{Dice, Ended, Executor, Sleep},
    process::data_of,
    weak::Weak,
    world::{Counts, EVERY_KEY, Fault, Link, Names, OUTSIDE, Process, Redis, Violation, World},
};
use crate::commit::{Barrier, commit};

/// No schedule needs more: one that takes them has lost its way.
const MOST_STEPS: u64 = 400_000;
const TRIES_IN_MEMORY: u32 = 8;

/// What a schedule came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) violation: Option<Violation>,
    pub(super) trace: u64,
    pub(super) ended: Ended,
    pub(super) counts: Counts,
    pub(super) lines: Vec<String>,
}

/// Which kinds of trouble a schedule has. Few at a time reach further than all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Links,
    HalfOpenLinks,
    Kills,
    Restarts,
    Pauses,
    DatabaseClock,
    SetBacks,
    ReadOnly,
    Redis,
    Prunes,
    RawWriters,
}

const TROUBLES: [Trouble; 11] = [
    Trouble::Links,
    Trouble::HalfOpenLinks,
    Trouble::Kills,
    Trouble::Restarts,
    Trouble::Pauses,
    Trouble::DatabaseClock,
    Trouble::SetBacks,
    Trouble::ReadOnly,
    Trouble::Redis,
    Trouble::Prunes,
    Trouble::RawWriters,
];

const BASE: Duration = Duration::from_millis(1_000);

/// Runs the schedule of a seed.
pub(super) fn run(seed: u64, names: &Arc<Names>, weak: Weak, verbose: bool) -> Outcome {
    let executor = Arc::new(Executor::new(seed));
    let single_writer = executor.dice.lock().chance(20);
    let world = World::new(
        Arc::clone(&executor),
        Database::new(single_writer),
        Arc::clone(names),
        (weak, verbose),
    );
    let director = Arc::clone(&world);
    executor.spawn(OUTSIDE, Box::pin(async move { direct(&director).await }));
    let ended = executor.run(MOST_STEPS);
    let mut state = world.state.lock();
    let outcome = Outcome {
        violation: state.violation.take(),
        trace: executor.trace(),
        ended,
        counts: state.counts,
        lines: std::mem::take(&mut state.lines),
    };
    // The processes hold the world, and the world holds them.
    let processes = std::mem::take(&mut state.processes);
    drop(state);
    drop(processes);
    outcome
}

async fn direct(world: &Arc<World>) {
    let (nodes, troubles, slow, redis) = world.dice(|dice| {
        let mut troubles: Vec<Trouble> = Vec::new();
        for _ in 0..dice.below(4) {
            troubles.push(TROUBLES[dice.pick(TROUBLES.len())]);
        }
        (3 + dice.pick(3), troubles, dice.chance(30), dice.chance(60))
    });
    {
        let mut state = world.state.lock();
        state.slow_links = slow;
        state.redis = if redis { Redis::Up } else { Redis::None };
    }
    world.note(|| format!("{nodes} nodes, {troubles:?}, slow links: {slow}, Redis: {redis}"));
    for _ in 0..nodes {
        start(world);
        world.sleep_below(BASE / 8).await;
    }
    let events = world.dice(|dice| 4 + dice.below(9));
    for _ in 0..events {
        world.sleep_below(BASE / 2).await;
        let troubled = !troubles.is_empty() && world.dice(|dice| dice.chance(45));
        if troubled {
            let trouble = troubles[world.dice(|dice| dice.pick(troubles.len()))];
            cause(world, trouble);
        } else {
            calls(world);
        }
    }
    settle(world, nodes, &troubles).await;
    world.executor.finish();
}

fn start(world: &Arc<World>) -> Process {
    let (delta, poll) = world.dice(|dice| {
        let delta = BASE / [1, 1, 2][dice.pick(3)];
        (delta, delta / [5, 8][dice.pick(2)])
    });
    let process = world.start(delta, poll);
    let (node, stop) = (process.node.clone(), process.stop.subscribe());
    world
        .executor
        .spawn(process.owner, Box::pin(async move { node.run_loop(stop).await }));
    let (reading, reader) = (Arc::clone(world), process.clone());
    world.executor.spawn(
        process.owner,
        Box::pin(async move {
            loop {
                reading.sleep_below(BASE / 2).await;
                read(&reading, &reader).await;
            }
        }),
    );
    process
}

/// One request at a process, as the gate makes it.
async fn read(world: &Arc<World>, process: &Process) {
    let (principal, tenant, policy, direct) = world.dice(|dice| {
        let principal = dice.pick(IDENTITIES);
        (principal, dice.chance(40), dice.chance(40), dice.chance(15))
    });
    let names = &world.names;
    let began = world.begin_read(process.delta);
    let node = &process.node;
    let ticket = node.ticket();
    let consistency = if direct { Consistency::Direct } else { Consistency::L1 };
    let need = Need {
        key: &names.principals[principal],
        guard: &names.guard.name,
        tenant: tenant.then_some(&names.tenant),
        at_least: IdentityVersion(0),
        policy,
        consistency,
    };
    let mut tries = 0;
    let view = loop {
        let memory = (!direct && tries < TRIES_IN_MEMORY).then(|| node.warm(&need)).flatten();
        let view = match memory {
            Some(view) => view,
            None => match node.read(&need, ticket).await {
                Ok(view) => view,
                Err(_) => {
                    world.state.lock().counts.unavailable += 1;
                    return;
                }
            },
        };
        if view.source == ViewSource::L1 {
            // Between the look and the decision a thread may be preempted.
            world.preempt().await;
            if !node.unmoved(&view.stamp) {
                tries += 1;
                continue;
            }
        }
        break view;
    };
    {
        let mut state = world.state.lock();
        state.counts.decisions += 1;
        state.counts.from_memory += u64::from(view.source == ViewSource::L1);
    }
    world.check(process, &began, principal, &view);
}

/// What a caller wants to be so.
#[derive(Clone, Debug)]
struct Wish {
    data: Vec<(usize, u8)>,
    all: bool,
    barrier: Barrier,
    rolls_back: bool,
}

fn wish(dice: &mut Dice) -> Wish {
    let target = u8::from(dice.chance(40));
    let all = dice.chance(6);
    let mut data: Vec<(usize, u8)> = if all {
        data_of(EVERY_KEY).map(|datum| (datum, target)).collect()
    } else {
        let some = 1 + dice.pick(2);
        (0..some).map(|_| (dice.pick(POLICIES + 1), target)).collect()
    };
    data.sort_unstable();
    data.dedup();
    Wish {
        data,
        all,
        barrier: if dice.chance(80) {
            Barrier::Always
        } else {
            Barrier::Auto
        },
        rolls_back: dice.chance(8),
    }
}

/// One call, a duel of two, or the same call again at another node.
fn calls(world: &Arc<World>) {
    let wished = world.dice(wish);
    let callers = 1 + world.dice(|dice| dice.pick(3));
    for _ in 0..callers {
        let (caller, wished) = (Arc::clone(world), wished.clone());
        world.executor.spawn(
            OUTSIDE,
            Box::pin(async move { call_until_answered(&caller, wished).await }),
        );
    }
}

/// A caller that got no answer tries again, at whichever node.
async fn call_until_answered(world: &Arc<World>, mut wished: Wish) {
    for _ in 0..3 {
        if call(world, None, wished.clone()).await == Some(true) {
            return;
        }
        wished.barrier = Barrier::Always;
        world.sleep_below(BASE / 10).await;
    }
}

/// Makes a call at a process; `None`: there is none, or it went away.
async fn call(world: &Arc<World>, at: Option<Process>, wished: Wish) -> Option<bool> {
    let process = match at {
        Some(process) => process,
        None => world.some_process()?,
    };
    let (done, answer) = oneshot::channel();
    let (inside, owner) = (Arc::clone(world), process.owner);
    world.executor.spawn(
        owner,
        Box::pin(async move {
            let answer = handle(&inside, &process, &wished).await;
            // The caller may have gone.
            let _gone = done.send(answer);
        }),
    );
    answer.await.ok()
}

/// A management call in its process; whether it was answered with success.
async fn handle(world: &Arc<World>, process: &Process, wished: &Wish) -> bool {
    let Ok(change) = process.connection.begin_change().await else {
        return false;
    };
    let Ok((changed, seen)) = change.write(&wished.data, wished.all).await else {
        return false;
    };
    world.note(|| {
        format!(
            "process {} writes {wished:?}, changes: {changed}, saw commit {seen}",
            process.owner
        )
    });
    if wished.rolls_back {
        return crate::coherence::Change::rollback(Box::new(change)).await.is_ok();
    }
    let committed = Arc::clone(&change.committed);
    match commit(process.node.clone(), Box::new(change), wished.barrier).await {
        Ok(done) => {
            let adds = !wished.all && wished.data.iter().all(|(_, target)| *target == 1);
            let waited = wished.barrier == Barrier::Always || (changed && !adds);
            if done.effective && waited {
                let own = committed.load(std::sync::atomic::Ordering::Relaxed);
                world.returned(if changed { own } else { seen });
                for process in world.alive() {
                    let (world, owner) = (Arc::clone(world), process.owner);
                    let asked = Arc::clone(&world);
                    asked
                        .executor
                        .spawn(owner, Box::pin(async move { read(&world, &process).await }));
                }
            }
            done.effective
        }
        Err(error) => {
            world.note(|| format!("process {} answers {error}", process.owner));
            world.state.lock().counts.unknown += 1;
            false
        }
    }
}

/// Something breaks, and mends itself later.
fn cause(world: &Arc<World>, trouble: Trouble) {
    let Some(process) = world.some_process() else { return };
    let links = [Trouble::Links, Trouble::HalfOpenLinks];
    // SQLite is a file: no link leads to it.
    if world.state.lock().db.single_writer && links.contains(&trouble) {
        return;
    }
    let (owner, world) = (process.owner, Arc::clone(world));
    let executor = Arc::clone(&world.executor);
    executor.spawn(
        OUTSIDE,
        Box::pin(async move {
            match trouble {
                Trouble::Links => {
                    world.set_link(owner, Link::Cut);
                    world.sleep_below(BASE * 3).await;
                    world.set_link(owner, Link::Up);
                }
                Trouble::HalfOpenLinks => {
                    world.set_link(owner, Link::HalfOpen);
                    world.sleep_below(BASE * 2).await;
                    world.set_link(owner, Link::Up);
                }
                Trouble::Kills => {
                    world.end(owner, true);
                    world.sleep_below(BASE).await;
                    start(&world);
                }
                Trouble::Restarts => stop_and_start(&world, process).await,
                Trouble::Pauses => {
                    world.note(|| format!("process {owner} is paused"));
                    world.executor.pause(owner, true);
                    world.sleep_below(BASE * 4).await;
                    world.note(|| format!("process {owner} runs again"));
                    world.executor.pause(owner, false);
                }
                Trouble::DatabaseClock => {
                    let by = world.dice(|dice| i64::try_from(dice.below(60_000_000)).unwrap() - 20_000_000);
                    world.note(|| format!("the database's clock jumps by {by} µs"));
                    world.state.lock().db.turn_clock(by);
                }
                Trouble::SetBacks => {
                    let (commits, ahead) = world.dice(|dice| (1 + dice.pick(3), [0, 0, 32][dice.pick(3)]));
                    let restored = world.dice(|dice| dice.chance(50));
                    world.set_back(commits, ahead, restored);
                }
                Trouble::ReadOnly => {
                    world.state.lock().db.read_only = true;
                    world.sleep_below(BASE * 2).await;
                    world.state.lock().db.read_only = false;
                }
                Trouble::Redis => {
                    if world.state.lock().redis != Redis::None {
                        world.state.lock().redis = Redis::Confused;
                    }
                }
                Trouble::Prunes => {
                    // One that fails is made up for by the next.
                    let _pruned = process.node.prune(0).await;
                }
                Trouble::RawWriters => write_raw(&world).await,
            }
        }),
    );
}

async fn stop_and_start(world: &Arc<World>, process: Process) {
    world.end(process.owner, false);
    process.stop.send_replace(true);
    world.sleep_below(BASE / 4).await;
    let (left, leaving) = oneshot::channel();
    let node = process.node.clone();
    world.executor.spawn(
        process.owner,
        Box::pin(async move {
            let _gone = left.send(node.leave().await);
        }),
    );
    // One that cannot say goodbye is killed after a while.
    let patience = Box::pin(Sleep::new(&world.executor, BASE));
    let _left = futures_util::future::select(leaving, patience).await;
    world.executor.kill(process.owner);
    start(world);
}

fn takes(world: &World, transaction: u64, lock: Lock) -> bool {
    let now = world.executor.now();
    world.state.lock().db.lock(transaction, lock, now).is_ok()
}

/// `psql`: changes data on a connection of its own, and may think for long before COMMIT.
async fn write_raw(world: &Arc<World>) {
    let wished = world.dice(wish);
    let now = world.executor.now();
    let transaction = world.state.lock().db.begin(true, now);
    let mut locks = vec![Lock::Writer];
    locks.retain(|_| world.state.lock().db.single_writer);
    locks.extend(wished.data.iter().map(|(datum, _)| Lock::Datum(*datum)));
    for lock in locks {
        let mut tries = 0;
        while !takes(world, transaction, lock) {
            tries += 1;
            if tries > 10 {
                world.state.lock().db.roll_back(transaction);
                return;
            }
            world.sleep_below(BASE / 10).await;
        }
    }
    let now = world.executor.now();
    let wrote = world.state.lock().db.write(transaction, &wished.data, wished.all, now);
    world.note(|| format!("a raw writer writes {wished:?}: {wrote:?}"));
    world.sleep_below(BASE / 2).await;
    let now = world.executor.now();
    let mut state = world.state.lock();
    if wished.rolls_back || wrote.is_err() {
        state.db.roll_back(transaction);
        return;
    }
    let committed = state.db.commit(transaction, now);
    drop(state);
    world.note(|| format!("the raw writer commits: {committed:?}"));
}

/// Everything is mended; then every node has a lease, and calls are quick.
async fn settle(world: &Arc<World>, nodes: usize, troubles: &[Trouble]) {
    // What broke mends itself within four Δ.
    let broken = [
        Trouble::Pauses,
        Trouble::Links,
        Trouble::ReadOnly,
        Trouble::HalfOpenLinks,
        Trouble::Kills,
        Trouble::Restarts,
    ];
    if troubles.iter().any(|trouble| broken.contains(trouble)) {
        Sleep::new(&world.executor, BASE * 4).await;
    }
    {
        let mut state = world.state.lock();
        state.calm = true;
        state.slow_links = false;
        state.db.end_idle(world.executor.now());
    }
    while world.alive().len() < nodes {
        start(world);
    }
    Sleep::new(&world.executor, BASE * 2).await;
    for process in world.alive() {
        if !process.node.trusted() {
            world.violate(Fault::NoLease, || {
                format!("process {} has no lease after 2 Δ of calm", process.owner)
            });
        }
    }
    // The first call that changes something may have to wait for what died, later ones may not. Of two calls with opposite values one changes something.
    let (datum, first) = world.dice(|dice| (dice.pick(POLICIES + 1), u8::from(dice.chance(50))));
    for round in 0..3 {
        let wished = Wish {
            data: vec![(datum, first ^ (round & 1))],
            all: false,
            barrier: Barrier::Always,
            rolls_back: false,
        };
        let began = world.executor.now();
        let answered = call(world, None, wished).await;
        let took = Duration::from_nanos(world.executor.now() - began);
        let most = if round < 2 { BASE * 3 / 2 } else { BASE / 3 };
        if took > most || answered != Some(true) {
            world.violate(Fault::Slow, || {
                format!("call {round} after 2 Δ of calm: {answered:?} in {took:?}")
            });
        }
        Sleep::new(&world.executor, BASE / 8).await;
    }
    for process in world.alive() {
        read(world, &process).await;
    }
}
