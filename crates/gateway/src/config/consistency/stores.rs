//! Listeners, database, cache, tokens, models, providers, tenancy.

use std::net::SocketAddr;

use bekci::BadTenancy;

use super::Findings;
use crate::config::types::{Cidr, Config, DatabaseKind, ProviderKind, RedisScheme, TenantSource};
use crate::tenancy;

pub(super) fn check(config: &Config, findings: &mut Findings<'_>) {
    listeners(config, findings);
    database(config, findings);
    redis(config, findings);
    if config.identity_cache.poll_ms >= config.identity_cache.max_staleness_ms {
        findings.add(
            &["identity_cache", "poll_ms"],
            "must be less than max_staleness_ms: trust would run out between two polls",
        );
    }
    if config.token.algorithm.is_symmetric() && config.secrets.jwt.is_none() {
        let message = format!(
            "{:?} needs secrets.jwt, which is not there",
            config.token.algorithm.as_str()
        );
        findings.add(&["token", "algorithm"], message);
    }
    models(config, findings);
    for (name, provider) in &config.providers {
        let key = ["providers", name.as_str(), "path"];
        match (provider.kind, &provider.path) {
            (ProviderKind::File, _) if name.as_str() == "database" => {
                let key = ["providers", "database", "kind"];
                findings.add(
                    &key,
                    "is \"file\", and database is the name of the tables of the models",
                );
            }
            (ProviderKind::File, None) => findings.add(&key, "is required by kind = \"file\""),
            (ProviderKind::Database, Some(_)) => findings.add(&key, "is for kind = \"file\" alone"),
            (ProviderKind::File, Some(_)) | (ProviderKind::Database, None) => {}
        }
    }
    if let Err(bad) = tenancy::of(config) {
        let message = match bad {
            BadTenancy::NoHost => "takes the first label of a host, and no route is for the hosts below a name, as hosts = [\"*.example.com\"]".to_owned(),
            other => other.to_string(),
        };
        findings.add(&["tenancy", "source"], message);
    }
    if let Some(family) = Cidr::family_of_everyone(&config.server.trusted_proxies) {
        let message =
            format!("is every {family} address, taken together: then any client could write its own X-Forwarded-For");
        findings.add(&["server", "trusted_proxies"], message);
    }
    if matches!(config.tenancy.source, TenantSource::Header(_)) && config.server.trusted_proxies.is_empty() {
        findings.add(
            &["tenancy", "source"],
            "takes a header from trusted proxies, and server.trusted_proxies names none",
        );
    }
}

fn listeners(config: &Config, findings: &mut Findings<'_>) {
    let server = &config.server;
    let mut taken: Vec<(&str, SocketAddr)> = vec![("listen", server.listen)];
    let others = [
        ("ops_listen", Some(server.ops_listen)),
        ("decision_listen", server.decision_listen),
    ];
    for (key, address) in others.into_iter().filter_map(|(key, address)| Some((key, address?))) {
        if let Some((other, _)) = taken.iter().find(|(_, taken)| is_same_socket(*taken, address)) {
            findings.add(
                &["server", key],
                format!("is the address and port of server.{other} too"),
            );
        }
        taken.push((key, address));
    }
}

/// Whether two listeners would be in each other's way; port 0 is a new one each time.
fn is_same_socket(left: SocketAddr, right: SocketAddr) -> bool {
    let same_address = left.ip() == right.ip() || left.ip().is_unspecified() || right.ip().is_unspecified();
    left.port() != 0 && left.port() == right.port() && same_address
}

fn database(config: &Config, findings: &mut Findings<'_>) {
    if config.database.kind() != DatabaseKind::Sqlite {
        return;
    }
    for (key, is_given) in [
        ("user", config.database.user.is_some()),
        ("password", config.database.password.is_some()),
    ] {
        if is_given {
            findings.add(&["database", key], "has no meaning with SQLite");
        }
    }
}

/// A list of servers has its hosts and ports in the URL.
fn redis(config: &Config, findings: &mut Findings<'_>) {
    if !matches!(config.redis.scheme(), RedisScheme::Cluster | RedisScheme::Sentinel) {
        return;
    }
    for (key, is_given) in [
        ("host", config.redis.host.is_some()),
        ("port", config.redis.port.is_some()),
    ] {
        if is_given {
            findings.add(
                &["redis", key],
                "has no meaning with a list of servers; write them in redis.url",
            );
        }
    }
}

fn models(config: &Config, findings: &mut Findings<'_>) {
    let mut tables: Vec<(&str, &str)> = Vec::new();
    for (name, model) in &config.models {
        let name = name.as_str();
        if let Some((other, _)) = tables
            .iter()
            .find(|(_, table)| table.eq_ignore_ascii_case(model.table.as_str()))
        {
            findings.add(
                &["models", name, "table"],
                format!("is the table of models.{other} too; each model has its own"),
            );
        }
        tables.push((name, model.table.as_str()));
        let without_schemas = match config.database.kind() {
            DatabaseKind::Sqlite => Some("names a schema; SQLite has none, so write the table's name alone"),
            DatabaseKind::MariaDb => Some(
                "names a schema, which MariaDB calls a database: write the table's name alone, and its database in database.url",
            ),
            DatabaseKind::Postgres => None,
        };
        if let Some(message) = without_schemas.filter(|_| model.table.as_str().contains('.')) {
            findings.add(&["models", name, "table"], message);
        }
        if let Some(both) = model
            .active_statuses
            .iter()
            .find(|status| model.banned_statuses.contains(status))
        {
            let message = format!("holds {:?}, which is one of banned_statuses too", both.as_str());
            findings.add(&["models", name, "active_statuses"], message);
        }
        let Some(password) = &model.password_column else {
            continue;
        };
        if model.cached_attributes.contains(password) {
            findings.add(
                &["models", name, "cached_attributes"],
                "holds the column of the password's hash, which is never handed out",
            );
        }
        if model
            .identifiers
            .iter()
            .any(|identifier| identifier.column == *password)
        {
            findings.add(
                &["models", name, "identifiers"],
                "holds the column of the password's hash",
            );
        }
    }
}
