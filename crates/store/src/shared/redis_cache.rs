//! Entries in Redis, and the channel that announces changes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bekci_core::{Clock, Identity, IdentityVersion, PrincipalKey};
use hmac::{Hmac, Mac};
use redis::AsyncCommands;
use secrecy::{ExposeSecret, SecretBox};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::Sha256;

use super::{Label, Labelled, RedisSettings, SharedCacheError};
use crate::{
    compared::CachedEntry,
    node::Hint,
    redis_check::RedisProblem,
    redis_link::{Connection, RedisLink, ScanPlace},
};

/// The layout of an entry. One of another layout is no entry.
const SCHEMA: u32 = 2;
/// Longer values are not read as entries.
const MOST_BYTES: usize = 1 << 20;
const LEAVE_ALONE: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Entry<I> {
    key: String,
    version: u64,
    epoch: u64,
    database: i64,
    schema: u32,
    payload: I,
}

#[derive(Serialize, Deserialize)]
struct Sealed<E> {
    mac: String,
    entry: E,
}

/// What other nodes say.
pub(crate) struct Heard(redis::aio::PubSub);

impl Heard {
    /// The next hint; `None`: the connection is lost.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        use futures_util::StreamExt;
        let message = self.0.on_message().next().await?;
        Some(message.get_payload_bytes().to_vec())
    }
}

pub(crate) struct SharedCache {
    link: RedisLink,
    prefix: String,
    ttl: Duration,
    answer_within: Duration,
    seal: SecretBox<[u8; 32]>,
    clock: Arc<dyn Clock>,
    alone_until: AtomicU64,
}

