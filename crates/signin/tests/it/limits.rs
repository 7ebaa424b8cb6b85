//! Attempts under limits: what takes a slot, what counts, and what happens where nothing can be counted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bekci_core::{
    AuthGuard, ErrorCode, GuardName, LimitKey, LimiterUnavailable, Meter, Rate, RateLimiter, Settled, Slot, TokenId,
};
use bekci_signin::{AttemptResult, SignInError};
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;

use crate::world::{DEVICE, EMAIL, PASSWORD, World, attempt, from, key};

/// Counts without end, and can be out of reach.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    counts: Mutex<BTreeMap<String, (u32, Vec<TokenId>)>>,
    takes_fail: AtomicBool,
    settles_fail: AtomicBool,
}

impl Limiter {
    /// Each key without its hash, its refusals and its open slots.
    fn told(&self) -> Vec<(String, u32, usize)> {
        let counts = self.counts.lock().unwrap();
        let short = |key: &str| key.rsplit_once(':').unwrap().0.to_owned();
        let told = counts
            .iter()
            .map(|(key, (refused, open))| (short(key), *refused, open.len()));
        told.filter(|(_, refused, open)| *refused > 0 || *open > 0).collect()
    }

    fn ask<T>(
        &self,
        fails: &AtomicBool,
        key: &LimitKey,
        run: impl FnOnce(&mut (u32, Vec<TokenId>)) -> T,
    ) -> Result<T, LimiterUnavailable> {
        if fails.load(Ordering::SeqCst) {
            return Err(LimiterUnavailable("gone".into()));
        }
        let mut counts = self.counts.lock().unwrap();
        Ok(run(counts.entry(key.as_str().to_owned()).or_default()))
    }
}

#[async_trait]
impl RateLimiter for Limiter {
    async fn take(&self, key: &LimitKey, rate: Rate, id: TokenId) -> Result<Slot, LimiterUnavailable> {
        self.ask(&self.takes_fail, key, |(refused, open)| {
            if *refused >= rate.count() {
                return Slot::Full {
                    retry_after: Duration::from_millis(41_001),
                };
            }
            if *refused as usize + open.len() >= rate.count() as usize {
                return Slot::Awaited;
            }
            open.push(id);
            Slot::Taken
        })
    }

    async fn settle(&self, key: &LimitKey, rate: Rate, id: TokenId, how: Settled) -> Result<bool, LimiterUnavailable> {
        self.ask(&self.settles_fail, key, |(refused, open)| {
            open.retain(|one| *one != id);
            *refused += u32::from(how == Settled::Refused);
            *refused >= rate.count()
        })
    }
}

async fn wrong(world: &World, identifier: &str) -> SignInError {
    let attempt = attempt(identifier, "wrong");
    world.sign_in.password(&world.customer, attempt).await.unwrap_err()
}

/// By address, by account and by what was entered.
fn by_all(refused: u32) -> Vec<(String, u32, usize)> {
    let keys = [
        "customer:sign_in:address",
        "model.customer:sign_in:account",
        "model.customer:sign_in:name",
    ];
    keys.map(|key| (key.to_owned(), refused, 0)).to_vec()
}

#[tokio::test]
async fn refusals_count_by_account_and_address_and_successes_not_at_all() {
    let world = World::new().await;
    for _ in 0..20 {
        world.signed_in().await;
    }
    assert_eq!(world.limiter.told(), []);
    for _ in 0..3 {
        assert_eq!(wrong(&world, EMAIL).await, SignInError::CredentialInvalid);
    }
    assert_eq!(world.limiter.told(), by_all(3));
    world.signed_in().await;
    assert_eq!(world.limiter.told(), by_all(3));
}

#[tokio::test]
async fn a_ban_counts_and_what_could_not_be_judged_does_not() {
    let world = World::new().await;
    world.ban("customer:42", "spam");
    let banned = world.sign_in.password(&world.customer, attempt(EMAIL, PASSWORD)).await;
    assert!(matches!(banned, Err(SignInError::Banned { .. })));
    assert_eq!(world.limiter.told(), by_all(1));
    world.store.tables().failure = Some(bekci_core::signin::StoreError::Unavailable("gone".into()));
    for _ in 0..20 {
        assert_eq!(wrong(&world, EMAIL).await.code(), ErrorCode::StoreUnavailable);
    }
    assert_eq!(world.limiter.told(), by_all(1));
}

#[tokio::test]
async fn over_the_limit_nothing_is_looked_up_or_hashed_and_known_and_unknown_are_one_answer() {
    for identifier in [EMAIL, "nobody@example.com"] {
        let world = World::new().await;
        for _ in 0..10 {
            assert_eq!(wrong(&world, identifier).await, SignInError::CredentialInvalid);
        }
        let (hashed, asked) = (world.hasher.stats().computed, world.store.all_calls());
        for password in ["wrong", PASSWORD] {
            let refused = world.sign_in.password(&world.customer, attempt(identifier, password));
            let refused = refused.await.unwrap_err();
            assert_eq!(
                refused,
                SignInError::RateLimited {
                    retry_after_seconds: 42
                }
            );
            assert_eq!(
                (refused.code(), refused.retry_after_seconds()),
                (ErrorCode::RateLimited, Some(42))
            );
            assert_eq!(refused.told(), AttemptResult::FailureUncategorized);
        }
        assert_eq!(world.hasher.stats().computed, hashed);
        assert_eq!(world.store.all_calls(), asked);
        assert_eq!(world.limiter.told(), by_all(10), "turned away is not refused");
    }
}

