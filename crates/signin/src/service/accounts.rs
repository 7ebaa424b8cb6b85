//! What people do with their own accounts: registering, passwords, addresses.
//!
//! 1. A session is opened by the very steps of a sign-in; there is no second way to one.
//! 2. What anybody may call for any address answers at once and alike: what depends on whether there is an account is done afterwards, in the background, for every address.
//! 3. A call that sends mails is counted by the address of the client and by what it names. All guards of a model share the count of a name.
//! 4. A link's secret is 256 random bits, and only its keyed hash is kept.
//! 5. A new password is hashed only for who has proved the right to set one.

mod background;
mod codes;
mod invites;
mod links;
mod notices;
mod passwords;
mod requests;
mod verification;

use std::{net::IpAddr, sync::Arc};

use bekci_core::{
    AuthGuard, Limit, Registering, SessionId, Verification,
    accounts::{AccountStore, CodePurpose, OwnChange, OwnChanged, Registered, Registration},
    invites::{Acceptor, InviteStore},
    mail::{EmailAddress, MailLanguage},
    signin::{NewSession, SignInTenant},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Semaphore, SemaphorePermit};

use self::{background::Background, links::LinkOrder, notices::NoNotice};
pub use self::{
    codes::{CodeAttempt, StartedCode},
    invites::InviteOrder,
    passwords::PasswordChange,
    verification::VerificationAttempt,
};
use super::{CodeParts, PASSWORD, SignIn, limits::Named, unverified_hash};
use crate::{
    attempt::{Granted, tidy_device_name},
    audit,
    error::SignInError,
    keyed::{device_hash, identifier_mark},
    password::PasswordPolicy,
};

/// People's own accounts. Cheap to clone; shared by all workers.
#[derive(Clone, Debug)]
pub struct Accounts {
    sign_in: SignIn,
    store: Arc<dyn AccountStore>,
    codes: CodeParts,
    invites: Arc<dyn InviteStore>,
    background: Background,
    turns: Arc<Semaphore>,
}

/// What people's own accounts rest on.
#[derive(Clone, Debug)]
pub struct AccountParts {
    /// Opens sessions.
    pub sign_in: SignIn,
    /// Keeps accounts.
    pub store: Arc<dyn AccountStore>,
    /// Keeps mailed secrets that sign in.
    pub codes: CodeParts,
    /// Keeps invitations.
    pub invites: Arc<dyn InviteStore>,
}

/// How many changes that need no session a node makes at once. The others wait here, where they hold no connection to the database: all of them could wait for one account.
const TURNS: usize = 4;

/// Who calls, and how its mails are to be.
#[derive(Clone, Debug)]
pub struct Requester {
    /// The address that the client is believed to have.
    pub client: Option<IpAddr>,
    /// The language of mails.
    pub language: MailLanguage,
    /// The page that links lead to. The reference and the secret are its fragment, which browsers do not send.
    pub page: String,
}

/// An account that somebody wants to make.
#[derive(Clone, Debug)]
pub struct RegisterAttempt {
    /// Its address.
    pub address: EmailAddress,
    /// Its password.
    pub password: SecretString,
    /// Further columns and their values, which the guard lets its users set.
    pub attributes: Vec<(String, serde_json::Value)>,
    /// What the client calls its device.
    pub device_name: Option<String>,
    /// A random value that the client keeps for its device.
    pub device_id: Option<String>,
    /// The session whose verified credential came with the request; it ends.
    pub replaces: Option<SessionId>,
    /// The tenant that the tokens are made for.
    pub tenant: SignInTenant,
    /// The token of an invitation.
    pub invite: Option<SecretString>,
    /// Who calls.
    pub requester: Requester,
}

/// What registering came to.
#[derive(Clone, Debug)]
pub enum RegisterOutcome {
    /// The account is made and signed in.
    SignedIn(Granted),
    /// A mail is on its way: one that confirms the address, or one that tells its owner. Which of them is not told.
    Mailed,
}

impl Accounts {
    /// People's own accounts over these parts.
    #[must_use]
    pub fn new(parts: AccountParts) -> Self {
        Self {
            sign_in: parts.sign_in,
            store: parts.store,
            codes: parts.codes,
            invites: parts.invites,
            background: Background::default(),
            turns: Arc::new(Semaphore::new(TURNS)),
        }
    }

