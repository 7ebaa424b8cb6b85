//! One normal form of identifiers for every way in, on every store, and rows that are no accounts.

use bekci_core::{ModelName, PrincipalKey};
use bekci_store::{AccountChange, DirectoryError, Store};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::scene::{Ask, Scene, key, on_every_store, sign_in, table, until};

on_every_store! {
    every_spelling_of_an_identifier_signs_in_to_its_account_and_to_no_other,
    no_way_in_makes_a_twin,
    two_spellings_added_at_once_make_one_account,
    twins_that_are_there_are_named_and_neither_is_chosen,
    a_row_that_the_filter_leaves_out_is_no_account,
}

/// Spellings of one identifier where case does not count, as people and databases write them.
const SPELLINGS: [&str; 6] = [
    "çağla@bücher.example",
    "ÇAĞLA@BÜCHER.EXAMPLE",
    "Çağla@Bücher.Example",
    "c\u{327}ag\u{306}la@bu\u{308}cher.example",
    "çağla@xn--bcher-kva.example",
    "C\u{327}AG\u{306}LA@XN--BCHER-KVA.example",
];

fn customer() -> ModelName {
    ModelName::new("customer").unwrap()
}

async fn node(scene: &Scene, change: impl FnOnce(&mut bekci_core::ModelSpec)) -> Store {
    let mut settings = scene.settings();
    let customers = settings.models.iter_mut().find(|model| model.name == customer());
    change(customers.unwrap());
    scene.quiet_node(settings).await
}

async fn without_case(scene: &Scene) -> Store {
    node(scene, |model| model.identifiers = vec![("email".to_owned(), true)]).await
}

/// The accounts of a scene were made with ids of their own, which PostgreSQL would give again.
fn leave_room(scene: &Scene) {
    if scene.is_postgres() {
        scene.outside("SELECT setval(pg_get_serial_sequence('customers', 'id'), 100)");
    }
}

async fn found(store: &Store, entered: &str) -> Vec<PrincipalKey> {
    let found = store.sign_in_store().credentials(&customer(), entered).await.unwrap();
    found.into_iter().map(|credential| credential.key).collect()
}

fn by_email(email: &str) -> AccountChange {
    AccountChange {
        columns: vec![("email".to_owned(), json!(email))],
        ..AccountChange::default()
    }
}

async fn every_spelling_of_an_identifier_signs_in_to_its_account_and_to_no_other(scene: Scene) {
    let store = without_case(&scene).await;
    for held in SPELLINGS {
        scene.outside(&format!("UPDATE customers SET email = '{held}' WHERE id = 2"));
        for entered in SPELLINGS {
            assert_eq!(found(&store, entered).await, [key("customer:2")], "{held} {entered}");
        }
        for other in ["cagla@bucher.example", "çağla@bücher.example.com", "çağla"] {
            assert_eq!(found(&store, other).await, [], "{held} {other}");
        }
    }
    scene.outside("UPDATE customers SET email = 'Ada@Example.com' WHERE id = 2");
    for entered in ["ada@example.com", "ADA@EXAMPLE.COM", "ａｄａ@example.com"] {
        assert_eq!(found(&store, entered).await, [key("customer:2")], "{entered}");
    }
    // Where case counts, it counts; how a letter is composed does not.
    let exact = node(&scene, |_| ()).await;
    assert_eq!(found(&exact, "ada@example.com").await, []);
    scene.outside("UPDATE customers SET email = 'Jose\u{301}@example.com' WHERE id = 2");
    assert_eq!(found(&exact, "Jos\u{e9}@example.com").await, [key("customer:2")]);
    assert_eq!(found(&exact, "jos\u{e9}@example.com").await, []);
}

