//! What the guards need for accounts that users keep by themselves.

use bekci_core::{Registering, Verification};

use super::{BuildError, Builder};

impl Builder {
    /// What people do with their own accounts needs mails, an address, and where it is to be verified, a column for that.
    pub(super) fn check_accounts(&self) -> Result<(), BuildError> {
        for guard in &self.guards {
            let model = self.models.iter().find(|model| model.name == guard.model);
            let fault = |what, missing| BuildError::Accounts {
                guard: guard.name.clone(),
                what,
                missing,
            };
            // Where identity providers alone make accounts, no mail is sent and no password set.
            let by_providers_alone = !guard.ways.password && !guard.ways.by_mail() && !guard.idps.is_empty();
            let registers = guard.registering != Registering::Closed && !by_providers_alone;
            let what = match guard.require_verified_email {
                true => "require_verified_email",
                false if guard.ways.by_mail() => "sign-in by mail",
                false if guard.verification == Verification::Email => "verification by mail",
                false if registers => "register",
                false => continue,
            };
            if self.mail.is_none() {
                return Err(fault(what, "mails: add them with .mail(..)"));
            }
            if self.providers.of(guard.model.as_str()).is_some() {
                return Err(fault(what, "a model whose accounts are in a table"));
            }
            if model.is_none_or(|model| model.address_column().is_none()) {
                return Err(fault(
                    what,
                    "an identifier that is an e-mail address, such as the column email",
                ));
            }
            if registers && guard.ways.password && model.is_none_or(|model| model.password_column.is_none()) {
                return Err(fault("register", "a password column"));
            }
            if guard.require_verified_email && model.is_none_or(|model| model.verified_column.is_none()) {
                return Err(fault(what, "a verified column"));
            }
        }
        Ok(())
    }
}
