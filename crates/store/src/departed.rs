//! What the database holds of accounts that are no more, where no trigger could see them go.

use std::collections::BTreeSet;

use bekci_core::{ModelName, PrincipalKey, signin::StoreError};
use sea_orm::{ConnectionTrait, DbErr, TransactionTrait, Value};

use crate::{
    Store,
    coherence::policy_lines,
    commit::Barrier,
    policies::names,
    sessions::lock_principal,
    sql::{micros, statement},
};

/// The tables that say something of principals, with their columns of the id; sessions, which end instead, stand apart.
const HELD: [(&str, &str); 5] = [
    ("bekci_principal_roles", "id"),
    ("bekci_principal_permissions", "id"),
    ("bekci_bans", "id"),
    ("bekci_blocks", "principal_id"),
    ("bekci_links", "principal_id"),
];

impl Store {
    /// Ends the sessions of a model's accounts other than these, and takes away what they were given, as a trigger does where an account is deleted: an account that is
    /// made later with the same id inherits nothing. Gives the ids of those of whom something was left.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed, unless it says otherwise.
    pub async fn keep_only(&self, model: &ModelName, ids: &BTreeSet<String>) -> Result<Vec<String>, StoreError> {
        let unavailable = |error: DbErr| StoreError::Unavailable(error.to_string());
        let gone = self.held_by_others(model, ids).await.map_err(unavailable)?;
        if gone.is_empty() {
            return Ok(gone);
        }
        let transaction = self.connection().begin().await.map_err(unavailable)?;
        let now = micros(self.node.clock().now());
        for id in &gone {
            let key = PrincipalKey::parse(&format!("{model}:{id}"));
            if let Ok(key) = &key {
                // In turn with sign-ins.
                lock_principal(&transaction, key).await.map_err(unavailable)?;
            }
            let owner = || [Value::from(model.as_str()), Value::from(id.as_str())];
            let end = "UPDATE bekci_sessions SET ended_at = $3, end_reason = 'account_deleted' \
                       WHERE model = $1 AND principal_id = $2 AND ended_at IS NULL";
            let ended = owner().into_iter().chain([now.into()]);
            let ended = statement(self.node.backend(), end, ended);
            transaction.execute_raw(ended).await.map_err(unavailable)?;
            for (table, column) in HELD {
                let sql = format!("DELETE FROM {table} WHERE model = $1 AND {column} = $2");
                let taken = statement(self.node.backend(), sql, owner());
                transaction.execute_raw(taken).await.map_err(unavailable)?;
            }
            if let Ok(key) = &key {
                names::forget_principal(&transaction, key).await.map_err(unavailable)?;
            }
        }
        transaction.commit_with(Barrier::Always).await?.confirmed()?;
        Ok(gone)
    }

    async fn held_by_others(&self, model: &ModelName, ids: &BTreeSet<String>) -> Result<Vec<String>, DbErr> {
        let mut sql =
            "SELECT principal_id AS held_by FROM bekci_sessions WHERE model = $1 AND ended_at IS NULL".to_owned();
        for (table, column) in HELD {
            sql.push_str(&format!(" UNION SELECT {column} FROM {table} WHERE model = $1"));
        }
        let asked = statement(self.node.backend(), sql, [model.as_str().into()]);
        let mut held = BTreeSet::new();
        for row in self.node.db().query_all_raw(asked).await? {
            held.insert(row.try_get::<String>("", "held_by")?);
        }
        let prefix = format!("principal:{model}:");
        for line in policy_lines(self.node.db()).await? {
            let named = line.values.iter().filter_map(|value| value.strip_prefix(&prefix));
            held.extend(named.map(str::to_owned));
        }
        Ok(held.difference(ids).cloned().collect())
    }
}
