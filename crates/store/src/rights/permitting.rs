//! What roles permit.

use bekci_core::{GuardName, Permission, RoleName, TenantName, signin::StoreError};
use sea_orm::{ConnectionTrait, Value};
use serde_json::json;

use super::{Rights, RoleEntry, Scope, unavailable};
use crate::{
    audit,
    commit::{Barrier, Committed},
    guarded::GuardedTransaction,
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
        let transaction = self.begin().await?;
        let sql = "INSERT INTO bekci_roles (guard, tenant, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let named = || [scope.guard.as_str(), scope.tenant_text(), name.as_str()].map(Value::from);
        self.run(&transaction, sql, named()).await?;
        let found = "SELECT id FROM bekci_roles WHERE guard = $1 AND tenant = $2 AND name = $3";
        let row = transaction
            .query_one_raw(statement(self.backend(), found, named()))
            .await
            .map_err(unavailable)?;
        let row = row.ok_or_else(|| StoreError::Unavailable("a role that was made is not there".to_owned()))?;
        let id: i64 = row.try_get("", "id").map_err(unavailable)?;
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
    /// [`StoreError`].
    pub async fn delete_role(&self, scope: &Scope, name: &RoleName) -> Result<bool, StoreError> {
        let transaction = self.begin().await?;
        let sql = "DELETE FROM bekci_roles WHERE guard = $1 AND tenant = $2 AND name = $3";
        let gone = self
            .run(
                &transaction,
                sql,
                [scope.guard.as_str(), scope.tenant_text(), name.as_str()].map(Value::from),
            )
            .await?;
        let committed = transaction.commit_with(Barrier::Always).await;
        if gone > 0 {
            let details = json!({"roleDeleted": audit::role(scope, name, None)});
            self.store.tell("rights.changed", None, &committed, &details);
        }
        committed?.confirmed()?;
        Ok(gone > 0)
    }

    /// The roles of a guard, in order of tenant and name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn roles(&self, guard: &GuardName) -> Result<Vec<RoleEntry>, StoreError> {
        let sql = "SELECT r.id AS id, r.tenant AS tenant, r.name AS name, p.permission AS permission FROM bekci_roles r \
                   LEFT JOIN bekci_role_permissions p ON p.role_id = r.id WHERE r.guard = $1 ORDER BY r.tenant, r.name, p.permission";
        let rows = self
            .store
            .node
            .db()
            .query_all_raw(statement(self.backend(), sql, [guard.as_str().into()]))
            .await
            .map_err(unavailable)?;
        let mut roles: Vec<RoleEntry> = Vec::new();
        for row in rows {
            let id: i64 = row.try_get("", "id").map_err(unavailable)?;
            let (tenant, name): (String, String) = (
                row.try_get("", "tenant").map_err(unavailable)?,
                row.try_get("", "name").map_err(unavailable)?,
            );
            let Ok(name) = RoleName::new(&name) else { continue };
            let tenant = if tenant.is_empty() {
                None
            } else {
                TenantName::new(&tenant).ok()
            };
            if roles.last().is_none_or(|last| last.id != id) {
                roles.push(RoleEntry {
                    id,
                    scope: Scope {
                        guard: guard.clone(),
                        tenant,
                    },
                    name,
                    permissions: Vec::new(),
                });
            }
            let permission: Option<String> = row.try_get("", "permission").map_err(unavailable)?;
            if let (Some(role), Some(Ok(permission))) =
                (roles.last_mut(), permission.map(|text| Permission::new(&text)))
            {
                role.permissions.push(permission);
            }
        }
        Ok(roles)
    }
}
