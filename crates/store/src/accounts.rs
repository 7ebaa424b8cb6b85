//! What is done to accounts beside their own columns: bans and blocks, each in force on every node when the call returns.

use bekci_core::{ANY_STATUS, Account, PrincipalKey, SessionId, TokenId, signin::StoreError};
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Store,
    authority::{Locks, Reach},
    columns::Columns,
    commit::{Barrier, Committed},
    directory::values::about_values,
    guarded::GuardedTransaction,
    load, providers,
    sql::{micros, quoted, quoted_table, statement},
};

/// A ban that is to be laid.
#[derive(Clone, Debug, Default)]
pub struct BanOrder {
    /// The status that bans; one of the model's `banned_statuses`.
    pub status: String,
    /// What the principal is told.
    pub reason: Option<String>,
    /// When it ends by itself.
    pub until: Option<OffsetDateTime>,
    /// The key of who bans.
    pub by: Option<PrincipalKey>,
}

/// A token or a session that is to be blocked.
#[derive(Clone, Debug)]
pub struct BlockOrder {
    /// Whose it is.
    pub key: PrincipalKey,
    /// The one token.
    pub jti: Option<TokenId>,
    /// The session.
    pub sid: Option<SessionId>,
    /// What the holder is told.
    pub reason: String,
    /// When it ends by itself.
    pub until: Option<OffsetDateTime>,
}

fn unavailable(error: DbErr) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn account_gone(key: &PrincipalKey) -> StoreError {
    StoreError::Refused(format!("there is no account {key}"))
}

impl Store {
    /// Bans an account: sets the status and keeps reason, end and the status before. A ban refuses; it ends no session.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the account is gone, its model has no status, or the status does not ban.
    pub async fn ban(&self, key: &PrincipalKey, order: &BanOrder) -> Result<Committed, StoreError> {
        let model = self.node.model(key.model()).ok_or_else(|| account_gone(key))?;
        if !model.bans(&order.status) {
            return Err(StoreError::Refused(format!(
                "status {:?} does not ban; {} does",
                order.status,
                model.banned_statuses.join(", ")
            )));
        }
        let mut change = self.begin_change(Locks::Principal, Some(key)).await?;
        change.outranks(self, key, Reach::Management).await?;
        let transaction = change.transaction;
        let (before, after) = match self.node.given(key).await.map_err(providers::unavailable)? {
            // Its status is its provider's; the ban alone is laid, and keeps it out all the same.
            Some(account) => {
                let status = account.ok_or_else(|| account_gone(key))?.status;
                (status.clone(), status)
            }
            None => {
                let before = self.set_status(&transaction, key, &order.status).await?;
                (before, Some(order.status.clone()))
            }
        };
        let status = json!({"before": before, "after": after});
        if !self.has_ban(&transaction, key, order).await? {
            self.put_ban(&transaction, key, order, before).await?;
        }
        let committed = transaction.commit_with(Barrier::Always).await;
        let details = json!({"status": status, "reason": order.reason, "until": order.until.and_then(moment)});
        self.tell("account.banned", Some(key), &committed, &details);
        Ok(committed?)
    }

    /// Whether this very ban is laid: laying it again changes nothing, and no version.
    async fn has_ban(
        &self,
        transaction: &GuardedTransaction,
        key: &PrincipalKey,
        order: &BanOrder,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT reason, until FROM bekci_bans WHERE model = $1 AND id = $2";
        let values = [key.model().into(), key.id().into()];
        let found = transaction
            .query_one_raw(statement(self.node.backend(), sql, values))
            .await
            .map_err(unavailable)?;
        let Some(row) = found else { return Ok(false) };
        let until: Option<i64> = row.try_get("", "until").map_err(unavailable)?;
        let reason: Option<String> = row.try_get("", "reason").map_err(unavailable)?;
        Ok(reason == order.reason && until == order.until.map(micros))
    }

    async fn put_ban(
        &self,
        transaction: &GuardedTransaction,
        key: &PrincipalKey,
        order: &BanOrder,
        before: Option<String>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO bekci_bans (model, id, reason, until, status_before, banned_at, banned_by) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                   ON CONFLICT (model, id) DO UPDATE SET reason = excluded.reason, until = excluded.until, banned_at = excluded.banned_at, banned_by = excluded.banned_by";
        let values = [
            key.model().into(),
            key.id().into(),
            order.reason.clone().into(),
            order.until.map(micros).into(),
            before.into(),
            micros(self.node.clock().now()).into(),
            order.by.as_ref().map(ToString::to_string).into(),
        ];
        let laid = transaction
            .execute_raw(statement(self.node.backend(), sql, values))
            .await;
        laid.map(|_| ()).map_err(unavailable)
    }

