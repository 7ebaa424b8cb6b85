//! Sign-in by mail: a one-time code, a link, or both in one mail.
//!
//! 1. Starting answers at once, with a reference. The account is looked up, the row is written and the mail is queued after the answer, for every address.
//! 2. A code is uniform over its digits. A link has 256 random bits. Both are kept as HMACs over reference, address and secret, under the guard's key.
//! 3. A try counts in the row. A wrong one also counts for the client's address, the name and the account, as a wrong password does, and for the account's
//!    budget of wrong codes. New codes reset none of these.
//! 4. A client that has signed in to the account before, by address or device, has a budget of its own. So strangers cannot use up the owner's.
//! 5. A right secret is spent in the transaction that opens the session, by the very steps of a sign-in by password.

use std::{net::IpAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{
    AuthGuard, Limit, Registering, SessionId, TokenId, Verification,
    accounts::{CodeAbout, CodeProof, CodePurpose, NewCode},
    codes::{CODE_HASH_BYTES, CodeOwner, CodeTry, Entrance, FoundCode, NewSignInCode, Redeemed},
    identifier::is_same,
    mail::{EmailAddress, Mail, MailKind},
    signin::SignInTenant,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Accounts, Requester};
use crate::{
    attempt::{Granted, SignedInBy, tidy_device_name},
    audit,
    error::SignInError,
    keyed::{account_hash, device_hash, identifier_mark},
    service::{
        FIRST_GENERATION, known,
        limits::Named,
        one_time::{digits, minutes, no_entropy},
        unverified_hash,
    },
};

/// The name of sign-in by code.
const EMAIL_OTP: &str = "email_otp";
/// The name of sign-in by link.
const EMAIL_LINK: &str = "email_link";
/// The bytes of a link's secret.
const LINK_BYTES: usize = 32;
/// How often a secret is redeemed again if another account took its user name meanwhile.
const MOST_REDEEMED: usize = 3;

/// A sign-in by mail that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartedCode {
    /// What names it: `otpRef`.
    pub reference: TokenId,
    /// How long its code and link are valid.
    pub expires_in_seconds: i64,
}

/// A code, or the secret of a link, that is presented.
#[derive(Clone, Debug)]
pub struct CodeAttempt {
    /// What names the sign-in.
    pub reference: String,
    /// The code, or the secret of the link.
    pub secret: SecretString,
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

/// The secrets of one row, before they are hashed.
#[derive(Clone)]
struct Secrets {
    id: TokenId,
    code: Option<String>,
    link: Option<String>,
    /// What stands in the row for a secret that there is none of.
    chance: [u8; 2 * CODE_HASH_BYTES],
}

/// By which way a secret of this form signs in at the guard; `None`: it has the form of neither.
fn way_of(guard: &AuthGuard, secret: &str) -> Option<(&'static str, SignedInBy)> {
    let is_code = secret.len() == guard.otp.length as usize && secret.bytes().all(|byte| byte.is_ascii_digit());
    let is_link = || {
        URL_SAFE_NO_PAD
            .decode(secret)
            .is_ok_and(|bytes| bytes.len() == LINK_BYTES)
    };
    match (guard.ways.email_otp, guard.ways.email_link) {
        (true, _) if is_code => Some((EMAIL_OTP, SignedInBy::EmailOtp)),
        (_, true) if is_link() => Some((EMAIL_LINK, SignedInBy::EmailLink)),
        _ => None,
    }
}

impl Accounts {
    /// Starts a sign-in by mail. The answer is the same for every address, and so is its time.
    ///
    /// # Errors
    /// [`SignInError::NotOffered`] at a guard without such a way; [`SignInError::RateLimited`]; [`SignInError::Busy`]; [`SignInError::StoreUnavailable`] where limits cannot be
    /// counted.
    pub async fn start_sign_in(
        &self,
        guard: &Arc<AuthGuard>,
        address: EmailAddress,
        requester: Requester,
    ) -> Result<StartedCode, SignInError> {
        if !guard.ways.by_mail() {
            return Err(SignInError::NotOffered);
        }
        let name = Named::Identifier(address.as_str());
        self.sign_in
            .count_call(guard, Limit::OtpStart, requester.client, name)
            .await?;
        let secrets = self.new_secrets(guard)?;
        let reference = secrets.id;
        let (accounts, at) = (self.clone(), Arc::clone(guard));
        self.background.run("email/start", move || {
            let (accounts, guard) = (accounts.clone(), Arc::clone(&at));
            let (address, requester, secrets) = (address.clone(), requester.clone(), secrets.clone());
            async move { accounts.send_secrets(&guard, &address, (&secrets, &requester)).await }
        })?;
        Ok(StartedCode {
            reference,
            expires_in_seconds: guard.otp.ttl.whole_seconds(),
        })
    }

