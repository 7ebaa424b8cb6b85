//! The ports of signing in: whole use cases, each one transaction of the store.

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use secrecy::SecretString;
use time::OffsetDateTime;

use crate::{
    guard::AuthGuard,
    identity::{Ban, IdentityVersion},
    key::PrincipalKey,
    name::{ModelName, TenantName},
    remember::{NewSeries, SeriesToken},
    session::{RefreshOutcome, SessionId, SessionState},
};

/// An account as signing in sees it: read from the database, never from a cache.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Whose it is.
    pub key: PrincipalKey,
    /// The stored hash in PHC format, if the account has a password.
    pub password_hash: Option<SecretString>,
}

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or failed; nothing was changed.
    #[error("the store failed: {0}")]
    Unavailable(String),
    /// The connection was lost while committing; whether the change holds is not known. A retry is safe.
    #[error("the outcome of the commit is not known: {0}")]
    CommitUnknown(String),
    /// The change is committed, and was not confirmed on every node in time.
    #[error("committed at position {position}, not yet confirmed on every node")]
    Pending {
        /// The position in the order of changes.
        position: i64,
    },
    /// What was asked contradicts what is stored: a name that is taken, a thing that is gone.
    #[error("{0}")]
    Refused(String),
    /// Policy lines name what would be renamed or deleted, and would mean something else afterwards; nothing was changed.
    #[error("policy lines name it; change or remove them first: {}", lines.join("; "))]
    NamedByPolicy {
        /// The lines, as in a file.
        lines: Vec<String>,
    },
    /// The caller lacks a right that the change requires; nothing was changed.
    #[error("{0} is missing")]
    MissingRight(Box<str>),
}

/// A session that is to be opened.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Through which guard.
    pub guard: Arc<AuthGuard>,
    /// For whom.
    pub key: PrincipalKey,
    /// Its id.
    pub id: SessionId,
    /// How it is opened: `password`.
    pub way: Cow<'static, str>,
    /// Whether a remember-me cookie opens it.
    pub remembered: bool,
    /// The password hash that was verified for it. If the account has another one by now, no session is opened and the answer is [`Opened::HashChanged`].
    pub verified_hash: Option<SecretString>,
    /// What the client calls its device, at most 200 characters.
    pub device_name: Option<String>,
    /// The keyed hash of the client's `deviceId`.
    pub device_hash: Option<Vec<u8>>,
    /// The session that was presented with the sign-in; it ends.
    pub replaces: Option<SessionId>,
    /// The tenant that its tokens are made for.
    pub tenant: SignInTenant,
    /// The remember-me series that begins with it.
    pub series: Option<NewSeries>,
    /// Now.
    pub now: OffsetDateTime,
}

/// Which tenant a sign-in is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SignInTenant {
    /// None.
    #[default]
    None,
    /// The one that the account's tenant column names; none, where there is no such column or it names none.
    OfAccount,
    /// This one: the account must belong to it.
    Named(TenantName),
}

/// What opening a session came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is open.
    Open {
        /// The identity's version with the session in it.
        version: IdentityVersion,
        /// The tenant that it is for.
        tenant: Option<TenantName>,
        /// The sessions that ended for it: the replaced one, the others of a unique guard, the oldest over the limit.
        ended: Vec<SessionId>,
        /// The first or the next token of its remember-me series, if it has one.
        series: Option<SeriesToken>,
    },
    /// The account is banned; no session was opened.
    Banned(Option<Ban>),
    /// The account's status neither bans nor lets in; no session was opened.
    Inactive,
    /// The guard requires a verified address, and the account's is not; no session was opened.
    Unverified,
    /// The account does not belong to the tenant that was named; no session was opened.
    NotInTenant(TenantName),
    /// The account has another hash than the one that was verified; no session was opened. Either its password was changed or the same password was
    /// hashed anew: only a new verification tells which.
    HashChanged,
    /// The account is gone.
    Gone,
}

/// A temporary identity: a sign-in whose credential was right, and which waits for its verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Temporary {
    /// The session that stands for it.
    pub id: SessionId,
    /// The identity's version with that session in it.
    pub version: IdentityVersion,
    /// The tenant that it is for.
    pub tenant: Option<TenantName>,
    /// When it runs out.
    pub expires_at: OffsetDateTime,
    /// Whether it was there already: another right attempt made it, and nothing of it is changed.
    pub was_there: bool,
}

/// What opening a temporary identity came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenedTemporary {
    /// It waits for its verification.
    Open(Temporary),
    /// The account is banned; nothing was opened.
    Banned(Option<Ban>),
    /// The account's status neither bans nor lets in; nothing was opened.
    Inactive,
    /// The guard requires a verified address, and the account's is not; nothing was opened.
    Unverified,
    /// The account does not belong to the tenant that was named; nothing was opened.
    NotInTenant(TenantName),
    /// The account has another hash than the one that was verified, as in [`Opened::HashChanged`]; nothing was opened.
    HashChanged,
    /// The account is gone.
    Gone,
}

/// A temporary identity that is to become permanent.
#[derive(Clone, Debug)]
pub struct Confirmation {
    /// At which guard.
    pub guard: Arc<AuthGuard>,
    /// The session that stands for the temporary identity; it ends.
    pub temporary: SessionId,
    /// The id of the session that comes of it.
    pub id: SessionId,
    /// Now.
    pub now: OffsetDateTime,
}

