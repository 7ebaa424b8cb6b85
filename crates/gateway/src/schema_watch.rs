//! A look at the triggers while the gateway serves.
//!
//! A partition or an inheriting table that is added has no triggers of Bekci, so that no node sees what is written through it. Once a minute:
//!
//! 1. With `database.auto_migrate`, the missing triggers are made. Every identity is loaded again, since what was written before was not seen.
//! 2. Without it, the log names the tables and the command. `/readyz` refuses meanwhile, as does `bekci doctor`.

use std::time::Duration;

use bekci_migration::sea_orm_migration::sea_orm::DatabaseConnection;
use tokio::time::sleep;

use crate::{assemble, config::Config, generation::Current};

const EVERY: Duration = Duration::from_secs(60);

/// Looks again and again.
pub(crate) async fn run(current: Current, database: DatabaseConnection) {
    loop {
        sleep(EVERY).await;
        let generation = current.now();
        look(&generation.loaded.config, &database).await;
    }
}

/// Looks once. A database that does not answer is reported by `/readyz`.
async fn look(config: &Config, database: &DatabaseConnection) {
    let Ok(status) = bekci_migration::status(database, &assemble::tables(config)).await else {
        return;
    };
    if status.is_current() {
        return;
    }
    let lacking = assemble::lacking(&status);
    if !config.database.auto_migrate {
        tracing::error!(%lacking, "changes by other programs are not seen until `bekci migrate up` is run");
        return;
    }
    match assemble::schema(config, database, true).await {
        Ok(()) => tracing::warn!(%lacking, "the schema was repaired"),
        Err(error) => tracing::error!(%lacking, %error, "the schema cannot be repaired; run `bekci migrate up`"),
    }
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
        look(&config(false), &database).await;
        assert_eq!(status().await.missing_watches, ["customers"]);
        let named = "SELECT count(*) FROM identity_outbox WHERE key = '@all'";
        assert_eq!(psql(&url, named).trim(), "0");
        look(&config(true), &database).await;
        assert!(status().await.is_current());
        assert_eq!(psql(&url, named).trim(), "1");
        psql(&url, "INSERT INTO vips (id, email) VALUES (77, 'v@x')");
        assert_eq!(
            psql(&url, "SELECT count(*) FROM identity_outbox WHERE key = 'customer:77'").trim(),
            "1"
        );
        look(&config(true), &database).await;
        assert_eq!(psql(&url, named).trim(), "1", "what is in order is left alone");
    }
}
