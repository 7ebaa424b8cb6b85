//! What an application calls in code, beside middleware and extractors.

mod accounts;
mod attempt;
mod identities;
mod rights;
mod sessions;
mod staying;

use std::{fmt, marker::PhantomData, sync::Arc};

use bekci_core::{
    AuthError, AuthGuard, GuardName, NameError, Principal, PrincipalKey, TenantName, TokenId, TokenKind, UserProvider,
    Verification, VerifiedClaims, principal::let_in,
};
use bekci_signin::{IssueOrder, SignInError, SignedIn};
use bekci_store::Scope;

pub use self::{
    accounts::{Accounts, Create, Created},
    attempt::{Attempt, Credentials, Outcome, SignIn},
    identities::Identities,
    rights::{Rights, RightsError},
    sessions::Sessions,
};
use crate::{Bekci, GuardType, Who, respond::Refusal};

/// The calls of guard `G`; from [`Bekci::guard`]. Where `G` was not registered with the builder, each of them is refused, and the log says so.
pub struct GuardCalls<G: GuardType> {
    bekci: Bekci,
    guard: PhantomData<fn() -> G>,
}

impl<G: GuardType> Clone for GuardCalls<G> {
    fn clone(&self) -> Self {
        Self::new(self.bekci.clone())
    }
}

impl<G: GuardType> fmt::Debug for GuardCalls<G> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GuardCalls({})", G::NAME)
    }
}

impl<G: GuardType> GuardCalls<G> {
    pub(crate) fn new(bekci: Bekci) -> Self {
        Self {
            bekci,
            guard: PhantomData,
        }
    }

    /// The guard with its settings.
    ///
    /// # Errors
    /// A [`Refusal`] with `INTERNAL` where it was not registered.
    pub fn settings(&self) -> Result<&Arc<AuthGuard>, Refusal> {
        let guard = self.bekci.watch().guard(G::NAME);
        guard.ok_or_else(|| Refusal::misconfigured(format!("guard {:?} is not registered with the builder", G::NAME)))
    }

    /// Where the accounts of this guard's model come from; `None`: from the database.
    #[must_use]
    pub fn provider(&self) -> Option<&Arc<dyn UserProvider>> {
        let guard = self.bekci.watch().guard(G::NAME)?;
        self.bekci.store().providers().of(guard.model.as_str())
    }

    /// Where rights through this guard count: everywhere.
    ///
    /// # Errors
    /// [`NameError`] where `G`'s name breaks the grammar; the macros refuse such a name when they compile.
    pub fn scope(&self) -> Result<Scope, NameError> {
        Ok(Scope::global(GuardName::new(G::NAME)?))
    }

    /// Where rights through this guard count: in one tenant.
    ///
    /// # Errors
    /// As [`scope`](Self::scope).
    pub fn scope_in(&self, tenant: &TenantName) -> Result<Scope, NameError> {
        Ok(Scope {
            tenant: Some(tenant.clone()),
            ..self.scope()?
        })
    }

