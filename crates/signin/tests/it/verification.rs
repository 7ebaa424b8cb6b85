//! Sign-ins that wait for their verification.

use std::sync::Arc;

use bekci_core::{AuthGuard, TokenKind, Verification};
use bekci_signin::{AttemptResult, IssueOrder, SignInError, SignedIn, SignedInBy, TemporarySignIn};
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;
use time::Duration;

use crate::world::{EMAIL, PASSWORD, START, World, attempt, key};

async fn world() -> World {
    World::with(|guard| guard.verification = Verification::Custom).await
}

async fn temporary(world: &World) -> TemporarySignIn {
    let granted = world.sign_in.password(&world.customer, attempt(EMAIL, PASSWORD)).await;
    granted.unwrap().temporary().unwrap()
}

async fn confirm(world: &World, temporary: &TemporarySignIn) -> Result<SignedIn, SignInError> {
    let reference = temporary.verification_ref.expose_secret();
    world.sign_in.confirm_verified(&world.customer, reference).await
}

#[tokio::test]
async fn a_right_password_gives_a_temporary_identity_and_no_session() {
    let world = world().await;
    let temporary = temporary(&world).await;
    assert_eq!(temporary.key, key("customer:42"));
    assert_eq!(temporary.result, AttemptResult::TemporaryAuthHasBeenCreated);
    assert_eq!(temporary.expires_in_seconds, 300);
    let claims = world.issuer.last();
    assert_eq!((claims.kind, claims.session), (TokenKind::Temporary, temporary.session));
    assert_eq!((claims.issued_at, claims.expires_at), (START, START + 300));
    assert_eq!(world.store.calls("open_session"), 0);
}

#[tokio::test]
async fn the_next_right_attempt_is_given_the_same_reference_for_what_is_left_of_its_time() {
    let world = world().await;
    let first = temporary(&world).await;
    world.advance(Duration::seconds(120));
    let second = temporary(&world).await;
    assert_eq!(second.result, AttemptResult::FailureUnverified);
    assert_eq!(
        second.verification_ref.expose_secret(),
        first.verification_ref.expose_secret()
    );
    assert_eq!((second.session, second.expires_in_seconds), (first.session, 180));
    world.advance(Duration::seconds(181));
    let third = temporary(&world).await;
    assert_eq!(third.result, AttemptResult::TemporaryAuthHasBeenCreated);
    assert_ne!(third.session, first.session);
}

#[tokio::test]
async fn a_wrong_password_and_a_ban_are_answered_as_without_verification() {
    for change in [Verification::Off, Verification::Custom] {
        let world = World::with(|guard| guard.verification = change).await;
        for (identifier, password) in [(EMAIL, "wrong"), ("nobody", PASSWORD)] {
            let refused = world.sign_in.password(&world.customer, attempt(identifier, password));
            assert_eq!(refused.await.unwrap_err(), SignInError::CredentialInvalid);
        }
        world.ban("customer:42", "spam");
        let refused = world.sign_in.password(&world.customer, attempt(EMAIL, PASSWORD)).await;
        assert!(matches!(refused.unwrap_err(), SignInError::Banned { .. }), "{change:?}");
        assert_eq!(world.store.live(), []);
    }
}

#[tokio::test]
async fn an_attempt_may_ask_for_what_its_guard_does_not_and_do_without_what_it_does() {
    for (of_guard, asked, waits) in [
        (Verification::Off, Verification::Custom, true),
        (Verification::Custom, Verification::Off, false),
    ] {
        let world = World::with(|guard| guard.verification = of_guard).await;
        let mut attempt = attempt(EMAIL, PASSWORD);
        attempt.verification = Some(asked);
        let granted = world.sign_in.password(&world.customer, attempt).await.unwrap();
        assert_eq!(granted.temporary().is_some(), waits);
    }
}

