//! Files of expected decisions: what a policy must answer, kept beside it.
//!
//! ```toml
//! [[case]]
//! subject = "customer:42"        # the principal's key
//! guard = "customer"
//! roles = ["buyer"]              # none, if left out
//! tenant = "acme"                # none, if left out
//! method = "GET"
//! path = "/api/orders/1"         # canonical
//! expect = "allow"               # or "deny"
//! ```

use std::fmt;

use bekci_core::{AccessRequest, Authorizer, GuardName, PrincipalKey, RoleName, TenantName, Verdict, canonical_path};
use serde::Deserialize;
use toml::Spanned;

use crate::error::PolicyError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    case: Vec<Spanned<RawCase>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    subject: PrincipalKey,
    guard: GuardName,
    #[serde(default)]
    roles: Vec<RoleName>,
    tenant: Option<TenantName>,
    method: String,
    path: String,
    expect: Expected,
}

/// What a policy must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// Let through.
    Allow,
    /// Refused.
    Deny,
}

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// One question, and the answer that it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedDecision {
    /// The line of the file where it begins, from 1.
    pub line: usize,
    /// Who asks.
    pub subject: PrincipalKey,
    /// The guard that let it in.
    pub guard: GuardName,
    /// Its roles, in order of name, each once.
    pub roles: Vec<RoleName>,
    /// The tenant asked about.
    pub tenant: Option<TenantName>,
    /// The method.
    pub method: String,
    /// The canonical path.
    pub path: String,
    /// What must come of it.
    pub expect: Expected,
}

impl fmt::Display for ExpectedDecision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles: Vec<&str> = self.roles.iter().map(RoleName::as_str).collect();
        write!(formatter, "{} ({}) [{}]", self.subject, self.guard, roles.join(", "))?;
        if let Some(tenant) = &self.tenant {
            write!(formatter, " in {tenant}")?;
        }
        write!(formatter, ": {} {}", self.method, self.path)
    }
}

/// A decision that is not the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What was asked, and expected.
    pub case: ExpectedDecision,
    /// What the policy answers, with its reason.
    pub verdict: Verdict,
}

/// Reads a file of expected decisions.
///
/// # Errors
/// [`PolicyError::Decisions`] with the line of the first mistake: no TOML, an unknown or missing key, a name that is none, a path that is not canonical, no case at all.
pub fn parse_decisions(text: &str) -> Result<Vec<ExpectedDecision>, PolicyError> {
    let line_of = |at: usize| text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
    let refused = |line: usize, reason: String| PolicyError::Decisions { line, reason };
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        refused(line, error.message().to_owned())
    })?;
    if file.case.is_empty() {
        return Err(refused(1, "there is no [[case]]".to_owned()));
    }
    let read = |case: Spanned<RawCase>| {
        let line = line_of(case.span().start);
        let mut case = case.into_inner();
        match canonical_path(&case.path, true) {
            Ok(path) if path == case.path => {}
            Ok(path) => return Err(refused(line, format!("the path's canonical spelling is {path}"))),
            Err(error) => return Err(refused(line, error.to_string())),
        }
        case.roles.sort();
        case.roles.dedup();
        Ok(ExpectedDecision {
            line,
            subject: case.subject,
            guard: case.guard,
            roles: case.roles,
            tenant: case.tenant,
            method: case.method,
            path: case.path,
            expect: case.expect,
        })
    };
    file.case.into_iter().map(read).collect()
}

/// Asks a policy every question and gives the answers that are not the expected ones, in the order of the file.
#[must_use]
pub fn run_decisions(policy: &dyn Authorizer, cases: &[ExpectedDecision]) -> Vec<Mismatch> {
    let wrong = |case: &ExpectedDecision| {
        let roles: Vec<&str> = case.roles.iter().map(RoleName::as_str).collect();
        let verdict = policy.decide(&AccessRequest {
            principal: &case.subject,
            guard: &case.guard,
            roles: &roles,
            tenant: case.tenant.as_ref(),
            object: &case.path,
            action: &case.method,
        });
        let answer = match verdict {
            Verdict::Allow { .. } => Expected::Allow,
            Verdict::Deny { .. } => Expected::Deny,
        };
        (answer != case.expect).then(|| Mismatch {
            case: case.clone(),
            verdict,
        })
    };
    cases.iter().filter_map(wrong).collect()
}
