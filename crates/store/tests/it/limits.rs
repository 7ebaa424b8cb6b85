//! One suite for every limiter: it counts refusals, never successes, in a window that slides, and lets no more try at once than could still be refused.

use std::{sync::Arc, time::Duration};

use bekci_core::{
    CountedBy, GuardName, Limit, LimitKey, Rate, RateLimiter, SLOT_LASTS, Settled, Slot, TokenId, testing::FakeClock,
};
use bekci_store::{MemoryLimiter, RedisLimiter, RedisSettings};
use bekci_test_support::Redis;
use futures_util::future::join_all;

/// A limiter, and what lets time pass for it.
struct Limiter {
    limiter: Arc<dyn RateLimiter>,
    time: Time,
}

enum Time {
    Clock(Arc<FakeClock>),
    /// What stands there is moved back by that much: Redis has a clock of its own.
    Prefix(String),
}

fn in_process() -> Limiter {
    let clock = Arc::new(FakeClock::at(0));
    Limiter {
        limiter: Arc::new(MemoryLimiter::new(clock.clone())),
        time: Time::Clock(clock),
    }
}

fn redis_settings() -> RedisSettings {
    let server = Redis::shared();
    RedisSettings {
        url: server.url().into(),
        prefix: server.fresh_prefix("limits"),
        ca_file: None,
    }
}

fn in_redis() -> Limiter {
    let settings = redis_settings();
    let prefix = settings.prefix.clone();
    Limiter {
        limiter: Arc::new(RedisLimiter::new(&settings, Duration::from_secs(20)).unwrap()),
        time: Time::Prefix(prefix),
    }
}

const AGE: &str = "
for _, name in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local all = redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
  for at = 1, #all, 2 do redis.call('ZADD', name, all[at + 1] - ARGV[2], all[at]) end
  redis.call('PERSIST', name)
end
return 'done'";

impl Limiter {
    fn pass(&self, time: Duration) {
        match &self.time {
            Time::Clock(clock) => clock.advance(time),
            Time::Prefix(prefix) => {
                let by = time.as_millis().to_string();
                Redis::shared().cli(&["EVAL", AGE, "0", prefix, &by]);
            }
        }
    }

    async fn take(&self, key: &LimitKey, rate: Rate, id: u8) -> Slot {
        self.limiter.take(key, rate, TokenId([id; 16])).await.unwrap()
    }

    async fn settle(&self, key: &LimitKey, rate: Rate, id: u8, settled: Settled) -> bool {
        self.limiter
            .settle(key, rate, TokenId([id; 16]), settled)
            .await
            .unwrap()
    }

    async fn refused(&self, key: &LimitKey, rate: Rate, id: u8) -> bool {
        assert_eq!(self.take(key, rate, id).await, Slot::Taken, "{id}");
        self.settle(key, rate, id, Settled::Refused).await
    }
}

fn key(what: u8) -> LimitKey {
    let guard = GuardName::new("customer").unwrap();
    LimitKey::new(&guard, Limit::SignIn, CountedBy::Account, TokenId([what; 16]))
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

fn is_full(slot: Slot) -> bool {
    matches!(slot, Slot::Full { retry_after } if retry_after > Duration::ZERO && retry_after <= Duration::from_secs(3_600))
}

/// Runs each function of the suite on every limiter.
macro_rules! on_every_limiter {
    ($($name:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::in_process()).await; })*
        }
        mod in_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::in_redis()).await; })*
        }
    };
}

on_every_limiter! {
    refusals_fill_a_limit_and_successes_never_do,
    each_refusal_ceases_to_count_by_itself_when_its_time_is_over,
    who_is_turned_away_does_not_keep_the_limit_closed,
    while_attempts_are_under_way_the_next_one_waits_for_their_end,
    a_slot_that_nobody_settles_is_given_back,
    a_refusal_counts_though_its_slot_is_gone,
    of_many_at_once_no_more_than_the_limit_get_in,
    keys_have_counts_of_their_own,
}

