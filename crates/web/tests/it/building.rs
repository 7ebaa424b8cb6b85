//! What the builder refuses, and what it makes.

use bekci::{
    Bekci, BuildError,
    core::{AuthGuard, GuardName, IdKind, ModelName, ModelSpec},
};
use bekci_test_support::TempDir;

use crate::{
    house::{House, database, refused, settings},
    models::{admin::Admin, customer::Customer},
};

fn guard(name: &str) -> AuthGuard {
    AuthGuard::new(
        GuardName::new(name).unwrap(),
        ModelName::new("admin").unwrap(),
        IdKind::Integer,
        true,
    )
}

#[actix_web::test]
async fn guards_that_cannot_be_told_apart_are_refused() {
    let told = |error: BuildError| error.to_string();
    assert!(told(refused(|builder| builder.guard::<Admin>().guard::<Admin>()).await).contains("the same name"));
    let audience = refused(|builder| {
        builder
            .guard::<Admin>()
            .guard::<Customer>()
            .with(|g| g.audience = "admin".into())
    });
    assert!(told(audience.await).contains("the same audience"));
    let cookie = refused(|builder| {
        let names = guard("admin").cookies;
        builder.guard::<Admin>().guard::<Customer>().with(|g| g.cookies = names)
    });
    assert!(told(cookie.await).contains("the same access cookie"));
    let path = refused(|builder| {
        builder
            .guard::<Admin>()
            .guard::<Customer>()
            .with(|g| g.auth_path = "/auth/admin/".into())
    });
    assert!(told(path.await).contains("the same auth_path"));
}

#[actix_web::test]
async fn what_is_missing_or_contradicts_itself_is_refused() {
    assert!(matches!(refused(|builder| builder).await, BuildError::NoGuards));
    assert!(matches!(
        refused(|builder| builder.auth_guard(guard("admin"))).await,
        BuildError::NoModel { .. }
    ));
    assert!(matches!(
        refused(|builder| builder.with(|_| ())).await,
        BuildError::NothingToChange
    ));
    let other = ModelSpec::new(ModelName::new("admin").unwrap(), "others");
    assert!(matches!(
        refused(|builder| builder.guard::<Admin>().model(other)).await,
        BuildError::TwoModels(_)
    ));
    let folder = TempDir::new("building");
    for url in [
        "",
        "example.com",
        "ftp://example.com",
        "https://",
        "https://example.com/app",
        "https://u@example.com",
    ] {
        let builder = Bekci::builder(settings(&folder, url)).guard::<Admin>();
        let error = builder.database(database(&folder).await).build().await.unwrap_err();
        assert!(matches!(error, BuildError::PublicUrl(_)), "{url}");
    }
    let error = Bekci::builder(settings(&folder, "https://example.com"))
        .guard::<Admin>()
        .build()
        .await;
    assert!(matches!(error.unwrap_err(), BuildError::NoDatabase));
    let mut without_keys = settings(&folder, "https://example.com");
    without_keys.make_missing_keys = Some(false);
    let builder = Bekci::builder(without_keys)
        .guard::<Admin>()
        .database(database(&folder).await);
    assert!(matches!(builder.build().await.unwrap_err(), BuildError::Ring(_)));
}

#[actix_web::test]
async fn a_second_migration_does_nothing() {
    let house = House::new().await;
    let again = house.bekci.migrate().await.unwrap();
    assert_eq!((again.applied.len(), again.created.len()), (0, 0));
    house.bekci.close().await;
}