    fn new_secrets(&self, guard: &AuthGuard) -> Result<Secrets, SignInError> {
        let entropy = &*self.sign_in.parts.entropy;
        let mut link = [0; LINK_BYTES];
        let mut chance = [0; 2 * CODE_HASH_BYTES];
        entropy.fill(&mut link).map_err(no_entropy)?;
        entropy.fill(&mut chance).map_err(no_entropy)?;
        let code = digits(entropy, guard.otp.length)?;
        Ok(Secrets {
            id: self.sign_in.random_id()?,
            code: guard.ways.email_otp.then_some(code),
            link: guard.ways.email_link.then(|| URL_SAFE_NO_PAD.encode(link)),
            chance,
        })
    }

    async fn send_secrets(
        &self,
        guard: &Arc<AuthGuard>,
        address: &EmailAddress,
        (secrets, requester): (&Secrets, &Requester),
    ) -> Result<(), SignInError> {
        let found = self.store.addressees(&guard.model, address.as_str()).await?;
        let account = match &found[..] {
            [one] => one.address.as_ref().map(|held| (&one.key, held)),
            _ => None,
        };
        // What was entered can be another identifier of an account, such as a user name.
        let account = account.filter(|(_, held)| is_same(held.as_str(), address.as_str(), true));
        let (owner, to) = match account {
            Some((key, held)) => (CodeOwner::Account(key.clone()), Some(held)),
            None => {
                let hash = account_hash(&self.sign_in.parts.root, &guard.model, Err(address.as_str()));
                let makes_account = found.is_empty() && guard.registering == Registering::Open;
                let owner = CodeOwner::Address(guard.model.clone(), hash);
                (owner, makes_account.then_some(address))
            }
        };
        let order = self.sign_in_code(guard, (owner, to, address), (secrets, requester));
        Ok(self.codes.store.open_sign_in(&order).await?)
    }

    /// The row and the mail of a sign-in. A row without a mail has hashes that nothing matches.
    fn sign_in_code(
        &self,
        guard: &AuthGuard,
        (owner, to, entered): (CodeOwner, Option<&EmailAddress>, &EmailAddress),
        (secrets, requester): (&Secrets, &Requester),
    ) -> NewSignInCode {
        let address = to.unwrap_or(entered);
        let now = self.sign_in.parts.clock.now();
        let hash = match to {
            Some(_) => self.hashes(guard, secrets, address),
            None => secrets.chance.to_vec(),
        };
        let expires_at = now + guard.otp.ttl;
        let code = NewCode {
            id: secrets.id,
            purpose: CodePurpose::SignIn,
            guard: guard.name.clone(),
            hash,
            about: CodeAbout {
                address: address.clone(),
                session: None,
                invite: None,
            },
            expires_at,
            now,
        };
        let link = secrets.link.as_ref().map(|link| {
            let kind = CodePurpose::SignIn.as_str();
            format!("{}#kind={kind}&ref={}&code={link}", requester.page, secrets.id)
        });
        let minutes = minutes(guard.otp.ttl);
        let values = [
            ("code", secrets.code.clone()),
            ("link", link),
            ("minutes", Some(minutes)),
        ];
        let mail = Mail {
            kind: match secrets.code {
                Some(_) => MailKind::SignInCode,
                None => MailKind::SignInLink,
            },
            to: address.clone(),
            language: requester.language,
            values: values
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
            expires_at,
        };
        NewSignInCode {
            code,
            owner,
            mail: to.map(|_| mail),
        }
    }

    /// The hashes of the code and of the link. A secret that there is none of is matched by nothing.
    fn hashes(&self, guard: &AuthGuard, secrets: &Secrets, address: &EmailAddress) -> Vec<u8> {
        let (of_code, of_link) = secrets.chance.split_at(CODE_HASH_BYTES);
        let hashed = |secret: &Option<String>, chance: &[u8]| match secret {
            Some(secret) => self
                .codes
                .hash(guard, CodePurpose::SignIn, (secrets.id, address), secret),
            None => chance.to_vec(),
        };
        [hashed(&secrets.code, of_code), hashed(&secrets.link, of_link)].concat()
    }

