//! Guards, and the first step: which guard of the route judges the credential?
//!
//! The rules (contract, "one way to be asked"):
//!
//! 1. A credential in the `Authorization` header is judged by the guard, among the route's that read headers, whose key its `kid` names. Its refusal is final. A
//!    `kid` of none of them: [`AuthError::GuardMismatch`].
//! 2. Without a header the first guard in the route's order whose cookie is there decides, alone.
//! 3. Two different credentials for the guard that decides (two headers, two cookies of one name, header and cookie) are ambiguous; byte-identical ones are one.
//! 4. A presented but bad credential never falls through to the next guard, nor to "anonymous".
//! 5. A route that asks for `unverified` takes temporary tokens too, from the header or from a cookie of their own, which is looked at before the access cookie: it
//!    belongs to the newer sign-in. On every other route that cookie is not looked at, and a temporary token is one that is no good.
//! 6. Where the credential came by cookie, an unsafe method needs proof of origin: `Sec-Fetch-Site: same-origin`, or the CSRF token of the session in `X-CSRF-Token`.

use std::{collections::HashMap, sync::Arc};

use crate::{
    codes::{OtpRules, SignInWays},
    csrf::CsrfKey,
    error::AuthError,
    idp::IdpSettings,
    key::IdKind,
    limit::GuardLimits,
    name::{GuardName, ModelName},
    password::HashScheme,
    request::{CookieLookup, HeaderCredential, RequestHead, cookie},
    security::SecurityKey,
    session::{RefreshRules, SessionId},
    token::{BearerToken, TokenFault, TokenKind, TokenVerifier, VerifiedClaims},
};

/// Where a guard's token may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSources {
    /// In the `Authorization` header.
    pub header: bool,
    /// In the guard's access cookie.
    pub cookie: bool,
}

/// The names of a guard's cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieNames {
    /// Holds the access token.
    pub access: String,
    /// Holds the refresh token.
    pub refresh: String,
    /// Holds the token of a temporary identity.
    pub temporary: String,
    /// Holds the remember-me token.
    pub remember: String,
    /// Holds the security cookie.
    pub security: String,
    /// Holds the CSRF token, readable by scripts.
    pub csrf: String,
    /// Whether they are sent over https alone.
    pub secure: bool,
}

impl CookieNames {
    /// The names by the contract: with `__Host-` and `__Secure-` where the public URL is https (RFC 6265bis section 4.1.3).
    #[must_use]
    pub fn new(guard: &GuardName, https: bool) -> Self {
        let (host, secure) = if https { ("__Host-", "__Secure-") } else { ("", "") };
        Self {
            access: format!("{host}bekci_{guard}_at"),
            refresh: format!("{secure}bekci_{guard}_rt"),
            temporary: format!("{host}bekci_{guard}_tt"),
            remember: format!("{host}bekci_{guard}_rm"),
            security: format!("{host}bekci_{guard}_st"),
            csrf: format!("{host}bekci_{guard}_csrf"),
            secure: https,
        }
    }
}

/// How a guard's sessions live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// How long an access token is good.
    pub access_ttl: time::Duration,
    /// How refresh tokens are judged.
    pub refresh: RefreshRules,
    /// The absolute end of a session, never moved by a refresh; `None`: none.
    pub max_age: Option<time::Duration>,
    /// Whether a new sign-in ends the others.
    pub unique: bool,
    /// How many sessions a principal may have; the oldest end when a new one would be over.
    pub max_sessions: u32,
    /// How old the security cookie of a session by cookie may be before it is exchanged; `None`: there is none.
    pub security_rotate: Option<time::Duration>,
    /// How long a remember-me series is good, from the sign-in on; no use moves it.
    pub remember: time::Duration,
}

impl Default for SessionRules {
    fn default() -> Self {
        Self {
            access_ttl: time::Duration::minutes(15),
            refresh: RefreshRules {
                ttl: time::Duration::days(30),
                idle: None,
                grace: time::Duration::seconds(30),
                lost_response: time::Duration::hours(24),
            },
            max_age: None,
            unique: false,
            max_sessions: 50,
            security_rotate: Some(time::Duration::minutes(1)),
            remember: time::Duration::days(180),
        }
    }
}

/// What a right credential gives at a guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// A session.
    #[default]
    Off,
    /// A temporary identity. A code that is mailed to the address of the account makes it permanent.
    Email,
    /// A temporary identity. The application sends a code of its own, checks it, and says so; only then there is a session.
    Custom,
}

/// Whether a client may register an account at a guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registering {
    /// No client may register.
    #[default]
    Closed,
    /// A client may register with an invitation.
    Invited,
    /// Any client may register.
    Open,
}

