//! `bekci doctor`: each part that the gateway needs, looked at by itself. It changes nothing and makes nothing, so that it can be asked at any time.

mod files;
mod finding;
mod identifiers;
mod mail;
mod policy;
mod servers;
mod tables;

use std::{path::Path, sync::Arc};

use bekci::Bekci;

use self::finding::{Finding, report};
use super::Answer;
use crate::{
    assemble,
    config::{Config, types::DatabaseKind},
    proxy,
};

/// Looks at everything; what cannot be looked at because of something else says so.
pub(crate) async fn run(file: Option<&Path>) -> Answer {
    let loaded = match crate::config::load(file, crate::config::environment()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let wrong = |problem: &dyn std::fmt::Display| {
                Finding::failed(
                    "configuration",
                    problem,
                    "mend that line; `bekci config check` tells when it is good",
                )
            };
            return report(problems.iter().map(|problem| wrong(problem)).collect());
        }
    };
    let config = &loaded.config;
    let mut findings = configuration(config, loaded.file.as_deref());
    findings.extend(files::root_secret(config));
    findings.extend(files::signing_keys(config));
    findings.extend(files::certificate(config));
    findings.extend(database(config).await);
    findings.push(mail::look(config).await);
    findings.extend(upstreams(config).await);
    report(findings)
}

fn configuration(config: &Config, file: Option<&Path>) -> Vec<Finding> {
    let guards: Vec<_> = assemble::guards(config).into_iter().map(Arc::new).collect();
    let advice = "mend the configuration; `bekci config check` tells when it is good";
    if let Err(error) = bekci_core::check_guards(guards.iter().map(AsRef::as_ref)) {
        return vec![Finding::failed("configuration", error, advice)];
    }
    let unreachable = match assemble::routes(config, &guards) {
        Ok((_, unreachable)) => unreachable,
        Err(error) => return vec![Finding::failed("configuration", error, advice)],
    };
    let read = file.map_or_else(|| "the built-in defaults".to_owned(), |file| file.display().to_string());
    let good = format!("{read}: {} guards, {} routes", guards.len(), config.routes.len());
    let mut findings = vec![Finding::ok("configuration", good)];
    let never = "take the route out, or narrow those that take its requests";
    findings.extend(
        unreachable
            .iter()
            .map(|route| Finding::warning("configuration", route, never)),
    );
    if config.routes.is_empty() {
        let advice = "add [[routes]]; until then every request but Bekci's own calls is 404";
        findings.push(Finding::warning("configuration", "there are no routes", advice));
    }
    findings
}

/// The database, and what can be asked only where it is well.
async fn database(config: &Config) -> Vec<Finding> {
    let behind = |why: &str| {
        ["tables", "schema", "clock", "redis", "policy", "accounts"]
            .into_iter()
            .map(|check| Finding::skipped(check, why))
            .collect::<Vec<_>>()
    };
    if let Some(path) = config.database.sqlite_path()
        && !path.exists()
    {
        let found = format!("there is no file {}", path.display());
        let advice = "`bekci migrate up` makes it; else say in database.url where it is";
        let mut findings = vec![Finding::failed("database", found, advice)];
        findings.extend(behind("there is no database"));
        return findings;
    }
    let (finding, database) = servers::connect(config).await;
    let mut findings = vec![finding];
    let Some(database) = database else {
        findings.extend(behind("the database does not answer"));
        return findings;
    };
    let (tables, fit) = tables::look(config, &database).await;
    findings.extend(tables);
    if !fit {
        findings.extend(behind("the account tables do not fit their models").into_iter().skip(1));
        return findings;
    }
    let (schema, current) = servers::schema(config, &database).await;
    findings.extend(schema);
    let complete = current && files::are_complete(config);
    if !complete {
        let why = "the schema, a key or the root secret is missing";
        findings.extend(behind(why).into_iter().skip(2));
        return findings;
    }
    match assemble::quiet(config, database).await {
        Ok(bekci) => {
            findings.extend(parts(config, &bekci).await);
            bekci.close().await;
        }
        Err(error) => findings.push(Finding::failed(
            "start",
            error,
            "this is what `bekci serve` refuses to start with: mend what it names",
        )),
    }
    findings
}

async fn parts(config: &Config, bekci: &Bekci) -> Vec<Finding> {
    let same_clock = config.database.kind() == DatabaseKind::Sqlite;
    let mut findings = vec![
        servers::clock(config, bekci, same_clock).await,
        servers::redis(config, bekci).await,
    ];
    findings.extend(policy::look(config, bekci).await);
    findings.push(servers::accounts(config, bekci).await);
    findings.extend(identifiers::check(bekci).await);
    findings
}

async fn upstreams(config: &Config) -> Vec<Finding> {
    let guards: Vec<_> = assemble::guards(config).into_iter().map(Arc::new).collect();
    let Ok((routes, _)) = assemble::routes(config, &guards) else {
        return vec![Finding::skipped("upstream", "the routes cannot be read")];
    };
    let asked = routes.iter().filter_map(|route| {
        let upstream = route.upstream.clone()?;
        Some(async move { (route.id.clone(), proxy::examine(&upstream).await) })
    });
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    for (route, servers) in futures_util::future::join_all(asked).await {
        for (authority, problem) in servers {
            let advice = format!("start it, or correct the upstream of route {route}; until then its requests are 502");
            let finding = match &problem {
                None => Finding::ok("upstream", format!("{authority} answers")),
                Some(problem) => Finding::failed("upstream", format!("{authority}: {problem}"), &advice),
            };
            // Many routes lead to one server.
            if !seen.contains(&(authority.clone(), problem.clone())) {
                seen.push((authority, problem));
                findings.push(finding);
            }
        }
    }
    findings
}
