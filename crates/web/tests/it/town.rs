//! A small world for the middleware: accounts, sessions and roles in memory, and tokens that are looked up instead of signed.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bekci::{
    AuthModel, GuardType, Watch,
    core::{
        AuthGuard, BearerToken, BoxFuture, CsrfKey, Gate, GateParts, GuardName, IdKind, Identity, IdentitySource,
        IdentityVersion, LiveSession, ModelName, ModelSpec, NameError, Need, Permission, PrincipalKey, RoleName,
        RoleTable, RoleView, RootSecret, ScopedRights, SessionId, SourceUnavailable, Stamp, TenantName, Ticket,
        TokenFault, TokenId, TokenKind, TokenVerifier, VerifiedClaims, View, ViewSource, testing::FakeClock,
    },
};

pub const NOW: i64 = 1_800_000_000;

macro_rules! model {
    ($row:ident, $guard:ident, $name:literal) => {
        pub struct $row;
        pub struct $guard;

        impl AuthModel for $row {
            fn spec() -> Result<ModelSpec, NameError> {
                Ok(ModelSpec::new(ModelName::new($name)?, concat!($name, "s")))
            }
        }

        impl GuardType for $guard {
            const NAME: &'static str = $name;
            type Model = $row;
        }
    };
}

model!(AdminRow, Admin, "admin");
model!(CustomerRow, Customer, "customer");
model!(NobodyRow, Nobody, "nobody");

#[derive(Debug, Default)]
struct State {
    tokens: HashMap<String, Arc<VerifiedClaims>>,
    identities: HashMap<PrincipalKey, Arc<Identity>>,
    broken: bool,
}

/// What the fakes share.
#[derive(Debug)]
pub struct Town {
    state: Mutex<State>,
    pub clock: Arc<FakeClock>,
    pub reads: AtomicU64,
}

/// The key of a guard's CSRF tokens in a town.
fn csrf_key(guard: &GuardName) -> CsrfKey {
    CsrfKey::new(&RootSecret::new(&(0..32).collect::<Vec<u8>>()).unwrap(), guard)
}

/// The CSRF token of the nth who signed in.
pub fn csrf_of(guard: &str, nth: u8) -> String {
    csrf_key(&GuardName::new(guard).unwrap())
        .token(TokenId([nth; 16]))
        .unwrap()
}

impl Town {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            clock: Arc::new(FakeClock::at(NOW)),
            reads: AtomicU64::new(0),
        })
    }

    /// Guards `admin` and `customer` over this town.
    pub fn watch(self: &Arc<Self>) -> Watch {
        let gate = Gate::new(GateParts {
            verifier: Arc::new(Tokens(Arc::clone(self))),
            identities: Arc::new(People(Arc::clone(self))),
            clock: self.clock.clone(),
        });
        let guards = ["admin", "customer"].map(|name| {
            let (guard, model) = (GuardName::new(name).unwrap(), ModelName::new(name).unwrap());
            let csrf = csrf_key(&guard);
            Arc::new(AuthGuard {
                csrf,
                ..AuthGuard::new(guard, model, IdKind::Integer, false)
            })
        });
        let models = [AdminRow::spec().unwrap(), CustomerRow::spec().unwrap()];
        Watch::new(gate, guards, models).unwrap()
    }

    /// Somebody with these roles and permissions, signed in; gives the token.
    pub fn signed_in(&self, key: &str, roles: &[&str], granted: &[&str]) -> String {
        let key = PrincipalKey::parse(key).unwrap();
        let guard = GuardName::new(key.model()).unwrap();
        let mut state = self.state.lock().unwrap();
        let session = TokenId([u8::try_from(state.tokens.len() + 1).unwrap(); 16]);
        let mut identity = Identity::absent(key.clone());
        identity.exists = true;
        identity.verified = true;
        identity
            .attributes
            .insert("email".into(), format!("{}@example.com", key.id()).into());
        identity.rights = Box::new([ScopedRights {
            guard: guard.clone(),
            tenant: None,
            roles: roles.iter().map(|role| RoleName::new(role).unwrap()).collect(),
            granted: granted.iter().map(|text| Permission::new(text).unwrap()).collect(),
            denied: Box::default(),
        }]);
        identity.sessions = Box::new([live(session, &guard)]);
        state.identities.insert(key.clone(), Arc::new(identity));
        let token = format!("{guard}.{}.{}", key.id(), state.tokens.len());
        let claims = VerifiedClaims {
            kind: TokenKind::Access,
            guard,
            key,
            session,
            generation: 0,
            version: IdentityVersion(0),
            tenant: None,
            id: session,
            issued_at: NOW,
            expires_at: NOW + 900,
        };
        state.tokens.insert(token.clone(), Arc::new(claims));
        token
    }

    pub fn change(&self, key: &str, change: impl FnOnce(&mut Identity)) {
        let mut state = self.state.lock().unwrap();
        let identity = state.identities.get_mut(&PrincipalKey::parse(key).unwrap()).unwrap();
        change(Arc::make_mut(identity));
    }

    /// The token was made for this tenant.
    pub fn made_for(&self, token: &str, tenant: &str) {
        let mut state = self.state.lock().unwrap();
        let claims = state.tokens.get_mut(token).unwrap();
        Arc::make_mut(claims).tenant = TenantName::new(tenant).ok();
    }

    pub fn break_store(&self) {
        self.state.lock().unwrap().broken = true;
    }
}

