//! Remember-me series at the store's port.

use std::sync::Arc;

use bekci_core::{
    AuthGuard, Entropy as _, PrincipalKey, SessionId, TokenId,
    remember::{Forget, NewSeries, RecallOrder, Recalled, SeriesId, SeriesToken},
    security::{Exchanged, SecurityCookie},
    signin::{Confirmation, NewSession, Opened, OpenedTemporary},
};
use bekci_store::Store;
use time::{Duration, OffsetDateTime};

use super::live;
use crate::scene::{Chance, Scene, key, new_session, on_every_store};

on_every_store! {
    of_64_uses_at_once_one_opens_a_session_and_the_others_are_given_it,
    of_64_uses_of_a_copy_none_opens_a_session,
    a_series_waits_for_the_verification_of_its_sign_in,
    a_series_outlives_a_session_that_is_over_by_the_clock_and_no_longer_its_own_time,
    of_64_exchanges_of_a_security_cookie_one_moves_its_counter,
}

fn random() -> TokenId {
    let mut id = TokenId([0; 16]);
    Chance.fill(&mut id.0).unwrap();
    id
}

/// A sign-in that begins a series of 180 days.
fn remembered(guard: &Arc<AuthGuard>, who: &PrincipalKey) -> NewSession {
    let session = new_session(guard, who);
    NewSession {
        series: Some(NewSeries {
            id: random(),
            expires_at: session.now + Duration::days(180),
        }),
        ..session
    }
}

async fn begun(store: &Store, session: &NewSession) -> SeriesToken {
    match store.sign_in_store().open_session(session).await.unwrap() {
        Opened::Open {
            series: Some(series), ..
        } => series,
        other => panic!("{other:?}"),
    }
}

async fn recall(
    store: &Store,
    guard: &Arc<AuthGuard>,
    (series, generation): (SeriesId, u32),
    now: OffsetDateTime,
) -> Recalled {
    let order = RecallOrder {
        guard: Arc::clone(guard),
        series,
        generation,
        session: random(),
        now,
    };
    store.remember_store().recall(&order).await.unwrap()
}

/// The results of 64 uses of one token at once, on both nodes.
async fn of_64_at_once(scene: &Scene, token: (SeriesId, u32), now: OffsetDateTime) -> Vec<Recalled> {
    let (here, there) = (scene.node().await, scene.node().await);
    let start = Arc::new(tokio::sync::Barrier::new(64));
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let store = if n % 2 == 0 { here.clone() } else { there.clone() };
            let (guard, start) = (Arc::clone(&scene.customer), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                recall(&store, &guard, token, now).await
            })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

async fn of_64_uses_at_once_one_opens_a_session_and_the_others_are_given_it(scene: Scene) {
    let store = scene.node().await;
    let who = key("customer:1");
    let session = remembered(&scene.customer, &who);
    let token = begun(&store, &session).await;
    let results = of_64_at_once(&scene, (token.series, 0), super::now()).await;
    let opened = results
        .iter()
        .filter(|result| matches!(result, Recalled::Opened(_, Opened::Open { .. })));
    assert_eq!(opened.count(), 1, "{results:?}");
    let lives = live(&scene, &store, &who).await;
    assert_eq!(lives.len(), 1);
    let again: Vec<SessionId> = results
        .iter()
        .filter_map(|result| match result {
            Recalled::Again { session, facts, .. } => {
                assert_eq!(facts.series.map(|series| series.generation), Some(1));
                Some(*session)
            }
            _ => None,
        })
        .collect();
    assert_eq!(again.len(), 63, "{results:?}");
    assert!(
        again
            .iter()
            .all(|session| *session == lives[0] && *session != token_session(&results))
    );
}

/// Of the session that was opened nothing is told but what it replaced.
fn token_session(results: &[Recalled]) -> SessionId {
    let ended = results.iter().find_map(|result| match result {
        Recalled::Opened(_, Opened::Open { ended, .. }) => ended.first().copied(),
        _ => None,
    });
    ended.unwrap()
}

async fn of_64_uses_of_a_copy_none_opens_a_session(scene: Scene) {
    let store = scene.node().await;
    let who = key("customer:1");
    let session = remembered(&scene.customer, &who);
    let token = begun(&store, &session).await;
    let now = super::now();
    assert!(matches!(
        recall(&store, &scene.customer, (token.series, 0), now).await,
        Recalled::Opened(_, Opened::Open { .. })
    ));
    let results = of_64_at_once(&scene, (token.series, 0), now + Duration::seconds(11)).await;
    let stolen = results
        .iter()
        .filter(|result| matches!(result, Recalled::Stolen(..)))
        .count();
    assert_eq!(stolen, 1, "it is told once: {results:?}");
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Recalled::Stolen(..) | Recalled::Invalid)),
        "{results:?}"
    );
    assert_eq!(live(&scene, &store, &who).await, []);
    let next = recall(&store, &scene.customer, (token.series, 1), now).await;
    assert_eq!(next, Recalled::Invalid);
}

