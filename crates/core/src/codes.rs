//! Sign-in by a mailed secret, and the port of the store that keeps it.
//!
//! 1. A mail carries a one-time code, a link, or both. They belong to one row, so using one of them uses up the other.
//! 2. A row is bound to its reference, its guard and its address. It holds keyed hashes. An unknown address has a row too, whose hashes nothing matches.
//! 3. One conditional statement counts a try before anything is compared. So parallel calls never get more tries than the guard allows.
//! 4. One conditional statement spends the row, in the transaction that opens the session. Of any number of calls at once one succeeds.
//! 5. The code of a temporary identity is a row of the same kind. Its reference is the session that stands for the identity.

use std::{borrow::Cow, fmt, sync::Arc};

use async_trait::async_trait;
use time::OffsetDateTime;

use crate::{
    accounts::{CodeProof, NewCode},
    guard::AuthGuard,
    key::PrincipalKey,
    mail::{EmailAddress, Mail},
    name::ModelName,
    remember::NewSeries,
    session::SessionId,
    signin::{Confirmation, NewSession, Opened, OpenedTemporary, SignInTenant, StoreError},
    token::TokenId,
};

/// The bytes of one keyed hash. A row holds two: of the code, and of the secret of the link.
pub const CODE_HASH_BYTES: usize = 32;

/// Which ways to sign in a guard offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignInWays {
    /// By identifier and password.
    pub password: bool,
    /// By a one-time code that is mailed.
    pub email_otp: bool,
    /// By a link that is mailed.
    pub email_link: bool,
}

impl SignInWays {
    /// Whether a mail can sign in.
    #[must_use]
    pub fn by_mail(self) -> bool {
        self.email_otp || self.email_link
    }
}

impl Default for SignInWays {
    /// By password alone.
    fn default() -> Self {
        Self {
            password: true,
            email_otp: false,
            email_link: false,
        }
    }
}

/// The rules of a guard's one-time codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtpRules {
    /// The digits of a code, 6 to 10.
    pub length: u32,
    /// How long a code is valid.
    pub ttl: time::Duration,
    /// How often a code can be tried.
    pub tries: u32,
}

impl Default for OtpRules {
    /// 6 digits, 180 s, 5 tries.
    fn default() -> Self {
        Self {
            length: 6,
            ttl: time::Duration::seconds(180),
            tries: 5,
        }
    }
}

/// Whose secret it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeOwner {
    /// An account has the address.
    Account(PrincipalKey),
    /// No account has it, or several have. The keyed hash stands for the address.
    Address(ModelName, TokenId),
}

/// A secret that signs in, before it is kept.
#[derive(Clone, Debug)]
pub struct NewSignInCode {
    /// The row. Its hash is the one of the code, then the one of the link; see [`CODE_HASH_BYTES`].
    pub code: NewCode,
    /// Whose it is. Older secrets of the same purpose and owner end.
    pub owner: CodeOwner,
    /// The mail; `None`: no mail is sent, and the hashes are random.
    pub mail: Option<Mail>,
}

/// A row as it was found by its reference, whether it is still good or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCode {
    /// The address that it is bound to.
    pub address: EmailAddress,
    /// The account, if it was opened for one.
    pub account: Option<PrincipalKey>,
}

/// What a try came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeTry {
    /// The secret matches. The row is not spent yet.
    Right,
    /// It does not match; the try counts.
    Wrong,
    /// There is no such row, it is spent or replaced, or its tries are used up. Nothing was compared.
    Dead,
    /// Its time is over. Nothing was compared.
    Expired,
}

