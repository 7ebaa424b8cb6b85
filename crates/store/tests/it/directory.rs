//! The directory: accounts and roles as those see them who manage them, on every store.

use std::collections::BTreeMap;

use bekci_core::{ModelName, Permission, RoleName, TenantName, signin::StoreError};
use bekci_store::{AccountChange, AccountQuery, DirectoryError, NewRole, Scope, Store};
use serde_json::{Value, json};

use crate::scene::{Ask, Scene, key, new_session, on_every_store};

on_every_store!(
    pages_hold_every_account_once_and_a_search_folds_case,
    an_account_is_added_changed_and_removed_and_each_node_knows,
    identifiers_and_values_that_cannot_be_are_refused,
    a_new_password_ends_the_sessions,
    a_status_is_restored_and_the_ban_is_gone,
    roles_and_permissions_are_known_by_number,
    an_account_and_its_roles_are_one_change,
);

fn model(name: &str) -> ModelName {
    ModelName::new(name).unwrap()
}

fn change(columns: &[(&str, Value)]) -> AccountChange {
    let columns = columns
        .iter()
        .map(|(column, value)| ((*column).to_owned(), value.clone()));
    AccountChange {
        columns: columns.collect(),
        ..AccountChange::default()
    }
}

/// How often each id is seen on all pages of two.
async fn walk(store: &Store, name: &str, text: Option<&str>) -> BTreeMap<String, u32> {
    let mut seen = BTreeMap::new();
    let mut query = AccountQuery {
        text: text.map(str::to_owned),
        after: None,
        limit: 2,
    };
    loop {
        let page = store.directory().list(&model(name), &query).await.unwrap();
        assert!(page.accounts.len() <= 2);
        for account in &page.accounts {
            *seen.entry(account.key.id().to_owned()).or_default() += 1;
        }
        match page.next {
            Some(mark) => query.after = Some(mark),
            None => return seen,
        }
    }
}

async fn pages_hold_every_account_once_and_a_search_folds_case(scene: Scene) {
    let store = scene.node().await;
    for n in 0..5 {
        let account = change(&[
            ("email", json!(format!("Person{n}@example.com"))),
            ("name", json!("50%_of")),
        ]);
        store.directory().add(&model("admin"), &account).await.unwrap();
    }
    for (name, count) in [("admin", 6), ("customer", 3)] {
        let seen = walk(&store, name, None).await;
        assert_eq!(seen.len(), count, "{name}");
        assert!(seen.values().all(|times| *times == 1), "{name} {seen:?}");
    }
    for (name, text, count) in [
        ("admin", "PERSON3@", 1),
        ("admin", "0%_O", 5),
        ("admin", "0_%", 0),
        ("admin", "0b0c1f3e-94b6-4d0a-9d8e-0d1d5f9a1b2c", 1),
        ("customer", "2", 1),
        ("customer", "' OR 1=1 --", 0),
    ] {
        assert_eq!(walk(&store, name, Some(text)).await.len(), count, "{text}");
    }
    for mark in ["", "x", "t1x", "b1", "\u{e9}"] {
        let query = AccountQuery {
            after: Some(mark.to_owned()),
            limit: 2,
            ..AccountQuery::default()
        };
        let refused = store.directory().list(&model("customer"), &query).await;
        assert!(matches!(refused, Err(DirectoryError::Value(_))), "{mark:?}");
    }
}

