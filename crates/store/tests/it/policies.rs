//! Policies: refused before COMMIT if they do not load, the same on every node before a call returns, applied as broken where raw SQL broke them.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bekci_core::{
    AccessRequest, AuthGuard, Authorizer, Need, PolicyCompiler, PolicyLine, PrincipalKey, Verdict, signin::StoreError,
    testing::FakeClock,
};
use bekci_store::{Barrier, CacheSettings, Store, StoreSettings};
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::scene::{Ask, Scene, key, on_every_store, until};

on_every_store! {
    a_line_added_or_removed_decides_the_next_request_on_both_nodes,
    a_policy_that_does_not_load_is_refused_and_the_old_one_stays,
    a_policy_that_raw_sql_broke_denies_what_asks_it_and_nothing_else,
    a_seed_is_read_into_an_empty_database_once,
    a_policy_slow_to_compile_is_never_decided_by_its_old_form_after_return,
    a_policy_that_takes_longer_to_compile_than_the_lease_is_not_decided_by_its_old_form,
    a_policy_that_takes_longer_to_compile_than_a_read_may_wait_is_compiled_once_for_all,
    a_change_of_policies_that_compiles_holds_no_other_change_back,
}

/// Lines are `p, subject, object`; a line of another kind, or of another length, does not load.
#[derive(Debug)]
struct Compiler;

#[derive(Debug)]
struct Compiled(Vec<(String, String)>);

impl PolicyCompiler for Compiler {
    fn compile(&self, lines: &[PolicyLine]) -> Result<Arc<dyn Authorizer>, String> {
        let read = |line: &PolicyLine| match line.values.as_slice() {
            [subject, object] if line.kind == "p" => Ok((subject.clone(), object.clone())),
            _ => Err(format!("a line of kind {} does not fit", line.kind)),
        };
        Ok(Arc::new(Compiled(
            lines.iter().map(read).collect::<Result<_, String>>()?,
        )))
    }
}

impl Authorizer for Compiled {
    fn decide(&self, request: &AccessRequest<'_>) -> Verdict {
        let subjects: Vec<String> = request.subjects().collect();
        if self
            .0
            .iter()
            .any(|(subject, object)| subjects.contains(subject) && object == request.object)
        {
            Verdict::Allow {
                reason: "a line".into(),
            }
        } else {
            Verdict::Deny {
                reason: "no line".into(),
            }
        }
    }
}

async fn node(scene: &Scene) -> Store {
    let settings = StoreSettings {
        policy: Some(Arc::new(Compiler)),
        ..scene.settings()
    };
    let store = Store::open(scene.pool().await, settings).await.unwrap();
    until(|| store.is_trusted()).await;
    store
}

async fn verdict(store: &Store, guard: &AuthGuard, who: &PrincipalKey, direct: bool) -> Verdict {
    let ask = Ask::of(who, guard);
    let ask = if direct { ask.direct() } else { ask };
    let need = Need {
        policy: true,
        ..ask.need()
    };
    let identities = store.identities();
    let ticket = identities.ticket();
    let warm = if direct { None } else { identities.warm(&need) };
    let view = match warm {
        Some(view) => view,
        None => identities.read(&need, ticket).await.unwrap(),
    };
    let request = AccessRequest {
        principal: who,
        guard: &guard.name,
        roles: &[],
        tenant: None,
        object: "/vault",
        action: "GET",
    };
    view.policy.expect("the need asked for it").decide(&request)
}

async fn allowed(store: &Store, guard: &AuthGuard, who: &PrincipalKey) -> bool {
    let warm = matches!(verdict(store, guard, who, false).await, Verdict::Allow { .. });
    let direct = matches!(verdict(store, guard, who, true).await, Verdict::Allow { .. });
    assert_eq!(warm, direct);
    warm
}

