//! Bekci for Actix-web applications: who is asking, may they come in, may they do this.

#[doc(hidden)]
pub mod asked;
mod extract;
mod head;
mod middleware;
mod model;
mod permission;
mod respond;
mod watch;
mod who;

pub use bekci_core as core;
pub use bekci_derive::{AuthModel, guard, permission, permissions};
pub use extract::{AnyAuth, Auth, permit, principal};
pub use head::Reading;
pub use middleware::{Front, Require, RequireService};
pub use model::{AuthModel, GuardType};
pub use permission::{AsPermission, AsRole, PermissionName};
pub use respond::{Language, REQUEST_ID, Refusal, RequestId, Voice, message};
pub use watch::Watch;
pub use who::{Standing, Who};
