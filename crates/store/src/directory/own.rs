//! What people do with their own accounts: registering, and changes by who is signed in or by a secret that was mailed.
//!
//! Each is one transaction: the secret is spent, the account is changed, what must end ends, and the mail that tells the owner is queued, or nothing of it happens. It takes its turn
//! with sign-ins of the account, so that no session is opened by what has just ended.

use async_trait::async_trait;
use bekci_core::{
    ModelName, ModelSpec, PrincipalKey, SessionId,
    accounts::{
        AccountStore, Addressee, CodeAbout, CodeProof, CodePurpose, NewCode, NewPassword, Notices, OwnChange,
        OwnChanged, Registered, Registration,
    },
    mail::{EmailAddress, Mail},
    signin::{SignInStore as _, StoreError},
};
use sea_orm::{
    ConnectionTrait, DbErr, Order, TransactionSession as _,
    sea_query::{Cond, Expr, ExprTrait as _, Query},
};
use secrecy::ExposeSecret as _;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::{AccountChange, Directory, DirectoryError, values::refused};
use crate::{
    Actor, Store,
    authority::Locks,
    commit::{CommitError, Committed},
    guarded::GuardedTransaction,
    load,
    sql::{as_text, locked_rows, micros, quoted, quoted_table, statement},
};

pub(super) const CODES: &str = "bekci_codes";
const SESSIONS: &str = "bekci_sessions";
/// How long an expired secret stays in its table: it opens nothing.
const KEPT: Duration = Duration::DAY;

/// The store as people's own accounts see it.
#[derive(Clone, Debug)]
pub(crate) struct OwnAccounts(pub(crate) Store);

/// Why a change was not made.
enum Unmade {
    Changed(OwnChanged),
    Error(DirectoryError),
}

impl From<DirectoryError> for Unmade {
    fn from(error: DirectoryError) -> Self {
        Self::Error(error)
    }
}

impl From<DbErr> for Unmade {
    fn from(error: DbErr) -> Self {
        Self::Error(refused(error))
    }
}

/// What a change does beside its columns.
#[derive(Default)]
struct Effects {
    change: AccountChange,
    new_address: Option<EmailAddress>,
    /// The reason for which sessions end, and the one that stays.
    ends: Option<(&'static str, Option<SessionId>)>,
}

pub(super) fn store_error(error: DirectoryError) -> StoreError {
    match error {
        DirectoryError::Store(error) => error,
        other => StoreError::Refused(other.to_string()),
    }
}

pub(super) fn unavailable(error: DbErr) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// The row of a secret that is good: of its purpose and guard, by its hash, not spent and in time.
pub(super) fn good(proof: &CodeProof) -> Cond {
    Cond::all()
        .add(Expr::col("id").eq(proof.id.to_string()))
        .add(Expr::col("purpose").eq(proof.purpose.as_str()))
        .add(Expr::col("guard").eq(proof.guard.as_str()))
        .add(Expr::col("code_hash").eq(proof.hash.clone()))
        .add(Expr::col("spent_at").is_null())
        .add(Expr::col("expires_at").gt(micros(proof.now)))
}

/// The rows of an account's secrets.
fn owned_by((model, id): (&str, &str)) -> Cond {
    Cond::all()
        .add(Expr::col("model").eq(model))
        .add(Expr::col("principal_id").eq(id))
}

impl OwnAccounts {
    pub(super) fn directory(&self) -> Directory {
        self.0.directory()
    }

    fn now(&self) -> OffsetDateTime {
        self.0.node.clock().now()
    }