/// How a sign-in by a mailed secret, or by an identity provider, enters.
#[derive(Clone)]
pub struct Entrance {
    /// Through which guard.
    pub guard: Arc<AuthGuard>,
    /// The id of the session, or of what stands for the temporary identity.
    pub id: SessionId,
    /// `email_otp`, `email_link`, or the name of an identity provider.
    pub way: Cow<'static, str>,
    /// What the client calls its device.
    pub device_name: Option<String>,
    /// The keyed hash of the client's `deviceId`.
    pub device_hash: Option<Vec<u8>>,
    /// The session that was presented with the sign-in; it ends.
    pub replaces: Option<SessionId>,
    /// The tenant that its tokens are made for.
    pub tenant: SignInTenant,
    /// Until when it waits for a further verification; `None`: it opens a session.
    pub waits_until: Option<OffsetDateTime>,
    /// Whether an account is made for an address that no account has.
    pub makes_account: bool,
    /// The remember-me series that begins with it.
    pub series: Option<NewSeries>,
    /// Now.
    pub now: OffsetDateTime,
}

impl fmt::Debug for Entrance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Entrance")
            .field("guard", &self.guard.name)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

impl Entrance {
    /// The session for an account.
    #[must_use]
    pub fn session(&self, key: PrincipalKey) -> NewSession {
        NewSession {
            guard: Arc::clone(&self.guard),
            key,
            id: self.id,
            way: self.way.clone(),
            remembered: false,
            verified_hash: None,
            device_name: self.device_name.clone(),
            device_hash: self.device_hash.clone(),
            replaces: self.replaces,
            tenant: self.tenant.clone(),
            series: self.series,
            now: self.now,
        }
    }
}

/// What spending a secret came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// It is spent and the session is open; or the account has no session, and the secret is not spent.
    Session(PrincipalKey, Opened),
    /// The same for a temporary identity.
    Waiting(PrincipalKey, OpenedTemporary),
    /// The temporary identity of the code has ended.
    Ended,
    /// It is not good: spent meanwhile, expired, its account is gone or has another address, or no account may be made.
    Dead,
    /// Another account got the address or the user name meanwhile; the secret is not spent.
    Taken,
    /// The table of accounts refuses the new account; the secret is not spent.
    Refused(String),
}

/// The code of a temporary identity, before the address is known that it is mailed to.
pub trait VerificationCode: Send + Sync {
    /// The row and the mail for this address. The code expires at `ends` at the latest, when the temporary identity does.
    fn to(&self, address: &EmailAddress, ends: OffsetDateTime) -> (NewCode, Mail);
}

/// The store as sign-in by mail sees it.
#[async_trait]
pub trait CodeStore: Send + Sync + fmt::Debug {
    /// Keeps a secret and queues its mail.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn open_sign_in(&self, order: &NewSignInCode) -> Result<(), StoreError>;

    /// The row of a reference, for its purpose and guard.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn find_code(&self, proof: &CodeProof) -> Result<Option<FoundCode>, StoreError>;

    /// Counts a try if the row has less than `most`, and compares in constant time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn try_code(&self, proof: &CodeProof, most: u32) -> Result<CodeTry, StoreError>;

    /// Spends a secret that [`try_code`](Self::try_code) found right, and opens the session, in one transaction. An address that was not verified is verified by it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn redeem(&self, proof: &CodeProof, entrance: &Entrance) -> Result<Redeemed, StoreError>;

    /// Opens a temporary identity and mails its code, in one transaction. One that waits already is returned, and no mail is sent.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn open_temporary(
        &self,
        session: &NewSession,
        expires_at: OffsetDateTime,
        code: &dyn VerificationCode,
    ) -> Result<OpenedTemporary, StoreError>;

    /// Replaces the code of a temporary identity. `false`: the temporary identity has ended, or never had a code.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn resend(&self, proof: &CodeProof, code: &dyn VerificationCode) -> Result<bool, StoreError>;

    /// Spends the code of a temporary identity that [`try_code`](Self::try_code) found right, and makes the identity permanent, in one transaction. An address that was not
    /// verified is verified by it, except at a guard that requires a verified address.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn confirm(&self, proof: &CodeProof, order: &Confirmation) -> Result<Redeemed, StoreError>;
}
