//! A policy that is loaded a hundred times while a hundred thousand requests are decided by it, on two nodes: the whole decision with the real engine and the real
//! store, without a socket between.
//!
//! What makes this a test: an allowance and the denial that cuts it down come and go in one change. Whoever decides by half of a policy lets through what no whole one
//! does. And a request that begins after a change has returned, and ends before the next one begins, has just one right answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bekci::{
    Bekci, Builder, PolicyModel,
    core::{
        AskedTenant, AuthError, Consistency, GuardChain, HeaderCredential, PolicyLine, RequestHead, RouteRule,
        signin::StoreError,
    },
    parse_csv,
};
use bekci_store::SystemClock;
use bekci_test_support::rounds;
use secrecy::ExposeSecret;

use crate::{
    admin::{global, role},
    house::House,
    models::customer::Customer,
};

const MODEL: &str = include_str!("../../../../config/casbin_model.conf");
/// How often it is changed, and loaded: each change is one on each node.
const CHANGES: usize = 100;
/// Those who ask at once.
const ASKERS: usize = 3;
/// So many requests are decided between two changes, at least, of those that have just one right answer.
const JUDGED: usize = 25;
/// One request of so many looks into the database.
const DIRECT: usize = 500;
/// One request of so many asks what nobody asked before.
const NEW: usize = 50;

/// Always there.
const STANDING: &str = "p, role:customer:buyer, *, /standing/**, GET, allow";
/// Come and go together.
const PAIR: &str =
    "p, role:customer:buyer, *, /open/**, GET, allow\np, role:customer:buyer, *, /open/vault, GET, deny\n";

/// What holds now: 0 gone, 1 coming, 2 there, 3 going; and how often it went round, times four.
#[derive(Debug, Default)]
struct Phase(AtomicU64);

impl Phase {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn next(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What the askers share.
struct Scene {
    nodes: [Bekci; 2],
    rules: [Arc<RouteRule>; 2],
    bearer: String,
    phase: Phase,
    asked: AtomicUsize,
    askers: AtomicUsize,
    is_over: AtomicBool,
    /// Answers that had to be one thing, by what it was.
    judged: [AtomicUsize; 2],
}

/// An asker is gone when this is, whether it ended well or not.
struct Present<'a>(&'a AtomicUsize);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// With the clock of the machine: the database's goes on as well, and a node whose heart stood still by it would not be waited for.
fn judged(builder: Builder) -> Builder {
    let model = PolicyModel::parse(MODEL).unwrap();
    builder.policy(Arc::new(model)).clock(Arc::new(SystemClock))
}

fn lines(text: &str) -> Vec<PolicyLine> {
    parse_csv(text).unwrap().into_iter().map(|read| read.line).collect()
}

async fn scene() -> (House, Scene) {
    let house = House::built("http://localhost", judged).await;
    let other = house.second_node_with(judged).await;
    let carl = house.customer("carl").await;
    let rights = house.bekci.store().rights();
    let scope = global("customer");
    rights.put_role(&scope, &role("buyer"), &[]).await.unwrap();
    rights.assign_role(&carl, &scope, &[role("buyer")]).await.unwrap();
    house.bekci.store().policies().add(&lines(STANDING)).await.unwrap();
    let token = house.bekci.guard::<Customer>().issue(&carl).await.unwrap();
    let rule = |consistency| {
        Arc::new(RouteRule {
            policy: true,
            consistency,
            ..RouteRule::guarded("asked", GuardChain::new([Arc::clone(house.guard("customer"))]))
        })
    };
    let scene = Scene {
        nodes: [house.bekci.clone(), other],
        rules: [rule(Consistency::L1), rule(Consistency::Direct)],
        bearer: format!("Bearer {}", token.access.expose_secret()),
        phase: Phase::default(),
        asked: AtomicUsize::new(0),
        askers: AtomicUsize::new(ASKERS),
        is_over: AtomicBool::new(false),
        judged: [AtomicUsize::new(0), AtomicUsize::new(0)],
    };
    (house, scene)
}

impl Scene {
    async fn lets(&self, number: usize, path: &str) -> bool {
        // Many of one node, so that threads remember what it admitted.
        let node = &self.nodes[number / 64 % 2];
        let rule = &self.rules[usize::from((number / 8).is_multiple_of(DIRECT))];
        let head = RequestHead {
            method: "GET",
            path,
            tenant: AskedTenant::None,
            authorization: HeaderCredential::read(&[self.bearer.as_bytes()]),
            cookies: &[],
            fetch_site: None,
            csrf_token: None,
            secured: None,
        };
        match node
            .gate()
            .decide_again(&head, rule)
            .await
            .map_err(|denial| denial.error)
        {
            Ok(admission) => {
                assert!(admission.principal.is_some());
                true
            }
            Err(AuthError::PolicyDenied { .. }) => false,
            Err(other) => panic!("{path}: {other:?}"),
        }
    }

