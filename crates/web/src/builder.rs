//! Putting it together.

mod accounts;
mod idps;

use std::{sync::Arc, time::Duration};

use bekci_core::{
    AuthGuard, Clock, Entropy, FindCredentials, Gate, GateParts, GuardName, GuardSettingsError, IdpName, Meter,
    ModelName, ModelSpec, NameError, PolicyCompiler, RootSecret, Unmetered, UserProvider, security::SessionListener,
};
use bekci_idp::ProviderError;
use bekci_signin::{Clients, ExternalParts, ExternalSignIn, HasherError, PasswordHasher, SignIn, SignInParts};
use bekci_store::{
    OpenError, Providers, RedisSettings, Store, StoreSettings, SystemClock,
    sea_orm::{DatabaseConnection, DbBackend},
};
use bekci_token::{KeyRing, KeyStore, KeyStoreError, OsEntropy, RingError, RingGuard, RingSettings};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use crate::{
    AuthModel, Bekci, Cors, GuardType, MailSettings, Messages, Settings, Stats, Watch, auth,
    bekci::Parts,
    mail::{Sending, SendingParts},
    watch::Ways,
};

/// How often the key files are looked at, so that a retired key is one everywhere.
const LOOK_AT_KEYS: Duration = Duration::from_secs(1);

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The public URL is no origin.
    #[error("public_url {0:?} is not an origin, such as https://example.com")]
    PublicUrl(String),
    /// A name breaks its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no guard.
    #[error("there is no guard: add one with .guard::<Admin>()")]
    NoGuards,
    /// The secret of one-time codes is too short, or plainly not random.
    #[error("the secret of one-time codes: {0}")]
    OtpSecret(bekci_core::WeakSecret),
    /// There is no database.
    #[error("there is no database: add it with .database(db)")]
    NoDatabase,
    /// A guard is for a model that nobody described.
    #[error("guard {guard} is for model {model}, which is not registered")]
    NoModel {
        /// The guard.
        guard: GuardName,
        /// Its model.
        model: ModelName,
    },
    /// Another path of a guard's call cannot be.
    #[error("guard {guard}: the alias {path:?} {problem}")]
    Alias {
        /// The guard.
        guard: GuardName,
        /// The alias.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// One model is described in two ways.
    #[error("model {0} is described in two ways")]
    TwoModels(ModelName),
    /// `.with(..)`, `.provider(..)` or `.find_by(..)` stands before any guard.
    #[error(".with(..), .provider(..) and .find_by(..) are about the guard before them, and there is none")]
    NothingToChange,
    /// The accounts of one model come from two places.
    #[error("model {0} has two providers; each of its guards has the same accounts, so one says where they are")]
    TwoProviders(ModelName),
    /// A guard's temporary identities wait too short, or too long.
    #[error("guard {0} gives {1} for a verification; 30 seconds to an hour are taken")]
    TemporaryTtl(GuardName, time::Duration),
    /// Two guards share what must tell them apart.
    #[error(transparent)]
    Guards(#[from] GuardSettingsError),
    /// A key is at fault.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    /// The keys together are at fault.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A guard asks for what needs mails, a column or a table that is not there.
    #[error("guard {guard}: {what} needs {missing}")]
    Accounts {
        /// The guard.
        guard: GuardName,
        /// What it asks for.
        what: &'static str,
        /// What is not there.
        missing: &'static str,
    },
    /// A client of introspection and revocation is refused.
    #[error("client {name:?}: {error}")]
    Client {
        /// The client.
        name: String,
        /// What is wrong with it.
        error: bekci_signin::ClientError,
    },
    /// A guard has the name of a call that clients make.
    #[error("guard {0}: introspect and revoke are calls of clients, and cannot be names of guards")]
    CallOfClients(GuardName),
    /// A template of mails cannot be used.
    #[error(transparent)]
    Mail(#[from] bekci_mail::TemplateError),
    /// Passwords cannot be hashed as asked.
    #[error(transparent)]
    Passwords(#[from] HasherError),
    /// An identity provider cannot be used as it is described.
    #[error(transparent)]
    Idp(#[from] ProviderError),
    /// Two guards describe one identity provider in two ways.
    #[error("identity provider {0} is described in two ways")]
    TwoIdps(IdpName),
    /// A guard has an identity provider, and its accounts cannot be linked to one.
    #[error("guard {guard}: identity provider {idp} {problem}")]
    IdpOfGuard {
        /// The guard.
        guard: GuardName,
        /// The provider.
        idp: IdpName,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Collects guards, models and connections. Made by [`Bekci::builder`].
#[derive(Debug)]
pub struct Builder {
    settings: Settings,
    database: Option<DatabaseConnection>,
    redis: Option<RedisSettings>,
    policy: Option<Arc<dyn PolicyCompiler>>,
    models: Vec<ModelSpec>,
    providers: Providers,
    guards: Vec<AuthGuard>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    meter: Arc<dyn Meter>,
    stats: Option<Stats>,
    messages: Messages,
    cors: Option<Cors>,
    mail: Option<MailSettings>,
    clients: Clients,
    pub(crate) listener: Option<Arc<dyn SessionListener>>,
    quiet: bool,
    problem: Option<BuildError>,
    /// Keys that are made are an hour old, so that a test can have tokens of a while ago.
    #[cfg(feature = "testing")]
    pub(crate) older_keys: bool,
}

impl Builder {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            database: None,
            redis: None,
            policy: None,
            models: Vec::new(),
            providers: Providers::default(),
            guards: Vec::new(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            meter: Arc::new(Unmetered),
            stats: None,
            messages: Messages::default(),
            cors: None,
            mail: None,
            clients: Clients::default(),
            listener: None,
            quiet: false,
            problem: None,
            #[cfg(feature = "testing")]
            older_keys: false,
        }
    }

    /// The database, opened with [`connect`](crate::connect) or like it. Afterwards write through [`Bekci::connection`] alone.
    #[must_use]
    pub fn database(mut self, database: DatabaseConnection) -> Self {
        self.database = Some(database);
        self
    }

    /// A Redis that the nodes share, as a fast path.
    #[must_use]
    pub fn redis(mut self, redis: RedisSettings) -> Self {
        self.redis = Some(redis);
        self
    }

    /// What compiles policies: a [`PolicyModel`](crate::PolicyModel), for casbin's, or one's own. The lines are in the database: [`Store::policies`].
    #[must_use]
    pub fn policy(mut self, compiler: Arc<dyn PolicyCompiler>) -> Self {
        self.policy = Some(compiler);
        self
    }

    /// A guard, and the model that it is for.
    #[must_use]
    pub fn guard<G: GuardType>(self) -> Self {
        match (GuardName::new(G::NAME), <G::Model as AuthModel>::spec()) {
            (Ok(name), Ok(model)) => {
                let https = self.settings.is_https();
                let guard = AuthGuard::new(name, model.name.clone(), model.id_kind, https);
                self.model(model).auth_guard(guard)
            }
            (Err(fault), _) | (_, Err(fault)) => self.broken(fault.into()),
        }
    }

    /// Changes the guard that was added last: `.guard::<Admin>().with(|guard| guard.session.unique = true)`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut AuthGuard)) -> Self {
        match self.guards.last_mut() {
            Some(guard) => {
                change(guard);
                self
            }
            None => self.broken(BuildError::NothingToChange),
        }
    }

    /// The accounts of the last guard's model come from here in place of its table: `.guard::<Staff>().provider(Arc::new(Ldap::new(..)))`. No table is made or watched for
    /// it; tell what changes there by [`Bekci::touch`]. The guards of one model have the same accounts, so it is said once for them all.
    #[must_use]
    pub fn provider(self, provider: Arc<dyn UserProvider>) -> Self {
        self.of_last_model(|providers, model| providers.provide(model, provider))
    }

    /// The accounts of the last guard's model are in its table, and this looks identifiers up in place of the query on its identifier columns.
    #[must_use]
    pub fn find_by(self, finding: Arc<dyn FindCredentials>) -> Self {
        self.of_last_model(|providers, model| providers.find_by(model, finding))
    }

    fn of_last_model(mut self, add: impl FnOnce(&mut Providers, ModelName) -> bool) -> Self {
        let Some(model) = self.guards.last().map(|guard| guard.model.clone()) else {
            return self.broken(BuildError::NothingToChange);
        };
        match add(&mut self.providers, model.clone()) {
            true => self,
            false => self.broken(BuildError::TwoProviders(model)),
        }
    }

    /// A model that a configuration describes. The same description twice is one.
    #[must_use]
    pub fn model(mut self, model: ModelSpec) -> Self {
        match self.models.iter().find(|known| known.name == model.name) {
            Some(known) if *known == model => self,
            Some(_) => self.broken(BuildError::TwoModels(model.name)),
            None => {
                self.models.push(model);
                self
            }
        }
    }

    /// A guard that a configuration describes.
    #[must_use]
    pub fn auth_guard(mut self, guard: AuthGuard) -> Self {
        self.guards.push(guard);
        self
    }

    /// Changes what the application says of itself: `.settings(|settings| settings.leeway = time::Duration::ZERO)`.
    #[must_use]
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Another clock than the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Another source of chance than the machine's.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// What is told of each decision, sign-in, load, change and barrier as it happens, to count and time them.
    #[must_use]
    pub fn meter(mut self, meter: Arc<dyn Meter>) -> Self {
        self.meter = meter;
        self
    }

    /// Sentences of one's own in answers, by code and language: `.messages(Messages::default().replace(Language::English, ErrorCode::TokenMissing, "Please sign in.")?)`.
    #[must_use]
    pub fn messages(mut self, messages: Messages) -> Self {
        self.messages = messages;
        self
    }

    /// What pages of other origins may do, at Bekci's calls and the application's own alike. Without it the application says so itself.
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = Some(cors);
        self
    }

    /// How mails leave. They are queued in the database and sent beside requests.
    #[must_use]
    pub fn mail(mut self, mail: MailSettings) -> Self {
        self.mail = Some(mail);
        self
    }

    /// Statistics that this node adds to, in place of new ones: those of a node that it replaces in the same process.
    #[must_use]
    pub fn stats(mut self, stats: Stats) -> Self {
        self.stats = Some(stats);
        self
    }

    /// A client that may introspect and revoke tokens of every guard, at `introspect` and `revoke` below the prefix of [`Bekci::mount`] (RFC 7662, RFC 7009). It
    /// authenticates by its name and secret. The secret has 16 bytes or more. Without a client the two calls refuse every request.
    ///
    /// ```
    /// # use bekci::{Bekci, Settings};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let root = bekci::core::RootSecret::new(&(0..32).collect::<Vec<u8>>())?;
    /// # let settings = Settings::new("http://127.0.0.1:8080", "data/keys", root);
    /// let builder = Bekci::builder(settings).client("reporting", "a secret of 16 bytes or more".into());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn client(mut self, name: &str, secret: SecretString) -> Self {
        match self.clients.add(name, &secret) {
            Ok(()) => self,
            Err(error) => self.broken(BuildError::Client {
                name: name.to_owned(),
                error,
            }),
        }
    }

    /// For a process that does one thing and ends: it decides by fresh reads alone, so that no writer waits for it, and its own writes wait for every node as any do.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    fn broken(mut self, problem: BuildError) -> Self {
        self.problem.get_or_insert(problem);
        self
    }

    fn check(&mut self) -> Result<(), BuildError> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        self.settings.check()?;
        if self.guards.is_empty() {
            return Err(BuildError::NoGuards);
        }
        let stray = self
            .guards
            .iter()
            .find(|guard| !self.models.iter().any(|model| model.name == guard.model));
        if let Some(guard) = stray {
            return Err(BuildError::NoModel {
                guard: guard.name.clone(),
                model: guard.model.clone(),
            });
        }
        let waits = time::Duration::seconds(30)..=time::Duration::HOUR;
        if let Some(guard) = self.guards.iter().find(|guard| !waits.contains(&guard.temporary_ttl)) {
            return Err(BuildError::TemporaryTtl(guard.name.clone(), guard.temporary_ttl));
        }
        bekci_core::check_guards(&self.guards)?;
        let is_call = |guard: &&AuthGuard| matches!(guard.name.as_str(), "introspect" | "revoke");
        if let Some(guard) = self.guards.iter().find(is_call) {
            return Err(BuildError::CallOfClients(guard.name.clone()));
        }
        self.check_accounts()?;
        self.check_idps()?;
        for guard in &self.guards {
            for (path, call) in &guard.aliases {
                if let Some(problem) = auth::aliases::fault(guard, path, call) {
                    let (guard, path) = (guard.name.clone(), path.clone());
                    return Err(BuildError::Alias { guard, path, problem });
                }
            }
        }
        Ok(())
    }

    /// Reads the keys, opens the store, and starts what runs beside requests. Call it once, before the Actix factory, inside a tokio or Actix runtime.
    ///
    /// # Errors
    /// [`BuildError`]: what would have been wrong in use is refused now.
    pub async fn build(mut self) -> Result<Bekci, BuildError> {
        self.check()?;
        let stats = self.stats.take().unwrap_or_else(|| Stats::since(self.clock.now()));
        self.meter = stats.before(self.meter);
        let database = self.database.take().ok_or(BuildError::NoDatabase)?;
        for guard in &mut self.guards {
            guard.csrf = bekci_core::CsrfKey::new(&self.settings.root, &guard.name);
            guard.security = bekci_core::security::SecurityKey::new(&self.settings.root, &guard.name);
        }
        let guards: Vec<Arc<AuthGuard>> = std::mem::take(&mut self.guards).into_iter().map(Arc::new).collect();
        let identity_providers = self.identity_providers(&guards)?;
        let keys = Arc::new(self.keys(&guards, database.get_database_backend() == DbBackend::Sqlite)?);
        let hasher = PasswordHasher::new(self.settings.passwords, Arc::clone(&self.entropy))?;
        let by_https = self.settings.is_https();
        let otp_secret = self.settings.otp_secret.as_ref();
        let code_root = otp_secret.map(|secret| RootSecret::of_text(secret.expose_secret().as_bytes()));
        let code_root = code_root.transpose().map_err(BuildError::OtpSecret)?;
        let root = Arc::new(self.settings.root);
        let code_root = code_root.map_or_else(|| Arc::clone(&root), Arc::new);
        let has_policy = self.policy.is_some();
        let settings = StoreSettings {
            models: self.models.clone(),
            providers: self.providers,
            guards: guards.clone(),
            cache: self.settings.cache,
            redis: self.redis,
            policy: self.policy,
            root: Arc::clone(&root),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            meter: Arc::clone(&self.meter),
        };
        let store = match self.quiet {
            true => Store::open_quiet(database.clone(), settings).await?,
            false => Store::open(database.clone(), settings).await?,
        };
        let mailer = self.mail.as_ref().map(|mail| {
            let parts = SendingParts {
                store: &store,
                clock: Arc::clone(&self.clock),
                entropy: Arc::clone(&self.entropy),
                meter: Arc::clone(&self.meter),
            };
            crate::mail::mailer(mail, parts)
        });
        let mailer = mailer.transpose()?.filter(|_| !self.quiet);
        let gate = Gate::new(GateParts {
            verifier: keys.clone(),
            identities: store.identities(),
            clock: Arc::clone(&self.clock),
        });
        let codes = bekci_signin::CodeParts {
            store: store.code_store(),
            root: code_root,
        };
        let sign_in = SignIn::new(SignInParts {
            store: store.sign_in_store(),
            issuer: keys.clone(),
            identities: store.identities(),
            clock: self.clock,
            entropy: Arc::clone(&self.entropy),
            hasher,
            limiter: store.rate_limiter(),
            meter: self.meter.clone(),
            root: Arc::clone(&root),
            remembered: store.remember_store(),
            security: store.security_store(),
            listener: self.listener,
            codes: self.mail.as_ref().map(|_| codes.clone()),
        });
        let own_accounts = self
            .mail
            .as_ref()
            .map(|_| bekci_signin::AccountParts {
                sign_in: sign_in.clone(),
                store: store.account_store(),
                codes,
                invites: store.invite_store(),
            })
            .map(bekci_signin::Accounts::new);
        let external = ExternalSignIn::new(ExternalParts {
            sign_in: sign_in.clone(),
            links: store.link_store(),
            providers: identity_providers,
        });
        let ways = Ways {
            sign_in: sign_in.clone(),
            store: store.clone(),
            has_policy,
            prefix: Arc::default(),
            trusted_proxies: self.settings.trusted_proxies.clone(),
        };
        if !self.quiet {
            sign_in.learn_costs(&guards).await;
        }
        let watch = Watch::with_ways(gate, guards, self.models, Some(ways))?;
        let watch = watch
            .with_tenancy(self.settings.tenancy)
            .with_meter(self.meter)
            .with_messages(self.messages)
            .behind_https(by_https)
            .with_cors(self.cors);
        let (stop, stopped) = watch::channel(false);
        let looking = tokio::spawn(look_at_keys(Arc::clone(&keys), stopped));
        Ok(Bekci::new(Parts {
            watch,
            #[cfg(feature = "migration")]
            database,
            store,
            sign_in,
            keys,
            public_url: self.settings.public_url,
            root,
            entropy: self.entropy,
            trusted_proxies: self.settings.trusted_proxies,
            body_bytes: self.settings.body_bytes,
            audit: self.settings.audit,
            stop,
            sending: mailer.map(Sending::start),
            own_accounts,
            clients: self.clients,
            stats,
            external,
            mail_language: self.mail.map(|mail| mail.language).unwrap_or_default(),
            looking: std::sync::Mutex::new(Some(looking)),
            described: std::sync::Mutex::default(),
        }))
    }

    fn keys(&mut self, guards: &[Arc<AuthGuard>], is_sqlite: bool) -> Result<KeyRing, BuildError> {
        let settings = &mut self.settings;
        let algorithm = settings.algorithm;
        if settings.make_missing_keys.unwrap_or(is_sqlite) {
            let wanted: Vec<_> = guards.iter().map(|guard| (guard.name.clone(), algorithm)).collect();
            let store = KeyStore::new(&settings.keys_dir).activate_after(settings.activate_after);
            let clock = Arc::clone(&self.clock);
            #[cfg(feature = "testing")]
            let clock = if self.older_keys {
                crate::testing::hour_ago(clock)
            } else {
                clock
            };
            store.ensure(&wanted, &*clock, &*self.entropy)?;
        }
        let issuer = settings.issuer.as_ref().unwrap_or(&settings.public_url);
        let ring_guards = guards.iter().map(|guard| RingGuard::new(guard, algorithm)).collect();
        let mut ring = RingSettings::new(issuer, &settings.keys_dir, ring_guards);
        ring.activate_after = settings.activate_after;
        ring.leeway = settings.leeway;
        ring.jwt_secret = settings.jwt_secret.take();
        Ok(KeyRing::load(ring, Arc::clone(&self.clock))?)
    }
}

/// Looks at the key files until it is told to stop. The look is a few `stat`s; it is done where blocking is allowed all the same.
async fn look_at_keys(keys: Arc<KeyRing>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(LOOK_AT_KEYS) => {}
        }
        let ring = Arc::clone(&keys);
        match tokio::task::spawn_blocking(move || ring.poll()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "the signing keys cannot be read again; the old ones stay"),
            Err(_) => return,
        }
    }
}
