//! Accounts and rights changed by commands, with two nodes serving beside: what a command did holds in the very next request on each.

use bekci_test_support::unique;
use serde_json::{Value, json};

use crate::{
    house::{House, Kind, PASSWORD, Ran, on_every_store},
    http::get,
    people::{Person, Tokens},
};

on_every_store!(
    who_is_banned_by_command_is_refused_in_the_very_next_request_on_every_node,
    rights_given_and_taken_by_command_hold_in_the_very_next_request_on_every_node,
    what_a_role_permits_holds_for_its_holders_when_the_command_returns,
    a_deleted_account_is_let_in_nowhere,
);

fn on_all_nodes(house: &House, path: &str, tokens: &Tokens, verdict: &str) {
    for node in &house.nodes {
        let answer = get(path).bearer(&tokens.access).to(node.address);
        assert_eq!(answer.verdict(), verdict, "{path}");
    }
}

fn who_is_banned_by_command_is_refused_in_the_very_next_request_on_every_node(house: &House) {
    let customer = house.customer();
    let (key, tokens) = (customer.key(), customer.sign_in(house.address()));
    on_all_nodes(house, "/me/x", &tokens, "200");

    let banned = house.told(&["principal", "ban", &key, "--reason", "chargebacks", "--for", "7d"]);
    for node in &house.nodes {
        let answer = get("/me/x").bearer(&tokens.access).to(node.address);
        assert_eq!(answer.verdict(), "403 ACCOUNT_BANNED");
        assert_eq!(answer.json()["error"]["details"]["reason"], "chargebacks");
        assert_eq!(answer.json()["error"]["details"]["until"], banned["until"]);
    }
    assert_eq!((&banned["key"], &banned["banned"]), (&json!(key), &json!(true)));
    let shown = house.told(&["principal", "show", &key]);
    assert_eq!(shown["ban"]["reason"], "chargebacks");

    let lifted = house.told(&["principal", "unban", &key]);
    assert_eq!(
        (&lifted["changed"], &lifted["status"]),
        (&json!(true), &json!("active"))
    );
    on_all_nodes(house, "/me/x", &tokens, "200");
    assert_eq!(house.told(&["principal", "unban", &key])["changed"], false);
}

fn rights_given_and_taken_by_command_hold_in_the_very_next_request_on_every_node(house: &House) {
    let admin = house.person("admin", "support");
    let (key, tokens) = (admin.key(), admin.sign_in(house.address()));
    on_all_nodes(house, "/office/x", &tokens, "403 FORBIDDEN");

    let held = house.told(&["grant", &key, "--permission", "orders.manage"]);
    assert_eq!(held["granted"], json!(["orders.manage"]));
    assert_eq!(held["roles"], json!(["support"]));
    on_all_nodes(house, "/office/x", &tokens, "200");

    house.told(&["grant", &key, "--role", "super-admin"]);
    let taken = house.told(&["revoke", &key, "--permission", "orders.manage"]);
    assert_eq!(taken["granted"], json!([]));
    assert_eq!(taken["stillHeld"], json!(["orders.manage"]), "by its role");
    on_all_nodes(house, "/office/x", &tokens, "200");

    let denied = house.told(&["deny", &key, "--permission", "orders.manage"]);
    assert_eq!(denied["denied"], json!(["orders.manage"]));
    on_all_nodes(house, "/office/x", &tokens, "403 FORBIDDEN");

    let taken = house.told(&["revoke", &key, "--permission", "orders.manage"]);
    assert_eq!(taken["denied"], json!(["orders.manage"]), "to revoke never widens");
    assert_eq!(taken["stillDenied"], json!(["orders.manage"]));
    let told = house
        .command(&["revoke", &key, "--permission", "orders.manage"], "")
        .success()
        .out;
    let lift = format!("bekci deny {key} --permission orders.manage --guard admin --lift");
    assert!(told.contains(&lift), "{told}");
    on_all_nodes(house, "/office/x", &tokens, "403 FORBIDDEN");

    house.told(&["deny", &key, "--permission", "orders.manage", "--lift"]);
    on_all_nodes(house, "/office/x", &tokens, "200");
    house.told(&["revoke", &key, "--role", "super-admin"]);
    on_all_nodes(house, "/office/x", &tokens, "403 FORBIDDEN");
}

