//! Faults, done.

use std::{sync::Arc, time::Duration};

use super::{Fault, Kind, redis_entries};
use crate::{
    clock::{Moment, now, pause},
    cluster::Node,
    proxy::{Link, Mode},
    setup::BY_SQL,
    shell::Shell,
    world::World,
};

/// How long a fault waits for writers to come to the end of their changes.
const QUIET: Duration = Duration::from_secs(15);

/// Runs a schedule, each fault in a thread of its own, and returns when all have ended.
pub(crate) fn run(world: &Arc<World>, schedule: &[Fault], began: Moment) {
    let mut threads = Vec::new();
    for fault in schedule {
        let due = began + fault.at * 1_000;
        while world.runs() && now() < due {
            pause((due.saturating_sub(now()) / 1_000).clamp(1, 50));
        }
        if !world.runs() {
            break;
        }
        let (world, fault) = (Arc::clone(world), *fault);
        threads.push(std::thread::spawn(move || {
            let from = now();
            let done = happen(&world, &fault);
            let name = if done {
                fault.kind.name()
            } else {
                format!("{} (left out)", fault.kind.name())
            };
            world.tally.span(name, from, now());
        }));
    }
    for thread in threads {
        if thread.join().is_err() {
            world.tally.note("a fault could not be brought to its end");
        }
    }
}

/// Whether it could be done.
fn happen(world: &World, fault: &Fault) -> bool {
    let node = &world.cluster.nodes[fault.node];
    match fault.kind {
        Kind::Flushall | Kind::OldEntries | Kind::RedisRestart => redis(world, fault),
        Kind::RedisDelay => link(world, node.redis.as_ref(), Mode::Delay(fault.size), fault),
        Kind::RedisCut => link(world, node.redis.as_ref(), Mode::Cut, fault),
        Kind::RedisHalfOpen => link(world, node.redis.as_ref(), Mode::HalfOpen, fault),
        Kind::RedisHold => link(world, node.redis.as_ref(), Mode::Hold, fault),
        Kind::DatabaseDelay => link(world, node.database.as_ref(), Mode::Delay(fault.size), fault),
        Kind::DatabaseCut => link(world, node.database.as_ref(), Mode::Cut, fault),
        Kind::DatabaseHalfOpen => link(world, node.database.as_ref(), Mode::HalfOpen, fault),
        Kind::DatabaseHold => link(world, node.database.as_ref(), Mode::Hold, fault),
        Kind::Kill | Kind::SlowStart | Kind::Stop | Kind::Reload => process(world, node, fault),
        Kind::RollingRestart => {
            world.cluster.nodes.iter().for_each(Node::restart_cleanly);
            true
        }
        Kind::LongTransaction => long_transaction(world, fault),
        Kind::DatabaseRestart => restart_database(world, fault),
        Kind::SetBack => set_back(world),
        Kind::ReadOnly => read_only(world, fault),
        Kind::DiskFull => disk_full(world, fault),
        Kind::Clock => clock(world, fault),
    }
}

fn redis(world: &World, fault: &Fault) -> bool {
    let Some(redis) = &world.cluster.redis else {
        return false;
    };
    match fault.kind {
        Kind::Flushall => redis.try_cli(&["FLUSHALL"]).is_ok(),
        Kind::OldEntries => {
            let Some(entries) = redis_entries::read(redis) else {
                return false;
            };
            world.rest(fault.lasts);
            redis_entries::put_back(redis, &entries).is_some()
        }
        _ => {
            redis.stop();
            world.rest(fault.lasts);
            redis.server().try_restart().is_ok()
        }
    }
}

fn link(world: &World, link: Option<&Link>, mode: Mode, fault: &Fault) -> bool {
    let Some(link) = link else { return false };
    link.set(mode);
    world.rest(fault.lasts);
    link.set(Mode::Pass);
    true
}

