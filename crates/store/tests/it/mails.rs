//! The queue of mails: claimed by one node, kept over a restart, sealed.

use std::{collections::BTreeSet, time::Duration};

use bekci_core::mail::{EmailAddress, Mail, MailKind, MailLanguage};
use bekci_store::Store;
use sea_orm::{ConnectionTrait as _, Statement};
use time::OffsetDateTime;

use crate::scene::{Scene, on_every_store};

on_every_store! {
    of_several_nodes_one_claims_each_mail,
    a_claim_lapses_and_what_is_finished_or_deferred_by_it_then_is_another_nodes,
    what_is_queued_is_there_after_a_restart_and_is_sealed,
}

const CLAIM: Duration = Duration::from_secs(600);

fn mail(to: &str) -> Mail {
    Mail {
        kind: MailKind::SignInCode,
        to: EmailAddress::new(to).unwrap(),
        language: MailLanguage::Turkish,
        values: [("code".to_owned(), "314159".to_owned())].into(),
        expires_at: OffsetDateTime::from_unix_timestamp(4_000_000_000).unwrap(),
    }
}

async fn claimed(store: &Store, lasts: Duration) -> Vec<bekci_core::mail::ClaimedMail> {
    store.mail_queue().claim(100, lasts).await.unwrap()
}

async fn of_several_nodes_one_claims_each_mail(scene: Scene) {
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(scene.quiet_node(scene.settings()).await);
    }
    for n in 0..16 {
        nodes[n % 4]
            .queue_mail(&mail(&format!("c{n}@customer.test")))
            .await
            .unwrap();
    }
    let claims = nodes.iter().map(|node| claimed(node, CLAIM));
    let claims: Vec<_> = futures_util::future::join_all(claims)
        .await
        .into_iter()
        .flatten()
        .collect();
    let ids: BTreeSet<&str> = claims.iter().map(|mail| mail.id.as_str()).collect();
    assert_eq!((claims.len(), ids.len()), (16, 16));
    assert!(
        claims
            .iter()
            .all(|claimed| claimed.attempt == 1 && claimed.mail.is_some())
    );
    assert!(claimed(&nodes[0], CLAIM).await.is_empty());
    for claim in &claims {
        nodes[0].mail_queue().finish(claim).await.unwrap();
    }
    assert_eq!(rows(&scene).await, 0);
}

async fn a_claim_lapses_and_what_is_finished_or_deferred_by_it_then_is_another_nodes(scene: Scene) {
    let (first, second) = (
        scene.quiet_node(scene.settings()).await,
        scene.quiet_node(scene.settings()).await,
    );
    first.queue_mail(&mail("a@customer.test")).await.unwrap();
    let lapsed = claimed(&first, Duration::ZERO).await.remove(0);
    let taken = claimed(&second, CLAIM).await.remove(0);
    assert_eq!((taken.id.as_str(), taken.attempt), (lapsed.id.as_str(), 2));
    // The first comes back late: neither takes the mail away, nor gives it back.
    first.mail_queue().finish(&lapsed).await.unwrap();
    first.mail_queue().defer(&lapsed, Duration::ZERO).await.unwrap();
    assert!(claimed(&first, CLAIM).await.is_empty());
    assert_eq!(rows(&scene).await, 1);
    // Deferred, it is due when its time has come, and not before.
    second.mail_queue().defer(&taken, CLAIM).await.unwrap();
    assert!(claimed(&first, CLAIM).await.is_empty());
    scene.outside("UPDATE bekci_mails SET due_at = 0");
    let again = claimed(&first, CLAIM).await.remove(0);
    assert_eq!(again.attempt, 3);
    first.mail_queue().finish(&again).await.unwrap();
    assert_eq!(rows(&scene).await, 0);
}

async fn what_is_queued_is_there_after_a_restart_and_is_sealed(scene: Scene) {
    let first = scene.node().await;
    first.queue_mail(&mail("a@customer.test")).await.unwrap();
    first.close().await;
    drop(first);
    let db = scene.pool().await;
    let read = Statement::from_string(db.get_database_backend(), "SELECT body FROM bekci_mails");
    let row = db.query_one_raw(read).await.unwrap().unwrap();
    let body: Vec<u8> = row.try_get("", "body").unwrap();
    for secret in [b"314159".as_slice(), b"a@customer.test"] {
        assert!(!body.windows(secret.len()).any(|part| part == secret));
    }
    let second = scene.quiet_node(scene.settings()).await;
    let found = claimed(&second, Duration::ZERO).await.remove(0);
    assert_eq!(found.mail, Some(mail("a@customer.test")));
    // A row that somebody changed, or that was sealed for another row, gives no mail.
    scene.outside("UPDATE bekci_mails SET id = 'ffffffffffffffffffffffffffffffff'");
    let moved = claimed(&second, CLAIM).await.remove(0);
    assert_eq!(moved.mail, None);
}

async fn rows(scene: &Scene) -> i64 {
    let db = scene.pool().await;
    let count = Statement::from_string(db.get_database_backend(), "SELECT count(*) AS n FROM bekci_mails");
    db.query_one_raw(count)
        .await
        .unwrap()
        .unwrap()
        .try_get("", "n")
        .unwrap()
}
