//! One call: what it names, who makes it, and how its result is told.

use std::sync::Arc;

use actix_web::{
    HttpRequest,
    web::{Data, Payload, Query},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bekci_core::{
    AskedTenant, AuthError, ErrorCode, GuardName, Identity, ModelName, ModelSpec, Permission, PrincipalKey,
    signin::StoreError,
};
use bekci_store::{Actor, Committed, Directory, DirectoryError, Store};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Mounted, Right};
use crate::{
    Bekci, Reading, Voice, Who,
    auth::{
        answer::Success,
        body::{self, invalid},
    },
    record,
    respond::Refusal,
};

pub(super) type Answer = Result<Success, Refusal>;

const DEFAULT_LIMIT: u16 = 50;
const MAX_LIMIT: u16 = 200;

/// A call before it is known who makes it.
pub(super) struct Call {
    mounted: Data<Mounted>,
    request: HttpRequest,
    payload: Payload,
}

/// Who calls, with the permission that the call asks.
pub(super) struct Caller {
    pub(super) mounted: Data<Mounted>,
    pub(super) who: Who,
    /// The permission that the call requires.
    right: Option<Permission>,
    request: HttpRequest,
}

impl Call {
    pub(super) fn new(mounted: Data<Mounted>, request: HttpRequest, payload: Payload) -> Self {
        Self {
            mounted,
            request,
            payload,
        }
    }

    /// Asks the gate, before anything else of the request is looked at. Management asks about no tenant: what is held in one gives nothing here.
    pub(super) async fn by(self, right: Right) -> Result<(Caller, Payload), Refusal> {
        self.admitted(Some(right)).await
    }

    /// The same for a call that anybody may make who is signed in, and that has no body.
    pub(super) async fn signed_in(self) -> Result<Caller, Refusal> {
        Ok(self.admitted(None).await?.0)
    }

    async fn admitted(self, right: Option<Right>) -> Result<(Caller, Payload), Refusal> {
        let reading = Reading::of(&self.request).map_err(AuthError::from)?;
        let right = right.map(Right::permission).transpose();
        let right = right.map_err(|fault| Refusal::misconfigured(fault.to_string()))?;
        let rule = self.mounted.rule(right.clone());
        let watch = self.mounted.bekci.watch();
        let admission = record::admit(watch, &self.request, &reading.head(AskedTenant::None), &rule).await?;
        let principal = admission.principal.ok_or(AuthError::TokenMissing)?;
        // After the gate: who may not call learns nothing of the log.
        if !self.request.method().is_safe() {
            must_be_audited(&self.mounted.bekci, principal.view.identity.key.as_str())?;
        }
        let caller = Caller {
            right,
            who: Who::new(Arc::new(principal), watch.clone()),
            mounted: self.mounted,
            request: self.request.clone(),
        };
        Ok((caller, self.payload))
    }

    /// The same for a call without a body.
    pub(super) async fn bare(self, right: Right) -> Result<Caller, Refusal> {
        Ok(self.by(right).await?.0)
    }
}

/// Refuses a change while security events are not taken.
pub(crate) fn must_be_audited(bekci: &Bekci, actor: &str) -> Result<(), Refusal> {
    if bekci.is_audited() {
        return Ok(());
    }
    // A line that is tried is what tells that they are taken again.
    tracing::error!(target: "bekci::audit", event = "change.refused", actor, "nothing is changed while security events are not taken");
    let why =
        "security events are not taken where they go, so that nothing is changed: look at the log's disk or reader";
    Err(Refusal::new(ErrorCode::StoreUnavailable, why))
}

pub(super) fn not_found(what: &'static str) -> Refusal {
    Refusal::new(ErrorCode::NotFound, what)
}

impl Caller {
    /// The store, whose changes are reported as the caller's, and judged by its rights in the transaction that writes them.
    pub(super) fn store(&self) -> Store {
        self.acting_for(None)
    }

    /// The same, with why the caller does it.
    pub(super) fn acting_for(&self, reason: Option<String>) -> Store {
        let store = self.mounted.bekci.store().by(Actor {
            name: self.key().as_str().to_owned(),
            guard: Some(self.who.guard().to_owned()),
            session: Some(self.who.session_id()),
            request_id: Some(self.request_id()),
            reason,
        });
        match &self.right {
            Some(right) => store.on_behalf_of(bekci_store::Caller {
                key: self.key().clone(),
                guard: self.who.principal().guard.name.clone(),
                right: right.clone(),
            }),
            None => store,
        }
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.mounted.bekci.watch().clock().now()
    }

