//! Security events about accounts and rights, for whoever listens to the target `bekci::audit`.
//!
//! Each is made here, where the change is committed: so the management API, a command and an application's own code tell the same change the same way, and
//! none can forget to. Values go in as fields or as JSON, never into the message, so that none of them can look like a line of its own.

use std::{collections::BTreeSet, fmt::Display, sync::Arc};

use bekci_core::{
    Permission, PrincipalKey, SessionId,
    signin::{EndSessions, StoreError},
};
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::{
    Store,
    authority::{Locks, Reach},
    commit::{Barrier, CommitError, Committed},
    directory::DirectoryError,
    rights::Scope,
    sessions::end_within,
    sql::statement,
};

/// Who changes something, and on what occasion. [`Store::by`] takes one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// A principal's key, `command-line:<user>`, or what else the application calls itself.
    pub name: String,
    /// The guard that let a principal in.
    pub guard: Option<String>,
    /// The session in which a principal acts.
    pub session: Option<SessionId>,
    /// The request by which it is done.
    pub request_id: Option<String>,
    /// Why, in words of who does it.
    pub reason: Option<String>,
}

impl Actor {
    /// One of this name, who acts by no request.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// The application's own code, where it says nothing more.
    #[must_use]
    pub fn application() -> Self {
        Self::named("application")
    }
}

/// The result of a change, in whatever shape a method gives it.
pub(crate) trait Ending {
    fn came(&self) -> Option<Ended>;
}

/// A change that happened, or may have.
pub(crate) struct Ended {
    /// `effective`, `pending` where not every node has confirmed it, `unknown` where the commit's own outcome is.
    outcome: &'static str,
    position: Option<i64>,
}

fn ended(outcome: &'static str, position: Option<i64>) -> Option<Ended> {
    Some(Ended { outcome, position })
}

impl Ending for Committed {
    fn came(&self) -> Option<Ended> {
        ended(if self.effective { "effective" } else { "pending" }, self.position)
    }
}

impl Ending for CommitError {
    fn came(&self) -> Option<Ended> {
        match self {
            Self::NotCommitted(_) => None,
            Self::Unknown(_) => ended("unknown", None),
            Self::Unconfirmed { position } => ended("pending", Some(*position)),
        }
    }
}

impl Ending for StoreError {
    fn came(&self) -> Option<Ended> {
        match self {
            Self::Unavailable(_) | Self::Refused(_) | Self::NamedByPolicy { .. } | Self::MissingRight(_) => None,
            Self::CommitUnknown(_) => ended("unknown", None),
            Self::Pending { position } => ended("pending", Some(*position)),
        }
    }
}

impl Ending for DirectoryError {
    fn came(&self) -> Option<Ended> {
        match self {
            Self::Store(error) => error.came(),
            Self::Gone | Self::Taken | Self::InUse | Self::Value(_) => None,
        }
    }
}

impl<E: Ending> Ending for Result<Committed, E> {
    fn came(&self) -> Option<Ended> {
        match self {
            Ok(committed) => committed.came(),
            Err(error) => error.came(),
        }
    }
}

impl Store {
    /// The same store, whose changes are told as this actor's.
    #[must_use]
    pub fn by(&self, actor: Actor) -> Self {
        Self {
            actor: Arc::new(actor),
            ..self.clone()
        }
    }

