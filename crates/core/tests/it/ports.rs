//! Little models of the gate's ports.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use bekci_core::{
    AuthGuard, Authorizer, BearerToken, BoxFuture, Clock as _, CsrfKey, Gate, GateParts, GuardName, IdKind, Identity,
    IdentitySource, IdentityVersion, LiveSession, ModelName, Need, Permission, PrincipalKey, RoleTable, RoleView,
    RootSecret, ScopedRights, SessionId, SourceUnavailable, Stamp, Standing, TEMPORARY, TenantName, Ticket, TokenFault,
    TokenId, TokenKind, TokenVerifier, VerifiedClaims, View, ViewSource, testing::FakeClock,
};

const SESSION: SessionId = TokenId([5; 16]);

/// Reads tokens of the form `<key>.<model>.<id>[_<tenant>]`: `a` is the admins' key, `c` the customers', `t` the customers' for temporary identities, `x` nobody's, `bad` does not fit, `u` may be one that cannot be read.
#[derive(Debug)]
struct Verifier(Arc<Keys>);

/// By what tokens are judged.
#[derive(Debug)]
pub(crate) struct Keys {
    reading: AtomicU64,
    until: AtomicI64,
    clock: Arc<FakeClock>,
}

impl Keys {
    pub(crate) fn read_again(&self) {
        self.reading.fetch_add(1, Ordering::SeqCst);
    }

    /// Tokens of everybody end at this second.
    pub(crate) fn accept_before(&self, second: i64) {
        self.until.store(second, Ordering::SeqCst);
    }
}

fn parts(token: BearerToken<'_>) -> (String, String) {
    let mut parts = token.expose().split('.');
    let key = parts.next().unwrap_or_default().to_owned();
    (key, parts.collect::<Vec<_>>().join(":"))
}

impl TokenVerifier for Verifier {
    fn guard_of(&self, token: BearerToken<'_>) -> Result<GuardName, TokenFault> {
        match parts(token).0.as_str() {
            "a" => Ok(GuardName::new("admin").unwrap()),
            "c" | "t" | "bad" => Ok(GuardName::new("customer").unwrap()),
            "u" => Err(TokenFault::KeysUnreadable),
            _ => Err(TokenFault::UnknownKey),
        }
    }

    fn verify(
        &self,
        guard: &GuardName,
        kind: TokenKind,
        token: BearerToken<'_>,
    ) -> Result<Arc<VerifiedClaims>, TokenFault> {
        let (key, principal) = parts(token);
        if key == "bad" {
            return Err(TokenFault::Signature);
        }
        let until = self.0.until.load(Ordering::SeqCst);
        if self.0.clock.now().unix_timestamp() >= until {
            return Err(TokenFault::Expired);
        }
        if self.guard_of(token)? != *guard {
            return Err(TokenFault::OtherGuard);
        }
        if (kind == TokenKind::Temporary) != (key == "t") {
            return Err(TokenFault::Header("typ is not this kind's"));
        }
        let (principal, tenant) = principal.split_once('_').unwrap_or((&principal, ""));
        Ok(Arc::new(VerifiedClaims {
            kind,
            guard: guard.clone(),
            key: PrincipalKey::parse(principal).unwrap(),
            session: SESSION,
            generation: 0,
            version: IdentityVersion(0),
            tenant: TenantName::new(tenant).ok(),
            id: TokenId([1; 16]),
            issued_at: 0,
            expires_at: until,
        }))
    }

    fn standing(&self, _: BearerToken<'_>, claims: &Arc<VerifiedClaims>) -> Option<Standing> {
        Some(Standing {
            reading: self.0.reading.load(Ordering::SeqCst),
            from: claims.issued_at,
            until: claims.expires_at,
        })
    }

    fn stands(&self, standing: &Standing) -> bool {
        let now = self.0.clock.now().unix_timestamp();
        (standing.from..standing.until).contains(&now) && standing.reading == self.0.reading.load(Ordering::SeqCst)
    }
}

/// Everybody may view orders, until that is taken.
#[derive(Debug, Default)]
pub(crate) struct Source {
    counter: AtomicU64,
    taken: AtomicBool,
    take_next: AtomicBool,
    restless: AtomicBool,
    away: AtomicBool,
    waiting: AtomicBool,
    looks: AtomicU64,
    reads: AtomicU64,
    uses: AtomicU64,
    /// What principals hold, in place of the usual, and the roles of the tenant that is asked about.
    holdings: Mutex<Option<Holdings>>,
}

/// What a test says that everybody holds, and what roles permit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holdings {
    /// The tenant of the account's column.
    pub(crate) own: Option<TenantName>,
    pub(crate) rights: Vec<ScopedRights>,
    pub(crate) global_roles: Arc<RoleTable>,
    pub(crate) tenant_roles: Vec<(TenantName, Arc<RoleTable>)>,
    pub(crate) policy: Option<Arc<dyn Authorizer>>,
}

impl Source {
    pub(crate) fn take_rights_during_the_next_look(&self) {
        self.take_next.store(true, Ordering::SeqCst);
    }

