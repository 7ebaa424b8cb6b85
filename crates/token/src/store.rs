//! The directory of key files: `<keys_dir>/<guard>/<kid>.pem`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use bekci_core::{Clock, Entropy, GuardName};
use p256::pkcs8::SecretDocument;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use crate::{
    algorithm::Algorithm, error::KeyStoreError, key_file, key_id::KeyId, private_file, schedule, signing_key,
    signing_key::SigningKey,
};

/// Keys that verify no more are kept here, beside the others of their guard, for whoever has to answer what once signed.
const RETIRED: &str = "retired";

/// What a key does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum KeyStatus {
    /// It signs, and verifies.
    Signs,
    /// It is published and verifies; it signs from this moment on.
    Waits {
        /// The moment.
        #[serde(with = "time::serde::rfc3339")]
        until: OffsetDateTime,
    },
    /// A newer key signs; it verifies until it is retired.
    Verifies,
}

/// What there is to tell of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Its id.
    #[serde(serialize_with = "as_text")]
    pub kid: KeyId,
    /// Its guard.
    pub guard: GuardName,
    /// Its algorithm; `None` for a key made elsewhere, which is for the algorithm that its guard is configured with.
    pub algorithm: Option<Algorithm>,
    /// When it was made; 1970 for a key made elsewhere.
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// What it does now.
    #[serde(flatten)]
    pub status: KeyStatus,
}

fn as_text<S: serde::Serializer>(kid: &KeyId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kid.as_str())
}

/// A key that was read from its file.
#[derive(Debug)]
pub(crate) struct LoadedKey {
    pub(crate) kid: KeyId,
    pub(crate) created: OffsetDateTime,
    pub(crate) key: SigningKey,
}

/// What tells whether a directory of keys has changed, without reading a key.
pub(crate) type Fingerprint = Vec<(PathBuf, u64, Option<SystemTime>, u32)>;

/// The key files of all guards.
///
/// ```
/// use bekci_core::{Clock, GuardName};
/// use bekci_token::{Algorithm, KeyStore, OsEntropy};
/// # #[derive(Debug)] struct Fixed;
/// # impl Clock for Fixed {
/// #     fn now(&self) -> time::OffsetDateTime { time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000) }
/// #     fn uptime(&self) -> std::time::Duration { std::time::Duration::ZERO }
/// # }
/// # let clock = Fixed;
/// # let dir = std::env::temp_dir().join(format!("bekci-doc-keys-{}", std::process::id()));
/// let store = KeyStore::new(&dir);
/// let guard = GuardName::new("customer")?;
/// let made = store.ensure(&[(guard.clone(), Algorithm::EdDsa)], &clock, &OsEntropy)?;
/// assert_eq!(made.len(), 1);
/// assert!(store.ensure(&[(guard, Algorithm::EdDsa)], &clock, &OsEntropy)?.is_empty());
/// # std::fs::remove_dir_all(dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyStore {
    directory: PathBuf,
    activate_after: Duration,
}

/// A key file, read but not yet a key.
struct Found {
    kid: KeyId,
    path: PathBuf,
    preamble: key_file::Preamble,
    der: SecretDocument,
}

