//! Taking away one kind of direct right: a grant without lifting a denial, a denial without granting.

use bekci_core::{Permission, PrincipalKey, signin::StoreError};
use sea_orm::Value;

use super::{Rights, Scope};
use crate::{authority::Change as Begun, commit::Committed};

impl Rights {
    /// Takes direct grants of these permissions away. A denial of one stays, so that nobody may more than before.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the account is not there.
    pub async fn withdraw(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        permissions: &[Permission],
    ) -> Result<Committed, StoreError> {
        self.take(key, scope, permissions, false).await
    }

    /// Lifts direct denials of these permissions. Nothing is granted: who held them otherwise may again.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the account is not there.
    pub async fn lift(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        permissions: &[Permission],
    ) -> Result<Committed, StoreError> {
        self.take(key, scope, permissions, true).await
    }

    async fn take(
        &self,
        key: &PrincipalKey,
        scope: &Scope,
        permissions: &[Permission],
        denied: bool,
    ) -> Result<Committed, StoreError> {
        let Begun { transaction, authority } = self.begin_for(key).await?;
        let before = self.direct(&transaction, key, scope).await?;
        let sql = "DELETE FROM bekci_principal_permissions \
                   WHERE model = $1 AND id = $2 AND guard = $3 AND tenant = $4 AND permission = $5 AND denied = $6";
        for permission in permissions {
            let (guard, tenant) = (scope.guard.as_str(), scope.tenant_text());
            let named = [key.model(), key.id(), guard, tenant, permission.as_str()];
            let values = named.into_iter().map(Value::from).chain([denied.into()]);
            self.run(&transaction, sql, values).await?;
        }
        self.finish((transaction, authority), key, scope, &before).await
    }
}
