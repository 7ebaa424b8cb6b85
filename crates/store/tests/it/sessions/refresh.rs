//! What a presented refresh token means, by the contract's table, on the row that the database holds.

use std::sync::Arc;

use bekci_core::{AuthGuard, GuardName, RefreshOutcome, signin::RefreshRequest};
use bekci_store::Store;
use sea_orm::ConnectionTrait;
use time::Duration;

use super::{open, outcome, presented, refreshed, row, ruled};
use crate::scene::{Scene, key, new_session, on_every_store, sign_in};

on_every_store! {
    of_64_refreshes_at_once_one_rotates_and_63_are_given_the_same_again,
    a_lost_answer_is_recovered_once_by_its_own_device,
    a_lost_answer_is_recovered_by_no_other_device_and_not_too_late,
    a_lost_answer_is_never_recovered_by_cookie,
    what_an_orphan_and_an_older_generation_come_to,
    strict_mode_takes_any_second_use_for_reuse,
    at_another_guard_or_model_a_refresh_is_invalid_and_changes_nothing,
    what_was_never_given_is_invalid_and_changes_nothing,
    the_absolute_end_is_not_moved_by_refreshing,
    an_idle_session_ends_and_a_used_one_goes_on,
}

const LATE: Duration = Duration::minutes(5);