impl KeyStore {
    /// The store in this directory, which need not be there yet. New keys sign after 60 s.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            activate_after: Duration::seconds(60),
        }
    }

    /// The same, with another time from a key's making to its first signature (`token.activate_after_seconds`).
    #[must_use]
    pub fn activate_after(mut self, delay: Duration) -> Self {
        self.activate_after = delay;
        self
    }

    /// Makes a key for a guard, in a file of its own (mode 0600, in directories of mode 0700). Nothing that is there is overwritten.
    ///
    /// # Errors
    /// [`KeyStoreError`]; nothing was made.
    pub fn generate(
        &self,
        guard: &GuardName,
        algorithm: Algorithm,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<KeyInfo, KeyStoreError> {
        let derived = || KeyStoreError::Derived {
            guard: guard.clone(),
            algorithm,
        };
        let mut keys = self.found(guard)?;
        let now = clock.now().replace_nanosecond(0).unwrap_or(clock.now());
        // Later than every other one, so that which of two keys is newer never depends on their random ids.
        let newest = keys.last().map(|key| key.preamble.created + Duration::SECOND);
        let preamble = key_file::Preamble {
            algorithm: Some(algorithm),
            created: newest.map_or(now, |newest| newest.max(now)),
        };
        let der = signing_key::generate(algorithm, entropy)?.ok_or_else(derived)?;
        let kid = KeyId::random(entropy)?;
        let path = self.path(guard, &kid);
        let text = key_file::write(algorithm, preamble.created, &der)
            .map_err(|reason| KeyStoreError::bad_key(&path, reason))?;
        if !private_file::write_new(&path, text.as_bytes(), entropy)? {
            return Err(KeyStoreError::bad_key(&path, "a file of that name is there already"));
        }
        let made = Found {
            kid,
            path,
            preamble,
            der,
        };
        keys.push(made);
        let info = self.describe(guard, &keys, clock.now()).pop();
        info.ok_or_else(|| KeyStoreError::NoKeys(guard.clone()))
    }

    /// Makes a key for every guard that has none and needs one; gives what it made.
    ///
    /// # Errors
    /// [`KeyStoreError`]; the keys made before the failure stay.
    pub fn ensure(
        &self,
        guards: &[(GuardName, Algorithm)],
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Vec<KeyInfo>, KeyStoreError> {
        let mut made = Vec::new();
        for (guard, algorithm) in guards {
            if !algorithm.is_symmetric() && self.found(guard)?.is_empty() {
                made.push(self.generate(guard, *algorithm, clock, entropy)?);
            }
        }
        Ok(made)
    }

    /// The keys of a guard, oldest first.
    ///
    /// # Errors
    /// [`KeyStoreError`] where a file cannot be read or holds no key.
    pub fn list(&self, guard: &GuardName, clock: &dyn Clock) -> Result<Vec<KeyInfo>, KeyStoreError> {
        Ok(self.describe(guard, &self.found(guard)?, clock.now()))
    }

    /// Makes the next key of a guard. It is published and verifies at once, and signs when its time has come; the one before verifies until it is
    /// [retired](Self::retire). A guard's first key signs at once.
    ///
    /// # Errors
    /// [`KeyStoreError`]; nothing was made.
    pub fn rotate(
        &self,
        guard: &GuardName,
        algorithm: Algorithm,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<KeyInfo, KeyStoreError> {
        self.generate(guard, algorithm, clock, entropy)
    }

    /// Moves a key away, to `<keys_dir>/<guard>/retired/`: every token that it signed is refused from the moment that a node has read the directory again.
    ///
    /// # Errors
    /// [`KeyStoreError::UnknownKey`]; [`KeyStoreError::LastKey`] where the guard could sign no more; a failure of the file system. Nothing was moved.
    pub fn retire(&self, guards: &[GuardName], kid: &KeyId) -> Result<GuardName, KeyStoreError> {
        for guard in guards {
            let names = self.names(guard)?.keys;
            if !names.iter().any(|(name, _)| name == kid) {
                continue;
            }
            if names.len() == 1 {
                return Err(KeyStoreError::LastKey {
                    guard: guard.clone(),
                    kid: kid.clone(),
                });
            }
            let to = self
                .directory
                .join(guard.as_str())
                .join(RETIRED)
                .join(format!("{kid}.pem"));
            private_file::rename(&self.path(guard, kid), &to)?;
            return Ok(guard.clone());
        }
        Err(KeyStoreError::UnknownKey(kid.clone()))
    }

    fn path(&self, guard: &GuardName, kid: &KeyId) -> PathBuf {
        self.directory.join(guard.as_str()).join(format!("{kid}.pem"))
    }

    fn describe(&self, guard: &GuardName, keys: &[Found], now: OffsetDateTime) -> Vec<KeyInfo> {
        let created: Vec<OffsetDateTime> = keys.iter().map(|key| key.preamble.created).collect();
        keys.iter()
            .enumerate()
            .map(|(index, key)| KeyInfo {
                kid: key.kid.clone(),
                guard: guard.clone(),
                algorithm: key.preamble.algorithm,
                created: key.preamble.created,
                status: schedule::status(&created, index, now, self.activate_after),
            })
            .collect()
    }

    /// The guard's keys, oldest first: at least one, each for this algorithm.
    pub(crate) fn load(&self, guard: &GuardName, algorithm: Algorithm) -> Result<Vec<LoadedKey>, KeyStoreError> {
        let found = self.found(guard)?;
        if found.is_empty() {
            return Err(KeyStoreError::NoKeys(guard.clone()));
        }
        found
            .into_iter()
            .map(
                |Found {
                     kid,
                     path,
                     preamble,
                     der,
                 }| {
                    if let Some(other) = preamble.algorithm.filter(|named| *named != algorithm) {
                        return Err(KeyStoreError::WrongAlgorithm {
                            guard: guard.clone(),
                            kid,
                            found: other,
                            expected: algorithm,
                        });
                    }
                    let key = SigningKey::from_pkcs8(algorithm, &der)
                        .map_err(|reason| KeyStoreError::bad_key(&path, reason))?;
                    Ok(LoadedKey {
                        kid,
                        created: preamble.created,
                        key,
                    })
                },
            )
            .collect()
    }

    /// Oldest first. Files that came with one second are told apart by their names, so that every node has them in one order.
    fn found(&self, guard: &GuardName) -> Result<Vec<Found>, KeyStoreError> {
        let mut found = Vec::new();
        for (kid, path) in self.names(guard)?.keys {
            let bytes = private_file::read(&path)?;
            let (preamble, der) = key_file::read(&bytes).map_err(|reason| KeyStoreError::bad_key(&path, reason))?;
            found.push(Found {
                kid,
                path,
                preamble,
                der,
            });
        }
        found.sort_by(|one, other| (one.preamble.created, &one.kid).cmp(&(other.preamble.created, &other.kid)));
        Ok(found)
    }

    fn names(&self, guard: &GuardName) -> Result<Names, KeyStoreError> {
        let directory = self.directory.join(guard.as_str());
        let mut names = Names::default();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            Err(error) => return Err(KeyStoreError::io("read", &directory)(error)),
        };
        for entry in entries {
            let path = entry.map_err(KeyStoreError::io("read", &directory))?.path();
            match key_of(&path) {
                Some(kid) => names.keys.push((kid, path)),
                None if is_ours(&path) => {}
                None => names.ignored.push(path),
            }
        }
        names.keys.sort();
        Ok(names)
    }

    /// Names, sizes, times and permissions of the guards' key files.
    pub(crate) fn fingerprint<'a>(
        &self,
        guards: impl Iterator<Item = &'a GuardName>,
    ) -> Result<Fingerprint, KeyStoreError> {
        let mut fingerprint = Vec::new();
        for guard in guards {
            for (_, path) in self.names(guard)?.keys {
                let metadata = fs::metadata(&path).map_err(KeyStoreError::io("read", &path))?;
                fingerprint.push((path, metadata.len(), metadata.modified().ok(), mode(&metadata)));
            }
        }
        Ok(fingerprint)
    }

    /// Files in a guard's directory that are no keys by their name.
    pub(crate) fn ignored(&self, guard: &GuardName) -> Result<Vec<PathBuf>, KeyStoreError> {
        Ok(self.names(guard)?.ignored)
    }
}

#[derive(Default)]
struct Names {
    keys: Vec<(KeyId, PathBuf)>,
    ignored: Vec<PathBuf>,
}

fn key_of(path: &Path) -> Option<KeyId> {
    KeyId::parse(path.file_name()?.to_str()?.strip_suffix(".pem")?)
}

/// The retired keys, and files that are being written.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == RETIRED || (name.starts_with('.') && name.ends_with(".tmp"))
}

#[cfg(unix)]
fn mode(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions())
}

#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> u32 {
    0
}