    pub(super) fn directory(&self) -> Directory {
        self.store().directory()
    }

    pub(super) fn key(&self) -> &PrincipalKey {
        self.who.key()
    }

    pub(super) fn request(&self) -> &HttpRequest {
        &self.request
    }

    fn request_id(&self) -> String {
        Voice::of(&self.request).request_id.as_str().to_owned()
    }

    pub(super) fn part(&self, name: &str) -> &str {
        self.request.match_info().get(name).unwrap_or_default()
    }

    /// The model that the path names.
    pub(super) fn model(&self) -> Result<&ModelSpec, Refusal> {
        let name = ModelName::new(self.part("model")).map_err(|_| not_found("no model's name"))?;
        self.mounted
            .bekci
            .watch()
            .model(&name)
            .ok_or_else(|| not_found("no such model"))
    }

    /// The principal that the path names; whether it is there is not asked.
    pub(super) fn named(&self) -> Result<PrincipalKey, Refusal> {
        self.model()?
            .key(self.part("id"))
            .map_err(|_| not_found("not a canonical id"))
    }

    /// The principal that the path names, as the database has it now.
    pub(super) async fn target(&self) -> Result<Identity, Refusal> {
        let found = self.directory().find(&self.named()?).await.map_err(refusal)?;
        found.ok_or_else(|| not_found("no such account"))
    }

    /// The number of a row that the path names.
    pub(super) fn number(&self) -> Result<i64, Refusal> {
        let number = self.whole("id")?;
        if number > 0 {
            Ok(number)
        } else {
            Err(not_found("rows are counted from 1"))
        }
    }

    /// A part of the path that is a whole number, 0 or more.
    pub(super) fn whole(&self, part: &str) -> Result<i64, Refusal> {
        let text = self.part(part);
        let number = text.parse::<i64>().ok();
        // One spelling for each.
        let number = number.filter(|number| *number >= 0 && number.to_string() == text);
        number.ok_or_else(|| not_found("not a canonical number"))
    }

    pub(super) async fn body<T: DeserializeOwned>(&self, payload: Payload) -> Result<T, Refusal> {
        body::read(&self.request, payload, self.mounted.bekci.body_bytes()).await
    }

    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let read = Query::<T>::from_query(self.request.query_string());
        let bad = |_| {
            Refusal::new(
                ErrorCode::MalformedRequest,
                "a query parameter that is unknown or stands twice",
            )
        };
        read.map(Query::into_inner).map_err(bad)
    }

    /// The guard of a scope: the one that is named, else the only one of those that `fits` lets through.
    pub(super) fn guard(&self, named: Option<&str>, fits: impl Fn(&ModelName) -> bool) -> Result<GuardName, Refusal> {
        let mut guards = self.mounted.bekci.watch().guards().filter(|guard| fits(&guard.model));
        let found = match named {
            Some(name) => guards
                .find(|guard| guard.name.as_str() == name)
                .ok_or("there is no such guard, or it is for another model"),
            None => match (guards.next(), guards.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => Err("there is none"),
                (Some(_), Some(_)) => Err("is missing, and there is more than one"),
            },
        };
        found
            .map(|guard| guard.name.clone())
            .map_err(|rule| invalid("guard", rule))
    }

    /// Tells what a change came to.
    pub(super) fn done(&self, result: Result<Committed, DirectoryError>, data: Value) -> Answer {
        match result {
            Ok(committed) if committed.effective => Ok(Success::ok(data)),
            Ok(committed) => Ok(Success::pending(committed.position.unwrap_or_default())),
            Err(DirectoryError::Store(StoreError::Pending { position })) => Ok(Success::pending(position)),
            Err(DirectoryError::Store(error @ StoreError::NamedByPolicy { .. })) => Err(self.named_by_policy(error)),
            Err(error) => Err(refusal(error)),
        }
    }

    /// The lines themselves are for those who may read them.
    fn named_by_policy(&self, error: StoreError) -> Refusal {
        let lines = match &error {
            StoreError::NamedByPolicy { lines } if self.demand(Right::PoliciesRead).is_ok() => Some(json!(lines)),
            _ => None,
        };
        let refusal = refusal(DirectoryError::Store(error)).detail("reason", "policy lines name it");
        match lines {
            Some(lines) => refusal.detail("lines", lines),
            None => refusal,
        }
    }
}

