//! Rights: who holds what, and what roles permit. Each call is one transaction, in force on every node when it returns; nothing changes rights in a cache alone.

mod taking;

use bekci_core::{GuardName, Permission, PrincipalKey, RoleName, TenantName, signin::StoreError};
use sea_orm::{ConnectionTrait, DbErr, TransactionTrait, Value};
use serde_json::json;

use crate::{
    Store,
    audit::{self, Direct},
    commit::{Barrier, Committed},
    guarded::GuardedTransaction,
    load,
    sql::statement,
};

/// Where a right counts: in a guard, globally or in one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The guard.
    pub guard: GuardName,
    /// The tenant; `None`: global.
    pub tenant: Option<TenantName>,
}

impl Scope {
    /// A guard's global scope.
    #[must_use]
    pub fn global(guard: GuardName) -> Self {
        Self { guard, tenant: None }
    }

    pub(crate) fn tenant_text(&self) -> &str {
        self.tenant.as_ref().map(TenantName::as_str).unwrap_or_default()
    }
}

/// A role with what it permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleEntry {
    /// The row's number.
    pub id: i64,
    /// Where it counts.
    pub scope: Scope,
    /// Its name.
    pub name: RoleName,
    /// What it permits, in order.
    pub permissions: Vec<Permission>,
}

/// Changes rights; from [`Store::rights`].
#[derive(Clone, Debug)]
pub struct Rights {
    store: Store,
}

fn unavailable(error: DbErr) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// What a change adds and takes away.
struct Change<'a, T> {
    add: &'a [T],
    remove: Removal<'a, T>,
}

enum Removal<'a, T> {
    These(&'a [T]),
    AllOthers,
}

impl Store {
    /// Rights: roles, grants and denials of principals, and what roles permit.
    #[must_use]
    pub fn rights(&self) -> Rights {
        Rights { store: self.clone() }
    }
}

impl Rights {
    fn backend(&self) -> sea_orm::DbBackend {
        self.store.node.backend()
    }

