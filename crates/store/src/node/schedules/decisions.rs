//! Decisions from memory, while changes are applied and reads put in what they brought.

use std::sync::Arc;

use bekci_core::{
    AccessRequest, Authorizer, Consistency, GuardName, Identity, IdentityVersion, Need, Permission, PrincipalKey,
    RoleName, RoleTable, Verdict,
};
use shuttle::thread;

use super::{
    count_wrong,
    counters::Counters,
    is_found,
    l1::{Entry, L1},
    memory::{Held, Memory},
    policy_slot::PolicySlot,
    role_tables::RoleTables,
    sync::{AtomicU64, Ordering, Turns},
};
use crate::keys::ChangeKey;

/// What a transaction changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// An identity, a role table and the policies at once, each under its key.
    Together,
    /// All of it, under `@all`.
    All,
    /// The database went back: nothing has a higher version than before.
    SetBack,
}

/// What is made weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weak {
    Sound,
    /// A read takes its stamp when it has read.
    StampAfterRead,
    /// A read puts in what it brought, whatever moved.
    PutsUncompared,
    /// A read compares its stamp, and then takes the lock.
    ComparesBeforeLock,
    /// A read keeps what this node has not applied yet.
    KeepsNewer,
    /// A decision does not compare its stamp.
    DecidesUncompared,
    /// A change of everything is dropped first, and the counter moves afterwards.
    DropsBeforeItMoves,
    /// A change is acknowledged, and applied afterwards.
    AcknowledgesFirst,
    /// A decision finds a lease, and takes its stamp afterwards.
    StampAfterLease,
    /// A node that registers takes its cursor, and forgets afterwards.
    CursorBeforeForgetting,
}

/// A policy that names the state that it is of.
#[derive(Debug)]
struct Policy(String);

impl Authorizer for Policy {
    fn decide(&self, _request: &AccessRequest<'_>) -> Verdict {
        Verdict::Allow { reason: "".into() }
    }

    fn fault(&self) -> Option<&str> {
        Some(&self.0)
    }
}

struct Scene {
    change: Change,
    weak: Weak,
    key: PrincipalKey,
    guard: GuardName,
    role: RoleName,
    counters: Counters,
    l1: L1,
    epoch_floor: AtomicU64,
    roles: RoleTables,
    policies: PolicySlot,
    /// The state of the database: 0, and 1 after the change.
    committed: AtomicU64,
    /// Up to which state the node has applied.
    cursor: AtomicU64,
    acknowledged: AtomicU64,
    lease: AtomicU64,
}

impl Scene {
    fn new(change: Change, weak: Weak) -> Self {
        Self {
            change,
            weak,
            key: PrincipalKey::parse("customer:1").unwrap(),
            guard: GuardName::new("customer").unwrap(),
            role: RoleName::new("clerk").unwrap(),
            counters: Counters::new(),
            l1: L1::new(1 << 20),
            epoch_floor: AtomicU64::new(0),
            roles: RoleTables::default(),
            policies: PolicySlot::default(),
            committed: AtomicU64::new(0),
            cursor: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            lease: AtomicU64::new(1),
        }
    }

