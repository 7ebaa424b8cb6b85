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
        details = %one_line(&event.details),
        request_id = caller.request_id(),
    );
}

/// As JSON in which what would end a line, move a cursor or turn the reading direction is escaped. JSON itself leaves all but the first 32 characters as they are.
fn one_line(details: &Value) -> String {
    let mut text = String::new();
    for c in details.to_string().chars() {
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            // All of them are below U+10000, so that one escape is enough (RFC 8259 section 7).
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_one_line_in_one_direction_and_the_same_json() {
        let details = serde_json::json!({"reason": "a\n\u{85}\u{2028}b\u{202e}\u{2066}\u{7f}\u{1b}ü\"\\"});
        let text = one_line(&details);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), details);
        assert!(
            text.contains('ü')
                && !text
                    .chars()
                    .any(|c| c.is_control() || ('\u{2000}'..'\u{2070}').contains(&c)),
            "{text}"
        );
    }
}
