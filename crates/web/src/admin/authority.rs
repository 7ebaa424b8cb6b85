//! Further checks of a caller: a second permission, and rule 2 of the module above. Rules 1 and 3 are judged by the store, in the transaction that writes.

use bekci_core::{ErrorCode, Identity};

use super::{Right, call::Caller};
use crate::respond::Refusal;

impl Caller {
    /// A further permission that the call requires.
    pub(super) fn demand(&self, right: Right) -> Result<(), Refusal> {
        let permission = right
            .permission()
            .map_err(|fault| Refusal::misconfigured(fault.to_string()))?;
        self.who.demand(permission)
    }

    /// Refuses a change that nobody makes of its own account.
    pub(super) fn not_self(&self, target: &Identity) -> Result<(), Refusal> {
        if target.key == *self.key() {
            let refusal = Refusal::new(ErrorCode::Forbidden, "nobody does this to its own account");
            Err(refusal.detail("reason", "own account"))
        } else {
            Ok(())
        }
    }
}
