//! Sign-in by identity providers.
//!
//! 1. The provider's ID token is verified before anything is looked up. What is wrong with it is in the log; every client gets the same answer.
//! 2. A refused token counts for the client's address. A sign-in that the account is refused counts for the account too, as each other way does.
//! 3. The session is opened by the very steps of a sign-in by password: ban, status, verified address, tenant, limit of sessions.
//! 4. At a guard that verifies sign-ins by mail, the provider must vouch for the address. Another verification that the guard requires stays required.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use bekci_core::{
    AuthGuard, IdpName, Limit, Registering, SessionId, Verification,
    codes::{Entrance, Redeemed},
    idp::{ExternalEntry, ExternalIdentity, IdentityProvider, IdpError, LinkStore, Nonce},
    signin::SignInTenant,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{FIRST_GENERATION, SignIn, limits::Named, unverified_hash};
use crate::{
    attempt::{Granted, SignedInBy, tidy_device_name},
    audit,
    error::SignInError,
    keyed::{device_hash, identifier_mark},
};

/// How often an account is made again if another one took its user name or address meanwhile.
const MOST_ENTERED: usize = 3;

/// What sign-in by providers rests on.
#[derive(Clone, Debug)]
pub struct ExternalParts {
    /// Opens sessions.
    pub sign_in: SignIn,
    /// Keeps links between accounts and identities.
    pub links: Arc<dyn LinkStore>,
    /// The providers, each under its name.
    pub providers: Vec<Arc<dyn IdentityProvider>>,
}

/// Sign-in by identity providers. Cheap to clone; shared by all workers.
#[derive(Clone, Debug)]
pub struct ExternalSignIn {
    sign_in: SignIn,
    links: Arc<dyn LinkStore>,
    providers: Arc<BTreeMap<IdpName, Arc<dyn IdentityProvider>>>,
}

/// An ID token that a client presents.
#[derive(Clone, Debug)]
pub struct ExternalAttempt {
    /// The ID token.
    pub id_token: SecretString,
    /// The nonce that the client sent to the provider.
    pub nonce: Option<SecretString>,
    /// What the client calls its device.
    pub device_name: Option<String>,
    /// A random value that the client keeps for its device.
    pub device_id: Option<String>,
    /// The session whose verified credential came with the request; it ends.
    pub replaces: Option<SessionId>,
    /// The tenant that the tokens are made for.
    pub tenant: SignInTenant,
    /// Whether a remember-me series begins with the session.
    pub remember: bool,
    /// The address that the client is believed to have.
    pub client: Option<IpAddr>,
}

impl ExternalSignIn {
    /// Sign-in by these providers.
    #[must_use]
    pub fn new(parts: ExternalParts) -> Self {
        let named = parts.providers.into_iter().map(|one| (one.name().clone(), one));
        Self {
            sign_in: parts.sign_in,
            links: parts.links,
            providers: Arc::new(named.collect()),
        }
    }

    /// The provider of this name, if the guard accepts it.
    fn provider(&self, guard: &AuthGuard, name: &str) -> Result<&Arc<dyn IdentityProvider>, SignInError> {
        let is_accepted = guard.idps.iter().any(|idp| idp.name.as_str() == name);
        let provider = self.providers.get(name).filter(|_| is_accepted);
        provider.ok_or(SignInError::NotOffered)
    }

    /// Signs in by an ID token. The first one of an identity links the account of its address, or makes an account where registration is open.
    ///
    /// # Errors
    /// [`SignInError::NotOffered`] for a provider that the guard does not accept; [`SignInError::CredentialInvalid`] for a token that is not good, and for an identity without
    /// an account where none is made; [`SignInError::Taken`] for an address that another account has; [`SignInError::Unverified`] at a guard that requires a verified address;
    /// [`SignInError::ProviderUnavailable`]; as [`SignIn::password`] where the session is not opened.
    pub async fn by_id_token(
        &self,
        guard: &Arc<AuthGuard>,
        provider: &str,
        attempt: ExternalAttempt,
    ) -> Result<Granted, SignInError> {
        let provider = self.provider(guard, provider)?;
        let client = attempt.client;
        let counted = self.sign_in.counted(guard, Limit::SignIn, client, None)?;
        let mut who = None;
        let tried = async {
            let nonce = attempt.nonce.as_ref().map(|nonce| nonce.expose_secret());
            let token = attempt.id_token.expose_secret();
            let verified = provider.verify(token, Nonce::Presented(nonce)).await?;
            let who = who.insert(verified);
            self.limited_entry(guard, who, &attempt).await
        };
        let result = self.sign_in.within(guard, &counted, tried).await;
        self.tell(guard, (provider.name(), who.as_ref()), &result);
        result
    }

