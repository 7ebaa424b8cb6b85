//! Invitations: rows of `bekci_codes` whose owner is the inviter.
//!
//! 1. The inviter's rights are read in the transaction that writes, when an invitation is made and when it is accepted.
//! 2. The owner stands with a `>` before its id. So a new password of the inviter ends its codes, and not its invitations.
//! 3. An account cannot accept its own invitation, since no account may change its own rights.

use async_trait::async_trait;
use bekci_core::{
    GuardName, ModelName, ModelSpec, Permission, PrincipalKey, RoleName, TenantName, TokenId,
    accounts::{CodeAbout, CodeProof, CodePurpose},
    identifier::is_same,
    invites::{Accepted, Acceptor, INVITE, Invite, InviteStore, Invited, InvitedBy, InvitedTo, NewInvite},
    mail::EmailAddress,
    signin::StoreError,
};
use sea_orm::{
    ConnectionTrait, DbErr, Order, QueryResult, TransactionSession as _,
    sea_query::{Cond, Expr, ExprTrait as _, Query, SelectStatement},
};
use serde_json::json;
use time::OffsetDateTime;

use super::{
    AccountChange, DirectoryError,
    own::{CODES, OwnAccounts, good, store_error, unavailable},
};
use crate::{
    Actor, Caller, Store,
    audit::Direct,
    authority::{Change, Locks},
    commit::CommitError,
    guarded::GuardedTransaction,
    load,
    rights::{RoleEntry, Scope, role_named},
    sql::{from_micros, micros},
};

/// Why an invitation is not accepted.
enum Unaccepted {
    Told(Accepted),
    Error(StoreError),
}

impl From<DbErr> for Unaccepted {
    fn from(error: DbErr) -> Self {
        Self::Error(unavailable(error))
    }
}

impl From<StoreError> for Unaccepted {
    fn from(error: StoreError) -> Self {
        match error {
            // The inviter may not give the role any more, or the role is gone.
            StoreError::MissingRight(_) | StoreError::Refused(_) => Self::Told(Accepted::Invalid),
            error => Self::Error(error),
        }
    }
}

impl From<DirectoryError> for Unaccepted {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Taken => Self::Told(Accepted::Taken),
            DirectoryError::Value(why) => Self::Told(Accepted::Refused(why)),
            error => Self::Error(store_error(error)),
        }
    }
}

/// What was done within the transaction.
struct Done {
    key: PrincipalKey,
    is_new: bool,
    scope: Scope,
    before: Direct,
    after: Direct,
}

/// The owner of an inviter's rows: no id of an account has this form.
fn owner_of(inviter: &PrincipalKey) -> String {
    format!(">{}", inviter.id())
}

/// The inviter of an owner.
fn inviter_of(row: &QueryResult) -> Result<Option<PrincipalKey>, DbErr> {
    let (model, owner): (String, String) = (row.try_get("", "model")?, row.try_get("", "principal_id")?);
    let id = owner.strip_prefix('>');
    Ok(id.and_then(|id| PrincipalKey::parse(&format!("{model}:{id}")).ok()))
}

/// The pending invitations of an inviter at a guard.
fn of(inviter: &PrincipalKey, guard: &GuardName) -> Cond {
    at(guard)
        .add(Expr::col("model").eq(inviter.model()))
        .add(Expr::col("principal_id").eq(owner_of(inviter)))
}

/// The pending invitations at a guard.
fn at(guard: &GuardName) -> Cond {
    Cond::all()
        .add(Expr::col("purpose").eq(CodePurpose::Invite.as_str()))
        .add(Expr::col("guard").eq(guard.as_str()))
        .add(Expr::col("spent_at").is_null())
}

/// What is read of an invitation.
const COLUMNS: [&str; 6] = ["id", "model", "principal_id", "about", "created_at", "expires_at"];

/// Reads those of these invitations that have not expired, the newest first.
fn pending(which: Cond, now: OffsetDateTime) -> SelectStatement {
    Query::select()
        .columns(COLUMNS)
        .from(CODES)
        .cond_where(which)
        .and_where(Expr::col("expires_at").gt(micros(now)))
        .order_by("created_at", Order::Desc)
        .order_by("id", Order::Asc)
        .take()
}

