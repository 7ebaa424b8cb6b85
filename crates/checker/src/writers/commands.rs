//! Changes by `bekci` commands beside the gateways.

use std::sync::Arc;

use bekci_test_support::Chance;

use super::Step;
use crate::{
    clock::{now, pause},
    history::Register,
    setup::{BANNED_BY_COMMAND, BY_COMMAND},
    world::World,
};

pub(super) fn steps() -> Vec<(u64, Step)> {
    vec![(300, Box::new(rights)), (300, Box::new(ban))]
}

fn rights(world: &World, chance: &mut Chance) {
    let subject = world.subject(BY_COMMAND);
    let of_role = chance.once_in(2);
    let register = &subject.rights[usize::from(!of_role)].1;
    let next = 1 - register.value();
    let verb = if next == 1 { "grant" } else { "revoke" };
    let what = if of_role {
        ["--role", "by-command"]
    } else {
        ["--permission", "by.command"]
    };
    let key = subject.key();
    run(
        world,
        register,
        next,
        &[verb, &key, what[0], what[1], "--guard", "customer"],
    );
}

fn ban(world: &World, _: &mut Chance) {
    let subject = world.subject(BANNED_BY_COMMAND);
    let Some(register) = &subject.ban else { return };
    let next = 1 - register.value();
    let key = subject.key();
    let verb = if next == 1 { "ban" } else { "unban" };
    run(world, register, next, &["principal", verb, &key]);
}

/// Until it ends with 0. One that was done and could not say so is done again.
fn run(world: &World, register: &Arc<Register>, value: u32, arguments: &[&str]) {
    register.begin(value, now());
    while world.runs() {
        let sent = now();
        let ran = world.cluster.command(arguments, "");
        let read = now();
        match ran {
            Ok(_) => {
                world.tally.write("command", |writes| writes.took.push(read - sent));
                register.in_force(read, read);
                return;
            }
            Err(_) => {
                world.tally.write("command", |writes| writes.unknown += 1);
                pause(100);
            }
        }
    }
}