impl std::fmt::Debug for SharedCache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SharedCache")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl SharedCache {
    pub(crate) fn new(
        settings: &RedisSettings,
        (ttl, answer_within): (Duration, Duration),
        seal: SecretBox<[u8; 32]>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SharedCacheError> {
        check_prefix(&settings.prefix)?;
        Ok(Self {
            link: RedisLink::new(settings, answer_within * 5, answer_within)?,
            prefix: settings.prefix.clone(),
            ttl,
            answer_within,
            seal,
            clock,
            alone_until: AtomicU64::new(0),
        })
    }

    fn name(&self, key: &PrincipalKey) -> String {
        format!("{}{key}", self.prefix)
    }

    fn channel(&self) -> String {
        format!("{}changes", self.prefix)
    }

    fn left_alone(&self) -> bool {
        nanos(self.clock.uptime()) < self.alone_until.load(Ordering::Relaxed)
    }

    fn leave_alone(&self, why: &dyn std::fmt::Display) {
        tracing::warn!(%why, "Redis does not answer; identities come from the database");
        self.alone_until
            .store(nanos(self.clock.uptime() + LEAVE_ALONE), Ordering::Relaxed);
    }

    /// Runs a command with a bound on its time; `None`, and a second of peace, where Redis does not answer.
    async fn ask<T, F>(&self, run: impl Fn(Connection) -> F) -> Option<T>
    where
        F: Future<Output = redis::RedisResult<T>>,
    {
        if self.left_alone() {
            return None;
        }
        let answer = tokio::time::timeout(self.answer_within * 2, self.link.run(run)).await;
        match answer {
            Ok(Ok(value)) => Some(value),
            // A key that holds something else is no entry; the server is well.
            Ok(Err(error))
                if error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::ResponseError)
                    || error.code() == Some("WRONGTYPE") =>
            {
                None
            }
            Ok(Err(error)) => {
                self.leave_alone(&error);
                None
            }
            Err(late) => {
                self.leave_alone(&late);
                None
            }
        }
    }

    /// Writes, reads and takes away an entry that is no identity's.
    ///
    /// # Errors
    /// Why identities cannot be shared.
    pub(crate) async fn try_out(&self) -> Result<(), RedisProblem> {
        let name = format!("{}@probe", self.prefix);
        let name = name.as_str();
        let trying = self.link.run(move |mut connection| async move {
            let (): () = connection.set_ex(name, "1", 10).await?;
            let _value: Option<Vec<u8>> = connection.get(name).await?;
            let (): () = connection.del(name).await?;
            Ok(())
        });
        let answer = tokio::time::timeout(self.answer_within * 10, trying).await;
        let answer = answer.map_err(|_| RedisProblem::late())?;
        answer.map_err(|error| RedisProblem::of(format!("GET, SETEX or DEL of keys {}*", self.prefix), &error))
    }

    /// Announces a change, and listens for one.
    ///
    /// # Errors
    /// Why changes are not announced.
    pub(crate) async fn try_hints(&self) -> Result<(), RedisProblem> {
        let trying = async {
            let mut heard = self.link.listen().await?;
            heard.subscribe(self.channel()).await?;
            let channel = self.channel();
            let channel = channel.as_str();
            let publish =
                move |mut connection: Connection| async move { connection.publish::<_, _, ()>(channel, "").await };
            self.link.run(publish).await
        };
        let answer = tokio::time::timeout(self.answer_within * 10, trying).await;
        let answer = answer.map_err(|_| RedisProblem::late())?;
        answer.map_err(|error| {
            RedisProblem::of(
                format!("PUBLISH or SUBSCRIBE of the channel {}", self.channel()),
                &error,
            )
        })
    }

    /// What stands under a principal's key, whether its seal fits or not.
    pub(crate) async fn peek(&self, key: &PrincipalKey) -> Result<Option<CachedEntry>, String> {
        let name = self.name(key);
        let name = name.as_str();
        let asking = self.link.run(move |mut connection| async move {
            let value: Option<Vec<u8>> = connection.get(name).await?;
            let ttl: i64 = connection.ttl(name).await?;
            Ok(value.map(|value| (value, ttl)))
        });
        let answer = tokio::time::timeout(self.answer_within * 5, asking).await;
        let answer = answer.map_err(|_| "Redis does not answer in time".to_owned())?;
        let found = answer.map_err(|error| error.to_string())?;
        Ok(found.map(|(value, ttl)| {
            let opened = self.open(key, &value);
            CachedEntry {
                bytes: value.len(),
                ttl_seconds: (ttl >= 0).then_some(ttl),
                database_epoch: opened.as_ref().map(|entry| entry.label.database),
                opened: opened.map(|entry| {
                    let identity = Arc::unwrap_or_clone(entry.identity);
                    (identity, entry.label.version, entry.label.epoch)
                }),
            }
        }))
    }

    /// Some of the principals that have an entry, and where to go on; `None`: these were the last.
    pub(crate) async fn names(
        &self,
        place: ScanPlace,
        page: usize,
    ) -> Result<(Option<ScanPlace>, Vec<PrincipalKey>), String> {
        let scanning = self.link.scan(place, format!("{}*", literal(&self.prefix)), page);
        let answer = tokio::time::timeout(self.answer_within * 5, scanning).await;
        let answer = answer.map_err(|_| "Redis does not answer in time".to_owned())?;
        let (next, names) =
            answer.map_err(|error| format!("Redis does not name its entries by SCAN (docs/redis-keys.md): {error}"))?;
        let keys = names.iter().filter_map(|name| name.strip_prefix(&self.prefix));
        Ok((next, keys.filter_map(|key| PrincipalKey::parse(key).ok()).collect()))
    }

    /// The entry of a principal, if there is one whose seal fits.
    pub(crate) async fn get(&self, key: &PrincipalKey) -> Option<Labelled> {
        let name = self.name(key);
        let name = name.as_str();
        let value: Option<Vec<u8>> = self
            .ask(move |mut connection| async move { connection.get(name).await })
            .await?;
        let value = value.filter(|value| value.len() <= MOST_BYTES)?;
        let opened = self.open(key, &value);
        if opened.is_none() {
            tracing::warn!(target: "bekci::audit", event = "cache.tampered", %key, "an entry of the shared cache was refused");
        }
        opened
    }

    /// Stores an identity under its label.
    pub(crate) async fn set(&self, identity: &Identity, label: Label) {
        let Some(value) = self.sealed(identity, label) else {
            return;
        };
        let (name, ttl) = (self.name(&identity.key), self.ttl.as_secs().max(1));
        let (name, value) = (name.as_str(), value.as_slice());
        let _stored: Option<()> = self
            .ask(move |mut connection| async move { connection.set_ex(name, value, ttl).await })
            .await;
    }

    /// Takes the entry of a principal away. Nothing rests on it: the next who asks loads the identity from the database.
    pub(crate) async fn forget(&self, key: &PrincipalKey) {
        let name = self.name(key);
        let name = name.as_str();
        let _gone: Option<()> = self
            .ask(move |mut connection| async move { connection.del(name).await })
            .await;
    }

    /// Tells the other nodes that there is something to see. They would find it by themselves.
    pub(crate) fn hint(&self, hint: Hint) {
        if self.left_alone() {
            return;
        }
        let Some(mut connection) = self.link.at_hand() else {
            return;
        };
        let channel = self.channel();
        tokio::spawn(async move {
            let _heard: redis::RedisResult<()> = connection.publish(channel, hint.payload()).await;
        });
    }

    /// A connection of its own that hears hints from now on.
    pub(crate) async fn listen(&self) -> redis::RedisResult<Heard> {
        let mut subscription = self.link.listen().await?;
        subscription.subscribe(self.channel()).await?;
        Ok(Heard(subscription))
    }

    fn mac(&self, entry: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.seal.expose_secret()).ok()?;
        // A prefix has no control characters: the zero byte ends it.
        mac.update(self.prefix.as_bytes());
        mac.update(&[0]);
        mac.update(entry);
        Some(mac)
    }

    pub(crate) fn sealed(&self, identity: &Identity, label: Label) -> Option<Vec<u8>> {
        let entry = Entry {
            key: identity.key.to_string(),
            version: label.version.0,
            epoch: label.epoch,
            database: label.database,
            schema: SCHEMA,
            payload: identity,
        };
        let entry = serde_json::to_string(&entry)
            .ok()
            .and_then(|text| RawValue::from_string(text).ok())?;
        let mac = URL_SAFE_NO_PAD.encode(self.mac(entry.get().as_bytes())?.finalize().into_bytes());
        serde_json::to_vec(&Sealed { mac, entry }).ok()
    }

    pub(crate) fn open(&self, key: &PrincipalKey, value: &[u8]) -> Option<Labelled> {
        let sealed: Sealed<Box<RawValue>> = serde_json::from_slice(value).ok()?;
        let mac = URL_SAFE_NO_PAD.decode(sealed.mac).ok()?;
        self.mac(sealed.entry.get().as_bytes())?.verify_slice(&mac).ok()?;
        let entry: Entry<Identity> = serde_json::from_str(sealed.entry.get()).ok()?;
        let fits = entry.schema == SCHEMA && entry.key == key.as_str() && entry.payload.key == *key;
        fits.then(|| Labelled {
            identity: Arc::new(entry.payload),
            label: Label {
                version: IdentityVersion(entry.version),
                epoch: entry.epoch,
                database: entry.database,
            },
        })
    }
}

/// Braces name the slot of a Redis Cluster; the rest would need quoting in every tool.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), SharedCacheError> {
    let bad = |c: char| matches!(c, '{' | '}' | ' ') || c.is_control();
    if prefix.chars().any(bad) {
        return Err(SharedCacheError::Prefix);
    }
    Ok(())
}

/// A pattern of Redis that stands for this text alone.
fn literal(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            matches!(c, '*' | '?' | '[' | ']' | '^' | '\\')
                .then_some('\\')
                .into_iter()
                .chain([c])
        })
        .collect()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
