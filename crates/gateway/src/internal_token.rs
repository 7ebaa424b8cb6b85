//! `X-Auth-Token`: what an upstream can check for itself, so that it need not trust the network.
//!
//! A JWT of 60 s, signed with the guard's key for one route (`aud`), with the rights that were decided by. It is made once for session, route, tenant and the versions of
//! what the rights come from, and kept for 30 s: a change of rights makes another one at once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bekci::Bekci;
use bekci_core::{AccessClaims, Clock, Entropy, IssueError, Principal, SessionId, TenantName, TokenId, TokenKind};
use bekci_store::SystemClock;
use bekci_token::OsEntropy;
use parking_lot::Mutex;
use secrecy::SecretString;
use serde_json::{Map, Value};

const LIVES: i64 = 60;
const KEPT: Duration = Duration::from_secs(30);
/// The names of claims that an attribute cannot have.
const OURS: [&str; 15] = [
    "iss", "aud", "sub", "iat", "exp", "nbf", "jti", "sid", "gen", "ver", "guard", "model", "tenant", "cnf", "typ",
];
/// So many are kept; then those that are too old go, and all of them if that is not enough.
const MOST: usize = 20_000;

/// What a token is made once for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Occasion {
    session: SessionId,
    route: Box<str>,
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
    pub(crate) fn token(&self, principal: &Principal, route: &str) -> Result<Arc<SecretString>, IssueError> {
        let view = &principal.view;
        let occasion = Occasion {
            session: principal.claims.session,
            route: route.into(),
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
        let token = Arc::new(self.make(principal, route)?);
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

    fn make(&self, principal: &Principal, route: &str) -> Result<SecretString, IssueError> {
        let held = principal.held();
        let mut extra = Map::new();
        // Attributes first: one that is called like a list of rights does not take its place.
        let attributes = principal.view.identity.attributes.iter();
        for (name, value) in attributes.filter(|(name, _)| !OURS.contains(&name.as_str())) {
            extra.insert(name.clone(), value.clone());
        }
        extra.insert(
            "roles".to_owned(),
            held.role_names().into_iter().map(Value::from).collect(),
        );
        extra.insert(
            "permissions".to_owned(),
            held.permission_names().into_iter().map(Value::from).collect(),
        );
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
