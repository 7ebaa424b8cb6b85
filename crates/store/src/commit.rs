//! The commit of a change of rights.
//!
//! The order, and why:
//!
//! 1. The transaction's keys are read from the outbox: triggers and hooks put them there, so nothing that was written can be missing.
//! 2. Each key's version goes up, in order of key, so that two commits cannot wait for each other. The step is random, so that a database which lost commits does not give their versions again.
//! 3. The commit lock is taken, and the rows get the next position. It is held until COMMIT, so that the order of positions is the order of commits, and
//!    a node that has seen a position has seen every lower one.
//! 4. COMMIT. Up to here nobody saw anything; a rollback leaves nothing.
//! 5. The change is applied to this node, the others are hinted, what hooks named is refreshed, and the barrier waits for the others.
//!
//! All of it runs in a task of its own: a caller that goes away cannot cut it between COMMIT and the barrier.

use std::sync::Arc;

use bekci_core::{Authorizer, BoxFuture, IdentityVersion, PrincipalKey, signin::StoreError};
use sea_orm::DbErr;
use tokio::sync::oneshot;

use crate::{
    coherence::{Change, CommitFailure, Cursor, OutboxRows},
    keys::ChangeKey,
    node::Node,
};

/// When a commit waits for the other nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Barrier {
    /// When it takes something away: unless every row only adds.
    #[default]
    Auto,
    /// Always, also where nothing changed: for calls that revoke, so that a retry is as good as the first try.
    Always,
}

/// What a commit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its position in the order of changes; `None` where it changed no rights.
    pub position: Option<i64>,
    /// The keys that changed, with their new versions.
    pub versions: Vec<(ChangeKey, u64)>,
    /// Whether every node is known to decide by it. `false`: the database was lost in between, and it takes effect within Δ.
    pub effective: bool,
}

impl Committed {
    pub(crate) fn nothing() -> Self {
        Self {
            position: None,
            versions: Vec::new(),
            effective: true,
        }
    }

    /// The new version of a principal's identity, if it changed.
    #[must_use]
    pub fn version_of(&self, key: &PrincipalKey) -> Option<IdentityVersion> {
        self.versions.iter().find_map(|(changed, version)| match changed {
            ChangeKey::Principal(principal) if principal == key => Some(IdentityVersion(*version)),
            _ => None,
        })
    }

    /// Nothing, where every node decides by the change.
    ///
    /// # Errors
    /// [`CommitError::Unconfirmed`] otherwise.
    pub fn confirmed(&self) -> Result<(), CommitError> {
        if self.effective {
            Ok(())
        } else {
            Err(CommitError::Unconfirmed {
                position: self.position.unwrap_or_default(),
            })
        }
    }
}

/// Why a commit did not simply succeed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The database refused; nothing was changed.
    #[error("not committed: {0}")]
    NotCommitted(#[source] DbErr),
    /// The connection was lost while committing. A retry that changes nothing waits for the barrier all the same.
    #[error("whether the change was committed is not known: {0}")]
    Unknown(String),
    /// It is committed, and not every node is known to decide by it yet.
    #[error("committed at position {position}, not yet confirmed on every node")]
    Unconfirmed {
        /// The position in the order of changes.
        position: i64,
    },
}

impl From<CommitError> for DbErr {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::NotCommitted(inner) => inner,
            other => Self::Custom(format!("bekci: {other}")),
        }
    }
}

impl From<CommitError> for StoreError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::NotCommitted(inner) => Self::Unavailable(inner.to_string()),
            CommitError::Unknown(why) => Self::CommitUnknown(why),
            CommitError::Unconfirmed { position } => Self::Pending { position },
        }
    }
}

/// Commits the outermost transaction.
pub(crate) async fn commit(
    node: Node,
    transaction: Box<dyn Change>,
    barrier: Barrier,
) -> Result<Committed, CommitError> {
    let (done, outcome) = oneshot::channel();
    let runtime = Arc::clone(node.runtime());
    runtime.spawn(Box::pin(async move {
        // The caller may be gone; the commit is not cut by that.
        let _caller_gone = done.send(run(node, transaction, barrier).await);
    }));
    outcome
        .await
        .unwrap_or_else(|_| Err(CommitError::Unknown("the committing task ended".to_owned())))
}

