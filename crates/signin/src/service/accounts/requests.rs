//! Addresses: confirmed, changed, and the mails of registering.

use std::sync::Arc;

use bekci_core::{
    AuthGuard, Limit, PrincipalKey, SessionId,
    accounts::{Addressee, CodePurpose, OwnChange, OwnChanged, Registered, Registration},
    identifier::is_same,
    mail::{EmailAddress, Mail, MailKind, MailLanguage},
};
use time::Duration;

use super::{
    Accounts, Requester, done,
    links::LinkOrder,
    notices::{NoNotice, Notice},
};
use crate::{attempt::Identifier, error::SignInError, service::limits::Named};

/// How long the mail to the owner of an address is worth being sent.
const TOLD: Duration = Duration::hours(24);

impl Accounts {
    /// Makes the account, or tells the owner of the address, after the answer.
    pub(super) fn register_later(
        &self,
        guard: &Arc<AuthGuard>,
        order: Registration,
        language: MailLanguage,
    ) -> Result<(), SignInError> {
        let (accounts, guard) = (self.clone(), Arc::clone(guard));
        self.background.run("register", move || {
            let (accounts, guard, order) = (accounts.clone(), Arc::clone(&guard), order.clone());
            async move {
                let turn = accounts.turn().await?;
                let registered = accounts.store.register(&order).await?;
                drop(turn);
                match registered {
                    Registered::Made(_) => Ok(()),
                    Registered::Taken => accounts.tell_owner(&guard, &order.address, None, language).await,
                    Registered::Refused(why) => Err(SignInError::Refused(why.into())),
                }
            }
        })
    }

    /// Tells the account that has an address that somebody entered it; `None`: nobody has it but `asking`.
    async fn tell_owner(
        &self,
        guard: &AuthGuard,
        address: &EmailAddress,
        asking: Option<&PrincipalKey>,
        language: MailLanguage,
    ) -> Result<(), SignInError> {
        for owner in self.store.addressees(&guard.model, address.as_str()).await? {
            if let (Some(to), true) = (owner.address, Some(&owner.key) != asking) {
                let mail = Mail {
                    kind: MailKind::AddressInUse,
                    to,
                    language,
                    values: [].into(),
                    expires_at: self.sign_in.parts.clock.now() + TOLD,
                };
                self.store.queue(&mail).await?;
            }
        }
        Ok(())
    }

    /// Begins to confirm the account's own address, or to change it to another one: a link goes to that address. Whether another account has it is not told but to its owner.
    ///
    /// # Errors
    /// [`SignInError::RateLimited`]; [`SignInError::Busy`]; [`SignInError::StoreUnavailable`].
    pub async fn start_address(
        &self,
        guard: &Arc<AuthGuard>,
        (key, session): (&PrincipalKey, SessionId),
        address: EmailAddress,
        requester: Requester,
    ) -> Result<(), SignInError> {
        let named = Named::Account(Ok(key));
        self.sign_in
            .count_call(guard, Limit::OtpStart, requester.client, named)
            .await?;
        let (accounts, guard, key) = (self.clone(), Arc::clone(guard), key.clone());
        self.background.run("me/email", move || {
            let (accounts, guard, key) = (accounts.clone(), Arc::clone(&guard), key.clone());
            let (address, requester) = (address.clone(), requester.clone());
            async move {
                accounts
                    .send_confirmation(&guard, (&key, session), &address, &requester)
                    .await
            }
        })
    }

