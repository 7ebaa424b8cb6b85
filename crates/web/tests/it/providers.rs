//! Accounts of an application's own: the example of docs/providers.md, and what it does.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};

use actix_web::{App, HttpResponse, get, web};
use bekci::{
    Auth, AuthModel, Bekci, BuildError, Credentials, GuardType, Outcome,
    core::{
        Account, FindCredentials, GuardName, ModelName, ModelSpec, NameError, Permission, PrincipalKey,
        ProviderUnavailable, ScopedRights, UserProvider, signin::Credential,
    },
    permission, permissions, testing,
};
use bekci_test_support::TempDir;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, ExprTrait, QueryFilter, Set};
use secrecy::ExposeSecret;

use crate::{
    house::{self, PASSWORD},
    models::admin::{self, Admin},
};

permissions! { pub mod tickets { view } }

/// Crew members come from a directory: here a map, elsewhere LDAP, a file, another service.
#[derive(Debug, Default)]
struct Directory(RwLock<BTreeMap<String, Account>>);

impl Directory {
    fn read(&self, id: &str) -> Result<Option<Account>, ProviderUnavailable> {
        let members = self.0.read();
        let members = members.map_err(|_| ProviderUnavailable("the directory is closed".into()))?;
        Ok(members.get(id).cloned())
    }
}

#[bekci::async_trait]
impl FindCredentials for Directory {
    async fn find(&self, identifier: &str) -> Result<Vec<Credential>, ProviderUnavailable> {
        let Ok(key) = PrincipalKey::parse(&format!("crew:{identifier}")) else {
            return Ok(Vec::new());
        };
        let password_hash = match self.read(key.id())? {
            Some(member) => member.password_hash,
            None => return Ok(Vec::new()),
        };
        Ok(vec![Credential { key, password_hash }])
    }
}

#[bekci::async_trait]
impl UserProvider for Directory {
    async fn account(&self, key: &PrincipalKey) -> Result<Option<Account>, ProviderUnavailable> {
        self.read(key.id())
    }
}

struct Crew;
struct CrewMember;

impl AuthModel for CrewMember {
    fn spec() -> Result<ModelSpec, NameError> {
        Ok(ModelSpec {
            id_kind: bekci::core::IdKind::Text,
            ..ModelSpec::new(ModelName::new("crew")?, "crew")
        })
    }
}

impl GuardType for Crew {
    const NAME: &'static str = "crew";
    type Model = CrewMember;
}

#[get("/tickets")]
#[permission(tickets::view)]
async fn view_tickets(who: Auth<Crew>) -> HttpResponse {
    HttpResponse::Ok().body(who.key().to_string())
}

fn member(hash: &str, permission: &str) -> Account {
    Account {
        status: Some("active".to_owned()),
        verified: true,
        password_hash: Some(hash.into()),
        rights: vec![ScopedRights {
            guard: GuardName::new("crew").unwrap(),
            tenant: None,
            roles: Box::default(),
            granted: Box::new([Permission::new(permission).unwrap()]),
            denied: Box::default(),
        }],
        ..Account::default()
    }
}