    pub(super) async fn addressee_in<C: ConnectionTrait>(
        &self,
        db: &C,
        spec: &ModelSpec,
        key: &PrincipalKey,
    ) -> Result<Option<Addressee>, DbErr> {
        let backend = db.get_database_backend();
        let Some((condition, values)) = load::by_id(backend, spec, key.id()) else {
            return Ok(None);
        };
        let address = spec.address_column().map_or_else(|| "NULL".to_owned(), as_text);
        let verified = spec.verified_column.as_ref().map_or_else(
            || "1".to_owned(),
            |column| format!("CASE WHEN {} IS NULL THEN 0 ELSE 1 END", quoted(column)),
        );
        let sql = format!(
            "SELECT {address} AS bekci_address, {verified} AS bekci_verified FROM {} WHERE {condition}",
            quoted_table(&spec.table)
        );
        let Some(row) = db.query_one_raw(statement(backend, sql, values)).await? else {
            return Ok(None);
        };
        let address: Option<String> = row.try_get("", "bekci_address")?;
        Ok(Some(Addressee {
            key: key.clone(),
            address: address.and_then(|address| EmailAddress::new(&address).ok()),
            verified: row.try_get::<i32>("", "bekci_verified")? != 0,
        }))
    }

    /// Whose secret this is, and what it is about, if it is good now. What is no good takes no lock, and so holds up nobody's connection.
    async fn owner_of(&self, proof: &CodeProof) -> Result<Option<(PrincipalKey, CodeAbout)>, DbErr> {
        let id = proof.id.to_string();
        let read = Query::select()
            .columns(["model", "principal_id", "about"])
            .from(CODES)
            .cond_where(good(proof))
            .take();
        let Some(row) = self.0.node.db().query_one(&read).await? else {
            return Ok(None);
        };
        let (model, owner): (String, String) = (row.try_get("", "model")?, row.try_get("", "principal_id")?);
        let about = self.0.mails.open_about(&id, &row.try_get::<Vec<u8>>("", "about")?);
        Ok(PrincipalKey::parse(&format!("{model}:{owner}")).ok().zip(about))
    }

    /// Spends a secret. One of any number of calls matches its row.
    pub(super) async fn spend(transaction: &GuardedTransaction, proof: &CodeProof) -> Result<bool, DbErr> {
        let update = Query::update()
            .table(CODES)
            .value("spent_at", micros(proof.now))
            .cond_where(good(proof))
            .take();
        Ok(transaction.execute(&update).await?.rows_affected() == 1)
    }

    pub(super) async fn keep_code(
        &self,
        transaction: &GuardedTransaction,
        owner: (&str, &str),
        code: &NewCode,
    ) -> Result<(), DbErr> {
        let older = Query::delete()
            .from_table(CODES)
            .cond_where(match code.purpose {
                // An account can have several temporary identities and invitations, each with a code of its own.
                CodePurpose::Verification | CodePurpose::Invite => {
                    Cond::all().add(Expr::col("id").eq(code.id.to_string()))
                }
                _ => owned_by(owner).add(Expr::col("purpose").eq(code.purpose.as_str())),
            })
            .take();
        transaction.execute(&older).await?;
        let swept = Query::delete()
            .from_table(CODES)
            .and_where(Expr::col("expires_at").lte(micros(code.now - KEPT)))
            .take();
        transaction.execute(&swept).await?;
        let id = code.id.to_string();
        let about = self.0.mails.seal_about(&id, &code.about)?;
        let insert = Query::insert()
            .into_table(CODES)
            .columns([
                "id",
                "purpose",
                "guard",
                "model",
                "principal_id",
                "code_hash",
                "about",
                "tries",
                "created_at",
                "expires_at",
            ])
            .values([
                id.into(),
                code.purpose.as_str().into(),
                code.guard.as_str().into(),
                owner.0.into(),
                owner.1.into(),
                code.hash.clone().into(),
                about.into(),
                0.into(),
                micros(code.now).into(),
                micros(code.expires_at).into(),
            ])
            .map_err(|error| DbErr::Custom(error.to_string()))?
            .take();
        transaction.execute(&insert).await.map(|_| ())
    }

    /// Whether the account's hash is the one that was verified; `None`: it has no password.
    async fn is_hash(
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        key: &PrincipalKey,
        verified: Option<&str>,
    ) -> Result<bool, DbErr> {
        let backend = transaction.get_database_backend();
        let column = spec.password_column.as_ref();
        let (Some(column), Some((condition, values))) = (column, load::by_id(backend, spec, key.id())) else {
            return Ok(false);
        };
        let sql = format!(
            "SELECT {} AS hash FROM {} WHERE {condition}{}",
            as_text(column),
            quoted_table(&spec.table),
            locked_rows(backend)
        );
        let row = transaction.query_one_raw(statement(backend, sql, values)).await?;
        let held = row.map(|row| row.try_get::<Option<String>>("", "hash")).transpose()?;
        let held = held.flatten().filter(|hash| !hash.is_empty());
        Ok(held.as_deref() == verified)
    }