    fn tell(
        &self,
        guard: &AuthGuard,
        (provider, who): (&IdpName, Option<&ExternalIdentity>),
        result: &Result<Granted, SignInError>,
    ) {
        let subject = who.map_or("", |who| who.subject.as_str());
        let mark = identifier_mark(&self.sign_in.parts.root, &guard.name, subject);
        let name = result
            .as_ref()
            .map_or_else(|error| error.result().name(), |granted| granted.result().name());
        let way = provider.as_str();
        self.sign_in.parts.meter.signed_in(&guard.name, way, name);
        audit::attempt(guard, way, &mark, result);
        if let Ok(Granted::Temporary(temporary)) = result {
            audit::temporary(guard, temporary);
        }
    }

    /// Rule 2.
    async fn limited_entry(
        &self,
        guard: &Arc<AuthGuard>,
        who: &ExternalIdentity,
        attempt: &ExternalAttempt,
    ) -> Result<Granted, SignInError> {
        let linked = self.links.linked(&guard.model, who).await?;
        let name = who
            .address
            .as_ref()
            .map_or(who.subject.as_str(), |address| address.as_str());
        let named = Named::Account(linked.as_ref().ok_or(name));
        let counted = self.sign_in.counted(guard, Limit::SignIn, None, Some(named))?;
        let entered = self.enter(guard, who, attempt);
        self.sign_in.within(guard, &counted, entered).await
    }

    /// Rules 3 and 4.
    async fn enter(
        &self,
        guard: &Arc<AuthGuard>,
        who: &ExternalIdentity,
        attempt: &ExternalAttempt,
    ) -> Result<Granted, SignInError> {
        let sign_in = &self.sign_in;
        let now = sign_in.parts.clock.now();
        let waits = match guard.verification {
            Verification::Off => false,
            // The provider has verified the address: a code to it would prove nothing more.
            Verification::Email if who.verified_address().is_some() => false,
            Verification::Email => return Err(SignInError::Unverified),
            Verification::Custom => true,
        };
        let entrance = Entrance {
            guard: Arc::clone(guard),
            id: sign_in.random_id()?,
            way: who.provider.as_str().to_owned().into(),
            device_name: tidy_device_name(attempt.device_name.clone()),
            device_hash: attempt
                .device_id
                .as_deref()
                .and_then(|id| device_hash(&sign_in.parts.root, &guard.name, id)),
            replaces: attempt.replaces,
            tenant: attempt.tenant.clone(),
            waits_until: waits.then(|| now.saturating_add(guard.temporary_ttl)),
            makes_account: guard.registering == Registering::Open,
            series: match attempt.remember {
                true => Some(sign_in.new_series(guard, now)?),
                false => None,
            },
            now,
        };
        for _ in 0..MOST_ENTERED {
            return match self.links.enter(who, &entrance).await? {
                ExternalEntry::Entered(Redeemed::Taken) => continue,
                ExternalEntry::Entered(redeemed) => self.granted(guard, &entrance, redeemed).await,
                ExternalEntry::Unknown => Err(SignInError::CredentialInvalid),
                ExternalEntry::AddressInUse => Err(SignInError::Taken),
                ExternalEntry::Unverified => Err(SignInError::Unverified),
            };
        }
        Err(SignInError::Taken)
    }

    async fn granted(
        &self,
        guard: &AuthGuard,
        entrance: &Entrance,
        redeemed: Redeemed,
    ) -> Result<Granted, SignInError> {
        match redeemed {
            Redeemed::Session(key, opened) => {
                let facts = self
                    .sign_in
                    .told_of_opening(guard, key, (entrance.id, entrance.now), opened)?;
                let facts = facts.ok_or_else(unverified_hash)?;
                let given = self
                    .sign_in
                    .give(guard, entrance.id, FIRST_GENERATION, facts, SignedInBy::External)
                    .await?;
                Ok(Granted::Full(Box::new(given)))
            }
            Redeemed::Waiting(key, opened) => {
                let held = self.sign_in.told_of_holding(guard, key, opened)?;
                Ok(Granted::Temporary(Box::new(held.ok_or_else(unverified_hash)?)))
            }
            Redeemed::Refused(why) => Err(SignInError::Refused(why.into())),
            Redeemed::Ended | Redeemed::Dead | Redeemed::Taken => Err(SignInError::CredentialInvalid),
        }
    }
}

impl From<IdpError> for SignInError {
    fn from(error: IdpError) -> Self {
        match error {
            IdpError::Refused(fault) => {
                tracing::info!(target: "bekci::signin", %fault, "an ID token is refused");
                Self::CredentialInvalid
            }
            IdpError::Unavailable { .. } => Self::ProviderUnavailable(error.to_string().into()),
        }
    }
}
