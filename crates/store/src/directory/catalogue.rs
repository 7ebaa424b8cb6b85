//! The roles and permissions of a guard, by number.

use bekci_core::{GuardName, Permission, RoleName, TenantName};
use sea_orm::{ConnectionTrait, QueryResult, Value};
use serde_json::json;

use super::{Directory, DirectoryError, values::refused};
use crate::{
    audit,
    authority::{Change, Locks},
    commit::Committed,
    policies::names,
    rights::{RoleEntry, Scope, insert_role, role_numbered},
    sql::{locked_rows, statement},
};

/// A role that is to be made.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// Where it counts.
    pub scope: Scope,
    /// Its name.
    pub name: RoleName,
    /// What it permits.
    pub permissions: Vec<Permission>,
}

/// Roles in order of number.
#[derive(Clone, Debug)]
pub struct RolePage {
    /// The roles.
    pub roles: Vec<RoleEntry>,
    /// The number after which the next page begins; `None`: this is the last one.
    pub next: Option<i64>,
}

const COLUMNS: &str = "SELECT id, guard, tenant, name FROM bekci_roles";

fn entry(row: &QueryResult) -> Result<Option<RoleEntry>, DirectoryError> {
    let text = |column: &str| row.try_get::<String>("", column).map_err(refused);
    let (guard, tenant, name) = (text("guard")?, text("tenant")?, text("name")?);
    let tenant = (!tenant.is_empty()).then(|| TenantName::new(&tenant)).transpose();
    // What breaks the grammar gives nothing, and nobody can name it here.
    let (Ok(guard), Ok(tenant), Ok(name)) = (GuardName::new(&guard), tenant, RoleName::new(&name)) else {
        return Ok(None);
    };
    Ok(Some(RoleEntry {
        id: row.try_get("", "id").map_err(refused)?,
        scope: Scope { guard, tenant },
        name,
        permissions: Vec::new(),
    }))
}

impl Directory {
    async fn with_permissions(&self, mut role: RoleEntry) -> Result<RoleEntry, DirectoryError> {
        let sql = "SELECT permission FROM bekci_role_permissions WHERE role_id = $1 ORDER BY permission";
        for row in self.rows(sql, [role.id.into()]).await? {
            let text: String = row.try_get("", "permission").map_err(refused)?;
            role.permissions.extend(Permission::new(&text));
        }
        Ok(role)
    }

    /// A role by its number.
    ///
    /// # Errors
    /// [`DirectoryError::Store`].
    pub async fn role(&self, id: i64) -> Result<Option<RoleEntry>, DirectoryError> {
        let rows = self.rows(format!("{COLUMNS} WHERE id = $1"), [id.into()]).await?;
        match rows.first().map(entry).transpose()?.flatten() {
            Some(role) => Ok(Some(self.with_permissions(role).await?)),
            None => Ok(None),
        }
    }

    /// A page of roles with what they permit: of one guard and of one tenant, where they are named. `Some(None)` as tenant: global ones alone.
    ///
    /// # Errors
    /// [`DirectoryError::Store`].
    pub async fn roles(
        &self,
        guard: Option<&GuardName>,
        tenant: Option<Option<&TenantName>>,
        after: i64,
        limit: u16,
    ) -> Result<RolePage, DirectoryError> {
        let mut values: Vec<Value> = vec![after.into()];
        let mut sql = format!("{COLUMNS} WHERE id > $1");
        if let Some(guard) = guard {
            values.push(guard.as_str().into());
            sql.push_str(&format!(" AND guard = ${}", values.len()));
        }
        if let Some(tenant) = tenant {
            values.push(tenant.map(TenantName::as_str).unwrap_or_default().into());
            sql.push_str(&format!(" AND tenant = ${}", values.len()));
        }
        let limit = usize::from(limit.max(1));
        let rows = self
            .rows(format!("{sql} ORDER BY id LIMIT {}", limit + 1), values)
            .await?;
        let mut roles = Vec::new();
        for row in rows.iter().take(limit) {
            if let Some(role) = entry(row)? {
                roles.push(self.with_permissions(role).await?);
            }
        }
        let last = rows.get(limit - 1).filter(|_| rows.len() > limit);
        let next = last.map(|row| row.try_get("", "id")).transpose().map_err(refused)?;
        Ok(RolePage { roles, next })
    }

