//! Readers: each asks one node, again and again, about principals that are hot and cold, on routes of each kind, and checks what it is told.

use std::{sync::Arc, time::Duration};

use bekci_test_support::Chance;

use crate::{
    clock::{now, pause},
    cluster::Node,
    http::{Client, Request},
    subjects::{Asked, Decision, Session, Subject},
    tally::Outcome,
    world::World,
};

/// How long a reader waits for an answer. Longer than any answer may take, so that one that hangs is seen.
const PATIENCE: Duration = Duration::from_secs(8);

/// The first subjects are asked about most.
const HOT: usize = 4;

/// Starts the readers of every node.
pub(crate) fn start(world: &Arc<World>) -> Vec<std::thread::JoinHandle<()>> {
    let mut threads = Vec::new();
    for node in 0..world.cluster.nodes.len() {
        for reader in 0..world.options.readers {
            let world = Arc::clone(world);
            let seed = world.options.seed ^ (u64::try_from(node).unwrap_or_default() << 40) ^ (u64::from(reader) << 32);
            threads.push(std::thread::spawn(move || {
                read(&world, &world.cluster.nodes[node], &mut Chance::new(seed));
            }));
        }
    }
    threads
}

fn read(world: &World, node: &Node, chance: &mut Chance) {
    let mut client = Client::new(node.address, PATIENCE);
    while world.runs() {
        let at = if chance.once_in(2) {
            chance.below(HOT)
        } else {
            chance.below(world.subjects.len())
        };
        ask(world, node, &mut client, at, chance);
    }
}

fn ask(world: &World, node: &Node, client: &mut Client, at: usize, chance: &mut Chance) {
    let subject = world.subject(at);
    let session = {
        let sessions = subject.sessions.read();
        sessions[chance.below(sessions.len())].clone()
    };
    let (path, policy) = match chance.below(8) {
        0 => ("/direct/x".to_owned(), None),
        1 | 2 => {
            let (name, register) = &world.policies[chance.below(world.policies.len())];
            (format!("/pol/{name}"), Some(register))
        }
        _ => ("/l1/x".to_owned(), None),
    };
    let request = Request::new("GET", "/auth-request")
        .header("x-original-method", "GET")
        .header("x-original-url", &format!("http://bekci.test{path}"))
        .header("authorization", &format!("Bearer {}", session.token));
    // A connection that is opened later would let the request start before it could be sent.
    let _refused = client.connect();
    let sent = now();
    let answer = client.send(&request);
    let read = now();
    let Ok(answer) = answer else {
        world.tally.request(node.name, sent, read, Outcome::Failed, 0, 0);
        pause(20);
        return;
    };
    let asked = Asked {
        session: &session,
        policy: policy.map(|register| register.as_ref()),
        sent,
        read,
    };
    let decision = subject.judge(&answer, &asked);
    count(world, node, subject, &session, &path, &asked, &decision);
}

fn count(
    world: &World,
    node: &Node,
    subject: &Subject,
    session: &Session,
    path: &str,
    asked: &Asked<'_>,
    decision: &Decision,
) {
    let about = format!("node {} {path} {} session {}", node.name, subject.key(), session.id);
    let (violations, behind) = world.tally.decision(&about, asked.sent, asked.read, decision);
    let outcome = match decision {
        Decision::Allowed(_) => Outcome::Allowed,
        Decision::Refused(_) | Decision::Unexpected(_) => Outcome::Refused,
        Decision::Unavailable => Outcome::Unavailable,
    };
    world
        .tally
        .request(node.name, asked.sent, asked.read, outcome, violations, behind);
    if outcome == Outcome::Unavailable {
        pause(5);
    }
}
