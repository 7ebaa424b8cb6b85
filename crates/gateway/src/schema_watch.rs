//! A look at the triggers while the gateway serves.
//!
//! A partition or an inheriting table that is added has no triggers of Bekci, so that no node sees what is written through it.
//!
//! 1. Twice within `identity_cache.max_staleness_ms`, one query looks for such tables. Only PostgreSQL has them.
//! 2. With `database.auto_migrate`, the missing triggers are made. Every identity is loaded again, since what was written before was not seen.
//! 3. Without it, or if it fails, every identity is loaded again with each look. So a change is not missed for longer than with triggers. The log names the tables and
//!    the command once a minute; `/readyz` refuses meanwhile, as does `bekci doctor`.
//! 4. Once a minute all triggers are looked at, on every database.

use std::time::Duration;

use bekci_migration::sea_orm_migration::sea_orm::DatabaseConnection;
use tokio::time::{Instant, sleep};

use crate::{assemble, config::Config, generation::Current};

/// How often all triggers are looked at, and what is wrong is logged.
const EVERY: Duration = Duration::from_secs(60);

/// Looks again and again.
pub(crate) async fn run(current: Current, database: DatabaseConnection) {
    let (mut looked, mut reported) = (Instant::now(), None);
    loop {
        let staleness = current.now().loaded.config.identity_cache.max_staleness_ms;
        sleep(staleness.duration() / 2).await;
        let generation = current.now();
        let config = &generation.loaded.config;
        if looked.elapsed() >= EVERY {
            looked = Instant::now();
            look(config, &database, true).await;
        }
        look_for_children(config, &database, &mut reported).await;
    }
}

/// Looks once for tables without triggers, and sees to it that no change through them is missed. A database that does not answer is reported by `/readyz`.
async fn look_for_children(config: &Config, database: &DatabaseConnection, reported: &mut Option<Instant>) {
    match bekci_migration::unwatched_children(database).await {
        Ok(children) if !children.is_empty() => {}
        Ok(_) | Err(_) => return,
    }
    let reports = reported.is_none_or(|at| at.elapsed() >= EVERY);
    if reports {
        *reported = Some(Instant::now());
    }
    if look(config, database, reports).await {
        *reported = None;
    } else if let Err(error) = bekci_migration::reload_all(database).await {
        tracing::error!(%error, "changes by other programs may be missed");
    }
}

/// Looks once at all triggers. Gives whether nothing is missing any more.
async fn look(config: &Config, database: &DatabaseConnection, reports: bool) -> bool {
    let Ok(status) = bekci_migration::status(database, &assemble::tables(config)).await else {
        return false;
    };
    if status.is_current() {
        return true;
    }
    let lacking = assemble::lacking(&status);
    if !config.database.auto_migrate {
        if reports {
            tracing::error!(%lacking, "changes by other programs are not seen until `bekci migrate up` is run");
        }
        return false;
    }
    let repaired = assemble::schema(config, database, true).await;
    match &repaired {
        Ok(()) => tracing::warn!(%lacking, "the schema was repaired"),
        Err(error) if reports => {
            tracing::error!(%lacking, %error, "the schema cannot be repaired; run `bekci migrate up`");
        }
        Err(_) => {}
    }
    repaired.is_ok()
}

#[cfg(test)]
mod tests {
    use bekci_test_support::{Postgres, psql};

    use super::*;

    #[tokio::test]
    async fn an_inheriting_table_gets_triggers_where_the_gateway_may_migrate_and_all_is_loaded_again() {
        let url = Postgres::shared().fresh_database("looked");
        let config = |may: bool| {
            let text = format!("[database]\nurl = '{url}'\nauto_migrate = {may}\n[token]\nkeys_dir = 'keys'\n");
            crate::config::tests::loaded(&text)
        };
        let database = assemble::database(&config(true)).await.unwrap();
        assemble::schema(&config(true), &database, true).await.unwrap();
        let status = async || {
            bekci_migration::status(&database, &assemble::tables(&config(true)))
                .await
                .unwrap()
        };
        psql(&url, "CREATE TABLE vips (since bigint) INHERITS (customers)");
        let all = || {
            psql(&url, "SELECT count(*) FROM identity_outbox WHERE key = '@all'")
                .trim()
                .to_owned()
        };
        let look = async |may: bool| look_for_children(&config(may), &database, &mut None).await;
        for looks in ["1", "2"] {
            look(false).await;
            assert_eq!(status().await.missing_watches, ["customers"]);
            assert_eq!(
                all(),
                looks,
                "without triggers everything is loaded again with each look"
            );
        }
        look(true).await;
        assert!(status().await.is_current());
        assert_eq!(all(), "3");
        psql(&url, "INSERT INTO vips (id, email) VALUES (77, 'v@x')");
        assert_eq!(
            psql(&url, "SELECT count(*) FROM identity_outbox WHERE key = 'customer:77'").trim(),
            "1"
        );
        look(true).await;
        look(false).await;
        assert_eq!(all(), "3", "what is in order is left alone");
    }
}
