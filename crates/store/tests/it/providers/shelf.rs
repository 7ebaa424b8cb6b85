//! A provider for tests.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use bekci_core::{
    Account, AccountsAsked, FindCredentials, PrincipalKey, ProviderUnavailable, UserProvider, signin::Credential,
};
use secrecy::SecretString;

use crate::scene::key;

/// A provider that keeps accounts on a shelf: no SQL.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    accounts: Mutex<BTreeMap<String, Account>>,
    is_local: bool,
}

impl Shelf {
    /// One of a node's own.
    pub(super) fn local() -> Self {
        Self {
            is_local: true,
            ..Self::default()
        }
    }

    pub(super) fn put(&self, id: &str, change: impl FnOnce(&mut Account)) {
        let mut accounts = self.accounts.lock().unwrap();
        let account = accounts.entry(id.to_owned()).or_insert_with(|| Account {
            status: Some("active".to_owned()),
            verified: true,
            password_hash: Some(SecretString::from(format!("hash of {id}"))),
            ..Account::default()
        });
        change(account);
    }

    pub(super) fn take(&self, id: &str) {
        self.accounts.lock().unwrap().remove(id);
    }
}

pub(super) fn staff(id: &str) -> PrincipalKey {
    key(&format!("staff:{id}"))
}

#[async_trait]
impl FindCredentials for Shelf {
    async fn find(&self, identifier: &str) -> Result<Vec<Credential>, ProviderUnavailable> {
        if identifier == "broken" {
            return Err(ProviderUnavailable("the shelf fell".to_owned()));
        }
        if identifier == "stray" {
            let (key, password_hash) = (key("customer:1"), None);
            return Ok(vec![Credential { key, password_hash }]);
        }
        let found = self.accounts.lock().unwrap().get(identifier).cloned();
        Ok(found
            .map(|account| Credential {
                key: staff(identifier),
                password_hash: account.password_hash,
            })
            .into_iter()
            .collect())
    }
}

#[async_trait]
impl UserProvider for Shelf {
    async fn account(&self, key: &PrincipalKey) -> Result<Option<Account>, ProviderUnavailable> {
        if key.id() == "broken" {
            return Err(ProviderUnavailable("the shelf fell".to_owned()));
        }
        Ok(self.accounts.lock().unwrap().get(key.id()).cloned())
    }

    async fn list(
        &self,
        asked: AccountsAsked<'_>,
    ) -> Result<Option<Vec<(PrincipalKey, Account)>>, ProviderUnavailable> {
        let accounts = self.accounts.lock().unwrap();
        let after = |id: &&String| asked.after.is_none_or(|after| id.as_str() > after);
        let page = accounts.iter().filter(|(id, _)| after(id)).take(asked.limit);
        Ok(Some(page.map(|(id, account)| (staff(id), account.clone())).collect()))
    }

    fn is_same_for_all_nodes(&self) -> bool {
        !self.is_local
    }
}
