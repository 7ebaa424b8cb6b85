//! Bekci for Actix-web applications: who is asking, may they come in, may they do this.

#[doc(hidden)]
pub mod asked;
mod auth;
mod bekci;
mod builder;
mod extract;
mod head;
mod middleware;
mod model;
mod permission;
mod respond;
mod settings;
mod watch;
mod who;

pub use bekci::{Bekci, model_table};
pub use bekci_core as core;
pub use bekci_derive::{AuthModel, guard, permission, permissions};
pub use bekci_migration as migration;
pub use bekci_signin::{Argon2Cost, HashSettings, PasswordHasher};
pub use bekci_store::hooks;
pub use bekci_store::{
    BanOrder, BlockOrder, CacheSettings, GuardedConnection, NewAccount, RedisSettings, Rights, Scope, Store, connect,
};
pub use bekci_token::{Algorithm, ensure_root, parse_root, read_root};
pub use builder::{BuildError, Builder};
pub use extract::{AnyAuth, Auth, permit, principal};
pub use head::Reading;
pub use middleware::{Front, Require, RequireService};
pub use model::{AuthModel, GuardType};
pub use permission::{AsPermission, AsRole, PermissionName};
pub use respond::{Language, REQUEST_ID, Refusal, RequestId, Voice, message};
pub use settings::Settings;
pub use watch::Watch;
pub use who::{Standing, Who};
