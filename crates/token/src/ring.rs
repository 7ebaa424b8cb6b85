//! All guards' keys: what makes tokens, and what judges them.
//!
//! A token is judged in this order, and the first fault ends it:
//!
//! 1. Size and characters (by [`BearerToken`]), three parts, canonical base64url.
//! 2. The header: one JSON object, nothing in it that asks for what is never done, a `kid` of this guard, the `alg` of that key, the `typ` of the kind asked for.
//! 3. The payload nests within bounds.
//! 4. The signature.
//! 5. The claims, by the list in `claims`.
//!
//! A token that passed is remembered by its whole text until the keys change; after that only its times are judged.

mod settings;
mod state;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bekci_core::{
    AccessClaims, BearerToken, Clock, GuardName, IssueError, Standing, TokenFault, TokenIssuer, TokenKind,
    TokenVerifier, VerifiedClaims,
};
use parking_lot::{Mutex, RwLock};
use secrecy::SecretString;

pub use settings::{Lifetimes, RingGuard, RingSettings};

use crate::{
    cache::Verified,
    claims::{self, Facts, MAX_DEPTH, Moment},
    compact::{self, Compact},
    error::RingError,
    header,
    inspect::{Inspection, Subject},
    issue, json,
    json::Members,
    jwks,
    key_id::KeyId,
    schedule,
    store::{Fingerprint, KeyInfo, LoadedKey},
};
use state::RingState;

/// The directory is read again because of what a client sent, or of a look at the JWKS, at most this often.
const REREAD: Duration = Duration::from_secs(1);

/// What a ring has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingStats {
    /// Signatures that were checked. A token that is remembered costs none.
    pub signature_checks: u64,
    /// Readings of the keys that took effect, the first among them.
    pub readings: u64,
    /// Tokens that are remembered now.
    pub remembered: usize,
}

/// The keys of all guards; makes and judges their tokens.
///
/// It is shared by all workers. What it reads it reads whole: a request sees one reading of settings and keys, never half of the next.
#[derive(Debug)]
pub struct KeyRing {
    clock: Arc<dyn Clock>,
    state: RwLock<Arc<RingState>>,
    reader: Mutex<Reader>,
    signature_checks: AtomicU64,
    readings: AtomicU64,
}

/// When the directory was looked at, and the look of it that could not be read.
#[derive(Debug, Default)]
struct Reader {
    last: Option<Duration>,
    failed: Option<Fingerprint>,
    /// Whether the last look failed: then an unknown kid may be that of a key that could not be read.
    unreadable: bool,
}

