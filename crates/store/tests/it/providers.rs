//! Accounts that are not in the database: what comes from their provider, what stays in the database, and that neither is ever taken for newer than it is.

mod shelf;

use std::sync::Arc;

use async_trait::async_trait;
use bekci_core::{
    AuthGuard, Clock, FindCredentials, GuardName, IdKind, ModelName, ModelSpec, Permission, PrincipalKey,
    ProviderUnavailable, RoleName, ScopedRights,
    signin::{Credential, EndSessions, Opened, StoreError},
};
use bekci_store::{
    AccountChange, AccountQuery, BanOrder, DirectoryError, Providers, Scope, Store, StoreSettings, SystemClock,
};
use sea_orm::ConnectionTrait;
use secrecy::{ExposeSecret, SecretString};
use time::Duration;

use shelf::{Shelf, staff};

use crate::scene::{Ask, Scene, key, new_session, on_every_store, sign_in};

on_every_store! {
    an_account_comes_from_its_provider_and_its_sessions_bans_and_given_rights_from_the_database,
    what_a_provider_took_away_is_gone_on_every_node_when_it_was_touched,
    an_answer_overtaken_by_a_touch_is_asked_for_again,
    a_ban_keeps_a_providers_account_out_and_its_end_lifts_no_status,
    a_password_changed_at_the_provider_opens_no_session,
    what_is_not_in_the_database_is_not_changed_there,
    accounts_that_differ_by_node_are_never_shared,
    a_provider_that_cannot_tell_is_no_refusal,
    one_query_on_the_table_is_replaced_and_the_rest_kept,
}

fn staff_guard() -> Arc<AuthGuard> {
    let (guard, model) = (GuardName::new("staff").unwrap(), ModelName::new("staff").unwrap());
    Arc::new(AuthGuard::new(guard, model, IdKind::Text, false))
}

fn with(scene: &Scene, shelf: &Arc<Shelf>) -> StoreSettings {
    let mut settings = scene.settings();
    let name = ModelName::new("staff").unwrap();
    settings.models.push(ModelSpec {
        id_kind: IdKind::Text,
        ..ModelSpec::new(name.clone(), "no_such_table")
    });
    settings.guards.push(staff_guard());
    assert!(settings.providers.provide(name, Arc::clone(shelf) as _));
    settings
}

fn given(role: &str, permission: &str) -> Vec<ScopedRights> {
    vec![ScopedRights {
        guard: GuardName::new("staff").unwrap(),
        tenant: None,
        roles: Box::new([RoleName::new(role).unwrap()]),
        granted: Box::new([Permission::new(permission).unwrap()]),
        denied: Box::default(),
    }]
}

async fn credentials(store: &Store, identifier: &str) -> Result<Vec<Credential>, StoreError> {
    let model = ModelName::new("staff").unwrap();
    store.sign_in_store().credentials(&model, identifier).await
}