    /// Begins a change of a role, which nobody else changes until it is committed.
    async fn begin_role(&self, id: i64) -> Result<(Change, RoleEntry), DirectoryError> {
        let change = self.store.begin_change(Locks::Roles, None).await?;
        let lock = format!(
            "SELECT id FROM bekci_roles WHERE id = $1{}",
            locked_rows(self.backend())
        );
        let lock = statement(self.backend(), lock, [id.into()]);
        change.transaction.query_one_raw(lock).await.map_err(refused)?;
        let role = role_numbered(&change.transaction, id).await.map_err(refused)?;
        Ok((change, role.ok_or(DirectoryError::Gone)?))
    }

    /// Makes a role; unknown permissions become known. Gives its number.
    ///
    /// # Errors
    /// [`DirectoryError::Taken`] where the scope has a role of this name.
    pub async fn add_role(&self, role: &NewRole) -> Result<(i64, Committed), DirectoryError> {
        let mut change = self.store.begin_change(Locks::Roles, None).await?;
        change
            .may_put_role(&role.scope, &role.name, (None, &role.permissions))
            .await?;
        let transaction = change.transaction;
        let id = insert_role(&transaction, &role.scope, &role.name)
            .await
            .map_err(refused)?;
        let rights = self.store.rights();
        rights
            .set_role_permissions(&transaction, &role.scope.guard, id, &role.permissions)
            .await?;
        let committed = self.commit(transaction).await;
        let added = audit::role(&role.scope, &role.name, Some(&role.permissions));
        let details = json!({"roleAdded": added, "id": id});
        self.store.tell("rights.changed", None, &committed, &details);
        Ok((id, committed?))
    }

    /// Gives a role another name. Its holders keep it, and policy lines that name it get the new name.
    ///
    /// # Errors
    /// [`DirectoryError::Gone`], [`StoreError::NamedByPolicy`](bekci_core::signin::StoreError::NamedByPolicy) where lines would come to mean another role, or [`DirectoryError::Taken`] where the scope has a role of this name.
    pub async fn rename_role(&self, id: i64, name: &RoleName) -> Result<Committed, DirectoryError> {
        let (mut change, before) = self.begin_role(id).await?;
        change.may_rename_role(&before, name).await?;
        let transaction = change.transaction;
        names::rename_role(&transaction, &before, name).await?;
        let sql = "UPDATE bekci_roles SET name = $1 WHERE id = $2";
        self.run(&transaction, sql, [name.as_str().into(), id.into()]).await?;
        let committed = self.commit(transaction).await;
        let details = json!({"role": audit::role(&before.scope, &before.name, None), "renamed": name});
        self.store.tell("rights.changed", None, &committed, &details);
        committed
    }

    /// Makes these what a role permits; unknown permissions become known.
    ///
    /// # Errors
    /// [`DirectoryError::Gone`].
    pub async fn set_role(&self, id: i64, permissions: &[Permission]) -> Result<Committed, DirectoryError> {
        let (mut change, before) = self.begin_role(id).await?;
        let permits = (Some(&*before.permissions), permissions);
        change.may_put_role(&before.scope, &before.name, permits).await?;
        let transaction = change.transaction;
        let rights = self.store.rights();
        rights
            .set_role_permissions(&transaction, &before.scope.guard, id, permissions)
            .await?;
        let committed = self.commit(transaction).await;
        let without = |these: &[Permission], others: &[Permission]| -> Vec<Permission> {
            these.iter().filter(|one| !others.contains(one)).cloned().collect()
        };
        let added = without(permissions, &before.permissions);
        let removed = without(&before.permissions, permissions);
        if !added.is_empty() || !removed.is_empty() {
            let role = audit::role(&before.scope, &before.name, None);
            let details = json!({"role": role, "added": added, "removed": removed});
            self.store.tell("rights.changed", None, &committed, &details);
        }
        committed
    }

    /// Deletes a role: what it permitted and who held it go with it.
    ///
    /// # Errors
    /// [`DirectoryError::Gone`], or [`StoreError::NamedByPolicy`](bekci_core::signin::StoreError::NamedByPolicy) where policy lines name it.
    pub async fn remove_role(&self, id: i64) -> Result<Committed, DirectoryError> {
        let (mut change, before) = self.begin_role(id).await?;
        change.may_delete_role(&before).await?;
        let transaction = change.transaction;
        names::may_delete_role(&transaction, &before).await?;
        self.run(&transaction, "DELETE FROM bekci_roles WHERE id = $1", [id.into()])
            .await?;
        let committed = self.commit(transaction).await;
        let deleted = audit::role(&before.scope, &before.name, Some(&before.permissions));
        self.store
            .tell("rights.changed", None, &committed, &json!({"roleDeleted": deleted}));
        committed
    }