#[tokio::test]
async fn of_64_wrong_passwords_at_once_no_more_than_the_limit_reach_the_hasher() {
    let world = World::new().await;
    let before = world.hasher.stats().computed;
    let tried = join_all((0..64).map(|_| wrong(&world, EMAIL))).await;
    let judged = tried
        .iter()
        .filter(|error| **error == SignInError::CredentialInvalid)
        .count();
    let limited = tried
        .iter()
        .filter(|error| matches!(error, SignInError::RateLimited { .. }))
        .count();
    assert_eq!((judged, limited), (10, 54));
    assert_eq!(world.hasher.stats().computed - before, 10);
    assert_eq!(world.limiter.told(), by_all(10));
}

/// A guess at a guard, from an address of its own.
async fn guess(world: &World, guard: &Arc<AuthGuard>, identifier: &str, client: &str) -> SignInError {
    let mut attempt = attempt(identifier, "wrong");
    attempt.client = Some(client.parse().unwrap());
    world.sign_in.password(guard, attempt).await.unwrap_err()
}

#[tokio::test]
async fn the_limit_is_the_accounts_whatever_guard_of_its_model_and_whatever_identifier_is_tried() {
    for identifiers in [
        &[EMAIL][..],
        &[EMAIL, "ada"],
        &[EMAIL, "ADA@Example.com", "ada@EXAMPLE.com"],
        &["nobody@example.com"],
    ] {
        let world = World::new().await;
        world.store.tables().accounts[0].identifiers = identifiers.iter().map(|one| (*one).to_owned()).collect();
        if identifiers == ["nobody@example.com"] {
            world.store.tables().accounts.clear();
        }
        let guards = ["customer", "shop", "app"].map(|name| {
            let name = GuardName::new(name).unwrap();
            Arc::new(AuthGuard {
                name,
                ..(*world.customer).clone()
            })
        });
        let mut judged = 0;
        for n in 0..60 {
            let (guard, identifier) = (&guards[n % 3], identifiers[n % identifiers.len()]);
            let refused = guess(&world, guard, identifier, &format!("198.51.100.{n}")).await;
            judged += u32::from(refused == SignInError::CredentialInvalid);
        }
        assert_eq!(judged, 10, "{identifiers:?}");
        let (hashed, asked) = (world.hasher.stats().computed, world.store.all_calls());
        for guard in &guards {
            let refused = guess(&world, guard, identifiers[0], "203.0.113.1").await;
            assert!(matches!(refused, SignInError::RateLimited { .. }));
        }
        assert_eq!(world.hasher.stats().computed, hashed);
        assert!(identifiers.len() > 1 || world.store.all_calls() == asked);
    }
}

#[tokio::test]
async fn a_network_of_ipv6_gains_no_guesses_by_its_addresses() {
    for (addresses, most) in [
        ((0..200).map(|n| format!("2001:db8:1:2::{n:x}")).collect::<Vec<_>>(), 10),
        ((0..200).map(|n| format!("2001:db8:1:1{n:02x}::1")).collect(), 40),
        (
            (0..400).map(|n| format!("2001:db8:1:{n:x}00::1")).take(256).collect(),
            160,
        ),
    ] {
        let world = World::new().await;
        let mut judged = 0;
        for (n, address) in addresses.iter().enumerate() {
            let refused = guess(&world, &world.customer, &format!("victim{n}@example.com"), address).await;
            judged += u32::from(refused == SignInError::CredentialInvalid);
        }
        assert_eq!(judged, most);
        world.signed_in().await;
    }
}

#[tokio::test]
async fn of_64_right_passwords_at_once_all_get_in() {
    let world = World::new().await;
    let tried = join_all((0..64).map(|_| world.sign_in.password(&world.customer, attempt(EMAIL, PASSWORD)))).await;
    assert!(tried.iter().all(Result::is_ok));
    assert_eq!(world.limiter.told(), []);
}

#[tokio::test]
async fn an_address_over_its_limit_takes_no_slot_of_an_account() {
    let world = World::new().await;
    for n in 0..10 {
        wrong(&world, &format!("victim{n}@example.com")).await;
    }
    let before = world.limiter.told();
    assert!(matches!(wrong(&world, EMAIL).await, SignInError::RateLimited { .. }));
    assert_eq!(world.limiter.told(), before);
    let mut elsewhere = attempt(EMAIL, PASSWORD);
    elsewhere.client = Some("198.51.100.7".parse().unwrap());
    world.sign_in.password(&world.customer, elsewhere).await.unwrap();
}

