//! The policies of this node: one compiled snapshot, with its version.
//!
//! A change through the guarded connection is compiled before its COMMIT, and refused if it does not load. What raw SQL broke is applied as broken: routes that
//! ask policy are denied, others go on. The node loop compiles a change before it acknowledges it, so that a writer does not return while a node decides by the old
//! policy; only what is of the version that the loop applies is kept, so that memory is of one state. A policy that takes longer to compile than Δ only makes the writer wait for the lease instead.
//!
//! A read that finds no policy in memory waits for a load that all such reads share (`policy_loads`).

use std::sync::Arc;

use bekci_core::{Authorizer, BrokenPolicy, PolicyCompiler, PolicyLine, Stamp};
use sea_orm::DbErr;
use tokio::sync::oneshot;

use super::{
    Node,
    policy_loads::{Answer, Duty, LoadResult, LoadedPolicy, PolicyLabel, PolicyLoads, Turn, result_of},
    policy_slot::PolicySlot,
};
use crate::{coherence::Snapshot, link::no_answer};

/// Lines that one statement brings. All of them at once may take longer than any statement is given.
const LINES_AT_ONCE: usize = 2_000;

#[derive(Debug, Default)]
pub(super) struct Policies {
    compiler: Option<Arc<dyn PolicyCompiler>>,
    pub(super) slot: PolicySlot,
    pub(super) loads: PolicyLoads,
}

impl Policies {
    pub(super) fn new(compiler: Option<Arc<dyn PolicyCompiler>>) -> Self {
        Self {
            compiler,
            slot: PolicySlot::default(),
            loads: PolicyLoads::default(),
        }
    }
}

impl Node {
    /// Compiles lines where blocking is allowed.
    pub(crate) async fn compile(&self, lines: Vec<PolicyLine>) -> Result<Arc<dyn Authorizer>, String> {
        let Some(compiler) = self.0.policies.compiler.clone() else {
            return Err("no policy model is configured".to_owned());
        };
        let (done, compiled) = oneshot::channel();
        self.runtime().spawn_blocking(Box::new(move || {
            // The reader may have been given up meanwhile.
            let _reader_gone = done.send(compiler.compile(&lines));
        }));
        compiled
            .await
            .unwrap_or_else(|_| Err("the compiler ended without a result".to_owned()))
    }

    pub(crate) fn asks_policy(&self) -> bool {
        self.0.policies.compiler.is_some()
    }

    /// Why the policy that this node holds denies everything.
    pub(crate) fn policy_fault(&self) -> Option<String> {
        let policy = self.0.policies.slot.current()?;
        policy.fault().map(str::to_owned)
    }

    /// These lines compiled; a policy that does not load denies.
    pub(crate) async fn compile_or_deny(&self, lines: Vec<PolicyLine>) -> Arc<dyn Authorizer> {
        self.compile(lines).await.unwrap_or_else(|reason| {
            tracing::error!(target: "bekci::audit", event = "policy.broken", %reason, "the policy does not load; routes that ask it are denied");
            Arc::new(BrokenPolicy { reason: format!("the policy does not load: {reason}").into() })
        })
    }

    /// Brings the policy up to a version that was just seen, before it is acknowledged.
    pub(crate) async fn swap_policy(&self, version: u64) -> Result<(), DbErr> {
        if !self.asks_policy() || self.0.policies.slot.at(version).is_some() {
            return Ok(());
        }
        self.points().reach("poll.compile").await;
        let stamp = self.0.counters.stamp(0);
        let policy = match self.0.policies.slot.take_compiled(version) {
            Some(policy) => policy,
            None => {
                // A load that is under way may have begun before this version: the loop does not wait for it.
                let duty = self.0.policies.loads.begin().ok();
                let result = self.load_policy().await;
                if let Some(duty) = duty {
                    self.0.policies.loads.end(duty, &result);
                }
                match result? {
                    // What is newer than the version that is applied here belongs to a later round.
                    Some(loaded) if loaded.label.version == version => loaded.policy,
                    _ => return Ok(()),
                }
            }
        };
        self.keep_policy(version, &policy, &stamp);
        Ok(())
    }

    /// The policy under a label, from a load that every reader shares. `None`: the database had another label by the time it was read.
    pub(crate) async fn policy_under(&self, label: PolicyLabel) -> Result<Option<Arc<dyn Authorizer>>, DbErr> {
        loop {
            let (answer, is_new) = match self.0.policies.loads.turn(label) {
                Turn::Loaded(policy) => return Ok(Some(policy)),
                Turn::Wait(answer) => (answer, false),
                Turn::Load(duty) => (self.begin_load(duty), true),
            };
            match result_of(answer).await {
                Some(Ok(Some(loaded))) if loaded.label == label => return Ok(Some(loaded.policy)),
                Some(Err(error)) => return Err(error),
                None if is_new => return Err(no_answer()),
                Some(Ok(_)) if is_new => return Ok(None),
                // It began before this read, or its task is gone.
                Some(Ok(_)) | None => {}
            }
        }
    }

    /// Loads in a task of its own.
    fn begin_load(&self, duty: Duty) -> Answer {
        let answer = duty.answer();
        let node = self.clone();
        self.runtime().spawn(Box::pin(async move {
            node.points().reach("policy.load").await;
            let result = node.load_policy().await;
            node.0.policies.loads.end(duty, &result);
        }));
        answer
    }

    /// Reads and compiles the policies as they are now.
    async fn load_policy(&self) -> LoadResult {
        let snapshot = self.bounded(self.ledger().snapshot()).await?;
        let read = async {
            let Some(label) = self.bounded(snapshot.policy_label()).await? else {
                return Ok(None);
            };
            Ok(Some((label, self.policy_lines(&*snapshot).await?)))
        };
        let read: Result<_, DbErr> = read.await;
        snapshot.close().await;
        let Some((label, lines)) = read? else {
            return Ok(None);
        };
        let policy = self.compile_or_deny(lines).await;
        Ok(Some(LoadedPolicy { label, policy }))
    }

    /// All lines of a snapshot, in their order.
    pub(crate) async fn policy_lines(&self, snapshot: &dyn Snapshot) -> Result<Vec<PolicyLine>, DbErr> {
        let (mut lines, mut after) = (Vec::new(), 0);
        loop {
            let page = self.bounded(snapshot.policy_page(after, LINES_AT_ONCE)).await?;
            let is_last = page.len() < LINES_AT_ONCE;
            after = page.last().map_or(after, |(id, _)| *id);
            lines.extend(page.into_iter().map(|(_, line)| line));
            if is_last {
                return Ok(lines);
            }
        }
    }

    /// Sets aside what a commit of this node compiled, for when the loop comes to it: before that it is newer than all else that memory holds.
    pub(crate) fn put_policy(&self, version: u64, policy: &Arc<dyn Authorizer>) {
        self.0.policies.slot.set_compiled(version, policy);
    }

    /// Keeps what a read of the database brought, if no change came in between.
    pub(crate) fn keep_policy(&self, version: u64, policy: &Arc<dyn Authorizer>, stamp: &Stamp) {
        self.0
            .policies
            .slot
            .put(version, policy, || self.0.counters.policies_unmoved(stamp));
    }
}
