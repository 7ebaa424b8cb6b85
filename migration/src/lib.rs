//! The schema of Bekci, and the triggers that see every change of rights, whoever writes it.
//!
//! [`up`] makes both. From then on any write that alters somebody's rights also appends whose rights to `identity_outbox`, in the
//! same transaction: through Bekci, in bulk, by a foreign key's cascade, or by hand in `psql` and `sqlite3`.
//!
//! 1. Keys are `<model>:<id>`, `@roles:<guard>`, `@roles:<guard>@<tenant>`, `@policies`, and `@all` for every principal and every
//!    role table. A statement that concerns more than 1,000 keys says `@all` once, as does `TRUNCATE`.
//! 2. An update counts only where a watched column really changed. A session's rotation and last use are not watched.
//! 3. `adds` is true of a new session alone: everything else may take rights away.
//! 4. With an account go its sessions (ended, reason `account_deleted`), roles, permissions, bans, blocks and policy lines, and with a role what it
//!    permits and who has it: a later one with the same key inherits nothing. A renamed role keeps its members.
//!
//! The triggers have the writer's rights: a database user who may write to a watched table needs INSERT on `identity_outbox`, and to
//! delete accounts or roles also UPDATE and DELETE on the `bekci_` tables. Without them the write is refused, never unseen.
//!
//! On PostgreSQL partitions and inheriting tables have the triggers too; one that is added later lacks them until [`up`] runs again,
//! which [`missing_watches`] and [`unwatched_children`] say. Until then [`reload_all`] makes up for it.
//!
//! What the triggers cannot see: a writer that switches them off, `REPLACE` on SQLite without `PRAGMA recursive_triggers = ON` (the
//! rows that it deletes), and on PostgreSQL writes by logical replication.
//!
//! ```
//! use bekci_migration::{IdKind, ModelTable, down, status, up};
//! use sea_orm_migration::sea_orm::Database;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let customers = ModelTable {
//!     model: "customer".to_owned(),
//!     table: "customers".to_owned(),
//!     id_column: "id".to_owned(),
//!     id_kind: IdKind::Integer,
//!     identifiers: vec!["email".to_owned()],
//!     password_column: Some("password_hash".to_owned()),
//!     status_column: Some("status".to_owned()),
//!     verified_column: Some("email_verified_at".to_owned()),
//!     tenant_column: None,
//!     attributes: vec!["name".to_owned()],
//!     watched_columns: vec!["name".to_owned()],
//! };
//! let db = Database::connect("sqlite::memory:").await?;
//! let report = up(&db, &[customers.clone()]).await?;
//! assert_eq!(report.created, ["customers"]);
//! assert!(status(&db, &[customers]).await?.is_current());
//! down(&db).await
//! # }).unwrap();
//! ```

mod account;
mod dialect;
mod migrator;
mod model;
mod run;
mod tables;
mod unmatched;
mod watch;
mod watches;

pub use account::account_table_statements;
pub use migrator::Migrator;
pub use model::{IdKind, ModelTable};
pub use run::{Report, Status, change_epoch, down, reload_all, sql, status, up};
pub use sea_orm_migration;
pub use unmatched::{Unmatched, unmatched_tables};
pub use watches::{missing_watches, table_exists, unwatch_statements, unwatched_children, watch_statements};
