//! Changing, forgetting and resetting a password.

use std::{net::IpAddr, sync::Arc};

use bekci_core::{
    AuthGuard, Limit, PrincipalKey, SessionId,
    accounts::{CodePurpose, NewPassword, OwnChange, OwnChanged},
    mail::{MailKind, MailLanguage},
    signin::Credential,
};
use secrecy::SecretString;

use super::{Accounts, Requester, done, judge, links::LinkOrder, notices::Notice};
use crate::{
    attempt::Identifier,
    error::SignInError,
    service::{MOST_VERIFICATIONS, known, limits::Named},
};

/// A change of a password by who is signed in.
#[derive(Clone, Debug)]
pub struct PasswordChange {
    /// Whose it is.
    pub key: PrincipalKey,
    /// The session, which stays.
    pub session: SessionId,
    /// Whether the sign-in was a moment ago. An account without a password needs that to be given one.
    pub is_fresh: bool,
    /// The password as it is.
    pub current: Option<SecretString>,
    /// The one that it is to be.
    pub new: SecretString,
    /// The address that the client is believed to have.
    pub client: Option<IpAddr>,
    /// The language of the notice.
    pub language: MailLanguage,
}

impl Accounts {
    /// Changes a password. Every other session and every link of the account end with it; gives the sessions.
    ///
    /// # Errors
    /// [`SignInError::Weak`]; [`SignInError::CredentialInvalid`] where the current one is wrong, [`SignInError::Field`] where it is missing, [`SignInError::NotFresh`] where there is
    /// none and the sign-in is old; [`SignInError::RateLimited`]; [`SignInError::Busy`]; [`SignInError::StoreUnavailable`] and [`SignInError::Pending`].
    pub async fn change_password(
        &self,
        guard: &Arc<AuthGuard>,
        change: PasswordChange,
    ) -> Result<Vec<SessionId>, SignInError> {
        let address = self.store.addressee(&change.key).await?.and_then(|found| found.address);
        judge(
            guard,
            &change.new,
            &address.iter().map(|address| address.as_str()).collect::<Vec<_>>(),
        )?;
        let mut new_hash = None;
        for _ in 0..MOST_VERIFICATIONS {
            let credential = self.sign_in.parts.store.credential_of(&change.key).await?;
            let credential = credential.ok_or(SignInError::CredentialInvalid)?;
            let verified = self.prove_current(guard, credential, &change).await?;
            let hash = match new_hash.clone() {
                Some(hash) => hash,
                None => {
                    let hasher = &self.sign_in.parts.hasher;
                    new_hash
                        .insert(hasher.hash_by(guard.password_hash, change.new.clone()).await?)
                        .clone()
                }
            };
            let own = OwnChange::Password(NewPassword { hash, verified }, change.session);
            match self
                .store
                .change_own(Some(&change.key), &own, &self.notice(change.language))
                .await?
            {
                // Hashed anew meanwhile, or changed: it is verified again.
                OwnChanged::HashChanged => {}
                changed => return done(changed).map(|(_, ended)| ended),
            }
        }
        Err(SignInError::Busy)
    }

    fn notice(&self, language: MailLanguage) -> Notice {
        Notice {
            kind: MailKind::PasswordChanged,
            language,
            now: self.sign_in.parts.clock.now(),
        }
    }

    /// The hash of the current password, which was verified; `None`: there is none.
    async fn prove_current(
        &self,
        guard: &Arc<AuthGuard>,
        credential: Credential,
        change: &PasswordChange,
    ) -> Result<Option<SecretString>, SignInError> {
        let Some(current) = change.current.clone() else {
            return match (credential.password_hash, change.is_fresh) {
                (Some(_), _) => Err(SignInError::Field {
                    field: "currentPassword",
                    rule: "missing",
                }),
                (None, true) => Ok(None),
                (None, false) => Err(SignInError::NotFresh),
            };
        };
        let named = Named::Account(Ok(&credential.key));
        let counted = self.sign_in.counted(guard, Limit::SignIn, change.client, Some(named))?;
        let origin = known::origin(&self.sign_in.parts.root, guard, change.client);
        let hash = credential.password_hash.clone();
        let proven = self.sign_in.prove(guard, vec![credential.clone()], current, origin);
        self.sign_in.within(guard, &counted, proven).await?;
        Ok(hash)
    }

    /// Sends the link that sets a new password, if the address is one account's. The answer is the same for every address, and so is its time.
    ///
    /// # Errors
    /// [`SignInError::RateLimited`]; [`SignInError::Busy`]; [`SignInError::StoreUnavailable`] where limits cannot be counted.
    pub async fn forgot_password(
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
        self.background.run("password/forgot", move || {
            let (accounts, guard) = (accounts.clone(), Arc::clone(&guard));
            let (identifier, requester) = (identifier.clone(), requester.clone());
            async move { accounts.send_reset(&guard, &identifier, &requester).await }
        })
    }

    async fn send_reset(
        &self,
        guard: &Arc<AuthGuard>,
        identifier: &Identifier,
        requester: &Requester,
    ) -> Result<(), SignInError> {
        let found = self.store.addressees(&guard.model, identifier.as_str()).await?;
        // Of several accounts it is not known which one is meant.
        let [one] = &found[..] else { return Ok(()) };
        let Some(address) = &one.address else { return Ok(()) };
        let (code, mail) = self.new_link(guard, LinkOrder::of(CodePurpose::ResetPassword, address), requester)?;
        Ok(self.store.open_code(&one.key, &code, &mail).await?)
    }

    /// Sets a new password by a link. Every session and every link of the account end with it.
    ///
    /// # Errors
    /// [`SignInError::Weak`], by which the link is not used up; [`SignInError::CodeInvalid`]; [`SignInError::Busy`]; [`SignInError::StoreUnavailable`] and
    /// [`SignInError::Pending`].
    pub async fn reset_password(
        &self,
        guard: &Arc<AuthGuard>,
        presented: (&str, &str),
        new: SecretString,
        language: MailLanguage,
    ) -> Result<(), SignInError> {
        let proof = self.proof(guard, CodePurpose::ResetPassword, presented)?;
        // Before the hash, which is dear: first for what is no link at all, then for the one that another call has used meanwhile.
        self.store.is_live(&proof).await?.ok_or(SignInError::CodeInvalid)?;
        let _turn = self.turn().await?;
        let about = self.store.is_live(&proof).await?.ok_or(SignInError::CodeInvalid)?;
        judge(guard, &new, &[about.address.as_str()])?;
        let hash = self.sign_in.parts.hasher.hash_by(guard.password_hash, new).await?;
        let change = OwnChange::ResetPassword(proof, hash);
        let changed = self.store.change_own(None, &change, &self.notice(language)).await?;
        done(changed).map(|_| ())
    }
}