#[actix_web::test]
async fn accounts_that_are_not_on_sql_sign_in_and_lose_their_rights_when_they_are_touched() {
    let directory = Arc::new(Directory::default());
    let bekci = testing::bekci(|bekci| bekci.guard::<Crew>().provider(Arc::clone(&directory) as _)).await;
    let hash = bekci.passwords().hash(PASSWORD.into()).await.unwrap();
    let change = |id: &str, account: Option<Account>| {
        let mut members = directory.0.write().unwrap();
        match account {
            Some(account) => drop(members.insert(id.to_owned(), account)),
            None => drop(members.remove(id)),
        }
    };
    change("ada", Some(member(hash.expose_secret(), "tickets.view")));
    let guard = bekci.guard::<Crew>();
    assert!(guard.provider().is_some());

    for (identifier, password) in [
        ("ada", "wrong"),
        ("eve", PASSWORD),
        ("crew:ada", PASSWORD),
        ("", PASSWORD),
    ] {
        let Ok(refused) = guard.attempt(&Credentials::password(identifier, password)).await else {
            continue;
        };
        assert_eq!(refused.code.number(), -2, "{identifier}");
    }
    let signed_in = guard.attempt(&Credentials::password("ada", PASSWORD)).await.unwrap();
    let Outcome::Full(signed_in) = signed_in.outcome else {
        panic!("refused")
    };
    let key = signed_in.key.clone();
    assert_eq!(key.as_str(), "crew:ada");

    let scope = web::scope("/crew").wrap(bekci.require::<Crew>()).service(view_tickets);
    let app = App::new()
        .wrap(bekci.middleware())
        .configure(bekci.mount("/auth"))
        .service(scope);
    let app = actix_web::test::init_service(app).await;
    let asked = async || {
        let request = actix_web::test::TestRequest::get()
            .uri("/crew/tickets")
            .insert_header(("authorization", format!("Bearer {}", signed_in.access.expose_secret())));
        actix_web::test::call_service(&app, request.to_request()).await.status()
    };
    assert_eq!(asked().await, 200);

    change("ada", Some(member(hash.expose_secret(), "tickets.close")));
    bekci.touch(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(asked().await, 403);
    change("ada", None);
    bekci.touch(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(asked().await, 401);
    assert!(!bekci.identities().exists(&key).await.unwrap());
    bekci.close().await;
}

/// Admins are known by their name as well: one query replaced, the rest of the table's kept.
#[derive(Debug)]
struct ByNameToo(sea_orm::DatabaseConnection);

#[bekci::async_trait]
impl FindCredentials for ByNameToo {
    async fn find(&self, identifier: &str) -> Result<Vec<Credential>, ProviderUnavailable> {
        let known = admin::Column::Email
            .eq(identifier)
            .or(admin::Column::Name.eq(identifier));
        let rows = admin::Entity::find().filter(known).all(&self.0).await;
        let rows = rows.map_err(|error| ProviderUnavailable(error.to_string()))?;
        let credential = |row: admin::Model| {
            let key = bekci::AsPrincipal::principal_key(&row);
            let key = key.map_err(|fault| ProviderUnavailable(fault.to_string()))?;
            Ok(Credential {
                key,
                password_hash: row.password_hash.map(Into::into),
            })
        };
        rows.into_iter().map(credential).collect()
    }
}

async fn admin(bekci: &Bekci, id: i64, name: &str) -> PrincipalKey {
    let hash = bekci.passwords().hash(PASSWORD.into()).await.unwrap();
    let account = admin::ActiveModel {
        id: Set(id),
        email: Set(format!("{name}@example.com")),
        name: Set(Some(name.to_owned())),
        password_hash: Set(Some(hash.expose_secret().to_owned())),
        status: Set("active".to_owned()),
        email_verified_at: Set(None),
    };
    let row = account.insert(&bekci.connection()).await.unwrap();
    bekci::AsPrincipal::principal_key(&row).unwrap()
}

#[actix_web::test]
async fn one_query_of_the_database_is_replaced_and_the_rest_kept() {
    let folder = TempDir::new("by-name");
    let db = house::database(&folder).await;
    let builder = Bekci::builder(house::settings(&folder, "http://localhost"));
    let builder = builder
        .database(db.clone())
        .guard::<Admin>()
        .find_by(Arc::new(ByNameToo(db)));
    let bekci = builder.build().await.unwrap();
    bekci.migrate().await.unwrap();
    let key = admin(&bekci, 7, "ann").await;
    let guard = bekci.guard::<Admin>();
    assert!(guard.provider().is_none(), "the accounts are in the database as before");
    for identifier in ["ann@example.com", "ann"] {
        let signed_in = guard
            .attempt(&Credentials::password(identifier, PASSWORD))
            .await
            .unwrap();
        let Outcome::Full(signed_in) = signed_in.outcome else {
            panic!("refused")
        };
        assert_eq!(signed_in.key, key, "{identifier}");
    }
    // Two who may be meant: nobody signs in.
    let other = admin(&bekci, 8, "bob").await;
    let rename = admin::ActiveModel {
        id: Set(8),
        name: Set(Some("ann".to_owned())),
        ..Default::default()
    };
    rename.update(&bekci.connection()).await.unwrap();
    let refused = guard.attempt(&Credentials::password("ann", PASSWORD)).await.unwrap();
    assert!(matches!(refused.outcome, Outcome::Refused(_)), "{other}");
    bekci.close().await;
}

#[actix_web::test]
async fn a_model_has_one_provider_and_one_that_is_of_no_guard_is_refused() {
    let directory = || Arc::new(Directory::default());
    let two = house::refused(|builder| builder.guard::<Crew>().provider(directory()).provider(directory())).await;
    assert!(matches!(two, BuildError::TwoProviders(_)), "{two}");
    let none = house::refused(|builder| builder.provider(directory())).await;
    assert!(matches!(none, BuildError::NothingToChange), "{none}");
}