    async fn send_confirmation(
        &self,
        guard: &Arc<AuthGuard>,
        (key, session): (&PrincipalKey, SessionId),
        address: &EmailAddress,
        requester: &Requester,
    ) -> Result<(), SignInError> {
        let Some(own) = self.store.addressee(key).await? else {
            return Ok(());
        };
        let order = match &own.address {
            Some(held) if is_same(held.as_str(), address.as_str(), true) => {
                if own.verified {
                    return Ok(());
                }
                LinkOrder::of(CodePurpose::VerifyAddress, held)
            }
            _ => {
                let found = self.store.addressees(&guard.model, address.as_str()).await?;
                if found.iter().any(|other| other.key != *key) {
                    return self.tell_owner(guard, address, Some(key), requester.language).await;
                }
                LinkOrder {
                    session: Some(session),
                    ..LinkOrder::of(CodePurpose::ChangeAddress, address)
                }
            }
        };
        let (code, mail) = self.new_link(guard, order, requester)?;
        Ok(self.store.open_code(key, &code, &mail).await?)
    }

    /// Sends the link again that a change of this account's address waits for, or the one that confirms its address.
    ///
    /// # Errors
    /// As [`Accounts::start_address`].
    pub async fn resend_address(
        &self,
        guard: &Arc<AuthGuard>,
        (key, session): (&PrincipalKey, SessionId),
        requester: Requester,
    ) -> Result<(), SignInError> {
        let now = self.sign_in.parts.clock.now();
        let waiting = self.store.waiting(key, CodePurpose::ChangeAddress, now).await?;
        let address = match waiting {
            Some(about) => Some(about.address),
            None => self.store.addressee(key).await?.and_then(|own| own.address),
        };
        match address {
            Some(address) => self.start_address(guard, (key, session), address, requester).await,
            None => Ok(()),
        }
    }

    /// Sends the link again that confirms the address of an account which cannot sign in before. The answer is the same for every address.
    ///
    /// # Errors
    /// As [`Accounts::start_address`].
    pub async fn resend_confirmation(
        &self,
        guard: &Arc<AuthGuard>,
        identifier: Identifier,
        requester: Requester,
    ) -> Result<(), SignInError> {
        let name = Named::Identifier(identifier.as_str());
        self.sign_in
            .count_call(guard, Limit::OtpStart, requester.client, name)
            .await?;
        let (accounts, guard) = (self.clone(), Arc::clone(guard));
        self.background.run("me/email/resend", move || {
            let (accounts, guard) = (accounts.clone(), Arc::clone(&guard));
            let (identifier, requester) = (identifier.clone(), requester.clone());
            async move {
                let found = accounts.store.addressees(&guard.model, identifier.as_str()).await?;
                let [
                    Addressee {
                        key,
                        address: Some(address),
                        verified: false,
                    },
                ] = &found[..]
                else {
                    return Ok(());
                };
                let order = LinkOrder::of(CodePurpose::VerifyAddress, address);
                let (code, mail) = accounts.new_link(&guard, order, &requester)?;
                Ok(accounts.store.open_code(key, &code, &mail).await?)
            }
        })
    }

    /// Confirms the address that a link went to, as the account's own or as its new one. The owner of the one before is told.
    ///
    /// # Errors
    /// [`SignInError::CodeInvalid`]; [`SignInError::Taken`] where another account has the address by now; [`SignInError::StoreUnavailable`] and [`SignInError::Pending`].
    pub async fn confirm_address(
        &self,
        guard: &Arc<AuthGuard>,
        presented: (&str, &str),
        language: MailLanguage,
    ) -> Result<(), SignInError> {
        let proof = self.proof(guard, CodePurpose::VerifyAddress, presented)?;
        let _turn = self.turn().await?;
        let verified = self
            .store
            .change_own(None, &OwnChange::VerifyAddress(proof), &NoNotice)
            .await?;
        if verified != OwnChanged::CodeInvalid {
            return done(verified).map(|_| ());
        }
        let proof = self.proof(guard, CodePurpose::ChangeAddress, presented)?;
        let notice = Notice {
            kind: MailKind::AddressChanged,
            language,
            now: self.sign_in.parts.clock.now(),
        };
        let changed = self
            .store
            .change_own(None, &OwnChange::ChangeAddress(proof), &notice)
            .await?;
        done(changed).map(|_| ())
    }
}
