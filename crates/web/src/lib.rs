//! Bekci for Actix-web applications: who is asking, may they come in, may they do this.
//!
//! 1. `#[derive(AuthModel)]` makes a SeaORM model's rows accounts, and a guard's marker type beside it.
//! 2. [`Bekci::builder`] puts guards, keys and database together, once, before the Actix factory; every worker gets a clone.
//! 3. [`Front`] stands before the whole application, [`Require`] before what is guarded, `#[permission]` on what asks more.
//! 4. A handler takes [`Auth<G>`](Auth). Where nothing admitted the request for `G`, it answers 500 and the log says which `wrap` to add.
//!
//! Cargo features, all on by default: `sqlite`, `postgres` and `mariadb` (one of them is needed), `redis`, `rsa` (RS256 and PS256), `casbin` (`PolicyModel`),
//! `migration` (`Bekci::migrate`). What needs one that is off is refused with its name. `testing` is for tests of applications.
//!
//! ```
//! use actix_web::{App, HttpResponse, delete, test, web};
//! use bekci::{Auth, Bekci, Settings, permission, permissions};
//!
//! mod admin {
//!     use bekci::AuthModel;
//!     use sea_orm::entity::prelude::*;
//!
//!     #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, AuthModel)]
//!     #[auth(guard = "admin", identifier = "email", password = "password_hash",
//!            status(column = "status", banned = ["banned"]), cached("email", "name"))]
//!     #[sea_orm(table_name = "admins")]
//!     pub struct Model {
//!         #[sea_orm(primary_key)]
//!         pub id: i64,
//!         pub email: String,
//!         pub name: Option<String>,
//!         pub password_hash: Option<String>,
//!         pub status: String,
//!     }
//!
//!     #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
//!     pub enum Relation {}
//! }
//! use admin::Admin;
//!
//! permissions! { pub mod posts { view, create, delete } }
//!
//! #[delete("/posts/{id}")]
//! #[permission(posts::delete)]
//! async fn delete_post(who: Auth<Admin>, id: web::Path<i64>) -> HttpResponse {
//!     HttpResponse::Ok().body(format!("{} deleted post {id}", who.key()))
//! }
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("bekci-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let root = bekci::core::RootSecret::new(&(0..32).collect::<Vec<u8>>())?;
//! # let url = format!("sqlite://{}/bekci.db", folder.display()).into();
//! let db = bekci::connect(&url, 4).await?;
//! let settings = Settings::new("https://example.com", folder.join("keys"), root);
//! let bekci = Bekci::builder(settings).database(db).guard::<Admin>().build().await?;
//! bekci.migrate().await?;
//!
//! let app = App::new()
//!     .wrap(bekci.middleware())
//!     .configure(bekci.mount("/auth"))
//!     .service(web::scope("/admin").wrap(bekci.require::<Admin>()).service(delete_post));
//!
//! let app = test::init_service(app).await;
//! let request = test::TestRequest::delete().uri("/admin/posts/7").to_request();
//! assert_eq!(test::call_service(&app, request).await.status(), 401);
//! # bekci.close().await;
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```

pub mod admin;
#[doc(hidden)]
pub mod asked;
mod audited;
mod auth;
mod bekci;
mod browser_session;
mod builder;
mod chance;
mod client;
mod extract;
mod head;
mod host;
mod in_code;
mod mail;
mod middleware;
#[cfg(feature = "migration")]
mod migrating;
mod model;
mod openapi;
mod permission;
mod record;
mod respond;
mod settings;
mod stats;
mod tenancy;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
mod watch;
mod who;

pub use actix_web_httpauth as httpauth;
pub use audited::AuditTrail;
pub use auth::aliases::{call_names, is_call};
pub use bekci::Bekci;
pub use bekci_core as core;
pub use bekci_core::{Registering, Verification, async_trait, idp::IdpSettings};
pub use bekci_derive::{AuthModel, guard, permission, permissions};
pub use bekci_idp::ProviderError;
pub use bekci_mail::{MailTls, Sender, SmtpSettings, Transport, TransportError};
#[cfg(feature = "migration")]
pub use bekci_migration as migration;
#[cfg(feature = "casbin")]
pub use bekci_policy::PolicyModel;
pub use bekci_policy::parse_csv;
pub use bekci_signin::{
    Accounts as OwnAccounts, Argon2Cost, AttemptResult, ExternalAttempt, ExternalSignIn, HashSettings, Identifier,
    IssueOrder, PasswordChange, PasswordHasher, RegisterAttempt, RegisterOutcome, RememberToken, Requester,
    SignInError, SignedIn, SignedOut, TemporarySignIn,
};
pub use bekci_store::hooks;
pub use bekci_store::{
    Actor, BanOrder, BlockOrder, CacheSettings, Committed, GuardedConnection, RedisSettings, RoleEntry, Scope, Store,
    connect,
};
pub use bekci_token::{Algorithm, OsEntropy, ensure_root, parse_root, read_root};
pub use browser_session::{BrowserSession, BrowserUpdate};
pub use builder::{BuildError, Builder};
pub use client::TrustedProxies;
pub use extract::{AnyAuth, Auth, Fresh, Temp, permit, principal};
pub use head::Reading;
pub use host::{BadHost, Host};
pub use in_code::{
    Accounts, Attempt, Create, Created, Credentials, GuardCalls, Identities, Outcome, Rights, RightsError, Sessions,
    SignIn,
};
pub use mail::MailSettings;
pub use middleware::{AsIs, BadCors, Cors, CorsSettings, Front, RequestContext, Require, RequireService};
#[cfg(feature = "migration")]
pub use migrating::model_table;
#[doc(hidden)]
pub use model::key_of;
pub use model::{AsPrincipal, AuthModel, GuardType, KeyFault};
pub use permission::{AsPermission, AsRole, AsTenant, PermissionName, Permissions, Roles};
pub use record::Record;
pub use respond::{BadMessage, Language, Messages, REQUEST_ID, Refusal, RequestId, Voice, message};
pub use settings::Settings;
pub use stats::Stats;
pub use tenancy::{Asked, BadTenancy, Clues, Tenancy};
pub use trace::{TRACEPARENT, Trace};
pub use watch::Watch;
pub use who::{Standing, Who};
