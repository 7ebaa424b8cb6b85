//! Accounts and rights in code, by names that are checked.

use bekci::{Bekci, Credentials, Refusal, core::Permission, core::RoleName, guard, testing};
use sea_orm::{EntityTrait, PaginatorTrait, Set};
use serde_json::json;

use crate::models::{admin, customer};

const PASSWORD: &str = "nine wet lamps hum softly";

guard!(pub Kiosk = "kiosk" on admin::Model);

/// An entity with hooks of its own.
mod member {
    use bekci::AuthModel;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, AuthModel)]
    #[auth(
        guard = "member",
        identifier("email", "login"),
        password = "password_hash",
        cached("email", "name"),
        hooks = "manual"
    )]
    #[sea_orm(table_name = "members")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub email: String,
        pub login: Option<String>,
        pub name: Option<String>,
        pub password_hash: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        async fn before_save<C: ConnectionTrait>(mut self, db: &C, _insert: bool) -> Result<Self, DbErr> {
            bekci::hooks::check(db)?;
            if self
                .name
                .try_as_ref()
                .is_some_and(|name| name.as_deref() == Some("Nobody"))
            {
                return Err(DbErr::Custom("nobody is no name".to_owned()));
            }
            if self.name.is_not_set() {
                self.name = sea_orm::Set(Some("Member".to_owned()));
            }
            Ok(self)
        }

        async fn after_save<C: ConnectionTrait>(model: Model, db: &C, _insert: bool) -> Result<Model, DbErr> {
            bekci::hooks::changed(db, "member", model.id.to_string()).await?;
            Ok(model)
        }
    }
}

fn ann() -> admin::ActiveModel {
    admin::ActiveModel {
        email: Set("ann@example.com".to_owned()),
        status: Set("active".to_owned()),
        ..Default::default()
    }
}

fn ben(email: &str) -> member::ActiveModel {
    member::ActiveModel {
        email: Set(email.to_owned()),
        login: Set(Some(format!("login-{}", email.len()))),
        ..Default::default()
    }
}

async fn admins(bekci: &Bekci) -> u64 {
    admin::Entity::find().count(&bekci.connection()).await.unwrap()
}

fn told(refusal: &Refusal) -> (&'static str, String) {
    (refusal.code().as_str(), refusal.reason().to_owned())
}

#[actix_web::test]
async fn an_account_is_made_with_password_and_roles_in_one_call() {
    let bekci = testing::bekci(|bekci| bekci.guard::<admin::Admin>()).await;
    bekci.rights().put_role("support", "orders.view").await.unwrap();
    let ann = bekci
        .accounts()
        .create(ann())
        .password(PASSWORD)
        .role("support")
        .role_in("acme", "support")
        .await
        .unwrap();
    ann.committed.confirmed().unwrap();
    assert_eq!(
        (ann.row.email.as_str(), ann.row.id.to_string().as_str()),
        ("ann@example.com", ann.key.id())
    );
    assert!(ann.row.password_hash.unwrap().starts_with("$argon2id$"));
    let held = bekci.store().directory().find(&ann.key).await.unwrap().unwrap();
    let scopes = held
        .rights
        .iter()
        .map(|scope| (scope.tenant.as_ref().map(|t| t.as_str()), scope.roles.len()));
    assert_eq!(scopes.collect::<Vec<_>>(), [(None, 1), (Some("acme"), 1)]);
    let credentials = Credentials::password("ANN@example.com", PASSWORD);
    assert!(bekci.guard::<admin::Admin>().validate(&credentials).await.unwrap());
    bekci.close().await;
}

#[actix_web::test]
async fn what_is_refused_leaves_no_account() {
    let bekci = testing::bekci(|bekci| bekci.guard::<admin::Admin>()).await;
    let accounts = bekci.accounts();
    bekci.rights().put_role("support", "orders.view").await.unwrap();

    let bad_name = accounts.create(ann()).role("Support").await.unwrap_err();
    let rule = "role \"Support\" is not valid: a lower-case letter, then up to 63 of a-z, 0-9, `_`, `-`";
    assert_eq!(told(&bad_name), ("VALIDATION_FAILED", rule.to_owned()));
    let bad_tenant = accounts.create(ann()).role_in("Acme", "support").await.unwrap_err();
    assert!(
        bad_tenant.reason().starts_with("tenant \"Acme\" is not valid: "),
        "{bad_tenant}"
    );
    let unknown = accounts.create(ann()).role("support").role("nobody").await.unwrap_err();
    assert_eq!(
        told(&unknown),
        ("CONFLICT", "guard admin has no role nobody here".to_owned())
    );

    let weak = accounts.create(ann()).password("short").await.unwrap_err();
    assert_eq!(weak.code().as_str(), "VALIDATION_FAILED");
    let hash = admin::ActiveModel {
        password_hash: Set(Some("plain text".to_owned())),
        ..ann()
    };
    let hash = accounts.create(hash).await.unwrap_err();
    assert!(hash.reason().contains("column password_hash holds a hash"), "{hash}");
    let missing = admin::ActiveModel {
        status: Set("active".to_owned()),
        ..Default::default()
    };
    assert_eq!(
        accounts.create(missing).await.unwrap_err().code().as_str(),
        "VALIDATION_FAILED"
    );
    let control = admin::ActiveModel {
        name: Set(Some("a\u{1b}[2J".to_owned())),
        ..ann()
    };
    assert_eq!(
        accounts.create(control).await.unwrap_err().code().as_str(),
        "VALIDATION_FAILED"
    );
    assert_eq!(admins(&bekci).await, 0);

    let first = accounts.create(ann()).await.unwrap();
    let twin = admin::ActiveModel {
        email: Set(" ANN@Example.com".to_owned()),
        ..ann()
    };
    assert_eq!(accounts.create(twin).await.unwrap_err().code().as_str(), "CONFLICT");
    assert_eq!(admins(&bekci).await, 1);

    let stranger = customer::ActiveModel {
        email: Set("c@example.com".to_owned()),
        ..Default::default()
    };
    let stranger = accounts.create(stranger).await.unwrap_err();
    assert!(stranger.reason().contains("no guard for model customer"), "{stranger}");
    assert!(bekci.identities().exists(&first.key).await.unwrap());
    bekci.close().await;
}