async fn an_account_is_added_changed_and_removed_and_each_node_knows(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let account = AccountChange {
        verified: Some(true),
        ..change(&[("email", json!("e@example.com")), ("name", json!("Eve"))])
    };
    let (who, _) = here.directory().add(&model("admin"), &account).await.unwrap();
    let name = |view: &bekci_core::View| view.identity.attributes.get("name").cloned();
    let seen = Ask::of(&who, &scene.admin).view(&there).await;
    assert_eq!(
        (seen.identity.exists, seen.identity.verified, name(&seen)),
        (true, true, Some(json!("Eve")))
    );
    for (to, told) in [(json!("Eva"), json!("Eva")), (Value::Null, Value::Null)] {
        here.directory().change(&who, &change(&[("name", to)])).await.unwrap();
        assert_eq!(name(&Ask::of(&who, &scene.admin).view(&there).await), Some(told));
    }
    let found = here.directory().find(&who).await.unwrap().unwrap();
    assert_eq!(found.key, who);
    here.directory().remove(&who).await.unwrap();
    assert!(!Ask::of(&who, &scene.admin).view(&there).await.identity.exists);
    assert!(here.directory().find(&who).await.unwrap().is_none());
    assert!(matches!(here.directory().remove(&who).await, Err(DirectoryError::Gone)));
    assert!(matches!(
        here.directory().change(&who, &account).await,
        Err(DirectoryError::Gone)
    ));
}

async fn identifiers_and_values_that_cannot_be_are_refused(scene: Scene) {
    let store = scene.node().await;
    let taken = change(&[("email", json!("c2@example.com"))]);
    let refused = store.directory().change(&key("customer:1"), &taken).await;
    assert!(matches!(refused, Err(DirectoryError::Taken)), "{refused:?}");
    store.directory().change(&key("customer:2"), &taken).await.unwrap();
    for column in [
        "id",
        "status",
        "password_hash",
        "email_verified_at",
        "nope",
        "name\"; --",
    ] {
        let refused = store
            .directory()
            .change(&key("customer:1"), &change(&[(column, json!("x"))]))
            .await;
        assert!(matches!(refused, Err(DirectoryError::Value(_))), "{column}");
    }
    for value in [json!([1]), json!({"a": 1})] {
        let refused = store
            .directory()
            .change(&key("customer:1"), &change(&[("name", value)]))
            .await;
        assert!(matches!(refused, Err(DirectoryError::Value(_))));
    }
    let nameless = store
        .directory()
        .add(&model("admin"), &change(&[("name", json!("x"))]))
        .await;
    assert!(
        matches!(nameless, Err(DirectoryError::Value(_))),
        "the table wants an address: {nameless:?}"
    );
    let nothing = store
        .directory()
        .change(&key("customer:1"), &AccountChange::default())
        .await;
    assert!(matches!(nothing, Err(DirectoryError::Value(_))));
    assert!(matches!(
        store.directory().add(&model("pilot"), &taken).await,
        Err(DirectoryError::Gone)
    ));
}

async fn a_new_password_ends_the_sessions(scene: Scene) {
    let (here, there) = (scene.node().await, scene.node().await);
    let who = key("customer:1");
    let session = new_session(&scene.customer, &who);
    here.sign_in_store().open_session(&session).await.unwrap();
    assert_eq!(
        Ask::of(&who, &scene.customer)
            .view(&there)
            .await
            .identity
            .sessions
            .len(),
        1
    );
    let hashed = AccountChange {
        password_hash: Some("$argon2id$x".to_owned().into()),
        ..AccountChange::default()
    };
    let changed = here.directory().change(&who, &hashed).await.unwrap();
    assert_eq!(changed.ended, [session.id]);
    assert!(
        Ask::of(&who, &scene.customer)
            .view(&there)
            .await
            .identity
            .sessions
            .is_empty()
    );
}

async fn a_status_is_restored_and_the_ban_is_gone(scene: Scene) {
    let store = scene.node().await;
    let who = key("customer:1");
    let order = bekci_store::BanOrder {
        status: "banned".to_owned(),
        reason: Some("fraud".to_owned()),
        ..bekci_store::BanOrder::default()
    };
    store.ban(&who, &order).await.unwrap();
    for status in ["suspended", "bannd", ""] {
        assert!(
            matches!(
                store.directory().restore(&who, status).await,
                Err(DirectoryError::Value(_))
            ),
            "{status:?}"
        );
    }
    store.directory().restore(&who, "active").await.unwrap();
    let found = store.directory().find(&who).await.unwrap().unwrap();
    assert_eq!(
        (found.status.as_deref(), found.banned, found.ban),
        (Some("active"), false, None)
    );
    assert!(matches!(
        store.directory().restore(&key("customer:9"), "active").await,
        Err(DirectoryError::Gone)
    ));
}