fn what_a_role_permits_holds_for_its_holders_when_the_command_returns(house: &House) {
    let role = unique("clerk").replace('_', "-");
    let made = house.told(&["role", "add", &role, "--guard", "admin", "--permission", "orders.view"]);
    assert_eq!(made["permissions"], json!(["orders.view"]));
    let admin = house.person("admin", &role);
    let tokens = admin.sign_in(house.address());
    on_all_nodes(house, "/office/x", &tokens, "403 FORBIDDEN");

    let wider = house.told(&["role", "allow", &role, "orders.manage", "--guard", "admin"]);
    assert_eq!(wider["permissions"], json!(["orders.manage", "orders.view"]));
    on_all_nodes(house, "/office/x", &tokens, "200");
    let shown = house.told(&["principal", "show", &admin.key()]);
    assert_eq!(
        shown["effective"][0]["permissions"],
        json!(["orders.manage", "orders.view"])
    );

    house.told(&["role", "disallow", &role, "orders.manage", "--guard", "admin"]);
    on_all_nodes(house, "/office/x", &tokens, "403 FORBIDDEN");

    house.told(&["role", "allow", &role, "orders.*", "--guard", "admin"]);
    let to = format!("{role}-2");
    assert_eq!(
        house.told(&["role", "rename", &role, &to, "--guard", "admin"])["name"],
        to
    );
    on_all_nodes(house, "/office/x", &tokens, "200");
    let all = house.told(&["role", "list", "--guard", "admin", "--global"]);
    let names: Vec<&str> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|role| role["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&&*to) && !names.contains(&&*role), "{names:?}");

    house.told(&["role", "remove", &to, "--guard", "admin", "--yes"]);
    on_all_nodes(house, "/office/x", &tokens, "403 FORBIDDEN");
}

fn a_deleted_account_is_let_in_nowhere(house: &House) {
    let customer = house.customer();
    let tokens = customer.sign_in(house.address());
    let listed = house.told(&["principal", "list", "--model", "customer", "--search", &customer.email]);
    assert_eq!(listed["items"][0]["key"], customer.key());
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        house.command(&["principal", "delete", &customer.key()], "").code,
        Some(1),
        "without --yes"
    );
    on_all_nodes(house, "/me/x", &tokens, "200");
    house.told(&["principal", "delete", &customer.key(), "--yes"]);
    on_all_nodes(house, "/me/x", &tokens, "401 IDENTITY_NOT_FOUND");
    assert_eq!(
        house.told(&["principal", "show", &customer.key()])["error"]["code"],
        "NOT_FOUND"
    );
}

fn refused(house: &House, arguments: &[&str], code: &str, said: &str) {
    let ran = house.command(&[arguments, &["--output", "json"]].concat(), "");
    assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["error"]["code"], code, "{arguments:?}: {ran:?}");
    assert!(
        ran.err.contains(code) && ran.err.contains(said),
        "{arguments:?}: {ran:?}"
    );
}

#[test]
fn what_is_not_there_or_cannot_be_is_refused_with_a_code_and_what_there_is() {
    let house = House::shared(Kind::Sqlite);
    for (arguments, code, said) in [
        (
            &["principal", "show", "customer:999999999"][..],
            "NOT_FOUND",
            "customer:999999999",
        ),
        (&["principal", "show", "customr:1"], "NOT_FOUND", "admin"),
        (&["principal", "ban", "customer:01"], "VALIDATION_FAILED", "canonical"),
        (
            &["principal", "ban", "customer:1", "--until", "2001-01-01T00:00:00Z"],
            "VALIDATION_FAILED",
            "over",
        ),
        (
            &["principal", "ban", "customer:1", "--status", "sleepy"],
            "VALIDATION_FAILED",
            "sleepy",
        ),
        (&["principal", "list", "--model", "customr"], "NOT_FOUND", "customer"),
        (
            &["principal", "list", "--model", "customer", "--after", "x"],
            "VALIDATION_FAILED",
            "mark",
        ),
        (&["grant", "customer:1", "--role", "buyr"], "NOT_FOUND", "buyer"),
        (
            &["grant", "customer:1", "--role", "buyer", "--guard", "admin"],
            "VALIDATION_FAILED",
            "admin",
        ),
        (
            &["grant", "customer:1", "--role", "buyer", "--guard", "shp"],
            "NOT_FOUND",
            "shop",
        ),
        (
            &["revoke", "customer:999999999", "--role", "buyer"],
            "NOT_FOUND",
            "customer:999999999",
        ),
        (&["role", "add", "buyer", "--guard", "customer"], "CONFLICT", "already"),
        (&["role", "add", "x"], "VALIDATION_FAILED", "--guard"),
        (&["role", "show", "nobody", "--guard", "customer"], "NOT_FOUND", "buyer"),
        (
            &["role", "disallow", "buyer", "fly", "--guard", "customer"],
            "NOT_FOUND",
            "fly",
        ),
        (
            &["role", "show", "buyer", "--guard", "customer", "--tenant", "acme"],
            "NOT_FOUND",
            "global",
        ),
        (
            &["permission", "remove", "fly", "--guard", "customer", "--yes"],
            "NOT_FOUND",
            "fly",
        ),
    ] {
        refused(house, arguments, code, said);
    }
}

