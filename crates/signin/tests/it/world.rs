//! One service over the model, two guards, and a customer who can sign in.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroUsize,
    sync::Arc,
};

use bekci_core::{
    AuthGuard, Ban, GuardLimits, GuardName, IdKind, ModelName, PrincipalKey, Rate, RootSecret, SessionId, TenantName,
    VerifiedClaims,
    mail::MailLanguage,
    signin::SignInTenant,
    testing::{CountingEntropy, FakeClock},
};
use bekci_signin::{
    Argon2Cost, HashSettings, Identifier, PasswordAttempt, PasswordHasher, RefreshAttempt, SignIn, SignInError,
    SignInParts, SignedIn,
};
use secrecy::ExposeSecret as _;
use time::Duration;

use crate::{
    limits::{Heard, Limiter},
    model::{Account, Issuer, Store},
};

pub(crate) const EMAIL: &str = "ada@example.com";
pub(crate) const PASSWORD: &str = "geese wander at dawn";
pub(crate) const DEVICE: &str = "device-0123456789-abcdef";
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(crate) const START: i64 = 1_800_000_000;

pub(crate) struct World {
    pub(crate) store: Arc<Store>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) meter: Arc<Heard>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) hasher: PasswordHasher,
    pub(crate) sign_in: SignIn,
    pub(crate) customer: Arc<AuthGuard>,
    pub(crate) admin: Arc<AuthGuard>,
}

pub(crate) fn root() -> RootSecret {
    RootSecret::new(&(0..32).collect::<Vec<u8>>()).unwrap()
}

pub(crate) fn key(text: &str) -> PrincipalKey {
    text.parse().unwrap()
}

fn guard(name: &str) -> AuthGuard {
    let model = ModelName::new(name).unwrap();
    AuthGuard::new(GuardName::new(name).unwrap(), model, IdKind::Integer, true)
}

pub(crate) fn attempt(identifier: &str, password: &str) -> PasswordAttempt {
    PasswordAttempt {
        identifier: Identifier::new(identifier).unwrap(),
        password: password.into(),
        device_name: Some("Ada's phone".into()),
        device_id: Some(DEVICE.into()),
        replaces: None,
        tenant: SignInTenant::None,
        verification: None,
        language: MailLanguage::English,
        remember: false,
        client: Some(CLIENT),
    }
}

/// A refresh in a body.
pub(crate) fn from<'a>(token: &'a str, device_id: Option<&'a str>) -> RefreshAttempt<'a> {
    RefreshAttempt {
        token,
        device_id,
        by_cookie: false,
        client: Some(CLIENT),
    }
}

/// What a verifier would say of the access token.
pub(crate) fn claims(guard: &AuthGuard, signed_in: &SignedIn) -> VerifiedClaims {
    VerifiedClaims {
        kind: bekci_core::TokenKind::Access,
        guard: guard.name.clone(),
        key: signed_in.key.clone(),
        session: signed_in.session,
        generation: 0,
        version: signed_in.view.version,
        tenant: None,
        id: SessionId { 0: [1; 16] },
        issued_at: START,
        expires_at: START + 900,
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// A world in which a test may be refused as often as it needs.
    pub(crate) async fn patient() -> Self {
        let often = Rate::per_minute(100_000);
        Self::with(|guard| {
            guard.limits = GuardLimits {
                sign_in: often,
                refresh: often,
                ..GuardLimits::default()
            };
        })
        .await
    }

    /// A world whose customer guard is changed first.
    pub(crate) async fn with(change: impl FnOnce(&mut AuthGuard)) -> Self {
        let store = Arc::new(Store::default());
        let issuer = Arc::new(Issuer::default());
        let limiter = Arc::new(Limiter::default());
        let meter = Arc::new(Heard::default());
        let clock = Arc::new(FakeClock::at(START));
        let entropy = Arc::new(CountingEntropy::default());
        let settings = HashSettings {
            cost: Argon2Cost::SMALLEST,
            threads: NonZeroUsize::new(2),
            waiting: None,
        };
        let hasher = PasswordHasher::new(settings, Arc::clone(&entropy) as _).unwrap();
        let sign_in = SignIn::new(SignInParts {
            store: Arc::clone(&store) as _,
            issuer: Arc::clone(&issuer) as _,
            identities: Arc::clone(&store) as _,
            clock: Arc::clone(&clock) as _,
            entropy,
            hasher: hasher.clone(),
            limiter: Arc::clone(&limiter) as _,
            meter: Arc::clone(&meter) as _,
            root: Arc::new(root()),
            remembered: Arc::clone(&store) as _,
            security: Arc::clone(&store) as _,
            listener: None,
            codes: None,
        });
        let mut customer = guard("customer");
        change(&mut customer);
        let world = Self {
            store,
            issuer,
            limiter,
            meter,
            clock,
            hasher,
            sign_in,
            customer: Arc::new(customer),
            admin: Arc::new(guard("admin")),
        };
        world.add("customer:42", EMAIL, Some(PASSWORD)).await;
        world
    }

    pub(crate) async fn add(&self, key_text: &str, identifier: &str, password: Option<&str>) {
        let hash = match password {
            Some(password) => {
                let hash = self.hasher.hash(password.into()).await.unwrap();
                Some(hash.expose_secret().to_owned())
            }
            None => None,
        };
        self.store.tables().accounts.push(Account {
            key: key(key_text),
            identifiers: vec![identifier.into()],
            hash,
            next_hashes: Vec::new(),
            ban: None,
            tenants: Vec::new(),
            attributes: serde_json::Map::new(),
            version: 7,
        });
    }

    pub(crate) fn ban(&self, key_text: &str, reason: &str) {
        let mut tables = self.store.tables();
        let account = tables.accounts.iter_mut().find(|account| account.key == key(key_text));
        account.unwrap().ban = Some(Ban {
            reason: Some(reason.into()),
            until: None,
        });
    }

    /// The first account belongs to these tenants; the first is that of its column.
    pub(crate) fn belongs_to(&self, tenants: &[&str]) {
        let tenants = tenants.iter().map(|tenant| TenantName::new(tenant).unwrap());
        self.store.tables().accounts[0].tenants = tenants.collect();
    }

    pub(crate) fn set_hash(&self, hash: String) {
        self.store.tables().accounts[0].hash = Some(hash);
    }

    pub(crate) fn clock_now(&self) -> time::OffsetDateTime {
        use bekci_core::Clock as _;
        self.clock.now()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by.unsigned_abs());
    }

    /// The customer signs in at the customer guard.
    pub(crate) async fn signed_in(&self) -> SignedIn {
        let attempt = attempt(EMAIL, PASSWORD);
        let granted = self.sign_in.password(&self.customer, attempt).await.unwrap();
        granted.full().unwrap()
    }

    /// A refresh at the customer guard from the customer's device.
    pub(crate) async fn refresh(&self, before: &SignedIn) -> Result<SignedIn, SignInError> {
        self.refresh_from(before, Some(DEVICE)).await
    }

    pub(crate) async fn refresh_from(&self, before: &SignedIn, device: Option<&str>) -> Result<SignedIn, SignInError> {
        let attempt = from(before.refresh.expose_secret(), device);
        self.sign_in.refresh(&self.customer, attempt).await
    }
}
