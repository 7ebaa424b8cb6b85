//! What the triggers watch, said once for all databases; how they are written is up to each [`crate::dialect`].
//!
//! A watch names, for every write to its table, the keys whose owners' rights it may have changed:
//!
//! 1. an insert names the new row's key, a delete the old row's;
//! 2. an update in which a watched column really changed names both; any other names nothing;
//! 3. what has to go with a row (its [`Aftermath`]) goes in the same transaction;
//! 4. above [`OWNERS`] keys at once, or where rows went unseen (TRUNCATE), it names everybody.

use crate::model::{IdKind, ModelTable};

/// How many keys one statement may name before it names everybody instead.
pub(crate) const OWNERS: u32 = 1_000;

/// The key that stands for every principal and every role table.
pub(crate) const EVERYBODY: &str = "@all";

/// The key of the policy.
const POLICIES: &str = "@policies";

/// Begins the names of triggers on account tables, and of theirs alone.
pub(crate) const ACCOUNT_PREFIX: &str = "bekci_account_";

/// Begins the names of triggers on our own tables.
pub(crate) const OWN_PREFIX: &str = "bekci_watch_";

/// One watched table.
pub(crate) struct Watch<'a> {
    /// Begins the names of its triggers.
    pub name: String,
    /// The table.
    pub table: &'a str,
    /// The primary key's columns: by them an update's old and new rows are paired.
    pub primary_key: Vec<&'a str>,
    /// Every column whose change counts, those of the primary key among them.
    pub watched: Vec<&'a str>,
    /// Whose rights a row is part of.
    pub key: Key<'a>,
    /// Whether an inserted row can only give rights.
    pub insert_adds: bool,
    /// What goes with a row.
    pub aftermath: Aftermath<'a>,
}

/// How a row's key in the outbox is made.
pub(crate) enum Key<'a> {
    /// `<model>:<id>` of the account table's own row.
    Account { model: &'a str, id: &'a str, kind: IdKind },
    /// `<model>:<id>` where `model` and this column say whose row it is.
    Principal { id: &'a str },
    /// `@roles:<guard>`, or `@roles:<guard>@<tenant>`, of a row of `bekci_roles`.
    Role,
    /// The same, of the role that `role_id` points to; none where that is gone, which was named when it went.
    RolePermission,
    /// `@policies`.
    Policies,
}

impl Key<'_> {
    /// What is named where a table is emptied at a stroke.
    pub(crate) fn when_truncated(&self) -> &'static str {
        match self {
            Self::Policies => POLICIES,
            Self::Account { .. } | Self::Principal { .. } | Self::Role | Self::RolePermission => EVERYBODY,
        }
    }

    /// Whether `@all` says the same and more.
    pub(crate) fn is_within_everybody(&self) -> bool {
        !matches!(self, Self::Policies)
    }
}

/// What has to go with a row, so that one made later with the same key inherits nothing.
pub(crate) enum Aftermath<'a> {
    /// Nothing.
    None,
    /// Of an account that is no more (its key changed, or it was deleted): sessions end; roles, permissions, bans, blocks, links and policy lines go.
    Account {
        model: &'a str,
        table: &'a str,
        id: &'a str,
        kind: IdKind,
    },
    /// Of a role: what it permits, and memberships. A new name takes the memberships along; a new guard, tenant or id is
    /// another role, so they go.
    Role,
}

/// Tables whose rows go with an account.
pub(crate) const GOES_WITH_ACCOUNT: [(&str, &str); 5] = [
    ("bekci_principal_roles", "id"),
    ("bekci_principal_permissions", "id"),
    ("bekci_bans", "id"),
    ("bekci_blocks", "principal_id"),
    ("bekci_links", "principal_id"),
];

/// The values of a policy line. A line that names an account, as `principal:<model>:<id>`, goes with it.
pub(crate) const POLICY_VALUES: &str = "v0, v1, v2, v3, v4, v5";

/// The watch on an account table.
pub(crate) fn account(table: &ModelTable) -> Watch<'_> {
    let (model, id, kind) = (table.model.as_str(), table.id_column.as_str(), table.id_kind);
    Watch {
        name: format!("{ACCOUNT_PREFIX}{model}"),
        table: &table.table,
        primary_key: vec![id],
        watched: table.watched(),
        key: Key::Account { model, id, kind },
        insert_adds: false,
        aftermath: Aftermath::Account {
            model,
            table: &table.table,
            id,
            kind,
        },
    }
}

/// The watches on our own tables.
pub(crate) fn own() -> Vec<Watch<'static>> {
    let principal = |table, primary_key: &[&'static str], rest: &[&'static str], id| {
        own_watch(table, primary_key, rest, Key::Principal { id })
    };
    vec![
        Watch {
            insert_adds: true,
            // Rotation and last use change neither who may act nor which tokens are good. The owner's columns are watched
            // because a session that is given to somebody else is a right taken and a right given.
            ..principal(
                "bekci_sessions",
                &["id"],
                &["model", "principal_id", "guard", "tenant", "ended_at", "min_generation"],
                "principal_id",
            )
        },
        principal(
            "bekci_principal_roles",
            &["model", "id", "guard", "tenant", "role"],
            &[],
            "id",
        ),
        principal(
            "bekci_principal_permissions",
            &["model", "id", "guard", "tenant", "permission"],
            &["denied"],
            "id",
        ),
        principal(
            "bekci_bans",
            &["model", "id"],
            &["reason", "until", "status_before", "banned_at", "banned_by"],
            "id",
        ),
        principal(
            "bekci_blocks",
            &["id"],
            &["model", "principal_id", "jti", "sid", "reason", "until", "created_at"],
            "principal_id",
        ),
        Watch {
            aftermath: Aftermath::Role,
            ..own_watch("bekci_roles", &["id"], &["guard", "tenant", "name"], Key::Role)
        },
        own_watch(
            "bekci_role_permissions",
            &["role_id", "permission"],
            &[],
            Key::RolePermission,
        ),
        own_watch(
            "bekci_policies",
            &["id"],
            &["kind", "v0", "v1", "v2", "v3", "v4", "v5"],
            Key::Policies,
        ),
    ]
}

fn own_watch(
    table: &'static str,
    primary_key: &[&'static str],
    rest: &[&'static str],
    key: Key<'static>,
) -> Watch<'static> {
    Watch {
        name: format!("{OWN_PREFIX}{}", table.trim_start_matches("bekci_")),
        table,
        primary_key: primary_key.to_vec(),
        watched: [primary_key, rest].concat(),
        key,
        insert_adds: false,
        aftermath: Aftermath::None,
    }
}
