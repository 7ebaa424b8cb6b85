//! Accounts that are not rows of their model's table: whom to ask, and what becomes of the answer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bekci_core::{
    Account, FindCredentials, Identity, ModelName, ModelSpec, PrincipalKey, ProviderUnavailable, ScopedRights,
    UserProvider,
    signin::{Credential, StoreError},
};
use sea_orm::DbErr;
use serde_json::Value;

use crate::{load, node::Node};

/// Which models' accounts come from elsewhere than their table, and of which the table is asked by another query.
#[derive(Clone, Debug, Default)]
pub struct Providers {
    whole: BTreeMap<ModelName, Arc<dyn UserProvider>>,
    finding: BTreeMap<ModelName, Arc<dyn FindCredentials>>,
}

impl Providers {
    /// The accounts of this model come from this provider. `false`: from another one already.
    pub fn provide(&mut self, model: ModelName, provider: Arc<dyn UserProvider>) -> bool {
        self.whole.insert(model, provider).is_none()
    }

    /// The accounts of this model are in its table, and are found by this. `false`: by something else already.
    pub fn find_by(&mut self, model: ModelName, finding: Arc<dyn FindCredentials>) -> bool {
        self.finding.insert(model, finding).is_none()
    }

    /// The provider of a model's accounts; `None`: the database.
    #[must_use]
    pub fn of(&self, model: &str) -> Option<&Arc<dyn UserProvider>> {
        self.whole.get(model)
    }

    /// What finds credentials in place of the query on the table.
    pub(crate) fn finding(&self, model: &str) -> Option<&dyn FindCredentials> {
        let whole = self.of(model).map(|provider| &**provider as &dyn FindCredentials);
        whole.or_else(|| self.finding.get(model).map(|finding| &**finding))
    }
}

pub(crate) fn failed(error: ProviderUnavailable) -> DbErr {
    DbErr::Custom(format!("bekci: {error}"))
}

pub(crate) fn unavailable(error: ProviderUnavailable) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// A provider that has not answered after this time is not waited for.
const ANSWERS_WITHIN: Duration = Duration::from_millis(1_500);

async fn in_time<T>(asked: impl Future<Output = Result<T, ProviderUnavailable>>) -> Result<T, ProviderUnavailable> {
    let answer = tokio::time::timeout(ANSWERS_WITHIN, asked).await;
    answer.unwrap_or_else(|_| Err(ProviderUnavailable("it does not answer in time".to_owned())))
}

/// What a model's own provider says of an account. `None`: the model has none, and the table is asked.
pub(crate) type Given = Option<Option<Account>>;

impl Node {
    /// Asks the provider of the key's model, if it has one of its own.
    pub(crate) async fn given(&self, key: &PrincipalKey) -> Result<Given, ProviderUnavailable> {
        let (Some(provider), Some(model)) = (self.providers().of(key.model()), self.model(key.model())) else {
            return Ok(None);
        };
        if model.key(key.id()).is_err() {
            return Ok(Some(None));
        }
        in_time(provider.account(key)).await.map(Some)
    }

    /// Refuses to write to the table of a model that has none.
    pub(crate) fn must_have_table(&self, model: &ModelSpec) -> Result<(), StoreError> {
        match self.providers().of(model.name.as_str()) {
            None => Ok(()),
            Some(_) => Err(StoreError::Refused(format!(
                "the accounts of model {} are not in the database: change them where its provider has them",
                model.name
            ))),
        }
    }
}

/// Credentials as a provider found them; one of another model, or whose id is not canonical, is a fault of the provider's.
pub(crate) async fn find(
    finding: &dyn FindCredentials,
    spec: &ModelSpec,
    identifier: &str,
) -> Result<Vec<Credential>, StoreError> {
    let found = in_time(finding.find(identifier)).await.map_err(unavailable)?;
    let stray = |credential: &&Credential| {
        let key = &credential.key;
        key.model() != spec.name.as_str() || spec.key(key.id()).is_err()
    };
    if let Some(stray) = found.iter().find(stray) {
        let told = format!(
            "the provider of model {} gave {}, which is no key of it",
            spec.name, stray.key
        );
        return Err(StoreError::Unavailable(told));
    }
    let mut found = found;
    for credential in &mut found {
        credential.password_hash = credential
            .password_hash
            .take()
            .filter(|hash| !secrecy::ExposeSecret::expose_secret(hash).is_empty());
    }
    Ok(found)
}

/// The hashes of a provider's first accounts; none, if it lists none.
pub(crate) async fn hashes(provider: &dyn UserProvider) -> Result<Vec<secrecy::SecretString>, StoreError> {
    let asked = bekci_core::AccountsAsked {
        text: None,
        after: None,
        limit: 10_000,
    };
    let listed = provider.list(asked).await.map_err(unavailable)?.unwrap_or_default();
    Ok(listed
        .into_iter()
        .filter_map(|(_, account)| account.password_hash)
        .collect())
}

/// Puts a provider's account into an identity. A ban in the database keeps it out as well as its status does; the end of such a ban ends that ban alone.
pub(crate) fn fill(identity: &mut Identity, model: &ModelSpec, account: &Account) {
    identity.exists = true;
    identity.status = account.status.as_deref().map(Into::into);
    identity.verified = account.verified;
    identity.tenant = account.tenant.clone();
    identity.inactive = account.status.as_deref().is_some_and(|status| model.is_unknown(status));
    load::warn_of_status(identity);
    if account.is_banned(model) {
        identity.banned = true;
        identity.ban = identity.ban.take().map(|ban| bekci_core::Ban { until: None, ..ban });
    } else {
        identity.banned = identity.ban.is_some();
    }
    for column in &model.cached_attributes {
        let value = account.attributes.get(column).cloned().unwrap_or(Value::Null);
        identity.attributes.insert(column.clone(), value);
    }
    identity.rights = together(&identity.rights, &account.rights);
}

/// Rights of two places as one list, each scope once.
fn together(stored: &[ScopedRights], given: &[ScopedRights]) -> Box<[ScopedRights]> {
    let mut scopes: BTreeMap<_, load::Scope> = BTreeMap::new();
    for rights in stored.iter().chain(given) {
        let scope = scopes.entry((rights.guard.clone(), rights.tenant.clone())).or_default();
        scope.roles.extend(rights.roles.iter().cloned());
        scope.granted.extend(rights.granted.iter().cloned());
        scope.denied.extend(rights.denied.iter().cloned());
    }
    load::listed(scopes)
}
