//! `bekci doctor`: it finds what is wrong, says what to do, and changes nothing.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path};

use bekci_test_support::{TempDir, free_port};
use serde_json::{Value, json};

use crate::{
    house::{House, Kind, PASSWORD, Ran, on_every_store, run, run_in},
    http::{get, post},
    people::in_the_end,
    tls::authority::Authority,
};

on_every_store!(a_house_that_is_well_has_nothing_wrong_but_the_server_that_is_not_there);

/// The findings of one check, as (state, found and advice).
fn of(told: &Value, check: &str) -> Vec<(String, String)> {
    let checks = told["checks"].as_array().unwrap().iter();
    let of_it = checks.filter(|finding| finding["check"] == check);
    of_it
        .map(|finding| {
            let said = format!("{} {}", finding["found"], finding["advice"]);
            (finding["state"].as_str().unwrap().to_owned(), said)
        })
        .collect()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
}

/// That a check failed, and says this.
fn fails(ran: &Ran, check: &str, said: &str) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let found = of(&json(ran), check);
    assert!(
        found
            .iter()
            .any(|(state, text)| state == "failed" && text.contains(said)),
        "{check} {said}: {found:?} of {ran:?}"
    );
}

const DOCTOR: [&str; 3] = ["doctor", "--output", "json"];

fn a_house_that_is_well_has_nothing_wrong_but_the_server_that_is_not_there(house: &House) {
    let ran = house.command(&DOCTOR, "");
    fails(&ran, "upstream", "refused");
    let told = json(&ran);
    for check in [
        "configuration",
        "root secret",
        "keys",
        "database",
        "tables",
        "schema",
        "clock",
        "redis",
        "policy",
        "accounts",
    ] {
        let found = of(&told, check);
        assert!(
            !found.is_empty() && found.iter().all(|(state, _)| state == "ok"),
            "{check}: {found:?}"
        );
    }
    let redis = &of(&told, "redis")[0].1;
    assert_eq!(
        redis.contains("does all that it is used for"),
        house.redis.is_some(),
        "{redis}"
    );
    assert_eq!(
        of(&told, "upstream").iter().filter(|(state, _)| state == "ok").count(),
        1,
        "one server, many routes"
    );
    let text = house.command(&["doctor"], "").out;
    assert!(
        text.contains("FAILED   upstream") && text.contains("-> start it") && text.contains("1 thing is wrong"),
        "{text}"
    );
}

#[test]
fn a_secret_that_others_can_read_is_found_with_the_command_that_closes_it() {
    let house = House::new(Kind::Sqlite, 0);
    let (root, key) = (house.root_file(), house.key_file("admin"));
    for (file, check) in [(root, "root secret"), (key, "keys")] {
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        fails(
            &house.command(&DOCTOR, ""),
            check,
            &format!("chmod 600 {}", file.display()),
        );
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let told = json(&house.command(&DOCTOR, ""));
        assert!(of(&told, check).iter().all(|(state, _)| state == "ok"), "{told}");
    }
}

#[test]
fn a_certificate_that_cannot_be_shown_or_whose_key_everybody_can_read_is_found() {
    let house = House::new(Kind::Sqlite, 0);
    let authority = Authority::new();
    let (certificate, key) = authority.write("one", &authority.issue("localhost"));
    let (_, other) = authority.write("other", &authority.issue("localhost"));
    let doctor = |key: &Path| {
        let files = format!(
            "tls = {{ cert = \"{}\", key = \"{}\" }}",
            certificate.display(),
            key.display()
        );
        house.command_with("[server]\n", &format!("[server]\n{files}\n"), &DOCTOR)
    };
    fails(&doctor(&other), "tls", "cannot be served with");
    fails(&doctor(&certificate), "tls", "holds no private key in PEM");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    fails(&doctor(&key), "tls", &format!("chmod o= {}", key.display()));
    std::fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let told = json(&doctor(&key));
    assert_eq!(of(&told, "tls")[0].0, "ok", "{told}");
}

