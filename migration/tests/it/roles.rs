//! Roles: which role table a write names, and what becomes of members.

use crate::database::Database;
use crate::on_every_database;

on_every_database!(
    writes_to_a_role_name_the_role_table_of_its_guard_and_tenant,
    what_a_role_permits_is_named_by_its_role_table,
    a_deleted_role_takes_what_it_permits_and_its_members_along,
    a_deleted_global_role_leaves_members_of_tenants_own_roles,
    a_deleted_tenants_role_does_not_leave_its_members_to_the_global_one,
    a_renamed_role_keeps_its_members,
    a_rename_does_not_hand_out_a_tenants_own_role_of_that_name,
    a_role_and_its_tenants_namesake_can_be_renamed_at_once,
    a_role_and_its_tenants_namesake_can_part_at_once,
    a_member_of_both_roles_survives_the_rename_of_one_to_another_guard,
    a_role_that_moves_to_another_tenant_leaves_its_members,
);

/// `buyer` globally and of tenant `own`; members of the global one: 1 globally, 2 in tenant `other`; of the tenant's: 3.
const ROLES: &str = "
INSERT INTO bekci_roles (id, guard, tenant, name) VALUES (1, 'shop', '', 'buyer'), (2, 'shop', 'own', 'buyer'), (3, 'desk', '', 'buyer');
INSERT INTO bekci_role_permissions (role_id, permission) VALUES (1, 'a'), (2, 'a'), (3, 'a');
INSERT INTO bekci_principal_roles (model, id, guard, tenant, role) VALUES ('customer', '1', 'shop', '', 'buyer'),
  ('customer', '2', 'shop', 'other', 'buyer'), ('customer', '3', 'shop', 'own', 'buyer'), ('customer', '4', 'desk', '', 'buyer');";

const MEMBERS: &str = "SELECT id || ' ' || guard || '/' || tenant || '/' || role FROM bekci_principal_roles ORDER BY 1";

fn members(db: &impl Database) -> Vec<String> {
    crate::database::lines(&db.outside(MEMBERS))
}

async fn writes_to_a_role_name_the_role_table_of_its_guard_and_tenant(db: impl Database) {
    let insert = "INSERT INTO bekci_roles (guard, tenant, name) VALUES ('shop', '', 'x'), ('shop', 'acme', 'x'), ('shop', 'acme', 'y')";
    assert_eq!(db.names(insert), ["@roles:shop", "@roles:shop@acme"]);
    assert_eq!(
        db.names("UPDATE bekci_roles SET name = 'z' WHERE name = 'y'"),
        ["@roles:shop@acme"]
    );
    assert_eq!(
        db.names("UPDATE bekci_roles SET guard = 'desk' WHERE name = 'z'"),
        ["@roles:desk@acme", "@roles:shop@acme"]
    );
    assert!(db.names("UPDATE bekci_roles SET name = name").is_empty());
    assert_eq!(
        db.names("DELETE FROM bekci_roles WHERE guard = 'shop'"),
        ["@roles:shop", "@roles:shop@acme"]
    );
}

async fn what_a_role_permits_is_named_by_its_role_table(db: impl Database) {
    db.outside(ROLES);
    assert_eq!(
        db.names("INSERT INTO bekci_role_permissions (role_id, permission) VALUES (1, 'b')"),
        ["@roles:shop"]
    );
    assert_eq!(
        db.names("UPDATE bekci_role_permissions SET permission = 'c' WHERE role_id = 2"),
        ["@roles:shop@own"]
    );
    let moved = "UPDATE bekci_role_permissions SET role_id = 3 WHERE permission = 'b'";
    assert_eq!(db.names(moved), ["@roles:desk", "@roles:shop"]);
    assert_eq!(
        db.names("DELETE FROM bekci_role_permissions WHERE role_id = 2"),
        ["@roles:shop@own"]
    );
}

async fn a_deleted_role_takes_what_it_permits_and_its_members_along(db: impl Database) {
    db.outside(ROLES);
    let named = db.names_once("DELETE FROM bekci_roles WHERE guard = 'shop'");
    assert_eq!(
        named,
        [
            "@roles:shop",
            "@roles:shop@own",
            "customer:1",
            "customer:2",
            "customer:3"
        ]
    );
    assert_eq!(members(&db), ["4 desk//buyer"]);
    assert_eq!(db.outside("SELECT role_id FROM bekci_role_permissions"), "3");
}

