//! Memberships, grants, denials, bans, blocks, and the policy.

use crate::database::Database;
use crate::on_every_database;

on_every_database!(
    every_write_to_a_membership_names_its_principal,
    every_write_to_a_grant_or_denial_names_its_principal,
    every_write_to_a_ban_names_its_principal,
    every_write_to_a_block_names_its_principal,
    every_write_to_the_policy_names_the_policy_once,
    a_row_given_to_somebody_else_names_both,
    a_write_that_changes_nothing_names_nobody,
    the_registry_of_permissions_names_nobody,
);

const MEMBERSHIP: &str =
    "INSERT INTO bekci_principal_roles (model, id, guard, role) VALUES ('customer', '1', 'shop', 'buyer');";
const GRANT: &str = "INSERT INTO bekci_principal_permissions (model, id, guard, permission, denied) VALUES ('customer', '1', 'shop', 'a.b', false);";
const BAN: &str = "INSERT INTO bekci_bans (model, id, banned_at) VALUES ('customer', '1', 1);";
const BLOCK: &str =
    "INSERT INTO bekci_blocks (model, principal_id, reason, created_at) VALUES ('customer', '1', 'stolen', 1);";

fn each_names(db: &impl Database, key: &str, writes: &[&str]) {
    for write in writes {
        assert_eq!(db.names(write), [key], "{write}");
    }
}

async fn every_write_to_a_membership_names_its_principal(db: impl Database) {
    let update = "UPDATE bekci_principal_roles SET role = 'seller'";
    let moved = "UPDATE bekci_principal_roles SET tenant = 'acme'";
    each_names(
        &db,
        "customer:1",
        &[MEMBERSHIP, update, moved, "DELETE FROM bekci_principal_roles"],
    );
}

async fn every_write_to_a_grant_or_denial_names_its_principal(db: impl Database) {
    let deny = "UPDATE bekci_principal_permissions SET denied = true";
    each_names(
        &db,
        "customer:1",
        &[GRANT, deny, "DELETE FROM bekci_principal_permissions"],
    );
}

async fn every_write_to_a_ban_names_its_principal(db: impl Database) {
    let longer = "UPDATE bekci_bans SET until = 9";
    each_names(&db, "customer:1", &[BAN, longer, "DELETE FROM bekci_bans"]);
}

async fn every_write_to_a_block_names_its_principal(db: impl Database) {
    let longer = "UPDATE bekci_blocks SET until = 9";
    each_names(&db, "customer:1", &[BLOCK, longer, "DELETE FROM bekci_blocks"]);
}

async fn every_write_to_the_policy_names_the_policy_once(db: impl Database) {
    let insert = "INSERT INTO bekci_policies (kind, v0) VALUES ('p', 'a'), ('p', 'b')";
    each_names(
        &db,
        "@policies",
        &[
            insert,
            "UPDATE bekci_policies SET v1 = 'c'",
            "DELETE FROM bekci_policies",
        ],
    );
}

async fn a_row_given_to_somebody_else_names_both(db: impl Database) {
    db.outside(&[MEMBERSHIP, GRANT, BAN, BLOCK].concat());
    for update in [
        "UPDATE bekci_principal_roles SET id = '2'",
        "UPDATE bekci_principal_permissions SET id = '2'",
        "UPDATE bekci_bans SET id = '2'",
        "UPDATE bekci_blocks SET principal_id = '2'",
    ] {
        assert_eq!(db.names(update), ["customer:1", "customer:2"], "{update}");
    }
}

async fn a_write_that_changes_nothing_names_nobody(db: impl Database) {
    db.outside(&[MEMBERSHIP, GRANT, BAN, BLOCK].concat());
    for update in [
        "UPDATE bekci_principal_roles SET id = '1'",
        "UPDATE bekci_principal_permissions SET denied = false",
        "UPDATE bekci_bans SET reason = NULL",
        "UPDATE bekci_blocks SET reason = 'stolen'",
        "UPDATE bekci_policies SET v5 = ''",
    ] {
        assert!(db.names(update).is_empty(), "{update}");
    }
}

async fn the_registry_of_permissions_names_nobody(db: impl Database) {
    assert!(
        db.names("INSERT INTO bekci_permissions (guard, name) VALUES ('shop', 'a.b')")
            .is_empty()
    );
}