async fn no_way_in_makes_a_twin(scene: Scene) {
    leave_room(&scene);
    let store = without_case(&scene).await;
    let directory = store.directory();
    for (held, others) in [
        (
            "Twin@example.com",
            &["TWIN@example.com", "twin@example.com", " Twin@example.com "][..],
        ),
        (SPELLINGS[0], &SPELLINGS[1..]),
    ] {
        let (who, _) = directory.add(&customer(), &by_email(held)).await.unwrap();
        for other in others {
            let change = by_email(other);
            let added = directory.add(&customer(), &change).await;
            assert!(matches!(added, Err(DirectoryError::Taken)), "{other}");
            let moved = directory.change(&key("customer:1"), &change).await;
            assert!(matches!(moved, Err(DirectoryError::Taken)), "{other}");
            // Its own other spelling is nobody else's.
            directory.change(&who, &change).await.unwrap();
        }
        assert_eq!(found(&store, others[0]).await, [who]);
    }
    let twins = store.twins(&customer()).await.unwrap();
    assert_eq!((twins.pairs, twins.is_complete), (Vec::new(), true));
}

async fn two_spellings_added_at_once_make_one_account(scene: Scene) {
    leave_room(&scene);
    let (here, there) = (without_case(&scene).await, without_case(&scene).await);
    let tries = SPELLINGS.iter().enumerate().map(|(n, spelling)| {
        let store = if n % 2 == 0 { here.clone() } else { there.clone() };
        let account = by_email(spelling);
        tokio::spawn(async move { store.directory().add(&customer(), &account).await.is_ok() })
    });
    let mut made = 0;
    for attempt in tries.collect::<Vec<_>>() {
        made += u32::from(attempt.await.unwrap());
    }
    assert_eq!(made, 1);
    assert_eq!(found(&here, SPELLINGS[3]).await.len(), 1);
}

async fn twins_that_are_there_are_named_and_neither_is_chosen(scene: Scene) {
    let store = without_case(&scene).await;
    scene.outside("UPDATE customers SET email = 'twin@example.com' WHERE id = 1");
    scene.outside("UPDATE customers SET email = 'TWIN@example.com' WHERE id = 3");
    let mut both = found(&store, "Twin@example.com").await;
    both.sort();
    assert_eq!(both, [key("customer:1"), key("customer:3")]);
    let pairs = store.twins(&customer()).await.unwrap().pairs;
    assert_eq!(pairs.len(), 1);
    assert!(matches!(&pairs[0], (one, other) if one != other && both.contains(one) && both.contains(other)));
}

async fn a_row_that_the_filter_leaves_out_is_no_account(scene: Scene) {
    leave_room(&scene);
    let live = |model: &mut bekci_core::ModelSpec| {
        model.identifiers = vec![("email".to_owned(), true)];
        model.filter = Some("notes:null".parse().unwrap());
    };
    let mut settings = scene.settings();
    let customers = settings
        .models
        .iter_mut()
        .find(|model| model.name == customer())
        .unwrap();
    live(customers);
    let db = scene.pool().await;
    bekci_migration::up(&db, &[table(customers)]).await.unwrap();
    let store = node(&scene, live).await;
    let serving = bekci_store::Store::open(scene.pool().await, settings).await.unwrap();
    until(|| serving.is_trusted()).await;

    // A deleted row of the same address hinders neither signing in nor being made.
    db.execute_unprepared("UPDATE customers SET email = 'twin@example.com' WHERE id = 1")
        .await
        .unwrap();
    db.execute_unprepared("UPDATE customers SET email = 'TWIN@example.com', notes = 'deleted' WHERE id = 3")
        .await
        .unwrap();
    assert_eq!(found(&store, "twin@example.com").await, [key("customer:1")]);
    assert!(store.twins(&customer()).await.unwrap().pairs.is_empty());
    let gone = key("customer:3");
    assert!(store.directory().find(&gone).await.unwrap().is_none());
    assert!(store.sign_in_store().credential_of(&gone).await.unwrap().is_none());
    db.execute_unprepared("UPDATE customers SET notes = 'deleted' WHERE id = 1")
        .await
        .unwrap();
    let account = by_email("Twin@example.com");
    store.directory().add(&customer(), &account).await.unwrap();

    // What is marked as deleted from outside is gone on a node that serves, with its sessions.
    let who = key("customer:2");
    sign_in(&serving, &scene.customer, &who).await;
    let exists = async || Ask::of(&who, &scene.customer).view(&serving).await.identity.exists;
    assert!(exists().await);
    db.execute_unprepared("UPDATE customers SET notes = 'deleted' WHERE id = 2")
        .await
        .unwrap();
    let leaves = async {
        while exists().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), leaves)
        .await
        .unwrap();
}