async fn a_deleted_global_role_leaves_members_of_tenants_own_roles(db: impl Database) {
    db.outside(ROLES);
    db.outside("DELETE FROM bekci_roles WHERE id = 1");
    assert_eq!(members(&db), ["3 shop/own/buyer", "4 desk//buyer"]);
}

async fn a_deleted_tenants_role_does_not_leave_its_members_to_the_global_one(db: impl Database) {
    db.outside(ROLES);
    assert_eq!(
        db.names("DELETE FROM bekci_roles WHERE id = 2"),
        ["@roles:shop@own", "customer:3"]
    );
    assert_eq!(members(&db), ["1 shop//buyer", "2 shop/other/buyer", "4 desk//buyer"]);
}

async fn a_renamed_role_keeps_its_members(db: impl Database) {
    db.outside(ROLES);
    db.outside("INSERT INTO bekci_principal_roles (model, id, guard, role) VALUES ('customer', '1', 'shop', 'client')");
    let named = db.names_once("UPDATE bekci_roles SET name = 'client' WHERE id = 1");
    assert_eq!(named, ["@roles:shop", "customer:1", "customer:2"]);
    assert_eq!(
        members(&db),
        [
            "1 shop//client",
            "2 shop/other/client",
            "3 shop/own/buyer",
            "4 desk//buyer"
        ]
    );
    assert_eq!(
        db.outside("SELECT permission FROM bekci_role_permissions WHERE role_id = 1"),
        "a"
    );
}

async fn a_rename_does_not_hand_out_a_tenants_own_role_of_that_name(db: impl Database) {
    db.outside(ROLES);
    db.outside("INSERT INTO bekci_roles (id, guard, tenant, name) VALUES (9, 'shop', 'other', 'owner')");
    db.outside("UPDATE bekci_roles SET name = 'owner' WHERE id = 1");
    assert_eq!(members(&db), ["1 shop//owner", "3 shop/own/buyer", "4 desk//buyer"]);
}

async fn a_role_and_its_tenants_namesake_can_be_renamed_at_once(db: impl Database) {
    db.outside(ROLES);
    db.outside("UPDATE bekci_roles SET name = 'client' WHERE guard = 'shop'");
    assert_eq!(
        members(&db),
        [
            "1 shop//client",
            "2 shop/other/client",
            "3 shop/own/client",
            "4 desk//buyer"
        ]
    );
}

async fn a_role_and_its_tenants_namesake_can_part_at_once(db: impl Database) {
    db.outside(ROLES);
    // Both ways round, since each row of the statement may come first.
    for (global, tenants) in [("client", "patron"), ("x", "a")] {
        db.outside(&format!(
            "UPDATE bekci_roles SET name = CASE tenant WHEN '' THEN '{global}' ELSE '{tenants}' END WHERE guard = 'shop'"
        ));
        let expected = [
            format!("1 shop//{global}"),
            format!("2 shop/other/{global}"),
            format!("3 shop/own/{tenants}"),
            "4 desk//buyer".to_owned(),
        ];
        assert_eq!(members(&db), expected);
        db.outside("UPDATE bekci_roles SET name = 'buyer' WHERE guard = 'shop' AND tenant <> ''");
        db.outside("UPDATE bekci_roles SET name = 'buyer' WHERE guard = 'shop'");
    }
}

async fn a_member_of_both_roles_survives_the_rename_of_one_to_another_guard(db: impl Database) {
    db.outside(ROLES);
    db.outside("UPDATE bekci_roles SET guard = 'till' WHERE id = 3");
    assert_eq!(
        members(&db),
        ["1 shop//buyer", "2 shop/other/buyer", "3 shop/own/buyer"]
    );
}

async fn a_role_that_moves_to_another_tenant_leaves_its_members(db: impl Database) {
    db.outside(ROLES);
    db.outside("UPDATE bekci_roles SET tenant = 'new' WHERE id = 2");
    assert_eq!(members(&db), ["1 shop//buyer", "2 shop/other/buyer", "4 desk//buyer"]);
}
