//! The policy's lines: listed, added, removed, and asked.

use bekci_core::{
    AccessRequest, Consistency, ErrorCode, GuardName, Held, IdentityVersion, ModelName, Need, PolicyLine, PrincipalKey,
    RoleName, TenantName, Verdict, View, canonical_path, signin::StoreError,
};
use bekci_store::DirectoryError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Right,
    call::{Answer, Call, Caller, Paging, not_found, page, refusal},
    rights::{names, tenant},
};
use crate::{
    auth::{answer::Success, body::invalid},
    respond::Refusal,
};

/// More than anybody adds by hand, and few enough to be compiled while a caller waits.
const MAX_LINES: usize = 100;
/// As for upstreams' paths: no rule is written for a longer one.
const MAX_PATH: usize = 2_048;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    lines: Vec<String>,
}

/// A question; `roles` stand for those that the principal holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    principal: String,
    guard: Option<String>,
    roles: Option<Vec<String>>,
    tenant: Option<String>,
    path: String,
    method: String,
}

/// A line as it would stand in a file; one that raw SQL made unprintable has none.
fn text(line: &PolicyLine) -> Option<String> {
    let text = bekci_policy::print_csv([line]).ok()?;
    Some(text.trim_end().to_owned())
}

impl Lines {
    fn read(&self) -> Result<Vec<PolicyLine>, Refusal> {
        let bad = |rule: &str| invalid("lines", rule);
        if !(1..=MAX_LINES).contains(&self.lines.len()) {
            return Err(bad("must have 1 to 100 lines"));
        }
        let one = |text: &String| {
            let read = bekci_policy::parse_csv(text).map_err(|error| bad(&error.to_string()))?;
            let mut read = read.into_iter();
            match (read.next(), read.next()) {
                (Some(line), None) => Ok(line.line),
                _ => Err(bad("must each be one line that says something")),
            }
        };
        self.lines.iter().map(one).collect()
    }
}

/// What the store's refusal of a change of lines is told as: where it says what is wrong with the policy, that is the caller's fault.
fn judged(error: StoreError) -> Result<DirectoryError, Refusal> {
    match error {
        StoreError::Refused(why) => {
            let why = why.strip_prefix("bekci: ").unwrap_or(&why);
            Err(invalid("lines", why))
        }
        error => Ok(DirectoryError::Store(error)),
    }
}

fn must_have_model(caller: &Caller) -> Result<(), Refusal> {
    if caller.mounted.bekci.store().policies().have_model() {
        Ok(())
    } else {
        let refusal = Refusal::new(ErrorCode::Conflict, "no policy model is configured");
        Err(refusal.detail("reason", "no policy model"))
    }
}

pub(super) async fn list(call: Call) -> Answer {
    let caller = call.bare(Right::PoliciesRead).await?;
    let paging: Paging = caller.query()?;
    let (after, limit) = (paging.number()?, paging.limit()?);
    let found = caller.mounted.bekci.store().policies().page(after, limit).await;
    let found = found.map_err(|error| refusal(DirectoryError::Store(error)))?;
    let shown = |(id, line): &(i64, PolicyLine)| json!({"id": id, "kind": line.kind, "values": line.values, "line": text(line)});
    Ok(page(
        found.lines.iter().map(shown).collect(),
        found.next.map(|id| id.to_string()),
    ))
}

pub(super) async fn add(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::PoliciesManage).await?;
    let lines = caller.body::<Lines>(payload).await?.read()?;
    must_have_model(&caller)?;
    let texts: Vec<Option<String>> = lines.iter().map(text).collect();
    let added = caller.store().policies().add(&lines).await;
    let result = match added {
        Ok(committed) => Ok(committed),
        Err(error) => Err(judged(error)?),
    };
    caller.done(result, json!({"lines": texts}))
}

