//! A cached identity beside the database's: for those who look at one, and for the search for drift.
//!
//! Drift is an entry that has the label of the database and another content: somebody changed the database past its triggers. Nodes use such an entry. It must never be
//! there, and a false alarm must not be either:
//!
//! 1. The entry is taken first, then label and identity are read from the database, of one moment. A change in between gives another label.
//! 2. Where a row of the outbox that names the key has no number yet, the label says nothing.
//! 3. A session that is over by the clock is in no identity that is loaded now, and may be in one that was loaded before.

use bekci_core::{Identity, IdentityVersion, PrincipalKey, SessionId, signin::StoreError};
use sea_orm::{ConnectionTrait, DbErr};

use crate::{Store, load, node::Node, shared::Label, sql::statement};

/// An entry of the shared cache.
#[derive(Clone, Debug)]
pub struct CachedEntry {
    /// How long its text is.
    pub bytes: usize,
    /// When it goes by itself.
    pub ttl_seconds: Option<i64>,
    /// What it holds, with its label: version and epoch. `None`: its seal does not fit, and no node uses it.
    pub opened: Option<(Identity, IdentityVersion, u64)>,
    /// The epoch of the database that it was loaded from.
    pub database_epoch: Option<i64>,
}

/// What an entry of a cache is, beside the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// It has the database's label and content.
    Agrees,
    /// It is of another epoch of the database, before it was restored. No node uses it.
    OtherEpoch,
    /// It has another version than the database. No node uses it.
    OtherVersion,
    /// A change from outside has no number yet, so that no version says what the database holds. No node uses it now.
    Changing,
    /// It has the database's label and another content.
    Drifts,
}

/// An identity, twice.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Whether there is a shared cache.
    pub shared: bool,
    /// What the shared cache has.
    pub entry: Option<CachedEntry>,
    /// What the entry is, if its seal fits.
    pub agreement: Option<Agreement>,
    /// What the database has.
    pub truth: Identity,
    /// The database's version of it.
    pub version: IdentityVersion,
    /// The database's version of everything.
    pub epoch: u64,
    /// The epoch of the database.
    pub database_epoch: i64,
}

/// What the database says of a principal, all of one moment.
#[derive(Debug)]
pub(crate) struct Truth {
    identity: Identity,
    label: Label,
    /// Whether a change of it has no number yet.
    is_changing: bool,
    /// Its sessions that nobody ended and that are over by the clock.
    over: Vec<SessionId>,
}

impl Truth {
    /// What an entry with this label is.
    pub(crate) fn judge(&self, cached: &Identity, label: Label) -> Agreement {
        if label.database != self.label.database {
            Agreement::OtherEpoch
        } else if label != self.label {
            Agreement::OtherVersion
        } else if self.is_changing {
            Agreement::Changing
        } else if *cached == self.identity || self.without_over(cached) == self.without_over(&self.identity) {
            Agreement::Agrees
        } else {
            Agreement::Drifts
        }
    }

    fn without_over(&self, identity: &Identity) -> Identity {
        let mut identity = identity.clone();
        let live = identity
            .sessions
            .iter()
            .filter(|session| !self.over.contains(&session.id));
        identity.sessions = live.cloned().collect();
        identity
    }
}

impl Store {
    /// Reads an identity from the database and from the shared cache, and uses and changes neither.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where one of them cannot be asked.
    pub async fn compare(&self, key: &PrincipalKey) -> Result<Compared, StoreError> {
        let entry = match self.node.shared() {
            Some(shared) => shared.peek(key).await.map_err(StoreError::Unavailable)?,
            None => None,
        };
        let truth = self.node.truth(key).await;
        let truth = truth.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let agreement = entry
            .as_ref()
            .and_then(CachedEntry::labelled)
            .map(|(identity, label)| truth.judge(identity, label));
        Ok(Compared {
            shared: self.node.shared().is_some(),
            entry,
            agreement,
            truth: truth.identity,
            version: truth.label.version,
            epoch: truth.label.epoch,
            database_epoch: truth.label.database,
        })
    }
}

impl CachedEntry {
    /// The identity under its label, if its seal fits.
    pub(crate) fn labelled(&self) -> Option<(&Identity, Label)> {
        let (identity, version, epoch) = self.opened.as_ref()?;
        let label = Label {
            version: *version,
            epoch: *epoch,
            database: self.database_epoch?,
        };
        Some((identity, label))
    }
}

impl Node {
    /// Reads what the database says of a principal.
    pub(crate) async fn truth(&self, key: &PrincipalKey) -> Result<Truth, DbErr> {
        let snapshot = self.snapshot().await?;
        let read = self.truth_within(&snapshot, key).await;
        // A snapshot has nothing to commit; one that cannot be closed goes with its connection.
        let _closed = snapshot.rollback().await;
        read
    }

    async fn truth_within<C: ConnectionTrait>(&self, snapshot: &C, key: &PrincipalKey) -> Result<Truth, DbErr> {
        let sql = "SELECT key, version, 0 AS kind FROM identity_versions WHERE key IN ($1, '@all') \
                   UNION ALL SELECT name, value, 1 FROM coherence_meta WHERE name = 'epoch' \
                   UNION ALL SELECT key, 0, 2 FROM identity_outbox WHERE key IN ($1, '@all') AND position IS NULL";
        let asked = statement(self.backend(), sql, [key.as_str().into()]);
        let mut label = Label {
            version: IdentityVersion(0),
            epoch: 0,
            database: 0,
        };
        let mut is_changing = false;
        for row in snapshot.query_all_raw(asked).await? {
            let name: String = row.try_get("", "key")?;
            let value: i64 = row.try_get("", "version")?;
            let version = u64::try_from(value).unwrap_or_default();
            match row.try_get::<i32>("", "kind")? {
                0 if name == "@all" => label.epoch = version,
                0 => label.version = IdentityVersion(version),
                1 => label.database = value,
                _ => is_changing = true,
            }
        }
        Ok(Truth {
            identity: load::identity(self, snapshot, key).await?,
            label,
            is_changing,
            over: load::sessions_over(self, snapshot, key).await?,
        })
    }
}