    fn memory(&self) -> Memory<'_> {
        Memory {
            counters: &self.counters,
            l1: &self.l1,
            epoch_floor: &self.epoch_floor,
            roles: &self.roles,
            policies: &self.policies,
        }
    }

    fn need(&self) -> Need<'_> {
        Need {
            key: &self.key,
            guard: &self.guard,
            tenant: None,
            at_least: IdentityVersion(0),
            policy: true,
            consistency: Consistency::L1,
        }
    }

    /// The versions of a state: of identity, role table and policies, and of `@all`.
    fn versions(&self, state: u64) -> (u64, u64) {
        match self.change {
            Change::Together => (state, 0),
            Change::All => (0, state),
            Change::SetBack => (0, 0),
        }
    }

    /// A read of the database, and what it keeps.
    fn read(&self) {
        let hash = Counters::hash(&self.key);
        let mut stamp = self.counters.stamp(hash);
        let cursor = self.cursor.load(Ordering::SeqCst);
        let state = self.committed.load(Ordering::SeqCst);
        if self.weak == Weak::StampAfterRead {
            stamp = self.counters.stamp(hash);
        }
        if state > cursor && self.weak != Weak::KeepsNewer {
            return;
        }
        let stands = |unmoved: bool| self.weak == Weak::PutsUncompared || unmoved;
        let before = (self.weak == Weak::ComparesBeforeLock).then(|| self.counters.unmoved(&stamp));
        let (version, epoch) = self.versions(state);
        let mut identity = Identity::absent(self.key.clone());
        identity.status = Some(state.to_string().into());
        let entry = Entry {
            identity: Arc::new(identity),
            version: IdentityVersion(version),
            epoch,
        };
        self.l1.insert(&self.key, hash, entry, || {
            before.unwrap_or_else(|| stands(self.counters.identity_unmoved(&stamp)))
        });
        // A table of memory is used again, if it has the version that the database has.
        let held = self.roles.get(&self.guard, None);
        let held = held.filter(|held| held.version() == version && self.counters.roles_unmoved(&stamp));
        let table = held.unwrap_or_else(|| {
            let permission = Permission::new(&format!("v.n{state}")).unwrap();
            Arc::new(RoleTable::new(version, [(self.role.clone(), vec![permission])]))
        });
        self.roles.put(&self.guard, None, &table, || {
            before.unwrap_or_else(|| stands(self.counters.roles_unmoved(&stamp)))
        });
        let policy: Arc<dyn Authorizer> = Arc::new(Policy(state.to_string()));
        self.policies.put(version, &policy, || {
            before.unwrap_or_else(|| stands(self.counters.policies_unmoved(&stamp)))
        });
    }

    /// A writer commits; then the node loop applies it, and acknowledges.
    fn write(&self) {
        self.committed.store(1, Ordering::SeqCst);
        // The poll that brings it is not the next thing that happens.
        for _ in 0..12 {
            self.cursor.load(Ordering::SeqCst);
        }
        if self.weak == Weak::AcknowledgesFirst {
            self.acknowledged.store(1, Ordering::SeqCst);
        }
        let keys = match self.change {
            Change::Together => vec![
                ChangeKey::Principal(self.key.clone()),
                ChangeKey::Roles(self.guard.clone(), None),
                ChangeKey::Policies,
            ],
            Change::All => vec![ChangeKey::All],
            Change::SetBack => Vec::new(),
        };
        if self.change == Change::SetBack {
            self.lease.store(0, Ordering::SeqCst);
        }
        if self.weak == Weak::CursorBeforeForgetting {
            self.cursor.store(1, Ordering::SeqCst);
        }
        if self.weak == Weak::DropsBeforeItMoves {
            self.l1.clear();
            self.roles.clear();
            self.policies.clear();
            self.counters.move_all();
        } else if self.change == Change::SetBack {
            self.memory().forget();
        }
        for key in &keys {
            if self.weak != Weak::DropsBeforeItMoves {
                self.memory().apply(key, 1);
            }
        }
        self.cursor.store(1, Ordering::SeqCst);
        self.acknowledged.store(1, Ordering::SeqCst);
        self.lease.store(1, Ordering::SeqCst);
    }

    fn is_leased(&self) -> bool {
        self.lease.load(Ordering::SeqCst) == 1
    }

    /// The states that a decision is of: identity, role table, policy.
    fn states(&self, held: &Held) -> [u64; 3] {
        let permission = held.roles.global.permissions_of(&self.role).next().unwrap();
        let texts = [
            held.entry.identity.status.as_deref().unwrap(),
            permission.as_str().trim_start_matches("v.n"),
            held.policy.as_ref().unwrap().fault().unwrap(),
        ];
        texts.map(|text| text.parse().unwrap())
    }

    /// Whether a decision from memory is older than what was acknowledged when it began or when it counted, or is of no single state.
    fn decides_wrongly(&self) -> bool {
        let early = self.weak == Weak::StampAfterLease;
        if early && !self.is_leased() {
            return false;
        }
        let Some(held) = self.memory().look(&self.need(), || early || self.is_leased()) else {
            return false;
        };
        let least = self.acknowledged.load(Ordering::SeqCst);
        let unmoved = self.is_leased() && self.counters.unmoved(&held.stamp);
        if self.weak != Weak::DecidesUncompared && !unmoved {
            return false;
        }
        let states = self.states(&held);
        states.iter().any(|state| *state < least || *state != states[0])
    }
}

/// Whether a decision is wrong in a schedule.
fn is_wrong(change: Change, weak: Weak) -> impl Fn() -> bool + Send + Sync + 'static {
    move || {
        let scene = Arc::new(Scene::new(change, weak));
        scene.read();
        let run = |act: fn(&Scene) -> bool| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || act(&scene))
        };
        let threads = [
            run(|scene| {
                scene.write();
                false
            }),
            run(|scene| {
                scene.read();
                scene.decides_wrongly()
            }),
            run(Scene::decides_wrongly),
        ];
        let was_wrong = threads.map(|thread| thread.join().unwrap()).contains(&true);
        was_wrong || scene.decides_wrongly()
    }
}

#[test]
fn a_decision_from_memory_is_of_one_state_and_no_older_than_what_was_acknowledged() {
    for change in [Change::Together, Change::All, Change::SetBack] {
        for turns in [Turns::Many, Turns::Few] {
            let wrong = count_wrong(turns, 1, is_wrong(change, Weak::Sound));
            assert_eq!(wrong, 0, "{change:?}, {turns:?}");
        }
    }
}

#[test]
fn each_step_of_memory_that_is_left_out_or_exchanged_is_found() {
    let found = [
        (Change::SetBack, Weak::StampAfterRead),
        (Change::SetBack, Weak::PutsUncompared),
        (Change::SetBack, Weak::ComparesBeforeLock),
        (Change::Together, Weak::KeepsNewer),
        (Change::Together, Weak::DecidesUncompared),
        (Change::All, Weak::DecidesUncompared),
        (Change::SetBack, Weak::DropsBeforeItMoves),
        (Change::Together, Weak::AcknowledgesFirst),
        (Change::SetBack, Weak::StampAfterLease),
        (Change::SetBack, Weak::CursorBeforeForgetting),
    ];
    for (change, weak) in found {
        let is_found = is_found(&[Turns::Many, Turns::Few], || is_wrong(change, weak));
        assert!(is_found, "{weak:?} with {change:?}");
    }
}
