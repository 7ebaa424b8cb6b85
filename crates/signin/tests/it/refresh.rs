//! Carrying a session on.

use std::sync::Arc;

use bekci_core::{ErrorCode, signin::StoreError};
use bekci_signin::{RefreshAttempt, RefreshTokens, SignInError, SignedIn, SignedInBy};
use secrecy::ExposeSecret as _;
use time::Duration;

use crate::world::{DEVICE, World, from, root};

fn token(signed_in: &SignedIn) -> &str {
    signed_in.refresh.expose_secret()
}

#[tokio::test]
async fn a_refresh_gives_the_next_generation_and_the_one_after_it() {
    let world = World::new().await;
    let first = world.signed_in().await;
    let second = world.refresh(&first).await.unwrap();
    let third = world.refresh(&second).await.unwrap();
    assert_eq!(
        (second.outcome, third.outcome),
        (SignedInBy::Rotated, SignedInBy::Rotated)
    );
    assert_eq!((second.session, third.session), (first.session, first.session));
    assert_ne!(token(&second), token(&first));
    assert_ne!(token(&third), token(&second));
    assert_eq!(world.issuer.last().generation, 2);
}

#[test]
fn sixty_four_refreshes_at_once_give_one_rotated_and_63_replayed_with_equal_tokens() {
    let run = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        // Who finds the slots of a limit taken waits a moment.
        builder.enable_time().build().unwrap()
    };
    let (world, first) = run().block_on(async {
        let world = World::new().await;
        let first = world.signed_in().await;
        (world, first)
    });
    let start = std::sync::Barrier::new(64);
    let all: Vec<SignedIn> = std::thread::scope(|scope| {
        let refresh = || {
            start.wait();
            run().block_on(world.refresh(&first)).unwrap()
        };
        let threads: Vec<_> = (0..64).map(|_| scope.spawn(refresh)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count = |by| all.iter().filter(|one| one.outcome == by).count();
    assert_eq!((count(SignedInBy::Rotated), count(SignedInBy::Replayed)), (1, 63));
    assert!(all.iter().all(|one| token(one) == token(&all[0])));
    assert_eq!(world.store.generation(first.session), 1);
}

#[tokio::test]
async fn a_replay_gives_a_fresh_access_token_of_the_current_generation_and_the_end_of_its_refresh_token() {
    let world = World::new().await;
    let first = world.signed_in().await;
    let second = world.refresh(&first).await.unwrap();
    world.advance(Duration::seconds(20));
    let again = world.refresh(&first).await.unwrap();
    assert_eq!(again.outcome, SignedInBy::Replayed);
    assert_eq!(token(&again), token(&second));
    assert_ne!(again.access.expose_secret(), second.access.expose_secret());
    assert_eq!(
        again.access_expires_at - second.access_expires_at,
        Duration::seconds(20)
    );
    assert_eq!(again.refresh_expires_at, second.refresh_expires_at);
    assert_eq!(world.issuer.last().generation, 1);
}

#[tokio::test]
async fn a_refresh_token_of_another_guard_is_refused_and_nothing_changes() {
    let world = World::new().await;
    let first = world.signed_in().await;
    let asked = world.store.all_calls();
    let refused = world
        .sign_in
        .refresh(&world.admin, from(token(&first), Some(DEVICE)))
        .await;
    assert_eq!(refused.unwrap_err(), SignInError::RefreshInvalid);
    assert_eq!(world.store.all_calls(), asked);
    assert_eq!(world.refresh(&first).await.unwrap().outcome, SignedInBy::Rotated);
}

#[tokio::test]
async fn a_token_whose_mac_does_not_fit_touches_no_store() {
    let world = World::patient().await;
    let first = world.signed_in().await;
    let asked = world.store.all_calls();
    for at in 0..token(&first).len() {
        let mut forged = token(&first).as_bytes().to_vec();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        let refused = world.sign_in.refresh(&world.customer, from(&forged, None)).await;
        assert_eq!(refused.unwrap_err(), SignInError::RefreshInvalid, "character {at}");
    }
    assert_eq!(world.store.all_calls(), asked);
}

#[tokio::test]
async fn a_generation_that_was_never_given_changes_nothing_even_if_it_is_well_made() {
    let world = World::new().await;
    let first = world.signed_in().await;
    let future = RefreshTokens::new(&root(), &world.customer.name).make(first.session, 9);
    let refused = world
        .sign_in
        .refresh(&world.customer, from(future.expose_secret(), None))
        .await;
    assert_eq!(refused.unwrap_err(), SignInError::RefreshInvalid);
    assert_eq!(world.store.live(), [first.session]);
}

#[tokio::test]
async fn reuse_after_the_grace_ends_the_session_for_thief_and_owner() {
    let world = World::new().await;
    let first = world.signed_in().await;
    let second = world.refresh(&first).await.unwrap();
    world.store.used(first.session, 1);
    world.advance(Duration::seconds(31));
    let reused = world.refresh(&first).await.unwrap_err();
    assert_eq!(reused.code(), ErrorCode::RefreshTokenReused);
    assert_eq!(world.store.live(), []);
    assert_eq!(world.refresh(&second).await.unwrap_err(), SignInError::RefreshInvalid);
}

#[tokio::test]
async fn reuse_ends_that_session_alone() {
    let world = World::new().await;
    let stolen = world.signed_in().await;
    let other = world.signed_in().await;
    let second = world.refresh(&stolen).await.unwrap();
    world.refresh(&second).await.unwrap();
    assert_eq!(world.refresh(&stolen).await.unwrap_err(), SignInError::RefreshReused);
    assert_eq!(world.store.live(), [other.session]);
}

#[tokio::test]
async fn a_lost_answer_is_recovered_by_the_same_device_alone() {
    for (device, recovered) in [
        (Some(DEVICE), true),
        (Some("another-device-0123456789"), false),
        (Some("short"), false),
        (None, false),
    ] {
        let world = World::new().await;
        let first = world.signed_in().await;
        let lost = world.refresh(&first).await.unwrap();
        world.advance(Duration::hours(1));
        let result = world.refresh_from(&first, device).await;
        if !recovered {
            assert_eq!(result.unwrap_err(), SignInError::RefreshReused, "{device:?}");
            assert_eq!(world.store.live(), []);
            continue;
        }
        let found = result.unwrap();
        assert_eq!(found.outcome, SignedInBy::Recovered);
        // The orphan is never good again, and the recovered branch goes on.
        let next = world.refresh(&found).await.unwrap();
        assert_eq!(next.outcome, SignedInBy::Rotated);
        assert_eq!(world.refresh(&lost).await.unwrap_err(), SignInError::RefreshReused);
    }
}

#[tokio::test]
async fn an_answer_that_was_used_is_not_lost() {
    let world = World::new().await;
    let first = world.signed_in().await;
    world.refresh(&first).await.unwrap();
    world.store.used(first.session, 1);
    world.advance(Duration::hours(1));
    assert_eq!(world.refresh(&first).await.unwrap_err(), SignInError::RefreshReused);
}

#[tokio::test]
async fn by_cookie_no_lost_answer_is_recovered() {
    let world = World::new().await;
    let first = world.signed_in().await;
    let by_cookie = || {
        world.sign_in.refresh(
            &world.customer,
            RefreshAttempt {
                by_cookie: true,
                ..from(token(&first), Some(DEVICE))
            },
        )
    };
    by_cookie().await.unwrap();
    assert_eq!(by_cookie().await.unwrap().outcome, SignedInBy::Replayed);
    world.advance(Duration::hours(1));
    assert_eq!(by_cookie().await.unwrap_err(), SignInError::RefreshReused);
}

#[tokio::test]
async fn a_weak_device_id_at_sign_in_recovers_nothing() {
    let world = World::new().await;
    let mut weak = crate::world::attempt(crate::world::EMAIL, crate::world::PASSWORD);
    weak.device_id = Some("iphone".into());
    let granted = world.sign_in.password(&world.customer, weak).await.unwrap();
    let first = granted.full().unwrap();
    world.refresh_from(&first, Some("iphone")).await.unwrap();
    world.advance(Duration::hours(1));
    let again = world.refresh_from(&first, Some("iphone")).await;
    assert_eq!(again.unwrap_err(), SignInError::RefreshReused);
}

#[tokio::test]
async fn strict_mode_takes_any_second_use_for_reuse() {
    let world = World::with(|guard| guard.session.refresh.grace = Duration::ZERO).await;
    let first = world.signed_in().await;
    world.refresh(&first).await.unwrap();
    assert_eq!(world.refresh(&first).await.unwrap_err(), SignInError::RefreshReused);
    assert_eq!(world.store.live(), []);
}

#[tokio::test]
async fn a_refresh_does_not_move_the_absolute_end() {
    let world = World::with(|guard| guard.session.max_age = Some(Duration::hours(10))).await;
    let mut last = world.signed_in().await;
    for _ in 0..9 {
        world.advance(Duration::hours(1));
        last = world.refresh(&last).await.unwrap();
    }
    world.advance(Duration::hours(1));
    assert_eq!(world.refresh(&last).await.unwrap_err(), SignInError::RefreshExpired);
}

#[tokio::test]
async fn an_idle_session_runs_out_at_its_second() {
    let world = World::with(|guard| guard.session.refresh.idle = Some(Duration::hours(1))).await;
    let first = world.signed_in().await;
    world.advance(Duration::seconds(3599));
    let second = world.refresh(&first).await.unwrap();
    world.advance(Duration::seconds(3600));
    let expired = world.refresh(&second).await.unwrap_err();
    assert_eq!(expired.code(), ErrorCode::RefreshTokenExpired);
}

#[tokio::test]
async fn a_banned_account_gets_no_tokens_and_keeps_its_session() {
    let world = World::new().await;
    let first = world.signed_in().await;
    world.ban("customer:42", "spam");
    let banned = world.refresh(&first).await.unwrap_err();
    assert_eq!(banned.code(), ErrorCode::AccountBanned);
    assert_eq!(world.store.generation(first.session), 0);
    world.store.tables().accounts[0].ban = None;
    assert_eq!(world.refresh(&first).await.unwrap().outcome, SignedInBy::Rotated);
}

#[tokio::test]
async fn a_failure_after_the_rotation_is_made_good_by_presenting_the_token_again() {
    let world = World::new().await;
    let first = world.signed_in().await;
    world.store.tables().blind = true;
    assert_eq!(
        world.refresh(&first).await.unwrap_err().code(),
        ErrorCode::StoreUnavailable
    );
    world.store.tables().blind = false;
    let again = world.refresh(&first).await.unwrap();
    assert_eq!(again.outcome, SignedInBy::Replayed);
    assert!(world.refresh(&again).await.is_ok());
}

#[tokio::test]
async fn an_unknown_outcome_of_the_commit_is_503() {
    let world = World::new().await;
    let first = world.signed_in().await;
    world.store.tables().failure = Some(StoreError::CommitUnknown("connection lost".into()));
    assert_eq!(
        world.refresh(&first).await.unwrap_err().code(),
        ErrorCode::StoreUnavailable
    );
}

#[test]
fn after_a_sign_out_beside_a_refresh_no_token_of_the_session_is_live() {
    let run = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        // Who finds the slots of a limit taken waits a moment.
        builder.enable_time().build().unwrap()
    };
    let world = Arc::new(run().block_on(World::patient()));
    for _ in 0..200 {
        let first = run().block_on(world.signed_in());
        let start = std::sync::Barrier::new(2);
        let refreshed = std::thread::scope(|scope| {
            let refresh = scope.spawn(|| {
                start.wait();
                run().block_on(world.refresh(&first))
            });
            start.wait();
            run()
                .block_on(world.sign_in.sign_out(&world.customer, None, Some(token(&first))))
                .unwrap();
            refresh.join().unwrap()
        });
        assert_eq!(world.store.live(), []);
        for held in refreshed.iter().chain([&first]) {
            let refused = run().block_on(world.refresh(held)).unwrap_err();
            assert_eq!(refused, SignInError::RefreshInvalid);
        }
    }
}