    /// The rights are taken now.
    pub(crate) fn take(&self) {
        self.taken.store(true, Ordering::SeqCst);
        self.counter.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn hold(&self, holdings: Holdings) {
        *self.holdings.lock().unwrap() = Some(holdings);
    }

    pub(crate) fn move_always(&self) {
        self.restless.store(true, Ordering::SeqCst);
    }

    pub(crate) fn go_away(&self) {
        self.away.store(true, Ordering::SeqCst);
    }

    /// From now on everybody's session waits for its verification, or does no more.
    pub(crate) fn wait_for_verification(&self, waits: bool) {
        self.waiting.store(waits, Ordering::SeqCst);
    }

    pub(crate) fn looks(&self) -> u64 {
        self.looks.load(Ordering::SeqCst)
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn uses(&self) -> u64 {
        self.uses.load(Ordering::SeqCst)
    }

    fn view(&self, need: &Need<'_>, source: ViewSource) -> View {
        let stamp = Stamp {
            key: self.counter.load(Ordering::SeqCst),
            ..Stamp::default()
        };
        let granted = if self.taken.load(Ordering::SeqCst) {
            vec![]
        } else {
            vec![Permission::new("orders.view").unwrap()]
        };
        let usual = ScopedRights {
            guard: need.guard.clone(),
            tenant: None,
            roles: [].into(),
            granted: granted.into(),
            denied: [].into(),
        };
        let holdings = self.holdings.lock().unwrap().clone();
        let holdings = holdings.unwrap_or_else(|| Holdings {
            rights: vec![usual],
            ..Holdings::default()
        });
        let identity = Identity {
            exists: true,
            verified: true,
            tenant: holdings.own,
            rights: holdings.rights.into(),
            sessions: [LiveSession {
                id: SESSION,
                guard: need.guard.clone(),
                min_generation: 0,
                authenticated_at: 0,
                expires_at: None,
                way: match self.waiting.load(Ordering::SeqCst) {
                    true => TEMPORARY.into(),
                    false => "password".into(),
                },
                remembered: false,
            }]
            .into(),
            ..Identity::absent(need.key.clone())
        };
        let mut tables = holdings.tenant_roles.into_iter();
        let roles = RoleView {
            global: holdings.global_roles,
            tenant: need
                .tenant
                .and_then(|asked| tables.find(|(tenant, _)| tenant == asked).map(|(_, table)| table)),
        };
        View {
            identity: Arc::new(identity),
            version: IdentityVersion(1),
            roles,
            policy: holdings.policy.filter(|_| need.policy),
            stamp,
            source,
        }
    }
}

impl IdentitySource for Source {
    fn ticket(&self) -> Ticket {
        Ticket(0)
    }

    fn warm(&self, need: &Need<'_>) -> Option<View> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return None;
        }
        let view = self.view(need, ViewSource::L1);
        if self.take_next.swap(false, Ordering::SeqCst) {
            self.taken.store(true, Ordering::SeqCst);
            self.counter.fetch_add(1, Ordering::SeqCst);
        }
        Some(view)
    }

    fn read<'a>(&'a self, need: &'a Need<'a>, _ticket: Ticket) -> BoxFuture<'a, Result<View, SourceUnavailable>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let away = self.away.load(Ordering::SeqCst);
        let answer = if away {
            Err(SourceUnavailable("gone".to_owned()))
        } else {
            Ok(self.view(need, ViewSource::Database))
        };
        Box::pin(std::future::ready(answer))
    }

    fn unmoved(&self, stamp: &Stamp) -> bool {
        !self.restless.load(Ordering::SeqCst) && stamp.key == self.counter.load(Ordering::SeqCst)
    }

    fn used(&self, _view: &View, _session: SessionId, _generation: u32) {
        self.uses.fetch_add(1, Ordering::SeqCst);
    }
}

/// A gate and two guards.
pub(crate) struct House {
    pub(crate) gate: Gate,
    pub(crate) source: Arc<Source>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) admin: Arc<AuthGuard>,
    pub(crate) customer: Arc<AuthGuard>,
}

/// The key of a guard's CSRF tokens.
fn csrf_key(guard: &GuardName) -> CsrfKey {
    CsrfKey::new(&RootSecret::new(&(0..32).collect::<Vec<u8>>()).unwrap(), guard)
}

/// The CSRF token of everybody's session at a guard.
pub(crate) fn csrf_of(guard: &str) -> String {
    csrf_key(&GuardName::new(guard).unwrap()).token(SESSION).unwrap()
}

impl House {
    pub(crate) fn new() -> Self {
        let source = Arc::new(Source::default());
        let clock = Arc::new(FakeClock::at(1_000));
        let guard = |name| {
            let (guard, model) = (GuardName::new(name).unwrap(), ModelName::new(name).unwrap());
            Arc::new(AuthGuard {
                csrf: csrf_key(&guard),
                ..AuthGuard::new(guard, model, IdKind::Integer, false)
            })
        };
        let keys = Arc::new(Keys {
            reading: AtomicU64::new(1),
            until: AtomicI64::new(i64::MAX),
            clock: Arc::clone(&clock),
        });
        let gate = Gate::new(GateParts {
            verifier: Arc::new(Verifier(Arc::clone(&keys))),
            identities: Arc::clone(&source) as Arc<dyn IdentitySource>,
            clock: Arc::<FakeClock>::clone(&clock),
        });
        Self {
            gate,
            source,
            clock,
            keys,
            admin: guard("admin"),
            customer: guard("customer"),
        }
    }
}

/// Runs a future that never waits for anything outside.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