    async fn ask(&self, number: usize) {
        match number % 4 {
            0 => assert!(self.lets(number, "/standing/x").await, "what stands all the time"),
            1 => assert!(!self.lets(number, "/open/vault").await, "half of a policy decided"),
            2 => assert!(!self.lets(number, "/elsewhere").await, "what no line ever allowed"),
            _ => self.ask_what_changes(number).await,
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    async fn ask_what_changes(&self, number: usize) {
        let new = format!("/open/{number}");
        let path = if (number / 8).is_multiple_of(NEW) {
            &new
        } else {
            "/open/x"
        };
        let before = self.phase.now();
        let let_in = self.lets(number, path).await;
        if before != self.phase.now() {
            return;
        }
        match before % 4 {
            0 => assert!(!let_in, "a line that was taken away decided after it was gone"),
            2 => assert!(let_in, "a line that was added did not decide after it was there"),
            _ => return,
        }
        self.judged[usize::from(let_in)].fetch_add(1, Ordering::SeqCst);
    }

    fn judged(&self) -> usize {
        self.judged.iter().map(|count| count.load(Ordering::SeqCst)).sum()
    }

    /// Waits until what holds now decided [`JUDGED`] requests.
    async fn until_judged(&self) {
        let before = self.judged();
        while self.judged() < before + JUDGED {
            assert_eq!(self.askers.load(Ordering::SeqCst), ASKERS, "an asker has ended");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn change(&self) -> Result<(), StoreError> {
        let pair = lines(PAIR);
        for change in 0..CHANGES {
            let policies = self.nodes[change / 2 % 2].store().policies();
            self.phase.next();
            if change % 2 == 0 {
                policies.add(&pair).await?;
            } else {
                assert_eq!(policies.remove(&pair).await?.0, 2);
            }
            self.phase.next();
            self.until_judged().await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_policy_loaded_a_hundred_times_under_load_lets_nothing_through_that_no_whole_policy_does() {
    let requests = rounds(20_000, 100_000);
    let (house, scene) = scene().await;
    let scene = Arc::new(scene);
    let askers: Vec<_> = (0..ASKERS)
        .map(|at| {
            let scene = Arc::clone(&scene);
            tokio::spawn(async move {
                let _present = Present(&scene.askers);
                for number in (at..).step_by(ASKERS) {
                    if scene.is_over.load(Ordering::SeqCst) && number >= requests {
                        return;
                    }
                    scene.ask(number).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let changed = scene.change().await;
    // Whether or not it went well, or those who ask would go on for ever.
    scene.is_over.store(true, Ordering::SeqCst);
    for asker in askers {
        asker.await.unwrap();
    }
    changed.unwrap();
    assert!(scene.asked.load(Ordering::SeqCst) >= requests);
    for judged in &scene.judged {
        let judged = judged.load(Ordering::SeqCst);
        assert!(judged >= CHANGES / 2 * JUDGED, "{judged}");
    }
    for node in &scene.nodes {
        node.close().await;
    }
    drop(house);
}