    /// What a change does, after its conditions were judged in its transaction.
    async fn effects(
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        (before, about): (&Addressee, Option<&CodeAbout>),
        change: &OwnChange,
    ) -> Result<Effects, Unmade> {
        let mut effects = Effects::default();
        let is_address = |about: &CodeAbout| before.address.as_ref() == Some(&about.address);
        let verified = spec.verified_column.as_ref().map(|_| true);
        match change {
            OwnChange::Attributes(columns) => effects.change.columns.clone_from(columns),
            OwnChange::Password(NewPassword { hash, verified }, session) => {
                let verified = verified.as_ref().map(|hash| hash.expose_secret());
                if !Self::is_hash(transaction, spec, &before.key, verified).await? {
                    return Err(Unmade::Changed(OwnChanged::HashChanged));
                }
                effects.change.password_hash = Some(hash.clone());
                effects.ends = Some(("password_changed", Some(*session)));
            }
            OwnChange::ResetPassword(_, hash) => {
                effects.change.password_hash = Some(hash.clone());
                effects.change.verified = verified.filter(|_| about.is_some_and(is_address) && !before.verified);
                effects.ends = Some(("password_changed", None));
            }
            OwnChange::VerifyAddress(_) => {
                if !about.is_some_and(is_address) {
                    return Err(Unmade::Changed(OwnChanged::CodeInvalid));
                }
                effects.change.verified = verified;
            }
            OwnChange::ChangeAddress(_) => {
                let about = about.ok_or(Unmade::Changed(OwnChanged::CodeInvalid))?;
                let column = spec.address_column().ok_or(Unmade::Changed(OwnChanged::Gone))?;
                effects.change.columns = vec![(column.to_owned(), json!(about.address.as_str()))];
                effects.change.verified = verified;
                effects.new_address = Some(about.address.clone());
                effects.ends = Some(("address_changed", about.session));
            }
        }
        Ok(effects)
    }

    pub(super) async fn end_sessions(
        &self,
        transaction: &GuardedTransaction,
        key: &PrincipalKey,
        (reason, stays): (&str, Option<SessionId>),
    ) -> Result<Vec<SessionId>, DbErr> {
        let live = || {
            let stays = stays.map(|id| id.to_string()).unwrap_or_default();
            Cond::all()
                .add(Expr::col("model").eq(key.model()))
                .add(Expr::col("principal_id").eq(key.id()))
                .add(Expr::col("ended_at").is_null())
                .add(Expr::col("id").ne(stays))
        };
        let read = Query::select()
            .column("id")
            .from(SESSIONS)
            .cond_where(live())
            .order_by("id", Order::Asc)
            .take();
        let ended = crate::sessions::ids(&transaction.query_all(&read).await?)?;
        let end = Query::update()
            .table(SESSIONS)
            .value("ended_at", micros(self.now()))
            .value("end_reason", reason)
            .cond_where(live())
            .take();
        transaction.execute(&end).await?;
        Ok(ended)
    }

