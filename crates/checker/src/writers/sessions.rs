//! Signing in, and signing out everywhere.

use std::{sync::Arc, time::Duration};

use bekci_test_support::Chance;

use super::{Step, change::change};
use crate::{
    clock::now,
    cluster::CUSTOMER_DOMAIN,
    history::Register,
    http::{Request, once},
    setup::SIGNED_OUT,
    subjects::{session_of, sign_in},
    world::World,
};

/// Sessions of one principal that are asked about.
const KEPT: usize = 6;

pub(super) fn steps() -> Vec<(u64, Step)> {
    let step = |at: usize| -> (u64, Step) { (100, Box::new(move |world, chance| turn(world, at, chance))) };
    SIGNED_OUT.into_iter().map(step).collect()
}

/// A new session, which counts at once everywhere, and then the end of all.
fn turn(world: &World, at: usize, chance: &mut Chance) {
    let subject = world.subject(at);
    let began = now();
    let request = sign_in(&format!("c{at}@{CUSTOMER_DOMAIN}"));
    // One that has no answer has opened a session that nobody knows.
    let Ok(answer) = once(world.any_node(chance), &request, Duration::from_secs(20)) else {
        world.tally.write("sign-in", |writes| writes.lost += 1);
        return;
    };
    let took = now() - began;
    let lives = Arc::new(Register::new_since_the_copy(format!("a session of c{at}"), 1, 0));
    let opened = session_of(&answer.json(), Some(Arc::clone(&lives)));
    let Some(session) = opened.filter(|_| answer.status == 200) else {
        world.tally.write("sign-in", |writes| writes.unknown += 1);
        return;
    };
    world.tally.write("sign-in", |writes| writes.took.push(took));
    world.add_register(&lives);
    {
        let mut sessions = subject.sessions.write();
        sessions.push(session);
        let surplus = sessions.len().saturating_sub(KEPT);
        // The first one stays: the copy has it.
        sessions.drain(1..=surplus.min(KEPT));
    }
    world.rest(u64::try_from(chance.below(150)).unwrap_or_default());
    let live: Vec<Arc<Register>> = subject
        .sessions
        .read()
        .iter()
        .filter_map(|session| session.lives.clone())
        .filter(|lives| lives.value() == 1)
        .collect();
    let registers: Vec<(&Register, u32)> = live.iter().map(|lives| (lives.as_ref(), 0)).collect();
    let path = format!("/admin/v1/principals/customer/{}/sessions", subject.id);
    change(
        world,
        "sign-out everywhere",
        &registers,
        &Request::new("DELETE", path),
        chance,
    );
}