    /// Signs in: `guard.attempt(&credentials).device_name("my phone").await?`.
    pub fn attempt(&self, credentials: &Credentials) -> Attempt<'_> {
        Attempt::new(&self.bekci, self.settings().cloned(), credentials)
    }

    /// Whether these are the credentials of an account; nobody is signed in. A ban is not asked about. Takes as long as signing in and counts against the same bounds.
    ///
    /// # Errors
    /// A [`Refusal`] where it cannot be told.
    pub async fn validate(&self, credentials: &Credentials) -> Result<bool, Refusal> {
        Ok(self.prove(credentials).await?.is_some())
    }

    /// Whether these are the credentials of this account, as before something that should be done by its owner alone.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub async fn validate_for(&self, key: &PrincipalKey, credentials: &Credentials) -> Result<bool, Refusal> {
        Ok(self.prove(credentials).await?.as_ref() == Some(key))
    }

    /// Who has these credentials, for this request alone: no session is opened, so that it is not fresh, and nothing of it lasts. `None`: nobody.
    ///
    /// # Errors
    /// A [`Refusal`] with `UNVERIFIED` where the guard asks for a verification, since the credentials are not enough then; with `ACCOUNT_BANNED` or `ACCOUNT_INACTIVE`, or where it cannot be told.
    pub async fn once(&self, credentials: &Credentials) -> Result<Option<Who>, Refusal> {
        let Some(key) = self.prove(credentials).await? else {
            return Ok(None);
        };
        let (guard, watch) = (self.settings()?, self.bekci.watch());
        let view = self.bekci.sign_in().view_of(guard, &key, None).await?;
        let now = watch.clock().now();
        if !view.identity.exists {
            return Ok(None);
        }
        let_in(&view.identity, now)?;
        if guard.verification != Verification::Off {
            return Err(AuthError::Unverified.into());
        }
        // An id that no session has.
        let mut nowhere = TokenId([0; 16]);
        let filled = self.bekci.entropy().fill(&mut nowhere.0);
        filled.map_err(|error| Refusal::misconfigured(format!("no random bytes: {error}")))?;
        let claims = VerifiedClaims {
            kind: TokenKind::Access,
            guard: guard.name.clone(),
            key,
            session: nowhere,
            generation: 0,
            version: view.version,
            tenant: None,
            id: nowhere,
            issued_at: now.unix_timestamp(),
            expires_at: now.unix_timestamp(),
        };
        let principal = Principal {
            guard: Arc::clone(guard),
            claims: Arc::new(claims),
            view,
            tenant: None,
        };
        Ok(Some(Who::new(Arc::new(principal), watch.clone())))
    }

    /// The application has checked its own code: the temporary identity of this reference becomes a session, once, with the device of the attempt. No password is asked for
    /// and nothing is hashed. When this returns, no node takes the temporary token any more.
    ///
    /// Check the code for the identity that the reference belongs to, as [`Temp::verification_ref`](crate::Temp::verification_ref) gives it: a client that may name any
    /// reference could have its own code confirm somebody else's sign-in.
    ///
    /// # Errors
    /// A [`Refusal`] with `TOKEN_INVALID` where nothing waits under it at this guard: it was never given, was confirmed before, or its time is over; with `ACCOUNT_BANNED`; or
    /// where it cannot be told.
    pub async fn confirm_verified(&self, verification_ref: &str) -> Result<SignedIn, Refusal> {
        let confirmed = self
            .bekci
            .sign_in()
            .confirm_verified(self.settings()?, verification_ref);
        Ok(confirmed.await?)
    }

    /// Opens a session for somebody whom the application vouches for, without a credential. It counts as a sign-in of this moment and is audited as `issued`.
    ///
    /// # Errors
    /// A [`Refusal`] with `IDENTITY_NOT_FOUND`, `ACCOUNT_BANNED`, or where it cannot be told.
    pub async fn issue(&self, key: &PrincipalKey) -> Result<SignedIn, Refusal> {
        let tenant = self.bekci.watch().tenancy().unnamed();
        let order = IssueOrder {
            tenant,
            ..IssueOrder::default()
        };
        self.issue_as(key, order).await
    }

    /// [`issue`](Self::issue) with a device's name, or for a tenant.
    ///
    /// # Errors
    /// As `issue`.
    pub async fn issue_as(&self, key: &PrincipalKey, order: IssueOrder) -> Result<SignedIn, Refusal> {
        match self.bekci.sign_in().issue(self.settings()?, key, order).await {
            Err(SignInError::CredentialInvalid) => Err(AuthError::IdentityNotFound.into()),
            issued => Ok(issued?),
        }
    }

    /// Whether the account's password hash is weaker than new ones are. It is replaced by itself at the next sign-in.
    ///
    /// # Errors
    /// A [`Refusal`] where it cannot be told.
    pub async fn needs_rehash(&self, key: &PrincipalKey) -> Result<bool, Refusal> {
        Ok(self.bekci.sign_in().needs_rehash(self.settings()?, key).await?)
    }

    async fn prove(&self, credentials: &Credentials) -> Result<Option<PrincipalKey>, Refusal> {
        let (identifier, password) = credentials.parts()?;
        let checked = self
            .bekci
            .sign_in()
            .check(self.settings()?, &identifier, password, credentials.client())
            .await;
        match checked {
            Ok(key) => Ok(Some(key)),
            Err(SignInError::CredentialInvalid | SignInError::IdentityAmbiguous { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