    async fn change_within(
        &self,
        transaction: &GuardedTransaction,
        spec: &ModelSpec,
        (key, about): (&PrincipalKey, Option<&CodeAbout>),
        (change, notices): (&OwnChange, &dyn Notices),
    ) -> Result<(AccountChange, Vec<SessionId>), Unmade> {
        let directory = self.directory();
        let before = self.addressee_in(transaction, spec, key).await?;
        let before = before.ok_or(Unmade::Changed(OwnChanged::Gone))?;
        if let Some(proof) = proof_of(change)
            && !Self::spend(transaction, proof).await?
        {
            return Err(Unmade::Changed(OwnChanged::CodeInvalid));
        }
        let effects = Self::effects(transaction, spec, (&before, about), change).await?;
        let sets_something = !effects.change.columns.is_empty()
            || effects.change.password_hash.is_some()
            || effects.change.verified.is_some();
        if sets_something {
            directory.update_within(transaction, spec, key, &effects.change).await?;
        }
        let mut ended = Vec::new();
        if let Some(ends) = effects.ends {
            ended = self.end_sessions(transaction, key, ends).await?;
            let codes = Query::delete()
                .from_table(CODES)
                .cond_where(owned_by((key.model(), key.id())))
                .take();
            transaction.execute(&codes).await?;
            // The session that stays was remembered by a token that may have been copied.
            let remembered = Query::delete()
                .from_table("bekci_remembered")
                .cond_where(owned_by((key.model(), key.id())))
                .take();
            transaction.execute(&remembered).await?;
        }
        if let Some(mail) = notices.of(&before, effects.new_address.as_ref()) {
            self.0.mails.enqueue(transaction, &mail).await?;
        }
        Ok((effects.change, ended))
    }
}

/// The secret that a change spends.
fn proof_of(change: &OwnChange) -> Option<&CodeProof> {
    match change {
        OwnChange::ResetPassword(proof, _) | OwnChange::VerifyAddress(proof) | OwnChange::ChangeAddress(proof) => {
            Some(proof)
        }
        OwnChange::Attributes(_) | OwnChange::Password(..) => None,
    }
}

/// What is no fault of the store.
fn unmade(error: Unmade) -> Result<OwnChanged, StoreError> {
    match error {
        Unmade::Changed(changed) => Ok(changed),
        Unmade::Error(DirectoryError::Taken) => Ok(OwnChanged::Taken),
        Unmade::Error(DirectoryError::Gone) => Ok(OwnChanged::Gone),
        Unmade::Error(DirectoryError::Value(why)) => Ok(OwnChanged::Refused(why)),
        Unmade::Error(error) => Err(store_error(error)),
    }
}

#[async_trait]
impl AccountStore for OwnAccounts {
    async fn addressees(&self, model: &ModelName, identifier: &str) -> Result<Vec<Addressee>, StoreError> {
        let found = self.0.sessions().credentials(model, identifier).await?;
        let mut addressees = Vec::with_capacity(found.len());
        for credential in found {
            addressees.extend(self.addressee(&credential.key).await?);
        }
        Ok(addressees)
    }

    async fn addressee(&self, key: &PrincipalKey) -> Result<Option<Addressee>, StoreError> {
        let Some(spec) = self.0.node.model(key.model()) else {
            return Ok(None);
        };
        if self.0.providers().of(key.model()).is_some() {
            return Ok(None);
        }
        let found = self.addressee_in(self.0.node.db(), spec, key).await;
        found.map_err(unavailable)
    }

    async fn register(&self, order: &Registration) -> Result<Registered, StoreError> {
        let directory = self.directory();
        let gone = || StoreError::Refused(format!("model {} has no addresses to register with", order.model));
        let spec = self.0.node.model(order.model.as_str()).ok_or_else(gone)?.clone();
        let column = spec.address_column().ok_or_else(gone)?.to_owned();
        let mut columns = vec![(column, json!(order.address.as_str()))];
        columns.extend(order.attributes.iter().cloned());
        let account = AccountChange {
            columns,
            password_hash: Some(order.password_hash.clone()),
            verified: None,
        };
        let transaction = self.0.begin_change(Locks::Principal, None).await?.transaction;
        let made = directory.insert_within(&transaction, &spec, &account).await;
        let key = match made {
            Ok(key) => key,
            Err(error) => {
                transaction.rollback().await.map_err(unavailable)?;
                return match error {
                    DirectoryError::Taken => Ok(Registered::Taken),
                    DirectoryError::Value(why) => Ok(Registered::Refused(why)),
                    error => Err(store_error(error)),
                };
            }
        };
        // A model without a column for it has nothing to confirm.
        let confirmation = order.confirmation.as_ref().filter(|_| spec.verified_column.is_some());
        if let Some((code, mail)) = confirmation {
            self.keep_code(&transaction, (key.model(), key.id()), code)
                .await
                .map_err(unavailable)?;
            self.0.mails.enqueue(&transaction, mail).await.map_err(unavailable)?;
        }
        let committed = directory.commit(transaction).await;
        let store = self.0.by(Actor::named(key.as_str()));
        store.tell("account.registered", Some(&key), &committed, &json!({"by": "itself"}));
        self.0.mails.wake();
        committed.map_err(store_error)?;
        Ok(Registered::Made(key))
    }

