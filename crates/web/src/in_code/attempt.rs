//! Signing in from code.

use std::{future::IntoFuture, net::IpAddr, sync::Arc};

use bekci_core::{
    AuthGuard, BoxFuture, ErrorCode, SessionId, TenantName, Verification, mail::MailLanguage, signin::SignInTenant,
};
use bekci_signin::{AttemptResult, Granted, Identifier, PasswordAttempt, SignInError, SignedIn, TemporarySignIn};
use secrecy::SecretString;

use crate::{
    Bekci,
    respond::{Language, Refusal},
};

/// What somebody says to prove who they are. It does not print.
#[derive(Clone, Debug)]
pub struct Credentials {
    identifier: SecretString,
    password: SecretString,
    client: Option<IpAddr>,
}

impl Credentials {
    /// An identifier, such as an e-mail address, and a password.
    #[must_use]
    pub fn password(identifier: &str, password: impl Into<SecretString>) -> Self {
        Self {
            identifier: identifier.into(),
            password: password.into(),
            client: None,
        }
    }

    /// The address that the client has. Refusals are counted by it too; where nothing is said, by account alone.
    #[must_use]
    pub fn seen_from(mut self, client: IpAddr) -> Self {
        self.client = Some(client);
        self
    }

    pub(super) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    pub(super) fn parts(&self) -> Result<(Identifier, SecretString), SignInError> {
        let identifier = Identifier::new(secrecy::ExposeSecret::expose_secret(&self.identifier))?;
        Ok((identifier, self.password.clone()))
    }
}

/// A sign-in that is to be tried; `.await` tries it. From [`GuardCalls::attempt`](crate::GuardCalls::attempt).
#[derive(Debug)]
#[must_use = "nothing is tried before .await"]
pub struct Attempt<'a> {
    bekci: &'a Bekci,
    guard: Result<Arc<AuthGuard>, Refusal>,
    credentials: Credentials,
    device_name: Option<String>,
    device_id: Option<String>,
    replaces: Option<SessionId>,
    tenant: Option<TenantName>,
    verification: Option<Verification>,
    language: Language,
    remember: bool,
}

/// What a sign-in came to.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The result with its classic name and number: [`AttemptResult::number`].
    pub code: AttemptResult,
    /// What may be shown to who tried; empty where they are signed in.
    pub messages: Vec<String>,
    /// What was given as identifier, trimmed.
    pub identifier: Identifier,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a sign-in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Signed in: a session is open, and these are its tokens.
    Full(Box<SignedIn>),
    /// The credentials are right, and there is no session before [`GuardCalls::confirm_verified`](crate::GuardCalls::confirm_verified).
    Temporary(Box<TemporarySignIn>),
    /// Refused, for a reason that lies with who tried.
    Refused(SignInError),
}

impl<'a> Attempt<'a> {
    pub(super) fn new(bekci: &'a Bekci, guard: Result<Arc<AuthGuard>, Refusal>, credentials: &Credentials) -> Self {
        Self {
            bekci,
            guard,
            credentials: credentials.clone(),
            device_name: None,
            device_id: None,
            replaces: None,
            tenant: None,
            verification: None,
            language: Language::English,
            remember: false,
        }
    }

    /// What the session's device is called in lists.
    pub fn device_name(mut self, name: impl Into<String>) -> Self {
        self.device_name = Some(name.into());
        self
    }

    /// A random value of 128 bit or more that the client keeps for its device, so that an answer that was lost can be had again.
    pub fn device_id(mut self, id: impl Into<String>) -> Self {
        self.device_id = Some(id.into());
        self
    }

    /// The session that this sign-in replaces, as that of who signs in anew: `who.session_id()`. It ends.
    pub fn replacing(mut self, session: SessionId) -> Self {
        self.replaces = Some(session);
        self
    }

    /// The tenant that the tokens are made for.
    pub fn tenant(mut self, tenant: &TenantName) -> Self {
        self.tenant = Some(tenant.clone());
        self
    }

    /// Whether this sign-in is verified before it opens a session: it gives a temporary identity then. As the guard says where nobody says it.
    pub fn verification(mut self, verification: Verification) -> Self {
        self.verification = Some(verification);
        self
    }

    /// The language of the messages, and of a mail that carries a code. The default is English.
    pub fn language(mut self, language: Language) -> Self {
        self.language = language;
        self
    }

    /// Whether a remember-me series begins with the session: [`SignedIn::remember`] has its token, for [`GuardCalls::cookies`](crate::GuardCalls::cookies).
    pub fn remember(mut self, remember: bool) -> Self {
        self.remember = remember;
        self
    }

    async fn run(self) -> Result<SignIn, Refusal> {
        let guard = self.guard?;
        let (identifier, password) = self.credentials.parts()?;
        let attempt = PasswordAttempt {
            identifier: identifier.clone(),
            password,
            device_name: self.device_name,
            device_id: self.device_id,
            replaces: self.replaces,
            tenant: self
                .tenant
                .map_or_else(|| self.bekci.watch().tenancy().unnamed(), SignInTenant::Named),
            verification: self.verification,
            language: match self.language {
                Language::English => MailLanguage::English,
                Language::Turkish => MailLanguage::Turkish,
            },
            remember: self.remember,
            client: self.credentials.client(),
        };
        let messages = self.bekci.watch().messages();
        let shown = |code| messages.say(code, self.language).to_owned();
        match self.bekci.sign_in().password(&guard, attempt).await {
            Ok(Granted::Full(signed_in)) => Ok(SignIn {
                code: AttemptResult::Success,
                messages: Vec::new(),
                identifier,
                outcome: Outcome::Full(signed_in),
            }),
            Ok(Granted::Temporary(temporary)) => Ok(SignIn {
                code: temporary.result,
                messages: vec![shown(ErrorCode::Unverified)],
                identifier,
                outcome: Outcome::Temporary(temporary),
            }),
            // Not refused: it cannot be told.
            Err(error) if error.result() == AttemptResult::FailureUncategorized => Err(error.into()),
            Err(error) => Ok(SignIn {
                code: error.result(),
                messages: vec![shown(error.code())],
                identifier,
                outcome: Outcome::Refused(error),
            }),
        }
    }
}

impl<'a> IntoFuture for Attempt<'a> {
    /// # Errors
    /// A [`Refusal`] where it cannot be told whether the credentials are right: the store is away, too many sign in at once, the identifier can be nobody's.
    type Output = Result<SignIn, Refusal>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
