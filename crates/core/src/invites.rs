//! Invitations: a role for an address, and the port of the store that keeps them.
//!
//! 1. An invitation gives one role at one guard, in one tenant or globally, to the account of one address. It is used once.
//! 2. The inviter needs the permission [`INVITE`] at the guard of the invitation, or the permission of the management API that made it. It must be allowed to grant the
//!    role. All is checked when the invitation is made, and again when it is accepted.
//! 3. The role is remembered by its row. If it was renamed, deleted, moved or shadowed since, the invitation is worth nothing.
//! 4. One conditional statement spends an invitation, in the transaction that makes the account and grants the role.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    accounts::{CodeProof, NewCode, Registration},
    key::PrincipalKey,
    mail::{EmailAddress, Mail},
    name::{GuardName, ModelName, RoleName, TenantName},
    signin::StoreError,
    token::TokenId,
};

/// The permission that an inviter needs.
pub const INVITE: &str = "invites.create";

/// By which right an inviter invites that is signed in through another guard, as by the management API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitedBy {
    /// The guard whose rights of the inviter count.
    pub guard: String,
    /// The permission that the inviter needs there.
    pub right: String,
}

/// What an invitation gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitedTo {
    /// The role.
    pub role: String,
    /// The number of its row.
    pub role_id: i64,
    /// The tenant in which the role is granted; `None`: globally.
    pub tenant: Option<String>,
    /// The inviter's right; `None`: [`INVITE`], at the guard of the invitation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<InvitedBy>,
}

/// An invitation that is to be made. Its address is in `code.about`.
#[derive(Clone, Debug)]
pub struct NewInvite {
    /// The principal that invites.
    pub inviter: PrincipalKey,
    /// By which right it invites; `None`: [`INVITE`], at the guard of `code`.
    pub by: Option<InvitedBy>,
    /// The role that is given.
    pub role: RoleName,
    /// The tenant in which it is given; `None`: globally.
    pub tenant: Option<TenantName>,
    /// The row.
    pub code: NewCode,
    /// The mail to the address.
    pub mail: Mail,
}

/// An invitation that is pending.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    /// Its id.
    pub id: TokenId,
    /// The principal that made it.
    pub inviter: PrincipalKey,
    /// The address that may accept it.
    pub address: EmailAddress,
    /// What it gives.
    pub to: InvitedTo,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it expires.
    pub expires_at: OffsetDateTime,
}

impl fmt::Debug for Invite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Invite")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The result of making an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invited {
    /// It is made, and its mail is queued.
    Made(Invite),
    /// The inviter lacks this right.
    Missing(Box<str>),
    /// The guard has no such role in this tenant.
    NoSuchRole,
}

/// The account that accepts an invitation.
#[derive(Clone, Copy, Debug)]
pub enum Acceptor<'a> {
    /// An account that is signed in.
    Account(&'a PrincipalKey),
    /// A new account.
    New(&'a Registration),
}

/// The result of accepting an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The account holds the role.
    Done {
        /// The account.
        key: PrincipalKey,
        /// The position of the change, if it is not confirmed on every node yet.
        pending: Option<i64>,
    },
    /// The invitation is not good: unknown, used, revoked, expired, of another guard or address, or no longer the inviter's to give.
    Invalid,
    /// Another account has the address.
    Taken,
    /// The table of accounts refuses the new account.
    Refused(String),
}

/// The store as invitations see it.
#[async_trait]
pub trait InviteStore: Send + Sync + fmt::Debug {
    /// Makes an invitation and queues its mail, if the inviter may.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn invite(&self, order: &NewInvite) -> Result<Invited, StoreError>;

    /// The pending invitations of an inviter at a guard, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn pending(
        &self,
        inviter: &PrincipalKey,
        guard: &GuardName,
        now: OffsetDateTime,
    ) -> Result<Vec<Invite>, StoreError>;

    /// Revokes a pending invitation of an inviter at a guard. `false`: there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn revoke(&self, inviter: &PrincipalKey, guard: &GuardName, id: TokenId) -> Result<bool, StoreError>;

    /// Pending invitations of every inviter at a guard, the newest first: at most `limit` of those that come after the one that was made then with this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn pending_at(
        &self,
        guard: &GuardName,
        after: Option<(OffsetDateTime, TokenId)>,
        limit: u16,
        now: OffsetDateTime,
    ) -> Result<Vec<Invite>, StoreError>;

    /// Revokes a pending invitation at a guard, of any inviter. `false`: there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn revoke_at(&self, guard: &GuardName, id: TokenId) -> Result<bool, StoreError>;

    /// The address of an invitation, if it is good now. It is not spent by this.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn invited_address(&self, proof: &CodeProof) -> Result<Option<EmailAddress>, StoreError>;

    /// Spends an invitation and grants its role, in one transaction. When this returns, the change is in force on every node.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn accept(
        &self,
        model: &ModelName,
        proof: &CodeProof,
        acceptor: Acceptor<'_>,
    ) -> Result<Accepted, StoreError>;
}
