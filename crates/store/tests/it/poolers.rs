//! PostgreSQL through a pooler: it works, or the start says which setting is missing.

use bekci_store::{OpenError, Store, check_pooler};
use bekci_test_support::{PgBouncer, Postgres};

use crate::scene::{Ask, Kind, Scene, key};

/// pgbouncer of Debian takes the parameters that are asked for only where it is told to ignore them.
const IGNORES: &str = "ignore_startup_parameters = extra_float_digits, options\n";

async fn opened(scene: &Scene, url: String) -> Result<Store, OpenError> {
    let db = bekci_store::connect(&url.into(), 4).await?;
    Store::open(db, scene.settings()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_of_sessions_works() {
    let scene = Scene::new(Kind::Postgres).await;
    let pooler = PgBouncer::start(scene.url(), &format!("{IGNORES}pool_mode = session"));
    let store = opened(&scene, pooler.url()).await.unwrap();
    crate::scene::until(|| store.is_trusted()).await;
    let customer = key("customer:1");
    assert!(Ask::of(&customer, &scene.customer).view(&store).await.identity.exists);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_of_transactions_that_keeps_no_statements_is_refused_with_its_setting() {
    let scene = Scene::new(Kind::Postgres).await;
    let pooler = PgBouncer::start(scene.url(), &format!("{IGNORES}pool_mode = transaction"));
    let refused = opened(&scene, pooler.url()).await.unwrap_err().to_string();
    for word in ["max_prepared_statements", "pool_mode = session", "pools by transaction"] {
        assert!(refused.contains(word), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_refuses_parameters_is_named_with_the_setting_that_lets_them_through() {
    let scene = Scene::new(Kind::Postgres).await;
    let pooler = PgBouncer::start(scene.url(), "pool_mode = session");
    let refused = opened(&scene, pooler.url()).await.unwrap_err().to_string();
    assert!(
        refused.contains("ignore_startup_parameters = extra_float_digits, options"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_a_pooler_is_none() {
    let url = Postgres::shared().fresh_database("direct");
    let db = bekci_store::connect(&url.into(), 1).await.unwrap();
    check_pooler(&db).await.unwrap();
}