#[test]
fn accounts_that_share_an_identifier_and_a_column_too_short_for_a_new_hash_are_found() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        let house = House::new(kind, 0);
        for email in ["jos\u{e9}@example.com", "jose\u{301}@example.com"] {
            house.sql(&format!(
                "INSERT INTO customers (email, status) VALUES ('{email}', 'active')"
            ));
        }
        let ran = house.command(&DOCTOR, "");
        fails(&ran, "identifiers", "share an identifier: customer:");
        fails(&ran, "identifiers", "models.<name>.filter");
        assert!(of(&json(&ran), "password column").is_empty(), "{ran:?}");
    }
    for (kind, alter) in [
        (Kind::Postgres, "ALTER COLUMN password_hash TYPE"),
        (Kind::MariaDb, "MODIFY password_hash"),
    ] {
        let house = House::new(kind, 0);
        house.sql("UPDATE customers SET password_hash = NULL");
        house.sql(&format!("ALTER TABLE customers {alter} varchar(60)"));
        let ran = house.command(&DOCTOR, "");
        fails(&ran, "password column", "holds 60 characters and a new hash has 96");
        fails(&ran, "password column", "varchar(255)");
        let argon2 = "password_hash = { memory_kib = 7168, iterations = 1, lanes = 1 }";
        let ran = house.command_with(argon2, "password_hash = { bcrypt = 12 }", &DOCTOR);
        assert!(of(&json(&ran), "password column").is_empty(), "{ran:?}");
    }
}

#[test]
fn a_trigger_that_somebody_dropped_is_found() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        let house = House::new(kind, 0);
        if kind == Kind::Sqlite {
            let name =
                house.sql("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'bekci_bans' LIMIT 1");
            house.sql(&format!("DROP TRIGGER \"{name}\""));
        } else if kind == Kind::MariaDb {
            house.sql("DROP TRIGGER bekci_watch_bans_update");
        } else {
            let name = house.sql(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = 'bekci_bans'::regclass AND NOT tgisinternal LIMIT 1",
            );
            house.sql(&format!("DROP TRIGGER \"{name}\" ON bekci_bans"));
        }
        let ran = house.command(&DOCTOR, "");
        fails(&ran, "schema", "bekci_bans");
        fails(&ran, "schema", "bekci migrate up");
        assert_eq!(of(&json(&ran), "policy")[0].0, "skipped");
    }
}

#[test]
fn a_column_of_a_type_that_cannot_be_used_is_found_and_one_of_the_applications_own_is_written() {
    let house = House::new(Kind::Postgres, 0);
    let column = |kind: &str| {
        house.sql("ALTER TABLE customers DROP COLUMN email_verified_at");
        house.sql(&format!("ALTER TABLE customers ADD COLUMN email_verified_at {kind}"));
    };
    let add = |email: &str| {
        let add = [
            "principal",
            "add",
            "--model",
            "customer",
            "--email",
            email,
            "--password-stdin",
        ];
        house.command(&add, "seven wooden boats at noon")
    };
    column("boolean");
    let said = "table customers, column email_verified_at (verified_column of model customer): is boolean; taken is timestamptz";
    fails(&house.command(&DOCTOR, ""), "tables", said);
    let refused = add("a@own.test");
    assert!(refused.code == Some(1) && refused.err.contains(said), "{refused:?}");
    for (at, kind) in ["timestamptz", "timestamp", "bigint"].iter().enumerate() {
        column(kind);
        let email = format!("b{at}@own.test");
        add(&email).success();
        let set = house.sql(&format!(
            "SELECT email_verified_at IS NOT NULL FROM customers WHERE email = '{email}'"
        ));
        assert_eq!(set, "t", "{kind}");
        let told = json(&house.command(&DOCTOR, ""));
        assert_eq!(of(&told, "tables")[0].0, "ok", "{told}");
    }
}

