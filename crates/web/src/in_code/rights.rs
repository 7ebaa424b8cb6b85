//! Rights in code: who holds what, and what roles permit, by names that are checked.

use std::borrow::Cow;

use bekci_core::{ErrorCode, GuardName, ModelName, NameError, PrincipalKey, TenantName, signin::StoreError};
use bekci_store::{Committed, DirectoryError, RoleEntry, Scope};

use crate::{
    AsPrincipal, AsRole, AsTenant, Bekci, GuardType, KeyFault, Permissions, Roles, admin::refusal, respond::Refusal,
};

/// Changes rights; from [`Bekci::rights`]. Each call writes the database in one transaction, and every node decides by it when the call returns.
///
/// A right counts in one guard: the guard of the principal's model, or the one that [`through`](Self::through) names. It counts everywhere, or in the tenant that
/// [`in_tenant`](Self::in_tenant) names.
///
/// ```no_run
/// # async fn example<Admin: bekci::GuardType>(bekci: bekci::Bekci, ann: bekci::core::PrincipalKey) -> Result<(), bekci::RightsError> {
/// let rights = bekci.rights();
/// rights.clone().through::<Admin>().put_role("support", ["orders.view", "orders.delete"]).await?;
/// rights.assign_role(&ann, "support").await?;
/// rights.clone().in_tenant("acme").sync_roles(&ann, ["support", "editor"]).await?;
/// rights.deny(&ann, "orders.delete").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is changed before a call"]
pub struct Rights {
    bekci: Bekci,
    guard: Option<&'static str>,
    tenant: Option<Result<TenantName, NameError>>,
}

/// Why rights were not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RightsError {
    /// The name of a role, a permission or a tenant breaks its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The row is no principal.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// No guard fits, or several do.
    #[error("{0}")]
    Guard(Cow<'static, str>),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RightsError> for Refusal {
    fn from(error: RightsError) -> Self {
        match error {
            RightsError::Store(error) => refusal(DirectoryError::Store(error)),
            RightsError::Guard(why) => Self::misconfigured(why),
            error => Self::new(ErrorCode::ValidationFailed, error.to_string()),
        }
    }
}

/// The guard of a scope: the one that is named, else the only one for this model, or the only one there is.
pub(super) fn guard_of(
    bekci: &Bekci,
    named: Option<&'static str>,
    model: Option<&str>,
) -> Result<GuardName, RightsError> {
    let fits = |found: &ModelName| model.is_none_or(|model| found.as_str() == model);
    let mut guards = bekci.watch().guards().filter(|guard| fits(&guard.model));
    let why = match (named, model) {
        (Some(name), _) => {
            if let Some(guard) = guards.find(|guard| guard.name.as_str() == name) {
                return Ok(guard.name.clone());
            }
            match model {
                Some(model) => format!("guard {name} is not registered with the builder for model {model}"),
                None => format!("guard {name} is not registered with the builder"),
            }
        }
        (None, model) => {
            let mut found: Vec<&GuardName> = guards.map(|guard| &guard.name).collect();
            found.sort();
            match (&found[..], model) {
                ([guard], _) => return Ok((*guard).clone()),
                ([], Some(model)) => format!("no guard is for model {model}"),
                ([], None) => "there is no guard".to_owned(),
                (several, _) => {
                    let names: Vec<&str> = several.iter().map(|guard| guard.as_str()).collect();
                    format!(
                        "several guards fit ({}): name one with .through::<G>()",
                        names.join(", ")
                    )
                }
            }
        }
    };
    Err(RightsError::Guard(why.into()))
}

impl Rights {
    pub(crate) fn new(bekci: Bekci) -> Self {
        Self {
            bekci,
            guard: None,
            tenant: None,
        }
    }

    /// The rights of guard `G`. Required where several guards fit.
    pub fn through<G: GuardType>(mut self) -> Self {
        self.guard = Some(G::NAME);
        self
    }

    /// The rights in this tenant.
    pub fn in_tenant(mut self, tenant: impl AsTenant) -> Self {
        self.tenant = Some(tenant.as_tenant().map(Cow::into_owned));
        self
    }

    fn scope(&self, model: Option<&str>) -> Result<Scope, RightsError> {
        Ok(Scope {
            guard: guard_of(&self.bekci, self.guard, model)?,
            tenant: self.tenant.clone().transpose()?,
        })
    }

    fn of(&self, who: &impl AsPrincipal) -> Result<(bekci_store::Rights, PrincipalKey, Scope), RightsError> {
        let key = who.principal_key()?;
        let scope = self.scope(Some(key.model()))?;
        Ok((self.bekci.store().rights(), key, scope))
    }

