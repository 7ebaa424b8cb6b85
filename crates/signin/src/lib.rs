//! The ways in and out: a password opens a session, a refresh token carries it on, signing out ends it.
//!
//! Where a guard asks for a verification, the password opens a temporary identity first.
//!
//! [`SignIn`] is the whole of it. It knows the store, the issuer of tokens and the source of identities by their ports alone, and decides nothing that the
//! session row decides: what a refresh token means is judged where the row changes, by [`bekci_core::judge_refresh`].

mod attempt;
mod audit;
mod clients;
mod error;
mod generation_token;
mod keyed;
mod password;
mod refresh_token;
mod remember_token;
mod service;
mod stay_events;
mod verification_ref;

pub use attempt::{
    Granted, Identifier, IssueOrder, MAX_DEVICE_NAME_CHARS, MAX_IDENTIFIER_CHARS, PasswordAttempt, RefreshAttempt,
    RememberToken, SignedIn, SignedInBy, SignedOut, TemporarySignIn,
};
pub use clients::{ClientError, Clients};
pub use error::{AttemptResult, SignInError};
pub use keyed::{MAX_DEVICE_ID_CHARS, MIN_DEVICE_ID_CHARS, device_hash};
pub use password::{
    Argon2Cost, FirebaseParameters, FirebaseParametersError, HashError, HashSettings, HasherError, HasherStats,
    MAX_PASSWORD_CHARS, MIN_POLICY_CHARS, Origin, PasswordCheck, PasswordHasher, PasswordPolicy, VerifyFor,
    WeakPassword, WorkDone,
};
pub use refresh_token::{NotARefreshToken, RefreshTokens};
pub use remember_token::RememberTokens;
pub use service::{
    AccessSubject, AccountParts, Accounts, ActiveRefresh, CodeAttempt, CodeParts, ExternalAttempt, ExternalParts,
    ExternalSignIn, InviteOrder, IssuedAccess, PasswordChange, RecallAttempt, RegisterAttempt, RegisterOutcome,
    Requester, SignIn, SignInParts, StartedCode, VerificationAttempt,
};
