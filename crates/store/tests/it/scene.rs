//! A database of its own, models in it, and as many nodes on it as a test wants.

use std::{sync::Arc, time::Duration};

use bekci_core::{
    AuthGuard, Clock, Consistency, Entropy, GuardName, Held, IdKind, IdentityVersion, ModelName, ModelSpec, Need,
    Permission, PrincipalKey, RootSecret, SourceUnavailable, TenantName, TokenId, Unmetered, View,
    signin::{NewSession, Opened, SignInTenant},
};
use bekci_store::{CacheSettings, RedisSettings, Store, StoreSettings, SystemClock};
use bekci_test_support::{MariaDb, Postgres, Redis, SqliteFile};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend};
use secrecy::SecretString;

/// Which stores a scene stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    SqliteRedis,
    Postgres,
    PostgresRedis,
    MariaDb,
    MariaDbRedis,
}

/// Runs each function of a suite on every store.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        crate::scene::on_every_store!(@kind sqlite, Sqlite, $($name),*);
        crate::scene::on_every_store!(@kind sqlite_and_redis, SqliteRedis, $($name),*);
        crate::scene::on_every_store!(@kind postgres, Postgres, $($name),*);
        crate::scene::on_every_store!(@kind postgres_and_redis, PostgresRedis, $($name),*);
        crate::scene::on_every_store!(@kind mariadb, MariaDb, $($name),*);
        crate::scene::on_every_store!(@kind mariadb_and_redis, MariaDbRedis, $($name),*);
    };
    (@kind $module:ident, $kind:ident, $($name:ident),*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::scene::Scene::new(crate::scene::Kind::$kind).await).await;
            })*
        }
    };
}
pub(crate) use on_every_store;

/// Random enough for tests, without asking the machine: bytes that count up, different in each process of a test.
#[derive(Debug)]
pub(crate) struct Chance;

impl Entropy for Chance {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), String> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let count = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_be_bytes();
        buffer
            .iter_mut()
            .zip(count.iter().cycle())
            .for_each(|(byte, count)| *byte = *count);
        Ok(())
    }
}

pub(crate) struct Scene {
    kind: Kind,
    url: String,
    sqlite: Option<SqliteFile>,
    redis: Option<RedisSettings>,
    pub(crate) admin: Arc<AuthGuard>,
    pub(crate) customer: Arc<AuthGuard>,
}

pub(crate) fn key(text: &str) -> PrincipalKey {
    PrincipalKey::parse(text).unwrap()
}

pub(crate) const ADMIN: &str = "admin:0b0c1f3e-94b6-4d0a-9d8e-0d1d5f9a1b2c";

fn model(name: &str, table: &str, id_kind: IdKind) -> ModelSpec {
    ModelSpec {
        id_kind,
        ..ModelSpec::new(ModelName::new(name).unwrap(), table)
    }
}

fn guard(name: &str, id_kind: IdKind) -> AuthGuard {
    AuthGuard::new(
        GuardName::new(name).unwrap(),
        ModelName::new(name).unwrap(),
        id_kind,
        false,
    )
}

pub(crate) fn table(model: &ModelSpec) -> bekci_migration::ModelTable {
    bekci_migration::ModelTable {
        model: model.name.to_string(),
        table: model.table.clone(),
        id_column: model.id_column.clone(),
        id_kind: match model.id_kind {
            IdKind::Integer => bekci_migration::IdKind::Integer,
            IdKind::Uuid => bekci_migration::IdKind::Uuid,
            IdKind::Text => bekci_migration::IdKind::Text,
        },
        identifiers: model.identifiers.iter().map(|(column, _)| column.clone()).collect(),
        password_column: model.password_column.clone(),
        status_column: model.status_column.clone(),
        verified_column: model.verified_column.clone(),
        tenant_column: model.tenant_column.clone(),
        attributes: vec!["name".to_owned(), "notes".to_owned()],
        watched_columns: model.watched_columns().into_iter().map(str::to_owned).collect(),
    }
}