/// The shape of what a guard's calls answer when they are done. What is refused looks the same in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerShape {
    /// `{"success": true, "data": …}`.
    #[default]
    Envelope,
    /// The data alone, and of a sign-in `token`, `expiration`, `refreshToken`, `refreshTokenExpiration`.
    Flat,
}

/// A named way in: a model, an audience, sources of tokens and session rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthGuard {
    /// Its name.
    pub name: GuardName,
    /// The model whose accounts come in by it.
    pub model: ModelName,
    /// The kind of that model's ids.
    pub id_kind: IdKind,
    /// The `aud` of its tokens, its own.
    pub audience: String,
    /// Where its tokens may stand.
    pub sources: TokenSources,
    /// Its cookies.
    pub cookies: CookieNames,
    /// The key of its CSRF tokens; [`CsrfKey::default`] until the guard is built.
    pub csrf: CsrfKey,
    /// The key of its security cookies; [`SecurityKey::default`] until the guard is built: then it has none.
    pub security: SecurityKey,
    /// Where its calls live.
    pub auth_path: String,
    /// Other paths of its calls: a whole path, and the call as it stands below `auth_path`, such as `token/refresh`.
    pub aliases: Vec<(String, String)>,
    /// The shape of what its calls answer.
    pub answer_shape: AnswerShape,
    /// How its sessions live.
    pub session: SessionRules,
    /// How many of its calls may be refused in how much time.
    pub limits: GuardLimits,
    /// Claims of the developer's own: the claim's name and the attribute that it is taken from.
    pub claims: Vec<(String, String)>,
    /// Where a browser is sent to sign in; empty: nowhere.
    pub sign_in_url: String,
    /// The ways to sign in that it offers.
    pub ways: SignInWays,
    /// The identity providers that it accepts.
    pub idps: Vec<Arc<IdpSettings>>,
    /// The rules of its one-time codes.
    pub otp: OtpRules,
    /// What a right credential gives: a session, or first a temporary identity.
    pub verification: Verification,
    /// How long a temporary identity waits for its verification.
    pub temporary_ttl: time::Duration,
    /// Who may make an account.
    pub registering: Registering,
    /// Whether an account has no session before its address is verified.
    pub require_verified_email: bool,
    /// The attributes that a user may change of the own account; each is one that the model caches.
    pub own_attributes: Vec<String>,
    /// The pages that links in mails may lead to, beside the one that comes with Bekci; compared exactly.
    pub redirect_uris: Vec<String>,
    /// How many characters a new password has at least. Not asked at sign-in.
    pub password_min_length: usize,
    /// How new passwords are hashed; `None`: as the hasher's settings say.
    pub password_hash: Option<HashScheme>,
    /// Whether a sign-in replaces a weaker hash. `false` where an older application on the same table verifies the hashes too.
    pub password_rehash: bool,
}

impl AuthGuard {
    /// A guard with the contract's defaults for a model.
    #[must_use]
    pub fn new(name: GuardName, model: ModelName, id_kind: IdKind, https: bool) -> Self {
        Self {
            audience: name.as_str().to_owned(),
            sources: TokenSources {
                header: true,
                cookie: true,
            },
            cookies: CookieNames::new(&name, https),
            csrf: CsrfKey::default(),
            security: SecurityKey::default(),
            auth_path: format!("/auth/{name}"),
            aliases: Vec::new(),
            answer_shape: AnswerShape::default(),
            session: SessionRules::default(),
            limits: GuardLimits::default(),
            claims: Vec::new(),
            sign_in_url: String::new(),
            ways: SignInWays::default(),
            idps: Vec::new(),
            otp: OtpRules::default(),
            verification: Verification::Off,
            temporary_ttl: time::Duration::minutes(5),
            registering: Registering::Closed,
            require_verified_email: false,
            own_attributes: Vec::new(),
            redirect_uris: Vec::new(),
            password_min_length: 15,
            password_hash: None,
            password_rehash: true,
            name,
            model,
            id_kind,
        }
    }

    /// How old a security cookie may be before it is exchanged; `None`: the guard has none.
    #[must_use]
    pub fn security_interval(&self) -> Option<time::Duration> {
        self.session.security_rotate.filter(|_| self.security.is_some())
    }

    /// Offers sign-in by a one-time code that is mailed.
    pub fn email_otp(&mut self) -> &mut Self {
        self.ways.email_otp = true;
        self
    }

    /// Offers sign-in by a link that is mailed.
    pub fn email_link(&mut self) -> &mut Self {
        self.ways.email_link = true;
        self
    }