/// The role that a name means in a scope: the tenant's own, else the global one.
async fn role_meant<C: ConnectionTrait>(db: &C, scope: &Scope, name: &RoleName) -> Result<Option<RoleEntry>, DbErr> {
    match role_named(db, scope, name).await? {
        Some(role) => Ok(Some(role)),
        None => role_named(db, &Scope::global(scope.guard.clone()), name).await,
    }
}

impl OwnAccounts {
    /// The same store, on behalf of an inviter to this guard.
    fn by_inviter(
        &self,
        inviter: &PrincipalKey,
        guard: &GuardName,
        by: Option<&InvitedBy>,
    ) -> Result<Store, StoreError> {
        let (guard, right) = match by {
            Some(by) => (GuardName::new(&by.guard), by.right.as_str()),
            None => (Ok(guard.clone()), INVITE),
        };
        let refused = |fault: bekci_core::NameError| StoreError::Refused(fault.to_string());
        Ok(self.0.on_behalf_of(Caller {
            key: inviter.clone(),
            guard: guard.map_err(refused)?,
            right: Permission::new(right).map_err(refused)?,
        }))
    }

    async fn invite_within(&self, change: &mut Change, order: &NewInvite) -> Result<Option<Invite>, StoreError> {
        let scope = Scope {
            guard: order.code.guard.clone(),
            tenant: order.tenant.clone(),
        };
        let transaction = &change.transaction;
        let role = role_meant(transaction, &scope, &order.role)
            .await
            .map_err(unavailable)?;
        let Some(role) = role else { return Ok(None) };
        if let Some(authority) = &mut change.authority {
            authority.may_give_named(transaction, &scope, &order.role).await?;
        }
        let to = InvitedTo {
            role: order.role.to_string(),
            role_id: role.id,
            tenant: order.tenant.as_ref().map(ToString::to_string),
            by: order.by.clone(),
        };
        let mut code = order.code.clone();
        code.about.invite = Some(to.clone());
        let owner = (order.inviter.model(), &*owner_of(&order.inviter));
        self.keep_code(transaction, owner, &code).await.map_err(unavailable)?;
        self.0
            .mails
            .enqueue(transaction, &order.mail)
            .await
            .map_err(unavailable)?;
        Ok(Some(Invite {
            id: code.id,
            inviter: order.inviter.clone(),
            address: code.about.address,
            to,
            created_at: code.now,
            expires_at: code.expires_at,
        }))
    }

    fn read_invite(&self, row: &QueryResult) -> Result<Option<Invite>, DbErr> {
        let id: String = row.try_get("", "id")?;
        let about: Vec<u8> = row.try_get("", "about")?;
        let about: Option<CodeAbout> = self.0.mails.open_about(&id, &about);
        let (Some(about), Some(id), Some(inviter)) = (about, TokenId::parse(&id), inviter_of(row)?) else {
            return Ok(None);
        };
        let Some(to) = about.invite else { return Ok(None) };
        Ok(Some(Invite {
            id,
            inviter,
            address: about.address,
            to,
            created_at: from_micros(row.try_get("", "created_at")?),
            expires_at: from_micros(row.try_get("", "expires_at")?),
        }))
    }

    /// An invitation that is good now.
    async fn good_invite(&self, proof: &CodeProof) -> Result<Option<Invite>, StoreError> {
        let read = Query::select()
            .columns(COLUMNS)
            .from(CODES)
            .cond_where(good(proof))
            .take();
        let row = self.0.node.db().query_one(&read).await.map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        self.read_invite(&row).map_err(unavailable)
    }

    async fn read_invites(&self, read: &SelectStatement) -> Result<Vec<Invite>, StoreError> {
        let rows = self.0.node.db().query_all(read).await.map_err(unavailable)?;
        let mut pending = Vec::with_capacity(rows.len());
        for row in rows {
            pending.extend(self.read_invite(&row).map_err(unavailable)?);
        }
        Ok(pending)
    }

    /// Deletes one of these invitations, if it is there.
    async fn revoke_of(&self, of: Cond, id: TokenId, lock: Option<&PrincipalKey>) -> Result<bool, StoreError> {
        let begun = self.0.begin_change(Locks::Principal, lock).await?;
        let delete = Query::delete()
            .from_table(CODES)
            .cond_where(of)
            .and_where(Expr::col("id").eq(id.to_string()))
            .take();
        let done = begun.transaction.execute(&delete).await.map_err(unavailable)?;
        begun.transaction.commit_with(crate::Barrier::Auto).await?;
        Ok(done.rows_affected() == 1)
    }

