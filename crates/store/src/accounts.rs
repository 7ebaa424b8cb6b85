//! What is done to accounts beside their own columns: bans and blocks, each in force on every node when the call returns.

use bekci_core::{PrincipalKey, SessionId, TokenId, signin::StoreError};
use sea_orm::{ConnectionTrait, DbErr, TransactionTrait};
use time::OffsetDateTime;

use crate::{
    Store,
    commit::{Barrier, Committed},
    guarded::GuardedTransaction,
    load,
    sql::{micros, quoted, statement},
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
        if !model.banned_statuses.contains(&order.status) {
            return Err(StoreError::Refused(format!(
                "status {:?} does not ban; {} does",
                order.status,
                model.banned_statuses.join(", ")
            )));
        }
        let transaction = self.connection().begin().await.map_err(unavailable)?;
        let before = self.set_status(&transaction, key, &order.status).await?;
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
        transaction
            .execute_raw(statement(self.node.backend(), sql, values))
            .await
            .map_err(unavailable)?;
        Ok(transaction.commit_with(Barrier::Always).await?)
    }

    /// Lifts a ban: the status before comes back, or `active` where none was kept.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the account is gone or its model has no status.
    pub async fn unban(&self, key: &PrincipalKey) -> Result<Committed, StoreError> {
        let backend = self.node.backend();
        let transaction = self.connection().begin().await.map_err(unavailable)?;
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
        self.set_status(&transaction, key, before.as_deref().unwrap_or("active"))
            .await?;
        let lift = "DELETE FROM bekci_bans WHERE model = $1 AND id = $2";
        transaction
            .execute_raw(statement(backend, lift, owner()))
            .await
            .map_err(unavailable)?;
        Ok(transaction.commit_with(Barrier::Always).await?)
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
        let column = model
            .status_column
            .as_ref()
            .ok_or_else(|| StoreError::Refused(format!("model {} has no status", model.name)))?;
        let (condition, mut values) = load::by_id(backend, model, key.id()).ok_or_else(|| account_gone(key))?;
        let (table, column) = (quoted(&model.table), quoted(column));
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
        let write = format!("UPDATE {table} SET {column} = ${} WHERE {condition}", values.len());
        transaction
            .execute_raw(statement(backend, write, values))
            .await
            .map_err(unavailable)?;
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
        let transaction = self.connection().begin().await.map_err(unavailable)?;
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
        let id = row.try_get("", "id").map_err(unavailable)?;
        Ok((id, transaction.commit_with(Barrier::Always).await?))
    }

    /// Lifts a block; `false`: there is none of this number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unblock(&self, id: i64) -> Result<bool, StoreError> {
        let transaction = self.connection().begin().await.map_err(unavailable)?;
        let sql = "DELETE FROM bekci_blocks WHERE id = $1";
        let gone = transaction
            .execute_raw(statement(self.node.backend(), sql, [id.into()]))
            .await
            .map_err(unavailable)?
            .rows_affected();
        transaction.commit_with(Barrier::Always).await?.confirmed()?;
        Ok(gone > 0)
    }
}