async fn a_series_waits_for_the_verification_of_its_sign_in(scene: Scene) {
    let store = scene.node().await;
    let who = key("customer:1");
    let session = remembered(&scene.customer, &who);
    let series = session.series.unwrap().id;
    let ends = session.now + Duration::minutes(5);
    let held = store.sign_in_store().open_temporary(&session, ends).await.unwrap();
    let OpenedTemporary::Open(temporary) = held else {
        panic!("{held:?}")
    };
    let early = recall(&store, &scene.customer, (series, 0), super::now()).await;
    assert_eq!(early, Recalled::Invalid);
    let order = Confirmation {
        guard: Arc::clone(&scene.customer),
        temporary: temporary.id,
        id: random(),
        now: super::now(),
    };
    let confirmed = store.sign_in_store().confirm_temporary(&order).await.unwrap();
    let Some((
        _,
        Opened::Open {
            series: Some(token), ..
        },
    )) = confirmed
    else {
        panic!("{confirmed:?}")
    };
    assert_eq!((token.series, token.generation), (series, 0));
    let used = recall(&store, &scene.customer, (series, 0), super::now()).await;
    assert!(matches!(used, Recalled::Opened(_, Opened::Open { .. })), "{used:?}");
    // One that was not to be remembered is not.
    let plain = new_session(&scene.customer, &who);
    let ends = plain.now + Duration::minutes(5);
    let held = store.sign_in_store().open_temporary(&plain, ends).await.unwrap();
    let OpenedTemporary::Open(temporary) = held else {
        panic!("{held:?}")
    };
    let order = Confirmation {
        temporary: temporary.id,
        id: random(),
        ..order
    };
    let confirmed = store.sign_in_store().confirm_temporary(&order).await.unwrap();
    assert!(
        matches!(confirmed, Some((_, Opened::Open { series: None, .. }))),
        "{confirmed:?}"
    );
}

async fn a_series_outlives_a_session_that_is_over_by_the_clock_and_no_longer_its_own_time(scene: Scene) {
    let store = scene.node().await;
    let who = key("customer:1");
    let session = remembered(&scene.customer, &who);
    let token = begun(&store, &session).await;
    let late = session.now + Duration::days(179);
    let used = recall(&store, &scene.customer, (token.series, 0), late).await;
    let Recalled::Opened(
        _,
        Opened::Open {
            series: Some(next),
            ended,
            ..
        },
    ) = used
    else {
        panic!("{used:?}")
    };
    assert_eq!((next.expires_at, ended), (token.expires_at, vec![session.id]));
    let over = session.now + Duration::days(180);
    let after = recall(&store, &scene.customer, (token.series, 1), over).await;
    assert_eq!(after, Recalled::Expired);
    let gone = store
        .remember_store()
        .forget(&scene.customer, &Forget::All(who))
        .await
        .unwrap();
    assert_eq!(gone, 1);
    let after = recall(&store, &scene.customer, (token.series, 1), late).await;
    assert_eq!(after, Recalled::Invalid);
}

async fn of_64_exchanges_of_a_security_cookie_one_moves_its_counter(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let now = super::now();
    let mut held = SecurityCookie {
        session: random(),
        generation: 0,
        issued_at: now.unix_timestamp(),
    };
    for counter in 1..=2 {
        let start = Arc::new(tokio::sync::Barrier::new(64));
        let tasks: Vec<_> = (0..64)
            .map(|n| {
                let store = if n % 2 == 0 { here.clone() } else { there.clone() };
                let start = Arc::clone(&start);
                tokio::spawn(async move {
                    start.wait().await;
                    // Each at a time of its own: the one that moves the counter says which.
                    let at = now + Duration::seconds(n);
                    store.security_store().exchange(&held, at).await.unwrap()
                })
            })
            .collect();
        let mut given = Vec::new();
        for task in tasks {
            given.push(task.await.unwrap());
        }
        let Exchanged::For(next) = given[0] else {
            panic!("{given:?}")
        };
        assert_eq!(next.generation, counter);
        assert!(given.iter().all(|one| *one == given[0]), "{given:?}");
        held = next;
    }
    let copied = SecurityCookie { generation: 0, ..held };
    assert_eq!(
        here.security_store().exchange(&copied, now).await.unwrap(),
        Exchanged::Mismatch
    );
    assert!(!there.security_store().is_current(&copied, now).await.unwrap());
    assert!(there.security_store().is_current(&held, now).await.unwrap());
}