#[actix_web::test]
async fn hooks_of_the_entity_run_and_can_refuse() {
    let bekci = testing::bekci(|bekci| bekci.guard::<member::Member>()).await;
    let made = bekci.accounts().create(ben("ben@example.com")).await.unwrap();
    assert_eq!(made.row.name.as_deref(), Some("Member"));
    let nobody = member::ActiveModel {
        name: Set(Some("Nobody".to_owned())),
        ..ben("no@example.com")
    };
    let refused = bekci.accounts().create(nobody).await.unwrap_err();
    assert_eq!(told(&refused), ("VALIDATION_FAILED", "nobody is no name".to_owned()));
    // An identifier of another account is taken in whichever column it stands.
    let crossed = member::ActiveModel {
        email: Set("other@example.com".to_owned()),
        login: Set(Some("ben@example.com".to_owned())),
        ..Default::default()
    };
    assert_eq!(
        bekci.accounts().create(crossed).await.unwrap_err().code().as_str(),
        "CONFLICT"
    );
    assert_eq!(member::Entity::find().count(&bekci.connection()).await.unwrap(), 1);
    bekci.close().await;
}

#[actix_web::test]
async fn names_are_taken_as_texts_and_as_types_and_a_bad_one_is_named() {
    let bekci = testing::bekci(|bekci| bekci.guard::<admin::Admin>()).await;
    let ann = bekci.accounts().create(ann()).await.unwrap();
    let rights = bekci.rights();
    let typed = (
        RoleName::new("support").unwrap(),
        Permission::new("orders.view").unwrap(),
    );
    rights.put_role(&typed.0, [&typed.1]).await.unwrap();
    rights.put_role("editor", vec!["posts.view".to_owned()]).await.unwrap();
    // A row is as good as its key.
    rights.assign_role(&ann.row, "support").await.unwrap();
    rights
        .assign_role(&ann.key, std::slice::from_ref(&typed.0))
        .await
        .unwrap();
    rights
        .sync_roles(&ann.key, ["support", "editor"])
        .await
        .unwrap()
        .confirmed()
        .unwrap();
    let names: Vec<_> = rights
        .roles()
        .await
        .unwrap()
        .iter()
        .map(|role| role.name.to_string())
        .collect();
    assert_eq!(names, ["editor", "support"]);

    for (bad, beginning) in [
        (
            rights.assign_role(&ann.key, "Support").await.map(drop),
            "role \"Support\" is not valid: a lower-case",
        ),
        (
            rights.give(&ann.key, "orders.*.view").await.map(drop),
            "permission \"orders.*.view\" is not valid: ",
        ),
        (
            rights
                .clone()
                .in_tenant("A b")
                .assign_role(&ann.key, "support")
                .await
                .map(drop),
            "tenant \"A b\" is not valid: ",
        ),
        (
            rights.assign_role(&ann.key, "nobody").await.map(drop),
            "guard admin has no role nobody here",
        ),
        (
            rights
                .clone()
                .through::<member::Member>()
                .assign_role(&ann.key, "support")
                .await
                .map(drop),
            "guard member is not registered with the builder for model admin",
        ),
    ] {
        let error = bad.unwrap_err();
        assert!(error.to_string().starts_with(beginning), "{error}");
    }
    assert!(rights.delete_role("editor").await.unwrap());
    assert!(!rights.delete_role("editor").await.unwrap());
    bekci.close().await;
}

#[actix_web::test]
async fn where_several_guards_fit_one_is_to_be_named() {
    let bekci = testing::bekci(|bekci| {
        bekci
            .guard::<admin::Admin>()
            .guard::<Kiosk>()
            .with(|guard| guard.sources.header = false)
    })
    .await;
    let ann = bekci.accounts().create(ann()).await.unwrap();
    let rights = bekci.rights();
    let several = rights.put_role("till", "till.open").await.unwrap_err();
    assert_eq!(
        several.to_string(),
        "several guards fit (admin, kiosk): name one with .through::<G>()"
    );
    let several = rights.assign_role(&ann.key, "till").await.unwrap_err();
    assert!(several.to_string().starts_with("several guards fit"), "{several}");
    let kiosk = rights.through::<Kiosk>();
    kiosk.put_role("till", "till.open").await.unwrap();
    kiosk.assign_role(&ann.key, "till").await.unwrap();
    let held = bekci.store().directory().find(&ann.key).await.unwrap().unwrap();
    assert_eq!(json!(held.rights[0].guard), json!("kiosk"));
    bekci.close().await;
}
