//! What signing in reads, and what is never written.

use bekci_core::{
    ModelName, PrincipalKey,
    signin::{NewSession, Opened, OpenedTemporary},
};
use bekci_store::{Store, StoreSettings};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use secrecy::{ExposeSecret, SecretString};
use time::Duration;

use super::{open, outcome, presented};
use crate::scene::{ADMIN, Ask, Scene, key, new_session, on_every_store, until};

on_every_store! {
    an_account_is_found_by_its_identifier_and_no_other_text,
    two_accounts_with_one_identifier_are_both_given,
    a_hash_is_replaced_only_if_it_is_the_one_that_was_read,
    another_hash_than_the_one_verified_opens_nothing_and_is_no_account_gone,
    no_table_and_no_entry_holds_a_secret,
}

async fn found(store: &Store, model: &str, identifier: &str) -> Vec<PrincipalKey> {
    let model = ModelName::new(model).unwrap();
    let found = store.sign_in_store().credentials(&model, identifier).await;
    found.unwrap().into_iter().map(|credential| credential.key).collect()
}

/// A node for which these columns of customers are identifiers.
async fn node_with(scene: &Scene, identifiers: &[(&str, bool)]) -> Store {
    let mut settings: StoreSettings = scene.settings();
    let customers = settings
        .models
        .iter_mut()
        .find(|model| model.name.as_str() == "customer");
    customers.unwrap().identifiers = identifiers
        .iter()
        .map(|(column, case)| ((*column).to_owned(), *case))
        .collect();
    scene.quiet_node(settings).await
}

async fn an_account_is_found_by_its_identifier_and_no_other_text(scene: Scene) {
    let here = scene.quiet_node(scene.settings()).await;
    assert_eq!(found(&here, "customer", "c1@example.com").await, [key("customer:1")]);
    assert_eq!(found(&here, "admin", "a@example.com").await, [key(ADMIN)]);
    for other in [
        "",
        "C1@example.com",
        " c1@example.com",
        "c1@example.co",
        "a@example.com",
        "Customer 1",
        "1",
        "%",
        "_1@example.com",
        "' OR '1'='1",
        "' OR 1=1 --",
        "c1@example.com' --",
        "c1@example.com'; DROP TABLE customers; --",
        "\" OR \"1\"=\"1",
        "$1",
        "c1@example.com\0",
        "\0",
        "\\",
        "c\u{0131}@example.com",
        &"x".repeat(100_000),
    ] {
        assert_eq!(found(&here, "customer", other).await, [], "{:.40?}", other);
    }
    for model in ["supplier", "customers"] {
        assert_eq!(found(&here, model, "c1@example.com").await, []);
    }
    assert_eq!(
        found(&here, "customer", "c2@example.com").await,
        [key("customer:2")],
        "the table is still there"
    );
    let no_case = node_with(&scene, &[("email", true)]).await;
    for text in ["c1@example.com", "C1@Example.COM"] {
        assert_eq!(found(&no_case, "customer", text).await, [key("customer:1")]);
    }
    assert_eq!(
        found(&no_case, "customer", "' OR lower(email) = lower(email) --").await,
        []
    );
}

async fn two_accounts_with_one_identifier_are_both_given(scene: Scene) {
    let two = node_with(&scene, &[("email", false), ("name", false)]).await;
    let db = scene.pool().await;
    db.execute_unprepared("UPDATE customers SET name = 'c1@example.com' WHERE id = 2")
        .await
        .unwrap();
    let mut both = found(&two, "customer", "c1@example.com").await;
    both.sort();
    assert_eq!(both, [key("customer:1"), key("customer:2")]);
    assert_eq!(found(&two, "customer", "Customer 3").await, [key("customer:3")]);
    // One account that two of its columns name is one account.
    db.execute_unprepared("UPDATE customers SET name = 'c3@example.com' WHERE id = 3")
        .await
        .unwrap();
    assert_eq!(found(&two, "customer", "c3@example.com").await, [key("customer:3")]);

    let no_case = node_with(&scene, &[("email", true)]).await;
    db.execute_unprepared("INSERT INTO customers (id, email, status) VALUES (4, 'C1@EXAMPLE.com', 'active')")
        .await
        .unwrap();
    assert_eq!(found(&no_case, "customer", "c1@example.com").await.len(), 2);
    let exact = node_with(&scene, &[("email", false)]).await;
    assert_eq!(found(&exact, "customer", "C1@EXAMPLE.com").await, [key("customer:4")]);
}

