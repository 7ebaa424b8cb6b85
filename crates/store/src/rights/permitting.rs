//! What roles permit.

use bekci_core::{GuardName, Permission, RoleName, TenantName, signin::StoreError};
use sea_orm::{ConnectionTrait, DbErr, Value};
use serde_json::json;

use super::{Rights, RoleEntry, Scope, unavailable};
use crate::{
    audit,
    authority::Locks,
    commit::{Barrier, Committed},
    guarded::GuardedTransaction,
    policies::names,
    sql::statement,
};

impl Rights {
    /// Makes a role, or finds it, and makes these what it permits. Unknown permissions become known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_role(
        &self,
        scope: &Scope,
        name: &RoleName,
        permissions: &[Permission],
    ) -> Result<Committed, StoreError> {
        let mut change = self.store.begin_change(Locks::Roles, None).await?;
        let known = role_named(&change.transaction, scope, name)
            .await
            .map_err(unavailable)?;
        let before = known.as_ref().map(|role| &*role.permissions);
        change.may_put_role(scope, name, (before, permissions)).await?;
        let transaction = change.transaction;
        let id = match known {
            Some(role) => role.id,
            None => insert_role(&transaction, scope, name).await.map_err(unavailable)?,
        };
        self.set_role_permissions(&transaction, &scope.guard, id, permissions)
            .await?;
        let committed = transaction.commit_with(Barrier::Always).await;
        let details = json!({"roleSet": audit::role(scope, name, Some(permissions))});
        self.store.tell("rights.changed", None, &committed, &details);
        Ok(committed?)
    }

    pub(crate) async fn set_role_permissions(
        &self,
        transaction: &GuardedTransaction,
        guard: &GuardName,
        id: i64,
        permissions: &[Permission],
    ) -> Result<(), StoreError> {
        let held = statement(
            self.backend(),
            "SELECT permission FROM bekci_role_permissions WHERE role_id = $1",
            [id.into()],
        );
        let rows = transaction.query_all_raw(held).await.map_err(unavailable)?;
        for row in rows {
            let held: String = row.try_get("", "permission").map_err(unavailable)?;
            if !permissions.iter().any(|permission| permission.as_str() == held) {
                self.run(
                    transaction,
                    "DELETE FROM bekci_role_permissions WHERE role_id = $1 AND permission = $2",
                    [id.into(), held.into()],
                )
                .await?;
            }
        }
        for permission in permissions {
            let known = "INSERT INTO bekci_permissions (guard, name) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            self.run(transaction, known, [guard.as_str().into(), permission.as_str().into()])
                .await?;
            let add = "INSERT INTO bekci_role_permissions (role_id, permission) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            self.run(transaction, add, [id.into(), permission.as_str().into()])
                .await?;
        }
        Ok(())
    }

    /// Deletes a role: what it permitted and who held it go with it. `false`: there is none.
    ///
    /// # Errors
    /// [`StoreError::NamedByPolicy`] where policy lines name it.
    pub async fn delete_role(&self, scope: &Scope, name: &RoleName) -> Result<bool, StoreError> {
        let mut change = self.store.begin_change(Locks::Roles, None).await?;
        let known = role_named(&change.transaction, scope, name)
            .await
            .map_err(unavailable)?;
        let gone = known.is_some();
        if let Some(role) = &known {
            change.may_delete_role(role).await?;
            names::may_delete_role(&change.transaction, role).await?;
            let sql = "DELETE FROM bekci_roles WHERE id = $1";
            self.run(&change.transaction, sql, [role.id.into()]).await?;
        }
        let transaction = change.transaction;
        let committed = transaction.commit_with(Barrier::Always).await;
        if gone {
            let details = json!({"roleDeleted": audit::role(scope, name, None)});
            self.store.tell("rights.changed", None, &committed, &details);
        }
        committed?.confirmed()?;
        Ok(gone)
    }

    /// The roles of a guard, in order of tenant and name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn roles(&self, guard: &GuardName) -> Result<Vec<RoleEntry>, StoreError> {
        roles_of(self.store.node.db(), guard).await.map_err(unavailable)
    }
}

const ROLES: &str = "SELECT r.id AS id, r.guard AS guard, r.tenant AS tenant, r.name AS name, p.permission AS permission FROM bekci_roles r \
                     LEFT JOIN bekci_role_permissions p ON p.role_id = r.id";

/// The roles of a guard, in order of tenant and name.
pub(crate) async fn roles_of<C: ConnectionTrait>(db: &C, guard: &GuardName) -> Result<Vec<RoleEntry>, DbErr> {
    let sql = format!("{ROLES} WHERE r.guard = $1 ORDER BY r.tenant, r.name, p.permission");
    read(db, &sql, [guard.as_str().into()]).await
}

/// The very role of a scope.
pub(crate) async fn role_named<C: ConnectionTrait>(
    db: &C,
    scope: &Scope,
    name: &RoleName,
) -> Result<Option<RoleEntry>, DbErr> {
    let sql = format!("{ROLES} WHERE r.guard = $1 AND r.tenant = $2 AND r.name = $3 ORDER BY p.permission");
    let named = [scope.guard.as_str(), scope.tenant_text(), name.as_str()].map(Value::from);
    Ok(read(db, &sql, named).await?.pop())
}

/// A role by its number.
pub(crate) async fn role_numbered<C: ConnectionTrait>(db: &C, id: i64) -> Result<Option<RoleEntry>, DbErr> {
    let sql = format!("{ROLES} WHERE r.id = $1 ORDER BY p.permission");
    Ok(read(db, &sql, [id.into()]).await?.pop())
}

async fn read<C: ConnectionTrait>(
    db: &C,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<RoleEntry>, DbErr> {
    let mut roles: Vec<RoleEntry> = Vec::new();
    for row in db
        .query_all_raw(statement(db.get_database_backend(), sql, values))
        .await?
    {
        let id: i64 = row.try_get("", "id")?;
        let text = |column: &str| row.try_get::<String>("", column);
        let (guard, tenant, name) = (text("guard")?, text("tenant")?, text("name")?);
        // What breaks the grammar gives nothing, and nobody can name it here.
        let tenant = (!tenant.is_empty()).then(|| TenantName::new(&tenant)).transpose();
        let (Ok(guard), Ok(tenant), Ok(name)) = (GuardName::new(&guard), tenant, RoleName::new(&name)) else {
            continue;
        };
        if roles.last().is_none_or(|last| last.id != id) {
            roles.push(RoleEntry {
                id,
                scope: Scope { guard, tenant },
                name,
                permissions: Vec::new(),
            });
        }
        let permission: Option<String> = row.try_get("", "permission")?;
        if let (Some(role), Some(Ok(permission))) = (roles.last_mut(), permission.map(|text| Permission::new(&text))) {
            role.permissions.push(permission);
        }
    }
    Ok(roles)
}

/// Makes a role that is not there, and gives its number.
pub(crate) async fn insert_role<C: ConnectionTrait>(db: &C, scope: &Scope, name: &RoleName) -> Result<i64, DbErr> {
    let sql = "INSERT INTO bekci_roles (guard, tenant, name) VALUES ($1, $2, $3) RETURNING id";
    let values = [scope.guard.as_str(), scope.tenant_text(), name.as_str()].map(Value::from);
    let row = db
        .query_one_raw(statement(db.get_database_backend(), sql, values))
        .await?;
    row.ok_or_else(|| DbErr::RecordNotFound("a role that was made is not there".to_owned()))?
        .try_get("", "id")
}
