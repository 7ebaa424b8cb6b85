//! Accounts added, their passwords set and their rights changed by commands: what each takes and refuses.

use bekci_test_support::TempDir;
use serde_json::json;

use crate::{
    house::{House, Kind, PASSWORD},
    http::{get, post},
};

#[test]
fn accounts_are_added_with_any_column_and_a_role_that_exists() {
    let house = House::new(Kind::Sqlite, 0);
    house.sql("ALTER TABLE customers ADD COLUMN city TEXT NOT NULL DEFAULT 'x'");
    let add = |email: &str, more: &[&str]| {
        let all = [
            &[
                "principal",
                "add",
                "--model",
                "customer",
                "--email",
                email,
                "--password-stdin",
            ],
            more,
        ]
        .concat();
        house.command(&all, PASSWORD)
    };
    let made = add("cem@customer.test", &["--set", "city=Izmir", "--set", "status=active"]).success();
    let key = made.out.trim().strip_prefix("made ").unwrap().to_owned();
    let id = key.split(':').nth(1).unwrap();
    assert_eq!(
        house.sql(&format!("SELECT city FROM customers WHERE id = {id}")).trim(),
        "Izmir"
    );
    for (more, code, said) in [
        (&["--set", "city"][..], 2, "not a column and its value"),
        (&["--set", "password_hash=x"], 1, "password_hash"),
        (&["--set", "id=7"], 1, "\"id\""),
        (&["--set", "nowhere=x"], 1, "nowhere"),
        (&["--role", "buyr"], 1, "bekci role add buyr --guard customer"),
    ] {
        let ran = add("dan@customer.test", more);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.err.contains(said), "{ran:?}");
    }
    assert_eq!(add("cem@customer.test", &[]).code, Some(1));
    let ran = house.command(&["grant", &key, "--role", "buyr"], "");
    assert!(ran.err.contains("bekci role add buyr --guard customer"), "{ran:?}");
}

#[test]
fn a_password_set_by_command_ends_the_sessions_and_opens_new_ones() {
    let house = House::new(Kind::Sqlite, 1);
    let person = house.customer();
    let token = person.sign_in(house.address()).access;
    let short = house.command(
        &["principal", "set-password", &person.key(), "--password-stdin"],
        "short",
    );
    assert!(short.err.contains("VALIDATION_FAILED"), "{short:?}");
    assert_eq!(get("/me/x").bearer(&token).to(house.address()).verdict(), "200");
    let new = "another lantern orbit meadow";
    house
        .command(&["principal", "set-password", &person.key(), "--password-stdin"], new)
        .success();
    assert_eq!(
        get("/me/x").bearer(&token).to(house.address()).verdict(),
        "401 TOKEN_INVALID"
    );
    let body = json!({"email": person.email, "password": new});
    assert_eq!(
        post("/auth/customer/login").json(&body).to(house.address()).verdict(),
        "200"
    );
}

#[test]
fn rights_are_granted_to_and_revoked_from_the_accounts_of_a_file() {
    let house = House::new(Kind::Sqlite, 0);
    let keys: Vec<String> = (0..3).map(|_| house.customer().key()).collect();
    let folder = TempDir::new("keys");
    let file = folder.path().join("keys.txt");
    std::fs::write(&file, format!("{}\n\n", keys.join("\n"))).unwrap();
    let file = file.to_str().unwrap();
    let told = house.told(&["grant", "--keys-from", file, "--permission", "orders.refund"]);
    assert_eq!(told, json!({"accounts": 3}));
    let held = || -> Vec<String> {
        let rows = house.sql("SELECT count(*) FROM bekci_principal_permissions WHERE permission = 'orders.refund'");
        vec![rows.trim().to_owned()]
    };
    assert_eq!(held(), ["3"]);
    let all = format!("{}\ncustomer:999999\n", keys[0]);
    let ran = house.command(&["revoke", "--keys-from", "-", "--permission", "orders.refund"], &all);
    assert!(
        ran.code == Some(1) && ran.err.contains("-:2: there is no account customer:999999"),
        "{ran:?}"
    );
    assert_eq!(held(), ["3"], "nothing was changed");
    house
        .command(
            &["revoke", "--keys-from", "-", "--permission", "orders.refund"],
            &keys.join("\n"),
        )
        .success();
    assert_eq!(held(), ["0"]);
}

#[test]
fn rights_are_granted_to_the_accounts_that_a_condition_selects() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        let house = House::new(kind, 0);
        house.sql("ALTER TABLE customers ADD COLUMN country text");
        let keys: Vec<String> = (0..3).map(|_| house.customer().key()).collect();
        let ids: Vec<&str> = keys[..2].iter().map(|key| key.split(':').nth(1).unwrap()).collect();
        house.sql(&format!(
            "UPDATE customers SET country = 'TR' WHERE id IN ({})",
            ids.join(", ")
        ));
        let select = ["--model", "customer", "--where", "country=TR", "--guard", "customer"];
        let run = |more: &[&str]| house.told(&[&["grant"][..], &select, more].concat());
        let held = |of: &str| house.sql(&format!("SELECT count(*) FROM {of}")).trim().to_owned();
        let roles = "bekci_principal_roles WHERE role = 'reader'";
        let dry = run(&["--role", "reader", "--dry-run"]);
        assert_eq!(dry, json!({"dryRun": true, "accounts": 2, "keys": keys[..2]}));
        assert_eq!(held(roles), "0", "a dry run changes nothing");
        assert_eq!(run(&["--role", "reader"]), json!({"accounts": 2}));
        assert_eq!(held(roles), "2");
        for (more, code) in [
            (
                &["--where", "email=nobody@customer.test", "--role", "reader"][..],
                "NOT_FOUND",
            ),
            (&["--where", "nowhere=1", "--role", "reader"], "VALIDATION_FAILED"),
            (&["--where", "password_hash=x", "--role", "reader"], "VALIDATION_FAILED"),
            (&["--role", "reade"], "NOT_FOUND"),
            (&["--role", "reade", "--dry-run"], "NOT_FOUND"),
        ] {
            assert_eq!(run(more)["error"]["code"], code, "{more:?}");
        }
        let usage = house.command(
            &[
                "grant", &keys[0], "--model", "customer", "--where", "a=b", "--role", "reader",
            ],
            "",
        );
        assert_eq!(usage.code, Some(2), "{usage:?}");
        let revoked = house.told(&[&["revoke"][..], &select, &["--role", "reader"]].concat());
        assert_eq!((revoked, held(roles)), (json!({"accounts": 2}), "0".to_owned()));
        // No text of a condition is SQL.
        let told = house.told(&[
            "grant",
            "--model",
            "customer",
            "--where",
            "country=x' OR '1'='1",
            "--role",
            "reader",
            "--guard",
            "customer",
        ]);
        assert_eq!(told["error"]["code"], "NOT_FOUND");
    }
}