#[tokio::test]
async fn a_confirmed_one_is_a_session_like_any_other_without_a_password_or_a_hash() {
    let world = world().await;
    let temporary = temporary(&world).await;
    let (asked, hashed) = (world.store.calls("credentials"), world.hasher.stats());
    let signed_in = confirm(&world, &temporary).await.unwrap();
    assert_eq!(world.store.calls("credentials"), asked);
    assert_eq!(format!("{:?}", world.hasher.stats()), format!("{hashed:?}"));
    assert_eq!(
        (&signed_in.key, signed_in.outcome),
        (&temporary.key, SignedInBy::Verified)
    );
    assert_ne!(signed_in.session, temporary.session);
    assert_eq!(world.store.live(), [signed_in.session], "the temporary one has ended");
    assert_eq!(world.issuer.last().kind, TokenKind::Access);
    let row = world.store.tables().sessions[&signed_in.session].new.clone();
    assert_eq!(
        (row.device_name.as_deref(), &*row.way),
        (Some("Ada's phone"), "password")
    );
    // The device of the attempt: it may come back for a lost answer.
    world.refresh(&signed_in).await.unwrap();
    world.advance(Duration::hours(1));
    let again = world.refresh(&signed_in).await.unwrap();
    assert_eq!(again.outcome, SignedInBy::Recovered);
}

#[tokio::test]
async fn of_many_confirmations_at_once_one_succeeds() {
    let world = world().await;
    let temporary = temporary(&world).await;
    let all = join_all((0..32).map(|_| confirm(&world, &temporary))).await;
    assert_eq!(all.iter().filter(|result| result.is_ok()).count(), 1);
    for refused in all.into_iter().filter_map(Result::err) {
        assert_eq!(refused, SignInError::VerificationInvalid);
    }
    assert_eq!(world.store.live().len(), 1);
}

#[tokio::test]
async fn a_reference_that_was_guessed_touches_no_store_and_one_of_another_guard_neither() {
    let world = world().await;
    let temporary = temporary(&world).await;
    let good = temporary.verification_ref.expose_secret().to_owned();
    let calls = world.store.all_calls();
    let forged = [
        temporary.session.to_string(),
        format!("bkv_{}", temporary.session),
        good[..good.len() - 1].to_owned(),
        format!("{good}A"),
        temporary.token.expose_secret().to_owned(),
        String::new(),
    ];
    for text in &forged {
        let refused = world.sign_in.confirm_verified(&world.customer, text).await.unwrap_err();
        assert_eq!(refused, SignInError::VerificationInvalid, "{text}");
    }
    let elsewhere = world.sign_in.confirm_verified(&world.admin, &good).await.unwrap_err();
    assert_eq!(elsewhere, SignInError::VerificationInvalid);
    assert_eq!(world.store.all_calls(), calls);
    confirm(&world, &temporary).await.unwrap();
}

#[tokio::test]
async fn after_its_time_and_after_a_ban_it_is_not_confirmed() {
    let world = world().await;
    let late = temporary(&world).await;
    world.advance(Duration::seconds(300));
    assert_eq!(
        confirm(&world, &late).await.unwrap_err(),
        SignInError::VerificationInvalid
    );
    let banned = temporary(&world).await;
    world.ban("customer:42", "spam");
    assert!(matches!(
        confirm(&world, &banned).await.unwrap_err(),
        SignInError::Banned { .. }
    ));
    assert_eq!(world.store.calls("open_session"), 0);
}

#[tokio::test]
async fn nothing_of_the_reference_or_the_token_is_stored_or_prints() {
    let world = world().await;
    let temporary = temporary(&world).await;
    let printed = format!("{temporary:?}{}", world.store.dump());
    for secret in [&temporary.verification_ref, &temporary.token] {
        let secret = secret.expose_secret();
        assert!(!printed.contains(secret) && !printed.contains(&secret[secret.len() - 40..]));
    }
}

#[tokio::test]
async fn each_result_is_counted_by_its_own_name() {
    let world = world().await;
    let first = temporary(&world).await;
    temporary(&world).await;
    confirm(&world, &first).await.unwrap();
    confirm(&world, &first).await.unwrap_err();
    assert_eq!(
        world.meter.counted(),
        [
            "customer password TEMPORARY_AUTH_HAS_BEEN_CREATED",
            "customer password FAILURE_UNVERIFIED",
            "customer verification SUCCESS",
            "customer verification FAILURE",
        ]
    );
}

#[tokio::test]
async fn an_application_may_open_one_for_somebody_it_vouches_for_of_this_guards_model_alone() {
    let world = world().await;
    let order = || IssueOrder {
        device_name: None,
        ..IssueOrder::default()
    };
    let issue = async |guard: &Arc<AuthGuard>| {
        let who = key("customer:42");
        world.sign_in.issue_temporary(guard, &who, order()).await
    };
    let issued = issue(&world.customer).await.unwrap();
    assert_eq!(confirm(&world, &issued).await.unwrap().key, key("customer:42"));
    assert!(matches!(
        issue(&world.admin).await.unwrap_err(),
        SignInError::Internal(_)
    ));
}
