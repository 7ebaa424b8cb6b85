//! The vocabulary of Bekci, the ports through which it meets the outside, and [`Gate::admit`], which decides.
//!
//! This crate does no I/O and knows no framework. Everything that decides is pure and runs under a [`Clock`] that a test can turn.
//!
//! One request goes through four steps, and [`Gate::admit`] is their only caller:
//!
//! 1. [`GuardChain::authenticate`]: which guard of the route judges the credential, and are the token's signature and claims good?
//! 2. [`IdentitySource`]: who is that principal *now*, from memory if that can be trusted, else by one read of the database.
//! 3. [`principal::confirm`]: does the account exist, is the session live, is nothing banned, blocked or inactive?
//! 4. [`RouteRule::decide`]: does the principal hold what the route asks, in the tenant that is asked about?
//!
//! The answer is an [`Admission`] with a [`Permit`], which only this crate can make, or an [`AuthError`].

pub mod accounts;
mod authorize;
mod clock;
pub mod codes;
mod csrf;
mod error;
mod gate;
mod guard;
pub mod identifier;
mod identity;
pub mod idp;
pub mod invites;
mod key;
mod lasting;
mod limit;
pub mod mail;
mod meter;
mod name;
mod password;
mod path;
pub mod principal;
mod provider;
pub mod remember;
mod remembered;
mod request;
mod rights;
mod rule;
pub mod sealed;
mod secret;
pub mod security;
mod session;
pub mod signin;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod token;
mod weak;

pub use authorize::{AccessRequest, Authorizer, BrokenPolicy, Explained, Permit, PolicyCompiler, PolicyLine, Verdict};
pub use clock::{Clock, Entropy};
pub use csrf::CsrfKey;
pub use error::{AuthError, Challenge, ErrorCode};
pub use gate::{Admission, Claimed, Denial, Gate, GateParts};
pub use guard::{
    AnswerShape, AuthGuard, CookieNames, GuardChain, GuardOutcome, GuardSettingsError, Registering, SessionRules,
    TokenSources, Verification, check_guards, check_origin,
};
pub use identity::{Ban, Block, Identity, IdentityVersion, LiveSession, ScopedRights};
pub use key::{ANY_STATUS, IdKind, KeyError, ModelSpec, PrincipalId, PrincipalKey, RowFilter, RowFilterError};
pub use lasting::Lasting;
pub use limit::{
    BadRate, CountedBy, GuardLimits, Limit, LimitKey, LimiterUnavailable, Rate, RateLimiter, SLOT_LASTS, Settled, Slot,
};
pub use meter::{Decided, Meter, Outcome, Unmetered};
pub use name::{GuardName, IdpName, ModelName, NameError, Permission, RoleName, TenantName};
pub use password::HashScheme;
pub use path::{BadPath, canonical_path, is_canonical_path, is_encoded_twice, other_spelling};
pub use principal::{Principal, is_banned};
pub use provider::{Account, AccountsAsked, FindCredentials, ProviderUnavailable, UserProvider};
pub use remembered::Remembered;
pub use request::{AskedTenant, CookieLookup, HeaderCredential, RequestHead, cookie};
pub use rights::{Explanation, Held, RoleTable, RoleView};
pub use rule::{Consistency, RouteKind, RouteRule};
pub use secret::{Purpose, RootSecret, WeakSecret};
pub use session::{RefreshOutcome, RefreshRules, SessionId, SessionState, TEMPORARY, judge_refresh};
pub use token::{
    AccessClaims, BearerToken, Digits, IssueError, Standing, TokenFault, TokenId, TokenIssuer, TokenKind,
    TokenVerifier, VerifiedClaims,
};
pub use weak::guessable;

pub use identity::source::{IdentitySource, Need, SourceUnavailable, Stamp, Ticket, View, ViewSource};

/// For who implements a port of his own whose calls are asynchronous.
pub use async_trait::async_trait;

/// A boxed future that may move between threads: the return type of the ports that do I/O and must be usable as trait objects.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
