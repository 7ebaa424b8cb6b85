//! `[models.<name>]` and `[providers.<name>]`.

use std::path::PathBuf;

use crate::config::schema::{Fallback::Absent, Fallback::Computed, Fallback::Required, Fallback::Toml, settings, some};
use crate::config::tree::Value;
use crate::config::values::choice;
use crate::config::values::names::{Column, Filter, Identifier, Status, TableName};

choice! {
    /// The kind of an account's id.
    IdKind {
        /// Whole numbers, which the database gives.
        Integer = "integer",
        /// UUIDs.
        Uuid = "uuid",
        /// Texts of `A-Z a-z 0-9 _ -`, 64 at most.
        Text = "text",
    }
}

settings! {
    /// A kind of account: its table, and what its columns mean.
    Model {
        /// The table, with its schema before a dot where it has one (`shop.customers`; not with SQLite); letters as they are in the database. `bekci migrate up`
        /// makes it if it is missing, and never alters one that was there.
        table: TableName = Computed { says: "the model's name and `s`", value: |facts| Value::Text(format!("{}s", facts.name)) };
        /// The column of the id.
        id_column: Column = Toml("'id'");
        /// Of what kind its ids are. `integer`: whole numbers from 0. `uuid`. `text`: 1 to 64 of `A-Z a-z 0-9 _ -`; a row with another id is no account. In a users
        /// file ids are texts, whatever stands here.
        id_kind: IdKind = Toml("'integer'");
        /// The columns that one can sign in with. Spaces around what is entered do not count, nor do Unicode's ways to write
        /// one letter (NFKC) and one domain name (IDN); case does, but for `email:nocase`.
        identifiers: Vec<Identifier> [some::<Identifier>()] = Toml("['email']");
        /// The column of the password's hash; empty: the model has no passwords.
        password_column: Option<Column> = Toml("'password_hash'");
        /// The column of the status; empty: the model has none.
        status_column: Option<Column> = Toml("'status'");
        /// The column of the time at which the address was confirmed; empty: the model has none.
        verified_column: Option<Column> = Toml("'email_verified_at'");
        /// The columns that are kept in the cached identity.
        cached_attributes: Vec<Column> = Toml("['email', 'name']");
        /// The values of the status that keep an account out.
        banned_statuses: Vec<Status> = Toml("['banned', 'suspended']");
        /// The values of the status that let an account in; `["*"]`: every one that does not ban. Any other keeps it out with `ACCOUNT_INACTIVE`, since it may be a misspelt
        /// ban, and so the log says. An account whose status is NULL has none, and is let in.
        active_statuses: Vec<Status> = Toml("['active']");
        /// The column of the tenant, where an account belongs to one; empty: it belongs where it holds a role or a grant.
        tenant_column: Option<Column> = Toml("''");
        /// Which rows are accounts, as a column and its value: `deleted_at:null`, `is_deleted:false`. Any other row does not exist for Bekci: it signs nobody in, hinders no other
        /// account of the same identifier, and its sessions are refused. Empty: all rows.
        filter: Option<Filter> = Toml("''");
    }
}

choice! {
    /// The kind of a provider.
    ProviderKind {
        /// The model's table.
        Database = "database",
        /// A users file.
        File = "file",
    }
}

settings! {
    /// Where a guard's accounts are loaded from.
    Provider {
        /// `database` or `file`.
        kind: ProviderKind = Required;
        /// The users file, for `file`: identifiers, password hash, status, roles, permissions, attributes of each account, as docs/providers.md says. A change of the file is
        /// a change of rights.
        path: Option<PathBuf> = Absent;
    }
}
