//! From a checked configuration to the parts that serve.

mod front;
mod outdated;

use std::{os::unix::fs::DirBuilderExt, path::PathBuf, sync::Arc};

use bekci::{
    Argon2Cost, BadCors, BadMessage, BadTenancy, Bekci, BuildError, HashSettings, RedisSettings, Settings,
    TrustedProxies,
};
use bekci_core::{
    AnswerShape, AuthGuard, CookieNames, GuardChain, GuardLimits, IdKind, Meter, ModelName, ModelSpec, PolicyLine,
    RefreshRules, RootSecret, RouteKind, RouteRule, SessionRules, TokenSources, Verification,
};
use bekci_migration::{ModelTable, sea_orm_migration::sea_orm::DatabaseConnection};
use bekci_policy::{NumberedLine, PolicyModel, parse_csv};
use bekci_store::OpenError;
use bekci_token::{Algorithm, KeyStoreError, OsEntropy};

use crate::{
    config::{Config, Problem, types},
    proxy::{HostHeader, Upstream, UpstreamProblem, UpstreamSpec},
    routes::{RouteProblem, RouteSpec, RouteTable},
    tenancy,
    tls::{self, TlsProblem},
    users,
};

pub(crate) use front::{cors, messages};

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
    /// The database failed while the schema was looked at.
    #[error("the schema cannot be read or changed: {0}")]
    SchemaUnread(String),
    /// Tenants cannot be looked for where the configuration says.
    #[error("tenancy.source: {0}")]
    Tenancy(#[from] BadTenancy),
    /// The policy model or its seed cannot be used.
    #[error("the policy cannot be used: {0}")]
    Policy(String),
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

/// A model of the configuration. `admin` and `customer` need no section.
fn model_spec(config: &Config, name: &ModelName) -> ModelSpec {
    let mut spec = ModelSpec::new(name.clone(), &format!("{name}s"));
    let in_a_file = users::files(config).contains_key(name);
    let Some(section) = config.models.get(name) else {
        return spec;
    };
    spec.id_kind = match section.id_kind {
        _ if in_a_file => IdKind::Text,
        types::IdKind::Integer => IdKind::Integer,
        types::IdKind::Uuid => IdKind::Uuid,
        types::IdKind::Text => IdKind::Text,
    };
    spec.table = section.table.as_str().to_owned();
    spec.id_column = section.id_column.as_str().to_owned();
    spec.identifiers = section
        .identifiers
        .iter()
        .map(|identifier| (identifier.column.as_str().to_owned(), identifier.ignores_case))
        .collect();
    let column = |column: &Option<types::Column>| column.as_ref().map(|column| column.as_str().to_owned());
    spec.password_column = column(&section.password_column);
    spec.status_column = column(&section.status_column);
    spec.verified_column = column(&section.verified_column);
    spec.tenant_column = column(&section.tenant_column);
    spec.cached_attributes = section
        .cached_attributes
        .iter()
        .map(|column| column.as_str().to_owned())
        .collect();
    spec.banned_statuses = section
        .banned_statuses
        .iter()
        .map(|status| status.as_str().to_owned())
        .collect();
    spec
}

/// The models of all guards.
pub(crate) fn models(config: &Config) -> Vec<ModelSpec> {
    let mut models: Vec<ModelSpec> = Vec::new();
    for guard in config.guards.values() {
        if !models.iter().any(|model| model.name == guard.model) {
            models.push(model_spec(config, &guard.model));
        }
    }
    models
}

/// The models' tables, as the migration is told of them; a model in a users file has none.
pub(crate) fn tables(config: &Config) -> Vec<ModelTable> {
    let in_files = users::files(config);
    let models = models(config).into_iter();
    let in_tables = models.filter(|model| !in_files.contains_key(&model.name));
    in_tables.map(|model| bekci::model_table(&model)).collect()
}

/// Looks whether the schema is what this version needs, and with `change` makes it so.
pub(crate) async fn schema(config: &Config, database: &DatabaseConnection, change: bool) -> Result<(), AssembleError> {
    let failed = |error: bekci_migration::sea_orm_migration::DbErr| AssembleError::SchemaUnread(error.to_string());
    let tables = tables(config);
    let status = bekci_migration::status(database, &tables).await.map_err(failed)?;
    if status.is_current() {
        return Ok(());
    }
    if !change {
        return Err(AssembleError::SchemaOld(outdated::lacking(&status)));
    }
    let report = bekci_migration::up(database, &tables).await.map_err(failed)?;
    tracing::info!(applied = ?report.applied, created = ?report.created, watched = ?report.watched, "the schema was brought up to date");
    Ok(())
}

fn seconds(value: types::Seconds) -> time::Duration {
    time::Duration::seconds(i64::from(value.get()))
}

fn unless_zero(value: types::Seconds) -> Option<time::Duration> {
    (value.get() > 0).then(|| seconds(value))
}

/// The guards of the configuration.
pub(crate) fn guards(config: &Config) -> Vec<AuthGuard> {
    let https = config.server.public_url.is_https();
    let guards = config.guards.iter().map(|(name, section)| AuthGuard {
        name: name.clone(),
        model: section.model.clone(),
        id_kind: model_spec(config, &section.model).id_kind,
        audience: section.audience.as_str().to_owned(),
        sources: TokenSources {
            header: section.sources.contains(&types::Source::Header),
            cookie: section.sources.contains(&types::Source::Cookie),
        },
        cookies: CookieNames::new(name, https),
        auth_path: section.auth_path.as_str().to_owned(),
        aliases: section
            .aliases
            .iter()
            .map(|(path, call)| (path.as_str().to_owned(), call.as_str().to_owned()))
            .collect(),
        answer_shape: match section.answer_shape {
            types::AnswerShape::Envelope => AnswerShape::Envelope,
            types::AnswerShape::Flat => AnswerShape::Flat,
        },
        session: SessionRules {
            access_ttl: seconds(section.access_ttl_seconds),
            refresh: RefreshRules {
                ttl: seconds(section.refresh_ttl_seconds),
                idle: unless_zero(section.session_idle_seconds),
                grace: seconds(section.refresh_reuse_grace_seconds),
                lost_response: time::Duration::hours(i64::from(section.refresh_lost_response_hours.get())),
            },
            max_age: unless_zero(section.session_max_seconds),
            unique: section.unique_session,
            max_sessions: section.max_sessions,
        },
        limits: GuardLimits {
            sign_in: section.rate_limit.sign_in,
            refresh: section.rate_limit.refresh,
        },
        claims: section
            .claims
            .iter()
            .map(|(claim, column)| (claim.as_str().to_owned(), column.as_str().to_owned()))
            .collect(),
        sign_in_url: section
            .sign_in_url
            .as_ref()
            .map(|url| url.as_str().to_owned())
            .unwrap_or_default(),
        // Refused in the file: nobody who could confirm a sign-in stands before the gateway alone.
        verification: Verification::Off,
        temporary_ttl: seconds(section.temporary_ttl_seconds),
        password_min_length: usize::try_from(section.password_min_length).unwrap_or(usize::MAX),
    });
    guards.collect()
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

/// How passwords are hashed.
pub(crate) fn hash_settings(config: &Config) -> HashSettings {
    let mut settings = HashSettings::default();
    // One pool hashes for all guards, at the highest cost that any of them asks for.
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

/// Opens the database of the configuration; the folder of an SQLite file is made.
pub(crate) async fn database(config: &Config) -> Result<DatabaseConnection, AssembleError> {
    if let Some(folder) = config
        .database
        .sqlite_path()
        .as_deref()
        .and_then(std::path::Path::parent)
        && !folder.as_os_str().is_empty()
    {
        // The file holds the hashes of passwords.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| AssembleError::Folder {
            folder: folder.to_owned(),
            error,
        })?;
    }
    Ok(bekci::connect(&config.database.effective_url(), config.database.max_connections).await?)
}

fn policy_file(path: &std::path::Path) -> Result<String, AssembleError> {
    std::fs::read_to_string(path).map_err(|error| AssembleError::Policy(format!("{}: {error}", path.display())))
}

fn said(path: &std::path::Path, error: bekci_policy::PolicyError) -> AssembleError {
    AssembleError::Policy(format!("{}: {error}", path.display()))
}

/// The policy model of the configuration.
pub(crate) fn policy_model(config: &Config) -> Result<PolicyModel, AssembleError> {
    PolicyModel::parse(&policy_file(&config.policy.model)?).map_err(|error| said(&config.policy.model, error))
}

/// The policy model and the seed, where a route asks policies.
fn policy(config: &Config) -> Result<Option<(PolicyModel, Vec<NumberedLine>)>, AssembleError> {
    if !config.routes.iter().any(|route| route.policy) {
        return Ok(None);
    }
    let model = policy_model(config)?;
    let seed = parse_csv(&policy_file(&config.policy.seed)?).map_err(|error| said(&config.policy.seed, error))?;
    bekci_policy::compile_text(&model, &seed).map_err(|error| said(&config.policy.seed, error))?;
    Ok(Some((model, seed)))
}

/// Puts together everything but the routes, on a database whose schema is what this version needs. What happens is told to the meter.
pub(crate) async fn bekci(
    config: &Config,
    database: DatabaseConnection,
    meter: Arc<dyn Meter>,
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
    meter: Option<Arc<dyn Meter>>,
) -> Result<Bekci, AssembleError> {
    let mut settings = Settings::new(
        config.server.public_url.as_str(),
        &config.token.keys_dir,
        root_secret(config)?,
    );
    settings.issuer = Some(config.token.issuer.as_str().to_owned());
    settings.algorithm = algorithm(config);
    settings.jwt_secret = config.secrets.jwt.as_ref().map(types::Secret::text);
    settings.leeway = seconds(config.token.leeway_seconds);
    settings.activate_after = seconds(config.token.activate_after_seconds);
    settings.tenancy = tenancy::of(config)?;
    settings.make_missing_keys = Some(makes_keys(config));
    settings.passwords = hash_settings(config);
    let server = config.server.clone();
    settings.trusted_proxies = TrustedProxies::new(move |peer| server.trusts(peer));
    settings.body_bytes = usize::try_from(config.limits.body_bytes).unwrap_or(usize::MAX);
    settings.cache.max_staleness = Some(config.identity_cache.max_staleness_ms.duration());
    settings.cache.poll = config.identity_cache.poll_ms.duration();
    settings.cache.ttl = config.identity_cache.ttl_seconds.duration();
    let mut builder = Bekci::builder(settings).database(database);
    builder = match meter {
        Some(meter) => builder.meter(meter),
        None => builder.quiet(),
    };
    if let Some(url) = config.redis.effective_url() {
        builder = builder.redis(RedisSettings {
            url,
            ca_file: config.redis.ca_file.clone(),
            prefix: config.redis.prefix.as_str().to_owned(),
        });
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

/// The routes of the configuration, over these guards; and those that can never be reached.
pub(crate) fn routes(
    config: &Config,
    guards: &[Arc<AuthGuard>],
) -> Result<(RouteTable, Vec<RouteProblem>), AssembleError> {
    RouteTable::new(route_specs(config, guards)?).map_err(AssembleError::Routes)
}

/// The routes of the configuration one by one, in its order.
pub(crate) fn route_specs(config: &Config, guards: &[Arc<AuthGuard>]) -> Result<Vec<RouteSpec>, AssembleError> {
    let (routes, clients) = (config.routes.iter(), tls::Clients::default());
    routes
        .map(|route| route_spec(config, route, guards, &clients))
        .collect()
}

fn upstream(route: &str, upstream: &types::Upstream, clients: &tls::Clients) -> Result<Arc<Upstream>, AssembleError> {
    let urls: Vec<String> = upstream.urls.iter().map(|url| url.as_str().to_owned()).collect();
    let by_tls = urls.iter().any(|url| url.starts_with("https:"));
    let tls = by_tls
        .then(|| clients.trusting(upstream.ca_file.as_deref()))
        .transpose();
    let tls = tls.map_err(|problem| AssembleError::UpstreamTls {
        route: route.to_owned(),
        problem: Box::new(problem),
    })?;
    let spec = UpstreamSpec {
        urls,
        tls,
        health_path: upstream.health_path.as_ref().map(|path| path.as_str().to_owned()),
        timeout: upstream.timeout,
        host: HostHeader::default(),
    };
    Upstream::new(spec).map_err(|problem| AssembleError::Upstream {
        route: route.to_owned(),
        problem,
    })
}

fn route_spec(
    config: &Config,
    route: &types::Route,
    guards: &[Arc<AuthGuard>],
    clients: &tls::Clients,
) -> Result<RouteSpec, AssembleError> {
    let id = route.id.as_str();
    let servers = route.upstream.as_ref();
    let upstream = servers.map(|servers| upstream(id, servers, clients)).transpose()?;
    Ok(RouteSpec {
        id: id.into(),
        hosts: route.hosts.iter().map(host_pattern).collect(),
        paths: route.paths.iter().map(|path| path.as_str().to_owned()).collect(),
        methods: route.methods.iter().map(|method| method.as_str().to_owned()).collect(),
        rule: Arc::new(route_rule(config, route, guards)),
        upstream,
        semicolon_allowed: false,
    })
}

pub(crate) fn host_pattern(host: &types::HostPattern) -> String {
    match host {
        types::HostPattern::Any => "*".to_owned(),
        types::HostPattern::Below(names) => format!("*{names}"),
        types::HostPattern::Exact(name) => name.clone(),
    }
}

fn route_rule(config: &Config, route: &types::Route, guards: &[Arc<AuthGuard>]) -> RouteRule {
    let chain = route
        .guards
        .iter()
        .filter_map(|name| guards.iter().find(|guard| guard.name == *name))
        .map(Arc::clone);
    let either = |right: &types::Right| (right.role.clone(), Some(right.permission.clone()));
    RouteRule {
        id: route.id.as_str().into(),
        guards: GuardChain::new(chain),
        kind: match route.kind {
            _ if route.public => RouteKind::Public,
            // Refused in the file; and the gateway makes no temporary identities, so that nobody is let in who would not be by `authorized`.
            types::RouteKind::Authorized | types::RouteKind::Unverified => RouteKind::Authorized,
            types::RouteKind::Fresh(seconds) => RouteKind::Fresh(seconds),
            types::RouteKind::Guest => RouteKind::Guest,
        },
        roles: route.roles.clone(),
        any_permission: route.any_permission.clone(),
        permissions: route.permissions.clone(),
        role_or_permission: route.role_or_permission.iter().map(either).collect(),
        policy: route.policy,
        policy_at_hand: false,
        consistency: match route.consistency {
            types::Consistency::Direct => bekci_core::Consistency::Direct,
            types::Consistency::L1 => bekci_core::Consistency::L1,
            types::Consistency::Inherit => match config.identity_cache.consistency {
                types::IdentityConsistency::L1 => bekci_core::Consistency::L1,
                types::IdentityConsistency::Direct => bekci_core::Consistency::Direct,
            },
        },
    }
}