    /// Ends sessions of a principal, and tells each.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_sessions(
        &self,
        key: &PrincipalKey,
        which: &EndSessions,
        now: OffsetDateTime,
    ) -> Result<Vec<SessionId>, StoreError> {
        let result = self.ended(key, which, now).await;
        match &result {
            Ok(ended) => {
                let done = Committed::nothing();
                for session in ended {
                    self.tell(
                        "session.ended",
                        Some(key),
                        &done,
                        &json!({"session": session.to_string()}),
                    );
                }
            }
            // Which ones is not told then.
            Err(error) => {
                let named = match which {
                    EndSessions::One(id) | EndSessions::Others(id) => Some(id.to_string()),
                    EndSessions::All => None,
                };
                self.tell("session.ended", Some(key), error, &json!({"session": named}));
            }
        }
        result
    }

    async fn ended(
        &self,
        key: &PrincipalKey,
        which: &EndSessions,
        now: OffsetDateTime,
    ) -> Result<Vec<SessionId>, StoreError> {
        let mut change = self.begin_change(Locks::Principal, Some(key)).await?;
        change.outranks(self, key, Reach::Management).await?;
        let ended = end_within(&change.transaction, key, None, (which, now)).await?;
        change.transaction.commit_with(Barrier::Always).await?.confirmed()?;
        Ok(ended)
    }

    /// Tells an event, if the change that it is of happened or may have.
    pub(crate) fn tell(
        &self,
        event: &'static str,
        principal: Option<&PrincipalKey>,
        ending: &impl Ending,
        details: &Value,
    ) {
        let Some(ended) = ending.came() else { return };
        let actor = &*self.actor;
        tracing::info!(
            target: "bekci::audit",
            event,
            actor = actor.name,
            guard = actor.guard,
            session = actor.session.map(|session| session.to_string()),
            principal = principal.map(PrincipalKey::as_str),
            outcome = ended.outcome,
            position = ended.position,
            details = %one_line(details),
            why = actor.reason,
            request_id = actor.request_id,
        );
    }

    /// Tells how what somebody holds directly was changed; what changes nothing is no event.
    pub(crate) fn tell_rights(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        (before, after): (&Direct, &Direct),
        ending: &impl Ending,
    ) {
        let mut details = before.until(after);
        if details.is_empty() {
            return;
        }
        details.insert("guard".to_owned(), json!(scope.guard));
        details.insert("tenant".to_owned(), json!(scope.tenant));
        self.tell("rights.changed", Some(key), ending, &Value::Object(details));
    }
}

/// What a principal holds directly in one scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Direct {
    pub(crate) roles: BTreeSet<String>,
    pub(crate) granted: BTreeSet<String>,
    pub(crate) denied: BTreeSet<String>,
}

impl Direct {
    /// As a transaction sees it.
    pub(crate) async fn of<C: ConnectionTrait>(db: &C, key: &PrincipalKey, scope: &Scope) -> Result<Self, DbErr> {
        let sql = "SELECT 0 AS kind, role AS name FROM bekci_principal_roles WHERE model = $1 AND id = $2 AND guard = $3 AND tenant = $4 \
                   UNION ALL SELECT CASE WHEN denied THEN 2 ELSE 1 END, permission FROM bekci_principal_permissions \
                   WHERE model = $1 AND id = $2 AND guard = $3 AND tenant = $4";
        let owner = [key.model(), key.id(), scope.guard.as_str(), scope.tenant_text()].map(sea_orm::Value::from);
        let mut held = Self::default();
        for row in db
            .query_all_raw(statement(db.get_database_backend(), sql, owner))
            .await?
        {
            let name: String = row.try_get("", "name")?;
            match row.try_get::<i32>("", "kind")? {
                0 => held.roles.insert(name),
                1 => held.granted.insert(name),
                _ => held.denied.insert(name),
            };
        }
        Ok(held)
    }

    /// What is there more and less afterwards, by name, and how many there are. Empty where nothing changed.
    fn until(&self, after: &Self) -> Map<String, Value> {
        let mut told = Map::new();
        for (what, before, after) in [
            ("roles", &self.roles, &after.roles),
            ("granted", &self.granted, &after.granted),
            ("denied", &self.denied, &after.denied),
        ] {
            if before != after {
                let added: Vec<&String> = after.difference(before).collect();
                let removed: Vec<&String> = before.difference(after).collect();
                let change = json!({"before": before.len(), "after": after.len(), "added": added, "removed": removed});
                told.insert(what.to_owned(), change);
            }
        }
        told
    }
}

/// A role, for details.
pub(crate) fn role(scope: &Scope, name: impl Display, permissions: Option<&[Permission]>) -> Value {
    let mut told = json!({"guard": scope.guard, "tenant": scope.tenant, "name": name.to_string()});
    if let (Some(told), Some(permissions)) = (told.as_object_mut(), permissions) {
        told.insert("permissions".to_owned(), json!(permissions));
    }
    told
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
