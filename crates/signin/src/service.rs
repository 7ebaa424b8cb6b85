//! Signing in by password and by refresh token.
//!
//! A sign-in by password goes like this, and waits for nothing else:
//!
//! 0. It takes its slots in the limits of its address and of the account that it names; see [`limits`].
//! 1. The accounts with the identifier are read, from the database. The account takes a slot of its own, whichever of its identifiers was entered.
//! 2. One hash is computed, whether there is an account or not, and as much work is done as the dearest hash of the model costs. From here on time and answer are the same for "unknown" and "wrong".
//! 3. One transaction opens the session and ends what it replaces; where a verification is asked, it opens a temporary identity and ends nothing, see [`verification`]. It also tells a ban: only who knew the password gets here.
//! 4. The identity is read, at least as new as that transaction, for claims and answer.
//!
//! A refresh token whose MAC does not fit touches no store. What a good one means is judged by the store on the session row.

mod accounts;
mod beside;
mod external;
mod introspection;
mod known;
mod leave;
mod limits;
mod one_time;
mod remember;
mod security;
mod tokens;
mod verification;

use std::sync::{Arc, atomic::AtomicUsize};

use bekci_core::{
    AuthGuard, Ban, Clock, Entropy, IdentitySource, Limit, Meter, PrincipalKey, RateLimiter, RefreshOutcome,
    RootSecret, SessionId, TokenId, TokenIssuer,
    remember::RememberStore,
    security::{SecurityStore, SessionListener},
    signin::{Credential, NewSession, Opened, RefreshRequest, Refreshed, SessionFacts, SignInStore},
};
use secrecy::SecretString;
use time::OffsetDateTime;

pub use self::{
    accounts::{
        AccountParts, Accounts, CodeAttempt, InviteOrder, PasswordChange, RegisterAttempt, RegisterOutcome, Requester,
        StartedCode, VerificationAttempt,
    },
    external::{ExternalAttempt, ExternalParts, ExternalSignIn},
    introspection::ActiveRefresh,
    one_time::CodeParts,
    remember::RecallAttempt,
    tokens::{AccessSubject, IssuedAccess},
};
use self::{known::Known, limits::Named};
use crate::{
    attempt::{Granted, Identifier, PasswordAttempt, RefreshAttempt, SignedIn, SignedInBy, tidy_device_name},
    audit,
    error::SignInError,
    keyed::{device_hash, identifier_mark},
    password::{Origin, PasswordCheck, PasswordHasher, VerifyFor},
    refresh_token::RefreshTokens,
};

/// The generation of a session's first pair of tokens. Stores open sessions with it.
const FIRST_GENERATION: u32 = 0;

/// How often a password is verified in one sign-in while the account's hash changes under it. One rehash takes two.
const MOST_VERIFICATIONS: usize = 4;

/// The name of this way in.
const PASSWORD: &str = "password";

/// What signing in and out rests on.
#[derive(Clone, Debug)]
pub struct SignInParts {
    /// Keeps accounts and sessions.
    pub store: Arc<dyn SignInStore>,
    /// Makes access tokens.
    pub issuer: Arc<dyn TokenIssuer>,
    /// Knows identities.
    pub identities: Arc<dyn IdentitySource>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives ids.
    pub entropy: Arc<dyn Entropy>,
    /// Verifies passwords.
    pub hasher: PasswordHasher,
    /// Counts refusals.
    pub limiter: Arc<dyn RateLimiter>,
    /// Is told of attempts and of what limits turn away.
    pub meter: Arc<dyn Meter>,
    /// Keys refresh tokens, device ids and what refusals are counted under.
    pub root: Arc<RootSecret>,
    /// Keeps remember-me series.
    pub remembered: Arc<dyn RememberStore>,
    /// Keeps security cookies.
    pub security: Arc<dyn SecurityStore>,
    /// Decides about sessions where the application does; `None`: the defaults hold.
    pub listener: Option<Arc<dyn SessionListener>>,
    /// Keeps the codes of guards that verify a sign-in by mail; `None`: no mails are sent.
    pub codes: Option<CodeParts>,
}