/// The same request so often at once, dealt round the nodes; how many came to each outcome.
async fn at_once(nodes: &[&Store], request: &RefreshRequest, times: usize) -> Vec<RefreshOutcome> {
    let start = Arc::new(tokio::sync::Barrier::new(times));
    let tasks: Vec<_> = nodes
        .iter()
        .cycle()
        .take(times)
        .map(|node| {
            let (node, request, start) = ((*node).clone(), request.clone(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                outcome(&node, &request).await
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

fn count(outcomes: &[RefreshOutcome], wanted: RefreshOutcome) -> usize {
    outcomes.iter().filter(|outcome| **outcome == wanted).count()
}

async fn of_64_refreshes_at_once_one_rotates_and_63_are_given_the_same_again(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    for nodes in [&[&here][..], &[&here, &there][..]] {
        let sid = sign_in(&here, &scene.customer, &who).await;
        for generation in 0..3 {
            let request = presented(&scene.customer, sid, generation, Duration::ZERO);
            let outcomes = at_once(nodes, &request, 64).await;
            let next = generation + 1;
            assert_eq!(count(&outcomes, RefreshOutcome::Rotated { next }), 1, "{outcomes:?}");
            assert_eq!(
                count(&outcomes, RefreshOutcome::Replayed { current: next }),
                63,
                "{outcomes:?}"
            );
        }
        assert!(row(&scene, sid).await.starts_with("3 2 0 "));
    }
}

async fn a_lost_answer_is_recovered_once_by_its_own_device(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let sid = sign_in(&here, &scene.customer, &who).await;
    let again = |generation, after| presented(&scene.customer, sid, generation, after);
    assert_eq!(
        outcome(&here, &again(0, Duration::ZERO)).await,
        RefreshOutcome::Rotated { next: 1 }
    );
    let outcomes = at_once(&[&here, &there], &again(0, LATE), 16).await;
    assert_eq!(
        count(&outcomes, RefreshOutcome::Recovered { next: 2 }),
        1,
        "{outcomes:?}"
    );
    assert_eq!(
        count(&outcomes, RefreshOutcome::Replayed { current: 2 }),
        15,
        "{outcomes:?}"
    );
    // The access tokens of the orphan are refused on both nodes.
    for node in [&here, &there] {
        let view = crate::scene::Ask::of(&who, &scene.customer).view(node).await;
        assert_eq!(
            view.identity.session(sid, &scene.customer.name).unwrap().min_generation,
            2
        );
    }
    // That answer may be lost as well: the client still holds what it had.
    assert_eq!(
        outcome(&there, &again(0, LATE * 2)).await,
        RefreshOutcome::Recovered { next: 3 }
    );
    assert_eq!(
        outcome(&there, &again(3, LATE * 2)).await,
        RefreshOutcome::Rotated { next: 4 }
    );
}

async fn a_lost_answer_is_recovered_by_no_other_device_and_not_too_late(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    let late = |sid, device: Option<&[u8]>, after| RefreshRequest {
        device_hash: device.map(<[u8]>::to_vec),
        ..presented(&scene.customer, sid, 0, after)
    };
    for (device, after) in [
        (Some(&b"another"[..]), LATE),
        (Some(&b""[..]), LATE),
        (None, LATE),
        (Some(super::DEVICE), Duration::hours(24) + Duration::seconds(5)),
    ] {
        let sid = sign_in(&here, &scene.customer, &who).await;
        outcome(&here, &presented(&scene.customer, sid, 0, Duration::ZERO)).await;
        assert_eq!(
            outcome(&here, &late(sid, device, after)).await,
            RefreshOutcome::Reused,
            "{device:?}"
        );
        assert!(row(&scene, sid).await.ends_with(" refresh_reused"));
        let current = presented(&scene.customer, sid, 1, Duration::ZERO);
        assert_eq!(
            outcome(&here, &current).await,
            RefreshOutcome::Invalid,
            "the whole chain has ended"
        );
    }
    // A session that was opened without a device id has none to be recognised by.
    let session = bekci_core::signin::NewSession {
        device_hash: None,
        ..new_session(&scene.customer, &who)
    };
    open(&here, &session).await;
    outcome(&here, &presented(&scene.customer, session.id, 0, Duration::ZERO)).await;
    assert_eq!(
        outcome(&here, &late(session.id, None, LATE)).await,
        RefreshOutcome::Reused
    );
}

async fn a_lost_answer_is_never_recovered_by_cookie(scene: Scene) {
    let here = scene.node().await;
    let sid = sign_in(&here, &scene.customer, &key("customer:1")).await;
    let by_cookie = |after| RefreshRequest {
        by_cookie: true,
        ..presented(&scene.customer, sid, 0, after)
    };
    assert_eq!(
        outcome(&here, &by_cookie(Duration::ZERO)).await,
        RefreshOutcome::Rotated { next: 1 }
    );
    assert_eq!(
        outcome(&here, &by_cookie(Duration::seconds(20))).await,
        RefreshOutcome::Replayed { current: 1 }
    );
    assert_eq!(outcome(&here, &by_cookie(LATE)).await, RefreshOutcome::Reused);
}

async fn what_an_orphan_and_an_older_generation_come_to(scene: Scene) {
    let here = scene.node().await;
    let (one, two) = (key("customer:1"), key("customer:2"));
    let bystander = sign_in(&here, &scene.customer, &two).await;
    for chain in [
        &[(0, Duration::ZERO), (0, LATE)][..],
        &[(0, Duration::ZERO), (1, Duration::ZERO)][..],
    ] {
        let sid = sign_in(&here, &scene.customer, &one).await;
        for (generation, after) in chain {
            outcome(&here, &presented(&scene.customer, sid, *generation, *after)).await;
        }
        // After RECOVERED generation 1 is an orphan; after two rotations generation 0 is an older one.
        let bad = if chain[1].0 == 0 { 1 } else { 0 };
        assert_eq!(
            outcome(&here, &presented(&scene.customer, sid, bad, LATE)).await,
            RefreshOutcome::Reused
        );
        assert_eq!(
            outcome(&here, &presented(&scene.customer, sid, 2, LATE)).await,
            RefreshOutcome::Invalid
        );
        assert!(super::live(&scene, &here, &one).await.is_empty());
    }
    assert_eq!(
        super::live(&scene, &here, &two).await,
        [bystander],
        "others are untouched"
    );
}

async fn strict_mode_takes_any_second_use_for_reuse(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let strict = ruled(&scene, |rules| rules.refresh.grace = Duration::ZERO);
    for _ in 0..5 {
        let sid = sign_in(&here, &strict, &key("customer:1")).await;
        let outcomes = at_once(&[&here, &there], &presented(&strict, sid, 0, Duration::ZERO), 8).await;
        assert_eq!(count(&outcomes, RefreshOutcome::Rotated { next: 1 }), 1, "{outcomes:?}");
        assert!(count(&outcomes, RefreshOutcome::Reused) >= 1, "{outcomes:?}");
        assert_eq!(
            count(&outcomes, RefreshOutcome::Reused) + count(&outcomes, RefreshOutcome::Invalid),
            7,
            "{outcomes:?}"
        );
        let successor = presented(&strict, sid, 1, Duration::ZERO);
        assert_eq!(
            outcome(&here, &successor).await,
            RefreshOutcome::Invalid,
            "no branch lives"
        );
    }
}

async fn at_another_guard_or_model_a_refresh_is_invalid_and_changes_nothing(scene: Scene) {
    let here = scene.node().await;
    let sid = sign_in(&here, &scene.customer, &key("customer:1")).await;
    let before = row(&scene, sid).await;
    let shop = Arc::new(AuthGuard {
        name: GuardName::new("shop").unwrap(),
        ..AuthGuard::clone(&scene.customer)
    });
    let impostor = Arc::new(AuthGuard {
        model: scene.admin.model.clone(),
        ..AuthGuard::clone(&scene.customer)
    });
    for guard in [&scene.admin, &shop, &impostor] {
        for generation in [0, 1] {
            let given = refreshed(&here, &presented(guard, sid, generation, LATE)).await;
            assert_eq!((given.outcome, given.session), (RefreshOutcome::Invalid, None));
        }
    }
    assert_eq!(row(&scene, sid).await, before);
    let own = presented(&scene.customer, sid, 0, Duration::ZERO);
    assert_eq!(outcome(&here, &own).await, RefreshOutcome::Rotated { next: 1 });
}

async fn what_was_never_given_is_invalid_and_changes_nothing(scene: Scene) {
    let here = scene.node().await;
    let sid = sign_in(&here, &scene.customer, &key("customer:1")).await;
    let before = row(&scene, sid).await;
    for generation in [1, 2, 1 << 31, u32::MAX] {
        let early = presented(&scene.customer, sid, generation, Duration::ZERO);
        assert_eq!(outcome(&here, &early).await, RefreshOutcome::Invalid);
    }
    let unknown = presented(&scene.customer, bekci_core::TokenId([7; 16]), 0, Duration::ZERO);
    assert_eq!(outcome(&here, &unknown).await, RefreshOutcome::Invalid);
    assert_eq!(row(&scene, sid).await, before);
    // A counter that has reached its end gives no further token rather than one that was given.
    let full = format!("UPDATE bekci_sessions SET generation = {} WHERE id = '{sid}'", i32::MAX);
    here.connection().execute_unprepared(&full).await.unwrap();
    let last = presented(&scene.customer, sid, i32::MAX.unsigned_abs(), Duration::ZERO);
    let answer = here.sign_in_store().refresh(&last).await;
    assert!(!matches!(&answer, Ok(given) if given.session.is_some()), "{answer:?}");
}

async fn the_absolute_end_is_not_moved_by_refreshing(scene: Scene) {
    let here = scene.node().await;
    let guard = ruled(&scene, |rules| rules.max_age = Some(Duration::hours(24)));
    let mut session = new_session(&guard, &key("customer:1"));
    session.now = super::now();
    open(&here, &session).await;
    let at = |generation, after| RefreshRequest {
        now: session.now + after,
        ..presented(&guard, session.id, generation, Duration::ZERO)
    };
    for hour in 1..24_u32 {
        let given = refreshed(&here, &at(hour - 1, Duration::hours(i64::from(hour)))).await;
        assert_eq!(given.outcome, RefreshOutcome::Rotated { next: hour });
        let ends = given.session.unwrap().refresh_ends - (session.now + Duration::hours(24));
        assert!(ends.abs() < Duration::milliseconds(1), "told to the client too: {ends}");
    }
    let before = row(&scene, session.id).await;
    let last = Duration::hours(24);
    assert_eq!(outcome(&here, &at(23, last)).await, RefreshOutcome::Expired);
    assert_eq!(outcome(&here, &at(22, last)).await, RefreshOutcome::Expired);
    assert_eq!(row(&scene, session.id).await, before);
    assert_eq!(
        outcome(&here, &at(23, last - Duration::seconds(1))).await,
        RefreshOutcome::Rotated { next: 24 }
    );
}

async fn an_idle_session_ends_and_a_used_one_goes_on(scene: Scene) {
    let here = scene.node().await;
    let guard = ruled(&scene, |rules| rules.refresh.idle = Some(Duration::hours(1)));
    let session = new_session(&guard, &key("customer:1"));
    open(&here, &session).await;
    let mut at = session.now;
    let again = |generation, at| RefreshRequest {
        now: at,
        ..presented(&guard, session.id, generation, Duration::ZERO)
    };
    for generation in 0..5 {
        at += Duration::hours(1) - Duration::seconds(1);
        let given = refreshed(&here, &again(generation, at)).await;
        assert_eq!(given.outcome, RefreshOutcome::Rotated { next: generation + 1 });
        assert!((given.session.unwrap().refresh_ends - at - Duration::hours(1)).abs() < Duration::milliseconds(1));
    }
    at += Duration::hours(1);
    assert_eq!(outcome(&here, &again(5, at)).await, RefreshOutcome::Expired);
}