impl Scene {
    pub(crate) async fn new(kind: Kind) -> Self {
        let (url, sqlite) = match kind {
            Kind::Sqlite | Kind::SqliteRedis => {
                let file = SqliteFile::new();
                (file.url(), Some(file))
            }
            Kind::Postgres | Kind::PostgresRedis => (Postgres::shared().fresh_database("store"), None),
            Kind::MariaDb | Kind::MariaDbRedis => (MariaDb::shared().fresh_database("store"), None),
        };
        let with_redis = [Kind::SqliteRedis, Kind::PostgresRedis, Kind::MariaDbRedis];
        let redis = with_redis.contains(&kind).then(|| {
            let server = Redis::shared();
            RedisSettings {
                ca_file: None,
                url: server.url().into(),
                prefix: server.fresh_prefix("bekci"),
            }
        });
        let scene = Self {
            kind,
            url,
            sqlite,
            redis,
            admin: Arc::new(guard("admin", IdKind::Uuid)),
            customer: Arc::new(guard("customer", IdKind::Integer)),
        };
        let db = scene.pool().await;
        let tables: Vec<_> = Self::models().iter().map(table).collect();
        bekci_migration::up(&db, &tables).await.unwrap();
        for n in 1..=3 {
            let sql = format!(
                "INSERT INTO customers (id, email, name, status) VALUES ({n}, 'c{n}@example.com', 'Customer {n}', 'active')"
            );
            db.execute_unprepared(&sql).await.unwrap();
        }
        let id = scene.uuid(ADMIN.split(':').next_back().unwrap());
        let sql =
            format!("INSERT INTO admins (id, email, name, status) VALUES ({id}, 'a@example.com', 'Admin', 'active')");
        db.execute_unprepared(&sql).await.unwrap();
        db.execute_unprepared("INSERT INTO bekci_roles (guard, tenant, name) VALUES ('customer', '', 'buyer'), ('customer', 'acme', 'boss')").await.unwrap();
        let permit = "INSERT INTO bekci_role_permissions (role_id, permission) SELECT id, 'orders.view' FROM bekci_roles WHERE name = 'buyer'";
        db.execute_unprepared(permit).await.unwrap();
        scene
    }

    fn models() -> Vec<ModelSpec> {
        vec![
            model("customer", "customers", IdKind::Integer),
            model("admin", "admins", IdKind::Uuid),
        ]
    }

    /// A pool of its own, as another program has one.
    pub(crate) async fn pool(&self) -> DatabaseConnection {
        self.pool_of(8).await
    }

    /// The same with so many connections.
    pub(crate) async fn pool_of(&self, connections: u32) -> DatabaseConnection {
        let url = SecretString::from(self.url.clone());
        bekci_store::connect(&url, connections).await.unwrap()
    }