    /// The role of an invitation, if it is what it was, and its scope.
    async fn role_of_invite(
        transaction: &GuardedTransaction,
        guard: &GuardName,
        to: &InvitedTo,
    ) -> Result<(Scope, RoleName), Unaccepted> {
        let invalid = || Unaccepted::Told(Accepted::Invalid);
        let tenant = to.tenant.as_deref().map(TenantName::new).transpose();
        let scope = Scope {
            guard: guard.clone(),
            tenant: tenant.map_err(|_| invalid())?,
        };
        let name = RoleName::new(&to.role).map_err(|_| invalid())?;
        let role = role_meant(transaction, &scope, &name).await?.ok_or_else(invalid)?;
        if role.id != to.role_id {
            return Err(invalid());
        }
        Ok((scope, name))
    }

    /// The account that holds the role afterwards, and whether it is new.
    async fn acceptor_of(
        &self,
        transaction: &GuardedTransaction,
        (spec, tenant): (&ModelSpec, Option<&TenantName>),
        (invite, acceptor): (&Invite, Acceptor<'_>),
    ) -> Result<(PrincipalKey, bool), Unaccepted> {
        let invalid = || Unaccepted::Told(Accepted::Invalid);
        let is_invited = |address: &EmailAddress| is_same(address.as_str(), invite.address.as_str(), true);
        match acceptor {
            Acceptor::Account(key) => {
                let identity = load::identity(&self.0.node, transaction, key).await?;
                let own = self.addressee_in(transaction, spec, key).await?;
                let held = own.and_then(|own| own.address).filter(|_| identity.exists);
                let is_theirs = key.model() == spec.name.as_str() && held.is_some_and(|held| is_invited(&held));
                is_theirs.then(|| (key.clone(), false)).ok_or_else(invalid)
            }
            Acceptor::New(order) => {
                if !is_invited(&order.address) {
                    return Err(invalid());
                }
                let column = spec.address_column().ok_or_else(invalid)?.to_owned();
                let mut columns = vec![(column, json!(order.address.as_str()))];
                columns.extend(order.attributes.iter().cloned());
                if let (Some(column), Some(tenant)) = (&spec.tenant_column, tenant) {
                    columns.push((column.clone(), json!(tenant.as_str())));
                }
                let account = AccountChange {
                    columns,
                    password_hash: Some(order.password_hash.clone()),
                    verified: spec.verified_column.as_ref().map(|_| true),
                };
                let key = self.directory().insert_within(transaction, spec, &account).await?;
                Ok((key, true))
            }
        }
    }

    async fn accept_within(
        &self,
        change: &mut Change,
        spec: &ModelSpec,
        (proof, invite, acceptor): (&CodeProof, &Invite, Acceptor<'_>),
    ) -> Result<Done, Unaccepted> {
        let transaction = &change.transaction;
        if !Self::spend(transaction, proof).await? {
            return Err(Unaccepted::Told(Accepted::Invalid));
        }
        let (scope, name) = Self::role_of_invite(transaction, &proof.guard, &invite.to).await?;
        let tenant = scope.tenant.as_ref();
        let (key, is_new) = self
            .acceptor_of(transaction, (spec, tenant), (invite, acceptor))
            .await?;
        if let Some(authority) = &mut change.authority {
            authority.not_self(&key)?;
            authority.may_give_named(transaction, &scope, &name).await?;
        }
        let before = Direct::of(transaction, &key, &scope).await?;
        self.0.rights().insert(transaction, &key, &scope, &name).await?;
        let after = Direct::of(transaction, &key, &scope).await?;
        Ok(Done {
            key,
            is_new,
            scope,
            before,
            after,
        })
    }
}

#[async_trait]
impl InviteStore for OwnAccounts {
    async fn invite(&self, order: &NewInvite) -> Result<Invited, StoreError> {
        let store = self.by_inviter(&order.inviter, &order.code.guard, order.by.as_ref())?;
        let made = match store.begin_change(Locks::Principal, None).await {
            Ok(mut change) => match self.invite_within(&mut change, order).await {
                Ok(Some(invite)) => Ok((change, invite)),
                Ok(None) => {
                    change.transaction.rollback().await.map_err(unavailable)?;
                    return Ok(Invited::NoSuchRole);
                }
                Err(error) => {
                    change.transaction.rollback().await.map_err(unavailable)?;
                    Err(error)
                }
            },
            Err(error) => Err(error),
        };
        let (change, invite) = match made {
            Ok(made) => made,
            Err(StoreError::MissingRight(right)) => return Ok(Invited::Missing(right)),
            Err(error) => return Err(error),
        };
        let committed = change.transaction.commit_with(crate::Barrier::Auto).await;
        let told = json!({"invite": invite.id.to_string(), "role": invite.to.role, "tenant": invite.to.tenant});
        let actor = self.0.by(Actor::named(order.inviter.as_str()));
        let committed = committed.map_err(|error| DirectoryError::Store(error.into()));
        actor.tell("invite.made", None, &committed, &told);
        committed.map_err(store_error)?;
        self.0.mails.wake();
        Ok(Invited::Made(invite))
    }

    async fn pending(
        &self,
        inviter: &PrincipalKey,
        guard: &GuardName,
        now: OffsetDateTime,
    ) -> Result<Vec<Invite>, StoreError> {
        self.read_invites(&pending(of(inviter, guard), now)).await
    }

    async fn pending_at(
        &self,
        guard: &GuardName,
        after: Option<(OffsetDateTime, TokenId)>,
        limit: u16,
        now: OffsetDateTime,
    ) -> Result<Vec<Invite>, StoreError> {
        let mut read = pending(at(guard), now);
        if let Some((made, id)) = after {
            let made = micros(made);
            let same_moment = Cond::all()
                .add(Expr::col("created_at").eq(made))
                .add(Expr::col("id").gt(id.to_string()));
            read.cond_where(Cond::any().add(Expr::col("created_at").lt(made)).add(same_moment));
        }
        read.limit(limit.into());
        self.read_invites(&read).await
    }

    async fn revoke_at(&self, guard: &GuardName, id: TokenId) -> Result<bool, StoreError> {
        self.revoke_of(at(guard), id, None).await
    }

    async fn revoke(&self, inviter: &PrincipalKey, guard: &GuardName, id: TokenId) -> Result<bool, StoreError> {
        self.revoke_of(of(inviter, guard), id, Some(inviter)).await
    }

    async fn invited_address(&self, proof: &CodeProof) -> Result<Option<EmailAddress>, StoreError> {
        Ok(self.good_invite(proof).await?.map(|invite| invite.address))
    }

    async fn accept(
        &self,
        model: &ModelName,
        proof: &CodeProof,
        acceptor: Acceptor<'_>,
    ) -> Result<Accepted, StoreError> {
        let Some(invite) = self.good_invite(proof).await? else {
            return Ok(Accepted::Invalid);
        };
        let spec = self.0.node.model(model.as_str()).cloned();
        let spec = spec.filter(|_| self.0.providers().of(model.as_str()).is_none());
        let Some(spec) = spec else { return Ok(Accepted::Invalid) };
        let target = match acceptor {
            Acceptor::Account(key) => Some(key),
            Acceptor::New(_) => None,
        };
        let store = self.by_inviter(&invite.inviter, &proof.guard, invite.to.by.as_ref())?;
        let mut change = match store.begin_change(Locks::Principal, target).await {
            Ok(change) => change,
            Err(StoreError::MissingRight(_)) => return Ok(Accepted::Invalid),
            Err(error) => return Err(error),
        };
        let done = self.accept_within(&mut change, &spec, (proof, &invite, acceptor)).await;
        let done = match done {
            Ok(done) => done,
            Err(unaccepted) => {
                change.transaction.rollback().await.map_err(unavailable)?;
                return match unaccepted {
                    Unaccepted::Told(told) => Ok(told),
                    Unaccepted::Error(error) => Err(error),
                };
            }
        };
        let committed = self.directory().commit(change.transaction).await;
        let actor = self.0.by(Actor::named(done.key.as_str()));
        if done.is_new {
            let told = json!({"by": "invitation"});
            actor.tell("account.registered", Some(&done.key), &committed, &told);
        }
        let told = json!({"invite": invite.id.to_string(), "inviter": invite.inviter.as_str()});
        actor.tell("invite.accepted", Some(&done.key), &committed, &told);
        actor.tell_rights(&done.key, &done.scope, (&done.before, &done.after), &committed);
        let pending = match committed.map_err(store_error)?.confirmed() {
            Ok(()) => None,
            Err(CommitError::Unconfirmed { position }) => Some(position),
            Err(error) => return Err(error.into()),
        };
        Ok(Accepted::Done { key: done.key, pending })
    }
}