    /// Signs in by a code, or by the secret of a link. The first one for an address without an account makes the account, if registration is open.
    ///
    /// # Errors
    /// [`SignInError::Field`] for what has the form of neither; [`SignInError::OtpInvalid`], the same for a wrong code and an unknown address; [`SignInError::OtpExpired`]; as
    /// [`SignIn::password`](crate::SignIn::password) where the secret is right and the session is not opened.
    pub async fn verify_sign_in(&self, guard: &Arc<AuthGuard>, attempt: CodeAttempt) -> Result<Granted, SignInError> {
        if !guard.ways.by_mail() {
            return Err(SignInError::NotOffered);
        }
        let way = way_of(guard, attempt.secret.expose_secret()).ok_or(SignInError::Field {
            field: "otp",
            rule: "is neither a code of this guard nor the secret of a link",
        })?;
        let proof = CodeProof {
            id: TokenId::parse(&attempt.reference).unwrap_or(TokenId([0; 16])),
            purpose: CodePurpose::SignIn,
            guard: guard.name.clone(),
            hash: Vec::new(),
            now: self.sign_in.parts.clock.now(),
        };
        let found = self.codes.store.find_code(&proof).await?;
        let name = found
            .as_ref()
            .map_or(&*attempt.reference, |found| found.address.as_str());
        let mark = identifier_mark(&self.sign_in.parts.root, &guard.name, name);
        let result = self.limited_secret(guard, (found, proof), (attempt, way)).await;
        let name = result
            .as_ref()
            .map_or_else(|error| error.result().name(), |granted| granted.result().name());
        self.sign_in.parts.meter.signed_in(&guard.name, way.0, name);
        audit::attempt(guard, way.0, &mark, &result);
        if let Ok(Granted::Temporary(temporary)) = &result {
            audit::temporary(guard, temporary);
        }
        result
    }