    /// Waits for a turn to change an account without a session.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, SignInError> {
        let turn = self.turns.acquire().await;
        turn.map_err(|error| SignInError::Internal(error.to_string().into()))
    }

    /// Waits until what was begun in the background has ended, for a while.
    pub async fn close(&self) {
        self.background.close().await;
    }

    /// Makes an account and signs it in; at a guard that requires a verified address, sends the mail that confirms it instead.
    ///
    /// # Errors
    /// [`SignInError::RegistrationClosed`]; [`SignInError::CodeInvalid`] for an invitation that is not good for this address; [`SignInError::Weak`] and [`SignInError::Field`]; [`SignInError::Taken`] at a guard that requires no verified address;
    /// [`SignInError::RateLimited`] and [`SignInError::Busy`]; as [`SignIn::password`] where the session is not opened.
    pub async fn register(
        &self,
        guard: &Arc<AuthGuard>,
        attempt: RegisterAttempt,
    ) -> Result<RegisterOutcome, SignInError> {
        match (guard.registering, &attempt.invite) {
            (Registering::Open, _) | (Registering::Invited, Some(_)) => {}
            (Registering::Closed, _) | (Registering::Invited, None) => return Err(SignInError::RegistrationClosed),
        }
        judge(guard, &attempt.password, &[attempt.address.as_str()])?;
        let name = Named::Identifier(attempt.address.as_str());
        self.sign_in
            .count_call(guard, Limit::Register, attempt.requester.client, name)
            .await?;
        let invited = match &attempt.invite {
            Some(token) => Some(self.invited(guard, (token.expose_secret(), &attempt.address)).await?),
            None => None,
        };
        let hasher = &self.sign_in.parts.hasher;
        let hash = hasher.hash_by(guard.password_hash, attempt.password.clone()).await?;
        // An invitation verifies the address, and so does the code of a sign-in: no link is mailed beside them.
        let confirmation = match (guard.verification, guard.require_verified_email) {
            _ if invited.is_some() => None,
            (Verification::Email, false) => None,
            _ => {
                let order = LinkOrder::of(CodePurpose::VerifyAddress, &attempt.address);
                Some(self.new_link(guard, order, &attempt.requester)?)
            }
        };
        let order = Registration {
            model: guard.model.clone(),
            address: attempt.address.clone(),
            attributes: attempt.attributes.clone(),
            password_hash: hash.clone(),
            confirmation,
        };
        if guard.require_verified_email && invited.is_none() {
            self.register_later(guard, order, attempt.requester.language)?;
            return Ok(RegisterOutcome::Mailed);
        }
        let turn = self.turn().await?;
        let key = match invited {
            // No node has anything of a new account that could be out of date.
            Some(proof) => self.accepted(guard, &proof, Acceptor::New(&order)).await?.0,
            None => match self.store.register(&order).await? {
                Registered::Made(key) => key,
                Registered::Taken => return Err(SignInError::Taken),
                Registered::Refused(why) => return Err(SignInError::Refused(why.into())),
            },
        };
        drop(turn);
        let session = NewSession {
            guard: Arc::clone(guard),
            key,
            id: self.sign_in.random_id()?,
            way: PASSWORD.into(),
            remembered: false,
            verified_hash: Some(hash),
            device_name: tidy_device_name(attempt.device_name),
            device_hash: attempt
                .device_id
                .and_then(|id| device_hash(&self.sign_in.parts.root, &guard.name, &id)),
            replaces: attempt.replaces,
            tenant: attempt.tenant,
            series: None,
            now: self.sign_in.parts.clock.now(),
        };
        let mark = identifier_mark(&self.sign_in.parts.root, &guard.name, attempt.address.as_str());
        let asked = (guard.verification, attempt.requester.language);
        let granted = self.sign_in.grant(guard, session, asked).await;
        let granted = granted.and_then(|granted| granted.ok_or_else(unverified_hash));
        audit::attempt(guard, PASSWORD, &mark, &granted);
        if let Ok(Granted::Temporary(temporary)) = &granted {
            audit::temporary(guard, temporary);
        }
        granted.map(RegisterOutcome::SignedIn)
    }

    /// Gives chosen attributes of an account other values.
    ///
    /// # Errors
    /// [`SignInError::Refused`] for a value that the table refuses; [`SignInError::StoreUnavailable`] and [`SignInError::Pending`].
    pub async fn set_attributes(
        &self,
        key: &bekci_core::PrincipalKey,
        attributes: Vec<(String, serde_json::Value)>,
    ) -> Result<(), SignInError> {
        let change = OwnChange::Attributes(attributes);
        let changed = self.store.change_own(Some(key), &change, &NoNotice).await?;
        done(changed).map(|_| ())
    }
}

/// Whether a new password may be set.
fn judge(guard: &AuthGuard, password: &SecretString, about: &[&str]) -> Result<(), SignInError> {
    let about: Vec<&str> = about.iter().copied().chain([guard.name.as_str(), "bekci"]).collect();
    PasswordPolicy::new(guard.password_min_length)
        .check(password, &about)
        .map_err(SignInError::Weak)
}

/// The account and the sessions that a change ended.
fn done(changed: OwnChanged) -> Result<(bekci_core::PrincipalKey, Vec<SessionId>), SignInError> {
    match changed {
        OwnChanged::Done {
            key,
            ended,
            pending: None,
        } => Ok((key, ended)),
        OwnChanged::Done {
            pending: Some(position),
            ..
        } => Err(SignInError::Pending { position }),
        OwnChanged::CodeInvalid => Err(SignInError::CodeInvalid),
        OwnChanged::HashChanged => Err(SignInError::Busy),
        OwnChanged::Taken => Err(SignInError::Taken),
        OwnChanged::Gone => Err(SignInError::CodeInvalid),
        OwnChanged::Refused(why) => Err(SignInError::Refused(why.into())),
    }
}

impl SignIn {
    /// What a right credential gives: a session, or first a temporary identity. `None`: the hash that was verified is no longer the account's.
    pub(super) async fn grant(
        &self,
        guard: &Arc<AuthGuard>,
        session: NewSession,
        (verification, language): (Verification, MailLanguage),
    ) -> Result<Option<Granted>, SignInError> {
        if verification == Verification::Off {
            return self.signed_in(guard, session).await;
        }
        let temporary = self.wait_for_verification(session, (verification, language)).await?;
        Ok(temporary.map(|temporary| Granted::Temporary(Box::new(temporary))))
    }
}