    /// Offers sign-in by an identity provider. Guards may share one: `Arc` it once.
    pub fn idp(&mut self, settings: impl Into<Arc<IdpSettings>>) -> &mut Self {
        self.idps.push(settings.into());
        self
    }

    /// Offers sign-in by Google: the client ids of the web page and of each app.
    pub fn google<T: Into<String>>(&mut self, client_ids: impl IntoIterator<Item = T>) -> &mut Self {
        self.idp(IdpSettings::google(client_ids))
    }

    /// Offers no sign-in by password.
    pub fn without_password(&mut self) -> &mut Self {
        self.ways.password = false;
        self
    }
}

/// Guards that cannot stand beside each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("guards {first} and {second} have the same {what}: {value:?}")]
pub struct GuardSettingsError {
    /// One guard.
    pub first: GuardName,
    /// The other.
    pub second: GuardName,
    /// What they share.
    pub what: &'static str,
    /// The shared value.
    pub value: String,
}

/// Checks that no two guards share a name, an audience, a cookie or a path, and that no path is there twice.
///
/// # Errors
/// [`GuardSettingsError`] naming the first two that do.
pub fn check_guards<'a>(guards: impl IntoIterator<Item = &'a AuthGuard>) -> Result<(), GuardSettingsError> {
    let mut seen: HashMap<(&'static str, String), GuardName> = HashMap::new();
    for guard in guards {
        let path = guard.auth_path.trim_end_matches('/').to_owned();
        let values = [
            ("name", guard.name.as_str().to_owned()),
            ("audience", guard.audience.clone()),
            ("access cookie", guard.cookies.access.clone()),
            ("temporary cookie", guard.cookies.temporary.clone()),
            ("auth_path", path),
        ];
        let aliases = guard.aliases.iter().map(|(path, _)| ("auth_path", path.clone()));
        for (what, value) in values.into_iter().chain(aliases) {
            if let Some(first) = seen.insert((what, value.clone()), guard.name.clone()) {
                return Err(GuardSettingsError {
                    first,
                    second: guard.name.clone(),
                    what,
                    value,
                });
            }
        }
    }
    Ok(())
}

/// The guard that decides, the credential that it judges, and whether that came by cookie.
type Chosen<'chain, 'head> = (&'chain Arc<AuthGuard>, BearerToken<'head>, bool);

/// What a look for a credential came to.
#[derive(Clone, Debug)]
pub enum GuardOutcome {
    /// There is none; the request is anonymous.
    NotPresented,
    /// There is a good one, for this guard.
    Authenticated {
        /// The guard that judged it.
        guard: Arc<AuthGuard>,
        /// What it says.
        claims: Arc<VerifiedClaims>,
        /// Whether it came by cookie.
        by_cookie: bool,
    },
    /// There is one and it is not good.
    Rejected(AuthError),
    /// It cannot be judged now.
    Unavailable(AuthError),
}

/// The guards of a route, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardChain(Arc<[Arc<AuthGuard>]>);

impl GuardChain {
    /// The guards in the order in which their cookies are looked for.
    #[must_use]
    pub fn new(guards: impl IntoIterator<Item = Arc<AuthGuard>>) -> Self {
        Self(guards.into_iter().collect())
    }

    /// The guards.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<AuthGuard>> {
        self.0.iter()
    }

    /// Finds and judges the credential, by the rules in the module's documentation, on a route that takes access tokens alone.
    #[must_use]
    pub fn authenticate(&self, head: &RequestHead<'_>, verifier: &dyn TokenVerifier) -> GuardOutcome {
        self.judge(head, verifier, Taken::Access)
    }

    /// The same on a route that asks for `unverified`.
    #[must_use]
    pub fn authenticate_unverified(&self, head: &RequestHead<'_>, verifier: &dyn TokenVerifier) -> GuardOutcome {
        self.judge(head, verifier, Taken::TemporaryToo)
    }

    fn judge(&self, head: &RequestHead<'_>, verifier: &dyn TokenVerifier, taken: Taken) -> GuardOutcome {
        match self.choose(head, verifier, taken) {
            Err(error @ AuthError::StoreUnavailable(_)) => GuardOutcome::Unavailable(error),
            Err(error) => GuardOutcome::Rejected(error),
            Ok(None) => GuardOutcome::NotPresented,
            Ok(Some((guard, token, by_cookie))) => match taken.verify(guard, verifier, token) {
                Ok(claims) => GuardOutcome::Authenticated {
                    guard: Arc::clone(guard),
                    claims,
                    by_cookie,
                },
                Err(TokenFault::KeysUnreadable) => GuardOutcome::Unavailable(keys_unreadable()),
                Err(TokenFault::OtherGuard | TokenFault::UnknownKey) => {
                    GuardOutcome::Rejected(AuthError::GuardMismatch(None))
                }
                Err(fault) => GuardOutcome::Rejected(AuthError::TokenInvalid(fault)),
            },
        }
    }

    /// The guard that decides and the one credential it is given.
    fn choose<'a>(
        &self,
        head: &RequestHead<'a>,
        verifier: &dyn TokenVerifier,
        taken: Taken,
    ) -> Result<Option<Chosen<'_, 'a>>, AuthError> {
        match head.authorization {
            HeaderCredential::Several => Err(AuthError::AmbiguousCredentials),
            HeaderCredential::Malformed => Err(AuthError::TokenInvalid(TokenFault::Malformed("no bearer token"))),
            HeaderCredential::Bearer(token) => {
                let guard = self.named_by(token, verifier)?;
                let cookies = taken.cookies(head, guard)?;
                if cookies.into_iter().flatten().any(|cookie| cookie != token.expose()) {
                    return Err(AuthError::AmbiguousCredentials);
                }
                Ok(Some((guard, token, false)))
            }
            HeaderCredential::Absent => {
                for guard in self.iter() {
                    if let Some(value) = taken.cookies(head, guard)?.into_iter().flatten().next() {
                        let token = BearerToken::new(value).map_err(AuthError::TokenInvalid)?;
                        return Ok(Some((guard, token, true)));
                    }
                }
                Ok(None)
            }
        }
    }

    fn named_by(&self, token: BearerToken<'_>, verifier: &dyn TokenVerifier) -> Result<&Arc<AuthGuard>, AuthError> {
        let named = match verifier.guard_of(token) {
            Ok(name) => name,
            Err(TokenFault::UnknownKey) => return Err(AuthError::GuardMismatch(None)),
            Err(TokenFault::KeysUnreadable) => return Err(keys_unreadable()),
            Err(fault) => return Err(AuthError::TokenInvalid(fault)),
        };
        let guard = self.iter().find(|guard| guard.name == named && guard.sources.header);
        guard.ok_or(AuthError::GuardMismatch(Some(named)))
    }
}

