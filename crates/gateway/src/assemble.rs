//! From a checked configuration to the parts that serve.

mod front;
mod guards;
mod identity;
mod mail;
mod outdated;
mod policy;
mod routes;
mod schema;

use std::{
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use bekci::{
    Argon2Cost, AuditTrail, BadCors, BadMessage, BadTenancy, Bekci, BuildError, HashSettings, RedisSettings, Settings,
    TrustedProxies,
};
use bekci_core::{HashScheme, PolicyLine, RootSecret};
use bekci_migration::sea_orm_migration::sea_orm::DatabaseConnection;
use bekci_store::OpenError;
use bekci_token::{Algorithm, KeyStoreError, OsEntropy};

use crate::{
    config::{Config, Problem, types},
    ops::Metrics,
    proxy::UpstreamProblem,
    routes::RouteProblem,
    tenancy,
    tls::TlsProblem,
    users,
};

use guards::seconds;
use policy::policy;

pub(crate) use front::{cors, messages};
pub(crate) use guards::{guards, models, tables};
pub(crate) use identity::{identity_gaps, identity_headers};
pub(crate) use mail::mail;
pub(crate) use outdated::lacking;
pub(crate) use policy::{policy_model, policy_seed};
pub(crate) use routes::{host_pattern, route_specs, routes};
pub(crate) use schema::{migrate, models_with_tables, schema};

/// Why nothing could be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssembleError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The guards, keys or secrets do not fit.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The root secret is missing, and this node may not make one of its own.
    #[error(
        "the root secret {0} is missing; nodes on a server database must share it: make it once with `bekci key generate`"
    )]
    NoRoot(PathBuf),
    /// The schema is not what this version needs.
    #[error("the schema is out of date: {0}; run `bekci migrate up`, or set database.auto_migrate = true")]
    SchemaOld(String),
    /// Account tables are missing that may be there under other names.
    #[error("{0}")]
    TablesUnmatched(String),
    /// The database failed while the schema was looked at.
    #[error("the schema cannot be read or changed: {0}")]
    SchemaUnread(String),
    /// Tenants cannot be looked for where the configuration says.
    #[error("tenancy.source: {0}")]
    Tenancy(#[from] BadTenancy),
    /// The policy model or its seed cannot be used.
    #[error("the policy cannot be used: {0}")]
    Policy(String),
    /// Mails cannot be sent as `[mail]` says.
    #[error("mail: {0}")]
    Mail(String),
    /// A message cannot be taken.
    #[error("messages: {0}")]
    Message(#[from] BadMessage),
    /// Pages of other origins cannot be allowed what is said.
    #[error("cors: {0}")]
    Cors(#[from] BadCors),
    /// A users file has mistakes.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Users(Vec<Problem>),
    /// A key file is at fault.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    /// A folder cannot be made.
    #[error("the folder {folder} cannot be made: {error}")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A store that was opened beside the running one did not come to decide from memory.
    #[error("the new store has not read the database's changes in time")]
    NotReady,
    /// A route's upstream cannot be.
    #[error("route {route}: {problem}")]
    Upstream {
        /// The route.
        route: String,
        /// Why.
        problem: UpstreamProblem,
    },
    /// A route's upstream cannot be spoken to by TLS.
    #[error("route {route}: {problem}")]
    UpstreamTls {
        /// The route.
        route: String,
        /// Why.
        problem: Box<TlsProblem>,
    },
    /// The listener cannot speak TLS.
    #[error("server.tls: {0}")]
    Tls(#[from] TlsProblem),
    /// The routes contradict each other.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Routes(Vec<RouteProblem>),
}

/// The algorithm of the configuration, as the key ring names it.
pub(crate) fn algorithm(config: &Config) -> Algorithm {
    use types::Algorithm as Named;
    match config.token.algorithm {
        Named::EdDsa => Algorithm::EdDsa,
        Named::Es256 => Algorithm::Es256,
        Named::Es384 => Algorithm::Es384,
        Named::Rs256 => Algorithm::Rs256,
        Named::Ps256 => Algorithm::Ps256,
        Named::Hs256 => Algorithm::Hs256,
        Named::Hs384 => Algorithm::Hs384,
        Named::Hs512 => Algorithm::Hs512,
    }
}

/// Whether missing keys and the root secret are made by themselves: on SQLite, where there is one node.
pub(crate) fn makes_keys(config: &Config) -> bool {
    config.database.kind() == types::DatabaseKind::Sqlite
}

fn root_secret(config: &Config) -> Result<RootSecret, AssembleError> {
    match config.secrets.root() {
        types::Root::Ready(secret) => Ok(secret),
        types::Root::Missing(path) if makes_keys(config) => Ok(bekci::ensure_root(path, &OsEntropy)?),
        types::Root::Missing(path) => Err(AssembleError::NoRoot(path.to_owned())),
    }
}

/// How a guard hashes new passwords.
pub(crate) fn hash_scheme(section: types::PasswordHash) -> HashScheme {
    match section {
        types::PasswordHash::Argon2id {
            memory_kib,
            iterations,
            lanes,
        } => HashScheme::Argon2id {
            memory_kib,
            iterations,
            lanes,
        },
        types::PasswordHash::Bcrypt { cost } => HashScheme::Bcrypt { cost },
    }
}

/// How passwords are hashed.
pub(crate) fn hash_settings(config: &Config) -> HashSettings {
    let mut settings = HashSettings::default();
    // One pool hashes for all guards; each guard has a scheme of its own. This one is for hashes of no guard.
    let costs = config.guards.values().filter_map(|guard| match guard.password_hash {
        types::PasswordHash::Argon2id {
            memory_kib,
            iterations,
            lanes,
        } => Some(Argon2Cost {
            memory_kib,
            iterations,
            lanes,
        }),
        types::PasswordHash::Bcrypt { .. } => None,
    });
    if let Some(cost) = costs.max_by_key(|cost| cost.memory_kib) {
        settings.cost = cost;
    }
    settings.threads = std::num::NonZeroUsize::new(usize::from(config.limits.parallel_hashes));
    settings
}

/// Opens the database of the configuration; the folder of an SQLite file is made, and the file. Both are closed to others, since it holds the hashes of passwords.
pub(crate) async fn database(config: &Config) -> Result<DatabaseConnection, AssembleError> {
    if let Some(path) = config.database.sqlite_path() {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| AssembleError::Folder {
                folder: folder.to_owned(),
                error,
            })?;
        }
        // SQLite makes the files beside it with its mode. Where it cannot be made, or is there, opening the database tells.
        let mut file = std::fs::OpenOptions::new();
        let _made = file.write(true).create_new(true).mode(0o600).open(&path);
    }
    Ok(bekci::connect(&config.database.effective_url(), config.database.max_connections).await?)
}

/// Puts together everything but the routes, on a database whose schema is what this version needs. What happens is told to the meter.
pub(crate) async fn bekci(
    config: &Config,
    database: DatabaseConnection,
    meter: Arc<Metrics>,
) -> Result<Bekci, AssembleError> {
    together(config, database, Some(meter)).await
}

/// The same for a command that does its work and ends.
pub(crate) async fn quiet(config: &Config, database: DatabaseConnection) -> Result<Bekci, AssembleError> {
    together(config, database, None).await
}

/// `meter`: who is told by a gateway that serves; `None`: it is a command, without a node of its own.
async fn together(
    config: &Config,
    database: DatabaseConnection,
    meter: Option<Arc<Metrics>>,
) -> Result<Bekci, AssembleError> {
    let mut settings = Settings::new(
        config.server.public_url.as_str(),
        &config.token.keys_dir,
        root_secret(config)?,
    );
    settings.issuer = Some(config.token.issuer.as_str().to_owned());
    settings.algorithm = algorithm(config);
    settings.jwt_secret = config.secrets.jwt.as_ref().map(types::Secret::text);
    settings.otp_secret = config.secrets.otp.as_ref().map(types::Secret::text);
    settings.leeway = seconds(config.token.leeway_seconds);
    settings.activate_after = seconds(config.token.activate_after_seconds);
    settings.tenancy = tenancy::of(config)?;
    settings.make_missing_keys = Some(makes_keys(config));
    settings.passwords = hash_settings(config);
    if let Some(metrics) = &meter {
        let refuses = Arc::clone(&metrics.log_refuses);
        settings.audit = AuditTrail::new(move || !refuses.load(Ordering::Relaxed));
    }
    let server = config.server.clone();
    settings.trusted_proxies = TrustedProxies::new(move |peer| server.trusts(peer));
    settings.body_bytes = usize::try_from(config.limits.body_bytes).unwrap_or(usize::MAX);
    settings.cache.max_staleness = Some(config.identity_cache.max_staleness_ms.duration());
    settings.cache.poll = config.identity_cache.poll_ms.duration();
    settings.cache.ttl = config.identity_cache.ttl_seconds.duration();
    settings.cache.drift_checks_per_minute = config.identity_cache.drift_checks_per_minute;
    let mut builder = Bekci::builder(settings).database(database).mail(mail(config)?);
    builder = match meter {
        Some(metrics) => builder.stats(metrics.stats.clone()).meter(metrics),
        None => builder.quiet(),
    };
    if let Some(url) = config.redis.effective_url() {
        builder = builder.redis(RedisSettings {
            url,
            ca_file: config.redis.ca_file.clone(),
            prefix: config.redis.prefix.as_str().to_owned(),
        });
    }
    for (name, client) in &config.clients {
        builder = builder.client(name.as_str(), client.secret.text());
    }
    let policy = policy(config)?;
    if let Some((model, _)) = &policy {
        builder = builder.policy(Arc::new(model.clone()));
    }
    let models = models(config);
    let mut users = users::read(config, &models).map_err(AssembleError::Users)?;
    for model in models {
        builder = builder.model(model);
    }
    for guard in guards(config) {
        let provider = users.iter().position(|users| *users.model() == guard.model);
        let provider = provider.map(|at| users.swap_remove(at));
        builder = builder.auth_guard(guard);
        if let Some(provider) = provider {
            builder = builder.provider(Arc::new(provider));
        }
    }
    let bekci = builder.build().await?;
    if let Some((_, seed)) = policy {
        let lines: Vec<PolicyLine> = seed.into_iter().map(|numbered| numbered.line).collect();
        bekci
            .store()
            .policies()
            .seed(&lines)
            .await
            .map_err(|error| AssembleError::Policy(error.to_string()))?;
    }
    Ok(bekci)
}