    /// Lifts a ban: the status before comes back, or where none was kept the first that lets in.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the account is gone or its model has no status.
    pub async fn unban(&self, key: &PrincipalKey) -> Result<Committed, StoreError> {
        let backend = self.node.backend();
        let mut change = self.begin_change(Locks::Principal, Some(key)).await?;
        change.outranks(self, key, Reach::Management).await?;
        let transaction = change.transaction;
        let owner = || [key.model().into(), key.id().into()];
        let kept = "SELECT status_before FROM bekci_bans WHERE model = $1 AND id = $2";
        let row = transaction
            .query_one_raw(statement(backend, kept, owner()))
            .await
            .map_err(unavailable)?;
        let before = row
            .map(|row| row.try_get::<Option<String>>("", "status_before"))
            .transpose()
            .map_err(unavailable)?
            .flatten();
        let status = match self.node.given(key).await.map_err(providers::unavailable)? {
            Some(account) => {
                self.must_be_let_in(key, account)?;
                Value::Null
            }
            None => {
                let after = before.as_deref().unwrap_or_else(|| self.first_active(key));
                let banned = self.set_status(&transaction, key, after).await?;
                json!({"before": banned, "after": after})
            }
        };
        let lift = "DELETE FROM bekci_bans WHERE model = $1 AND id = $2";
        transaction
            .execute_raw(statement(backend, lift, owner()))
            .await
            .map_err(unavailable)?;
        let committed = transaction.commit_with(Barrier::Always).await;
        let details = json!({"status": status});
        self.tell("account.restored", Some(key), &committed, &details);
        Ok(committed?)
    }

    /// Refuses to restore a provider's account whose status keeps it out by itself.
    pub(crate) fn must_be_let_in(&self, key: &PrincipalKey, account: Option<Account>) -> Result<(), StoreError> {
        let account = account.ok_or_else(|| account_gone(key))?;
        let model = self.node.model(key.model()).ok_or_else(|| account_gone(key))?;
        let Some(status) = account.status.filter(|status| !model.lets_in(status)) else {
            return Ok(());
        };
        let why = if model.bans(&status) { "bans" } else { "does not let in" };
        Err(StoreError::Refused(format!(
            "the provider of {key} gives it status {status:?}, which {why}: change it there"
        )))
    }

    /// The status that an account gets where nobody knows the one before.
    fn first_active(&self, key: &PrincipalKey) -> &str {
        let model = self.node.model(key.model());
        let first = model.and_then(|model| model.active_statuses.first());
        first
            .map(String::as_str)
            .filter(|status| *status != ANY_STATUS)
            .unwrap_or("active")
    }

    /// Sets the status and gives the one before.
    async fn set_status(
        &self,
        transaction: &GuardedTransaction,
        key: &PrincipalKey,
        status: &str,
    ) -> Result<Option<String>, StoreError> {
        let backend = self.node.backend();
        let model = self.node.model(key.model()).ok_or_else(|| account_gone(key))?;
        let name = model
            .status_column
            .as_ref()
            .ok_or_else(|| StoreError::Refused(format!("model {} has no status", model.name)))?;
        let (condition, mut values) = load::by_id(backend, model, key.id()).ok_or_else(|| account_gone(key))?;
        let (table, column) = (quoted_table(&model.table), quoted(name));
        let read = statement(
            backend,
            format!("SELECT CAST({column} AS TEXT) AS status FROM {table} WHERE {condition}"),
            values.clone(),
        );
        let row = transaction
            .query_one_raw(read)
            .await
            .map_err(unavailable)?
            .ok_or_else(|| account_gone(key))?;
        let before: Option<String> = row.try_get("", "status").map_err(unavailable)?;
        values.push(status.into());
        let columns = Columns::read(transaction, &model.table).await.map_err(unavailable)?;
        let after = columns.text(name, values.len());
        let write = format!("UPDATE {table} SET {column} = {after} WHERE {condition}");
        transaction
            .execute_raw(statement(backend, write, values))
            .await
            .map_err(|error| match about_values(&error) {
                Some(told) => StoreError::Refused(format!("status {status:?} cannot be set: {told}")),
                None => unavailable(error),
            })?;
        Ok(before)
    }

    /// Blocks a token or a session, with the reason that its holder is told. Gives the block's number.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where neither token nor session is named.
    pub async fn block(&self, order: &BlockOrder) -> Result<(i64, Committed), StoreError> {
        if order.jti.is_none() && order.sid.is_none() {
            return Err(StoreError::Refused("a block names a token or a session".to_owned()));
        }
        let mut change = self.begin_change(Locks::Principal, Some(&order.key)).await?;
        change.outranks(self, &order.key, Reach::Management).await?;
        let transaction = change.transaction;
        let id = match self.find_block(&transaction, order).await? {
            // This very block is laid: laying it again changes nothing, and no version.
            Some(id) => id,
            None => self.put_block(&transaction, order).await?,
        };
        let committed = transaction.commit_with(Barrier::Always).await;
        let mut details = named(order.jti, order.sid);
        details.insert("reason".to_owned(), order.reason.as_str().into());
        details.insert("until".to_owned(), order.until.and_then(moment).into());
        self.tell("token.blocked", Some(&order.key), &committed, &Value::Object(details));
        Ok((id, committed?))
    }