#[test]
fn what_breaks_the_grammar_is_wrong_usage() {
    let house = House::shared(Kind::Sqlite);
    for (arguments, said) in [
        (&["principal", "show", "customer"][..], "<model>:<id>"),
        (&["principal", "ban", "customer:1", "--for", "soon"], "7d"),
        (&["principal", "ban", "customer:1", "--for", "0d"], "more than zero"),
        (&["principal", "ban", "customer:1", "--until", "tomorrow"], "RFC 3339"),
        (&["principal", "ban", "customer:1", "--reason", "a\nb"], "control"),
        (&["principal", "list", "--model", "customer", "--limit", "0"], "--limit"),
        (&["grant", "customer:1"], "--role"),
        (&["grant", "customer:1", "--permission", "orders..x"], "orders..x"),
        (&["grant", "customer:1", "--role", "Buyer"], "Buyer"),
        (&["deny", "customer:1"], "--permission"),
        (&["role", "allow", "buyer"], "PERMISSIONS"),
        (&["role", "fire", "buyer"], "fire"),
    ] {
        let ran = house.command(arguments, "");
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_permission_is_made_known_listed_and_forgotten_with_all_its_grants() {
    let house = House::shared(Kind::Sqlite);
    let name = format!("parcels.{}", unique("p"));
    house.told(&["permission", "add", &name, "--guard", "customer"]);
    refused(
        house,
        &["permission", "add", &name, "--guard", "customer"],
        "CONFLICT",
        &name,
    );
    let person: Person = house.customer();
    house.told(&["grant", &person.key(), "--permission", &name, "--guard", "customer"]);
    let known = house.told(&["permission", "list", "--guard", "customer"]);
    let is_there = |known: &Value| {
        known["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["name"] == name)
    };
    assert!(is_there(&known));
    assert_eq!(
        house
            .command(&["permission", "remove", &name, "--guard", "customer"], "")
            .code,
        Some(1)
    );
    house.told(&["permission", "remove", &name, "--guard", "customer", "--yes"]);
    assert!(!is_there(&house.told(&["permission", "list", "--guard", "customer"])));
    assert_eq!(
        house.told(&["principal", "show", &person.key()])["rights"][0]["granted"],
        json!([])
    );
}

#[test]
fn a_change_is_an_audit_event_and_a_name_cannot_write_to_the_terminal() {
    let house = House::shared(Kind::Sqlite);
    let person = house.customer();
    house.sql(&format!(
        "UPDATE customers SET name = char(27) || '[2JAyşe' WHERE id = {}",
        person.id
    ));
    let Ran { out, .. } = house.command(&["principal", "show", &person.key()], "").success();
    assert!(out.contains("Ayşe") && !out.contains('\u{1b}'), "{out:?}");
    let ran = house
        .command(&["principal", "ban", &person.key(), "--reason", "spam"], "")
        .success();
    assert!(ran.out.contains(&format!("banned {}", person.key())), "{ran:?}");
    for part in ["bekci::audit", "account.banned", "command-line:", &person.key()] {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
    let ran = house
        .command(&["grant", &person.key(), "--role", "reader"], "")
        .success();
    let told = ran.err.replace("\\\"", "\"");
    for part in ["rights.changed", "command-line:", "\"added\":[\"reader\"]", "position="] {
        assert!(told.contains(part), "{part}: {ran:?}");
    }
    let again = house
        .command(&["grant", &person.key(), "--role", "reader"], "")
        .success();
    assert!(!again.err.contains("rights.changed"), "nothing changed: {again:?}");
    let hash = house
        .command(&["principal", "show", &person.key(), "--output", "json"], "")
        .success();
    assert!(!hash.out.contains("argon2") && !hash.out.contains(PASSWORD));
}
