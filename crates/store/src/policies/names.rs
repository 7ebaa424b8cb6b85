//! Names of roles and principals in policy lines.
//!
//! - A line names a role as `role:<guard>:<name>` and a principal as `principal:<model>:<id>`, in any of its values.
//! - A role that is renamed takes its lines along, in the same transaction. A rename or a deletion that would change what other lines say is refused.
//! - The lines of an account go with the account: the triggers on its table remove them.
//! - Lines that name nothing are reported. A new role or account of the name would inherit them.

use std::collections::{BTreeMap, BTreeSet};

use bekci_core::{GuardName, PolicyLine, PrincipalKey, RoleName, signin::StoreError};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::{Policies, text, unavailable};
use crate::{coherence::policy_line, guarded::GuardedTransaction, rights::RoleEntry, sql::statement};

/// How many different principals of lines are looked up.
const MOST_PRINCIPALS: usize = 1_000;

const COLUMNS: [&str; 6] = ["v0", "v1", "v2", "v3", "v4", "v5"];

/// A role as lines name it.
pub(crate) fn role_subject(guard: &GuardName, name: &RoleName) -> String {
    format!("role:{guard}:{name}")
}

/// The lines with this value, with their numbers, in their order.
async fn naming<C: ConnectionTrait>(db: &C, value: &str) -> Result<Vec<(i64, PolicyLine)>, DbErr> {
    let sql =
        "SELECT id, kind, v0, v1, v2, v3, v4, v5 FROM bekci_policies WHERE $1 IN (v0, v1, v2, v3, v4, v5) ORDER BY id";
    let asked = statement(db.get_database_backend(), sql, [value.into()]);
    let read = |row: &QueryResult| Ok((row.try_get("", "id")?, policy_line(row)?));
    db.query_all_raw(asked).await?.iter().map(read).collect()
}

fn refused(lines: &[(i64, PolicyLine)]) -> StoreError {
    StoreError::NamedByPolicy {
        lines: lines.iter().map(|(_, line)| text(line)).collect(),
    }
}

/// Whether another role of the guard has one of these names.
async fn is_shared(
    transaction: &GuardedTransaction,
    role: &RoleEntry,
    names: [&RoleName; 2],
) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM bekci_roles WHERE guard = $1 AND name IN ($2, $3) AND id <> $4 LIMIT 1";
    let [first, second] = names.map(|name| Value::from(name.as_str()));
    let values = [role.scope.guard.as_str().into(), first, second, role.id.into()];
    let asked = statement(transaction.get_database_backend(), sql, values);
    let found = transaction.query_one_raw(asked).await.map_err(unavailable)?;
    Ok(found.is_some())
}

/// Gives the lines of a role its new name, so that they allow and deny what they did.
///
/// # Errors
/// [`StoreError::NamedByPolicy`] where lines name the new name already, or where another role of the guard has the old name or the new one: the lines of one would become
/// lines of the other.
pub(crate) async fn rename_role(
    transaction: &GuardedTransaction,
    role: &RoleEntry,
    name: &RoleName,
) -> Result<(), StoreError> {
    if role.name == *name {
        return Ok(());
    }
    let guard = &role.scope.guard;
    let (old, new) = (role_subject(guard, &role.name), role_subject(guard, name));
    let taken = naming(transaction, &new).await.map_err(unavailable)?;
    if !taken.is_empty() {
        return Err(refused(&taken));
    }
    let lines = naming(transaction, &old).await.map_err(unavailable)?;
    if !lines.is_empty() && is_shared(transaction, role, [&role.name, name]).await? {
        return Err(refused(&lines));
    }
    for (id, line) in &lines {
        for (column, value) in COLUMNS.iter().zip(&line.values) {
            if *value == old {
                let sql = format!("UPDATE bekci_policies SET {column} = $1 WHERE id = $2");
                let set = statement(
                    transaction.get_database_backend(),
                    sql,
                    [new.as_str().into(), (*id).into()],
                );
                transaction.execute_raw(set).await.map_err(unavailable)?;
            }
        }
    }
    Ok(())
}

/// Refuses to delete a role that lines name, unless another role of the guard keeps the name.
pub(crate) async fn may_delete_role(transaction: &GuardedTransaction, role: &RoleEntry) -> Result<(), StoreError> {
    let subject = role_subject(&role.scope.guard, &role.name);
    let lines = naming(transaction, &subject).await.map_err(unavailable)?;
    if lines.is_empty() || is_shared(transaction, role, [&role.name, &role.name]).await? {
        Ok(())
    } else {
        Err(refused(&lines))
    }
}

/// Removes the lines that name a principal.
pub(crate) async fn forget_principal(transaction: &GuardedTransaction, key: &PrincipalKey) -> Result<(), DbErr> {
    let sql = "DELETE FROM bekci_policies WHERE $1 IN (v0, v1, v2, v3, v4, v5)";
    let named = format!("principal:{key}");
    let remove = statement(transaction.get_database_backend(), sql, [named.into()]);
    transaction.execute_raw(remove).await.map(|_| ())
}

impl Policies {
    /// The lines that name a role.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn naming_role(&self, guard: &GuardName, name: &RoleName) -> Result<Vec<PolicyLine>, StoreError> {
        let subject = role_subject(guard, name);
        let lines = naming(self.store.node.db(), &subject).await.map_err(unavailable)?;
        Ok(lines.into_iter().map(|(_, line)| line).collect())
    }

    /// Names in lines that mean nothing: roles that their guard does not have in any tenant, and principals without an account. Each with the lines that have it, as text. At
    /// most 1,000 principals are looked up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn dangling(&self) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in self.lines().await? {
            let named: BTreeSet<&String> = line.values.iter().filter(|value| is_name(value)).collect();
            for name in named {
                names.entry(name.clone()).or_default().push(text(&line));
            }
        }
        let roles = self.role_subjects().await.map_err(unavailable)?;
        let mut asked = 0;
        let mut dangling = BTreeMap::new();
        for (name, lines) in names {
            let is_known = match name.strip_prefix("principal:") {
                None => roles.contains(&name),
                Some(_) if asked >= MOST_PRINCIPALS => true,
                Some(key) => {
                    asked += 1;
                    self.has_account(key).await?
                }
            };
            if !is_known {
                dangling.insert(name, lines);
            }
        }
        Ok(dangling)
    }

    async fn role_subjects(&self) -> Result<BTreeSet<String>, DbErr> {
        let sql = "SELECT DISTINCT guard, name FROM bekci_roles";
        let asked = statement(self.store.node.backend(), sql, []);
        let rows = self.store.node.db().query_all_raw(asked).await?;
        let subject = |row: &QueryResult| -> Result<String, DbErr> {
            let (guard, name): (String, String) = (row.try_get("", "guard")?, row.try_get("", "name")?);
            Ok(format!("role:{guard}:{name}"))
        };
        rows.iter().map(subject).collect()
    }

    async fn has_account(&self, key: &str) -> Result<bool, StoreError> {
        let Ok(key) = PrincipalKey::parse(key) else {
            return Ok(false);
        };
        let found = self.store.directory().find(&key).await;
        let found = found.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(found.is_some())
    }
}

fn is_name(value: &str) -> bool {
    value.starts_with("role:") || value.starts_with("principal:")
}