pub(super) async fn remove(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::PoliciesManage).await?;
    let lines = caller.body::<Lines>(payload).await?.read()?;
    must_have_model(&caller)?;
    let texts: Vec<Option<String>> = lines.iter().map(text).collect();
    let removed = caller.store().policies().remove(&lines).await;
    let (count, result) = match removed {
        Ok((0, _)) => return Err(not_found("none of these lines is there")),
        Ok((count, committed)) => (Some(count), Ok(committed)),
        Err(error) => (None, Err(judged(error)?)),
    };
    caller.done(result, json!({"lines": texts, "removed": count}))
}

/// A question that was read.
struct Asked {
    key: PrincipalKey,
    guard: GuardName,
    roles: Option<Vec<RoleName>>,
    tenant: Option<TenantName>,
    path: String,
    method: String,
}

impl Asked {
    fn read(caller: &Caller, question: Question) -> Result<Self, Refusal> {
        let bad = || invalid("principal", "must be <model>:<id> of an account");
        let key = PrincipalKey::parse(&question.principal).map_err(|_| bad())?;
        let model = ModelName::new(key.model()).map_err(|_| bad())?;
        let spec = caller.mounted.bekci.watch().model(&model).ok_or_else(bad)?;
        let path = canonical_path(&question.path, false).ok();
        let path = path.filter(|path| question.path.len() <= MAX_PATH && *path == question.path);
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !(1..=32).contains(&question.method.len()) || !question.method.bytes().all(is_token) {
            return Err(invalid("method", "must be a method, such as GET"));
        }
        Ok(Self {
            key: spec.key(key.id()).map_err(|_| bad())?,
            guard: caller.guard(question.guard.as_deref(), |of| *of == model)?,
            roles: question
                .roles
                .as_deref()
                .map(|texts| names("roles", texts))
                .transpose()?,
            tenant: tenant(question.tenant.as_deref())?,
            path: path
                .ok_or_else(|| invalid("path", "must be a canonical path"))?
                .into_owned(),
            method: question.method,
        })
    }
}

async fn view(caller: &Caller, asked: &Asked) -> Result<View, Refusal> {
    let identities = caller.mounted.bekci.identities();
    let need = Need {
        key: &asked.key,
        guard: &asked.guard,
        tenant: asked.tenant.as_ref(),
        at_least: IdentityVersion(0),
        policy: true,
        consistency: Consistency::Direct,
    };
    let read = identities.read(&need, identities.ticket()).await;
    read.map_err(|error| Refusal::new(ErrorCode::StoreUnavailable, error.to_string()))
}

pub(super) async fn check(call: Call) -> Answer {
    let (caller, payload) = call.by(Right::PoliciesRead).await?;
    let question: Question = caller.body(payload).await?;
    // The answer tells which roles it holds.
    if question.roles.is_none() {
        caller.demand(Right::PrincipalsRead)?;
    }
    must_have_model(&caller)?;
    let asked = Asked::read(&caller, question)?;
    let view = view(&caller, &asked).await?;
    if asked.roles.is_none() && !view.identity.exists {
        return Err(invalid("principal", "there is no such account"));
    }
    let held = Held {
        identity: &view.identity,
        guard: &asked.guard,
        tenant: asked.tenant.as_ref(),
        roles: &view.roles,
        in_force: true,
    };
    let roles: Vec<&str> = match &asked.roles {
        Some(roles) => roles.iter().map(RoleName::as_str).collect(),
        None => held.role_names(),
    };
    let policy = view.policy.as_ref();
    let policy = policy.ok_or_else(|| Refusal::new(ErrorCode::StoreUnavailable, "no policy is loaded"))?;
    let told = policy.explain(&AccessRequest {
        principal: &asked.key,
        guard: &asked.guard,
        roles: &roles,
        tenant: asked.tenant.as_ref(),
        object: &asked.path,
        action: &asked.method,
    });
    let (allowed, reason) = match &told.verdict {
        Verdict::Allow { reason } => (true, reason),
        Verdict::Deny { reason } => (false, reason),
    };
    Ok(Success::ok(json!({
        "allowed": allowed,
        "line": told.line.as_ref().map_or(Value::Null, |line| text(line).into()),
        "reason": &**reason,
        "principal": asked.key.as_str(),
        "guard": asked.guard,
        "roles": roles,
    })))
}