    async fn run(
        &self,
        transaction: &GuardedTransaction,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, StoreError> {
        let done = transaction
            .execute_raw(statement(self.backend(), sql, values))
            .await
            .map_err(unavailable)?;
        Ok(done.rows_affected())
    }

    async fn begin(&self) -> Result<GuardedTransaction, StoreError> {
        self.store.connection().begin().await.map_err(unavailable)
    }

    /// A principal that rights can be given to: its account exists.
    async fn begin_for(&self, key: &PrincipalKey) -> Result<GuardedTransaction, StoreError> {
        let transaction = self.begin().await?;
        let identity = load::identity(&self.store.node, &transaction, key)
            .await
            .map_err(unavailable)?;
        if identity.exists {
            Ok(transaction)
        } else {
            Err(StoreError::Refused(format!("there is no account {key}")))
        }
    }

    /// Gives roles to a principal. A role that the guard does not have, neither globally nor in the tenant, is refused.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where account or role is not there.
    pub async fn assign_role(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        roles: &[RoleName],
    ) -> Result<Committed, StoreError> {
        self.change_roles(
            key,
            scope,
            Change {
                add: roles,
                remove: Removal::These(&[]),
            },
        )
        .await
    }

    /// Takes roles from a principal. One that it does not hold is no error.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the account is not there.
    pub async fn remove_role(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        roles: &[RoleName],
    ) -> Result<Committed, StoreError> {
        self.change_roles(
            key,
            scope,
            Change {
                add: &[],
                remove: Removal::These(roles),
            },
        )
        .await
    }

    /// Makes these the principal's roles in the scope: others there are taken away.
    ///
    /// # Errors
    /// As [`Rights::assign_role`]; then nothing was changed.
    pub async fn sync_roles(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        roles: &[RoleName],
    ) -> Result<Committed, StoreError> {
        self.change_roles(
            key,
            scope,
            Change {
                add: roles,
                remove: Removal::AllOthers,
            },
        )
        .await
    }

    async fn change_roles(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        change: Change<'_, RoleName>,
    ) -> Result<Committed, StoreError> {
        let transaction = self.begin_for(key).await?;
        let before = self.direct(&transaction, key, scope).await?;
        let owner = |rest: &[&str]| -> Vec<Value> {
            let fixed = [key.model(), key.id(), scope.guard.as_str(), scope.tenant_text()];
            fixed.into_iter().chain(rest.iter().copied()).map(Value::from).collect()
        };
        let condition = "model = $1 AND id = $2 AND guard = $3 AND tenant = $4";
        match change.remove {
            Removal::These(roles) => {
                for role in roles {
                    self.run(
                        &transaction,
                        &format!("DELETE FROM bekci_principal_roles WHERE {condition} AND role = $5"),
                        owner(&[role.as_str()]),
                    )
                    .await?;
                }
            }
            Removal::AllOthers => {
                let held = format!("SELECT role FROM bekci_principal_roles WHERE {condition}");
                let rows = transaction
                    .query_all_raw(statement(self.backend(), held, owner(&[])))
                    .await
                    .map_err(unavailable)?;
                for row in rows {
                    let held: String = row.try_get("", "role").map_err(unavailable)?;
                    if !change.add.iter().any(|role| role.as_str() == held) {
                        self.run(
                            &transaction,
                            &format!("DELETE FROM bekci_principal_roles WHERE {condition} AND role = $5"),
                            owner(&[&held]),
                        )
                        .await?;
                    }
                }
            }
        }
        for role in change.add {
            self.must_have_role(&transaction, scope, role).await?;
            let sql = "INSERT INTO bekci_principal_roles (model, id, guard, tenant, role) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
            self.run(&transaction, sql, owner(&[role.as_str()])).await?;
        }
        self.finish(transaction, key, scope, &before).await
    }

    async fn direct(
        &self,
        transaction: &GuardedTransaction,
        key: &PrincipalKey,
        scope: &Scope,
    ) -> Result<Direct, StoreError> {
        Direct::of(transaction, key, scope).await.map_err(unavailable)
    }

    /// Commits, and tells what is another than before.
    async fn finish(
        &self,
        transaction: GuardedTransaction,
        key: &PrincipalKey,
        scope: &Scope,
        before: &Direct,
    ) -> Result<Committed, StoreError> {
        let after = self.direct(&transaction, key, scope).await?;
        let committed = transaction.commit_with(Barrier::Always).await;
        self.store.tell_rights(key, scope, (before, &after), &committed);
        Ok(committed?)
    }

    async fn must_have_role(
        &self,
        transaction: &GuardedTransaction,
        scope: &Scope,
        role: &RoleName,
    ) -> Result<(), StoreError> {
        let sql = "SELECT id FROM bekci_roles WHERE guard = $1 AND name = $2 AND tenant IN ('', $3)";
        let values = [
            scope.guard.as_str().into(),
            role.as_str().into(),
            scope.tenant_text().into(),
        ];
        let found = transaction
            .query_one_raw(statement(self.backend(), sql, values))
            .await
            .map_err(unavailable)?;
        if found.is_some() {
            Ok(())
        } else {
            Err(StoreError::Refused(format!(
                "guard {} has no role {role} here",
                scope.guard
            )))
        }
    }

    /// Grants permissions to a principal directly; a denial of the same permission is lifted.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the account is not there.
    pub async fn give(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        permissions: &[Permission],
    ) -> Result<Committed, StoreError> {
        self.set_permissions(key, scope, permissions, false).await
    }

    /// Denies permissions to a principal: whatever grants them, it may not.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the account is not there.
    pub async fn deny(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        permissions: &[Permission],
    ) -> Result<Committed, StoreError> {
        self.set_permissions(key, scope, permissions, true).await
    }

    async fn set_permissions(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        permissions: &[Permission],
        denied: bool,
    ) -> Result<Committed, StoreError> {
        let transaction = self.begin_for(key).await?;
        let before = self.direct(&transaction, key, scope).await?;
        for permission in permissions {
            self.put_permission(&transaction, key, scope, permission, denied)
                .await?;
        }
        self.finish(transaction, key, scope, &before).await
    }

    async fn put_permission(
        &self,
        transaction: &GuardedTransaction,
        key: &PrincipalKey,
        scope: &Scope,
        permission: &Permission,
        denied: bool,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO bekci_principal_permissions (model, id, guard, tenant, permission, denied) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (model, id, guard, tenant, permission) DO UPDATE SET denied = excluded.denied";
        let values = [
            key.model().into(),
            key.id().into(),
            scope.guard.as_str().into(),
            scope.tenant_text().into(),
            permission.as_str().into(),
            denied.into(),
        ];
        self.run(transaction, sql, values).await.map(|_| ())
    }

    /// Takes direct grants and denials of these permissions away.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the account is not there.
    pub async fn revoke(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        permissions: &[Permission],
    ) -> Result<Committed, StoreError> {
        let transaction = self.begin_for(key).await?;
        let before = self.direct(&transaction, key, scope).await?;
        let sql = "DELETE FROM bekci_principal_permissions WHERE model = $1 AND id = $2 AND guard = $3 AND tenant = $4 AND permission = $5";
        for permission in permissions {
            let values = [
                key.model(),
                key.id(),
                scope.guard.as_str(),
                scope.tenant_text(),
                permission.as_str(),
            ]
            .map(Value::from);
            self.run(&transaction, sql, values).await?;
        }
        self.finish(transaction, key, scope, &before).await
    }

    /// Makes these the principal's direct grants and denials in the scope: others there are taken away.
    ///
    /// # Errors
    /// As [`Rights::give`]; then nothing was changed.
    pub async fn sync_permissions(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        granted: &[Permission],
        denied: &[Permission],
    ) -> Result<Committed, StoreError> {
        let transaction = self.begin_for(key).await?;
        let before = self.direct(&transaction, key, scope).await?;
        let sql = "DELETE FROM bekci_principal_permissions WHERE model = $1 AND id = $2 AND guard = $3 AND tenant = $4";
        self.run(
            &transaction,
            sql,
            [key.model(), key.id(), scope.guard.as_str(), scope.tenant_text()].map(Value::from),
        )
        .await?;
        for (permissions, denied) in [(granted, false), (denied, true)] {
            for permission in permissions {
                self.put_permission(&transaction, key, scope, permission, denied)
                    .await?;
            }
        }
        self.finish(transaction, key, scope, &before).await
    }

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
