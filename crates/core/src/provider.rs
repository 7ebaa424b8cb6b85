//! The ports behind which accounts stand that are not rows of their model's table.
//!
//! An account alone comes from here: status, password hash, attributes, and rights that it holds by what it is. Sessions, bans, blocks, versions, and rights that were given
//! to it stay in the database, so that what is taken away there is in force everywhere when the call returns, whoever provides the account.
//!
//! What changed behind such a port is told by a write to the account's version (`Bekci::touch`): identities are read with the version before and after the provider is
//! asked, so that one which was read too early is never taken for a newer one.

use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::{
    identity::ScopedRights,
    key::{ModelSpec, PrincipalKey},
    name::TenantName,
    signin::Credential,
};

/// An account as its provider has it now.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Its status; `None`: it has none. One of the model's `banned_statuses` keeps it out, and so does one that is not among its `active_statuses`.
    pub status: Option<String>,
    /// Whether its address is verified.
    pub verified: bool,
    /// The tenant that it belongs to, where accounts belong to one.
    pub tenant: Option<TenantName>,
    /// The hash of its password in PHC format, if it has one: the one that [`FindCredentials::find`] gives.
    pub password_hash: Option<SecretString>,
    /// Rights that it holds by what it is; those that the database gives it are added, and a denial wins wherever it stands.
    pub rights: Vec<ScopedRights>,
    /// Its attributes. Those that the model names in `cached_attributes` become part of the identity, the others are left out.
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

impl Account {
    /// Whether its status is one that bans.
    #[must_use]
    pub fn is_banned(&self, model: &ModelSpec) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| model.bans(status))
    }
}

/// The provider cannot tell. Nobody is let in by that, and nobody is told that there is no such account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider failed: {0}")]
pub struct ProviderUnavailable(pub String);

/// Finds accounts by what somebody enters. Of a model in the database this replaces one query, the one that looks the identifier up, and the rest is kept.
#[async_trait]
pub trait FindCredentials: Send + Sync + fmt::Debug {
    /// The accounts that may be meant, with their password hashes: usually one or none; of several nobody signs in. Takes as long for an identifier that is not known, so
    /// that nobody learns which are: read key and hash by one query.
    ///
    /// # Errors
    /// [`ProviderUnavailable`].
    async fn find(&self, identifier: &str) -> Result<Vec<Credential>, ProviderUnavailable>;
}

/// Which accounts are listed.
#[derive(Clone, Copy, Debug)]
pub struct AccountsAsked<'a> {
    /// Text that an identifier or an attribute contains, whatever its case, or the id itself.
    pub text: Option<&'a str>,
    /// The id after which the list goes on.
    pub after: Option<&'a str>,
    /// How many at most.
    pub limit: usize,
}

/// Where a model's accounts are loaded and their credentials found, in place of its table in the database.
///
/// It is asked inside transactions: it must not write through Bekci's connection, and one that does not answer within seconds fails the call.
#[async_trait]
pub trait UserProvider: FindCredentials {
    /// The account as of now, never from a cache that may be older than the last `touch`; `None`: there is no such account.
    ///
    /// # Errors
    /// [`ProviderUnavailable`].
    async fn account(&self, key: &PrincipalKey) -> Result<Option<Account>, ProviderUnavailable>;

    /// Replaces a password hash, if it is still the one that was read; `false`: it is not, or hashes are not kept here.
    ///
    /// # Errors
    /// [`ProviderUnavailable`].
    async fn rehash(
        &self,
        key: &PrincipalKey,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, ProviderUnavailable> {
        let _ = (key, old, new);
        Ok(false)
    }

    /// Accounts in order of their id's text; `None`: this provider lists none.
    ///
    /// # Errors
    /// [`ProviderUnavailable`].
    async fn list(
        &self,
        asked: AccountsAsked<'_>,
    ) -> Result<Option<Vec<(PrincipalKey, Account)>>, ProviderUnavailable> {
        let _ = asked;
        Ok(None)
    }

    /// Whether every node is given the same account at the same moment. Of one that is not, such as a file beside each node, nothing is put into the shared cache.
    fn is_same_for_all_nodes(&self) -> bool {
        true
    }
}
