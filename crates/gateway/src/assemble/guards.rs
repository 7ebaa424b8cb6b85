//! The guards of a configuration, with the models whose accounts sign in at them.

use std::sync::Arc;

use bekci_core::{
    AnswerShape, AuthGuard, CookieNames, GuardLimits, IdKind, ModelName, ModelSpec, RefreshRules, Registering,
    SessionRules, TokenSources, Verification,
    codes::{OtpRules, SignInWays},
    idp::IdpSettings,
};
use bekci_migration::ModelTable;

use crate::{
    config::{Config, types},
    users,
};

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
    spec.filter = section.filter.as_ref().map(|filter| filter.0.clone());
    spec.cached_attributes = section
        .cached_attributes
        .iter()
        .map(|column| column.as_str().to_owned())
        .collect();
    let texts = |statuses: &[types::Status]| statuses.iter().map(|status| status.as_str().to_owned()).collect();
    spec.banned_statuses = texts(&section.banned_statuses);
    spec.active_statuses = texts(&section.active_statuses);
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

pub(super) fn seconds(value: types::Seconds) -> time::Duration {
    time::Duration::seconds(i64::from(value.get()))
}

fn unless_zero(value: types::Seconds) -> Option<time::Duration> {
    (value.get() > 0).then(|| seconds(value))
}

/// The attributes that users may change: of those that the model caches, and no identifier, which is changed by a confirmation.
fn own_attributes(config: &Config, section: &types::Guard) -> Vec<String> {
    let model = model_spec(config, &section.model);
    let named = section.own_attributes.iter().map(|column| column.as_str());
    let is_own = |column: &&str| {
        let is_identifier = model.identifiers.iter().any(|(name, _)| name == column);
        model.cached_attributes.iter().any(|name| name == column) && !is_identifier
    };
    named.filter(is_own).map(str::to_owned).collect()
}

/// The identity provider of a section.
fn idp(config: &Config, name: &types::Name) -> Option<Arc<IdpSettings>> {
    let section = config.idp.get(name)?;
    let client_ids = section.client_ids.iter().map(|id| id.as_str());
    // The form of a section's name is that of a provider's.
    let mut settings = IdpSettings::new(name.as_str(), section.issuer.as_str(), client_ids).ok()?;
    settings.client_secret = section.client_secret.as_ref().map(types::Secret::text);
    settings.scopes = section.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    settings.ca_file.clone_from(&section.ca_file);
    Some(Arc::new(settings))
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
        csrf: bekci_core::CsrfKey::default(),
        security: bekci_core::security::SecurityKey::default(),
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
            security_rotate: unless_zero(section.security_cookie_rotate_seconds),
            remember: time::Duration::days(i64::from(section.remember_me_days.get())),
        },
        limits: GuardLimits {
            sign_in: section.rate_limit.sign_in,
            refresh: section.rate_limit.refresh,
            otp_start: section.rate_limit.otp_start,
            register: section.rate_limit.register,
            otp: section.rate_limit.otp,
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
        ways: SignInWays {
            password: section.sign_in.contains(&types::Way::Password),
            email_otp: section.sign_in.contains(&types::Way::EmailOtp),
            email_link: section.sign_in.contains(&types::Way::EmailLink),
        },
        idps: section
            .sign_in
            .iter()
            .filter_map(|way| match way {
                types::Way::Idp(name) => idp(config, name),
                types::Way::Password | types::Way::EmailOtp | types::Way::EmailLink => None,
            })
            .collect(),
        otp: OtpRules {
            length: section.otp_length,
            ttl: seconds(section.otp_ttl_seconds),
            tries: section.otp_tries,
        },
        verification: match section.verification {
            types::Verification::Email => Verification::Email,
            // The file rejects `custom`: the gateway alone has no application that could confirm a sign-in.
            types::Verification::Off | types::Verification::Custom => Verification::Off,
        },
        temporary_ttl: seconds(section.temporary_ttl_seconds),
        registering: match section.register {
            types::Register::Open => Registering::Open,
            types::Register::Invite => Registering::Invited,
            types::Register::Closed => Registering::Closed,
        },
        require_verified_email: section.require_verified_email,
        own_attributes: own_attributes(config, section),
        redirect_uris: section
            .redirect_uris
            .iter()
            .map(|page| page.as_str().to_owned())
            .collect(),
        password_hash: Some(super::hash_scheme(section.password_hash)),
        password_rehash: section.password_rehash,
        password_min_length: usize::try_from(section.password_min_length).unwrap_or(usize::MAX),
    });
    guards.collect()
}
