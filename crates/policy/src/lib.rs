//! Casbin policies behind [`bekci_core::Authorizer`].
//!
//! This is the only crate that names casbin. [`PolicyModel::parse`] reads a model, [`compile`] makes of it and of lines (the rows of the database, or a seed
//! file read by [`parse_csv`]) a [`CasbinPolicy`]: one immutable snapshot that decides by the rules in its documentation. A model or line that is
//! wrong refuses the whole, so that the snapshot in use stays.
//!
//! ```
//! use bekci_core::{AccessRequest, Authorizer, GuardName, PrincipalKey, Verdict};
//! use bekci_policy::{PolicyModel, compile_text, parse_csv};
//!
//! let model = PolicyModel::parse(r#"
//! [request_definition]
//! r = sub, dom, obj, act
//! [policy_definition]
//! p = sub, dom, obj, act, eft
//! [policy_effect]
//! e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
//! [matchers]
//! m = p.sub in r.sub && (p.dom == "*" || p.dom == r.dom) && keyMatch2(r.obj, p.obj) && regexMatch(r.act, "^(?:" + p.act + ")$")
//! "#)?;
//! let policy = compile_text(&model, &parse_csv("p, role:customer:buyer, *, /orders/**, GET|POST, allow")?)?;
//!
//! let (principal, guard) = (PrincipalKey::parse("customer:42")?, GuardName::new("customer")?);
//! let request = AccessRequest { principal: &principal, guard: &guard, roles: &["buyer"], tenant: None, object: "/orders/1", action: "GET" };
//! assert!(matches!(policy.decide(&request), Verdict::Allow { .. }));
//! assert!(matches!(policy.decide(&AccessRequest { action: "DELETE", ..request }), Verdict::Deny { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "casbin")]
mod cache;
#[cfg(feature = "casbin")]
mod comparison;
#[cfg(feature = "casbin")]
mod compiled;
#[cfg(feature = "casbin")]
mod compiler;
mod csv;
#[cfg(feature = "casbin")]
mod decisions;
mod error;
#[cfg(feature = "casbin")]
mod evaluator;
#[cfg(feature = "casbin")]
mod functions;
#[cfg(feature = "casbin")]
mod lines;
#[cfg(feature = "casbin")]
mod model;
#[cfg(feature = "casbin")]
mod paths;
#[cfg(feature = "casbin")]
mod pattern;
#[cfg(feature = "casbin")]
mod policy;
#[cfg(feature = "casbin")]
mod raw;
#[cfg(feature = "casbin")]
mod roles;
#[cfg(feature = "casbin")]
mod scan;
#[cfg(feature = "casbin")]
mod shape;
#[cfg(feature = "casbin")]
mod warnings;

pub use csv::{NumberedLine, parse_csv, print_csv};
#[cfg(feature = "casbin")]
pub use decisions::{Expected, ExpectedDecision, Mismatch, parse_decisions, run_decisions};
pub use error::PolicyError;
#[cfg(feature = "casbin")]
pub use model::PolicyModel;
#[cfg(feature = "casbin")]
pub use policy::{CasbinPolicy, compile, compile_text};
#[cfg(feature = "casbin")]
pub use raw::RawEnforcer;
