//! The policy decision: the question, the port that answers, and the proof that a request was let through.

use std::sync::Arc;

use crate::{
    key::PrincipalKey,
    name::{GuardName, TenantName},
};

/// The question asked of policies: may one of these subjects do this to that, in this tenant?
#[derive(Clone, Copy, Debug)]
pub struct AccessRequest<'a> {
    /// Who asks.
    pub principal: &'a PrincipalKey,
    /// The guard that let the principal in.
    pub guard: &'a GuardName,
    /// The roles held here, in order of name. Role inheritance is resolved before.
    pub roles: &'a [&'a str],
    /// The tenant asked about.
    pub tenant: Option<&'a TenantName>,
    /// The canonical path.
    pub object: &'a str,
    /// The method.
    pub action: &'a str,
}

impl AccessRequest<'_> {
    /// The subjects as policies name them: `principal:<model>:<id>`, then `role:<guard>:<name>` for each role. The prefixes keep an id from ever equalling a role.
    pub fn subjects(&self) -> impl Iterator<Item = String> {
        let roles = self.roles.iter().map(|role| format!("role:{}:{role}", self.guard));
        std::iter::once(format!("principal:{}", self.principal)).chain(roles)
    }
}

/// What a decision came to, with its reason for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let through.
    Allow {
        /// What allowed it: a rule, or that the route asks nothing more.
        reason: Arc<str>,
    },
    /// Refused.
    Deny {
        /// What denied it, or that nothing allowed it.
        reason: Arc<str>,
    },
}

/// One line of a policy: `p` or `g` and its values, in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyLine {
    /// `p`, `g`, `g2`.
    pub kind: String,
    /// The values.
    pub values: Vec<String>,
}

/// A verdict, and the policy line that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The verdict.
    pub verdict: Verdict,
    /// The line that decided; `None` where none did.
    pub line: Option<PolicyLine>,
}

/// A decision point: one compiled snapshot of policies. Evaluation errors deny.
pub trait Authorizer: Send + Sync + std::fmt::Debug {
    /// Decides.
    fn decide(&self, request: &AccessRequest<'_>) -> Verdict;

    /// Decides, and tells the line that it came from, where one did and the decision point knows which. Slower than [`decide`](Self::decide), and of the same mind.
    fn explain(&self, request: &AccessRequest<'_>) -> Explained {
        Explained {
            verdict: self.decide(request),
            line: None,
        }
    }

    /// Why it denies whatever it is asked, where it stands for a policy that does not load; for those who run the service.
    fn fault(&self) -> Option<&str> {
        None
    }
}

/// Makes a decision point of policy lines.
pub trait PolicyCompiler: Send + Sync + std::fmt::Debug {
    /// Compiles all lines together. May take long; called where blocking is allowed.
    ///
    /// # Errors
    /// What is wrong with the lines, for people; then the policy before stays.
    fn compile(&self, lines: &[PolicyLine]) -> Result<std::sync::Arc<dyn Authorizer>, String>;
}

/// What stands for a policy that does not load: it denies everything that is asked of it.
#[derive(Clone, Debug)]
pub struct BrokenPolicy {
    /// What is wrong.
    pub reason: Box<str>,
}

impl Authorizer for BrokenPolicy {
    fn decide(&self, _request: &AccessRequest<'_>) -> Verdict {
        Verdict::Deny {
            reason: self.reason.as_ref().into(),
        }
    }

    fn fault(&self) -> Option<&str> {
        Some(&self.reason)
    }
}

/// Proof that the gate let a request through. Nothing outside this crate can make one, so that what asks for a `Permit` cannot be reached around the gate.
#[derive(Clone, Copy, Debug)]
pub struct Permit(());

impl Permit {
    pub(crate) fn granted() -> Self {
        Self(())
    }
}
