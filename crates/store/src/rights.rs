//! Rights: who holds what, and what roles permit. Each call is one transaction, in force on every node when it returns; nothing changes rights in a cache alone.

mod permitting;
mod taking;

pub(crate) use permitting::{insert_role, role_named, role_numbered, roles_of};

use bekci_core::{GuardName, Permission, PrincipalKey, RoleName, TenantName, signin::StoreError};
use sea_orm::{ConnectionTrait, DbErr, Value};

use crate::{
    Store,
    audit::Direct,
    authority::{Authority, Change as Begun, Locks, Reach},
    commit::{Barrier, Committed},
    guarded::GuardedTransaction,
    load,
    sql::{shared_rows, statement},
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

    /// A principal whose rights can be changed: its account exists, and the caller outranks it.
    async fn begin_for(&self, key: &PrincipalKey) -> Result<Begun, StoreError> {
        let mut begun = self.store.begin_change(Locks::Principal, Some(key)).await?;
        let identity = load::identity(&self.store.node, &begun.transaction, key)
            .await
            .map_err(unavailable)?;
        if !identity.exists {
            return Err(StoreError::Refused(format!("there is no account {key}")));
        }
        if let Some(authority) = &mut begun.authority {
            authority.not_self(key)?;
            authority
                .outranks(&begun.transaction, &identity, Reach::Management)
                .await?;
        }
        Ok(begun)
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
        let Begun { transaction, authority } = self.begin_for(key).await?;
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
            self.insert(&transaction, key, scope, role).await?;
        }
        self.finish((transaction, authority), key, scope, &before).await
    }

    /// Makes a principal a holder of a role.
    pub(crate) async fn insert(
        &self,
        transaction: &GuardedTransaction,
        key: &PrincipalKey,
        scope: &Scope,
        role: &RoleName,
    ) -> Result<(), StoreError> {
        self.must_have_role(transaction, scope, role).await?;
        let sql = "INSERT INTO bekci_principal_roles (model, id, guard, tenant, role) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let texts = [
            key.model(),
            key.id(),
            scope.guard.as_str(),
            scope.tenant_text(),
            role.as_str(),
        ];
        self.run(transaction, sql, texts.map(Value::from)).await.map(drop)
    }

    async fn direct(
        &self,
        transaction: &GuardedTransaction,
        key: &PrincipalKey,
        scope: &Scope,
    ) -> Result<Direct, StoreError> {
        Direct::of(transaction, key, scope).await.map_err(unavailable)
    }

    /// Judges what is another than before, commits it, and reports it.
    async fn finish(
        &self,
        (transaction, authority): (GuardedTransaction, Option<Authority>),
        key: &PrincipalKey,
        scope: &Scope,
        before: &Direct,
    ) -> Result<Committed, StoreError> {
        let after = self.direct(&transaction, key, scope).await?;
        if let Some(mut authority) = authority {
            authority.may_change(&transaction, scope, (before, &after)).await?;
        }
        let committed = transaction.commit_with(Barrier::Always).await;
        self.store.tell_rights(key, scope, (before, &after), &committed);
        Ok(committed?)
    }

    pub(crate) async fn must_have_role(
        &self,
        transaction: &GuardedTransaction,
        scope: &Scope,
        role: &RoleName,
    ) -> Result<(), StoreError> {
        // A writer outside Bekci deletes them after this change or before it: then the membership goes with them, or is not made.
        let sql = format!(
            "SELECT id FROM bekci_roles WHERE guard = $1 AND name = $2 AND tenant IN ('', $3){}",
            shared_rows(self.backend())
        );
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
        let Begun { transaction, authority } = self.begin_for(key).await?;
        let before = self.direct(&transaction, key, scope).await?;
        for permission in permissions {
            self.put_permission(&transaction, key, scope, permission, denied)
                .await?;
        }
        self.finish((transaction, authority), key, scope, &before).await
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
        let Begun { transaction, authority } = self.begin_for(key).await?;
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
        self.finish((transaction, authority), key, scope, &before).await
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
        let Begun { transaction, authority } = self.begin_for(key).await?;
        let before = self.direct(&transaction, key, scope).await?;
        let owner = || [key.model(), key.id(), scope.guard.as_str(), scope.tenant_text()].map(Value::from);
        let condition = "model = $1 AND id = $2 AND guard = $3 AND tenant = $4";
        let held = format!("SELECT permission FROM bekci_principal_permissions WHERE {condition}");
        let rows = transaction
            .query_all_raw(statement(self.backend(), held, owner()))
            .await
            .map_err(unavailable)?;
        // One by one: what stays is not touched, so that equal ones change no version.
        let delete = format!("DELETE FROM bekci_principal_permissions WHERE {condition} AND permission = $5");
        for row in rows {
            let held: String = row.try_get("", "permission").map_err(unavailable)?;
            if !granted.iter().chain(denied).any(|wanted| wanted.as_str() == held) {
                let values = owner().into_iter().chain([held.into()]);
                self.run(&transaction, &delete, values).await?;
            }
        }
        for (permissions, denied) in [(granted, false), (denied, true)] {
            for permission in permissions {
                self.put_permission(&transaction, key, scope, permission, denied)
                    .await?;
            }
        }
        self.finish((transaction, authority), key, scope, &before).await
    }
}