    async fn open_code(&self, key: &PrincipalKey, code: &NewCode, mail: &Mail) -> Result<(), StoreError> {
        let transaction = self.0.begin_change(Locks::Principal, Some(key)).await?.transaction;
        let owner = (key.model(), key.id());
        self.keep_code(&transaction, owner, code).await.map_err(unavailable)?;
        self.0.mails.enqueue(&transaction, mail).await.map_err(unavailable)?;
        transaction.commit_with(crate::Barrier::Auto).await?;
        self.0.mails.wake();
        Ok(())
    }

    async fn waiting(
        &self,
        key: &PrincipalKey,
        purpose: CodePurpose,
        now: OffsetDateTime,
    ) -> Result<Option<CodeAbout>, StoreError> {
        let read = Query::select()
            .columns(["id", "about"])
            .from(CODES)
            .cond_where(owned_by((key.model(), key.id())))
            .and_where(Expr::col("purpose").eq(purpose.as_str()))
            .and_where(Expr::col("spent_at").is_null())
            .and_where(Expr::col("expires_at").gt(micros(now)))
            .order_by("created_at", Order::Desc)
            .limit(1)
            .take();
        let row = self.0.node.db().query_one(&read).await.map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        let id: String = row.try_get("", "id").map_err(unavailable)?;
        let about: Vec<u8> = row.try_get("", "about").map_err(unavailable)?;
        Ok(self.0.mails.open_about(&id, &about))
    }

    async fn is_live(&self, proof: &CodeProof) -> Result<Option<CodeAbout>, StoreError> {
        let owner = self.owner_of(proof).await.map_err(unavailable)?;
        Ok(owner.map(|(_, about)| about))
    }

    async fn queue(&self, mail: &Mail) -> Result<(), StoreError> {
        self.0.queue_mail(mail).await
    }

    async fn change_own(
        &self,
        key: Option<&PrincipalKey>,
        change: &OwnChange,
        notices: &dyn Notices,
    ) -> Result<OwnChanged, StoreError> {
        let (key, about) = match proof_of(change) {
            Some(proof) => match self.owner_of(proof).await.map_err(unavailable)? {
                Some((owner, about)) => (owner, Some(about)),
                None => return Ok(OwnChanged::CodeInvalid),
            },
            None => match key {
                Some(key) => (key.clone(), None),
                None => return Ok(OwnChanged::Gone),
            },
        };
        let Some(spec) = self.0.node.model(key.model()).cloned() else {
            return Ok(OwnChanged::Gone);
        };
        let directory = self.directory();
        let transaction = self.0.begin_change(Locks::Principal, Some(&key)).await?.transaction;
        let made = self
            .change_within(&transaction, &spec, (&key, about.as_ref()), (change, notices))
            .await;
        let (change, ended) = match made {
            Ok(made) => made,
            Err(error) => {
                transaction.rollback().await.map_err(unavailable)?;
                return unmade(error);
            }
        };
        let committed: Result<Committed, DirectoryError> = directory.commit(transaction).await;
        let own = self.0.by(Actor::named(key.as_str())).directory();
        own.tell_change(&spec, &key, &change, &ended, &committed);
        self.0.mails.wake();
        let committed = committed.map_err(store_error)?;
        let pending = match committed.confirmed() {
            Ok(()) => None,
            Err(CommitError::Unconfirmed { position }) => Some(position),
            Err(error) => return Err(error.into()),
        };
        Ok(OwnChanged::Done { key, ended, pending })
    }
}
