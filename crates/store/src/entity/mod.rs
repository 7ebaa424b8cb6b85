//! The entities of what an identity is made of. Each names its keys in hooks, so that what is written through them is fresh in the cache when the write returns.

pub mod ban;
mod behavior;
pub mod block;
pub mod permission;
pub mod principal_permission;
pub mod principal_role;
pub mod role;
pub mod role_permission;
pub mod session;
