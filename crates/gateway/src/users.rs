//! Accounts of a users file: read whole, asked in memory.
//!
//! 1. A file is read when a generation is built, and belongs to it: a changed file makes the next generation, as a changed configuration does. One with a mistake makes none.
//! 2. Nodes may have different files for a while, so identities of such accounts are in no shared cache: each node goes by its own file.
//! 3. Who is not in the file has no account. What the database holds of those who were in it once is taken away by [`settle`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    path::PathBuf,
};

use bekci::Bekci;
use bekci_core::{
    Account, AccountsAsked, FindCredentials, GuardName, ModelName, ModelSpec, PrincipalKey, ProviderUnavailable,
    ScopedRights, UserProvider,
    signin::{Credential, StoreError},
};

use crate::config::{
    Config, Problem,
    types::ProviderKind,
    users::{self, User, UsersOf, folded},
};

/// The accounts of one model.
pub(crate) struct Users {
    model: ModelName,
    ignores_case: bool,
    accounts: BTreeMap<String, Listed>,
    by_identifier: HashMap<String, PrincipalKey>,
}

struct Listed {
    key: PrincipalKey,
    identifiers: Vec<String>,
    account: Account,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Users({}, {} accounts)", self.model, self.accounts.len())
    }
}

/// The users files of a configuration, by the model whose accounts they have.
pub(crate) fn files(config: &Config) -> BTreeMap<ModelName, PathBuf> {
    let guards = config.guards.values().filter_map(|guard| {
        let provider = config.providers.get(&guard.provider)?;
        let path = provider.path.clone().filter(|_| provider.kind == ProviderKind::File)?;
        Some((guard.model.clone(), path))
    });
    guards.collect()
}

/// What the files hold, for whoever looks whether they have changed; `None` for one that cannot be read.
pub(crate) type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// What the users files hold now.
pub(crate) fn contents(config: &Config) -> Contents {
    let paths = files(config).into_values();
    paths.map(|path| (path.clone(), std::fs::read(path).ok())).collect()
}

/// Reads every users file of a configuration.
///
/// # Errors
/// Every mistake, with its place.
pub(crate) fn read(config: &Config, models: &[ModelSpec]) -> Result<Vec<Users>, Vec<Problem>> {
    let (mut read, mut problems) = (Vec::new(), Vec::new());
    for (name, path) in files(config) {
        let Some(model) = models.iter().find(|model| model.name == name) else {
            continue;
        };
        let of = UsersOf {
            model: name.as_str(),
            attributes: &model.cached_attributes,
            ignores_case: model.identifiers.iter().any(|(_, ignores_case)| *ignores_case),
        };
        let guards: Vec<&GuardName> = config
            .guards
            .iter()
            .filter(|(_, guard)| guard.model == name)
            .map(|(name, _)| name)
            .collect();
        match users::load(&path, &of) {
            Ok(users) => read.push(Users::new(model, of.ignores_case, &guards, users)),
            Err(mistakes) => problems.extend(mistakes),
        }
    }
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}

impl Users {
    fn new(model: &ModelSpec, ignores_case: bool, guards: &[&GuardName], users: Vec<User>) -> Self {
        let mut all = Self {
            model: model.name.clone(),
            ignores_case,
            accounts: BTreeMap::new(),
            by_identifier: HashMap::new(),
        };
        for user in users {
            // The grammar of the file is the model's: an id that is none is refused when the file is read.
            let Ok(key) = model.key(user.id.as_str()) else { continue };
            let identifiers: Vec<String> = user
                .identifiers
                .iter()
                .map(|one| folded(one.as_str(), ignores_case))
                .collect();
            for identifier in &identifiers {
                all.by_identifier.insert(identifier.clone(), key.clone());
            }
            let account = account(guards, &user);
            all.accounts.insert(
                user.id.as_str().to_owned(),
                Listed {
                    key,
                    identifiers,
                    account,
                },
            );
        }
        all
    }

    /// The model whose accounts these are.
    pub(crate) fn model(&self) -> &ModelName {
        &self.model
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }
}

