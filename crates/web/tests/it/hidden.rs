//! An account that its model's filter hides (`deleted_at:null`): hidden by SQL from outside, it is one no more on a node that holds its identity.

use std::time::Duration;

use bekci::{
    Bekci,
    core::{AuthGuard, Consistency, GuardName, IdKind, IdentityVersion, ModelName, ModelSpec, Need, PrincipalKey},
};
use bekci_test_support::TempDir;
use sea_orm::ConnectionTrait;

use crate::house::{database, settings};

const TABLE: &str = "CREATE TABLE suppliers (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, password_hash TEXT, status TEXT NOT NULL, deleted_at TEXT)";
const ONE: &str = "INSERT INTO suppliers (id, email, status) VALUES (1, 'ada@example.com', 'active')";
/// Longer than any machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn supplier() -> ModelSpec {
    let mut model = ModelSpec::new(ModelName::new("supplier").unwrap(), "suppliers");
    model.verified_column = None;
    model.cached_attributes = Vec::new();
    model.filter = Some("deleted_at:null".parse().unwrap());
    model
}

/// Whether the account is one, by what a request would see.
async fn is_there(bekci: &Bekci, guard: &GuardName) -> bool {
    let key = PrincipalKey::parse("supplier:1").unwrap();
    let need = Need {
        key: &key,
        guard,
        tenant: None,
        at_least: IdentityVersion(0),
        policy: false,
        consistency: Consistency::L1,
    };
    let identities = bekci.store().identities();
    match identities.warm(&need) {
        Some(view) => view.identity.exists,
        None => {
            identities
                .read(&need, identities.ticket())
                .await
                .unwrap()
                .identity
                .exists
        }
    }
}

#[actix_web::test]
async fn an_account_that_sql_from_outside_hides_is_one_no_more() {
    let folder = TempDir::new("hidden");
    let outside = database(&folder).await;
    for sql in [TABLE, ONE] {
        outside.execute_unprepared(sql).await.unwrap();
    }
    let (name, model) = (GuardName::new("supplier").unwrap(), ModelName::new("supplier").unwrap());
    let guard = AuthGuard::new(name.clone(), model, IdKind::Integer, false);
    let bekci = Bekci::builder(settings(&folder, "http://localhost"))
        .database(database(&folder).await)
        .model(supplier())
        .auth_guard(guard)
        .build()
        .await
        .unwrap();
    bekci.migrate().await.unwrap();
    assert!(is_there(&bekci, &name).await);
    for (sql, expected) in [
        ("UPDATE suppliers SET deleted_at = '2026-11-30' WHERE id = 1", false),
        ("UPDATE suppliers SET deleted_at = NULL WHERE id = 1", true),
    ] {
        outside.execute_unprepared(sql).await.unwrap();
        let seen = async {
            while is_there(&bekci, &name).await != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, seen).await.is_ok(), "{sql}");
    }
    bekci.close().await;
}