#[tokio::test]
async fn an_account_over_its_limit_gives_the_slot_of_the_address_back() {
    let world = World::new().await;
    for n in 0..10 {
        let mut from_elsewhere = attempt(EMAIL, "wrong");
        from_elsewhere.client = Some(format!("198.51.100.{n}").parse().unwrap());
        world
            .sign_in
            .password(&world.customer, from_elsewhere)
            .await
            .unwrap_err();
    }
    for _ in 0..30 {
        assert!(matches!(wrong(&world, EMAIL).await, SignInError::RateLimited { .. }));
    }
    assert_eq!(wrong(&world, "other@example.com").await, SignInError::CredentialInvalid);
}

#[tokio::test]
async fn without_the_limiter_nobody_signs_in_and_nothing_is_looked_up() {
    let world = World::new().await;
    world.limiter.takes_fail.store(true, Ordering::SeqCst);
    let (hashed, asked) = (world.hasher.stats().computed, world.store.all_calls());
    for password in ["wrong", PASSWORD] {
        let failed = world.sign_in.password(&world.customer, attempt(EMAIL, password)).await;
        assert_eq!(failed.unwrap_err().code(), ErrorCode::StoreUnavailable);
    }
    assert_eq!(world.hasher.stats().computed, hashed);
    assert_eq!(world.store.all_calls(), asked);
}

#[tokio::test]
async fn a_refusal_that_cannot_be_counted_is_not_told() {
    let world = World::new().await;
    world.limiter.settles_fail.store(true, Ordering::SeqCst);
    assert_eq!(wrong(&world, EMAIL).await.code(), ErrorCode::StoreUnavailable);
    // A success needs no count.
    world.signed_in().await;
}

#[tokio::test]
async fn refused_refreshes_count_by_address_and_by_session_where_the_token_is_ours() {
    let world = World::new().await;
    let first = world.signed_in().await;
    for _ in 0..40 {
        world.refresh(&first).await.unwrap();
    }
    assert_eq!(world.limiter.told(), []);
    let forged = world
        .sign_in
        .refresh(&world.customer, from("bkr_forged", Some(DEVICE)))
        .await;
    assert_eq!(forged.unwrap_err(), SignInError::RefreshInvalid);
    let by_address = vec![("customer:refresh:address".to_owned(), 1, 0)];
    assert_eq!(world.limiter.told(), by_address, "what is not ours names no session");
    let customer = key("customer:42");
    world
        .sign_in
        .sign_out_everywhere(&world.customer, &customer)
        .await
        .unwrap();
    assert_eq!(world.refresh(&first).await.unwrap_err(), SignInError::RefreshInvalid);
    let both = [("customer:refresh:address", 2, 0), ("customer:refresh:session", 1, 0)];
    assert_eq!(
        world.limiter.told(),
        both.map(|(key, refused, open)| (key.to_owned(), refused, open))
    );
    for _ in 0..28 {
        world.refresh(&first).await.unwrap_err();
    }
    assert!(matches!(
        world.refresh(&first).await,
        Err(SignInError::RateLimited { .. })
    ));
}

#[tokio::test]
async fn without_the_limiter_sessions_go_on() {
    let world = World::new().await;
    let first = world.signed_in().await;
    world.limiter.takes_fail.store(true, Ordering::SeqCst);
    world.limiter.settles_fail.store(true, Ordering::SeqCst);
    let second = world.refresh(&first).await.unwrap();
    let forged = format!("{}x", second.refresh.expose_secret());
    let refused = world.sign_in.refresh(&world.customer, from(&forged, None)).await;
    assert_eq!(refused.unwrap_err(), SignInError::RefreshInvalid);
}

#[tokio::test]
async fn what_was_tried_is_counted_by_guard_way_and_result() {
    let world = World::new().await;
    world.signed_in().await;
    for _ in 0..12 {
        wrong(&world, EMAIL).await;
    }
    let counted = world.meter.counted();
    let of = |what| counted.iter().filter(|told| told.as_str() == what).count();
    assert_eq!(of("customer password SUCCESS"), 1);
    assert_eq!(of("customer password FAILURE_CREDENTIAL_INVALID"), 10);
    assert_eq!(of("customer password FAILURE_UNCATEGORIZED"), 2);
    assert_eq!(of("customer limited sign_in"), 2);
    assert_eq!(counted.len(), 15, "and nothing else: {counted:?}");
}

/// A meter that remembers what it was told, one line each.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Vec<String>>);

impl Heard {
    pub(crate) fn counted(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Meter for Heard {
    fn signed_in(&self, guard: &GuardName, way: &str, result: &'static str) {
        self.0.lock().unwrap().push(format!("{guard} {way} {result}"));
    }

    fn rate_limited(&self, guard: &GuardName, limit: &'static str) {
        self.0.lock().unwrap().push(format!("{guard} limited {limit}"));
    }
}