impl KeyRing {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`RingError`]: settings that cannot stand, a guard without a key, a key that is refused.
    pub fn load(settings: RingSettings, clock: Arc<dyn Clock>) -> Result<Self, RingError> {
        Ok(Self {
            clock,
            state: RwLock::new(Arc::new(RingState::load(settings)?)),
            reader: Mutex::default(),
            signature_checks: AtomicU64::new(0),
            readings: AtomicU64::new(1),
        })
    }

    /// Takes other settings, with the keys as they are now. Remembered tokens are forgotten.
    ///
    /// # Errors
    /// [`RingError`]; the ring is as it was.
    pub fn reconfigure(&self, settings: RingSettings) -> Result<(), RingError> {
        let mut reader = self.reader.lock();
        self.exchange(RingState::load(settings)?);
        reader.failed = None;
        Ok(())
    }

    /// Reads the keys again, whether they have changed or not. Remembered tokens are forgotten.
    ///
    /// # Errors
    /// [`RingError`]; the ring is as it was.
    pub fn reload(&self) -> Result<(), RingError> {
        let mut reader = self.reader.lock();
        let settings = self.state().settings.clone();
        self.exchange(RingState::load(settings)?);
        reader.failed = None;
        Ok(())
    }

    /// Reads the keys again if their files have changed; says whether they had. Cheap enough for once a second, which is how a node learns of a retired key.
    ///
    /// # Errors
    /// [`RingError`]; the ring is as it was. The same files are not tried again.
    pub fn poll(&self) -> Result<bool, RingError> {
        self.reread(&mut self.reader.lock())
    }

    fn reread(&self, reader: &mut Reader) -> Result<bool, RingError> {
        let read = self.reread_changed(reader);
        reader.unreadable = read.is_err() || reader.failed.is_some();
        read
    }

    /// What a kid that no key has means.
    fn unknown(&self) -> TokenFault {
        if self.reader.lock().unreadable {
            TokenFault::KeysUnreadable
        } else {
            TokenFault::UnknownKey
        }
    }

    fn reread_changed(&self, reader: &mut Reader) -> Result<bool, RingError> {
        reader.last = Some(self.clock.uptime());
        let state = self.state();
        let seen = state::fingerprint(&state.settings)?;
        if seen == state.fingerprint {
            reader.failed = None;
            return Ok(false);
        }
        if reader.failed.as_ref() == Some(&seen) {
            return Ok(false);
        }
        match RingState::load(state.settings.clone()) {
            Ok(state) => {
                self.exchange(state);
                reader.failed = None;
                Ok(true)
            }
            Err(error) => {
                reader.failed = Some(seen);
                Err(error)
            }
        }
    }

    /// [`poll`](Self::poll), but not oftener than [`REREAD`]: what a client can bring about.
    fn reread_seldom(&self) {
        let mut reader = self.reader.lock();
        let now = self.clock.uptime();
        if reader.last.is_some_and(|last| now.saturating_sub(last) < REREAD) {
            return;
        }
        if let Err(error) = self.reread(&mut reader) {
            tracing::error!(%error, "the signing keys cannot be read again; the old ones stay");
        }
    }

    fn exchange(&self, state: RingState) {
        *self.state.write() = Arc::new(state);
        // After the state: who finds this number has found no older state.
        self.readings.fetch_add(1, Ordering::SeqCst);
    }

    fn state(&self) -> Arc<RingState> {
        Arc::clone(&self.state.read())
    }

    fn moment(&self, state: &RingState) -> Moment {
        Moment {
            now: self.clock.now().unix_timestamp(),
            leeway: state.settings.leeway.whole_seconds(),
        }
    }

    /// A reading that has the key, if any has: where this one has not, the directory is looked at again.
    fn state_with(&self, kid: &str) -> Arc<RingState> {
        let state = self.state();
        if state.key(kid).is_some() || KeyId::parse(kid).is_none() {
            return state;
        }
        self.reread_seldom();
        self.state()
    }

    /// The public keys of all guards, also those that do not sign yet, as a JWK set (RFC 7517). Symmetric keys are not in it.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        self.reread_seldom();
        let state = self.state();
        jwks::set(state.guards.iter().flat_map(|guard| &guard.keys))
    }

    /// The `iss` of every token.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.state().settings.issuer.clone()
    }

    /// What each key does now, guard by guard, oldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyInfo> {
        let (state, now) = (self.state(), self.clock.now());
        let mut keys = Vec::new();
        for guard in &state.guards {
            let created: Vec<_> = guard.keys.iter().map(|key| key.created).collect();
            keys.extend(guard.keys.iter().enumerate().map(|(index, key)| KeyInfo {
                kid: key.kid.clone(),
                guard: guard.guard.name.clone(),
                algorithm: Some(key.key.algorithm()),
                created: key.created,
                status: schedule::status(&created, index, now, state.settings.activate_after),
            }));
        }
        keys
    }

    /// What the ring has done so far, for metrics.
    #[must_use]
    pub fn stats(&self) -> RingStats {
        RingStats {
            signature_checks: self.signature_checks.load(Ordering::Relaxed),
            readings: self.readings.load(Ordering::Relaxed),
            remembered: self.state().cache.len(),
        }
    }

    /// Makes a token for an upstream: `typ` is the internal one, `aud` is the route's. `claims.kind` does not count.
    ///
    /// # Errors
    /// [`IssueError`]; nothing was made.
    pub fn issue_internal(
        &self,
        guard: &GuardName,
        audience: &str,
        claims: &AccessClaims,
    ) -> Result<SecretString, IssueError> {
        self.sign(guard, TokenKind::Internal, Some(audience), claims)
    }

    /// Judges a token that was made for an upstream.
    ///
    /// # Errors
    /// The first [`TokenFault`] found.
    pub fn verify_internal(
        &self,
        guard: &GuardName,
        audience: &str,
        token: BearerToken<'_>,
    ) -> Result<Arc<VerifiedClaims>, TokenFault> {
        let (_, verified) = self.verify_cold(guard, TokenKind::Internal, Some(audience), token.expose())?;
        Ok(verified.claims)
    }

    /// Says, for people, what a token holds and why it is accepted or refused, by each check. It is judged by the guard that its `kid` names, as the
    /// kind that its `typ` names; an internal token by its own `aud`, which only its upstream can judge.
    #[must_use]
    pub fn inspect(&self, token: &str) -> Inspection {
        let subject = Subject::read(token.trim());
        let kid = subject.kid();
        let state = kid.map_or_else(|| self.state(), |kid| self.state_with(kid));
        let key = kid.and_then(|kid| state.key(kid));
        subject.judge_by_guard(key, &state.settings.issuer, self.moment(&state))
    }

    fn sign(
        &self,
        guard: &GuardName,
        kind: TokenKind,
        audience: Option<&str>,
        claims: &AccessClaims,
    ) -> Result<SecretString, IssueError> {
        let state = self.state();
        let signer = state.signer(guard, self.clock.now());
        let (settings, key) = signer.ok_or_else(|| IssueError::NoKey(guard.clone()))?;
        issue::issue(&issue::Order {
            issuer: &state.settings.issuer,
            guard: settings,
            audience: audience.unwrap_or(&settings.audience),
            kind,
            kid: key.kid.as_str(),
            key: &key.key,
            claims,
        })
    }

    /// Judges a token of which nothing is remembered. Gives also the reading that it was judged by.
    fn verify_cold(
        &self,
        guard: &GuardName,
        kind: TokenKind,
        audience: Option<&str>,
        token: &str,
    ) -> Result<(Arc<RingState>, Verified), TokenFault> {
        let compact = compact::split(token)?;
        let header = header::parse(&compact.header)?;
        header::refused(&header)?;
        let kid = header::kid(&header)?;
        let state = self.state_with(kid);
        let (settings, key) = state.key_of(guard, kid)?;
        let claims = self.authentic_claims(&compact, &header, kind, key)?;
        let facts = Facts {
            claims: &claims,
            issuer: &state.settings.issuer,
            guard: settings,
            audience: audience.unwrap_or(&settings.audience),
            kind,
            key_created: key.created.unix_timestamp(),
            moment: self.moment(&state),
        };
        let verified = Verified {
            claims: Arc::new(facts.judge()?),
            not_before: facts.not_before()?,
        };
        Ok((state, verified))
    }

    /// The claims, once header and signature are good.
    fn authentic_claims(
        &self,
        compact: &Compact<'_>,
        header: &Members,
        kind: TokenKind,
        key: &LoadedKey,
    ) -> Result<Members, TokenFault> {
        header::algorithm(header, key.key.algorithm())?;
        header::typ(header, kind)?;
        if !json::nests_within(&compact.payload, MAX_DEPTH) {
            return Err(TokenFault::Malformed("the claims nest too deep"));
        }
        self.signature_checks.fetch_add(1, Ordering::Relaxed);
        if !key.key.verifies(compact.message.as_bytes(), compact.signature) {
            return Err(TokenFault::Signature);
        }
        claims::parse(&compact.payload)
    }

    /// What is remembered of the token, as of now; `None`: nothing.
    fn remembered(
        &self,
        guard: &GuardName,
        kind: TokenKind,
        token: &str,
    ) -> Option<Result<Arc<VerifiedClaims>, TokenFault>> {
        let state = self.state.read();
        let found = state.cache.get(token)?;
        let judged = if found.claims.guard != *guard {
            Err(TokenFault::OtherGuard)
        } else if found.claims.kind != kind {
            Err(TokenFault::Header("typ is not this kind's"))
        } else {
            found.judge(self.moment(&state))
        };
        Some(judged.map(|()| found.claims))
    }
}

