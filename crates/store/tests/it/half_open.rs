//! A link that is half open takes what is sent and answers nothing. No request waits for it for long, and what it swallowed is not waited for when it is well again.

use std::{
    future::Future,
    io::Write,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bekci_core::{Clock, ModelName, TokenId, signin::EndSessions};
use bekci_store::{
    AccountQuery, Barrier, CacheSettings, CommitError, RedisSettings, Store, StoreSettings, SystemClock,
};
use bekci_test_support::{Link, Redis};
use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};
use secrecy::SecretString;

use crate::scene::{Ask, Kind, Scene, key, sign_in, until};

/// 2 s by the design. A machine that does much else beside the test takes longer, and never as long as a request that nothing bounds.
const NO_REQUEST_TAKES: Duration = Duration::from_secs(4);
/// 1 s by the design.
const BACK_WITHIN: Duration = Duration::from_secs(4);
/// So that no test hangs.
const AT_MOST: Duration = Duration::from_secs(60);
const LASTS: Duration = Duration::from_secs(5);

fn now() -> Duration {
    SystemClock.uptime()
}

type Work = Box<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

fn work<F: Future<Output = bool> + Send + 'static>(run: impl Fn() -> F + Send + Sync + 'static) -> Work {
    Box::new(move || Box::pin(run()))
}