fn live(id: SessionId, guard: &GuardName) -> LiveSession {
    LiveSession {
        id,
        guard: guard.clone(),
        min_generation: 0,
        authenticated_at: NOW,
        expires_at: None,
        way: "password".into(),
        remembered: false,
    }
}

#[derive(Debug)]
struct Tokens(Arc<Town>);

impl TokenVerifier for Tokens {
    fn guard_of(&self, token: BearerToken<'_>) -> Result<GuardName, TokenFault> {
        let state = self.0.state.lock().unwrap();
        let claims = state.tokens.get(token.expose()).ok_or(TokenFault::UnknownKey)?;
        Ok(claims.guard.clone())
    }

    fn verify(
        &self,
        guard: &GuardName,
        kind: TokenKind,
        token: BearerToken<'_>,
    ) -> Result<Arc<VerifiedClaims>, TokenFault> {
        let state = self.0.state.lock().unwrap();
        let claims = state.tokens.get(token.expose()).ok_or(TokenFault::Signature)?;
        if claims.guard != *guard {
            return Err(TokenFault::OtherGuard);
        }
        if claims.kind != kind {
            return Err(TokenFault::Header("typ"));
        }
        if bekci::core::Clock::now(&*self.0.clock).unix_timestamp() >= claims.expires_at {
            return Err(TokenFault::Expired);
        }
        Ok(Arc::clone(claims))
    }
}

#[derive(Debug)]
struct People(Arc<Town>);

impl IdentitySource for People {
    fn ticket(&self) -> Ticket {
        Ticket(0)
    }

    fn warm(&self, _: &Need<'_>) -> Option<View> {
        None
    }

    fn read<'a>(&'a self, need: &'a Need<'a>, _: Ticket) -> BoxFuture<'a, Result<View, SourceUnavailable>> {
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        let state = self.0.state.lock().unwrap();
        if state.broken {
            return Box::pin(std::future::ready(Err(SourceUnavailable(
                "sqlite://secret is gone".into(),
            ))));
        }
        let known = state.identities.get(need.key).cloned();
        let roles = [
            (
                RoleName::new("editor").unwrap(),
                vec![Permission::new("posts.*").unwrap()],
            ),
            (
                RoleName::new("reader").unwrap(),
                vec![Permission::new("posts.view").unwrap()],
            ),
        ];
        let view = View {
            identity: known.unwrap_or_else(|| Arc::new(Identity::absent(need.key.clone()))),
            version: IdentityVersion(1),
            roles: RoleView {
                global: Arc::new(RoleTable::new(1, roles)),
                tenant: None,
            },
            policy: None,
            stamp: Stamp::default(),
            source: ViewSource::Database,
        };
        Box::pin(std::future::ready(Ok(view)))
    }

    fn unmoved(&self, _: &Stamp) -> bool {
        true
    }

    fn used(&self, _: &View, _: SessionId, _: u32) {}
}