/// The ways in and out. Cheap to clone; built once and shared by all workers.
#[derive(Clone, Debug)]
pub struct SignIn {
    parts: Arc<SignInParts>,
    waiting: Arc<AtomicUsize>,
    known: Arc<Known>,
}

impl SignIn {
    /// Signing in and out over these parts.
    #[must_use]
    pub fn new(parts: SignInParts) -> Self {
        Self {
            parts: Arc::new(parts),
            waiting: Arc::default(),
            known: Arc::default(),
        }
    }

    /// The hasher, for setting passwords and for metrics.
    #[must_use]
    pub fn hasher(&self) -> &PasswordHasher {
        &self.parts.hasher
    }

    /// Signs in by password: opens a session, or where a verification is asked, a temporary identity.
    ///
    /// # Errors
    /// [`SignInError::CredentialInvalid`], the same for an unknown account and a wrong password; [`SignInError::IdentityAmbiguous`];
    /// [`SignInError::Banned`] and [`SignInError::NotInTenant`], after the right password alone; [`SignInError::RateLimited`] where too many were refused; [`SignInError::Busy`] where too many sign in at once;
    /// [`SignInError::StoreUnavailable`] and [`SignInError::Pending`] where it cannot be told; [`SignInError::Internal`].
    pub async fn password(&self, guard: &Arc<AuthGuard>, attempt: PasswordAttempt) -> Result<Granted, SignInError> {
        let mark = identifier_mark(&self.parts.root, &guard.name, attempt.identifier.as_str());
        let result = self.limited_password(guard, attempt).await;
        let name = result
            .as_ref()
            .map_or_else(|error| error.result().name(), |granted| granted.result().name());
        self.parts.meter.signed_in(&guard.name, PASSWORD, name);
        if matches!(result, Err(SignInError::Busy)) {
            self.parts.meter.rate_limited(&guard.name, "hashing");
        }
        audit::attempt(guard, PASSWORD, &mark, &result);
        if let Ok(Granted::Temporary(temporary)) = &result {
            audit::temporary(guard, temporary);
        }
        result
    }

    async fn limited_password(&self, guard: &Arc<AuthGuard>, attempt: PasswordAttempt) -> Result<Granted, SignInError> {
        let name = Named::Identifier(attempt.identifier.as_str());
        let counted = self.counted(guard, Limit::SignIn, attempt.client, Some(name))?;
        let tried = async {
            let found = self.found(guard, &attempt.identifier).await?;
            let counted = self.counted_by_account(guard, &attempt.identifier, &found)?;
            let tried = self.try_password(guard, attempt.clone(), found);
            self.within(guard, &counted, tried).await
        };
        self.within(guard, &counted, tried).await
    }

    /// The slot of the account, or of the name if it is not one account's.
    fn counted_by_account(
        &self,
        guard: &AuthGuard,
        identifier: &Identifier,
        found: &[Credential],
    ) -> Result<limits::Counted, SignInError> {
        let account = match found {
            [one] => Ok(&one.key),
            _ => Err(identifier.as_str()),
        };
        self.counted(guard, Limit::SignIn, None, Some(Named::Account(account)))
    }