async fn roles_and_permissions_are_known_by_number(scene: Scene) {
    let store = scene.node().await;
    let directory = store.directory();
    let scope = Scope::global(scene.customer.name.clone());
    let permissions = [
        Permission::new("orders.view").unwrap(),
        Permission::new("orders.place").unwrap(),
    ];
    let clerk = NewRole {
        scope: scope.clone(),
        name: RoleName::new("clerk").unwrap(),
        permissions: permissions.to_vec(),
    };
    let (id, _) = directory.add_role(&clerk).await.unwrap();
    assert!(matches!(directory.add_role(&clerk).await, Err(DirectoryError::Taken)));
    let who = key("customer:1");
    store
        .rights()
        .assign_role(&who, &scope, std::slice::from_ref(&clerk.name))
        .await
        .unwrap();
    assert!(Ask::of(&who, &scene.customer).can(&store, "orders.place").await);
    directory.set_role(id, &permissions[..1]).await.unwrap();
    assert!(!Ask::of(&who, &scene.customer).can(&store, "orders.place").await);
    directory
        .rename_role(id, &RoleName::new("teller").unwrap())
        .await
        .unwrap();
    assert!(Ask::of(&who, &scene.customer).can(&store, "orders.view").await);
    let buyer = RoleName::new("buyer").unwrap();
    assert!(matches!(
        directory.rename_role(id, &buyer).await,
        Err(DirectoryError::Taken)
    ));
    assert_eq!(directory.role(id).await.unwrap().unwrap().permissions, permissions[..1]);
    let acme = TenantName::new("acme").unwrap();
    for (tenant, count) in [(None, 3), (Some(None), 2), (Some(Some(&acme)), 1)] {
        let page = directory
            .roles(Some(&scene.customer.name), tenant, 0, 10)
            .await
            .unwrap();
        assert_eq!((page.roles.len(), page.next), (count, None));
    }
    let first = directory.roles(None, None, 0, 2).await.unwrap();
    let rest = directory.roles(None, None, first.next.unwrap(), 2).await.unwrap();
    assert_eq!((first.roles.len(), rest.roles.len(), rest.next), (2, 1, None));
    let (known, next) = directory.permissions(Some(&scene.customer.name), 0, 10).await.unwrap();
    let view = known
        .iter()
        .find(|(_, _, name)| name.as_str() == "orders.view")
        .unwrap();
    assert_eq!(next, None);
    directory.remove_permission(view.0).await.unwrap();
    assert!(!Ask::of(&who, &scene.customer).can(&store, "orders.view").await);
    assert!(matches!(
        directory.remove_permission(view.0).await,
        Err(DirectoryError::Gone)
    ));
    directory.remove_role(id).await.unwrap();
    assert!(matches!(directory.remove_role(id).await, Err(DirectoryError::Gone)));
}

async fn an_account_and_its_roles_are_one_change(scene: Scene) {
    if scene.is_postgres() {
        // The scene's rows have numbers that the sequence does not know of.
        scene.outside("SELECT setval(pg_get_serial_sequence('customers', 'id'), 100)");
    }
    let store = scene.node().await;
    let directory = store.directory();
    let scope = Scope::global(scene.customer.name.clone());
    let role = |name| (scope.clone(), RoleName::new(name).unwrap());
    let account = change(&[("email", json!("dora@example.com")), ("name", json!("Dora"))]);
    let unknown = directory
        .add_with_roles(&model("customer"), &account, &[role("buyer"), role("nobody")])
        .await;
    assert!(
        matches!(&unknown, Err(DirectoryError::Store(StoreError::Refused(why))) if why.contains("nobody")),
        "{unknown:?}"
    );
    assert!(!walk(&store, "customer", Some("dora@")).await.into_iter().any(|_| true));
    let (who, committed) = directory
        .add_with_roles(&model("customer"), &account, &[role("buyer"), role("buyer")])
        .await
        .unwrap();
    committed.confirmed().unwrap();
    assert!(Ask::of(&who, &scene.customer).can(&store, "orders.view").await);
}
