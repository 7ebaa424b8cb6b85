//! Who ends which sessions, and what is left to them.

use bekci_core::{
    GuardName, RefreshOutcome,
    signin::{EndSessions, RefreshRequest},
};
use sea_orm::ConnectionTrait;
use time::Duration;

use super::{live, outcome, presented, refreshed, row};
use crate::scene::{ADMIN, Ask, Scene, key, on_every_store, sign_in};

on_every_store! {
    a_principal_ends_no_session_of_another,
    signing_out_everywhere_ends_all_of_one_principal_and_nothing_else,
    signing_out_ends_one_at_its_guard_alone_and_all_others_but_this,
    after_any_end_a_refresh_is_invalid_and_changes_nothing,
    a_banned_account_refreshes_nothing_and_keeps_its_session,
    the_sessions_of_a_deleted_account_do_not_come_back_with_its_id,
}

async fn a_principal_ends_no_session_of_another(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let (alice, mallory, admin) = (key("customer:1"), key("customer:2"), key(ADMIN));
    let theirs = sign_in(&here, &scene.customer, &alice).await;
    let own = sign_in(&here, &scene.customer, &mallory).await;
    let sessions = there.sign_in_store();
    for who in [&mallory, &admin] {
        let ended = sessions
            .end_sessions(who, None, &EndSessions::One(theirs), super::now())
            .await;
        assert_eq!(ended.unwrap(), []);
    }
    let others = EndSessions::Others(theirs);
    assert_eq!(
        sessions
            .end_sessions(&mallory, None, &others, super::now())
            .await
            .unwrap(),
        [own]
    );
    assert_eq!(live(&scene, &here, &alice).await, [theirs]);
    assert_eq!(sessions.session_owner(theirs).await.unwrap(), Some((alice, true)));
    assert_eq!(sessions.session_owner(own).await.unwrap(), Some((mallory, false)));
    assert_eq!(
        sessions.session_owner(bekci_core::TokenId([9; 16])).await.unwrap(),
        None
    );
    let refresh = presented(&scene.customer, theirs, 0, Duration::ZERO);
    assert_eq!(outcome(&here, &refresh).await, RefreshOutcome::Rotated { next: 1 });
}

async fn signing_out_everywhere_ends_all_of_one_principal_and_nothing_else(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let (one, two, admin) = (key("customer:1"), key("customer:2"), key(ADMIN));
    let mut devices = Vec::new();
    for _ in 0..5 {
        devices.push(sign_in(&here, &scene.customer, &one).await);
    }
    let others = [
        (&two, sign_in(&here, &scene.customer, &two).await),
        (&admin, sign_in(&here, &scene.admin, &admin).await),
    ];
    // A row of another model whose principal has the same id.
    let twin = sign_in(&here, &scene.customer, &two).await;
    let sql =
        format!("UPDATE bekci_sessions SET model = 'admin', principal_id = '1', guard = 'admin' WHERE id = '{twin}'");
    here.connection().execute_unprepared(&sql).await.unwrap();

    let sessions = there.sign_in_store();
    let mut ended = sessions
        .end_sessions(&one, None, &EndSessions::All, super::now())
        .await
        .unwrap();
    ended.sort_by_key(|id| id.0);
    devices.sort_by_key(|id| id.0);
    assert_eq!(ended, devices);
    for node in [&here, &there] {
        assert_eq!(live(&scene, node, &one).await, []);
        for (who, sid) in &others {
            assert_eq!(live(&scene, node, who).await, [*sid]);
        }
    }
    assert!(row(&scene, twin).await.ends_with(" lives"));
    assert_eq!(sessions.sessions(&one).await.unwrap(), []);
    let again = sessions.end_sessions(&one, None, &EndSessions::All, super::now()).await;
    assert_eq!(again.unwrap(), [], "there is nothing left to end");
}

async fn signing_out_ends_one_at_its_guard_alone_and_all_others_but_this(scene: Scene) {
    let here = scene.node().await;
    let who = key("customer:1");
    let mut sids = Vec::new();
    for _ in 0..4 {
        sids.push(sign_in(&here, &scene.customer, &who).await);
    }
    let sessions = here.sign_in_store();
    let end = async |guard, which| {
        let mut ended = sessions.end_sessions(&who, guard, &which, super::now()).await.unwrap();
        ended.sort_by_key(|id| id.0);
        ended
    };
    let shop = bekci_core::AuthGuard {
        name: GuardName::new("shop").unwrap(),
        ..bekci_core::AuthGuard::clone(&scene.customer)
    };
    for which in [
        EndSessions::One(sids[0]),
        EndSessions::All,
        EndSessions::Others(sids[0]),
    ] {
        assert_eq!(end(Some(&shop), which).await, []);
    }
    let listed = sessions.sessions(&who).await.unwrap();
    assert!(
        listed.len() == 4
            && listed
                .iter()
                .all(|entry| entry.guard == "customer" && entry.way == "password")
    );
    assert_eq!(end(Some(&scene.customer), EndSessions::One(sids[0])).await, [sids[0]]);
    sids.remove(0);
    sids.sort_by_key(|id| id.0);
    let rest = sids.split_off(1);
    assert_eq!(end(None, EndSessions::Others(sids[0])).await, rest);
    assert_eq!(live(&scene, &here, &who).await, sids);
}

