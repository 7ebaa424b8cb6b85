use bekci_test_support::Redis;

use crate::listens;

#[test]
fn a_redis_of_ones_own_answers_and_is_gone_after_drop() {
    let redis = Redis::start();
    assert_eq!(redis.cli(&["SET", "customer:42", "Ayşe"]), "OK");
    assert_eq!(redis.cli(&["GET", "customer:42"]), "Ayşe");
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}", redis.server().port()));

    let (address, folder) = (redis.server().address(), redis.server().folder().to_owned());
    drop(redis);
    assert!(!listens(address));
    assert!(!folder.exists());
}

#[test]
fn a_redis_that_was_stopped_is_out_of_reach_and_comes_back_empty_on_the_same_port() {
    let redis = Redis::start();
    let port = redis.server().port();
    redis.cli(&["SET", "key", "value"]);

    redis.stop();
    assert!(redis.try_cli(&["PING"]).is_err());
    assert_eq!(redis.server().pid(), None);

    redis.restart();
    assert_eq!(redis.server().port(), port);
    assert_eq!(redis.cli(&["DBSIZE"]), "0");
}

#[test]
fn a_paused_redis_answers_again_after_resume_and_can_be_dropped_while_paused() {
    let redis = Redis::start();
    redis.cli(&["SET", "key", "value"]);
    redis.pause();
    assert!(
        listens(redis.server().address()),
        "the kernel still takes connections for it"
    );
    redis.resume();
    assert_eq!(redis.cli(&["GET", "key"]), "value");

    redis.pause();
    let address = redis.server().address();
    drop(redis);
    assert!(!listens(address));
}

#[test]
fn an_error_answer_of_redis_is_a_failure() {
    let failure = Redis::shared().try_cli(&["NOSUCHCOMMAND"]).unwrap_err();
    assert!(failure.to_string().contains("unknown command"), "{failure}");
}

#[test]
fn the_shared_redis_outlives_the_test_that_started_it() {
    // Each in a thread that ends, as tests are: a server that dies with the thread that made it would not answer the second.
    let first = std::thread::spawn(|| Redis::shared().server().pid()).join().unwrap();
    let second = std::thread::spawn(|| Redis::shared().server().pid()).join().unwrap();
    assert!(first.is_some());
    assert_eq!(first, second);
    assert_eq!(Redis::shared().cli(&["PING"]), "PONG");
}

#[test]
fn each_test_has_a_key_prefix_of_its_own() {
    let redis = Redis::shared();
    let (one, other) = (redis.fresh_prefix("orders"), redis.fresh_prefix("orders"));
    assert_ne!(one, other);
    assert!(one.starts_with("orders_") && one.ends_with(':'), "{one}");
}
