//! The shared cache as the protocol uses it.

use bekci_core::{Identity, PrincipalKey};

use crate::{
    node::Hint,
    shared::{Label, Labelled, SharedCache},
};

/// A place for identities that all nodes share. It may lose any entry, and may return any entry that was ever stored: the protocol goes by labels.
#[async_trait::async_trait]
pub(crate) trait IdentityCache: Send + Sync + std::fmt::Debug {
    /// The entry of a principal, if there is one that can be read.
    async fn get(&self, key: &PrincipalKey) -> Option<Labelled>;

    /// Stores an identity under its label.
    async fn set(&self, identity: &Identity, label: Label);

    /// Tells the other nodes, if it can.
    fn hint(&self, hint: Hint);
}

#[async_trait::async_trait]
impl IdentityCache for SharedCache {
    async fn get(&self, key: &PrincipalKey) -> Option<Labelled> {
        self.get(key).await
    }

    async fn set(&self, identity: &Identity, label: Label) {
        self.set(identity, label).await;
    }

    fn hint(&self, hint: Hint) {
        self.hint(hint);
    }
}
