//! A principal as of now: what is stored, cached and decided by.

pub(crate) mod source;

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    key::PrincipalKey,
    name::{GuardName, Permission, RoleName, TenantName},
    session::{SessionId, TEMPORARY},
    signin::SignInTenant,
    token::TokenId,
};

/// How often a principal's identity has changed: a counter kept in the database, given at commit, never taken back, not even when the
/// account is deleted and made again. 0: never changed since the counter was laid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdentityVersion(pub u64);

impl fmt::Display for IdentityVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Why and until when an account is banned; kept beside the status that bans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// What the principal is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// When the ban ends by itself, judged by the clock; `None`: it does not.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::timestamp::option"
    )]
    pub until: Option<OffsetDateTime>,
}

/// A token or a session that is blocked, with the reason that its holder is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The one token that is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<TokenId>,
    /// The session of which every token is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<SessionId>,
    /// What the holder is told.
    pub reason: Box<str>,
    /// When the block ends by itself; `None`: it does not.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::timestamp::option"
    )]
    pub until: Option<OffsetDateTime>,
}

/// A session that has not ended. Sessions are listed live, not revoked: one that is not in the list is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSession {
    /// Its id, the `sid` of its tokens.
    pub id: SessionId,
    /// The guard through which it was opened; tokens of other guards do not live by it.
    pub guard: GuardName,
    /// Access tokens of a lower generation are refused.
    #[serde(default)]
    pub min_generation: u32,
    /// When somebody last proved who they are in it (seconds since 1970): what freshness is counted from.
    pub authenticated_at: i64,
    /// When it ends whatever is done (seconds since 1970); `None`: no absolute end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// How it was opened: `password`, `remembered`; [`TEMPORARY`] before it is verified.
    pub way: Box<str>,
    /// Whether a remember-me cookie opened it. Such a session is never fresh.
    #[serde(default)]
    pub remembered: bool,
}

impl LiveSession {
    /// Whether it stands for a temporary identity: temporary tokens live by it, and no others.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        &*self.way == TEMPORARY
    }
}

/// What a principal was given within one guard, globally or in one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopedRights {
    /// The guard in which these rights count.
    pub guard: GuardName,
    /// The tenant in which they count; `None`: global, they count wherever the principal belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// Names of roles. What a role permits is in its [`RoleTable`](crate::RoleTable); one that no table knows permits nothing.
    #[serde(default, skip_serializing_if = "<[RoleName]>::is_empty")]
    pub roles: Box<[RoleName]>,
    /// Permissions given directly.
    #[serde(default, skip_serializing_if = "<[Permission]>::is_empty")]
    pub granted: Box<[Permission]>,
    /// Permissions denied: a denial wins over whatever grants.
    #[serde(default, skip_serializing_if = "<[Permission]>::is_empty")]
    pub denied: Box<[Permission]>,
}

/// The cached view of a principal: all that a decision needs of it, and the attributes that the developer chose.
///
/// An account that does not exist has an identity too, with `exists` false, so that its tokens are refused without asking the database each time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Whose identity it is.
    pub key: PrincipalKey,
    /// Whether the account exists.
    pub exists: bool,
    /// The value of the model's status column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Box<str>>,
    /// Whether the status is one that bans, by the model's settings when the identity was loaded.
    #[serde(default)]
    pub banned: bool,
    /// Whether the status neither bans nor is one that lets in, by the same settings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inactive: bool,
    /// Reason and end of the ban, where they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ban: Option<Ban>,
    /// Whether the address is verified; true where the model has no such column.
    pub verified: bool,
    /// The tenant that the account belongs to, where its model has such a column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// Roles, grants and denials by guard and tenant.
    #[serde(default, skip_serializing_if = "<[ScopedRights]>::is_empty")]
    pub rights: Box<[ScopedRights]>,
    /// The sessions that live.
    #[serde(default, skip_serializing_if = "<[LiveSession]>::is_empty")]
    pub sessions: Box<[LiveSession]>,
    /// What is blocked.
    #[serde(default, skip_serializing_if = "<[Block]>::is_empty")]
    pub blocks: Box<[Block]>,
    /// The chosen attributes, by column.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

impl Identity {
    /// The identity of an account that does not exist.
    #[must_use]
    pub fn absent(key: PrincipalKey) -> Self {
        Self {
            key,
            exists: false,
            status: None,
            banned: false,
            inactive: false,
            ban: None,
            verified: false,
            tenant: None,
            rights: Box::default(),
            sessions: Box::default(),
            blocks: Box::default(),
            attributes: serde_json::Map::new(),
        }
    }

    /// The scopes of rights that count for a guard where `tenant` is asked about: the global one and that tenant's.
    pub fn scopes<'a>(
        &'a self,
        guard: &'a GuardName,
        tenant: Option<&'a TenantName>,
    ) -> impl Iterator<Item = &'a ScopedRights> {
        self.rights
            .iter()
            .filter(move |scope| scope.guard == *guard && (scope.tenant.is_none() || scope.tenant.as_ref() == tenant))
    }

    /// Whether the principal belongs to a tenant: its account says so, or, where its model has no tenant column, it holds something there.
    #[must_use]
    pub fn belongs_to(&self, tenant: &TenantName) -> bool {
        match &self.tenant {
            Some(own) => own == tenant,
            None => self.rights.iter().any(|scope| {
                scope.tenant.as_ref() == Some(tenant) && !(scope.roles.is_empty() && scope.granted.is_empty())
            }),
        }
    }

    /// The tenant that a sign-in is for.
    ///
    /// # Errors
    /// The tenant that was named, where the principal does not belong to it.
    pub fn tenant_of_sign_in(&self, asked: &SignInTenant) -> Result<Option<TenantName>, TenantName> {
        match asked {
            SignInTenant::None => Ok(None),
            SignInTenant::OfAccount => Ok(self.tenant.clone()),
            SignInTenant::Named(tenant) if self.belongs_to(tenant) => Ok(Some(tenant.clone())),
            SignInTenant::Named(tenant) => Err(tenant.clone()),
        }
    }

    /// The live session with this id, if it was opened through this guard.
    #[must_use]
    pub fn session(&self, id: SessionId, guard: &GuardName) -> Option<&LiveSession> {
        self.sessions
            .iter()
            .find(|session| session.id == id && session.guard == *guard)
    }

    /// The live sessions of who is signed in: all but those that wait for their verification.
    pub fn open_sessions(&self) -> impl Iterator<Item = &LiveSession> {
        self.sessions.iter().filter(|session| !session.is_temporary())
    }

    /// About how many bytes of memory the identity holds, for bounding a cache.
    #[must_use]
    pub fn weight(&self) -> usize {
        let rights: usize = self
            .rights
            .iter()
            .map(|scope| 120 + 48 * scope.roles.len() + 56 * (scope.granted.len() + scope.denied.len()))
            .sum();
        let attributes: usize = self
            .attributes
            .iter()
            .map(|(name, value)| 64 + name.len() + json_weight(value))
            .sum();
        256 + self.key.as_str().len() + rights + 112 * self.sessions.len() + 96 * self.blocks.len() + attributes
    }
}

fn json_weight(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(items) => items.iter().map(|item| 32 + json_weight(item)).sum(),
        serde_json::Value::Object(fields) => fields
            .iter()
            .map(|(name, item)| 64 + name.len() + json_weight(item))
            .sum(),
        _ => 8,
    }
}
