//! Rows of mailed secrets that sign in: opened, tried and spent.
//!
//! 1. A try is counted by one conditional statement of its own, before anything is compared. So nothing that follows, and no crash, gives it back.
//! 2. Spending is one conditional statement in the transaction that makes or changes the account and opens the session.
//! 3. The row of an address without an account stands for its keyed hash, where no id of an account can be: `@` and the hash.

use async_trait::async_trait;
use bekci_core::{
    IdpName, ModelSpec, PrincipalKey, SessionId,
    accounts::{Addressee, CodeProof},
    codes::{
        CODE_HASH_BYTES, CodeOwner, CodeStore, CodeTry, Entrance, FoundCode, NewSignInCode, Redeemed, VerificationCode,
    },
    identifier::is_same,
    mail::EmailAddress,
    signin::{Confirmation, NewSession, OpenedTemporary, StoreError, Temporary},
};
use sea_orm::{
    ConnectionTrait as _, DbErr, TransactionSession as _,
    sea_query::{Cond, Expr, ExprTrait as _, Query},
};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

use super::{
    AccountChange, DirectoryError,
    own::{CODES, OwnAccounts, store_error, unavailable},
};
use crate::{
    Actor,
    authority::Locks,
    commit::Barrier,
    guarded::GuardedTransaction,
    identifiers,
    sessions::{Held, lock_text},
    sql::{as_text, micros, quoted_table, statement},
};

/// The column that a new account takes the first part of its address as.
const USERNAME: &str = "username";
/// How many numbers are tried behind a user name that is taken.
const MOST_NUMBERS: u32 = 50;

/// Why nothing was done.
pub(super) enum Undone {
    Told(Redeemed),
    Error(StoreError),
}

impl From<DbErr> for Undone {
    fn from(error: DbErr) -> Self {
        Self::Error(unavailable(error))
    }
}

impl From<DirectoryError> for Undone {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Taken => Self::Told(Redeemed::Taken),
            DirectoryError::Gone => Self::Told(Redeemed::Dead),
            DirectoryError::Value(why) => Self::Told(Redeemed::Refused(why)),
            error => Self::Error(store_error(error)),
        }
    }
}

/// What was done within the transaction.
pub(super) struct Done {
    pub(super) key: PrincipalKey,
    pub(super) is_new: bool,
    pub(super) change: AccountChange,
    pub(super) ended: Vec<SessionId>,
    pub(super) entered: Entered,
    /// The identity provider that the account was linked to.
    pub(super) linked: Option<IdpName>,
}

/// An account that a sign-in makes.
pub(super) struct Newcomer<'a> {
    pub(super) address: Option<&'a EmailAddress>,
    pub(super) is_verified: bool,
    /// Further columns and their values.
    pub(super) columns: Vec<(String, serde_json::Value)>,
}

pub(super) enum Entered {
    Session(crate::sessions::Permanent),
    /// It waited before, and is given again.
    Waits(Temporary),
    /// It waits from now on, until then.
    Begun(SessionId, Option<bekci_core::TenantName>, OffsetDateTime),
}

/// The row of a reference, of its purpose and guard.
fn named(proof: &CodeProof) -> Cond {
    Cond::all()
        .add(Expr::col("id").eq(proof.id.to_string()))
        .add(Expr::col("purpose").eq(proof.purpose.as_str()))
        .add(Expr::col("guard").eq(proof.guard.as_str()))
}

/// The same, not spent and in time.
fn live(proof: &CodeProof) -> Cond {
    named(proof)
        .add(Expr::col("spent_at").is_null())
        .add(Expr::col("expires_at").gt(micros(proof.now)))
}

/// Model and id of the row's owner.
fn owner_of(owner: &CodeOwner) -> (String, String) {
    match owner {
        CodeOwner::Account(key) => (key.model().to_owned(), key.id().to_owned()),
        CodeOwner::Address(model, hash) => (model.to_string(), format!("@{hash}")),
    }
}

/// Whether a presented hash is one of those that the row holds. Each is compared whole.
fn is_one_of(held: &[u8], presented: &[u8]) -> bool {
    let mut found = subtle::Choice::from(0);
    for one in held.chunks(CODE_HASH_BYTES) {
        found |= one.ct_eq(presented);
    }
    found.into()
}