fn line(values: &[&str]) -> PolicyLine {
    PolicyLine {
        kind: "p".to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

async fn a_line_added_or_removed_decides_the_next_request_on_both_nodes(scene: Scene) {
    let (here, there) = (node(&scene).await, node(&scene).await);
    let (who, vault) = (key("customer:1"), [line(&["principal:customer:1", "/vault"])]);
    for _ in 0..3 {
        assert!(!allowed(&here, &scene.customer, &who).await && !allowed(&there, &scene.customer, &who).await);
        here.policies().add(&vault).await.unwrap();
        assert!(allowed(&here, &scene.customer, &who).await && allowed(&there, &scene.customer, &who).await);
        assert_eq!(there.policies().remove(&vault).await.unwrap().0, 1);
    }
    assert!(!allowed(&here, &scene.customer, &who).await && !allowed(&there, &scene.customer, &who).await);
}

async fn a_policy_that_does_not_load_is_refused_and_the_old_one_stays(scene: Scene) {
    let (here, there) = (node(&scene).await, node(&scene).await);
    let who = key("customer:1");
    here.policies()
        .add(&[line(&["principal:customer:1", "/vault"])])
        .await
        .unwrap();
    let bad = line(&["only one value"]);
    assert!(matches!(here.policies().add(&[bad]).await, Err(StoreError::Refused(_))));
    let raw = "INSERT INTO bekci_policies (kind, v0) VALUES ('q', 'x')";
    assert!(
        here.connection().execute_unprepared(raw).await.is_err(),
        "raw SQL through the guarded connection too"
    );
    assert_eq!(here.policies().lines().await.unwrap().len(), 1);
    assert!(allowed(&here, &scene.customer, &who).await && allowed(&there, &scene.customer, &who).await);
}

async fn a_policy_that_raw_sql_broke_denies_what_asks_it_and_nothing_else(scene: Scene) {
    let here = node(&scene).await;
    let who = key("customer:1");
    here.policies()
        .add(&[line(&["principal:customer:1", "/vault"])])
        .await
        .unwrap();
    assert!(allowed(&here, &scene.customer, &who).await);
    scene.outside("INSERT INTO bekci_policies (kind, v0) VALUES ('q', 'x')");
    let mut denied = false;
    for _ in 0..2_000 {
        let verdict = verdict(&here, &scene.customer, &who, false).await;
        denied = matches!(&verdict, Verdict::Deny { reason } if reason.contains("does not load"));
        if denied {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert!(denied);
    assert!(
        Ask::of(&who, &scene.customer).view(&here).await.identity.exists,
        "what asks no policy goes on"
    );
    scene.outside("DELETE FROM bekci_policies WHERE kind = 'q'");
    until(|| here.is_trusted()).await;
    for _ in 0..2_000 {
        if matches!(
            verdict(&here, &scene.customer, &who, false).await,
            Verdict::Allow { .. }
        ) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("it never loaded again");
}

async fn a_seed_is_read_into_an_empty_database_once(scene: Scene) {
    let here = node(&scene).await;
    let seed = [line(&["principal:customer:1", "/vault"])];
    assert!(here.policies().seed(&seed).await.unwrap());
    assert!(!here.policies().seed(&seed).await.unwrap());
    here.policies().remove(&seed).await.unwrap();
    assert!(
        !here.policies().seed(&seed).await.unwrap(),
        "what was removed does not come back"
    );
    assert!(here.policies().lines().await.unwrap().is_empty());
}

async fn a_policy_slow_to_compile_is_never_decided_by_its_old_form_after_return(scene: Scene) {
    let (here, there) = (node(&scene).await, node(&scene).await);
    let (who, vault) = (key("customer:1"), [line(&["principal:customer:1", "/vault"])]);
    here.policies().add(&vault).await.unwrap();
    assert!(allowed(&there, &scene.customer, &who).await);
    // The other node has seen the change and has not compiled it yet: the writer is not told that it is done.
    there.failpoints().hold("poll.applied");
    let waits = here.metrics().barrier_waits;
    let remove = tokio::spawn({
        let (here, vault) = (here.clone(), vault.clone());
        async move { here.policies().remove(&vault).await.map(|_| ()) }
    });
    there.failpoints().reached("poll.applied", 1).await;
    until(|| here.metrics().barrier_waits > waits).await;
    assert!(!remove.is_finished());
    there.failpoints().release("poll.applied");
    remove.await.unwrap().unwrap();
    assert!(!allowed(&there, &scene.customer, &who).await);
}

/// A node whose loop and clock the test turns by hand.
async fn by_hand(scene: &Scene, delta: Duration) -> (Store, Arc<FakeClock>) {
    let now = bekci_core::Clock::now(&bekci_store::SystemClock).unix_timestamp();
    let clock = Arc::new(FakeClock::at(now));
    let settings = StoreSettings {
        policy: Some(Arc::new(Compiler)),
        clock: Arc::clone(&clock) as _,
        cache: CacheSettings {
            max_staleness: Some(delta),
            ..scene.settings().cache
        },
        ..scene.settings()
    };
    (scene.quiet_node(settings).await, clock)
}

async fn a_policy_that_takes_longer_to_compile_than_the_lease_is_not_decided_by_its_old_form(scene: Scene) {
    let (here, here_clock) = by_hand(&scene, Duration::from_secs(1)).await;
    let (who, vault) = (key("customer:1"), [line(&["principal:customer:1", "/vault"])]);
    here.policies().add(&vault).await.unwrap();
    let (slow, slow_clock) = by_hand(&scene, Duration::from_secs(2)).await;
    assert!(allowed(&slow, &scene.customer, &who).await);

    here.failpoints().hold("barrier.look");
    let remove = tokio::spawn({
        let (here, vault) = (here.clone(), vault.clone());
        async move { here.policies().remove(&vault).await.map(|_| ()) }
    });
    here.failpoints().reached("barrier.look", 1).await;
    slow.failpoints().hold("poll.compile");
    let round = tokio::spawn({
        let slow = slow.clone();
        async move { slow.round().await }
    });
    slow.failpoints().reached("poll.compile", 1).await;
    // Δ of both passes, and the slow one still compiles: it has acknowledged nothing, and its lease has run out.
    for clock in [&here_clock, &slow_clock] {
        clock.advance_uptime(Duration::from_millis(2_200));
    }
    here.failpoints().release("barrier.look");
    remove.await.unwrap().unwrap();
    assert!(!slow.is_trusted());
    assert!(!allowed(&slow, &scene.customer, &who).await);

    slow.failpoints().release("poll.compile");
    round.await.unwrap().unwrap();
    // The writer has fenced it: that round gave no lease, and the next one has begun with nothing of what it held.
    assert!(slow.is_trusted());
    assert!(!allowed(&slow, &scene.customer, &who).await);
    slow.round().await.unwrap();
    assert!(slow.is_trusted());
    assert!(!allowed(&slow, &scene.customer, &who).await);
}

/// Compiles once it is let, and counts how often it began.
#[derive(Debug, Default)]
struct Gated {
    begun: AtomicUsize,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gated {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

impl PolicyCompiler for Gated {
    fn compile(&self, lines: &[PolicyLine]) -> Result<Arc<dyn Authorizer>, String> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let is_open = self.is_open.lock().unwrap();
        // Bounded, so that a test that fails ends.
        let waited = self.opened.wait_timeout_while(is_open, PATIENCE, |is_open| !*is_open);
        drop(waited.unwrap());
        Compiler.compile(lines)
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

async fn a_policy_that_takes_longer_to_compile_than_a_read_may_wait_is_compiled_once_for_all(scene: Scene) {
    let writer = node(&scene).await;
    let vault = [line(&["principal:customer:1", "/vault"])];
    writer.policies().add(&vault).await.unwrap();
    let gate = Arc::new(Gated::default());
    let settings = StoreSettings {
        policy: Some(Arc::clone(&gate) as _),
        cache: CacheSettings {
            read_within: Duration::from_millis(100),
            ..scene.settings().cache
        },
        ..scene.settings()
    };
    let slow = scene.quiet_node(settings).await;
    let read = async |who: &PrincipalKey| {
        let ask = Ask::of(who, &scene.customer);
        let need = Need {
            policy: true,
            ..ask.need()
        };
        let identities = slow.identities();
        let view = identities.read(&need, identities.ticket()).await?;
        Ok::<_, bekci_core::SourceUnavailable>(view.policy.is_some())
    };
    let whos = ["customer:1", "customer:2", "customer:1"].map(key);
    assert!(read(&whos[0]).await.is_err());
    until(|| gate.begun() == 1).await;
    for who in &whos {
        assert!(read(who).await.is_err());
    }
    gate.open();
    let served = async {
        for who in &whos {
            while !read(who).await.unwrap_or(false) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
    assert_eq!(
        gate.begun(),
        1,
        "a read that was given up has lost its work, or each read compiles for itself"
    );
}

async fn a_change_of_policies_that_compiles_holds_no_other_change_back(scene: Scene) {
    if !scene.is_server() {
        // SQLite has one writer at a time.
        return;
    }
    let gate = Arc::new(Gated::default());
    let settings = StoreSettings {
        policy: Some(Arc::clone(&gate) as _),
        ..scene.settings()
    };
    let here = Store::open(scene.pool().await, settings).await.unwrap();
    let there = node(&scene).await;
    let change = tokio::spawn({
        let here = here.clone();
        async move {
            let line = line(&["principal:customer:1", "/vault"]);
            here.policies().add(&[line]).await.map(|_| ())
        }
    });
    until(|| gate.begun() == 1).await;
    let ban = "UPDATE customers SET status = 'banned' WHERE id = 2";
    let other = async {
        let transaction = there.connection().begin().await.unwrap();
        transaction.execute_unprepared(ban).await.unwrap();
        transaction.commit_with(Barrier::Always).await.unwrap()
    };
    let committed = tokio::time::timeout(PATIENCE / 2, other).await.unwrap();
    assert!(committed.effective && !change.is_finished());
    gate.open();
    change.await.unwrap().unwrap();
    assert!(allowed(&there, &scene.customer, &key("customer:1")).await);
}
