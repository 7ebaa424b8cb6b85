//! Redis as operators run it: by a user with few permissions, read-only, with commands renamed, as a cluster, behind sentinels, with
//! connections that are closed.

use std::time::Duration;

use bekci_core::{CountedBy, GuardName, Limit, LimitKey, Rate, Settled, Slot, TokenId};
use bekci_store::{OpenError, RedisProblem, RedisSettings, Store};
use bekci_test_support::{Redis, RedisCluster, RedisSentinels};

use crate::scene::{Kind, Scene, key};

const PREFIX: &str = "bekci:";

fn settings(url: String) -> RedisSettings {
    RedisSettings {
        url: url.into(),
        ca_file: None,
        prefix: PREFIX.to_owned(),
    }
}

/// A store that counts and shares in this Redis.
async fn quiet(scene: &Scene, url: String) -> Store {
    let mut with = scene.settings();
    with.redis = Some(settings(url));
    scene.quiet_node(with).await
}

fn rate() -> Rate {
    "5/h".parse().unwrap()
}

fn limit(n: u8) -> LimitKey {
    LimitKey::new(
        &GuardName::new("customer").unwrap(),
        Limit::SignIn,
        CountedBy::Account,
        TokenId([n; 16]),
    )
}

/// Attempts of sign-in are counted, and an identity is shared.
async fn does_all(store: &Store) {
    let limiter = store.rate_limiter();
    for n in 1..=5 {
        let id = TokenId([n; 16]);
        assert_eq!(limiter.take(&limit(9), rate(), id).await, Ok(Slot::Taken), "{n}");
        assert_eq!(
            limiter.settle(&limit(9), rate(), id, Settled::Refused).await,
            Ok(n == 5)
        );
    }
    assert!(matches!(
        limiter.take(&limit(9), rate(), TokenId([6; 16])).await,
        Ok(Slot::Full { .. })
    ));
    let report = store.try_redis().await.unwrap();
    assert_eq!((report.problem, report.hints), (None, None));
}

/// What a store finds, and whether a start is refused.
async fn found(scene: &Scene, url: String) -> (RedisProblem, bool) {
    let store = quiet(scene, url.clone()).await;
    let problem = store.try_redis().await.unwrap().problem.unwrap();
    store.close().await;
    let mut with = scene.settings();
    with.redis = Some(settings(url));
    let refused = match Store::open(scene.pool().await, with).await {
        Ok(store) => {
            store.close().await;
            false
        }
        Err(OpenError::Redis(told)) => {
            assert_eq!(told, problem);
            true
        }
        Err(other) => panic!("{other}"),
    };
    (problem, refused)
}

