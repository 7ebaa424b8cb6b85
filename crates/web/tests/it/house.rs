//! A whole Bekci over SQLite in a folder of its own: admins with whole numbers as ids, customers with UUIDs, at a clock that stands still.

use std::{sync::Arc, time::Duration};

use bekci::{
    Argon2Cost, AuthModel, Bekci, BuildError, Builder, HashSettings, Settings, connect,
    core::{AuthGuard, Clock, PrincipalKey, RootSecret, testing::FakeClock},
};
use bekci_store::SystemClock;
use bekci_test_support::TempDir;
use sea_orm::{ActiveModelTrait, Set, prelude::Uuid};
use secrecy::{ExposeSecret, SecretString};

use crate::models::{
    admin::{self, Admin},
    customer::{self, Customer},
};

pub const NOW: i64 = 1_800_000_000;
pub const PASSWORD: &str = "correct horse battery staple";

/// The pieces, and the folder that they live in.
pub struct House {
    pub bekci: Bekci,
    pub clock: Arc<FakeClock>,
    folder: TempDir,
}

/// Shows the hour of a clock that stands still, and goes on all the same: the database's clock does, and by it a node whose heart stood still for six Δ is not waited for.
#[derive(Debug)]
struct Beating(Arc<FakeClock>);

impl Clock for Beating {
    fn now(&self) -> time::OffsetDateTime {
        self.0.now()
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }
}

pub fn settings(folder: &TempDir, public_url: &str) -> Settings {
    let root = RootSecret::new(&(0..32).collect::<Vec<u8>>()).unwrap();
    let mut settings = Settings::new(public_url, folder.path().join("keys"), root);
    settings.passwords = HashSettings {
        cost: Argon2Cost::SMALLEST,
        ..HashSettings::default()
    };
    settings
}

pub async fn database(folder: &TempDir) -> sea_orm::DatabaseConnection {
    let url = format!("sqlite://{}", folder.path().join("bekci.db").display());
    connect(&SecretString::from(url), 4).await.unwrap()
}

impl House {
    pub async fn new() -> Self {
        Self::built("http://localhost", |builder| builder).await
    }

    pub async fn built(public_url: &str, change: impl FnOnce(Builder) -> Builder) -> Self {
        Self::made(public_url, |_| (), change).await
    }

    pub async fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        Self::made("http://localhost", change, |builder| builder).await
    }

    async fn made(public_url: &str, set: impl FnOnce(&mut Settings), change: impl FnOnce(Builder) -> Builder) -> Self {
        let folder = TempDir::new("house");
        let clock = Arc::new(FakeClock::at(NOW));
        let mut settings = settings(&folder, public_url);
        set(&mut settings);
        let builder = Bekci::builder(settings)
            .database(database(&folder).await)
            .clock(clock.clone())
            .guard::<Admin>()
            .with(without_security)
            .guard::<Customer>()
            .with(without_security);
        let bekci = change(builder).build().await.unwrap();
        bekci.migrate().await.unwrap();
        Self { bekci, clock, folder }
    }

    /// A house, and a second node on its database, keys and clock.
    pub async fn of_two_nodes() -> (Self, Bekci) {
        let clock = Arc::new(FakeClock::at(NOW));
        let beating: Arc<dyn Clock> = Arc::new(Beating(clock.clone()));
        let mut house = Self::built("http://localhost", |builder| builder.clock(beating.clone())).await;
        house.clock = clock;
        let second = house.second_node_with(|builder| builder.clock(beating)).await;
        (house, second)
    }

    /// A second node on the same database, keys and clock, and something else about it.
    pub async fn second_node_with(&self, change: impl FnOnce(Builder) -> Builder) -> Bekci {
        let builder = Bekci::builder(settings(&self.folder, "http://localhost"))
            .database(database(&self.folder).await)
            .clock(self.clock.clone())
            .guard::<Admin>()
            .with(without_security)
            .guard::<Customer>()
            .with(without_security);
        change(builder).build().await.unwrap()
    }

    async fn hash(&self) -> String {
        let hash = self.bekci.passwords().hash(SecretString::from(PASSWORD)).await.unwrap();
        hash.expose_secret().to_owned()
    }

    /// An admin with this id; its address is `<name>@example.com`.
    pub async fn admin(&self, id: i64, name: &str) -> PrincipalKey {
        let account = admin::ActiveModel {
            id: Set(id),
            email: Set(format!("{name}@example.com")),
            name: Set(Some(name.to_owned())),
            password_hash: Set(Some(self.hash().await)),
            status: Set("active".to_owned()),
            email_verified_at: Set(None),
        };
        account.insert(&self.bekci.connection()).await.unwrap();
        admin::Model::spec().unwrap().key(&id.to_string()).unwrap()
    }

    /// A customer; its address is `<name>@example.com`, its login `<name>`.
    pub async fn customer(&self, name: &str) -> PrincipalKey {
        // The name in front, so that each has its own.
        let mut bytes = [0x40; 16];
        for (byte, letter) in bytes.iter_mut().zip(name.bytes()) {
            *byte = letter;
        }
        let id = Uuid::from_bytes(bytes);
        let account = customer::ActiveModel {
            id: Set(id),
            email: Set(format!("{name}@example.com")),
            login: Set(name.to_owned()),
            password: Set(self.hash().await),
        };
        account.insert(&self.bekci.connection()).await.unwrap();
        customer::Model::spec().unwrap().key(&id.to_string()).unwrap()
    }

    /// The folder of the signing keys.
    pub fn keys(&self) -> std::path::PathBuf {
        self.folder.path().join("keys")
    }

    pub fn guard(&self, name: &str) -> &Arc<AuthGuard> {
        self.bekci.watch().guard(name).unwrap()
    }
}

/// Most tests send one cookie of several.
fn without_security(guard: &mut AuthGuard) {
    guard.session.security_rotate = None;
}

/// Why these settings are refused.
pub async fn refused(change: impl FnOnce(Builder) -> Builder) -> BuildError {
    let folder = TempDir::new("refused");
    let builder = Bekci::builder(settings(&folder, "https://example.com")).database(database(&folder).await);
    change(builder).build().await.unwrap_err()
}
