//! `X-Auth-Token`: what an upstream can check for itself, so that it need not trust the network.
//!
//! A JWT of 60 s, signed with the guard's key for one route (`aud`), with the rights that were decided by. It is made once for session, route, tenant and the versions of
//! what the rights come from, and kept for 30 s: a change of rights makes another one at once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bekci::Bekci;
use bekci_core::{AccessClaims, Clock, Entropy, IssueError, Principal, SessionId, TenantName, TokenId, TokenKind};
use bekci_store::SystemClock;
use bekci_token::{Algorithm, OsEntropy};
use parking_lot::Mutex;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::proxy::IdentityHeaders;

const LIVES: i64 = 60;
/// The claim that names what did not fit.
const OMITTED: &str = "omitted";
const KEPT: Duration = Duration::from_secs(30);
/// The names of claims that an attribute cannot have.
const OURS: [&str; 15] = [
    "iss", "aud", "sub", "iat", "exp", "nbf", "jti", "sid", "gen", "ver", "guard", "model", "tenant", "cnf", "typ",
];
/// So many are kept; then those that are too old go, and all of them if that is not enough.
const MOST: usize = 20_000;

/// Whether an attribute of this name may be a claim.
pub(crate) fn may_claim(name: &str) -> bool {
    !OURS.contains(&name)
}

/// The most bytes that a token of this algorithm has before a right or an attribute is in it: its header, the claims that every token has, and the signature.
pub(crate) fn empty_bytes(algorithm: Algorithm, issuer: &str) -> usize {
    // Names at their longest: guard and model 32, id 64, tenant 63, route 64; three numbers, two ids in hex; the list of what was omitted.
    const CLAIMS: usize = 720;
    const HEADER: usize = 160;
    let signature = match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => 684,
        Algorithm::Es384 | Algorithm::Hs384 => 128,
        Algorithm::EdDsa | Algorithm::Es256 | Algorithm::Hs256 | Algorithm::Hs512 => 88,
    };
    HEADER + signature + ((CLAIMS + issuer.len()) * 4).div_ceil(3)
}

/// What a token is made once for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Occasion {
    session: SessionId,
    route: Box<str>,
    /// Of which headers it is one.
    headers: u64,
    tenant: Option<TenantName>,
    identity: u64,
    roles: u64,
    tenant_roles: u64,
    everything: u64,
}

#[derive(Debug)]
struct Made {
    token: Arc<SecretString>,
    at: Duration,
}

/// Makes and keeps the tokens for upstreams. One for all workers.
#[derive(Debug)]
pub(crate) struct InternalTokens {
    bekci: Bekci,
    made: Mutex<HashMap<Occasion, Made, foldhash::fast::RandomState>>,
}

impl InternalTokens {
    pub(crate) fn new(bekci: Bekci) -> Self {
        Self {
            bekci,
            made: Mutex::default(),
        }
    }

    /// The token for what a principal was let through to.
    ///
    /// # Errors
    /// [`IssueError`]: then the request is not forwarded, since an upstream that asks for the token would be told nothing.
    pub(crate) fn token(
        &self,
        headers: &IdentityHeaders,
        principal: &Principal,
        route: &str,
    ) -> Result<Arc<SecretString>, IssueError> {
        let view = &principal.view;
        let occasion = Occasion {
            session: principal.claims.session,
            route: route.into(),
            headers: headers.number(),
            tenant: principal.tenant.clone(),
            identity: view.version.0,
            roles: view.roles.global.version(),
            tenant_roles: view
                .roles
                .tenant
                .as_ref()
                .map(|table| table.version())
                .unwrap_or_default(),
            everything: view.stamp.all,
        };
        let now = SystemClock.uptime();
        if let Some(made) = self
            .made
            .lock()
            .get(&occasion)
            .filter(|made| now.saturating_sub(made.at) < KEPT)
        {
            return Ok(Arc::clone(&made.token));
        }
        let token = Arc::new(self.make(headers, principal, route)?);
        let mut made = self.made.lock();
        if made.len() >= MOST {
            made.retain(|_, made| now.saturating_sub(made.at) < KEPT);
            if made.len() >= MOST {
                made.clear();
            }
        }
        made.insert(
            occasion,
            Made {
                token: Arc::clone(&token),
                at: now,
            },
        );
        Ok(token)
    }

    fn make(&self, headers: &IdentityHeaders, principal: &Principal, route: &str) -> Result<SecretString, IssueError> {
        let told = headers.told(principal);
        let mut extra = Map::new();
        // Attributes first: one that is called like a list of rights does not take its place.
        for (name, value) in told.attributes.into_iter().filter(|(name, _)| may_claim(name)) {
            extra.insert(name.to_owned(), value.clone());
        }
        let list = |names: Vec<&str>| names.into_iter().map(Value::from).collect::<Value>();
        extra.insert("roles".to_owned(), list(told.roles));
        extra.insert("permissions".to_owned(), list(told.permissions));
        if told.omitted.is_empty() {
            extra.remove(OMITTED);
        } else {
            extra.insert(OMITTED.to_owned(), list(told.omitted));
        }
        let mut id = TokenId([0; 16]);
        OsEntropy.fill(&mut id.0).map_err(IssueError::Signing)?;
        let issued_at = SystemClock.now().unix_timestamp();
        let claims = AccessClaims {
            kind: TokenKind::Internal,
            key: principal.claims.key.clone(),
            session: principal.claims.session,
            generation: principal.claims.generation,
            version: principal.view.version,
            tenant: principal.tenant.clone(),
            id,
            issued_at,
            expires_at: issued_at + LIVES,
            extra,
        };
        self.bekci.keys().issue_internal(&principal.guard.name, route, &claims)
    }
}