async fn after_any_end_a_refresh_is_invalid_and_changes_nothing(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let db = here.connection();
    let other = sign_in(&here, &scene.customer, &who).await;
    for end in ["one", "all", "others", "raw", "deleted row"] {
        let sid = sign_in(&here, &scene.customer, &who).await;
        outcome(&here, &presented(&scene.customer, sid, 0, Duration::ZERO)).await;
        let which = match end {
            "one" => Some(EndSessions::One(sid)),
            "all" => Some(EndSessions::All),
            "others" => Some(EndSessions::Others(other)),
            _ => None,
        };
        match which {
            Some(which) => {
                drop(
                    here.sign_in_store()
                        .end_sessions(&who, None, &which, super::now())
                        .await
                        .unwrap(),
                );
            }
            None if end == "raw" => {
                db.execute_unprepared("UPDATE bekci_sessions SET ended_at = 1 WHERE ended_at IS NULL")
                    .await
                    .unwrap();
            }
            None => {
                db.execute_unprepared("DELETE FROM bekci_sessions").await.unwrap();
            }
        }
        let before = if end == "deleted row" {
            String::new()
        } else {
            row(&scene, sid).await
        };
        for (generation, after) in [(0, 0), (0, 300), (1, 0), (1, 300), (2, 0)] {
            let request = RefreshRequest {
                by_cookie: after == 0,
                ..presented(&scene.customer, sid, generation, Duration::seconds(after))
            };
            let given = refreshed(&there, &request).await;
            assert_eq!((given.outcome, given.session), (RefreshOutcome::Invalid, None), "{end}");
        }
        if end != "deleted row" {
            assert_eq!(row(&scene, sid).await, before);
        }
    }
}

async fn a_banned_account_refreshes_nothing_and_keeps_its_session(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let sid = sign_in(&here, &scene.customer, &who).await;
    let order = bekci_store::BanOrder {
        status: "suspended".to_owned(),
        reason: Some("fraud".to_owned()),
        ..Default::default()
    };
    outcome(&here, &presented(&scene.customer, sid, 0, Duration::ZERO)).await;
    here.ban(&who, &order).await.unwrap();
    let before = row(&scene, sid).await;
    for (generation, after) in [(1, 0), (0, 0), (0, 300)] {
        let given = refreshed(
            &there,
            &presented(&scene.customer, sid, generation, Duration::seconds(after)),
        )
        .await;
        assert_eq!(given.session, None);
        assert_eq!(given.banned.unwrap().reason.as_deref(), Some("fraud"));
    }
    assert_eq!(row(&scene, sid).await, before);
    there.unban(&who).await.unwrap();
    let own = presented(&scene.customer, sid, 1, Duration::ZERO);
    assert_eq!(outcome(&here, &own).await, RefreshOutcome::Rotated { next: 2 });
}

async fn the_sessions_of_a_deleted_account_do_not_come_back_with_its_id(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let (who, admin) = (key("customer:1"), key(ADMIN));
    let sid = sign_in(&here, &scene.customer, &who).await;
    let admins = sign_in(&here, &scene.admin, &admin).await;
    let db = here.connection();
    let refused = async |guard, sid| {
        for node in [&here, &there] {
            for generation in [0, 1] {
                let given = refreshed(node, &presented(guard, sid, generation, Duration::ZERO)).await;
                assert_eq!((given.outcome, given.session), (RefreshOutcome::Invalid, None));
            }
        }
    };
    db.execute_unprepared("DELETE FROM customers WHERE id = 1")
        .await
        .unwrap();
    db.execute_unprepared("DELETE FROM admins").await.unwrap();
    refused(&scene.customer, sid).await;
    refused(&scene.admin, admins).await;
    let again = "INSERT INTO customers (id, email, name, status) VALUES (1, 'c1@example.com', 'Customer 1', 'active')";
    db.execute_unprepared(again).await.unwrap();
    let id = scene.uuid(admin.id());
    let again =
        format!("INSERT INTO admins (id, email, name, status) VALUES ({id}, 'a@example.com', 'Admin', 'active')");
    db.execute_unprepared(&again).await.unwrap();
    refused(&scene.customer, sid).await;
    refused(&scene.admin, admins).await;
    for (node, who) in [(&here, &who), (&there, &who), (&here, &admin), (&there, &admin)] {
        let view = Ask::of(who, &scene.customer).view(node).await;
        assert!(view.identity.exists && view.identity.sessions.is_empty());
    }
    let fresh = sign_in(&there, &scene.customer, &who).await;
    assert_eq!(live(&scene, &here, &who).await, [fresh]);
}