fn process(world: &World, node: &Node, fault: &Fault) -> bool {
    match fault.kind {
        Kind::Kill => node.kill_and_start(fault.lasts),
        Kind::SlowStart => {
            if let Some(link) = &node.database {
                // A start sends some thirty statements, one after the other.
                link.set(Mode::Delay(fault.size / 5));
                node.kill_and_start(0);
                world.rest(fault.lasts);
                link.set(Mode::Pass);
            }
        }
        Kind::Stop => {
            let _alone = node.alone.lock();
            node.server.pause();
            world.rest(fault.lasts);
            node.server.resume();
        }
        _ => world.cluster.reload(node),
    }
    true
}

/// Of a principal that is asked about, to what it has already.
fn long_transaction(world: &World, fault: &Fault) -> bool {
    let database = &world.cluster.database;
    let Some(mut shell) = Shell::open(database) else {
        return false;
    };
    let begin = database.begin();
    let id = &world.subject(BY_SQL + 7).id;
    let sql = format!("{begin} UPDATE customers SET name = 'Other' WHERE id = {id};");
    if shell.run(&sql, QUIET).is_none() {
        return false;
    }
    world.rest(fault.lasts);
    shell.run("ROLLBACK;", QUIET).is_some()
}

fn restart_database(world: &World, fault: &Fault) -> bool {
    let Some(server) = world.cluster.database.server() else {
        return false;
    };
    let Some(_quiet) = world.database_alone.try_lock_for(QUIET) else {
        return false;
    };
    server.stop();
    world.rest(fault.lasts);
    server.try_restart().is_ok()
}

/// The documented steps: the database goes back while no node reaches it, it gets a new epoch where there is such a command, and then nodes reach it again.
fn set_back(world: &World) -> bool {
    let Some(_quiet) = world.gate.try_write_for(QUIET) else {
        return false;
    };
    let Some(_alone) = world.database_alone.try_lock_for(QUIET) else {
        return false;
    };
    let links = || world.cluster.nodes.iter().filter_map(|node| node.database.as_ref());
    links().for_each(|link| link.set(Mode::Cut));
    world.begin_copied(now());
    world.cluster.database.set_back();
    let epoch = ["migrate", "epoch"];
    if world.cluster.has_command(&epoch) && world.cluster.command(&epoch, "").is_err() {
        world.tally.note("migrate epoch failed");
    }
    links().for_each(|link| link.set(Mode::Pass));
    let returned = now();
    world.copied_in_force(returned, returned + world.staleness());
    true
}

fn read_only(world: &World, fault: &Fault) -> bool {
    let set = |value: &str| {
        world
            .cluster
            .database
            .make_read_only(value)
            .iter()
            .all(|sql| world.cluster.database.sql(sql).is_ok())
    };
    let Some(_alone) = world.database_alone.try_lock_for(QUIET) else {
        return false;
    };
    let done = set("on");
    world.rest(fault.lasts);
    for _ in 0..50 {
        if set("off") {
            return done;
        }
        pause(100);
    }
    world.tally.note("the database stayed read-only");
    false
}

/// Nothing can be written. A server that cannot write its log of changes ends itself, and is started again when there is room.
fn disk_full(world: &World, fault: &Fault) -> bool {
    let Some(disk) = &world.cluster.disk else {
        return false;
    };
    let Some(_alone) = world.database_alone.try_lock_for(QUIET) else {
        return false;
    };
    let database = &world.cluster.database;
    let done = disk.fill() && database.is_out_of_room(fault.size.is_multiple_of(2));
    world.rest(fault.lasts);
    if !disk.free() {
        world.tally.note("the disk stayed full");
    }
    if !database.is_up() {
        world
            .tally
            .note("a full disk ended the database, which was started again");
        return database.start_again() && done;
    }
    done
}

/// Forwards, and then back.
fn clock(world: &World, fault: &Fault) -> bool {
    let seconds = i64::try_from(fault.size * 30).unwrap_or_default();
    let seconds = if fault.size.is_multiple_of(2) {
        seconds
    } else {
        -seconds
    };
    let done = world.cluster.database.turn_clock(seconds);
    // The library reads the file once a second.
    world.rest(fault.lasts + 1_500);
    // A full disk refuses it for a while.
    let back = (0..100).any(|_| {
        let back = world.cluster.database.turn_clock(0);
        if !back {
            pause(100);
        }
        back
    });
    if !back {
        world.tally.note("the clock of the database stayed wrong");
    }
    done
}