async fn run(node: Node, transaction: Box<dyn Change>, barrier: Barrier) -> Result<Committed, CommitError> {
    let numbered = match number(&node, &*transaction).await {
        Ok(numbered) => numbered,
        Err(error) => {
            let _rolled_back = transaction.rollback().await;
            return Err(CommitError::NotCommitted(error));
        }
    };
    node.points().reach("commit.before").await;
    match transaction.commit().await {
        Ok(()) => {}
        Err(CommitFailure::Refused(error)) => return Err(CommitError::NotCommitted(error)),
        Err(CommitFailure::Unknown(error)) => return Err(CommitError::Unknown(error.to_string())),
    }
    let returned = node.uptime();
    node.points().reach("commit.after").await;
    let Some(numbered) = numbered else {
        let effective = barrier == Barrier::Auto || node.barrier(None, returned).await;
        return Ok(Committed {
            effective,
            ..Committed::nothing()
        });
    };
    node.apply_own(&numbered.keys, numbered.at.position, returned);
    if let Some((version, policy)) = numbered.policy {
        node.put_policy(version, &policy);
    }
    let waits = barrier == Barrier::Always || !numbered.adds;
    let refresh = node.refresh_beside(numbered.refresh, Some((numbered.at.position, returned)));
    let effective = if waits {
        tokio::join!(node.barrier(Some(numbered.at), returned), refresh).0
    } else {
        refresh.await;
        true
    };
    Ok(Committed {
        position: Some(numbered.at.position),
        versions: numbered.keys,
        effective,
    })
}

/// Compiles changed policies before their COMMIT: one that does not load is refused, and the old one stays. Many lines take long, so it is
/// done before the commit lock is taken. The version of the policies is raised by then, and its row is locked: no other change of policies commits in between.
async fn compiled(
    node: &Node,
    transaction: &dyn Change,
    keys: &[(ChangeKey, u64)],
) -> Result<Option<(u64, Arc<dyn Authorizer>)>, DbErr> {
    let changed = keys.iter().find(|(key, _)| *key == ChangeKey::Policies);
    let Some((_, version)) = changed.filter(|_| node.asks_policy()) else {
        return Ok(None);
    };
    let lines = transaction.policy_lines().await?;
    match node.compile(lines).await {
        Ok(policy) => Ok(Some((*version, policy))),
        Err(reason) => Err(DbErr::Custom(format!("bekci: the policy would not load: {reason}"))),
    }
}

/// What was numbered in one commit.
#[derive(Debug)]
pub(crate) struct Numbered {
    pub(crate) keys: Vec<(ChangeKey, u64)>,
    pub(crate) at: Cursor,
    adds: bool,
    refresh: Vec<ChangeKey>,
    policy: Option<(u64, Arc<dyn Authorizer>)>,
}

/// Steps 1 to 3, within the transaction; `None` where it changed no rights.
async fn number(node: &Node, transaction: &dyn Change) -> Result<Option<Numbered>, DbErr> {
    let changed = transaction.changed_keys().await?;
    if changed.is_empty() {
        return Ok(None);
    }
    let adds = changed.iter().all(|key| key.adds);
    let rows = OutboxRows::Own;
    let keys = raise(node, transaction, &rows).await?;
    let policy = compiled(node, transaction, &keys).await?;
    let at = give_position(node, transaction, &rows).await?;
    let refresh = changed.into_iter().filter(|key| key.refresh).map(|key| key.key);
    Ok(Some(Numbered {
        keys,
        at,
        adds,
        refresh: refresh.collect(),
        policy,
    }))
}

/// Gives the keys of these outbox rows new versions. Their rows are locked from here to the end of the transaction.
pub(crate) fn raise<'a>(
    node: &'a Node,
    transaction: &'a dyn Change,
    rows: &'a OutboxRows,
) -> BoxFuture<'a, Result<Vec<(ChangeKey, u64)>, DbErr>> {
    Box::pin(async move {
        let keys = transaction.raise_versions(rows).await?;
        node.points().reach("commit.versions").await;
        Ok(keys)
    })
}

/// Gives these outbox rows the next position; returns one of them. The commit lock is held from here to the end of the transaction.
pub(crate) fn give_position<'a>(
    node: &'a Node,
    transaction: &'a dyn Change,
    rows: &'a OutboxRows,
) -> BoxFuture<'a, Result<Cursor, DbErr>> {
    Box::pin(async move {
        let position = transaction.next_position(node.bound()).await?;
        transaction.number(rows, position).await
    })
}
