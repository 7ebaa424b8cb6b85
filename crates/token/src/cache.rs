//! Tokens that were verified, so that the next request with one costs no signature.
//!
//! The rules:
//!
//! 1. The key is the whole token: equal texts, and nothing but equal texts, are one entry. It is found by a hash that is keyed anew in each process, and then compared
//!    whole; of two texts with one hash the later one stays. Only verified tokens come in, so nobody fills it at will.
//! 2. An entry says what the token says, never that it is good now: times are judged on every hit.
//! 3. It belongs to one reading of the keys and is dropped with it; a token of a retired key is not in the next one.
//! 4. It is bounded. Each shard keeps two halves: new entries go into the young one; when that is full the old one is dropped and the young one
//!    is old. An entry that is used while old becomes young again.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    sync::Arc,
};

use bekci_core::{Standing, TokenFault, VerifiedClaims};
use foldhash::fast::RandomState;
use parking_lot::RwLock;

use crate::claims::Moment;

const SHARDS: usize = 16;

/// What a verified token says.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    pub(crate) claims: Arc<VerifiedClaims>,
    pub(crate) not_before: Option<i64>,
}

impl Verified {
    /// Whether it is good at this moment. Time has gone on since it was verified; the clock may also have been set back.
    pub(crate) fn judge(&self, moment: Moment) -> Result<(), TokenFault> {
        if !moment.has_come(self.claims.issued_at) {
            return Err(TokenFault::Claim("iat"));
        }
        if !self.not_before.is_none_or(|time| moment.has_come(time)) {
            return Err(TokenFault::Claim("nbf"));
        }
        if !moment.is_before_end(self.claims.expires_at) {
            return Err(TokenFault::Expired);
        }
        Ok(())
    }

    /// The seconds for which [`judge`](Self::judge) accepts it.
    pub(crate) fn standing(&self, reading: u64, leeway: i64) -> Standing {
        let begins = self.claims.issued_at.max(self.not_before.unwrap_or(i64::MIN));
        Standing {
            reading,
            from: begins.saturating_sub(leeway),
            until: self.claims.expires_at.saturating_add(leeway),
        }
    }
}

/// Passes a hash on as it is: a token is long, and hashing it once is enough.
#[derive(Clone, Copy, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        // Never asked: the keys are `u64`. Any function of the bytes would do.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

struct Entry {
    token: Box<str>,
    verified: Verified,
}

type Half = HashMap<u64, Entry, BuildHasherDefault<AsItIs>>;

#[derive(Default)]
struct Shard {
    young: Half,
    old: Half,
}

/// A bounded map from tokens to what they say.
pub(crate) struct TokenCache {
    shards: [RwLock<Shard>; SHARDS],
    hasher: RandomState,
    /// How many entries a half may have.
    half: usize,
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenCache({} tokens)", self.len())
    }
}

impl TokenCache {
    /// At most about this many tokens; 0: none at all.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::default(),
            half: capacity.div_ceil(SHARDS * 2),
        }
    }

    fn shard(&self, hash: u64) -> Option<&RwLock<Shard>> {
        // Bits that the maps within the shards do not begin by: they use the lowest ones and the seven at the top.
        self.shards
            .get(usize::try_from((hash >> 48) & 0xff).unwrap_or_default() % SHARDS)
    }

    pub(crate) fn get(&self, token: &str) -> Option<Verified> {
        let hash = self.hasher.hash_one(token);
        let shard = self.shard(hash)?;
        {
            let shard = shard.read();
            if let Some(found) = shard.young.get(&hash).filter(|entry| *entry.token == *token) {
                return Some(found.verified.clone());
            }
            if shard.old.get(&hash).is_none_or(|entry| *entry.token != *token) {
                return None;
            }
        }
        let mut shard = shard.write();
        let entry = shard.old.remove(&hash).filter(|entry| *entry.token == *token)?;
        let verified = entry.verified.clone();
        shard.put(hash, entry, self.half);
        Some(verified)
    }

    pub(crate) fn put(&self, token: &str, verified: Verified) {
        let hash = self.hasher.hash_one(token);
        let token = token.into();
        if let Some(shard) = self.shard(hash).filter(|_| self.half > 0) {
            shard.write().put(hash, Entry { token, verified }, self.half);
        }
    }

    /// How many tokens are in it.
    pub(crate) fn len(&self) -> usize {
        let count = |shard: &RwLock<Shard>| {
            let shard = shard.read();
            shard.young.len() + shard.old.len()
        };
        self.shards.iter().map(count).sum()
    }
}

impl Shard {
    fn put(&mut self, hash: u64, entry: Entry, half: usize) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, entry);
    }
}

#[cfg(test)]
mod tests {
    use bekci_core::{GuardName, IdentityVersion, PrincipalKey, TokenId, TokenKind};

    use super::*;

    fn verified() -> Verified {
        let claims = VerifiedClaims {
            kind: TokenKind::Access,
            guard: GuardName::new("customer").unwrap(),
            key: PrincipalKey::parse("customer:1").unwrap(),
            session: TokenId([1; 16]),
            generation: 0,
            version: IdentityVersion(0),
            tenant: None,
            id: TokenId([2; 16]),
            issued_at: 100,
            expires_at: 200,
        };
        Verified {
            claims: Arc::new(claims),
            not_before: None,
        }
    }

    #[test]
    fn it_never_grows_past_its_bound_and_keeps_what_is_used() {
        let cache = TokenCache::new(320);
        cache.put("kept", verified());
        for number in 0..10_000 {
            cache.put(&format!("token-{number}"), verified());
            assert!(cache.get("kept").is_some(), "lost after {number}");
        }
        assert!(cache.len() <= 320, "{}", cache.len());
        assert!(cache.get("token-0").is_none());
    }

    #[test]
    fn of_two_tokens_with_one_hash_neither_answers_for_the_other() {
        let mut shard = Shard::default();
        let entry = |token: &str| Entry {
            token: token.into(),
            verified: verified(),
        };
        let cache = TokenCache::new(320);
        let hash = cache.hasher.hash_one("asked");
        // As if another text had the hash of this one.
        shard.put(hash, entry("another"), 10);
        std::mem::swap(&mut *cache.shard(hash).unwrap().write(), &mut shard);
        assert!(cache.get("asked").is_none());
        cache.put("asked", verified());
        assert!(cache.get("asked").is_some());
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let cache = TokenCache::new(0);
        cache.put("a", verified());
        assert_eq!((cache.len(), cache.get("a").is_none()), (0, true));
    }
}