async fn an_account_comes_from_its_provider_and_its_sessions_bans_and_given_rights_from_the_database(scene: Scene) {
    let shelf = Arc::new(Shelf::default());
    shelf.put("ada", |ada| {
        ada.rights = given("support", "tickets.view");
        ada.attributes.insert("name".into(), "Ada".into());
        ada.attributes.insert("salary".into(), 1.into());
    });
    let (node, guard, ada) = (
        scene.quiet_node(with(&scene, &shelf)).await,
        staff_guard(),
        staff("ada"),
    );
    let found = credentials(&node, "ada").await.unwrap();
    assert_eq!(found[0].key, ada);
    assert_eq!(found[0].password_hash.as_ref().unwrap().expose_secret(), "hash of ada");
    assert!(credentials(&node, "eve").await.unwrap().is_empty());

    let session = sign_in(&node, &guard, &ada).await;
    let permission = Permission::new("tickets.close").unwrap();
    let scope = Scope::global(guard.name.clone());
    node.rights().give(&ada, &scope, &[permission]).await.unwrap();
    let view = Ask::of(&ada, &guard).view(&node).await;
    assert!(view.identity.exists && view.identity.session(session, &guard.name).is_some());
    let attributes = serde_json::to_string(&view.identity.attributes).unwrap();
    assert_eq!(attributes, r#"{"email":null,"name":"Ada"}"#, "the chosen ones alone");
    let rights = &view.identity.rights;
    assert_eq!(rights.len(), 1, "one scope, from two places: {rights:?}");
    for held in ["tickets.view", "tickets.close"] {
        assert!(Ask::of(&ada, &guard).can(&node, held).await, "{held}");
    }
    let denied = Permission::new("tickets.view").unwrap();
    node.rights()
        .sync_permissions(&ada, &scope, &[], &[denied])
        .await
        .unwrap();
    assert!(
        !Ask::of(&ada, &guard).can(&node, "tickets.view").await,
        "a denial wins wherever it stands"
    );

    let sessions = node.sign_in_store();
    let now = SystemClock.now();
    assert_eq!(
        sessions.end_sessions(&ada, None, &EndSessions::All, now).await.unwrap(),
        [session]
    );
    assert!(Ask::of(&ada, &guard).view(&node).await.identity.sessions.is_empty());
    for odd in ["a b", "ada:1", "eve"] {
        let Ok(odd) = PrincipalKey::parse(&format!("staff:{odd}")) else {
            continue;
        };
        assert!(!Ask::of(&odd, &guard).view(&node).await.identity.exists, "{odd}");
        assert_eq!(
            sessions.open_session(&new_session(&guard, &odd)).await.unwrap(),
            Opened::Gone
        );
    }
}

async fn what_a_provider_took_away_is_gone_on_every_node_when_it_was_touched(scene: Scene) {
    let shelf = Arc::new(Shelf::default());
    shelf.put("ada", |ada| ada.rights = given("support", "tickets.view"));
    let (here, there) = (
        Store::open(scene.pool().await, with(&scene, &shelf)).await.unwrap(),
        Store::open(scene.pool().await, with(&scene, &shelf)).await.unwrap(),
    );
    crate::scene::until(|| here.is_trusted() && there.is_trusted()).await;
    let (guard, ada) = (staff_guard(), staff("ada"));
    for node in [&here, &there] {
        assert!(Ask::of(&ada, &guard).can(node, "tickets.view").await);
    }
    shelf.put("ada", |ada| ada.rights.clear());
    here.touch(std::slice::from_ref(&ada)).await.unwrap();
    for node in [&here, &there] {
        assert!(!Ask::of(&ada, &guard).can(node, "tickets.view").await);
    }
    shelf.take("ada");
    there.touch(std::slice::from_ref(&ada)).await.unwrap();
    for node in [&here, &there] {
        assert!(!Ask::of(&ada, &guard).view(node).await.identity.exists);
    }
}

async fn an_answer_overtaken_by_a_touch_is_asked_for_again(scene: Scene) {
    let shelf = Arc::new(Shelf::default());
    shelf.put("ada", |ada| ada.rights = given("support", "tickets.view"));
    let node = scene.quiet_node(with(&scene, &shelf)).await;
    let (guard, ada) = (staff_guard(), staff("ada"));
    node.failpoints().hold("read.given");
    let slow = tokio::spawn({
        let (node, guard, ada) = (node.clone(), Arc::clone(&guard), ada.clone());
        async move { Ask::of(&ada, &guard).can(&node, "tickets.view").await }
    });
    node.failpoints().reached("read.given", 1).await;
    shelf.put("ada", |ada| ada.rights.clear());
    let touch = tokio::spawn({
        let (node, ada) = (node.clone(), ada.clone());
        async move { node.touch(&[ada]).await }
    });
    // The refresh beside the commit comes to the same point: the commit is done then.
    node.failpoints().reached("read.given", 2).await;
    node.failpoints().release("read.given");
    touch.await.unwrap().unwrap();
    assert!(
        !slow.await.unwrap(),
        "the account that was read is older than the version that it would be labelled with"
    );
    assert!(!Ask::of(&ada, &guard).can(&node, "tickets.view").await);
}

async fn a_ban_keeps_a_providers_account_out_and_its_end_lifts_no_status(scene: Scene) {
    let shelf = Arc::new(Shelf::default());
    shelf.put("ada", |_| {});
    let node = scene.quiet_node(with(&scene, &shelf)).await;
    let (guard, ada, now) = (staff_guard(), staff("ada"), SystemClock.now());
    let banned = async || {
        let identity = Ask::of(&ada, &guard).direct().view(&node).await.identity;
        bekci_core::principal::let_in(&identity, now).is_err()
    };
    let order = |until| BanOrder {
        status: "banned".to_owned(),
        reason: Some("keys lost".to_owned()),
        until,
        by: None,
    };
    assert!(!banned().await);
    node.ban(&ada, &order(None)).await.unwrap();
    assert!(banned().await);
    let refused = node.sign_in_store().open_session(&new_session(&guard, &ada)).await;
    assert!(matches!(refused.unwrap(), Opened::Banned(Some(_))));
    node.unban(&ada).await.unwrap();
    assert!(!banned().await);

    // A ban that is over, beside a status that bans by itself.
    node.ban(&ada, &order(Some(now - Duration::HOUR))).await.unwrap();
    assert!(!banned().await);
    shelf.put("ada", |ada| ada.status = Some("suspended".to_owned()));
    node.touch(std::slice::from_ref(&ada)).await.unwrap();
    assert!(
        banned().await,
        "the end of a ban is not the end of what the provider says"
    );
    assert!(matches!(node.unban(&ada).await, Err(StoreError::Refused(_))));
    let restored = node.directory().restore(&ada, "active").await;
    assert!(matches!(restored, Err(DirectoryError::Store(StoreError::Refused(_)))));
    assert!(banned().await);

    shelf.put("ada", |ada| ada.status = Some("active".to_owned()));
    node.ban(&ada, &order(None)).await.unwrap();
    let other = node.directory().restore(&ada, "on-leave").await;
    assert!(
        matches!(other, Err(DirectoryError::Value(_))),
        "its status is its provider's"
    );
    node.directory().restore(&ada, "active").await.unwrap();
    assert!(!banned().await);
}

async fn a_password_changed_at_the_provider_opens_no_session(scene: Scene) {
    let shelf = Arc::new(Shelf::default());
    shelf.put("ada", |_| {});
    let node = scene.quiet_node(with(&scene, &shelf)).await;
    let (guard, ada) = (staff_guard(), staff("ada"));
    let mut session = new_session(&guard, &ada);
    session.verified_hash = credentials(&node, "ada").await.unwrap()[0].password_hash.clone();
    shelf.put("ada", |ada| ada.password_hash = Some("another".into()));
    let store = node.sign_in_store();
    assert_eq!(store.open_session(&session).await.unwrap(), Opened::HashChanged);
    shelf.put("ada", |ada| ada.password_hash = None);
    assert_eq!(store.open_session(&session).await.unwrap(), Opened::HashChanged);
    shelf.put("ada", |ada| ada.password_hash = Some("hash of ada".into()));
    assert!(matches!(
        store.open_session(&session).await.unwrap(),
        Opened::Open { .. }
    ));
}

async fn what_is_not_in_the_database_is_not_changed_there(scene: Scene) {
    let shelf = Arc::new(Shelf::default());
    for id in ["ada", "bob", "cyd"] {
        shelf.put(id, |_| {});
    }
    let node = scene.quiet_node(with(&scene, &shelf)).await;
    let (ada, model) = (staff("ada"), ModelName::new("staff").unwrap());
    let change = AccountChange {
        columns: vec![("name".to_owned(), "Eve".into())],
        ..AccountChange::default()
    };
    let directory = node.directory();
    for refused in [
        directory.add(&model, &change).await.map(drop),
        directory.change(&ada, &change).await.map(drop),
        directory.remove(&ada).await.map(drop),
    ] {
        assert!(
            matches!(refused, Err(DirectoryError::Store(StoreError::Refused(_)))),
            "{refused:?}"
        );
    }
    let query = |after| AccountQuery {
        text: None,
        after,
        limit: 2,
    };
    let first = directory.list(&model, &query(None)).await.unwrap();
    let second = directory.list(&model, &query(first.next.clone())).await.unwrap();
    let ids: Vec<_> = first
        .accounts
        .iter()
        .chain(&second.accounts)
        .map(|one| one.key.id().to_owned())
        .collect();
    assert_eq!((ids.join(" ").as_str(), second.next), ("ada bob cyd", None));
    assert!(directory.find(&ada).await.unwrap().is_some());
    assert!(directory.find(&staff("eve")).await.unwrap().is_none());
}

async fn accounts_that_differ_by_node_are_never_shared(scene: Scene) {
    let (old, new) = (Arc::new(Shelf::local()), Arc::new(Shelf::local()));
    old.put("ada", |ada| ada.rights = given("support", "tickets.view"));
    new.put("ada", |_| {});
    let (here, there) = (
        scene.quiet_node(with(&scene, &old)).await,
        scene.quiet_node(with(&scene, &new)).await,
    );
    let (guard, ada) = (staff_guard(), staff("ada"));
    for _ in 0..2 {
        assert!(Ask::of(&ada, &guard).direct().can(&here, "tickets.view").await);
        assert!(!Ask::of(&ada, &guard).direct().can(&there, "tickets.view").await);
    }
    assert!(here.compare(&ada).await.unwrap().entry.is_none());
}

async fn a_provider_that_cannot_tell_is_no_refusal(scene: Scene) {
    let shelf = Arc::new(Shelf::default());
    let node = scene.quiet_node(with(&scene, &shelf)).await;
    let (guard, broken) = (staff_guard(), staff("broken"));
    assert!(Ask::of(&broken, &guard).try_view(&node).await.is_err());
    assert!(
        node.sign_in_store()
            .open_session(&new_session(&guard, &broken))
            .await
            .is_err()
    );
    for identifier in ["broken", "stray"] {
        let found = credentials(&node, identifier).await;
        assert!(
            matches!(found, Err(StoreError::Unavailable(_))),
            "{identifier}: {found:?}"
        );
    }
    // What failed left nothing open behind it.
    shelf.put("ada", |_| {});
    sign_in(&node, &guard, &staff("ada")).await;
}

/// Finds customers by their name as well, by a query of its own.
#[derive(Debug)]
struct ByName(sea_orm::DatabaseConnection);

#[async_trait]
impl FindCredentials for ByName {
    async fn find(&self, identifier: &str) -> Result<Vec<Credential>, ProviderUnavailable> {
        let text = "SELECT CAST(id AS TEXT) AS id, password_hash FROM customers WHERE $1 IN (email, name)";
        let sql = crate::scene::in_words_of(self.0.get_database_backend(), text);
        let query = sea_orm::Statement::from_sql_and_values(self.0.get_database_backend(), sql, [identifier.into()]);
        let rows = self.0.query_all_raw(query).await;
        let rows = rows.map_err(|error| ProviderUnavailable(error.to_string()))?;
        let read = |row: sea_orm::QueryResult| Credential {
            key: key(&format!("customer:{}", row.try_get::<String>("", "id").unwrap())),
            password_hash: row
                .try_get::<Option<String>>("", "password_hash")
                .unwrap()
                .map(SecretString::from),
        };
        Ok(rows.into_iter().map(read).collect())
    }
}

async fn one_query_on_the_table_is_replaced_and_the_rest_kept(scene: Scene) {
    let mut settings = scene.settings();
    let model = ModelName::new("customer").unwrap();
    let mut providers = Providers::default();
    assert!(providers.find_by(model.clone(), Arc::new(ByName(scene.pool().await))));
    settings.providers = providers;
    let node = scene.quiet_node(settings).await;
    let store = node.sign_in_store();
    for identifier in ["Customer 2", "c2@example.com"] {
        let found = store.credentials(&model, identifier).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].key, key("customer:2"), "{identifier}");
    }
    assert!(store.credentials(&model, "customer 2").await.unwrap().is_empty());
    let (customer, two) = (&scene.customer, key("customer:2"));
    sign_in(&node, customer, &two).await;
    let before = Ask::of(&two, customer).view(&node).await;
    assert_eq!(before.identity.attributes["name"], "Customer 2");
    let rename = "UPDATE customers SET name = 'Two' WHERE id = 2";
    node.connection().execute_unprepared(rename).await.unwrap();
    let after = Ask::of(&two, customer).view(&node).await;
    assert_eq!(
        after.identity.attributes["name"], "Two",
        "the table is watched as before"
    );
    assert_eq!(store.credentials(&model, "Two").await.unwrap()[0].key, two);
}