async fn refusals_fill_a_limit_and_successes_never_do(on: Limiter) {
    let limit = rate("3/h");
    for id in 0..50 {
        assert_eq!(on.take(&key(1), limit, id).await, Slot::Taken);
        assert!(!on.settle(&key(1), limit, id, Settled::GivenBack).await);
    }
    assert!(!on.refused(&key(1), limit, 50).await);
    assert!(!on.refused(&key(1), limit, 51).await);
    assert!(
        on.refused(&key(1), limit, 52).await,
        "it is told that the limit is full"
    );
    assert!(is_full(on.take(&key(1), limit, 53).await));
}

async fn each_refusal_ceases_to_count_by_itself_when_its_time_is_over(on: Limiter) {
    let limit = rate("2/h");
    on.refused(&key(1), limit, 1).await;
    on.pass(Duration::from_secs(1_800));
    on.refused(&key(1), limit, 2).await;
    let Slot::Full { retry_after } = on.take(&key(1), limit, 3).await else {
        panic!("two of two were refused");
    };
    assert!(retry_after <= Duration::from_secs(1_800), "{retry_after:?}");
    on.pass(Duration::from_secs(1_800));
    on.refused(&key(1), limit, 4).await;
    assert!(is_full(on.take(&key(1), limit, 5).await), "the second still counts");
    on.pass(Duration::from_secs(3_600));
    assert_eq!(on.take(&key(1), limit, 6).await, Slot::Taken);
}

async fn who_is_turned_away_does_not_keep_the_limit_closed(on: Limiter) {
    let limit = rate("1/min");
    on.refused(&key(1), limit, 1).await;
    for id in 2..20 {
        on.pass(Duration::from_secs(3));
        assert!(is_full(on.take(&key(1), limit, id).await));
    }
    on.pass(Duration::from_secs(6));
    assert_eq!(on.take(&key(1), limit, 20).await, Slot::Taken);
}

async fn while_attempts_are_under_way_the_next_one_waits_for_their_end(on: Limiter) {
    let limit = rate("2/h");
    assert_eq!(on.take(&key(1), limit, 1).await, Slot::Taken);
    assert_eq!(on.take(&key(1), limit, 2).await, Slot::Taken);
    assert_eq!(on.take(&key(1), limit, 3).await, Slot::Awaited);
    on.settle(&key(1), limit, 1, Settled::GivenBack).await;
    assert_eq!(on.take(&key(1), limit, 3).await, Slot::Taken);
    on.settle(&key(1), limit, 2, Settled::Refused).await;
    assert_eq!(on.take(&key(1), limit, 4).await, Slot::Awaited);
    on.settle(&key(1), limit, 3, Settled::Refused).await;
    assert!(is_full(on.take(&key(1), limit, 4).await));
}

async fn a_slot_that_nobody_settles_is_given_back(on: Limiter) {
    let limit = rate("1/day");
    assert_eq!(on.take(&key(1), limit, 1).await, Slot::Taken);
    assert_eq!(on.take(&key(1), limit, 2).await, Slot::Awaited);
    on.pass(SLOT_LASTS);
    assert_eq!(on.take(&key(1), limit, 2).await, Slot::Taken);
}

async fn a_refusal_counts_though_its_slot_is_gone(on: Limiter) {
    let limit = rate("1/h");
    assert_eq!(on.take(&key(1), limit, 1).await, Slot::Taken);
    on.pass(SLOT_LASTS);
    assert!(on.settle(&key(1), limit, 1, Settled::Refused).await);
    assert!(is_full(on.take(&key(1), limit, 2).await));
}

async fn of_many_at_once_no_more_than_the_limit_get_in(on: Limiter) {
    let limit = rate("10/h");
    let key = key(1);
    let slots = join_all((0..64).map(|id| on.take(&key, limit, id))).await;
    let taken = slots.iter().filter(|slot| **slot == Slot::Taken).count();
    assert_eq!(taken, 10);
    assert!(slots.iter().all(|slot| matches!(slot, Slot::Taken | Slot::Awaited)));
}

async fn keys_have_counts_of_their_own(on: Limiter) {
    let limit = rate("1/h");
    on.refused(&key(1), limit, 1).await;
    assert!(is_full(on.take(&key(1), limit, 2).await));
    assert_eq!(on.take(&key(2), limit, 2).await, Slot::Taken);
}

