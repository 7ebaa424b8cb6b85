//! Identities, asked in code.

use std::{ops::Deref, sync::Arc};

use bekci_core::{IdentitySource, PrincipalKey};
use bekci_signin::SignInError;

use crate::{Bekci, respond::Refusal};

/// Identities as of now; from [`Bekci::identities`]. It is also the port that the gate reads them by.
#[derive(Clone, Debug)]
pub struct Identities {
    bekci: Bekci,
    source: Arc<dyn IdentitySource>,
}

impl Deref for Identities {
    type Target = dyn IdentitySource;

    fn deref(&self) -> &Self::Target {
        &*self.source
    }
}

impl Identities {
    pub(crate) fn new(bekci: Bekci) -> Self {
        let source = bekci.store().identities();
        Self { bekci, source }
    }

    /// Whether there is such an account: from memory where that is trusted, else from the database. `false` for a model that no guard is for.
    ///
    /// # Errors
    /// A [`Refusal`] with `STORE_UNAVAILABLE` where it cannot be told.
    pub async fn exists(&self, key: &PrincipalKey) -> Result<bool, Refusal> {
        let mut guards = self.bekci.watch().guards();
        let Some(guard) = guards.find(|guard| guard.model.as_str() == key.model()) else {
            return Ok(false);
        };
        let view: Result<_, SignInError> = self.bekci.sign_in().view_of(guard, key, None).await;
        Ok(view?.identity.exists)
    }
}
