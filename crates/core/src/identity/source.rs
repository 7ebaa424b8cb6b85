//! The port through which the gate learns who a principal is now.

use std::sync::Arc;

use crate::{
    BoxFuture,
    authorize::Authorizer,
    identity::{Identity, IdentityVersion},
    key::PrincipalKey,
    name::{GuardName, TenantName},
    rights::RoleView,
    rule::Consistency,
};

/// What a decision needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// Whose identity.
    pub key: &'a PrincipalKey,
    /// The guard whose roles count.
    pub guard: &'a GuardName,
    /// The tenant whose roles count beside the global ones.
    pub tenant: Option<&'a TenantName>,
    /// The oldest version that may answer: the `ver` of the token.
    pub at_least: IdentityVersion,
    /// Whether the policy snapshot is needed too.
    pub policy: bool,
    /// How fresh the answer must be.
    pub consistency: Consistency,
}

/// The moment at which a request began, in a node's own order of requests and loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// The counters of change as they stood before a view was read: key's stripe, role tables, policies, everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Which stripe of keys the identity belongs to.
    pub stripe: u32,
    /// The stripe's counter.
    pub key: u64,
    /// The counter of role tables.
    pub roles: u64,
    /// The counter of policies.
    pub policies: u64,
    /// The counter of changes that concern every key.
    pub all: u64,
}

/// Where a view came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewSource {
    /// This process's memory, under trust; no I/O was done.
    L1,
    /// The shared cache, its label checked against the database.
    Redis,
    /// The database: loaded from it, or held in memory under the label that it has just given.
    Database,
}

impl ViewSource {
    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::Redis => "redis",
            Self::Database => "database",
        }
    }
}

/// Everything a decision is made from, all of one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The identity.
    pub identity: Arc<Identity>,
    /// Its version.
    pub version: IdentityVersion,
    /// What roles permit.
    pub roles: RoleView,
    /// The policies, where the need asked for them.
    pub policy: Option<Arc<dyn Authorizer>>,
    /// The counters before the view was read.
    pub stamp: Stamp,
    /// Where it came from.
    pub source: ViewSource,
}

/// Nobody can tell who the principal is now: the database is out of reach and memory may not be trusted any more. Never "anonymous", never "denied".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identity cannot be read: {0}")]
pub struct SourceUnavailable(pub String);

/// Where identities come from.
pub trait IdentitySource: Send + Sync + std::fmt::Debug {
    /// Taken when a request begins, so that it is never served by a load that began before it.
    fn ticket(&self) -> Ticket;

    /// The view from memory, if there is one that may be used now. Does no I/O and does not wait.
    fn warm(&self, need: &Need<'_>) -> Option<View>;

    /// The view by a read that began after the ticket was taken.
    fn read<'a>(&'a self, need: &'a Need<'a>, ticket: Ticket) -> BoxFuture<'a, Result<View, SourceUnavailable>>;

    /// Whether memory is still trusted and the counters are as the stamp has them: then nothing that the view rests on has changed
    /// since before it was read, as far as this node has to know.
    fn unmoved(&self, stamp: &Stamp) -> bool;

    /// Notes that an access token of this generation was accepted, for "never used" in the table of refresh, and last use. Does not wait.
    fn used(&self, view: &View, session: crate::session::SessionId, generation: u32);

    /// Notes that a security cookie with this counter was seen, so that its predecessor runs out. Does not wait.
    fn security_seen(&self, session: crate::session::SessionId, generation: u32) {
        let _ = (session, generation);
    }

    /// Looks whether a view from memory still counts, and notes its use if it does: for a decision that was made by it before and is taken once more.
    fn used_again(&self, view: &View, session: crate::session::SessionId, generation: u32) -> bool {
        let counts = self.unmoved(&view.stamp);
        if counts {
            self.used(view, session, generation);
        }
        counts
    }
}