/// What the directory's refusal is told as.
pub(crate) fn refusal(error: DirectoryError) -> Refusal {
    match error {
        DirectoryError::Gone => not_found("no such row"),
        DirectoryError::Taken => Refusal::new(ErrorCode::Conflict, "taken").detail("reason", "taken"),
        DirectoryError::InUse => Refusal::new(ErrorCode::Conflict, "other rows need it").detail("reason", "in use"),
        DirectoryError::Value(why) => {
            Refusal::new(ErrorCode::ValidationFailed, why.clone()).detail("fields", json!({"": why}))
        }
        DirectoryError::Store(StoreError::CommitUnknown(why)) => {
            Refusal::new(ErrorCode::StoreUnavailable, why).detail("outcome", "unknown")
        }
        DirectoryError::Store(error @ StoreError::Pending { .. }) => {
            Refusal::new(ErrorCode::StoreUnavailable, error.to_string())
        }
        DirectoryError::Store(StoreError::Unavailable(why)) => Refusal::new(ErrorCode::StoreUnavailable, why),
        DirectoryError::Store(StoreError::MissingRight(right)) => AuthError::MissingRight(right).into(),
        DirectoryError::Store(error @ StoreError::NamedByPolicy { .. }) => {
            Refusal::new(ErrorCode::Conflict, error.to_string())
        }
        // It was there when it was looked at.
        DirectoryError::Store(StoreError::Refused(why)) => Refusal::new(ErrorCode::Conflict, why),
    }
}

/// `?limit&after`, as far as they are texts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    limit: Option<String>,
    after: Option<String>,
}

impl Paging {
    pub(super) fn new(limit: Option<String>, after: Option<String>) -> Self {
        Self { limit, after }
    }

    pub(super) fn limit(&self) -> Result<u16, Refusal> {
        let Some(text) = &self.limit else {
            return Ok(DEFAULT_LIMIT);
        };
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.ok_or_else(|| invalid("limit", "must be a whole number from 1 to 200"))
    }

    /// What the cursor marks.
    pub(super) fn mark(&self) -> Result<Option<String>, Refusal> {
        let bad = || invalid("after", "is no cursor that a page gave");
        let Some(cursor) = &self.after else { return Ok(None) };
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
        String::from_utf8(bytes).map(Some).map_err(|_| bad())
    }

    /// The row number that the cursor marks, 0 without one.
    pub(super) fn number(&self) -> Result<i64, Refusal> {
        let Some(mark) = self.mark()? else { return Ok(0) };
        mark.parse()
            .map_err(|_| invalid("after", "is no cursor that a page gave"))
    }
}

/// A page: its items, and the cursor of the next one.
pub(super) fn page(items: Vec<Value>, next: Option<String>) -> Success {
    let next = next.map(|mark| BASE64_URL_SAFE_NO_PAD.encode(mark));
    Success::ok(json!({"items": items, "next": next}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: DirectoryError) -> (u16, Value) {
        let answer = refusal(error).render(&Voice::read(&actix_web::http::header::HeaderMap::new()));
        let status = answer.status().as_u16();
        let bytes = actix_web::body::MessageBody::try_into_bytes(answer.into_body()).unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        (status, body.pointer("/error/details").cloned().unwrap_or_default())
    }

    #[test]
    fn a_commit_whose_outcome_is_not_known_says_so_and_no_error_of_the_database_is_told() {
        let why = || "postgres://user:secret@host is gone".to_owned();
        let unknown = DirectoryError::Store(StoreError::CommitUnknown(why()));
        assert_eq!(told(unknown), (503, json!({"outcome": "unknown"})));
        let unavailable = DirectoryError::Store(StoreError::Unavailable(why()));
        assert_eq!(told(unavailable), (503, Value::Null));
        assert_eq!(told(DirectoryError::Gone), (404, Value::Null));
        assert_eq!(told(DirectoryError::InUse), (409, json!({"reason": "in use"})));
    }

    #[test]
    fn a_limit_is_from_1_to_200_and_a_cursor_one_that_was_given() {
        let limit = |text: &str| Paging::new(Some(text.to_owned()), None).limit().ok();
        assert_eq!(limit("1"), Some(1));
        assert_eq!(limit("200"), Some(200));
        for bad in ["0", "201", "-1", "", "1.0", "x"] {
            assert_eq!(limit(bad), None, "{bad}");
        }
        let number = |text: &str| Paging::new(None, Some(text.to_owned())).number().ok();
        assert_eq!(number(&BASE64_URL_SAFE_NO_PAD.encode("17")), Some(17));
        for bad in ["17", "*", ""] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