    /// Runs SQL in the database's own shell: a writer that knows nothing of Bekci.
    pub(crate) fn outside(&self, sql: &str) {
        match &self.sqlite {
            Some(file) => drop(file.cli(sql)),
            None if self.is_mariadb() => drop(bekci_test_support::mariadb_cli(&self.url, sql)),
            None => drop(bekci_test_support::psql(&self.url, sql)),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A UUID as SeaORM writes it, as an expression.
    pub(crate) fn uuid(&self, text: &str) -> String {
        if self.is_mariadb() {
            format!("UNHEX(REPLACE('{text}', '-', ''))")
        } else {
            format!("'{text}'")
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.kind, Kind::Postgres | Kind::PostgresRedis)
    }

    pub(crate) fn is_mariadb(&self) -> bool {
        matches!(self.kind, Kind::MariaDb | Kind::MariaDbRedis)
    }

    /// Whether the database is a server, with many writers at once.
    pub(crate) fn is_server(&self) -> bool {
        self.sqlite.is_none()
    }

    /// The tables to which writes would go unseen.
    pub(crate) async fn missing_watches(&self) -> Vec<String> {
        let tables: Vec<_> = Self::models().iter().map(table).collect();
        let db = self.pool().await;
        bekci_migration::missing_watches(&db, &tables).await.unwrap()
    }

    pub(crate) fn redis(&self) -> Option<&RedisSettings> {
        self.redis.as_ref()
    }

    pub(crate) fn settings(&self) -> StoreSettings {
        StoreSettings {
            models: Self::models(),
            providers: bekci_store::Providers::default(),
            guards: vec![Arc::clone(&self.admin), Arc::clone(&self.customer)],
            cache: CacheSettings {
                max_staleness: Some(Duration::from_secs(5)),
                poll: Duration::from_millis(5),
                // A busy machine is no reason to leave Redis alone: what is tested is what it holds.
                shared_answer: Duration::from_secs(1),
                refresh_wait: Duration::from_secs(5),
                // A test that holds a read decides how long it takes.
                read_within: Duration::from_secs(60),
                ..CacheSettings::default()
            },
            redis: self.redis.clone(),
            policy: None,
            root: Arc::new(RootSecret::new(&(0..32).collect::<Vec<u8>>()).unwrap()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(Chance),
            meter: Arc::new(Unmetered),
        }
    }

    /// A node with its loop running, trusted.
    pub(crate) async fn node(&self) -> Store {
        let store = Store::open(self.pool().await, self.settings()).await.unwrap();
        until(|| store.is_trusted()).await;
        store
    }

    /// A node whose loop the test turns by hand; it has made one round.
    pub(crate) async fn quiet_node(&self, settings: StoreSettings) -> Store {
        let store = Store::open_quiet(self.pool().await, settings).await.unwrap();
        store.round().await.unwrap();
        store
    }
}

/// A test's own statement with one parameter, as this database reads it.
pub(crate) fn in_words_of(backend: DbBackend, sql: &str) -> String {
    match backend {
        DbBackend::MySql => sql.replace("AS TEXT)", "AS CHAR)").replace("$1", "?"),
        _ => sql.to_owned(),
    }
}

/// Waits for a condition; fails after 20 s, which no machine needs.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited for 20 s");
}

/// What a request asks of a node.
pub(crate) struct Ask<'a> {
    pub(crate) key: &'a PrincipalKey,
    pub(crate) guard: &'a AuthGuard,
    pub(crate) tenant: Option<TenantName>,
    pub(crate) consistency: Consistency,
}

impl<'a> Ask<'a> {
    pub(crate) fn of(key: &'a PrincipalKey, guard: &'a AuthGuard) -> Self {
        Self {
            key,
            guard,
            tenant: None,
            consistency: Consistency::L1,
        }
    }

    pub(crate) fn direct(mut self) -> Self {
        self.consistency = Consistency::Direct;
        self
    }

    pub(crate) fn need(&self) -> Need<'_> {
        Need {
            key: self.key,
            guard: &self.guard.name,
            tenant: self.tenant.as_ref(),
            at_least: IdentityVersion(0),
            policy: false,
            consistency: self.consistency,
        }
    }

    /// The view as the gate would get it: from memory if it may, else by a read.
    pub(crate) async fn try_view(&self, store: &Store) -> Result<View, SourceUnavailable> {
        let identities = store.identities();
        let ticket = identities.ticket();
        let need = self.need();
        let memory = (self.consistency == Consistency::L1)
            .then(|| identities.warm(&need))
            .flatten();
        match memory {
            Some(view) => Ok(view),
            None => identities.read(&need, ticket).await,
        }
    }

    pub(crate) async fn view(&self, store: &Store) -> View {
        self.try_view(store).await.unwrap()
    }

    /// Whether the principal holds a permission.
    pub(crate) async fn can(&self, store: &Store, permission: &str) -> bool {
        let view = self.view(store).await;
        let held = Held {
            identity: &view.identity,
            guard: &self.guard.name,
            tenant: self.tenant.as_ref(),
            roles: &view.roles,
            in_force: true,
        };
        held.can(&Permission::new(permission).unwrap())
    }
}

/// Opens a session of a principal and gives its id.
pub(crate) async fn sign_in(store: &Store, guard: &Arc<AuthGuard>, key: &PrincipalKey) -> TokenId {
    let session = new_session(guard, key);
    match store.sign_in_store().open_session(&session).await.unwrap() {
        Opened::Open { .. } => session.id,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn new_session(guard: &Arc<AuthGuard>, key: &PrincipalKey) -> NewSession {
    let mut id = TokenId([0; 16]);
    Chance.fill(&mut id.0).unwrap();
    NewSession {
        guard: Arc::clone(guard),
        key: key.clone(),
        id,
        way: "password".into(),
        remembered: false,
        verified_hash: None,
        device_name: None,
        device_hash: Some(b"device".to_vec()),
        replaces: None,
        tenant: SignInTenant::None,
        series: None,
        now: SystemClock.now(),
    }
}
