//! One reading of settings and keys. It is never changed; a ring exchanges it for the next.

use std::collections::HashMap;

use bekci_core::{GuardName, TokenFault};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

use crate::{
    cache::TokenCache,
    error::RingError,
    key_id::KeyId,
    ring::{RingGuard, RingSettings},
    schedule,
    signing_key::{PublicKey, SigningKey},
    store::{Fingerprint, KeyStore, LoadedKey},
};

/// HS512 asks for a key as long as its hash (RFC 7518 section 3.2).
const MIN_JWT_SECRET: usize = 64;

/// A guard with its keys, oldest first; at least one.
#[derive(Debug)]
pub(super) struct GuardKeys {
    pub(super) guard: RingGuard,
    pub(super) keys: Vec<LoadedKey>,
}

/// All guards with their keys, and the tokens that were verified by them.
#[derive(Debug)]
pub(super) struct RingState {
    pub(super) settings: RingSettings,
    pub(super) guards: Vec<GuardKeys>,
    /// Where each key is: the guard's place, the key's among the guard's.
    by_kid: HashMap<KeyId, (usize, usize)>,
    pub(super) cache: TokenCache,
    pub(super) fingerprint: Fingerprint,
}

impl RingState {
    pub(super) fn load(settings: RingSettings) -> Result<Self, RingError> {
        check(&settings)?;
        let store = KeyStore::new(&settings.keys_dir);
        // Taken before the keys are read: what comes in between is seen as a change.
        let fingerprint = fingerprint(&settings)?;
        let mut guards = Vec::new();
        for guard in &settings.guards {
            let keys = if guard.algorithm.is_symmetric() {
                vec![derived(guard, settings.jwt_secret.as_ref())?]
            } else {
                for path in store.ignored(&guard.name)? {
                    tracing::warn!(guard = %guard.name, path = %path.display(), "not the name of a key file: ignored");
                }
                store.load(&guard.name, guard.algorithm)?
            };
            guards.push(GuardKeys {
                guard: guard.clone(),
                keys,
            });
        }
        check_keys(&guards)?;
        let by_kid = index(&guards)?;
        Ok(Self {
            cache: TokenCache::new(settings.cache_capacity),
            settings,
            guards,
            by_kid,
            fingerprint,
        })
    }

    /// The key with this id, and its guard.
    pub(super) fn key(&self, kid: &str) -> Option<(&RingGuard, &LoadedKey)> {
        let (guard, key) = self.by_kid.get(kid)?;
        let guard = self.guards.get(*guard)?;
        Some((&guard.guard, guard.keys.get(*key)?))
    }

    /// The same, where the key is this guard's.
    pub(super) fn key_of(&self, guard: &GuardName, kid: &str) -> Result<(&RingGuard, &LoadedKey), TokenFault> {
        let (owner, key) = self.key(kid).ok_or(TokenFault::UnknownKey)?;
        if owner.name == *guard {
            Ok((owner, key))
        } else {
            Err(TokenFault::OtherGuard)
        }
    }

    /// The guard and the key that signs for it now.
    pub(super) fn signer(&self, guard: &GuardName, now: OffsetDateTime) -> Option<(&RingGuard, &LoadedKey)> {
        let guard = self.guards.iter().find(|keys| keys.guard.name == *guard)?;
        let created = guard.keys.iter().map(|key| key.created);
        let at = schedule::signer(created, now, self.settings.activate_after);
        Some((&guard.guard, guard.keys.get(at)?))
    }
}

/// What the key files look like now.
pub(super) fn fingerprint(settings: &RingSettings) -> Result<Fingerprint, RingError> {
    let guards = settings.guards.iter().filter(|guard| !guard.algorithm.is_symmetric());
    let store = KeyStore::new(&settings.keys_dir);
    Ok(store.fingerprint(guards.map(|guard| &guard.name))?)
}

fn check(settings: &RingSettings) -> Result<(), RingError> {
    if settings.issuer.is_empty() {
        return Err(RingError::NoIssuer);
    }
    if settings.guards.is_empty() {
        return Err(RingError::NoGuards);
    }
    let mut names = HashMap::new();
    let mut audiences = HashMap::new();
    for guard in &settings.guards {
        if guard.audience.is_empty() {
            return Err(RingError::NoAudience(guard.name.clone()));
        }
        once(&mut names, guard.name.as_str(), &guard.name, "name")?;
        once(&mut audiences, guard.audience.as_str(), &guard.name, "audience")?;
    }
    Ok(())
}

/// A key that two guards had would let the one's tokens pass for the other's.
fn check_keys(guards: &[GuardKeys]) -> Result<(), RingError> {
    let mut seen: Vec<(&PublicKey, &GuardName)> = Vec::new();
    for (guard, key) in each_key(guards) {
        let Some(public) = key.key.public() else { continue };
        match seen
            .iter()
            .find(|(other, owner)| *other == public && **owner != guard.name)
        {
            Some((_, first)) => {
                return Err(RingError::Shared {
                    first: (*first).clone(),
                    second: guard.name.clone(),
                    what: "key",
                });
            }
            None => seen.push((public, &guard.name)),
        }
    }
    Ok(())
}

fn each_key(guards: &[GuardKeys]) -> impl Iterator<Item = (&RingGuard, &LoadedKey)> {
    guards
        .iter()
        .flat_map(|guard| guard.keys.iter().map(move |key| (&guard.guard, key)))
}

fn index(guards: &[GuardKeys]) -> Result<HashMap<KeyId, (usize, usize)>, RingError> {
    let mut owners = HashMap::new();
    for (guard, key) in each_key(guards) {
        once(&mut owners, key.kid.as_str(), &guard.name, "kid")?;
    }
    let places = guards.iter().enumerate().flat_map(|(guard, keys)| {
        let kids = keys.keys.iter().enumerate();
        kids.map(move |(key, loaded)| (loaded.kid.clone(), (guard, key)))
    });
    Ok(places.collect())
}

fn once<'a>(
    seen: &mut HashMap<&'a str, &'a GuardName>,
    value: &'a str,
    guard: &'a GuardName,
    what: &'static str,
) -> Result<(), RingError> {
    match seen.insert(value, guard) {
        None => Ok(()),
        Some(first) => Err(RingError::Shared {
            first: first.clone(),
            second: guard.clone(),
            what,
        }),
    }
}

fn derived(guard: &RingGuard, secret: Option<&SecretString>) -> Result<LoadedKey, RingError> {
    let secret = secret
        .ok_or_else(|| RingError::NoJwtSecret(guard.name.clone()))?
        .expose_secret()
        .as_bytes();
    if secret.len() < MIN_JWT_SECRET {
        return Err(RingError::WeakJwtSecret(secret.len()));
    }
    if let Some(why) = bekci_core::guessable(secret) {
        return Err(RingError::GuessableJwtSecret(why));
    }
    let (kid, key) = SigningKey::derive(guard.algorithm, secret, &guard.name)
        .ok_or_else(|| RingError::NoJwtSecret(guard.name.clone()))?;
    Ok(LoadedKey {
        kid,
        // A derived key does not know when its secret was made.
        created: OffsetDateTime::UNIX_EPOCH,
        key,
    })
}