/// The account of a user, its rights in each guard of its model.
fn account(guards: &[&GuardName], user: &User) -> Account {
    let mut rights = Vec::new();
    for guard in guards {
        rights.push(ScopedRights {
            guard: (*guard).clone(),
            tenant: None,
            roles: user.roles.clone().into(),
            granted: user.permissions.clone().into(),
            denied: user.denied.clone().into(),
        });
        rights.extend(user.tenants.iter().map(|(tenant, held)| ScopedRights {
            guard: (*guard).clone(),
            tenant: Some(tenant.clone()),
            roles: held.roles.clone().into(),
            granted: held.permissions.clone().into(),
            denied: held.denied.clone().into(),
        }));
    }
    Account {
        status: Some(user.status.as_str().to_owned()),
        verified: user.verified,
        tenant: user.tenant.clone(),
        password_hash: user.password_hash.as_ref().map(|hash| hash.text()),
        rights,
        attributes: user
            .attributes
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_str().into()))
            .collect(),
    }
}

#[bekci::async_trait]
impl FindCredentials for Users {
    async fn find(&self, identifier: &str) -> Result<Vec<Credential>, ProviderUnavailable> {
        let key = self.by_identifier.get(&folded(identifier, self.ignores_case));
        let listed = key.and_then(|key| self.accounts.get(key.id()));
        let found = listed.map(|listed| Credential {
            key: listed.key.clone(),
            password_hash: listed.account.password_hash.clone(),
        });
        Ok(found.into_iter().collect())
    }
}

#[bekci::async_trait]
impl UserProvider for Users {
    async fn account(&self, key: &PrincipalKey) -> Result<Option<Account>, ProviderUnavailable> {
        let listed = self.accounts.get(key.id()).filter(|listed| listed.key == *key);
        Ok(listed.map(|listed| listed.account.clone()))
    }

    async fn list(
        &self,
        asked: AccountsAsked<'_>,
    ) -> Result<Option<Vec<(PrincipalKey, Account)>>, ProviderUnavailable> {
        let after = asked.after.map_or(Bound::Unbounded, Bound::Excluded);
        let text = asked.text.map(str::to_lowercase);
        let page = self
            .accounts
            .range::<str, _>((after, Bound::Unbounded))
            .filter(|(_, listed)| text.as_ref().is_none_or(|text| listed.contains(text)))
            .take(asked.limit)
            .map(|(_, listed)| (listed.key.clone(), listed.account.clone()));
        Ok(Some(page.collect()))
    }

    fn is_same_for_all_nodes(&self) -> bool {
        false
    }
}

impl Listed {
    /// Whether the small letters are part of an identifier or attribute, or the id itself.
    fn contains(&self, text: &str) -> bool {
        let attributes = self.account.attributes.values().filter_map(serde_json::Value::as_str);
        let mut all = self.identifiers.iter().map(String::as_str).chain(attributes);
        self.key.id().to_lowercase() == text || all.any(|one| one.to_lowercase().contains(text))
    }
}

/// Takes away what the database holds of accounts that are in no users file any more. Nobody comes in by it before; this keeps it from whoever gets the id later.
///
/// # Errors
/// The store's; what was not done can be done again.
pub(crate) async fn settle(bekci: &Bekci) -> Result<(), StoreError> {
    let store = bekci.store();
    for model in store.models() {
        let Some(provider) = store.providers().of(model.name.as_str()) else {
            continue;
        };
        let everybody = AccountsAsked {
            text: None,
            after: None,
            limit: usize::MAX,
        };
        let unavailable = |error: ProviderUnavailable| StoreError::Unavailable(error.to_string());
        let listed = provider.list(everybody).await.map_err(unavailable)?.unwrap_or_default();
        let ids: BTreeSet<String> = listed.iter().map(|(key, _)| key.id().to_owned()).collect();
        let gone = store.keep_only(&model.name, &ids).await?;
        for id in gone {
            tracing::info!(target: "bekci::audit", event = "account.deleted", principal = %format!("{}:{id}", model.name), "not in the users file any more");
        }
    }
    Ok(())
}
