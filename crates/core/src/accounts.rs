//! What people do with their own accounts, and the port of the store that keeps it: each use case is one transaction.
//!
//! 1. A link in a mail carries the reference of a row and a secret. The row holds a keyed hash of the secret, so that a dump of the database opens nothing.
//! 2. A secret is spent by one conditional statement, in the transaction of what it allows: of any number of calls at once one succeeds.
//! 3. A newer link for the same purpose and account ends the older ones. So does a new password or address.

use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    invites::InvitedTo,
    key::PrincipalKey,
    mail::{EmailAddress, Mail},
    name::{GuardName, ModelName},
    session::SessionId,
    signin::StoreError,
    token::TokenId,
};

/// What a secret in a mail allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodePurpose {
    /// Confirms the address of an account.
    VerifyAddress,
    /// Makes an address the one of an account.
    ChangeAddress,
    /// Sets a new password.
    ResetPassword,
    /// Signs in.
    SignIn,
    /// Makes a temporary identity permanent.
    Verification,
    /// Gives a role to an account.
    Invite,
}

impl CodePurpose {
    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifyAddress => "verify_address",
            Self::ChangeAddress => "change_address",
            Self::ResetPassword => "reset_password",
            Self::SignIn => "sign_in",
            Self::Verification => "verification",
            Self::Invite => "invite",
        }
    }
}

/// What a row of a secret carries, sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeAbout {
    /// The address that the mail goes to.
    pub address: EmailAddress,
    /// The session in which it was requested.
    pub session: Option<SessionId>,
    /// What an invitation gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<InvitedTo>,
}

impl fmt::Debug for CodeAbout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CodeAbout(..)")
    }
}

/// A secret that is to be mailed.
#[derive(Clone, Debug)]
pub struct NewCode {
    /// Its reference.
    pub id: TokenId,
    /// What it allows.
    pub purpose: CodePurpose,
    /// At which guard.
    pub guard: GuardName,
    /// The keyed hash of the secret.
    pub hash: Vec<u8>,
    /// What it is about.
    pub about: CodeAbout,
    /// When it expires.
    pub expires_at: OffsetDateTime,
    /// Now.
    pub now: OffsetDateTime,
}

/// A secret that was presented.
#[derive(Clone, Debug)]
pub struct CodeProof {
    /// The reference.
    pub id: TokenId,
    /// What it is to allow.
    pub purpose: CodePurpose,
    /// At which guard.
    pub guard: GuardName,
    /// The keyed hash of what was presented.
    pub hash: Vec<u8>,
    /// Now.
    pub now: OffsetDateTime,
}

/// An account with its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// Whose it is.
    pub key: PrincipalKey,
    /// Its address, if it has one that can be sent to.
    pub address: Option<EmailAddress>,
    /// Whether the address is verified; true where the model has no such column.
    pub verified: bool,
}

/// An account that is to be made.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its model.
    pub model: ModelName,
    /// Its address.
    pub address: EmailAddress,
    /// Further columns and their values.
    pub attributes: Vec<(String, serde_json::Value)>,
    /// The hash of its password.
    pub password_hash: SecretString,
    /// What confirms its address, with the mail that carries it.
    pub confirmation: Option<(NewCode, Mail)>,
}

/// A new password.
#[derive(Clone, Debug)]
pub struct NewPassword {
    /// Its hash.
    pub hash: SecretString,
    /// The hash that was verified for the change. The change fails if the account has another one by now.
    pub verified: Option<SecretString>,
}

/// A change of one's own account.
#[derive(Clone, Debug)]
pub enum OwnChange {
    /// Attributes get other values.
    Attributes(Vec<(String, serde_json::Value)>),
    /// A new password by the one before, or by a fresh sign-in if there was none. It ends every session but this one, and every link.
    Password(NewPassword, SessionId),
    /// A new password by a link. It ends every session and every link. The address that the link went to is verified by it, if it is still the account's.
    ResetPassword(CodeProof, SecretString),
    /// The address that a link went to is verified, if it is still the account's.
    VerifyAddress(CodeProof),
    /// The address that a link went to becomes the account's, verified. It ends every link, and every session but the one in which it was requested.
    ChangeAddress(CodeProof),
}

/// What a change of one's own account came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnChanged {
    /// It is done.
    Done {
        /// Whose account it is.
        key: PrincipalKey,
        /// The sessions that it ended.
        ended: Vec<SessionId>,
        /// The position in the order of changes, if it is not confirmed on every node yet.
        pending: Option<i64>,
    },
    /// The secret is not good: unknown, spent, replaced, expired, or of another guard or purpose. Nothing was changed.
    CodeInvalid,
    /// The account has another password than the one that was verified.
    HashChanged,
    /// Another account has the address.
    Taken,
    /// The account is gone.
    Gone,
    /// A value that the table refuses; it does not tell the value.
    Refused(String),
}

/// What a registration came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The account is made.
    Made(PrincipalKey),
    /// Another account has the address.
    Taken,
    /// A value that the table refuses.
    Refused(String),
}

/// The store as people's own accounts see it.
#[async_trait]
pub trait AccountStore: Send + Sync + fmt::Debug {
    /// The accounts that a text identifies, with their addresses.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn addressees(&self, model: &ModelName, identifier: &str) -> Result<Vec<Addressee>, StoreError>;

    /// An account with its address; `None`: there is no such account.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn addressee(&self, key: &PrincipalKey) -> Result<Option<Addressee>, StoreError>;

    /// Makes an account, with the mail that confirms its address.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn register(&self, order: &Registration) -> Result<Registered, StoreError>;

    /// Keeps a secret and queues its mail. Older ones of the same purpose and account end.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn open_code(&self, key: &PrincipalKey, code: &NewCode, mail: &Mail) -> Result<(), StoreError>;

    /// The newest live secret of a purpose and account; what it is about.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn waiting(
        &self,
        key: &PrincipalKey,
        purpose: CodePurpose,
        now: OffsetDateTime,
    ) -> Result<Option<CodeAbout>, StoreError>;

    /// What a secret is about, if it is good now. It is not spent by this.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn is_live(&self, proof: &CodeProof) -> Result<Option<CodeAbout>, StoreError>;

    /// Queues a mail that stands for itself.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn queue(&self, mail: &Mail) -> Result<(), StoreError>;

    /// Changes an account, with the mails that tell its owner; `key` is that of who is signed in, and that of the secret where there is one. A change that ends sessions is in
    /// force on every node when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn change_own(
        &self,
        key: Option<&PrincipalKey>,
        change: &OwnChange,
        notices: &dyn Notices,
    ) -> Result<OwnChanged, StoreError>;
}

/// The mails that tell of a change.
pub trait Notices: Send + Sync {
    /// The mail to an account that was changed, as it was before the change; `None`: none is sent.
    fn of(&self, before: &Addressee, new_address: Option<&EmailAddress>) -> Option<Mail>;
}