    /// A page of the permissions that are known, with their numbers and guards, and the number after which the next page begins.
    ///
    /// # Errors
    /// [`DirectoryError::Store`].
    pub async fn permissions(
        &self,
        guard: Option<&GuardName>,
        after: i64,
        limit: u16,
    ) -> Result<(Vec<(i64, GuardName, Permission)>, Option<i64>), DirectoryError> {
        let sql = format!(
            "SELECT id, guard, name FROM bekci_permissions WHERE id > $1 AND ($2 = '' OR guard = $2) ORDER BY id LIMIT {}",
            usize::from(limit.max(1)) + 1
        );
        let guard = guard.map(GuardName::as_str).unwrap_or_default();
        let rows = self.rows(sql, [after.into(), guard.into()]).await?;
        let limit = usize::from(limit.max(1));
        let mut known = Vec::new();
        for row in rows.iter().take(limit) {
            known.extend(permission(row)?);
        }
        let last = rows.get(limit - 1).filter(|_| rows.len() > limit);
        let next = last.map(|row| row.try_get("", "id")).transpose().map_err(refused)?;
        Ok((known, next))
    }

    /// A permission that is known, by its number.
    ///
    /// # Errors
    /// [`DirectoryError::Store`].
    pub async fn permission(&self, id: i64) -> Result<Option<(i64, GuardName, Permission)>, DirectoryError> {
        let sql = "SELECT id, guard, name FROM bekci_permissions WHERE id = $1";
        let rows = self.rows(sql, [id.into()]).await?;
        Ok(rows.first().map(permission).transpose()?.flatten())
    }

    /// Makes a permission known, so that it can be chosen; it gives nobody anything.
    ///
    /// # Errors
    /// [`DirectoryError::Taken`] where it is known.
    pub async fn add_permission(
        &self,
        guard: &GuardName,
        name: &Permission,
    ) -> Result<(i64, Committed), DirectoryError> {
        let transaction = self.store.begin_change(Locks::Roles, None).await?.transaction;
        let sql = "INSERT INTO bekci_permissions (guard, name) VALUES ($1, $2) RETURNING id";
        let values = [guard.as_str(), name.as_str()].map(Value::from);
        let row = transaction.query_one_raw(statement(self.backend(), sql, values)).await;
        let row = row.map_err(refused)?.ok_or(DirectoryError::Gone)?;
        let id = row.try_get("", "id").map_err(refused)?;
        let committed = self.commit(transaction).await;
        let details = json!({"permissionAdded": {"guard": guard, "name": name}, "id": id});
        self.store.tell("rights.changed", None, &committed, &details);
        Ok((id, committed?))
    }

    /// Forgets a permission, and takes it from every role of its guard and everybody whom it was granted. Denials of it stay: what is forgotten may come back.
    ///
    /// # Errors
    /// [`DirectoryError::Gone`].
    pub async fn remove_permission(&self, id: i64) -> Result<Committed, DirectoryError> {
        let mut change = self.store.begin_change(Locks::Roles, None).await?;
        let sql = format!(
            "SELECT id, guard, name FROM bekci_permissions WHERE id = $1{}",
            locked_rows(self.backend())
        );
        let known = statement(self.backend(), sql, [id.into()]);
        let known = change.transaction.query_one_raw(known).await.map_err(refused)?;
        let known = known.as_ref().map(permission).transpose()?.flatten();
        let (_, guard, name) = known.ok_or(DirectoryError::Gone)?;
        change.may_forget(&guard, &name).await?;
        let transaction = change.transaction;
        if self
            .run(&transaction, "DELETE FROM bekci_permissions WHERE id = $1", [id.into()])
            .await?
            == 0
        {
            return Err(DirectoryError::Gone);
        }
        let named = || [guard.as_str(), name.as_str()].map(Value::from);
        let from_roles = "DELETE FROM bekci_role_permissions WHERE permission = $2 AND role_id IN (SELECT id FROM bekci_roles WHERE guard = $1)";
        self.run(&transaction, from_roles, named()).await?;
        let grants = "DELETE FROM bekci_principal_permissions WHERE guard = $1 AND permission = $2 AND NOT denied";
        self.run(&transaction, grants, named()).await?;
        let committed = self.commit(transaction).await;
        let details = json!({"permissionDeleted": {"guard": guard, "name": name}});
        self.store.tell("rights.changed", None, &committed, &details);
        committed
    }
}

fn permission(row: &QueryResult) -> Result<Option<(i64, GuardName, Permission)>, DirectoryError> {
    let text = |column: &str| row.try_get::<String>("", column).map_err(refused);
    let (Ok(guard), Ok(name)) = (GuardName::new(&text("guard")?), Permission::new(&text("name")?)) else {
        return Ok(None);
    };
    Ok(Some((row.try_get("", "id").map_err(refused)?, guard, name)))
}
