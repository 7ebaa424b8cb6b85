//! The port through which a process counts and times what it does.
//!
//! What comes in is for labels of metrics: names from configuration and from fixed lists, never a path, an id or anything that a client chose.

use std::time::Duration;

use crate::{error::ErrorCode, identity::source::ViewSource, name::GuardName};

/// What became of a request at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was let through.
    Allowed,
    /// It was not.
    Refused,
    /// It could not be decided, or what was decided could not be carried out: nothing came through.
    Unavailable,
}

impl Outcome {
    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }

    /// What a refusal with this code is.
    #[must_use]
    pub fn refused_by(code: ErrorCode) -> Self {
        match code {
            ErrorCode::StoreUnavailable | ErrorCode::UpstreamUnavailable | ErrorCode::UpstreamTimeout => {
                Self::Unavailable
            }
            _ => Self::Refused,
        }
    }
}

/// One decision about one request.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// The guard that it was made by; `None` where none came to decide.
    pub guard: Option<&'a GuardName>,
    /// The name of the route, or of the calls, that it was made for; empty where none fits the request.
    pub route: &'a str,
    /// What came out.
    pub outcome: Outcome,
    /// The reason, where it was not let through.
    pub code: Option<ErrorCode>,
    /// Where the identity came from; `None` where none was looked at.
    pub source: Option<ViewSource>,
    /// How long it took.
    pub took: Duration,
}

/// Counts and times. What it does not care for it leaves out.
pub trait Meter: Send + Sync + std::fmt::Debug {
    /// A decision was made.
    fn decided(&self, _decided: &Decided<'_>) {}

    /// An identity was read from outside this process's memory: from the shared cache, its label checked, or from the database.
    fn identity_loaded(&self, _source: ViewSource) {}

    /// Somebody tried to sign in, by this way and with the result of this name.
    fn signed_in(&self, _guard: &GuardName, _way: &str, _result: &'static str) {}

    /// A limit of this name turned an attempt away.
    fn rate_limited(&self, _guard: &GuardName, _limit: &'static str) {}

    /// A mail of this kind was `sent`, `deferred` to another attempt, or `given_up`.
    fn mailed(&self, _kind: &'static str, _result: &'static str) {}

    /// A committed change came into force on this node, so long after it was made.
    fn applied(&self, _lag: Duration) {}

    /// A change waited so long for the other nodes.
    fn barrier(&self, _took: Duration) {}

    /// A cached identity was compared with the database. `drifts`: it has the database's version and another content.
    fn cache_compared(&self, _drifts: bool) {}
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmetered;

impl Meter for Unmetered {}
