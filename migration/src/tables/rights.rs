//! Who may do what: roles, permissions, bans, blocks, the policy.

use sea_orm_migration::sea_query::{IndexCreateStatement, TableCreateStatement};

use super::{big, big_or_null, flag, index, primary_key, serial, table, tenant, text, unique, word};

pub(super) const TABLES: &[&str] = &[
    "bekci_roles",
    "bekci_permissions",
    "bekci_role_permissions",
    "bekci_principal_roles",
    "bekci_principal_permissions",
    "bekci_bans",
    "bekci_blocks",
    "bekci_policies",
];

pub(super) fn tables() -> Vec<TableCreateStatement> {
    vec![
        table("bekci_roles")
            .col(serial("id"))
            .col(word("guard"))
            .col(tenant())
            .col(word("name"))
            .index(&mut unique("bekci_roles_name", &["guard", "tenant", "name"]))
            .take(),
        table("bekci_permissions")
            .col(serial("id"))
            .col(word("guard"))
            .col(word("name"))
            .index(&mut unique("bekci_permissions_name", &["guard", "name"]))
            .take(),
        table("bekci_role_permissions")
            .col(big("role_id"))
            .col(word("permission"))
            .primary_key(&mut primary_key(&["role_id", "permission"]))
            .take(),
        principal_roles(),
        principal_permissions(),
        bans(),
        blocks(),
        policies(),
    ]
}

pub(super) fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index(
            "bekci_principal_roles_members",
            "bekci_principal_roles",
            &["guard", "tenant", "role"],
        ),
        index("bekci_blocks_principal", "bekci_blocks", &["model", "principal_id"]),
    ]
}

fn principal_roles() -> TableCreateStatement {
    table("bekci_principal_roles")
        .col(word("model"))
        .col(word("id"))
        .col(word("guard"))
        .col(tenant())
        .col(word("role"))
        .primary_key(&mut primary_key(&["model", "id", "guard", "tenant", "role"]))
        .take()
}

fn principal_permissions() -> TableCreateStatement {
    table("bekci_principal_permissions")
        .col(word("model"))
        .col(word("id"))
        .col(word("guard"))
        .col(tenant())
        .col(word("permission"))
        .col(flag("denied"))
        .primary_key(&mut primary_key(&["model", "id", "guard", "tenant", "permission"]))
        .take()
}

fn bans() -> TableCreateStatement {
    table("bekci_bans")
        .col(word("model"))
        .col(word("id"))
        .col(text("reason"))
        .col(big_or_null("until"))
        .col(text("status_before"))
        .col(big("banned_at"))
        .col(text("banned_by"))
        .primary_key(&mut primary_key(&["model", "id"]))
        .take()
}

fn blocks() -> TableCreateStatement {
    table("bekci_blocks")
        .col(serial("id"))
        .col(word("model"))
        .col(word("principal_id"))
        .col(text("jti"))
        .col(text("sid"))
        .col(text("reason").not_null())
        .col(big_or_null("until"))
        .col(big("created_at"))
        .take()
}

fn policies() -> TableCreateStatement {
    let values = ["v0", "v1", "v2", "v3", "v4", "v5"];
    let mut policies = table("bekci_policies").col(serial("id")).col(word("kind")).take();
    for value in values {
        policies.col(word(value).default(""));
    }
    let whole = ["kind", "v0", "v1", "v2", "v3", "v4", "v5"];
    policies.index(&mut unique("bekci_policies_line", &whole)).take()
}
