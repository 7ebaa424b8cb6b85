//! What an account table holds that keeps people from signing in: identifiers that two accounts share, and a column that is too short for a new hash.

use std::sync::Arc;

use bekci::Bekci;
use bekci_core::{AuthGuard, ModelSpec};

use super::finding::Finding;

/// How many pairs of accounts are named.
const MOST_NAMED: usize = 10;

pub(super) async fn check(bekci: &Bekci) -> Vec<Finding> {
    let mut findings = Vec::new();
    let guards: Vec<&Arc<AuthGuard>> = bekci.watch().guards().collect();
    for spec in bekci.store().models() {
        findings.extend(twins(bekci, spec).await);
        if let Some(guard) = guards.iter().find(|guard| guard.model == spec.name) {
            findings.extend(room(bekci, spec, guard).await);
        }
    }
    findings
}

async fn twins(bekci: &Bekci, spec: &ModelSpec) -> Option<Finding> {
    let advice = "change the identifier of one of each pair, remove it, or leave it out by models.<name>.filter; until then neither signs in by it";
    let twins = match bekci.store().twins(&spec.name).await {
        Ok(twins) => twins,
        Err(error) => return Some(Finding::failed("identifiers", error, advice)),
    };
    if twins.pairs.is_empty() {
        let seen = if twins.is_complete {
            "no two accounts share an identifier"
        } else {
            "no two of the first 200000 accounts share an identifier"
        };
        return Some(Finding::ok("identifiers", format!("model {}: {seen}", spec.name)));
    }
    let named = twins.pairs.iter().take(MOST_NAMED);
    let named: Vec<String> = named.map(|(one, other)| format!("{one} and {other}")).collect();
    let more = match twins.pairs.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let found = format!("these accounts share an identifier: {}{more}", named.join(", "));
    Some(Finding::failed("identifiers", found, advice))
}

async fn room(bekci: &Bekci, spec: &ModelSpec, guard: &AuthGuard) -> Option<Finding> {
    let column = spec.password_column.as_ref()?;
    let wanted = guard.password_hash.unwrap_or_default().hash_chars();
    let room = match bekci.store().room_for_hash(&spec.name).await {
        Ok(room) => room.filter(|room| *room < wanted)?,
        Err(error) => {
            return Some(Finding::failed(
                "password column",
                error,
                "may the database user read the catalogue?",
            ));
        }
    };
    let found = format!(
        "table {}, column {column} holds {room} characters and a new hash has {wanted}: no password can be set, and no hash is replaced",
        spec.table
    );
    let advice =
        "make the column a text or varchar(255), or keep bcrypt: guards.<name>.password_hash = { bcrypt = 12 }";
    Some(Finding::failed("password column", found, advice))
}