/// A refresh token that was presented, its keyed hash verified.
#[derive(Clone, Debug)]
pub struct RefreshRequest {
    /// At which guard.
    pub guard: Arc<AuthGuard>,
    /// The session that it names.
    pub session: SessionId,
    /// The generation that it names.
    pub generation: u32,
    /// The keyed hash of the `deviceId` presented with it.
    pub device_hash: Option<Vec<u8>>,
    /// Whether it came by cookie: then no lost answer is recovered.
    pub by_cookie: bool,
    /// Now.
    pub now: OffsetDateTime,
}

/// What a refresh came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// By the table of [`judge_refresh`](crate::judge_refresh).
    pub outcome: RefreshOutcome,
    /// What the tokens need, for the outcomes that give some.
    pub session: Option<SessionFacts>,
    /// The account is banned: no tokens, the session stays.
    pub banned: Option<Ban>,
    /// The account's status neither bans nor lets in: no tokens, the session stays.
    pub inactive: bool,
}

/// What tokens of a session need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// Whose session it is.
    pub key: PrincipalKey,
    /// The identity's version, read in the same transaction.
    pub version: IdentityVersion,
    /// The tenant that its tokens are made for.
    pub tenant: Option<TenantName>,
    /// When the refresh token that is given ends.
    pub refresh_ends: OffsetDateTime,
    /// The remember-me token that goes with it.
    pub series: Option<SeriesToken>,
}

/// Which sessions are to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndSessions {
    /// This one.
    One(SessionId),
    /// All of the principal.
    All,
    /// All of the principal but this one.
    Others(SessionId),
}

/// A session as its owner sees it in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEntry {
    /// Its id.
    pub id: SessionId,
    /// The guard.
    pub guard: String,
    /// The device's name.
    pub device_name: Option<String>,
    /// How it was opened.
    pub way: String,
    /// When it was opened.
    pub created_at: OffsetDateTime,
    /// When it was last used, at most 5 s late.
    pub last_used_at: OffsetDateTime,
}

/// A session as its row says, alive or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Whose session it is.
    pub key: PrincipalKey,
    /// The name of the guard that it was opened at.
    pub guard: String,
    /// The tenant that its tokens are made for.
    pub tenant: Option<TenantName>,
    /// What refresh is judged by.
    pub state: SessionState,
}

/// The store as signing in and out see it.
#[async_trait]
pub trait SignInStore: Send + Sync + std::fmt::Debug {
    /// The accounts of a model that have this identifier in one of its columns: usually one or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn credentials(&self, model: &ModelName, identifier: &str) -> Result<Vec<Credential>, StoreError>;

    /// The account of this key, as [`credentials`](Self::credentials) gives it; `None`: there is no such account.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn credential_of(&self, key: &PrincipalKey) -> Result<Option<Credential>, StoreError>;

    /// Some stored hashes of a model, the dearest among them as far as a bounded look at its table tells. It is asked when signing in begins, not by a sign-in.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn dear_hashes(&self, model: &ModelName) -> Result<Vec<SecretString>, StoreError> {
        let _ = model;
        Ok(Vec::new())
    }

    /// Replaces a password hash, if it is still the one that was read; `false`: somebody else changed it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn rehash(&self, key: &PrincipalKey, old: &SecretString, new: &SecretString) -> Result<bool, StoreError>;

    /// Opens a session. Ends what it replaces in the same transaction.
    ///
    /// # Errors
    /// [`StoreError`]; no session was opened unless it is `Pending` or `CommitUnknown`.
    async fn open_session(&self, session: &NewSession) -> Result<Opened, StoreError>;

    /// Opens what stands for a temporary identity until `expires_at`. It ends no session, not even the one that the sign-in replaces: that is done when it is confirmed.
    /// Where one waits for this principal, guard and tenant already, that one is given and stays as it is.
    ///
    /// # Errors
    /// As [`open_session`](Self::open_session).
    async fn open_temporary(
        &self,
        session: &NewSession,
        expires_at: OffsetDateTime,
    ) -> Result<OpenedTemporary, StoreError>;

    /// Ends what stands for a temporary identity and opens the session that comes of it, with the device of the attempt, in one transaction and once: of two calls at the
    /// same time one finds nothing any more. Asks for no password. `None`: none waits at this guard under this id, or its time is over; nothing was changed then, nor
    /// where the session cannot be opened.
    ///
    /// # Errors
    /// As [`open_session`](Self::open_session).
    async fn confirm_temporary(&self, order: &Confirmation) -> Result<Option<(PrincipalKey, Opened)>, StoreError>;

    /// Judges a refresh on the session row and carries it out, as one conditional statement.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn refresh(&self, request: &RefreshRequest) -> Result<Refreshed, StoreError>;

    /// Ends sessions of a principal at a guard (`None`: at every guard of its model). Gives those that were ended by this call; waits until no node
    /// lets their tokens through, also when there was nothing left to end.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn end_sessions(
        &self,
        key: &PrincipalKey,
        guard: Option<&AuthGuard>,
        which: &EndSessions,
        now: OffsetDateTime,
    ) -> Result<Vec<SessionId>, StoreError>;

    /// Whose session it is and whether it lives, read from the database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn session_owner(&self, session: SessionId) -> Result<Option<(PrincipalKey, bool)>, StoreError>;

    /// A session, read from the database; `None` if there is none, or if it stands for a temporary identity.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn session_record(&self, session: SessionId) -> Result<Option<SessionRecord>, StoreError>;

    /// The live sessions of a principal, the newest first, without those that stand for a temporary identity.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn sessions(&self, key: &PrincipalKey) -> Result<Vec<SessionEntry>, StoreError>;
}