async fn stored_hash(store: &Store, identifier: &str, model: &str) -> Option<String> {
    let model = ModelName::new(model).unwrap();
    let found = store.sign_in_store().credentials(&model, identifier).await.unwrap();
    found[0]
        .password_hash
        .as_ref()
        .map(|hash| hash.expose_secret().to_owned())
}

async fn a_hash_is_replaced_only_if_it_is_the_one_that_was_read(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let secret = |text: &str| SecretString::from(text.to_owned());
    let db = scene.pool().await;
    db.execute_unprepared("UPDATE customers SET password_hash = ''")
        .await
        .unwrap();
    assert_eq!(
        stored_hash(&here, "c1@example.com", "customer").await,
        None,
        "an empty hash is none"
    );
    db.execute_unprepared("UPDATE customers SET password_hash = 'old'")
        .await
        .unwrap();
    db.execute_unprepared("UPDATE admins SET password_hash = 'old'")
        .await
        .unwrap();
    for (who, identifier) in [("customer:1", "c1@example.com"), (ADMIN, "a@example.com")] {
        let who = key(who);
        let version = Ask::of(&who, &scene.customer).direct().view(&here).await.version;
        let tries: Vec<_> = (0..8)
            .map(|n| {
                let store = if n % 2 == 0 { here.clone() } else { there.clone() };
                let (who, new) = (who.clone(), secret(&format!("new{n}")));
                tokio::spawn(async move { store.sign_in_store().rehash(&who, &secret("old"), &new).await.unwrap() })
            })
            .collect();
        let mut winners = Vec::new();
        for (n, attempt) in tries.into_iter().enumerate() {
            winners.extend(attempt.await.unwrap().then_some(format!("new{n}")));
        }
        assert_eq!(winners.len(), 1);
        let stored = stored_hash(&here, identifier, who.model()).await;
        assert_eq!(stored.as_ref(), winners.first());
        let rehash = here
            .sign_in_store()
            .rehash(&who, &secret("old"), &secret("worse"))
            .await;
        assert!(!rehash.unwrap());
        let after = Ask::of(&who, &scene.customer).direct().view(&here).await.version;
        assert_eq!(after, version, "a hash is no right");
    }
    assert_eq!(
        stored_hash(&here, "c2@example.com", "customer").await.as_deref(),
        Some("old")
    );
    for nobody in ["customer:99", "supplier:1"] {
        let rehash = here
            .sign_in_store()
            .rehash(&key(nobody), &secret("old"), &secret("new"))
            .await;
        assert!(!rehash.unwrap());
    }
}

async fn another_hash_than_the_one_verified_opens_nothing_and_is_no_account_gone(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let secret = |text: &str| SecretString::from(text.to_owned());
    scene.outside("UPDATE customers SET password_hash = 'old' WHERE id = 1");
    let verified = |hash: Option<&str>| NewSession {
        verified_hash: hash.map(secret),
        ..new_session(&scene.customer, &who)
    };
    let later = bekci_core::Clock::now(&bekci_store::SystemClock) + Duration::hours(1);
    let store = here.sign_in_store();
    assert!(matches!(
        store.open_session(&verified(Some("old"))).await.unwrap(),
        Opened::Open { .. }
    ));
    assert!(
        there
            .sign_in_store()
            .rehash(&who, &secret("old"), &secret("new"))
            .await
            .unwrap()
    );
    assert_eq!(
        store.open_session(&verified(Some("old"))).await.unwrap(),
        Opened::HashChanged
    );
    let temporary = store.open_temporary(&verified(Some("old")), later).await.unwrap();
    assert_eq!(temporary, OpenedTemporary::HashChanged);
    assert!(matches!(
        store.open_session(&verified(Some("new"))).await.unwrap(),
        Opened::Open { .. }
    ));
    scene.outside("UPDATE customers SET password_hash = NULL WHERE id = 1");
    assert_eq!(
        store.open_session(&verified(Some("new"))).await.unwrap(),
        Opened::HashChanged
    );
    assert!(matches!(
        store.open_session(&verified(None)).await.unwrap(),
        Opened::Open { .. }
    ));
}

