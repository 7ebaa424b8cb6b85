//! The identity providers of the guards.

use std::sync::Arc;

use bekci_core::{
    AuthGuard,
    idp::{IdentityProvider, IdpSettings},
};
use bekci_idp::{Provider, ProviderParts};
use bekci_token::IdpKeySets;

use super::{BuildError, Builder};
use crate::auth;

impl Builder {
    /// A provider's name stands in a path beside the guard's own calls, and its accounts are linked in the database.
    pub(super) fn check_idps(&self) -> Result<(), BuildError> {
        for guard in &self.guards {
            for idp in &guard.idps {
                let is_of_a_call = |call: &&str| call.split('/').next() == Some(idp.name.as_str());
                let problem = if auth::aliases::call_names().iter().any(is_of_a_call) {
                    "has the name of a call"
                } else if self.providers.of(guard.model.as_str()).is_some() {
                    "needs a model whose accounts are in a table"
                } else if cfg!(not(feature = "rsa")) && idp.name == IdpSettings::google([""; 0]).name {
                    "signs by RS256, which needs the cargo feature `rsa` of bekci"
                } else if guard.idps.iter().filter(|other| other.name == idp.name).count() > 1 {
                    "is there twice"
                } else {
                    continue;
                };
                let (guard, idp) = (guard.name.clone(), idp.name.clone());
                return Err(BuildError::IdpOfGuard { guard, idp, problem });
            }
        }
        Ok(())
    }

    /// The providers of all guards, each once.
    pub(super) fn identity_providers(
        &self,
        guards: &[Arc<AuthGuard>],
    ) -> Result<Vec<Arc<dyn IdentityProvider>>, BuildError> {
        let mut settings: Vec<&IdpSettings> = Vec::new();
        for idp in guards.iter().flat_map(|guard| &guard.idps) {
            match settings.iter().find(|known| known.name == idp.name) {
                Some(known) if **known == **idp => {}
                Some(_) => return Err(BuildError::TwoIdps(idp.name.clone())),
                None => settings.push(idp),
            }
        }
        let mut providers: Vec<Arc<dyn IdentityProvider>> = Vec::with_capacity(settings.len());
        for settings in settings {
            providers.push(Arc::new(Provider::new(ProviderParts {
                settings: settings.clone(),
                reader: Arc::new(IdpKeySets),
                clock: Arc::clone(&self.clock),
                leeway: self.settings.leeway,
            })?));
        }
        Ok(providers)
    }
}