#[test]
fn servers_that_do_not_answer_are_found_and_passwords_stay_untold() {
    let house = House::new(Kind::PostgresRedis, 0);
    let url = house.redis.as_ref().unwrap().url();
    let nowhere = format!("redis://:pa55word@127.0.0.1:{}", free_port());
    let ran = house.command_with(&format!("url = \"{url}\""), &format!("url = \"{nowhere}\""), &DOCTOR);
    fails(&ran, "redis", "redis.url");
    assert!(
        !ran.out.contains("pa55word") && !ran.err.contains("pa55word"),
        "{ran:?}"
    );

    let nowhere = format!(
        "url = \"postgres://bekci:pa55word@127.0.0.1:{}/x\"\nmax_connections = 8",
        free_port()
    );
    let old = format!("url = \"{}\"\nmax_connections = 8", house.database());
    let ran = house.command_with(&old, &nowhere, &DOCTOR);
    fails(&ran, "database", "database.url");
    assert!(
        !ran.out.contains("pa55word") && !ran.err.contains("pa55word"),
        "{ran:?}"
    );
    assert_eq!(of(&json(&ran), "schema")[0].0, "skipped");
}

#[test]
fn a_policy_that_raw_sql_broke_is_found() {
    let house = House::new(Kind::Sqlite, 0);
    house.command(&["principal", "list", "--model", "admin"], "").success();
    house.sql(
        "INSERT INTO bekci_policies (kind, v0, v1, v2, v3, v4, v5) VALUES ('p', 'role:customer:buyer', '*', '/x', '(', 'allow', '')",
    );
    fails(&house.command(&DOCTOR, ""), "start", "the policy would not load");
}

#[test]
fn where_there_is_nothing_yet_nothing_is_made() {
    let folder = TempDir::new("empty");
    let ran = run_in(folder.path(), &DOCTOR, "");
    fails(&ran, "database", "bekci migrate up");
    let told = json(&ran);
    assert_eq!(of(&told, "root secret")[0].0, "warning", "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let config = folder.path().join("bekci.toml");
    std::fs::write(&config, "[server]\nlisten = \"nowhere\"\n").unwrap();
    fails(&run(&config, &DOCTOR, ""), "configuration", "bekci.toml:2:");
}

#[test]
fn accounts_that_no_status_list_lets_in_are_counted_with_the_command_that_lets_them_in() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        let house = House::new(kind, 0);
        house.sql("INSERT INTO customers (email, status) VALUES ('p1@x.test', 'pending'), ('p2@x.test', 'pending'), ('d@x.test', 'deleted')");
        let ran = house.command(&DOCTOR, "");
        let (state, said) = &of(&json(&ran), "tables")[0];
        assert_eq!(state, "warning", "{ran:?}");
        for word in [
            "model customer",
            "2 have \\\"pending",
            "1 have \\\"deleted",
            "active_statuses",
            "bekci principal unban",
        ] {
            assert!(said.contains(word), "{said} lacks {word}");
        }
    }
}

#[test]
fn a_configuration_that_the_start_refuses_changes_no_trigger() {
    let house = House::new(Kind::Postgres, 0);
    let triggers = || house.sql("SELECT string_agg(prosrc, '') FROM pg_proc WHERE proname = 'bekci_account_customer'");
    let before = triggers();
    let wrong = "[models.customer]\npassword_column = \"password\"\nid_kind = \"uuid\"\n";
    let with_wrong = |arguments: &[&str]| house.command_with("[models.customer]\n", wrong, arguments);
    let said = "column password (password_column of model customer): is not there";
    let refused = with_wrong(&["migrate", "up"]);
    assert!(refused.code == Some(1) && refused.err.contains(said), "{refused:?}");
    assert_eq!(triggers(), before);
    let ran = with_wrong(&DOCTOR);
    fails(&ran, "tables", said);
    fails(&ran, "tables", "column id (id_column of model customer): is bigint");
    assert_eq!(of(&json(&ran), "schema")[0].0, "skipped");
    let refused = with_wrong(&["serve"]);
    assert!(refused.code == Some(1) && refused.err.contains(said), "{refused:?}");
}