/// Every row of every table as text, blobs in hexadecimal.
async fn dump(db: &DatabaseConnection) -> String {
    let backend = db.get_database_backend();
    let texts = async |sql: String| -> Vec<String> {
        let rows = db.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
        let text = |row: sea_orm::QueryResult| row.try_get_by_index::<Option<String>>(0).unwrap();
        rows.into_iter().filter_map(text).collect()
    };
    let tables = match backend {
        DbBackend::Postgres => "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'",
        DbBackend::MySql => "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()",
        _ => "SELECT name FROM sqlite_master WHERE type = 'table'",
    };
    let mut all = String::new();
    for table in texts(tables.to_owned()).await {
        let columns = match backend {
            DbBackend::Postgres => "t::text".to_owned(),
            DbBackend::MySql => {
                let columns = texts(format!(
                    "SELECT CONCAT('COALESCE(', CASE WHEN DATA_TYPE IN ('binary', 'blob') THEN 'HEX(`' ELSE 'CONCAT(`' END, COLUMN_NAME, '`), 0)') \
                     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}'"
                ))
                .await;
                format!("CONCAT_WS('|', {})", columns.join(", "))
            }
            _ => {
                let columns = texts(format!(
                    "SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')"
                ))
                .await;
                columns.join(" || '|' || ")
            }
        };
        all += &format!("== {table}\n");
        all += &texts(format!("SELECT {columns} FROM {table} AS t")).await.join("\n");
    }
    all
}

async fn no_table_and_no_entry_holds_a_secret(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    let device = "device-0b0c1f3e-94b6-4d0a";
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";
    let db = scene.pool().await;
    let set = format!("UPDATE customers SET password_hash = '{hash}' WHERE id = 1");
    db.execute_unprepared(&set).await.unwrap();
    let guard = &scene.customer;
    for n in 0..5 {
        let session = NewSession {
            device_hash: Some(vec![0xd5; 32]),
            device_name: Some(format!("Phone {n}")),
            ..new_session(guard, &who)
        };
        open(&here, &session).await;
        let device = |after, generation| bekci_core::signin::RefreshRequest {
            device_hash: session.device_hash.clone(),
            ..presented(guard, session.id, generation, after)
        };
        outcome(&here, &device(Duration::ZERO, 0)).await;
        outcome(&here, &device(Duration::minutes(5), 0)).await;
        let view = Ask::of(&who, guard).view(&here).await;
        here.identities().used(&view, session.id, 2);
    }
    here.flush_usage().await.unwrap();
    let dumped = dump(&db).await;
    assert!(
        dumped.contains("Phone 4") && dumped.to_lowercase().contains(&"d5".repeat(32)),
        "the dump is complete"
    );
    let root: String = (0..32_u8).map(|byte| format!("{byte:02x}")).collect();
    for secret in [device, "bkr_", &root] {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            !dumped.contains(secret) && !dumped.to_lowercase().contains(&hex),
            "{secret}"
        );
    }
    assert_eq!(dumped.matches(hash).count(), 1, "a hash stands in its own column alone");
    if let Some(redis) = scene.redis() {
        let server = bekci_test_support::Redis::shared();
        let name = format!("{}{who}", redis.prefix);
        until(|| !server.cli(&["GET", &name]).trim().is_empty()).await;
        let entry = server.cli(&["GET", &name]);
        for secret in [device, "bkr_", "argon2", "d5d5", "1dXV1dXV", "213,213"] {
            assert!(!entry.contains(secret), "{secret}");
        }
    }
}