    /// Rule 3.
    async fn limited_secret(
        &self,
        guard: &Arc<AuthGuard>,
        (found, proof): (Option<FoundCode>, CodeProof),
        (attempt, way): (CodeAttempt, (&'static str, SignedInBy)),
    ) -> Result<Granted, SignInError> {
        let sign_in = &self.sign_in;
        let Some(found) = found else {
            // A reference cannot be guessed: this counts for the client alone.
            let counted = sign_in.counted(guard, Limit::SignIn, attempt.client, None)?;
            return sign_in
                .within(guard, &counted, async { Err(SignInError::OtpInvalid) })
                .await;
        };
        let tried = self.try_secret(guard, (&found, proof), (attempt.clone(), way));
        self.under_limits(guard, &found, attempt.client, tried).await
    }

    /// An attempt that counts as a sign-in by password does.
    pub(super) async fn under_limits<T>(
        &self,
        guard: &AuthGuard,
        found: &FoundCode,
        client: Option<IpAddr>,
        attempt: impl Future<Output = Result<T, SignInError>>,
    ) -> Result<T, SignInError> {
        let sign_in = &self.sign_in;
        let name = Named::Identifier(found.address.as_str());
        let by_name = sign_in.counted(guard, Limit::SignIn, client, Some(name))?;
        let account = found.account.as_ref().ok_or(found.address.as_str());
        let by_account = sign_in.counted(guard, Limit::SignIn, None, Some(Named::Account(account)))?;
        let attempt = sign_in.within(guard, &by_account, attempt);
        sign_in.within(guard, &by_name, attempt).await
    }

    /// A try under the account's budget of wrong codes. `known`: what this client is recognised by.
    pub(super) async fn tried(
        &self,
        guard: &AuthGuard,
        (found, proof): (&FoundCode, &CodeProof),
        known: &[u64],
    ) -> Result<CodeTry, SignInError> {
        // Rule 4.
        let known = known.iter().find(|mark| self.sign_in.known.has_any(&[**mark]));
        let own = known.map(|mark| format!("{}\0{mark:016x}", found.address.as_str()));
        let budget = match (&own, &found.account) {
            (Some(own), _) => Named::Account(Err(own)),
            (None, Some(key)) => Named::Account(Ok(key)),
            (None, None) => Named::Account(Err(found.address.as_str())),
        };
        let counted = self.sign_in.counted(guard, Limit::Otp, None, Some(budget))?;
        let tried = async {
            match self.codes.store.try_code(proof, guard.otp.tries).await? {
                CodeTry::Wrong => Err(SignInError::OtpInvalid),
                tried => Ok(tried),
            }
        };
        self.sign_in.within(guard, &counted, tried).await
    }

    async fn try_secret(
        &self,
        guard: &Arc<AuthGuard>,
        (found, proof): (&FoundCode, CodeProof),
        (attempt, way): (CodeAttempt, (&'static str, SignedInBy)),
    ) -> Result<Granted, SignInError> {
        let sign_in = &self.sign_in;
        let device = attempt
            .device_id
            .as_deref()
            .and_then(|id| device_hash(&sign_in.parts.root, &guard.name, id));
        let marks = known::marks(
            &sign_in.parts.root,
            guard,
            found.address.as_str(),
            (attempt.client, device.as_deref()),
        );
        let proof = CodeProof {
            hash: self.codes.hash(
                guard,
                proof.purpose,
                (proof.id, &found.address),
                attempt.secret.expose_secret(),
            ),
            ..proof
        };
        let tried = match way.1 {
            // The secret of a link cannot be guessed, so it has no budget that a stranger could use up.
            SignedInBy::EmailLink => self.codes.store.try_code(&proof, guard.otp.tries).await?,
            _ => self.tried(guard, (found, &proof), &marks).await?,
        };
        match tried {
            CodeTry::Right => {}
            CodeTry::Expired => return Err(SignInError::OtpExpired),
            CodeTry::Wrong | CodeTry::Dead => return Err(SignInError::OtpInvalid),
        }
        let granted = self.enter(guard, &proof, (attempt, device, way)).await?;
        sign_in.known.add_all(&marks);
        Ok(granted)
    }

    /// Rule 5.
    async fn enter(
        &self,
        guard: &Arc<AuthGuard>,
        proof: &CodeProof,
        (attempt, device_hash, (way, by)): (CodeAttempt, Option<Vec<u8>>, (&'static str, SignedInBy)),
    ) -> Result<Granted, SignInError> {
        let now = proof.now;
        let waits_until = match guard.verification {
            // The mail was read: a second code to the same address would prove nothing more.
            Verification::Off | Verification::Email => None,
            Verification::Custom => Some(now.saturating_add(guard.temporary_ttl)),
        };
        let entrance = Entrance {
            guard: Arc::clone(guard),
            id: self.sign_in.random_id()?,
            way: way.into(),
            device_name: tidy_device_name(attempt.device_name),
            device_hash,
            replaces: attempt.replaces,
            tenant: attempt.tenant,
            waits_until,
            makes_account: guard.registering == Registering::Open,
            series: match attempt.remember {
                true => Some(self.sign_in.new_series(guard, now)?),
                false => None,
            },
            now,
        };
        for _ in 0..MOST_REDEEMED {
            return match self.codes.store.redeem(proof, &entrance).await? {
                Redeemed::Taken => continue,
                Redeemed::Dead | Redeemed::Ended => Err(SignInError::OtpInvalid),
                Redeemed::Refused(why) => Err(SignInError::Refused(why.into())),
                Redeemed::Session(key, opened) => {
                    let facts = self.sign_in.told_of_opening(guard, key, (entrance.id, now), opened);
                    let facts = facts.map_err(gone)?.ok_or_else(unverified_hash)?;
                    let given = self.sign_in.give(guard, entrance.id, FIRST_GENERATION, facts, by);
                    Ok(Granted::Full(Box::new(given.await?)))
                }
                Redeemed::Waiting(key, opened) => {
                    let held = self.sign_in.told_of_holding(guard, key, opened).map_err(gone)?;
                    Ok(Granted::Temporary(Box::new(held.ok_or_else(unverified_hash)?)))
                }
            };
        }
        Err(SignInError::OtpInvalid)
    }
}

/// An account that is gone is answered as a wrong code.
fn gone(error: SignInError) -> SignInError {
    match error {
        SignInError::CredentialInvalid => SignInError::OtpInvalid,
        other => other,
    }
}
