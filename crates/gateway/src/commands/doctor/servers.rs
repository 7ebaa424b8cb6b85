//! The database and what is asked through it: schema, clock, Redis, policy, accounts.

use std::time::Duration;

use bekci::Bekci;
use bekci_core::{Clock, GuardName};
use bekci_migration::sea_orm_migration::sea_orm::DatabaseConnection;
use bekci_store::{AccountQuery, RedisProblem, SystemClock, check_pooler};

use super::{super::answer::listed, finding::Finding};
use crate::{
    assemble,
    config::{Config, types::DatabaseKind},
    serve::HINTS_ARE_LOST,
};

/// A database that takes longer is told as one that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clocks within this are alike enough for anything that Bekci does.
const LEAST_SKEW: time::Duration = time::Duration::seconds(2);

pub(super) async fn connect(config: &Config) -> (Finding, Option<DatabaseConnection>) {
    let kind = match config.database.kind() {
        DatabaseKind::Sqlite => "SQLite",
        DatabaseKind::Postgres => "PostgreSQL",
        DatabaseKind::MariaDb => "MariaDB",
    };
    let advice = "is the server up, and are database.url, user and password right? Is its port open to this machine?";
    let began = SystemClock.uptime();
    let opening = async {
        let database = assemble::database(config).await?;
        check_pooler(&database).await?;
        Ok::<_, assemble::AssembleError>(database)
    };
    match tokio::time::timeout(PATIENCE, opening).await {
        Ok(Ok(database)) => {
            let took = SystemClock.uptime().saturating_sub(began);
            (
                Finding::ok("database", format!("{kind} answers in {} ms", took.as_millis())),
                Some(database),
            )
        }
        Ok(Err(error)) => (Finding::failed("database", error, advice), None),
        Err(_) => (
            Finding::failed("database", format!("{kind} does not answer within 10 s"), advice),
            None,
        ),
    }
}

/// Tables and triggers; and whether both are there.
pub(super) async fn schema(config: &Config, database: &DatabaseConnection) -> (Vec<Finding>, bool) {
    let status = match bekci_migration::status(database, &assemble::tables(config)).await {
        Ok(status) => status,
        Err(error) => {
            let advice = "may the database user read the catalogue and these tables?";
            return (vec![Finding::failed("schema", error, advice)], false);
        }
    };
    let advice = match config.database.auto_migrate {
        true => "`bekci migrate up`; database.auto_migrate is on, so the next start does it too",
        false => "`bekci migrate up`",
    };
    let lacks = |what: &str, names: &[String]| {
        let found = format!("{what}: {}", listed(names));
        (!names.is_empty()).then(|| Finding::failed("schema", found, advice))
    };
    let lacking = [
        lacks("not applied", &status.pending),
        lacks("missing tables", &status.missing_tables),
        lacks(
            "missing triggers, so that changes from outside are not seen, on",
            &status.missing_watches,
        ),
    ];
    let lacking: Vec<Finding> = lacking.into_iter().flatten().collect();
    match lacking.is_empty() {
        true => (vec![Finding::ok("schema", "tables and triggers are up to date")], true),
        false => (lacking, false),
    }
}

pub(super) async fn clock(config: &Config, bekci: &Bekci, same: bool) -> Finding {
    if same {
        return Finding::ok("clock", "SQLite uses this machine's");
    }
    let before = SystemClock.now();
    let there = bekci.store().database_time().await;
    let after = SystemClock.now();
    let there = match there {
        Ok(there) => there,
        Err(error) => return Finding::failed("clock", error, "may the database user ask for the time?"),
    };
    // What the question took is no skew.
    let ahead = (there - after).max(time::Duration::ZERO);
    let behind = (before - there).max(time::Duration::ZERO);
    let skew = ahead.max(behind);
    let leeway = time::Duration::seconds(i64::from(config.token.leeway_seconds.get())).max(LEAST_SKEW);
    let found = format!(
        "the database's differs from this machine's by {} ms",
        skew.whole_milliseconds()
    );
    match skew <= leeway {
        true => Finding::ok("clock", found),
        false => Finding::failed(
            "clock",
            found,
            "let both machines follow one time server (chrony, systemd-timesyncd): tokens and bans end by these clocks",
        ),
    }
}

pub(super) async fn redis(config: &Config, bekci: &Bekci) -> Finding {
    let Some(report) = bekci.store().try_redis().await else {
        return Finding::ok("redis", "not used (redis.enabled = false)");
    };
    let prefix = config.redis.prefix.as_str();
    let permit = format!(
        "name the master in redis.url, or permit what is refused: `ACL SETUSER <user> ~{prefix}* &{prefix}changes +get +setex +del +ttl +@scripting +time \
         +@sortedset +pttl +pexpire +publish +subscribe` (docs/redis-keys.md); until then nobody signs in by password"
    );
    match (report.problem, report.hints) {
        (None, None) => Finding::ok(
            "redis",
            format!("does all that it is used for, in {} ms", report.took.as_millis()),
        ),
        (None, Some(problem)) => Finding::warning("redis", format!("{problem}; {HINTS_ARE_LOST}"), &permit),
        (Some(problem @ RedisProblem::Refuses { .. }), _) => Finding::failed("redis", problem, &permit),
        (Some(problem), _) => Finding::failed(
            "redis",
            format!("prefix {prefix:?}: {problem}"),
            "start it, or correct redis.url, user and password; meanwhile identities come from the database, which is slower and as safe, and nobody signs in by password, since refusals cannot be counted",
        ),
    }
}

/// Somebody must be able to manage the rest.
pub(super) async fn accounts(config: &Config, bekci: &Bekci) -> Finding {
    let admin = config
        .guards
        .iter()
        .find(|(name, _): &(&GuardName, _)| name.as_str() == "admin");
    let Some((_, section)) = admin else {
        return Finding::ok("accounts", "there is no guard admin");
    };
    let query = AccountQuery {
        limit: 1,
        ..AccountQuery::default()
    };
    match bekci.store().directory().list(&section.model, &query).await {
        Ok(page) if page.accounts.is_empty() => Finding::warning(
            "accounts",
            format!("model {} has no account", section.model),
            "`bekci principal add --model admin --email … --role super-admin --password-stdin` makes the first",
        ),
        Ok(_) => Finding::ok("accounts", format!("model {} has accounts", section.model)),
        Err(error) => Finding::failed(
            "accounts",
            error,
            "is models.<name>.table right, and may the database user read it?",
        ),
    }
}
