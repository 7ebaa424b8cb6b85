//! Policy lines in the database: seeded once, changed while running, the same on every node before a call returns.

pub(crate) mod names;

use std::collections::BTreeMap;

use bekci_core::{PolicyLine, signin::StoreError};
use sea_orm::{ConnectionTrait, DbErr, Value};
use serde_json::json;

use crate::{
    Store,
    authority::Locks,
    coherence::{policy_lines, policy_page},
    commit::{Barrier, CommitError, Committed},
    guarded::GuardedTransaction,
    sql::statement,
};

/// Changes policies; from [`Store::policies`].
#[derive(Clone, Debug)]
pub struct Policies {
    store: Store,
}

/// Lines in the order in which they were added.
#[derive(Clone, Debug)]
pub struct PolicyPage {
    /// The lines, each with its number.
    pub lines: Vec<(i64, PolicyLine)>,
    /// The number after which the next page begins; `None`: this is the last one.
    pub next: Option<i64>,
}

/// A line has a kind and at most this many values.
const MOST_VALUES: usize = 6;

fn unavailable(error: DbErr) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// What the compiler said against a policy is the caller's fault, not the store's.
fn refused(error: CommitError) -> StoreError {
    match error {
        CommitError::NotCommitted(DbErr::Custom(reason)) => StoreError::Refused(reason),
        other => other.into(),
    }
}

/// As a line of a policy file, for details.
fn text(line: &PolicyLine) -> String {
    let parts: Vec<&str> = std::iter::once(&line.kind)
        .chain(&line.values)
        .map(String::as_str)
        .collect();
    parts.join(", ")
}

fn values(line: &PolicyLine) -> Result<Vec<Value>, StoreError> {
    if line.values.len() > MOST_VALUES || line.values.iter().any(|value| value.len() > 1_024) {
        return Err(StoreError::Refused(format!(
            "a policy line has at most {MOST_VALUES} values of at most 1024 bytes"
        )));
    }
    let padded = line
        .values
        .iter()
        .map(String::as_str)
        .chain(std::iter::repeat(""))
        .take(MOST_VALUES);
    Ok(std::iter::once(line.kind.as_str())
        .chain(padded)
        .map(Value::from)
        .collect())
}

impl Store {
    /// The policies.
    #[must_use]
    pub fn policies(&self) -> Policies {
        Policies { store: self.clone() }
    }
}

impl Policies {
    /// Roles keep their names until the lines are committed.
    async fn begin(&self) -> Result<GuardedTransaction, StoreError> {
        Ok(self.store.begin_change(Locks::Roles, None).await?.transaction)
    }

    async fn run(&self, transaction: &GuardedTransaction, sql: &str, line: &PolicyLine) -> Result<u64, StoreError> {
        let done = transaction
            .execute_raw(statement(self.store.node.backend(), sql, values(line)?))
            .await
            .map_err(unavailable)?;
        Ok(done.rows_affected())
    }