#[test]
fn an_empty_table_beside_the_one_that_is_meant_is_made_only_when_it_is_said() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
        let house = House::new(kind, 0);
        house.sql("CREATE TABLE orders (id integer)");
        let other = "[models.customer]\ntable = \"Clients\"\n[models.admin]\ntable = \"staff\"\n";
        let with_other = |arguments: &[&str]| house.command_with("[models.customer]\n", other, arguments);
        let refused = with_other(&["migrate", "up"]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        for word in [
            "no table Clients",
            "no table staff",
            "orders",
            "models.<name>.table",
            "--create-tables",
        ] {
            assert!(refused.err.contains(word), "{refused:?} lacks {word}");
        }
        fails(&with_other(&DOCTOR), "tables", "no table Clients");
        let refused = with_other(&["serve"]);
        assert!(
            refused.code == Some(1) && refused.err.contains("--create-tables"),
            "{refused:?}"
        );
        with_other(&["migrate", "up", "--create-tables"]).success();
        with_other(&["migrate", "up"]).success();
    }
    let house = House::new(Kind::Postgres, 0);
    house.sql("CREATE TABLE \"PARTNERS\" (id integer)");
    let partner = "[guards.partner]\n[models.partner]\n[models.customer]\n";
    let refused = house.command_with("[models.customer]\n", partner, &["migrate", "up"]);
    assert!(
        refused.err.contains("a table of a similar name: PARTNERS"),
        "{refused:?}"
    );
}

#[test]
fn policy_lines_of_a_role_that_is_missing_or_that_no_account_holds_are_counted() {
    let house = House::new(Kind::Sqlite, 0);
    let line = "p, role:customer:reeder, *, /api/books/**, GET, allow";
    house.command(&["policy", "add", line], "").success();
    let found = of(&json(&house.command(&DOCTOR, "")), "policy");
    let (state, said) = &found[0];
    assert!(
        state == "ok" && said.contains("no account holds: admin:support (2)"),
        "{found:?}"
    );
    let (state, said) = &found[1];
    assert_eq!(state, "warning", "{found:?}");
    for word in [
        "customer:reeder (1)",
        "bekci role add reeder --guard customer",
        "bekci policy remove",
    ] {
        assert!(said.contains(word), "{said} lacks {word}");
    }
}

/// What is written through a table that inherits, before it has triggers, is announced by nothing: the node says so and loads everything again meanwhile, until `migrate up`.
#[test]
fn a_table_that_inherits_is_named_until_it_has_triggers_and_then_all_of_it_counts() {
    let house = House::new(Kind::Postgres, 1);
    let ready = || get("/readyz").to(house.nodes[0].ops);
    let person = house.customer();
    house.sql("CREATE TABLE vips () INHERITS (customers)");
    house.sql(&format!(
        "INSERT INTO vips (id, email, name, password_hash, status) \
         SELECT 900001, 'vip@customer.test', name, password_hash, status FROM customers WHERE id = {}",
        person.id
    ));
    let body = json!({"email": "vip@customer.test", "password": PASSWORD});
    let signed_in = post("/auth/customer/login").json(&body).to(house.address());
    assert_eq!(signed_in.verdict(), "200");
    let token = signed_in.json()["data"]["accessToken"].as_str().unwrap().to_owned();
    let me = get("/me/x").bearer(&token);
    assert_eq!(me.to(house.address()).verdict(), "200");
    house.sql("UPDATE ONLY vips SET status = 'banned'");
    let answer = ready();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(
        answer.status == 503 && text.contains("missing triggers on: customers"),
        "{text}"
    );
    let doctor = house.command(&["doctor"], "");
    assert!(doctor.code == Some(1) && doctor.out.contains("customers"), "{doctor:?}");
    // Without triggers the node loads everything again and again.
    in_the_end(&me, house.address(), "403 ACCOUNT_BANNED");
    house.sql("UPDATE ONLY vips SET status = 'active'");
    in_the_end(&me, house.address(), "200");
    house.sql("UPDATE ONLY vips SET status = 'banned'");
    house.command(&["migrate", "up"], "").success();
    assert_eq!(ready().status, 200);
    in_the_end(&me, house.address(), "403 ACCOUNT_BANNED");
    house.sql("UPDATE ONLY vips SET status = 'active'");
    in_the_end(&me, house.address(), "200");
}
