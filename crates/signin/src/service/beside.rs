//! Beside signing in: a credential that opens no session, and a session that needed no credential.

use std::{net::IpAddr, sync::Arc};

use bekci_core::{
    AuthGuard, IdentityVersion, Limit, PrincipalKey, TenantName, View,
    signin::{NewSession, SessionFacts},
};
use secrecy::SecretString;

use super::{FIRST_GENERATION, SignIn, known, limits::Named, unverified_hash};
use crate::{
    attempt::{Identifier, IssueOrder, SignedIn, SignedInBy, tidy_device_name},
    audit,
    error::{AttemptResult, SignInError},
    keyed::identifier_mark,
};

impl SignIn {
    /// Whose identifier and password these are. Opens no session and asks for no ban; takes as long as signing in, whether there is such an account or
    /// not, and counts against the same limits; `client` is the address that the client is believed to have.
    ///
    /// # Errors
    /// As [`password`](SignIn::password), but for bans.
    pub async fn check(
        &self,
        guard: &Arc<AuthGuard>,
        identifier: &Identifier,
        password: SecretString,
        client: Option<IpAddr>,
    ) -> Result<PrincipalKey, SignInError> {
        let mark = identifier_mark(&self.parts.root, &guard.name, identifier.as_str());
        let name = Named::Identifier(identifier.as_str());
        let counted = self.counted(guard, Limit::SignIn, client, Some(name))?;
        let origin = known::origin(&self.parts.root, guard, client);
        let tried = async {
            let found = self.found(guard, identifier).await?;
            let counted = self.counted_by_account(guard, identifier, &found)?;
            let proven = self.prove(guard, found, password, origin);
            self.within(guard, &counted, proven).await
        };
        let result = self.within(guard, &counted, tried).await;
        let result = result.map(|(credential, _)| credential.key);
        let told = result.as_ref().map(|key| (key, AttemptResult::Success));
        audit::beside(guard, "check", Some(&mark), told);
        result
    }

    /// Opens a session for somebody whom the application vouches for. It counts as a sign-in of this moment, and is audited as `issued`.
    ///
    /// # Errors
    /// [`SignInError::CredentialInvalid`] where there is no such account; [`SignInError::Banned`]; [`SignInError::NotInTenant`];
    /// [`SignInError::StoreUnavailable`] and [`SignInError::Pending`] where it cannot be told; [`SignInError::Internal`], also for an account of another model.
    pub async fn issue(
        &self,
        guard: &Arc<AuthGuard>,
        key: &PrincipalKey,
        order: IssueOrder,
    ) -> Result<SignedIn, SignInError> {
        let result = self.try_issue(guard, key, order).await;
        let told = result
            .as_ref()
            .map(|signed_in| (&signed_in.key, AttemptResult::Success));
        audit::beside(guard, "issued", None, told);
        result
    }

    async fn try_issue(
        &self,
        guard: &Arc<AuthGuard>,
        key: &PrincipalKey,
        order: IssueOrder,
    ) -> Result<SignedIn, SignInError> {
        let session = self.issued_session(guard, key, order)?;
        let id = session.id;
        let facts = self.open(session).await?.ok_or_else(unverified_hash)?;
        self.give(guard, id, FIRST_GENERATION, facts, SignedInBy::Issued).await
    }

    /// The session of somebody whom the application vouches for.
    pub(super) fn issued_session(
        &self,
        guard: &Arc<AuthGuard>,
        key: &PrincipalKey,
        order: IssueOrder,
    ) -> Result<NewSession, SignInError> {
        if key.model() != guard.model.as_str() {
            let why = format!("{key} is not of guard {}'s model {}", guard.name, guard.model);
            return Err(SignInError::Internal(why.into()));
        }
        Ok(NewSession {
            guard: Arc::clone(guard),
            key: key.clone(),
            id: self.random_id()?,
            way: "issued".into(),
            remembered: false,
            verified_hash: None,
            device_name: tidy_device_name(order.device_name),
            device_hash: None,
            replaces: None,
            tenant: order.tenant,
            series: None,
            now: self.parts.clock.now(),
        })
    }

    /// The identity as of now, as a decision of this guard sees it.
    ///
    /// # Errors
    /// [`SignInError::StoreUnavailable`].
    pub async fn view_of(
        &self,
        guard: &AuthGuard,
        key: &PrincipalKey,
        tenant: Option<TenantName>,
    ) -> Result<View, SignInError> {
        let facts = SessionFacts {
            key: key.clone(),
            version: IdentityVersion(0),
            tenant,
            refresh_ends: self.parts.clock.now(),
            series: None,
        };
        self.view(guard, &facts).await
    }

    /// Whether the account's password hash is weaker than new ones are. `false` for an account without a password, and for none.
    ///
    /// # Errors
    /// [`SignInError::StoreUnavailable`].
    pub async fn needs_rehash(&self, guard: &AuthGuard, key: &PrincipalKey) -> Result<bool, SignInError> {
        let credential = self.parts.store.credential_of(key).await?;
        let hash = credential.and_then(|credential| credential.password_hash);
        Ok(hash.is_some_and(|hash| self.parts.hasher.needs_rehash(guard.password_hash, &hash)))
    }
}