impl OwnAccounts {
    pub(super) async fn spend_live(transaction: &GuardedTransaction, proof: &CodeProof) -> Result<bool, DbErr> {
        let update = Query::update()
            .table(CODES)
            .value("spent_at", micros(proof.now))
            .cond_where(live(proof))
            .take();
        Ok(transaction.execute(&update).await?.rows_affected() == 1)
    }

    /// A user name for a new account, if its model has the column: the part of the address before `@`, with a number where that is taken.
    async fn free_username(
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        local: &str,
    ) -> Result<Option<String>, DbErr> {
        let identifies = spec.identifiers.iter().any(|(name, _)| name == USERNAME);
        if !identifies && !spec.cached_attributes.iter().any(|name| name == USERNAME) {
            return Ok(None);
        }
        for number in 1..=MOST_NUMBERS {
            let name = match number {
                1 => local.to_owned(),
                _ => format!("{local}{number}"),
            };
            let is_taken = match identifies {
                true => identifiers::is_taken(transaction, spec, None, &name).await?,
                false => Self::has_username(transaction, spec, &name).await?,
            };
            if !is_taken {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    async fn has_username(transaction: &GuardedTransaction, spec: &ModelSpec, name: &str) -> Result<bool, DbErr> {
        let backend = transaction.get_database_backend();
        lock_text(transaction, &format!("@username:{}:{}", spec.name, name.to_lowercase())).await?;
        let sql = format!(
            "SELECT 1 FROM {} WHERE lower({}) = lower($1) LIMIT 1",
            quoted_table(&spec.table),
            as_text(USERNAME)
        );
        let row = transaction
            .query_one_raw(statement(backend, sql, [name.into()]))
            .await?;
        Ok(row.is_some())
    }

    /// Makes an account that signs in without a password.
    pub(super) async fn make_account(
        &self,
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        newcomer: Newcomer<'_>,
    ) -> Result<PrincipalKey, Undone> {
        let mut columns = newcomer.columns;
        if let Some(address) = newcomer.address {
            let column = spec.address_column().ok_or(Undone::Told(Redeemed::Dead))?.to_owned();
            columns.push((column, json!(address.as_str())));
            if let Some(name) = Self::free_username(transaction, spec, address.local_part()).await? {
                columns.push((USERNAME.to_owned(), json!(name)));
            }
        }
        let verified = newcomer.is_verified && newcomer.address.is_some();
        let account = AccountChange {
            columns,
            password_hash: None,
            verified: spec.verified_column.as_ref().filter(|_| verified).map(|_| true),
        };
        Ok(self.directory().insert_within(transaction, spec, &account).await?)
    }

    /// Opens the session of an account, or its temporary identity.
    pub(super) async fn open_for(
        &self,
        transaction: &GuardedTransaction,
        key: &PrincipalKey,
        entrance: &Entrance,
    ) -> Result<Entered, Undone> {
        let session = entrance.session(key.clone());
        let sessions = self.0.sessions();
        match entrance.waits_until {
            None => match sessions.open_within(transaction, &session).await? {
                Ok(permanent) => Ok(Entered::Session(permanent)),
                Err(refused) => Err(Undone::Told(Redeemed::Session(key.clone(), refused))),
            },
            Some(until) => match sessions.hold_within(transaction, &session, until).await? {
                Held::Refused(refused) => Err(Undone::Told(Redeemed::Waiting(key.clone(), refused))),
                Held::Waits(temporary) => Ok(Entered::Waits(temporary)),
                Held::Begun(tenant) => Ok(Entered::Begun(entrance.id, tenant, until)),
            },
        }
    }

    /// Verifies the address of an account by the mail that was read.
    ///
    /// A guard that requires a verified address has opened no session for this account yet. A password that it has was set by a client that did not prove the address, and
    /// would work from now on. So it is removed, and sessions that other guards opened end.
    async fn verify_address(
        &self,
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        (before, entrance): (&Addressee, &Entrance),
    ) -> Result<(AccountChange, Vec<SessionId>), Undone> {
        let mut change = AccountChange::default();
        if before.verified || spec.verified_column.is_none() {
            return Ok((change, Vec::new()));
        }
        change.verified = Some(true);
        let mut ended = Vec::new();
        if entrance.guard.require_verified_email && spec.password_column.is_some() {
            change.password_hash = Some(String::new().into());
            ended = self
                .end_sessions(transaction, &before.key, ("address_verified", None))
                .await?;
        }
        self.directory()
            .update_within(transaction, spec, &before.key, &change)
            .await?;
        Ok((change, ended))
    }

    async fn redeem_within(
        &self,
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        (found, proof, entrance): (&FoundCode, &CodeProof, &Entrance),
    ) -> Result<Done, Undone> {
        let dead = || Undone::Told(Redeemed::Dead);
        if !Self::spend_live(transaction, proof).await? {
            return Err(dead());
        }
        let (key, is_new, (change, ended)) = match &found.account {
            Some(key) => {
                let before = self.addressee_in(transaction, spec, key).await?.ok_or_else(dead)?;
                let held = before.address.as_ref().ok_or_else(dead)?;
                if !is_same(held.as_str(), found.address.as_str(), true) {
                    return Err(dead());
                }
                let verified = self.verify_address(transaction, spec, (&before, entrance)).await?;
                (key.clone(), false, verified)
            }
            None if entrance.makes_account => {
                // The mail that was read verifies the address.
                let newcomer = Newcomer {
                    address: Some(&found.address),
                    is_verified: true,
                    columns: Vec::new(),
                };
                let key = self.make_account(transaction, spec, newcomer).await?;
                (key, true, Default::default())
            }
            None => return Err(dead()),
        };
        let entered = self.open_for(transaction, &key, entrance).await?;
        Ok(Done {
            key,
            is_new,
            change,
            ended,
            entered,
            linked: None,
        })
    }

    /// Commits what was done, or takes it back.
    pub(super) async fn ended(
        &self,
        transaction: GuardedTransaction,
        spec: &ModelSpec,
        done: Result<Done, Undone>,
    ) -> Result<Redeemed, StoreError> {
        match done {
            Ok(done) => self.redeemed(transaction, spec, done).await,
            Err(undone) => {
                transaction.rollback().await.map_err(unavailable)?;
                match undone {
                    Undone::Told(told) => Ok(told),
                    Undone::Error(error) => Err(error),
                }
            }
        }
    }

    /// Commits, reports, and gives what the sign-in needs.
    pub(super) async fn redeemed(
        &self,
        transaction: GuardedTransaction,
        spec: &ModelSpec,
        done: Done,
    ) -> Result<Redeemed, StoreError> {
        let key = done.key;
        let changes = done.is_new || done.change.verified.is_some();
        let barrier = if changes { Barrier::Always } else { Barrier::Auto };
        let committed = transaction.commit_with(barrier).await;
        let committed = committed.map_err(|error| DirectoryError::Store(error.into()));
        let store = self.0.by(Actor::named(key.as_str()));
        if done.is_new {
            let by = done.linked.as_ref().map_or("itself", IdpName::as_str);
            store.tell("account.registered", Some(&key), &committed, &json!({"by": by}));
        } else if changes {
            store
                .directory()
                .tell_change(spec, &key, &done.change, &done.ended, &committed);
        }
        if let Some(provider) = &done.linked {
            let told = json!({"provider": provider.as_str()});
            store.tell("account.linked", Some(&key), &committed, &told);
        }
        self.0.mails.wake();
        let committed = committed.map_err(store_error)?;
        committed.confirmed()?;
        let version = committed.version_of(&key).ok_or_else(|| {
            StoreError::Unavailable("the triggers on bekci_sessions are missing; run `bekci migrate up`".to_owned())
        });
        Ok(match done.entered {
            Entered::Session(permanent) => Redeemed::Session(key, permanent.opened(version?)),
            Entered::Waits(temporary) => Redeemed::Waiting(key, OpenedTemporary::Open(temporary)),
            Entered::Begun(id, tenant, expires_at) => Redeemed::Waiting(
                key,
                OpenedTemporary::Open(Temporary {
                    id,
                    version: version?,
                    tenant,
                    expires_at,
                    was_there: false,
                }),
            ),
        })
    }
}

#[async_trait]
impl CodeStore for OwnAccounts {
    async fn open_sign_in(&self, order: &NewSignInCode) -> Result<(), StoreError> {
        let account = match &order.owner {
            CodeOwner::Account(key) => Some(key),
            CodeOwner::Address(..) => None,
        };
        let (model, id) = owner_of(&order.owner);
        let transaction = self.0.begin_change(Locks::Principal, account).await?.transaction;
        if account.is_none() {
            // Two at once for one address would both stay live.
            let lock = lock_text(&transaction, &format!("@code:{model}:{id}")).await;
            lock.map_err(unavailable)?;
        }
        let kept = self.keep_code(&transaction, (&model, &id), &order.code).await;
        kept.map_err(unavailable)?;
        if let Some(mail) = &order.mail {
            self.0.mails.enqueue(&transaction, mail).await.map_err(unavailable)?;
        }
        transaction.commit_with(Barrier::Auto).await?;
        self.0.mails.wake();
        Ok(())
    }

    async fn find_code(&self, proof: &CodeProof) -> Result<Option<FoundCode>, StoreError> {
        let read = Query::select()
            .columns(["model", "principal_id", "about"])
            .from(CODES)
            .cond_where(named(proof))
            .take();
        let row = self.0.node.db().query_one(&read).await.map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        let text = |column: &str| row.try_get::<String>("", column).map_err(unavailable);
        let (model, owner) = (text("model")?, text("principal_id")?);
        let about: Vec<u8> = row.try_get("", "about").map_err(unavailable)?;
        let Some(about) = self.0.mails.open_about(&proof.id.to_string(), &about) else {
            return Ok(None);
        };
        Ok(Some(FoundCode {
            address: about.address,
            account: PrincipalKey::parse(&format!("{model}:{owner}")).ok(),
        }))
    }

    async fn try_code(&self, proof: &CodeProof, most: u32) -> Result<CodeTry, StoreError> {
        let db = self.0.node.db();
        let update = Query::update()
            .table(CODES)
            .value("tries", Expr::col("tries").add(1))
            .cond_where(live(proof))
            .and_where(Expr::col("tries").lt(i32::try_from(most).unwrap_or(i32::MAX)))
            .take();
        let counted = db.execute(&update).await.map_err(unavailable)?.rows_affected() == 1;
        let read = Query::select()
            .columns(["code_hash", "spent_at", "expires_at"])
            .from(CODES)
            .cond_where(named(proof))
            .take();
        let row = db.query_one(&read).await.map_err(unavailable)?;
        let Some(row) = row else { return Ok(CodeTry::Dead) };
        let spent: Option<i64> = row.try_get("", "spent_at").map_err(unavailable)?;
        let expires_at: i64 = row.try_get("", "expires_at").map_err(unavailable)?;
        if !counted {
            let is_expired = spent.is_none() && expires_at <= micros(proof.now);
            return Ok(if is_expired { CodeTry::Expired } else { CodeTry::Dead });
        }
        let held: Vec<u8> = row.try_get("", "code_hash").map_err(unavailable)?;
        Ok(match is_one_of(&held, &proof.hash) {
            true => CodeTry::Right,
            false => CodeTry::Wrong,
        })
    }

    async fn redeem(&self, proof: &CodeProof, entrance: &Entrance) -> Result<Redeemed, StoreError> {
        let model = &entrance.guard.model;
        let Some(found) = self.find_code(proof).await? else {
            return Ok(Redeemed::Dead);
        };
        let is_foreign = found.account.as_ref().is_some_and(|key| key.model() != model.as_str());
        let spec = self.0.node.model(model.as_str()).filter(|_| !is_foreign).cloned();
        let Some(spec) = spec else {
            return Ok(Redeemed::Dead);
        };
        let begun = self.0.begin_change(Locks::Principal, found.account.as_ref()).await?;
        let transaction = begun.transaction;
        let done = self.redeem_within(&transaction, &spec, (&found, proof, entrance)).await;
        self.ended(transaction, &spec, done).await
    }

    async fn open_temporary(
        &self,
        session: &NewSession,
        expires_at: OffsetDateTime,
        code: &dyn VerificationCode,
    ) -> Result<OpenedTemporary, StoreError> {
        self.hold_with_code(session, expires_at, code).await
    }

    async fn resend(&self, proof: &CodeProof, code: &dyn VerificationCode) -> Result<bool, StoreError> {
        self.mail_again(proof, code).await
    }

    async fn confirm(&self, proof: &CodeProof, order: &Confirmation) -> Result<Redeemed, StoreError> {
        self.confirm_by_code(proof, order).await
    }
}
