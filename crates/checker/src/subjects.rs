//! The principals that are asked about, what each of them holds, and what a decision about them says.

use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::json;

use crate::{
    clock::Moment,
    history::{Register, Verdict},
    http::{Answer, Request},
    world::Admin,
};

/// How the value of a register is read from the roles and permissions that a decision tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    /// The number of the one permission that begins so; 0 where there is none.
    Number(&'static str),
    /// The number of the one role that begins so.
    RoleNumber(&'static str),
    /// Which of eight permissions that begin so is missing, from 1; 0 where none is.
    Missing(&'static str),
    /// 1 where this role is held.
    Role(&'static str),
    /// 1 where this permission is held.
    Permission(&'static str),
}

/// A value that no register ever has: two values at once, or a number that cannot be read.
pub(crate) const NO_VALUE: u32 = u32::MAX;

impl Reading {
    fn of(self, roles: &str, permissions: &str) -> u32 {
        match self {
            Self::Number(prefix) => number(permissions, prefix),
            Self::RoleNumber(prefix) => number(roles, prefix),
            Self::Missing(prefix) => {
                let missing: Vec<u32> = (0..8)
                    .filter(|at| !has(permissions, &format!("{prefix}{at}")))
                    .collect();
                match missing.as_slice() {
                    [] => 0,
                    [one] => one + 1,
                    _ => NO_VALUE,
                }
            }
            Self::Role(name) => u32::from(has(roles, name)),
            Self::Permission(name) => u32::from(has(permissions, name)),
        }
    }
}

fn has(list: &str, name: &str) -> bool {
    list.split(',').any(|held| held == name)
}

fn number(list: &str, prefix: &str) -> u32 {
    let mut found = list.split(',').filter_map(|held| held.strip_prefix(prefix));
    match (found.next(), found.next()) {
        (None, _) => 0,
        (Some(number), None) => number.parse().unwrap_or(NO_VALUE),
        _ => NO_VALUE,
    }
}

/// A session, its access token, and whether it lives: 1 or 0.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) token: String,
    pub(crate) id: String,
    pub(crate) lives: Option<Arc<Register>>,
}

/// A principal.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) id: String,
    /// The newest last. One is asked about at random.
    pub(crate) sessions: RwLock<Vec<Session>>,
    pub(crate) rights: Vec<(Reading, Arc<Register>)>,
    /// 1: banned.
    pub(crate) ban: Option<Arc<Register>>,
    /// 1: its first session is blocked.
    pub(crate) block: Option<Arc<Register>>,
}

/// One check of a register.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) register: String,
    pub(crate) seen: u32,
    pub(crate) verdict: Verdict,
}

/// What a decision came to.
#[derive(Debug)]
pub(crate) enum Decision {
    Allowed(Vec<Check>),
    Refused(Vec<Check>),
    Unavailable,
    /// An answer that no state of the registers explains.
    Unexpected(String),
}

/// The state that a request was made under.
pub(crate) struct Asked<'a> {
    pub(crate) session: &'a Session,
    /// The register of the policy line of the path, where the route asks the policy: 1: allowed.
    pub(crate) policy: Option<&'a Register>,
    pub(crate) sent: Moment,
    pub(crate) read: Moment,
}

impl Subject {
    pub(crate) fn new(id: String, session: Session) -> Self {
        Self {
            id,
            sessions: RwLock::new(vec![session]),
            rights: Vec::new(),
            ban: None,
            block: None,
        }
    }

    pub(crate) fn key(&self) -> String {
        format!("customer:{}", self.id)
    }

    /// Checks everything that an answer says.
    pub(crate) fn judge(&self, answer: &Answer, asked: &Asked<'_>) -> Decision {
        let mut checks = Vec::new();
        let mut check = |register: Option<&Register>, seen: u32| {
            if let Some(register) = register {
                checks.push(Check {
                    register: register.name.clone(),
                    seen,
                    verdict: register.check(seen, asked.sent, asked.read),
                });
            }
            register.is_some()
        };
        let lives = asked.session.lives.as_deref();
        if answer.status == 503 {
            return Decision::Unavailable;
        }
        let code = if answer.status == 200 {
            String::new()
        } else {
            answer.code()
        };
        match (answer.status, code.as_str()) {
            (200, _) | (403, "POLICY_DENIED") => {
                check(lives, 1);
                check(self.ban.as_deref(), 0);
                check(self.block.as_deref(), 0);
                check(asked.policy, u32::from(answer.status == 200));
            }
            (403, "ACCOUNT_BANNED") if check(self.ban.as_deref(), 1) => {}
            (401, "TOKEN_BLOCKED") if check(self.block.as_deref(), 1) => {}
            (401, "TOKEN_INVALID") if check(lives, 0) => {}
            (status, code) => return Decision::Unexpected(format!("{status} {code} about {}", self.key())),
        }
        if answer.status != 200 {
            return Decision::Refused(checks);
        }
        let (roles, permissions) = (answer.header("x-auth-roles"), answer.header("x-auth-permissions"));
        for (reading, register) in &self.rights {
            check(Some(register.as_ref()), reading.of(roles, permissions));
        }
        Decision::Allowed(checks)
    }
}

/// Makes a customer and signs it in.
pub(crate) fn make(admin: &Admin, name: &str) -> Subject {
    let email = format!("{name}@{}", crate::cluster::CUSTOMER_DOMAIN);
    let body = json!({"email": email, "name": name, "password": crate::cluster::PASSWORD, "verified": true});
    let made = admin.must(&Request::new("POST", "/admin/v1/principals/customer").json(&body));
    let id = made
        .pointer("/data/id")
        .and_then(|id| id.as_str())
        .unwrap_or_default()
        .to_owned();
    let session = session_of(&admin.must(&sign_in(&email)), None).unwrap();
    Subject::new(id, session)
}

/// The request that signs a customer in.
pub(crate) fn sign_in(email: &str) -> Request {
    let body = json!({"email": email, "password": crate::cluster::PASSWORD});
    Request::new("POST", "/auth/customer/login").json(&body)
}

/// The session of an answer to that request.
pub(crate) fn session_of(answer: &serde_json::Value, lives: Option<Arc<Register>>) -> Option<Session> {
    let text = |at: &str| answer.pointer(at).and_then(|text| text.as_str()).map(str::to_owned);
    Some(Session {
        token: text("/data/accessToken")?,
        id: text("/data/sessionId")?,
        lives,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_from_the_lists_of_an_answer() {
        let permissions = "d.n0,d.n1,d.n2,d.n4,d.n5,d.n6,d.n7,g.n17,h.n3,h.n4";
        assert_eq!(Reading::Number("g.n").of("", permissions), 17);
        assert_eq!(Reading::Number("x.").of("", permissions), 0);
        assert_eq!(Reading::Number("h.n").of("", permissions), NO_VALUE);
        assert_eq!(Reading::Missing("d.n").of("", permissions), 4);
        assert_eq!(Reading::RoleNumber("rank-").of("base,rank-5", ""), 5);
        assert_eq!(Reading::Role("base").of("base,rank-5", ""), 1);
        assert_eq!(Reading::Permission("g.n1").of("", permissions), 0);
    }
}