/// What requests wait for, each by its name; `true`: it was served.
fn requests(store: &Store, scene: &Scene, sid: TokenId) -> Vec<(&'static str, Work)> {
    let (one, two) = (key("customer:1"), key("customer:2"));
    let guard = Arc::clone(&scene.customer);
    let mut all: Vec<(&'static str, Work)> = Vec::new();
    for name in [
        "direct read",
        "direct read beside it",
        "a third direct read",
        "a fourth direct read",
    ] {
        let (node, who, at) = (store.clone(), two.clone(), Arc::clone(&guard));
        all.push((
            name,
            work(move || {
                let (node, who, at) = (node.clone(), who.clone(), Arc::clone(&at));
                async move { Ask::of(&who, &at).direct().try_view(&node).await.is_ok() }
            }),
        ));
    }
    let next = Arc::new(std::sync::atomic::AtomicU32::new(1_000));
    let (node, at) = (store.clone(), Arc::clone(&guard));
    all.push((
        "read of a principal that is not in memory",
        work(move || {
            let (node, at) = (node.clone(), Arc::clone(&at));
            let who = key(&format!("customer:{}", next.fetch_add(1, Ordering::SeqCst)));
            async move { Ask::of(&who, &at).try_view(&node).await.is_ok() }
        }),
    ));
    let sessions = store.sign_in_store();
    all.push((
        "credentials",
        work(move || {
            let sessions = Arc::clone(&sessions);
            async move {
                let model = ModelName::new("customer").unwrap();
                sessions.credentials(&model, "c1@example.com").await.is_ok()
            }
        }),
    ));
    let (sessions, at) = (store.sign_in_store(), Arc::clone(&guard));
    all.push((
        "refresh",
        work(move || {
            let sessions = Arc::clone(&sessions);
            let request = crate::sessions::presented(&at, sid, 0, time::Duration::ZERO);
            async move { sessions.refresh(&request).await.is_ok() }
        }),
    ));
    let (sessions, who) = (store.sign_in_store(), one.clone());
    all.push((
        "sessions of an account",
        work(move || {
            let (sessions, who) = (Arc::clone(&sessions), who.clone());
            async move { sessions.sessions(&who).await.is_ok() }
        }),
    ));
    let (sessions, who) = (store.sign_in_store(), two.clone());
    all.push((
        "sign-out everywhere",
        work(move || {
            let (sessions, who) = (Arc::clone(&sessions), who.clone());
            async move {
                let ended = sessions.end_sessions(&who, None, &EndSessions::All, time::OffsetDateTime::UNIX_EPOCH);
                ended.await.is_ok()
            }
        }),
    ));
    let (directory, who) = (store.directory(), one);
    all.push((
        "an account by the management",
        work(move || {
            let (directory, who) = (directory.clone(), who.clone());
            async move { directory.find(&who).await.is_ok() }
        }),
    ));
    let directory = store.directory();
    all.push((
        "a list by the management",
        work(move || {
            let directory = directory.clone();
            async move {
                let query = AccountQuery {
                    limit: 10,
                    ..AccountQuery::default()
                };
                let model = ModelName::new("customer").unwrap();
                directory.list(&model, &query).await.is_ok()
            }
        }),
    ));
    let connection = store.connection();
    all.push((
        "a change of rights",
        work(move || {
            let connection = connection.clone();
            async move {
                let sql = "UPDATE customers SET name = name || 'x' WHERE id = 3";
                connection.execute_unprepared(sql).await.is_ok()
            }
        }),
    ));
    let connection = store.connection();
    all.push((
        "a transaction of the application",
        work(move || {
            let connection = connection.clone();
            async move {
                let Ok(transaction) = connection.begin().await else {
                    return false;
                };
                let read = transaction.execute_unprepared("SELECT 1").await.is_ok();
                sea_orm::TransactionSession::rollback(transaction).await.is_ok() && read
            }
        }),
    ));
    let node = store.clone();
    all.push((
        "whether a change is everywhere",
        work(move || {
            let node = node.clone();
            async move { node.holds(0).await.is_ok() }
        }),
    ));
    all
}

/// Runs each request over and over while the link is half open, then until each is served; gives how long the slowest took, and how long it was until all were served.
async fn suffer(link: &Link, requests: &[(&'static str, Work)]) -> (Duration, &'static str, Duration) {
    let ends = now() + LASTS;
    link.half_open(true);
    let each = requests.iter().map(|(name, request)| async move {
        let mut slowest = Duration::ZERO;
        while now() < ends {
            let began = now();
            let served = request().await;
            slowest = slowest.max(now() - began);
            if !served {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        (slowest, *name)
    });
    let watch = async {
        tokio::time::sleep(LASTS).await;
        link.half_open(false);
        let back = requests.iter().map(|(_, request)| async move {
            while !request().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            now() - ends
        });
        futures_util::future::join_all(back).await
    };
    let (slowest, back) = tokio::join!(futures_util::future::join_all(each), watch);
    let (slowest, which) = slowest.into_iter().max().unwrap();
    (slowest, which, back.into_iter().max().unwrap())
}

async fn holds_its_bounds(link: &Link, store: &Store, scene: &Scene) {
    let sid = sign_in(store, &scene.customer, &key("customer:1")).await;
    let requests = requests(store, scene, sid);
    for (name, request) in &requests {
        assert!(request().await, "{name} before the fault");
    }
    let suffered = tokio::time::timeout(AT_MOST, suffer(link, &requests)).await;
    let (slowest, which, back) = suffered.expect("it does not recover");
    let told = format!("slowest: {which}, {slowest:?}; all served {back:?} after the fault");
    assert!(slowest < NO_REQUEST_TAKES, "{told}");
    assert!(back < BACK_WITHIN, "{told}");
    // The pool has all its connections still: none is lost to a statement that has no answer.
    for (name, request) in &requests {
        let mut served = futures_util::future::join_all((0..8).map(|_| request())).await;
        served.dedup();
        assert_eq!(served, [true], "{name} afterwards");
    }
    let _told = writeln!(std::io::stderr(), "{told}");
}

async fn pool(url: &str) -> DatabaseConnection {
    bekci_store::connect(&SecretString::from(url), 5).await.unwrap()
}

fn as_shipped(scene: &Scene, redis: Option<RedisSettings>) -> StoreSettings {
    StoreSettings {
        cache: CacheSettings::default(),
        redis,
        ..scene.settings()
    }
}

async fn opened(url: &str, settings: StoreSettings) -> Store {
    let store = Store::open(pool(url).await, settings).await.unwrap();
    until(|| store.is_trusted()).await;
    store
}

async fn half_open_database(kind: Kind) {
    let scene = Scene::new(kind).await;
    let (link, url) = Link::to_url(scene.url());
    let store = opened(&url, as_shipped(&scene, None)).await;
    holds_its_bounds(&link, &store, &scene).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_waits_for_postgres_that_does_not_answer() {
    half_open_database(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_waits_for_mariadb_that_does_not_answer() {
    half_open_database(Kind::MariaDb).await;
}

/// Takes a role away at one node, over a link that is lost at COMMIT; then again, until a call says that it is in force.
async fn lost_at_commit(kind: Kind, lose: fn(&Link, bool)) {
    let scene = Scene::new(kind).await;
    let (link, url) = Link::to_url(scene.url());
    let here = opened(&url, as_shipped(&scene, None)).await;
    let there = scene.node().await;
    let give = "INSERT INTO bekci_principal_roles VALUES ('customer', '1', 'customer', '', 'buyer')";
    there.connection().execute_unprepared(give).await.unwrap();
    let who = key("customer:1");
    for node in [&here, &there] {
        assert!(Ask::of(&who, &scene.customer).can(node, "orders.view").await);
    }
    let take = || {
        let node = here.clone();
        async move {
            let transaction = node.connection().begin().await?;
            let sql = "DELETE FROM bekci_principal_roles WHERE id = '1'";
            transaction.execute_unprepared(sql).await?;
            Ok::<_, sea_orm::DbErr>(transaction.commit_with(Barrier::Always).await)
        }
    };
    here.failpoints().hold("commit.before");
    let change = tokio::spawn(take());
    here.failpoints().reached("commit.before", 1).await;
    lose(&link, true);
    let began = now();
    here.failpoints().release("commit.before");
    let outcome = tokio::time::timeout(AT_MOST, change).await.expect("it hangs").unwrap();
    let took = now() - began;
    assert!(matches!(outcome, Ok(Err(CommitError::Unknown(_)))), "{outcome:?}");
    assert!(took < NO_REQUEST_TAKES, "{took:?}");
    lose(&link, false);
    let again = async { while !matches!(take().await, Ok(Ok(committed)) if committed.effective) {} };
    assert!(
        tokio::time::timeout(AT_MOST, again).await.is_ok(),
        "no retry is in force"
    );
    for node in [&here, &there] {
        assert!(!Ask::of(&who, &scene.customer).can(node, "orders.view").await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_does_not_arrive_is_unknown_and_its_retry_is_in_force_on_postgres() {
    lost_at_commit(Kind::Postgres, Link::half_open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_unknown_and_its_retry_is_in_force_on_postgres() {
    lost_at_commit(Kind::Postgres, Link::loses_answers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_does_not_arrive_is_unknown_and_its_retry_is_in_force_on_mariadb() {
    lost_at_commit(Kind::MariaDb, Link::half_open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_unknown_and_its_retry_is_in_force_on_mariadb() {
    lost_at_commit(Kind::MariaDb, Link::loses_answers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_waits_for_a_redis_that_does_not_answer() {
    let scene = Scene::new(Kind::Postgres).await;
    let server = Redis::start();
    let (link, url) = Link::to_url(&server.url());
    let redis = RedisSettings {
        url: url.into(),
        ca_file: None,
        prefix: "bekci:".to_owned(),
    };
    let store = opened(scene.url(), as_shipped(&scene, Some(redis))).await;
    holds_its_bounds(&link, &store, &scene).await;
    store.close().await;
}

/// The connections that were idle when the link was lost are found out when they are next used, not given to requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_died_unused_cost_no_request_its_answer() {
    let scene = Scene::new(Kind::Postgres).await;
    let (link, url) = Link::to_url(scene.url());
    // Without a loop, which would use them. A busy machine is given time.
    let mut settings = as_shipped(&scene, None);
    settings.cache.read_within = Duration::from_secs(20);
    let store = Store::open_quiet(pool(&url).await, settings).await.unwrap();
    let who = key("customer:1");
    for answer in futures_util::future::join_all((0..2).map(|_| store.holds(0))).await {
        answer.unwrap();
    }
    link.forget_all();
    let began = now();
    Ask::of(&who, &scene.customer).direct().view(&store).await;
    let took = now() - began;
    assert!(took < NO_REQUEST_TAKES, "{took:?}");
}