    /// All lines, in the order in which they were added.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn lines(&self) -> Result<Vec<PolicyLine>, StoreError> {
        policy_lines(self.store.node.db()).await.map_err(unavailable)
    }

    /// The guard and name of each role that is there, globally or in a tenant, and whether an account holds it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn known_roles(&self) -> Result<BTreeMap<(String, String), bool>, StoreError> {
        let node = &self.store.node;
        let sql = "SELECT DISTINCT r.guard AS guard, r.name AS name, CASE WHEN EXISTS (SELECT 1 FROM bekci_principal_roles m \
                   WHERE m.guard = r.guard AND m.role = r.name) THEN 1 ELSE 0 END AS held FROM bekci_roles r";
        let rows = node.db().query_all_raw(statement(node.backend(), sql, [])).await;
        let read = |row: sea_orm::QueryResult| {
            let held: i32 = row.try_get("", "held")?;
            Ok(((row.try_get("", "guard")?, row.try_get("", "name")?), held != 0))
        };
        let roles: Result<_, DbErr> = rows.map_err(unavailable)?.into_iter().map(read).collect();
        roles.map_err(unavailable)
    }

    /// A page of lines in the order in which they were added, each with its number, and the number after which the next page begins.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn page(&self, after: i64, limit: u16) -> Result<PolicyPage, StoreError> {
        let limit = usize::from(limit.max(1));
        let mut lines = policy_page(self.store.node.db(), after, limit + 1)
            .await
            .map_err(unavailable)?;
        let more = lines.len() > limit;
        lines.truncate(limit);
        let next = lines.last().filter(|_| more).map(|(id, _)| *id);
        Ok(PolicyPage { lines, next })
    }

    /// Whether there is a policy model: without one no line can be judged, and none decides anything.
    #[must_use]
    pub fn have_model(&self) -> bool {
        self.store.node.asks_policy()
    }

    /// Why the lines as they are do not load, with the one that is wrong, where this node has seen that they do not: a change from outside broke them, and whoever asks them
    /// is denied until they are mended. It looks at memory alone.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.store.node.policy_fault()
    }

    /// Adds lines; one that is there already is no error. In force on every node at return.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the policy would not load with them; then nothing was changed.
    pub async fn add(&self, lines: &[PolicyLine]) -> Result<Committed, StoreError> {
        let transaction = self.begin().await?;
        self.insert(&transaction, lines).await?;
        let committed = transaction.commit_with(Barrier::Always).await;
        self.tell("policyAdded", lines, &committed);
        committed.map_err(refused)
    }

    async fn insert(&self, transaction: &GuardedTransaction, lines: &[PolicyLine]) -> Result<(), StoreError> {
        let sql = "INSERT INTO bekci_policies (kind, v0, v1, v2, v3, v4, v5) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        for line in lines {
            self.run(transaction, sql, line).await?;
        }
        Ok(())
    }

    /// Removes lines; gives how many were there.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the policy would not load without them; then nothing was changed.
    pub async fn remove(&self, lines: &[PolicyLine]) -> Result<(u64, Committed), StoreError> {
        let transaction = self.begin().await?;
        let sql = "DELETE FROM bekci_policies WHERE kind = $1 AND v0 = $2 AND v1 = $3 AND v2 = $4 AND v3 = $5 AND v4 = $6 AND v5 = $7";
        let mut gone = 0;
        for line in lines {
            gone += self.run(&transaction, sql, line).await?;
        }
        let committed = transaction.commit_with(Barrier::Always).await;
        if gone > 0 {
            self.tell("policyRemoved", lines, &committed);
        }
        Ok((gone, committed.map_err(refused)?))
    }

    fn tell(&self, what: &str, lines: &[PolicyLine], committed: &Result<Committed, CommitError>) {
        let lines: Vec<String> = lines.iter().map(text).collect();
        self.store
            .tell("rights.changed", None, committed, &json!({what: lines}));
    }

    /// Fills an empty table, once in the life of the database: `false` where it was seeded before, even if it is empty now.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the lines do not load.
    pub async fn seed(&self, lines: &[PolicyLine]) -> Result<bool, StoreError> {
        let transaction = self.begin().await?;
        // Counted, since MariaDB tells a row that was there from a new one by no number of affected rows.
        let mark = "INSERT INTO coherence_meta (name, value) VALUES ('policy_seeded', 1) \
                    ON CONFLICT (name) DO UPDATE SET value = coherence_meta.value + 1";
        let backend = self.store.node.backend();
        transaction
            .execute_raw(statement(backend, mark, []))
            .await
            .map_err(unavailable)?;
        let times = "SELECT value FROM coherence_meta WHERE name = 'policy_seeded'";
        let times = transaction
            .query_one_raw(statement(backend, times, []))
            .await
            .map_err(unavailable)?;
        let times: Option<i64> = times
            .map(|row| row.try_get("", "value"))
            .transpose()
            .map_err(unavailable)?;
        let first = times == Some(1);
        let empty = policy_lines(&transaction).await.map_err(unavailable)?.is_empty();
        if first && empty {
            self.insert(&transaction, lines).await?;
        }
        transaction.commit_with(Barrier::Auto).await.map_err(refused)?;
        Ok(first && empty)
    }
}