impl TokenVerifier for KeyRing {
    fn guard_of(&self, token: BearerToken<'_>) -> Result<GuardName, TokenFault> {
        if let Some(found) = self.state.read().cache.get(token.expose()) {
            return Ok(found.claims.guard.clone());
        }
        let header = header::parse(&compact::header(token.expose())?)?;
        let kid = header::kid(&header)?;
        let state = self.state_with(kid);
        let (guard, _) = state.key(kid).ok_or_else(|| self.unknown())?;
        Ok(guard.name.clone())
    }

    fn verify(
        &self,
        guard: &GuardName,
        kind: TokenKind,
        token: BearerToken<'_>,
    ) -> Result<Arc<VerifiedClaims>, TokenFault> {
        let text = token.expose();
        if let Some(judged) = self.remembered(guard, kind, text) {
            return judged;
        }
        let judged = self.verify_cold(guard, kind, None, text);
        let (state, verified) = judged.map_err(|fault| {
            if fault == TokenFault::UnknownKey {
                self.unknown()
            } else {
                fault
            }
        })?;
        // Into the reading that it was judged by: where that is the current one no more, nobody asks it again.
        state.cache.put(text, verified.clone());
        Ok(verified.claims)
    }

    fn standing(&self, token: BearerToken<'_>, claims: &Arc<VerifiedClaims>) -> Option<Standing> {
        // Before the look: a reading that comes in between makes it the standing of one that is gone.
        let reading = self.readings.load(Ordering::SeqCst);
        let state = self.state.read();
        let found = state.cache.get(token.expose())?;
        let leeway = state.settings.leeway.whole_seconds();
        Arc::ptr_eq(&found.claims, claims).then(|| found.standing(reading, leeway))
    }

    fn stands(&self, standing: &Standing) -> bool {
        let now = self.clock.now().unix_timestamp();
        standing.from <= now && now < standing.until && self.readings.load(Ordering::SeqCst) == standing.reading
    }
}

impl TokenIssuer for KeyRing {
    fn issue(&self, guard: &GuardName, claims: &AccessClaims) -> Result<SecretString, IssueError> {
        self.sign(guard, claims.kind, None, claims)
    }
}
