//! Security events of the management API. What came from a request goes in as a field, as JSON, so that none of it can look like a line of its own.

use bekci_core::PrincipalKey;
use serde_json::Value;

use super::call::Caller;

/// What happened, to whom.
pub(super) struct Event<'a> {
    name: &'static str,
    principal: Option<&'a PrincipalKey>,
    details: Value,
}

impl<'a> Event<'a> {
    pub(super) fn new(name: &'static str, principal: Option<&'a PrincipalKey>, details: Value) -> Self {
        Self {
            name,
            principal,
            details,
        }
    }
}

/// `outcome`: `effective`, `pending` where not every node has confirmed it, `unknown` where the commit's own outcome is.
pub(super) fn note(caller: &Caller, event: &Event<'_>, outcome: &'static str) {
    tracing::info!(
        target: "bekci::audit",
        event = event.name,
        actor = caller.key().as_str(),
        guard = caller.who.guard(),
        session = %caller.who.session_id(),
        principal = event.principal.map(PrincipalKey::as_str),
        outcome,
        details = %event.details,
        request_id = caller.request_id(),
    );
}