    async fn find_block(
        &self,
        transaction: &GuardedTransaction,
        order: &BlockOrder,
    ) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT id, jti, sid, until FROM bekci_blocks WHERE model = $1 AND principal_id = $2 AND reason = $3 ORDER BY id";
        let values = [
            order.key.model().into(),
            order.key.id().into(),
            order.reason.clone().into(),
        ];
        let rows = transaction
            .query_all_raw(statement(self.node.backend(), sql, values))
            .await
            .map_err(unavailable)?;
        for row in rows {
            let text = |column: &str| row.try_get::<Option<String>>("", column).map_err(unavailable);
            let until: Option<i64> = row.try_get("", "until").map_err(unavailable)?;
            let is_same = text("jti")? == order.jti.map(|id| id.to_string())
                && text("sid")? == order.sid.map(|id| id.to_string())
                && until == order.until.map(micros);
            if is_same {
                return row.try_get("", "id").map(Some).map_err(unavailable);
            }
        }
        Ok(None)
    }

    async fn put_block(&self, transaction: &GuardedTransaction, order: &BlockOrder) -> Result<i64, StoreError> {
        let sql = "INSERT INTO bekci_blocks (model, principal_id, jti, sid, reason, until, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
        let values = [
            order.key.model().into(),
            order.key.id().into(),
            order.jti.map(|id| id.to_string()).into(),
            order.sid.map(|id| id.to_string()).into(),
            order.reason.clone().into(),
            order.until.map(micros).into(),
            micros(self.node.clock().now()).into(),
        ];
        let row = transaction
            .query_one_raw(statement(self.node.backend(), sql, values))
            .await
            .map_err(unavailable)?;
        let row = row.ok_or_else(|| StoreError::Unavailable("the database gave no number for the block".to_owned()))?;
        row.try_get("", "id").map_err(unavailable)
    }

    /// Lifts a block; `false`: there is none of this number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unblock(&self, id: i64) -> Result<bool, StoreError> {
        let owner = self.owner_of_block(id).await.map_err(unavailable)?;
        let mut change = self.begin_change(Locks::Principal, owner.as_ref()).await?;
        if let Some(owner) = &owner {
            change.outranks(self, owner, Reach::Management).await?;
        }
        let transaction = change.transaction;
        // A number is never given twice.
        let sql = "DELETE FROM bekci_blocks WHERE id = $1";
        let gone = transaction
            .execute_raw(statement(self.node.backend(), sql, [id.into()]))
            .await
            .map_err(unavailable)?
            .rows_affected();
        let committed = transaction.commit_with(Barrier::Always).await;
        if gone > 0 {
            self.tell("token.blocked", None, &committed, &json!({"lifted": {"block": id}}));
        }
        committed?.confirmed()?;
        Ok(gone > 0)
    }
}

impl Store {
    async fn owner_of_block(&self, id: i64) -> Result<Option<PrincipalKey>, DbErr> {
        let sql = "SELECT model, principal_id FROM bekci_blocks WHERE id = $1";
        let asked = statement(self.node.backend(), sql, [id.into()]);
        let Some(row) = self.node.db().query_one_raw(asked).await? else {
            return Ok(None);
        };
        let (model, id): (String, String) = (row.try_get("", "model")?, row.try_get("", "principal_id")?);
        Ok(PrincipalKey::parse(&format!("{model}:{id}")).ok())
    }
}

/// What a block names.
pub(crate) fn named(jti: Option<TokenId>, sid: Option<SessionId>) -> Map<String, Value> {
    let id = |id: Option<TokenId>| id.map(|id| id.to_string()).into();
    [("jti".to_owned(), id(jti)), ("sid".to_owned(), id(sid))]
        .into_iter()
        .collect()
}

fn moment(time: OffsetDateTime) -> Option<String> {
    time.to_offset(time::UtcOffset::UTC).format(&Rfc3339).ok()
}

impl Store {
    pub(crate) fn new_id(&self, kind: bekci_core::IdKind) -> Result<String, StoreError> {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes).map_err(StoreError::Unavailable)?;
        Ok(match kind {
            bekci_core::IdKind::Uuid => sea_orm::sqlx::types::Uuid::from_u128(
                // Version 4, variant 1 (RFC 9562 section 5.4).
                (u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62),
            )
            .to_string(),
            _ => TokenId(bytes).to_string(),
        })
    }
}
