//! What readers, writers and faults of one run share.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bekci_test_support::Chance;
use parking_lot::{Mutex, RwLock};

use crate::{
    clock::{Moment, now, pause},
    cluster::{ADMIN, Cluster, PASSWORD},
    history::Register,
    http::{Request, once},
    options::Options,
    subjects::Subject,
    tally::Tally,
};

/// One run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) cluster: Cluster,
    pub(crate) admin: Admin,
    pub(crate) subjects: Vec<Subject>,
    /// The paths below `/pol/` with the register of the line that allows each.
    pub(crate) policies: Vec<(&'static str, Arc<Register>)>,
    /// Every register, for going back to a copy.
    registers: Mutex<Vec<Arc<Register>>>,
    /// Writers hold it for the length of a phase; who goes back to a copy holds it alone.
    pub(crate) gate: RwLock<()>,
    /// One fault at a time that stops the database.
    pub(crate) database_alone: Mutex<()>,
    pub(crate) tally: Tally,
    stop: AtomicBool,
}

impl World {
    pub(crate) fn new(
        options: Options,
        cluster: Cluster,
        admin: Admin,
        subjects: Vec<Subject>,
        policies: Vec<(&'static str, Arc<Register>)>,
    ) -> Self {
        let mut registers: Vec<Arc<Register>> = policies.iter().map(|(_, register)| Arc::clone(register)).collect();
        for subject in &subjects {
            let rights = subject.rights.iter().map(|(_, register)| register);
            let states = subject.ban.iter().chain(subject.block.iter());
            for register in rights.chain(states) {
                if !registers.iter().any(|known| Arc::ptr_eq(known, register)) {
                    registers.push(Arc::clone(register));
                }
            }
            registers.extend(
                subject
                    .sessions
                    .read()
                    .iter()
                    .filter_map(|session| session.lives.clone()),
            );
        }
        Self {
            options,
            cluster,
            admin,
            subjects,
            policies,
            registers: Mutex::new(registers),
            gate: RwLock::new(()),
            database_alone: Mutex::new(()),
            tally: Tally::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// The subject that was made with this name.
    pub(crate) fn subject(&self, at: usize) -> &Subject {
        &self.subjects[at]
    }

    pub(crate) fn add_register(&self, register: &Arc<Register>) {
        self.registers.lock().push(Arc::clone(register));
    }

    /// Every register's value now is that of the copy.
    pub(crate) fn mark_copied(&self) {
        self.registers.lock().iter().for_each(|register| register.mark_copied());
    }

    /// Every register begins a phase with the value of the copy.
    pub(crate) fn begin_copied(&self, begun: Moment) {
        self.registers
            .lock()
            .iter()
            .for_each(|register| register.begin_copied(begun));
    }

    /// What every register began is in force.
    pub(crate) fn copied_in_force(&self, returned: Moment, from: Moment) {
        self.registers
            .lock()
            .iter()
            .for_each(|register| register.in_force(returned, from));
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(crate) fn runs(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Waits at most so many milliseconds, and less where the run ends.
    pub(crate) fn rest(&self, milliseconds: u64) {
        let until = now() + milliseconds * 1_000;
        while self.runs() && now() < until {
            pause(((until - now().min(until)) / 1_000).clamp(1, 50));
        }
    }

    /// Any node's address.
    pub(crate) fn any_node(&self, chance: &mut Chance) -> SocketAddr {
        self.cluster.nodes[chance.below(self.cluster.nodes.len())].address
    }

    /// Another node's, where there are several.
    pub(crate) fn other_node(&self, than: SocketAddr, chance: &mut Chance) -> SocketAddr {
        let others: Vec<SocketAddr> = self
            .cluster
            .nodes
            .iter()
            .map(|node| node.address)
            .filter(|address| *address != than)
            .collect();
        others.get(chance.below(others.len())).copied().unwrap_or(than)
    }

    /// How long after its COMMIT a write from outside counts, in microseconds.
    pub(crate) fn staleness(&self) -> Moment {
        self.cluster.staleness_ms * 1_000
    }
}

/// How long calls before the run may be refused because the machine is busy, in microseconds.
const BUSY_AT_MOST: Moment = 60_000_000;

/// A signed-in admin.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    token: String,
    node: SocketAddr,
}

impl Admin {
    pub(crate) fn sign_in(node: SocketAddr) -> Self {
        let body = serde_json::json!({"email": ADMIN, "password": PASSWORD});
        let request = Request::new("POST", "/auth/admin/login").json(&body);
        let answer = once(node, &request, Duration::from_secs(10)).unwrap();
        let token = answer
            .json()
            .pointer("/data/accessToken")
            .and_then(|token| token.as_str())
            .map(str::to_owned);
        Self {
            token: token.unwrap_or_else(|| panic!("the admin cannot sign in: {answer:?}")),
            node,
        }
    }

    /// A request with the admin's token.
    pub(crate) fn signed(&self, request: &Request) -> Request {
        request
            .clone()
            .header("authorization", &format!("Bearer {}", self.token))
    }

    /// The answer's body of a call that has to succeed, before the run begins. On a machine that is busy with starting servers it may be 503; then nothing was changed,
    /// and it is repeated, unless the answer says that the outcome is unknown.
    pub(crate) fn must(&self, request: &Request) -> serde_json::Value {
        let until = now() + BUSY_AT_MOST;
        loop {
            let answer = once(self.node, &self.signed(request), Duration::from_secs(20)).unwrap();
            let may_repeat = answer.status == 503 && answer.json().pointer("/error/details/outcome").is_none();
            if may_repeat && now() < until {
                pause(200);
                continue;
            }
            assert_eq!(answer.status, 200, "{request:?}: {answer:?}");
            return answer.json();
        }
    }
}