fn keys_unreadable() -> AuthError {
    AuthError::StoreUnavailable("the signing keys cannot be read".into())
}

/// The tokens that a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Access,
    TemporaryToo,
}

impl Taken {
    fn verify(
        self,
        guard: &AuthGuard,
        verifier: &dyn TokenVerifier,
        token: BearerToken<'_>,
    ) -> Result<Arc<VerifiedClaims>, TokenFault> {
        match verifier.verify(&guard.name, TokenKind::Access, token) {
            // The header says what a token is for, and is judged before anything that costs: a token is looked at twice, and never judged twice.
            Err(TokenFault::Header(_)) if self == Self::TemporaryToo => {
                verifier.verify(&guard.name, TokenKind::Temporary, token)
            }
            judged => judged,
        }
    }

    /// The guard's cookies that count here, the one that decides first.
    fn cookies<'a>(self, head: &RequestHead<'a>, guard: &AuthGuard) -> Result<[Option<&'a str>; 2], AuthError> {
        let temporary = match self {
            Self::Access => None,
            Self::TemporaryToo => cookie_of(head, guard, &guard.cookies.temporary)?,
        };
        Ok([temporary, cookie_of(head, guard, &guard.cookies.access)?])
    }
}

fn cookie_of<'a>(head: &RequestHead<'a>, guard: &AuthGuard, name: &str) -> Result<Option<&'a str>, AuthError> {
    if !guard.sources.cookie {
        return Ok(None);
    }
    match cookie(head.cookies, name) {
        CookieLookup::Absent => Ok(None),
        CookieLookup::One(value) => Ok(Some(value)),
        CookieLookup::Several => Err(AuthError::AmbiguousCredentials),
    }
}

/// Rule 6: an unsafe request that authenticates by cookie must prove where it comes from. The token is that of the session of its credential.
///
/// # Errors
/// [`AuthError::CsrfRejected`].
pub fn check_origin(head: &RequestHead<'_>, guard: &AuthGuard, session: SessionId) -> Result<(), AuthError> {
    if head.is_safe() || head.fetch_site == Some("same-origin") {
        return Ok(());
    }
    let given = head.csrf_token.unwrap_or_default();
    let cross_site = matches!(head.fetch_site, Some("cross-site" | "same-site"));
    if !cross_site && guard.csrf.is_token_of(session, given) {
        Ok(())
    } else {
        Err(AuthError::CsrfRejected)
    }
}
