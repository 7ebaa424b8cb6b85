//! The policies of this node: one compiled snapshot, with its version.
//!
//! A change through the guarded connection is compiled before its COMMIT, and refused if it does not load. What raw SQL broke is applied as broken: routes that
//! ask policy are denied, others go on. The node loop compiles a change before it acknowledges it, so that a writer does not return while a node decides by the old
//! policy; only what is of the version that the loop applies is kept, so that memory is of one state. A policy that takes longer to compile than Δ only makes the writer wait for the lease instead.

use std::sync::Arc;

use bekci_core::{Authorizer, BrokenPolicy, PolicyCompiler, PolicyLine, Stamp};
use sea_orm::DbErr;
use tokio::sync::oneshot;

use super::{Node, policy_slot::PolicySlot};

#[derive(Debug, Default)]
pub(super) struct Policies {
    compiler: Option<Arc<dyn PolicyCompiler>>,
    pub(super) slot: PolicySlot,
}

impl Policies {
    pub(super) fn new(compiler: Option<Arc<dyn PolicyCompiler>>) -> Self {
        Self {
            compiler,
            slot: PolicySlot::default(),
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
                let snapshot = self.bounded(self.ledger().snapshot()).await?;
                let read = self.bounded(async {
                    // What is newer than the version that is applied here belongs to a later round.
                    match snapshot.policy_version().await? {
                        Some(found) if found == version => snapshot.policy_lines().await.map(Some),
                        _ => Ok(None),
                    }
                });
                let lines = read.await;
                snapshot.close().await;
                let Some(lines) = lines? else { return Ok(()) };
                self.compile_or_deny(lines).await
            }
        };
        self.keep_policy(version, &policy, &stamp);
        Ok(())
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