    /// Gives roles to a principal.
    ///
    /// # Errors
    /// [`RightsError`]. The guard must have the role, everywhere or in the tenant, and the account must exist.
    pub async fn assign_role(&self, who: &impl AsPrincipal, roles: impl Roles) -> Result<Committed, RightsError> {
        let (rights, key, scope) = self.of(who)?;
        Ok(rights.assign_role(&key, &scope, &roles.names()?).await?)
    }

    /// Takes roles from a principal. A role that it does not hold is no error.
    ///
    /// # Errors
    /// [`RightsError`].
    pub async fn remove_role(&self, who: &impl AsPrincipal, roles: impl Roles) -> Result<Committed, RightsError> {
        let (rights, key, scope) = self.of(who)?;
        Ok(rights.remove_role(&key, &scope, &roles.names()?).await?)
    }

    /// Makes these the principal's roles: others in the same guard and tenant are taken away.
    ///
    /// # Errors
    /// As [`assign_role`](Self::assign_role); then nothing was changed.
    pub async fn sync_roles(&self, who: &impl AsPrincipal, roles: impl Roles) -> Result<Committed, RightsError> {
        let (rights, key, scope) = self.of(who)?;
        Ok(rights.sync_roles(&key, &scope, &roles.names()?).await?)
    }

    /// Grants permissions to a principal directly. A denial of the same permission is lifted.
    ///
    /// # Errors
    /// [`RightsError`].
    pub async fn give(&self, who: &impl AsPrincipal, permissions: impl Permissions) -> Result<Committed, RightsError> {
        let (rights, key, scope) = self.of(who)?;
        Ok(rights.give(&key, &scope, &permissions.names()?).await?)
    }

    /// Denies permissions to a principal, whatever grants them.
    ///
    /// # Errors
    /// [`RightsError`].
    pub async fn deny(&self, who: &impl AsPrincipal, permissions: impl Permissions) -> Result<Committed, RightsError> {
        let (rights, key, scope) = self.of(who)?;
        Ok(rights.deny(&key, &scope, &permissions.names()?).await?)
    }

    /// Takes direct grants and denials of these permissions away.
    ///
    /// # Errors
    /// [`RightsError`].
    pub async fn revoke(
        &self,
        who: &impl AsPrincipal,
        permissions: impl Permissions,
    ) -> Result<Committed, RightsError> {
        let (rights, key, scope) = self.of(who)?;
        Ok(rights.revoke(&key, &scope, &permissions.names()?).await?)
    }

    /// Makes these the principal's direct grants and denials: others in the same guard and tenant are taken away.
    ///
    /// # Errors
    /// As [`give`](Self::give); then nothing was changed.
    pub async fn sync_permissions(
        &self,
        who: &impl AsPrincipal,
        granted: impl Permissions,
        denied: impl Permissions,
    ) -> Result<Committed, RightsError> {
        let (rights, key, scope) = self.of(who)?;
        let (granted, denied) = (granted.names()?, denied.names()?);
        Ok(rights.sync_permissions(&key, &scope, &granted, &denied).await?)
    }

    /// Makes a role, or finds it, and makes these what it permits.
    ///
    /// # Errors
    /// [`RightsError`].
    pub async fn put_role(&self, role: impl AsRole, permissions: impl Permissions) -> Result<Committed, RightsError> {
        let (scope, role) = (self.scope(None)?, role.as_role()?);
        let rights = self.bekci.store().rights();
        Ok(rights.put_role(&scope, &role, &permissions.names()?).await?)
    }

    /// Deletes a role: nobody holds it afterwards. `false`: there is none.
    ///
    /// # Errors
    /// [`RightsError`]; [`StoreError::NamedByPolicy`] where policy lines name it.
    pub async fn delete_role(&self, role: impl AsRole) -> Result<bool, RightsError> {
        let (scope, role) = (self.scope(None)?, role.as_role()?);
        Ok(self.bekci.store().rights().delete_role(&scope, &role).await?)
    }

    /// The roles of the guard, in order of tenant and name; with [`in_tenant`](Self::in_tenant) those of the tenant alone.
    ///
    /// # Errors
    /// [`RightsError`].
    pub async fn roles(&self) -> Result<Vec<RoleEntry>, RightsError> {
        let scope = self.scope(None)?;
        let mut roles = self.bekci.store().rights().roles(&scope.guard).await?;
        if scope.tenant.is_some() {
            roles.retain(|role| role.scope.tenant == scope.tenant);
        }
        Ok(roles)
    }
}
