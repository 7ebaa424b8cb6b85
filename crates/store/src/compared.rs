//! An identity as the shared cache has it beside the database's, for those who look.

use bekci_core::{Identity, IdentityVersion, PrincipalKey, signin::StoreError};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use crate::{Store, load, sql::statement};

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

/// An identity, twice.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Whether there is a shared cache.
    pub shared: bool,
    /// What the shared cache has.
    pub entry: Option<CachedEntry>,
    /// What the database has.
    pub truth: Identity,
    /// The database's version of it.
    pub version: IdentityVersion,
    /// The database's version of everything.
    pub epoch: u64,
    /// The epoch of the database.
    pub database_epoch: i64,
}

impl Store {
    /// Reads an identity from the database and from the shared cache, and uses and changes neither. The cache is asked first, so that an entry which is written in
    /// between does not seem to be ahead.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where one of them cannot be asked.
    pub async fn compare(&self, key: &PrincipalKey) -> Result<Compared, StoreError> {
        let unavailable = |error: DbErr| StoreError::Unavailable(error.to_string());
        let entry = match self.node.shared() {
            Some(shared) => shared.peek(key).await.map_err(StoreError::Unavailable)?,
            None => None,
        };
        let snapshot = self.node.snapshot().await.map_err(unavailable)?;
        let read = self.read_with_versions(&snapshot, key).await;
        // A snapshot has nothing to commit; one that cannot be closed goes with its connection.
        let _closed = snapshot.rollback().await;
        let (truth, version, epoch, database_epoch) = read.map_err(unavailable)?;
        Ok(Compared {
            shared: self.node.shared().is_some(),
            entry,
            truth,
            version: IdentityVersion(version),
            epoch,
            database_epoch,
        })
    }

    async fn read_with_versions(
        &self,
        snapshot: &DatabaseTransaction,
        key: &PrincipalKey,
    ) -> Result<(Identity, u64, u64, i64), DbErr> {
        let sql = "SELECT key, version FROM identity_versions WHERE key IN ($1, '@all') \
                   UNION ALL SELECT '', value FROM coherence_meta WHERE name = 'epoch'";
        let asked = statement(self.node.backend(), sql, [key.as_str().into()]);
        let (mut version, mut epoch, mut database) = (0, 0, 0);
        for row in snapshot.query_all_raw(asked).await? {
            let name: String = row.try_get("", "key")?;
            let value: i64 = row.try_get("", "version")?;
            if name.is_empty() {
                database = value;
                continue;
            }
            let value = u64::try_from(value).unwrap_or_default();
            match name.as_str() {
                "@all" => epoch = value,
                _ => version = value,
            }
        }
        let identity = load::identity(&self.node, snapshot, key).await?;
        Ok((identity, version, epoch, database))
    }
}