fn url_of(server: &Redis, user: &str) -> String {
    format!("redis://{user}:secret@{}", server.server().address())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_what_the_documents_name_and_nothing_else_does_all() {
    let (scene, server) = (Scene::new(Kind::Sqlite).await, Redis::start());
    let permit = "on >secret ~bekci:* &bekci:changes +get +setex +del +ttl +@scripting +time +@sortedset +pttl +pexpire +publish +subscribe";
    let permit: Vec<&str> = ["ACL", "SETUSER", "app"].into_iter().chain(permit.split(' ')).collect();
    server.cli(&permit);
    let store = quiet(&scene, url_of(&server, "app")).await;
    does_all(&store).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_may_not_do_what_is_needed_is_refused_at_the_start_with_the_commands() {
    let (scene, server) = (Scene::new(Kind::Sqlite).await, Redis::start());
    for (user, permit, commands) in [
        ("noeval", "~* &* +@all -eval -evalsha", "EVALSHA"),
        ("noload", "~* &* +@all -script", "SCRIPT LOAD"),
        ("keys", "~other:* &* +@all", "keys bekci:@limit:*"),
        ("nosets", "~* &* +@all -zadd", "ZADD"),
        ("reads", "~bekci:@limit:* &* +@all", "SETEX or DEL of keys bekci:*"),
    ] {
        let permit: Vec<&str> = ["ACL", "SETUSER", user, "on", ">secret"]
            .into_iter()
            .chain(permit.split(' '))
            .collect();
        server.cli(&permit);
        let (problem, refused) = found(&scene, url_of(&server, user)).await;
        assert!(refused, "{user}: {problem}");
        assert!(problem.to_string().contains(commands), "{user}: {problem}");
    }
    let (problem, refused) = found(&scene, url_of(&server, "stranger")).await;
    assert!(refused, "{problem}");
    assert!(!problem.to_string().contains("secret"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_that_are_not_permitted_are_named_and_refuse_nothing() {
    let (scene, server) = (Scene::new(Kind::Sqlite).await, Redis::start());
    server.cli(&[
        "ACL",
        "SETUSER",
        "quiet",
        "on",
        ">secret",
        "~*",
        "resetchannels",
        "+@all",
    ]);
    let mut with = scene.settings();
    with.redis = Some(settings(url_of(&server, "quiet")));
    let store = Store::open(scene.pool().await, with).await.unwrap();
    let report = store.try_redis().await.unwrap();
    assert_eq!(report.problem, None);
    assert!(report.hints.unwrap().to_string().contains("channel bekci:changes"));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_and_renamed_commands_are_refused_at_the_start() {
    let (scene, master) = (Scene::new(Kind::Sqlite).await, Redis::start());
    let port = master.server().port().to_string();
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &port]);
    let (problem, refused) = found(&scene, replica.url()).await;
    assert!(
        refused && problem.to_string().to_lowercase().contains("read only"),
        "{problem}"
    );
    let renamed = Redis::start_with(&["--rename-command", "EVALSHA", "HIDDEN"]);
    let (problem, refused) = found(&scene, renamed.url()).await;
    assert!(refused && problem.to_string().contains("EVALSHA"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_down_refuses_no_start() {
    let scene = Scene::new(Kind::Sqlite).await;
    let (problem, refused) = found(&scene, format!("redis://127.0.0.1:{}", bekci_test_support::free_port())).await;
    assert!(!refused && matches!(problem, RedisProblem::Silent(_)), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_closed_costs_no_attempt_its_answer() {
    let (scene, server) = (Scene::new(Kind::Sqlite).await, Redis::start());
    let store = quiet(&scene, server.url()).await;
    let limiter = store.rate_limiter();
    for n in 1..=4 {
        // As a server does that closes what was idle for too long.
        server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let id = TokenId([n; 16]);
        assert_eq!(limiter.take(&limit(1), rate(), id).await, Ok(Slot::Taken), "{n}");
        server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert_eq!(
            limiter.settle(&limit(1), rate(), id, Settled::Refused).await,
            Ok(false),
            "{n}"
        );
    }
    let id = TokenId([7; 16]);
    // An attempt that is sent twice has one slot.
    for _ in 0..3 {
        assert_eq!(limiter.take(&limit(1), rate(), id).await, Ok(Slot::Taken));
    }
    assert_eq!(
        server
            .cli(&["ZCARD", &format!("bekci:@limit:{}", limit(1).as_str())])
            .trim(),
        "5"
    );
    store.close().await;
}

/// Attempts go on while the master dies; none that is full has room again, and all have answers once another is master.
async fn survives_a_failover(store: &Store, written: impl FnOnce(), master: &Redis) {
    does_all(store).await;
    written();
    let limiter = store.rate_limiter();
    let full = async || limiter.take(&limit(9), rate(), TokenId([8; 16])).await;
    assert!(matches!(full().await, Ok(Slot::Full { .. })));
    master.stop();
    let mut refused = 0;
    for n in 0.. {
        match full().await {
            // The answer of the new master, which has what the old one had.
            Ok(Slot::Full { .. }) => break,
            Ok(other) => panic!("{other:?}: what was counted is lost"),
            Err(_) => refused += 1,
        }
        assert!(n < 600, "no master came after {refused} attempts");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let report = store.try_redis().await.unwrap();
    assert_eq!(report.problem, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_counts_and_shares_and_goes_on_after_a_failover() {
    let (scene, cluster) = (Scene::new(Kind::Sqlite).await, RedisCluster::start());
    let store = quiet(&scene, cluster.url()).await;
    let name = format!("bekci:@limit:{}", limit(9).as_str());
    let holds = |node: &&Redis| node.try_cli(&["ZCARD", &name]).is_ok_and(|count| count.trim() == "5");
    let copied = || {
        for node in &cluster.nodes()[..3] {
            node.cli(&["WAIT", "1", "2000"]);
        }
    };
    // Which master has the key is known once it is there.
    does_all(&store).await;
    let master = cluster.nodes()[..3].iter().find(holds).unwrap();
    for node in &cluster.nodes()[..3] {
        node.cli(&["FLUSHALL"]);
    }
    survives_a_failover(&store, copied, master).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_that_sentinels_name_is_followed_through_a_failover() {
    let (scene, all) = (Scene::new(Kind::Sqlite).await, RedisSentinels::start());
    let store = quiet(&scene, all.url()).await;
    let master = &all.servers()[0];
    let copied = || drop(master.cli(&["WAIT", "2", "2000"]));
    survives_a_failover(&store, copied, master).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_of_a_cluster_is_the_one_that_was_stored() {
    let (scene, cluster) = (Scene::new(Kind::Sqlite).await, RedisCluster::start());
    let store = quiet(&scene, cluster.url()).await;
    let customer = key("customer:1");
    crate::scene::Ask::of(&customer, &scene.customer).view(&store).await;
    let mut tries = 0;
    while !cluster.nodes()[..3].iter().any(|node| {
        node.try_cli(&["EXISTS", "bekci:customer:1"])
            .is_ok_and(|count| count.trim() == "1")
    }) {
        assert!(tries < 400, "it was never stored");
        tries += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.close().await;
}
