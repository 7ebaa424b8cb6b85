//! Putting Bekci together, and what is in the database to begin with.

use std::{error::Error, path::Path, sync::Arc};

use bekci::{Bekci, Builder, OsEntropy, PolicyModel, Settings, Tenancy, parse_csv};
use sea_orm::Set;

use crate::{
    models::{Admin, Customer, admin, customer},
    routes::orders,
};

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
    let (shop, desk) = (rights.clone().through::<Customer>(), rights.through::<Admin>());
    shop.put_role("buyer", orders::create).await?;
    desk.put_role("support", orders::delete).await?;
    let lines = parse_csv(include_str!("../policy.csv"))?;
    let lines: Vec<_> = lines.into_iter().map(|numbered| numbered.line).collect();
    bekci.store().policies().seed(&lines).await?;
    Ok(())
}

/// A customer who buys at acme, and an admin who looks after acme's orders.
pub async fn accounts(bekci: &Bekci, password: &str) -> Result<(), Box<dyn Error>> {
    let accounts = bekci.accounts();
    let cara = customer::ActiveModel {
        email: Set("cara@example.com".to_owned()),
        name: Set(Some("Cara".to_owned())),
        ..Default::default()
    };
    accounts
        .create(cara)
        .password(password)
        .role_in("acme", "buyer")
        .await?;

    let ada = admin::ActiveModel {
        email: Set("ada@example.com".to_owned()),
        status: Set("active".to_owned()),
        ..Default::default()
    };
    accounts
        .create(ada)
        .password(password)
        .role_in("acme", "support")
        .await?;
    Ok(())
}
