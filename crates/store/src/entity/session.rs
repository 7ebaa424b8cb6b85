//! Sessions.

use sea_orm::entity::prelude::*;

use super::behavior::{principal, principal_of, watched};

/// One session: the truth about its refresh tokens.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bekci_sessions")]
pub struct Model {
    /// Its id, the `sid` of its tokens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The model of the principal.
    pub model: String,
    /// The id of the principal, as text.
    pub principal_id: String,
    /// The guard through which it was opened.
    pub guard: String,
    /// The tenant that its tokens are made for; empty: none.
    pub tenant: String,
    /// How it was opened; `temporary` where it waits for its verification.
    pub way: String,
    /// Whether a remember-me cookie opened it.
    pub remembered: bool,
    /// The device's name, as the client gave it.
    pub device_name: Option<String>,
    /// The keyed hash of the client's device id.
    pub device_hash: Option<Vec<u8>>,
    /// The newest refresh generation.
    pub generation: i32,
    /// The generation that the newest was made from.
    pub previous_generation: Option<i32>,
    /// Generations below are refused.
    pub min_generation: i32,
    /// The newest generation of which an access token was accepted.
    pub used_generation: Option<i32>,
    /// When the newest generation was given. This and all other times are microseconds since 1970.
    pub rotated_at: i64,
    /// When it was opened.
    pub created_at: i64,
    /// When somebody last proved who they are in it.
    pub authenticated_at: i64,
    /// When it was last used.
    pub last_used_at: i64,
    /// Its absolute end.
    pub expires_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Why it ended.
    pub end_reason: Option<String>,
}

/// There are no relations: rows name each other by key.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

watched!(|row| principal(&row.model, &row.principal_id), |row| principal_of(
    &row.model,
    &row.principal_id
));
