//! Signing out, and one's own sessions.

use bekci_core::{ErrorCode, TokenId, signin::StoreError};
use bekci_signin::{SignInError, SignedIn};
use secrecy::ExposeSecret as _;
use time::Duration;

use crate::world::{EMAIL, PASSWORD, World, attempt, claims, key};

fn token(signed_in: &SignedIn) -> Option<&str> {
    Some(signed_in.refresh.expose_secret())
}

#[tokio::test]
async fn either_credential_signs_out_and_a_second_time_is_fine() {
    let world = World::new().await;
    for (by_access, by_refresh) in [(true, false), (false, true), (true, true)] {
        let signed_in = world.signed_in().await;
        let claims = claims(&world.customer, &signed_in);
        let access = by_access.then_some(&claims);
        let refresh = by_refresh.then(|| signed_in.refresh.expose_secret());
        let out = world.sign_in.sign_out(&world.customer, access, refresh).await.unwrap();
        assert_eq!((out.session, out.ended_now), (signed_in.session, true));
        assert_eq!(out.key, Some(key("customer:42")));
        assert_eq!(world.store.live(), []);
        let again = world.sign_in.sign_out(&world.customer, access, refresh).await.unwrap();
        assert!(!again.ended_now);
        assert_eq!(
            world.refresh(&signed_in).await.unwrap_err(),
            SignInError::RefreshInvalid
        );
    }
}

#[tokio::test]
async fn a_second_sign_out_waits_for_every_node_too() {
    let world = World::new().await;
    let signed_in = world.signed_in().await;
    for times in 1..=2 {
        world
            .sign_in
            .sign_out(&world.customer, None, token(&signed_in))
            .await
            .unwrap();
        assert_eq!(world.store.calls("end_sessions"), times);
    }
}

#[tokio::test]
async fn credentials_of_two_sessions_end_neither() {
    let world = World::new().await;
    let (one, other) = (world.signed_in().await, world.signed_in().await);
    let claims = claims(&world.customer, &one);
    let refused = world
        .sign_in
        .sign_out(&world.customer, Some(&claims), token(&other))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AmbiguousCredentials);
    assert_eq!(world.store.live().len(), 2);
}

#[tokio::test]
async fn no_credential_a_forged_one_and_another_guards_end_nothing() {
    let world = World::new().await;
    let signed_in = world.signed_in().await;
    let access = claims(&world.customer, &signed_in);
    let out = async |guard, access, refresh| world.sign_in.sign_out(guard, access, refresh).await.unwrap_err();
    assert_eq!(out(&world.customer, None, None).await, SignInError::TokenMissing);
    assert_eq!(
        out(&world.customer, None, Some("bkr_")).await,
        SignInError::RefreshInvalid
    );
    assert_eq!(
        out(&world.customer, Some(&access), Some("bkr_")).await,
        SignInError::RefreshInvalid
    );
    assert_eq!(out(&world.admin, Some(&access), None).await, SignInError::GuardMismatch);
    assert_eq!(
        out(&world.admin, None, token(&signed_in)).await,
        SignInError::RefreshInvalid
    );
    assert_eq!(world.store.live(), [signed_in.session]);
}

#[tokio::test]
async fn a_session_that_nobody_remembers_is_signed_out_already() {
    let world = World::new().await;
    let signed_in = world.signed_in().await;
    world.store.tables().sessions.clear();
    let out = world
        .sign_in
        .sign_out(&world.customer, None, token(&signed_in))
        .await
        .unwrap();
    assert_eq!((out.key, out.ended_now), (None, false));
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_of_the_principal_and_of_nobody_else() {
    let world = World::new().await;
    world.add("admin:42", EMAIL, Some(PASSWORD)).await;
    world.add("customer:43", "grace@example.com", Some(PASSWORD)).await;
    let admin = world
        .sign_in
        .password(&world.admin, attempt(EMAIL, PASSWORD))
        .await
        .unwrap();
    let grace = attempt("grace@example.com", PASSWORD);
    let grace = world.sign_in.password(&world.customer, grace).await.unwrap();
    let mut mine = Vec::new();
    for _ in 0..5 {
        mine.push(world.signed_in().await.session);
    }
    let mut ended = world
        .sign_in
        .sign_out_everywhere(&world.customer, &key("customer:42"))
        .await
        .unwrap();
    ended.sort_unstable();
    mine.sort_unstable();
    assert_eq!(ended, mine);
    let mut left = [admin.session(), grace.session()];
    left.sort_unstable();
    assert_eq!(world.store.live(), left);
}

#[tokio::test]
async fn somebody_elses_session_is_not_found_and_lives_on() {
    let world = World::new().await;
    let ada = world.signed_in().await;
    let mallory = key("customer:66");
    let theirs = world.sign_in.end_session(&mallory, ada.session).await.unwrap_err();
    let none = world.sign_in.end_session(&mallory, TokenId([9; 16])).await.unwrap_err();
    assert_eq!(theirs, none);
    assert_eq!(theirs.code(), ErrorCode::NotFound);
    assert_eq!(world.store.live(), [ada.session]);
    world.sign_in.end_session(&ada.key, ada.session).await.unwrap();
    assert_eq!(world.store.live(), []);
    world.sign_in.end_session(&ada.key, ada.session).await.unwrap();
}

#[tokio::test]
async fn ones_sessions_are_listed_the_newest_first() {
    let world = World::new().await;
    let first = world.signed_in().await;
    world.advance(Duration::seconds(1));
    let second = world.signed_in().await;
    let listed = world.sign_in.sessions(&first.key).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [second.session, first.session]);
    assert_eq!(listed[0].device_name.as_deref(), Some("Ada's phone"));
    assert_eq!(listed[0].way, "password");
    assert_eq!(world.sign_in.sessions(&key("customer:43")).await.unwrap(), []);
}

#[tokio::test]
async fn a_sign_out_that_is_not_confirmed_says_where_it_stands() {
    let world = World::new().await;
    let signed_in = world.signed_in().await;
    let claims = claims(&world.customer, &signed_in);
    world.store.tables().failure = Some(StoreError::Pending { position: 12 });
    let pending = world
        .sign_in
        .sign_out(&world.customer, Some(&claims), None)
        .await
        .unwrap_err();
    assert_eq!(pending, SignInError::Pending { position: 12 });
}