#[tokio::test]
async fn two_nodes_in_one_redis_share_a_count_and_what_stands_there_tells_nothing_and_ends() {
    let settings = redis_settings();
    let node = || RedisLimiter::new(&settings, Duration::from_secs(20)).unwrap();
    let (here, there) = (node(), node());
    let limit = rate("2/min");
    for (node, id) in [(&here, 1), (&there, 2)] {
        assert_eq!(node.take(&key(1), limit, TokenId([id; 16])).await, Ok(Slot::Taken));
        let settled = node.settle(&key(1), limit, TokenId([id; 16]), Settled::Refused).await;
        assert_eq!(settled, Ok(id == 2));
    }
    for node in [&here, &there] {
        assert!(is_full(node.take(&key(1), limit, TokenId([3; 16])).await.unwrap()));
    }
    let name = format!("{}@limit:customer:sign_in:account:{}", settings.prefix, "01".repeat(16));
    let server = Redis::shared();
    assert_eq!(server.cli(&["TYPE", &name]).trim(), "zset");
    let ttl: i64 = server.cli(&["TTL", &name]).trim().parse().unwrap();
    assert!((1..=60).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_redis_that_is_gone_is_told_and_never_taken_for_room() {
    let server = Redis::start();
    let settings = RedisSettings {
        url: server.url().into(),
        prefix: "bekci:".to_owned(),
        ca_file: None,
    };
    let limiter = RedisLimiter::new(&settings, Duration::from_secs(1)).unwrap();
    let (key, limit, id) = (key(1), rate("5/min"), TokenId([1; 16]));
    assert_eq!(limiter.take(&key, limit, id).await, Ok(Slot::Taken));
    server.stop();
    limiter.take(&key, limit, id).await.unwrap_err();
    limiter.settle(&key, limit, id, Settled::Refused).await.unwrap_err();
    server.restart();
    // It is found again without anybody's help.
    for tries in 0.. {
        if limiter.take(&key, limit, id).await.is_ok() {
            break;
        }
        assert!(tries < 2_000, "it was never found again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.cli(&[
        "SET",
        "bekci:@limit:customer:sign_in:account:02020202020202020202020202020202",
        "x",
    ]);
    limiter.take(&self::key(2), limit, id).await.unwrap_err();
}

#[tokio::test]
async fn what_is_over_is_not_kept_in_the_process() {
    let clock = Arc::new(FakeClock::at(0));
    let limiter = MemoryLimiter::new(clock.clone());
    let limit = rate("5/min");
    let guard = GuardName::new("customer").unwrap();
    let flood = async |from: u32| {
        for n in from..from + 2_000 {
            let mut id = TokenId([0; 16]);
            id.0.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
            let key = LimitKey::new(&guard, Limit::SignIn, CountedBy::Address, id);
            limiter.take(&key, limit, id).await.unwrap();
            limiter.settle(&key, limit, id, Settled::Refused).await.unwrap();
        }
    };
    flood(0).await;
    assert_eq!(limiter.len(), 2_000);
    clock.advance(Duration::from_secs(61));
    flood(10_000).await;
    clock.advance(Duration::from_secs(61));
    flood(20_000).await;
    assert!(limiter.len() < 4_100, "{}", limiter.len());
}

#[tokio::test]
async fn a_flood_of_addresses_has_a_bound_and_those_that_came_last_are_still_counted() {
    let most = 1 << 17;
    let clock = Arc::new(FakeClock::at(0));
    let limiter = MemoryLimiter::new(clock.clone());
    let (limit, guard) = (rate("1/min"), GuardName::new("customer").unwrap());
    let key = |n: u32| {
        let mut id = TokenId([0; 16]);
        id.0.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
        (LimitKey::new(&guard, Limit::SignIn, CountedBy::Address, id), id)
    };
    let flood: u32 = 150_000;
    for n in 0..flood {
        // So that some were refused longer ago than others, and none is over.
        clock.advance(Duration::from_micros(100));
        let (key, id) = key(n);
        limiter.take(&key, limit, id).await.unwrap();
        limiter.settle(&key, limit, id, Settled::Refused).await.unwrap();
        assert!(limiter.len() <= most, "{n}");
    }
    assert!(limiter.len() >= most / 2, "{}", limiter.len());
    for n in flood - 10_000..flood {
        let (key, id) = key(n);
        assert!(
            matches!(limiter.take(&key, limit, id).await, Ok(Slot::Full { .. })),
            "{n}"
        );
    }
}
