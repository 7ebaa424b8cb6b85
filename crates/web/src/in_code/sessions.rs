//! Sessions of principals, listed and ended in code.

use bekci_core::{PrincipalKey, SessionId, signin::SessionEntry};

use crate::{Bekci, respond::Refusal};

/// Sessions of principals; from [`Bekci::sessions`]. When a call that ends some has returned, no node lets their tokens through.
#[derive(Clone, Debug)]
pub struct Sessions {
    bekci: Bekci,
}

impl Sessions {
    pub(crate) fn new(bekci: Bekci) -> Self {
        Self { bekci }
    }

    /// The live sessions of a principal, the newest first.
    ///
    /// # Errors
    /// A [`Refusal`] with `STORE_UNAVAILABLE`.
    pub async fn of(&self, key: &PrincipalKey) -> Result<Vec<SessionEntry>, Refusal> {
        Ok(self.bekci.sign_in().sessions(key).await?)
    }

    /// Ends one session of a principal.
    ///
    /// # Errors
    /// A [`Refusal`] with `NOT_FOUND` for a session of anybody else, as for none; with `STORE_UNAVAILABLE` where it cannot be told, or not on every node yet.
    pub async fn end(&self, key: &PrincipalKey, session: SessionId) -> Result<(), Refusal> {
        Ok(self.bekci.sign_in().end_session(key, session).await?)
    }

    /// Ends every session of a principal, at every guard of its model; gives how many lived until now.
    ///
    /// # Errors
    /// As [`end`](Self::end); `INTERNAL` for a model that no guard is for.
    pub async fn end_all(&self, key: &PrincipalKey) -> Result<usize, Refusal> {
        let mut guards = self.bekci.watch().guards();
        let guard = guards.find(|guard| guard.model.as_str() == key.model());
        let guard = guard.ok_or_else(|| Refusal::misconfigured(format!("no guard is for the model of {key}")))?;
        Ok(self.bekci.sign_in().sign_out_everywhere(guard, key).await?.len())
    }
}