    /// The accounts that the identifier names.
    async fn found(&self, guard: &AuthGuard, identifier: &Identifier) -> Result<Vec<Credential>, SignInError> {
        let mut found = self.parts.store.credentials(&guard.model, identifier.as_str()).await?;
        // Always the same one of several, whatever order the database has.
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    /// Takes note of what the stored hashes of these guards' models cost, so that from the first sign-in on all accounts of a model cost the same. What cannot be read now is
    /// learnt when it is verified.
    pub async fn learn_costs(&self, guards: &[Arc<AuthGuard>]) {
        let mut models: Vec<_> = guards.iter().map(|guard| &guard.model).collect();
        models.sort_unstable();
        models.dedup();
        for model in models {
            match self.parts.store.dear_hashes(model).await {
                Ok(hashes) => self.parts.hasher.learn(model, &hashes),
                Err(error) => {
                    tracing::warn!(target: "bekci::signin", %model, %error, "what stored hashes cost is not known yet; it is learnt from sign-ins");
                }
            }
        }
    }

    /// A hash that changed between the verification and the opening is no refusal: the same password may have been hashed anew by another sign-in, or by
    /// another application on the same table. The password is verified again, against the hash that is there now.
    async fn try_password(
        &self,
        guard: &Arc<AuthGuard>,
        attempt: PasswordAttempt,
        found: Vec<Credential>,
    ) -> Result<Granted, SignInError> {
        let mut found = Some(found);
        for _ in 0..MOST_VERIFICATIONS {
            let found = match found.take() {
                Some(found) => found,
                None => self.found(guard, &attempt.identifier).await?,
            };
            if let Some(granted) = self.try_password_once(guard, attempt.clone(), found).await? {
                return Ok(granted);
            }
        }
        Err(SignInError::Busy)
    }

    /// `None`: the hash that was verified is no longer the account's.
    async fn try_password_once(
        &self,
        guard: &Arc<AuthGuard>,
        attempt: PasswordAttempt,
        found: Vec<Credential>,
    ) -> Result<Option<Granted>, SignInError> {
        let password = attempt.password.clone();
        let device_hash = attempt
            .device_id
            .and_then(|id| device_hash(&self.parts.root, &guard.name, &id));
        let marks = known::marks(
            &self.parts.root,
            guard,
            attempt.identifier.as_str(),
            (attempt.client, device_hash.as_deref()),
        );
        let origin = Origin {
            is_known: self.known.has_any(&marks),
            ..known::origin(&self.parts.root, guard, attempt.client)
        };
        let (credential, check) = self.prove(guard, found, password, origin).await?;
        let now = self.parts.clock.now();
        let session = NewSession {
            guard: Arc::clone(guard),
            key: credential.key.clone(),
            id: self.random_id()?,
            way: PASSWORD.into(),
            remembered: false,
            verified_hash: credential.password_hash.clone(),
            device_name: tidy_device_name(attempt.device_name),
            device_hash,
            replaces: attempt.replaces,
            tenant: attempt.tenant,
            series: match attempt.remember {
                true => Some(self.new_series(guard, now)?),
                false => None,
            },
            now,
        };
        let asked = (attempt.verification.unwrap_or(guard.verification), attempt.language);
        let Some(granted) = self.grant(guard, session, asked).await? else {
            return Ok(None);
        };
        // A client that has the password alone is not known yet.
        if matches!(granted, Granted::Full(_)) {
            self.known.add_all(&marks);
        }
        if check.outdated && guard.password_rehash {
            self.rehash_later(guard, credential, attempt.password);
        }
        Ok(Some(granted))
    }

    async fn signed_in(&self, guard: &Arc<AuthGuard>, session: NewSession) -> Result<Option<Granted>, SignInError> {
        let id = session.id;
        let Some(facts) = self.open(session).await? else {
            return Ok(None);
        };
        let given = self
            .give(guard, id, FIRST_GENERATION, facts, SignedInBy::Password)
            .await;
        Ok(Some(Granted::Full(Box::new(given?))))
    }

    /// Opens a session, and reports what ended for it. `None`: the hash that was verified is no longer the account's.
    async fn open(&self, session: NewSession) -> Result<Option<SessionFacts>, SignInError> {
        let opened = self.parts.store.open_session(&session).await?;
        self.told_of_opening(&session.guard, session.key, (session.id, session.now), opened)
    }

    /// What a session's tokens need, or why there is no session; `None` as in [`open`](Self::open).
    fn told_of_opening(
        &self,
        guard: &AuthGuard,
        key: PrincipalKey,
        (id, now): (SessionId, OffsetDateTime),
        opened: Opened,
    ) -> Result<Option<SessionFacts>, SignInError> {
        let (version, tenant, ended, series) = match opened {
            Opened::Open {
                version,
                tenant,
                ended,
                series,
            } => (version, tenant, ended, series),
            Opened::NotInTenant(tenant) => return Err(SignInError::NotInTenant(tenant)),
            Opened::Banned(ban) => return Err(banned(ban)),
            Opened::Inactive => return Err(SignInError::Inactive),
            Opened::Unverified => return Err(SignInError::Unverified),
            Opened::HashChanged => return Ok(None),
            // Deleted since it was read: as if it had never been.
            Opened::Gone => return Err(SignInError::CredentialInvalid),
        };
        audit::sessions_ended(Some(guard), &key, &ended, "replaced");
        if guard.session.unique && !ended.is_empty() {
            audit::unique(guard, &key, id);
        }
        Ok(Some(SessionFacts {
            refresh_ends: first_refresh_ends(guard, now),
            key,
            version,
            tenant,
            series,
        }))
    }

    /// The account of those that were found that the password names. The same work is done in every case.
    async fn prove(
        &self,
        guard: &AuthGuard,
        found: Vec<Credential>,
        password: SecretString,
        origin: Origin,
    ) -> Result<(Credential, PasswordCheck), SignInError> {
        let several = found.len() > 1;
        let first = found.into_iter().next();
        let stored = first.as_ref().and_then(|credential| credential.password_hash.clone());
        let verify_for = VerifyFor {
            model: &guard.model,
            scheme: guard.password_hash,
            origin,
        };
        let check = self.parts.hasher.verify(password, stored, verify_for).await?;
        if several {
            return Err(SignInError::IdentityAmbiguous { proven: check.matches });
        }
        let credential = first.filter(|_| check.matches).ok_or(SignInError::CredentialInvalid)?;
        if credential.key.model() != guard.model.as_str() {
            return Err(SignInError::Internal(
                format!("the store gave an account of model {:?}", credential.key.model()).into(),
            ));
        }
        Ok((credential, check))
    }

    /// Replaces a weaker hash beside the sign-in, which does not wait for it and does not fail with it. What is not done now is done next time.
    fn rehash_later(&self, guard: &Arc<AuthGuard>, credential: Credential, password: SecretString) {
        let (Some(old), Ok(runtime)) = (credential.password_hash, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (parts, guard) = (Arc::clone(&self.parts), Arc::clone(guard));
        runtime.spawn(async move {
            let result = match parts.hasher.rehash(guard.password_hash, password).await {
                Ok(new) => parts
                    .store
                    .rehash(&credential.key, &old, &new)
                    .await
                    .map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            audit::rehashed(&guard, &credential.key, &result);
        });
    }

    /// Carries a session on by its refresh token. Refusals are counted by address, and by session where the token's MAC says that the token is ours: else anybody who
    /// knows the id of a session could use up its limit.
    ///
    /// # Errors
    /// [`SignInError::RefreshInvalid`], [`RefreshExpired`](SignInError::RefreshExpired), [`RefreshReused`](SignInError::RefreshReused) by the
    /// table of [`bekci_core::judge_refresh`]; [`SignInError::Banned`]; [`SignInError::RateLimited`] where too many were refused;
    /// [`SignInError::StoreUnavailable`] and [`SignInError::Pending`] where it cannot be told: the same token may be presented again;
    /// [`SignInError::Internal`].
    pub async fn refresh(&self, guard: &Arc<AuthGuard>, attempt: RefreshAttempt<'_>) -> Result<SignedIn, SignInError> {
        let named = self.refresh_tokens(guard).parse(attempt.token).ok();
        let session = named.map(|(session, _)| session.to_string());
        let session = session.as_deref().map(Named::Session);
        let counted = self.counted(guard, Limit::Refresh, attempt.client, session)?;
        self.within(guard, &counted, self.try_refresh(guard, named, attempt))
            .await
    }

    async fn try_refresh(
        &self,
        guard: &Arc<AuthGuard>,
        named: Option<(SessionId, u32)>,
        attempt: RefreshAttempt<'_>,
    ) -> Result<SignedIn, SignInError> {
        let (session, generation) = named.ok_or(SignInError::RefreshInvalid)?;
        let request = RefreshRequest {
            guard: Arc::clone(guard),
            session,
            generation,
            device_hash: attempt
                .device_id
                .and_then(|id| device_hash(&self.parts.root, &guard.name, id)),
            by_cookie: attempt.by_cookie,
            now: self.parts.clock.now(),
        };
        let refreshed = self.parts.store.refresh(&request).await?;
        audit::refreshed(guard, session, &refreshed);
        let (generation, by) = granted(&refreshed)?;
        let facts = refreshed
            .session
            .ok_or_else(|| SignInError::Internal("the store gave a generation and no session".into()))?;
        self.give(guard, session, generation, facts, by).await
    }

    fn refresh_tokens(&self, guard: &AuthGuard) -> RefreshTokens {
        RefreshTokens::new(&self.parts.root, &guard.name)
    }

    fn random_id(&self) -> Result<TokenId, SignInError> {
        let mut bytes = [0; 16];
        let filled = self.parts.entropy.fill(&mut bytes);
        filled.map_err(|error| SignInError::Internal(error.into()))?;
        Ok(TokenId(bytes))
    }

    /// The pair of tokens of a session's generation.
    async fn give(
        &self,
        guard: &AuthGuard,
        session: SessionId,
        generation: u32,
        facts: SessionFacts,
        outcome: SignedInBy,
    ) -> Result<SignedIn, SignInError> {
        let view = self.view(guard, &facts).await?;
        let subject = AccessSubject {
            key: facts.key,
            session,
            generation,
            version: facts.version,
            tenant: facts.tenant,
        };
        let issued = self.issue_access(guard, &subject, &view)?;
        let remember = facts.series.map(|series| self.remember_token(guard, series));
        Ok(SignedIn {
            remember,
            key: subject.key,
            session,
            access: issued.token,
            access_expires_at: issued.expires_at,
            expires_in_seconds: issued.expires_in_seconds,
            refresh: self.refresh_tokens(guard).make(session, generation),
            refresh_expires_at: facts.refresh_ends,
            outcome,
            tenant: subject.tenant,
            view,
        })
    }
}

/// A store compared a hash where none was verified.
fn unverified_hash() -> SignInError {
    SignInError::Internal("the store compared a hash where none was verified".into())
}

fn banned(ban: Option<Ban>) -> SignInError {
    let (reason, until) = ban.map_or((None, None), |ban| (ban.reason, ban.until));
    SignInError::Banned { reason, until }
}

/// The generation to give, for the outcomes that give one.
fn granted(refreshed: &Refreshed) -> Result<(u32, SignedInBy), SignInError> {
    if refreshed.inactive {
        return Err(SignInError::Inactive);
    }
    match (refreshed.outcome, &refreshed.banned) {
        // Before the outcome: a store gives a ban only where it would have given tokens, and no generation then.
        (_, Some(ban)) => Err(SignInError::Banned {
            reason: ban.reason.clone(),
            until: ban.until,
        }),
        (RefreshOutcome::Invalid, None) => Err(SignInError::RefreshInvalid),
        (RefreshOutcome::Expired, None) => Err(SignInError::RefreshExpired),
        (RefreshOutcome::Reused, None) => Err(SignInError::RefreshReused),
        (RefreshOutcome::Rotated { next }, None) => Ok((next, SignedInBy::Rotated)),
        (RefreshOutcome::Replayed { current }, None) => Ok((current, SignedInBy::Replayed)),
        (RefreshOutcome::Recovered { next }, None) => Ok((next, SignedInBy::Recovered)),
    }
}

/// When the first refresh token of a session ends: by the same times as [`bekci_core::judge_refresh`].
fn first_refresh_ends(guard: &AuthGuard, now: OffsetDateTime) -> OffsetDateTime {
    let rules = &guard.session.refresh;
    let shorter = [rules.idle, guard.session.max_age].into_iter().flatten();
    now.saturating_add(shorter.fold(rules.ttl, time::Duration::min))
}
