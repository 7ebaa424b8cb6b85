//! Putting Bekci together, and what is in the database to begin with.

use std::{error::Error, path::Path, sync::Arc};

use bekci::{
    AsPrincipal, Bekci, Builder, OsEntropy, PolicyModel, Scope, Settings, Tenancy,
    core::{Permission, PrincipalKey, RoleName, TenantName},
    parse_csv,
};
use sea_orm::{ActiveModelTrait, Set};
use secrecy::ExposeSecret;

use crate::models::{Admin, Customer, admin, customer};

/// Guards, tenants and policies: the same in the program and in its tests.
pub fn guards(builder: Builder) -> Result<Builder, Box<dyn Error>> {
    let model = PolicyModel::parse(include_str!("../../../config/casbin_model.conf"))?;
    // The tenant is the second part of a path: /t/acme/shop/orders.
    let tenancy = Tenancy::path(2)?;
    Ok(builder
        .settings(|settings| settings.tenancy = tenancy)
        .guard::<Admin>()
        .guard::<Customer>()
        .policy(Arc::new(model)))
}

/// Everything in one folder: database, signing keys, root secret.
pub async fn bekci(folder: &Path, public_url: &str) -> Result<Bekci, Box<dyn Error>> {
    let root = bekci::ensure_root(&folder.join("root"), &OsEntropy)?;
    let settings = Settings::new(public_url, folder.join("keys"), root);
    let url = format!("sqlite://{}", folder.join("orders.db").display());
    let database = bekci::connect(&url.into(), 8).await?;
    let bekci = guards(Bekci::builder(settings).database(database))?.build().await?;
    bekci.migrate().await?;
    Ok(bekci)
}

/// The roles, and the policies that speak of them.
pub async fn roles(bekci: &Bekci) -> Result<(), Box<dyn Error>> {
    let rights = bekci.rights();
    let (buyer, support) = (RoleName::new("buyer")?, RoleName::new("support")?);
    let (create, delete) = (Permission::new("orders.create")?, Permission::new("orders.delete")?);
    rights
        .put_role(&bekci.guard::<Customer>().scope()?, &buyer, &[create])
        .await?;
    rights
        .put_role(&bekci.guard::<Admin>().scope()?, &support, &[delete])
        .await?;
    let lines = parse_csv(include_str!("../policy.csv"))?;
    let lines: Vec<_> = lines.into_iter().map(|numbered| numbered.line).collect();
    bekci.store().policies().seed(&lines).await?;
    Ok(())
}

/// Gives a role in one tenant. When this returns, it counts on every node.
pub async fn give(bekci: &Bekci, key: &PrincipalKey, scope: &Scope, role: &str) -> Result<(), Box<dyn Error>> {
    bekci.rights().assign_role(key, scope, &[RoleName::new(role)?]).await?;
    Ok(())
}

/// A customer who buys at acme, and an admin who looks after acme's orders.
pub async fn accounts(bekci: &Bekci, password: &str) -> Result<(), Box<dyn Error>> {
    let acme = TenantName::new("acme")?;
    let hash = bekci.passwords().hash(password.into()).await?;
    let hash = hash.expose_secret().to_owned();

    let customer = customer::ActiveModel {
        email: Set("cara@example.com".to_owned()),
        name: Set(Some("Cara".to_owned())),
        password_hash: Set(Some(hash.clone())),
        ..Default::default()
    };
    let customer = customer.insert(&bekci.connection()).await?;
    let in_acme = bekci.guard::<Customer>().scope_in(&acme)?;
    give(bekci, &customer.principal_key()?, &in_acme, "buyer").await?;

    let admin = admin::ActiveModel {
        email: Set("ada@example.com".to_owned()),
        password_hash: Set(Some(hash)),
        status: Set("active".to_owned()),
        ..Default::default()
    };
    let admin = admin.insert(&bekci.connection()).await?;
    let in_acme = bekci.guard::<Admin>().scope_in(&acme)?;
    give(bekci, &admin.principal_key()?, &in_acme, "support").await
}
