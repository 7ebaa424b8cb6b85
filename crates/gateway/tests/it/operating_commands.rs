//! Policies, sessions, tokens and cached identities by commands, with two nodes serving beside.

use bekci_test_support::{TempDir, unique};
use serde_json::{Value, json};

use crate::{
    house::{House, Kind, on_every_store},
    http::get,
    people::Tokens,
};

on_every_store!(
    a_policy_line_holds_on_every_node_when_the_command_returns,
    a_role_that_is_renamed_stays_denied_and_is_not_deleted_under_its_lines,
    a_slash_at_the_end_and_a_raw_bracket_get_past_no_line,
    sessions_ended_by_command_are_let_in_by_no_node,
    an_issued_token_is_let_in_and_inspected_as_what_it_is,
    a_cached_identity_is_told_beside_the_databases,
);

fn on_all_nodes(house: &House, path: &str, token: &str, verdict: &str) {
    for node in &house.nodes {
        assert_eq!(get(path).bearer(token).to(node.address).verdict(), verdict, "{path}");
    }
}

fn inspect(house: &House, token: &str, more: &[&str]) -> (Option<i32>, Value) {
    let ran = house.command(&[&["token", "inspect", "--output", "json"][..], more].concat(), token);
    let told = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    (ran.code, told)
}

fn a_policy_line_holds_on_every_node_when_the_command_returns(house: &House) {
    let person = house.customer();
    let token = person.sign_in(house.address()).access;
    let path = format!("/api/{}", unique("returns"));
    on_all_nodes(house, &path, &token, "403 POLICY_DENIED");
    let line = format!("p, principal:{}, *, {path}, GET, allow", person.key());
    house.told(&["policy", "add", &line]);
    on_all_nodes(house, &path, &token, "200");
    let listed = house.told(&["policy", "list"]);
    assert!(
        listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|item| item["line"] == line),
        "{listed}"
    );
    assert_eq!(house.told(&["policy", "remove", &line])["removed"], 1);
    on_all_nodes(house, &path, &token, "403 POLICY_DENIED");
    assert_eq!(house.told(&["policy", "remove", &line])["error"]["code"], "NOT_FOUND");
    assert!(house.told(&["policy", "check"])["rules"].as_u64().unwrap() >= 5);
}

fn a_role_that_is_renamed_stays_denied_and_is_not_deleted_under_its_lines(house: &House) {
    let person = house.customer();
    let token = person.sign_in(house.address()).access;
    let (path, held, renamed) = (format!("/api/{}", unique("held")), unique("hold"), unique("held"));
    let allowed = format!("p, principal:{}, *, {path}, GET, allow", person.key());
    let denied = |role: &str| format!("p, role:customer:{role}, *, {path}, GET, deny");
    house.told(&["role", "add", &held, "--guard", "customer"]);
    house.told(&["grant", &person.key(), "--role", &held]);
    house.told(&["policy", "add", &allowed, &denied(&held)]);
    on_all_nodes(house, &path, &token, "403 POLICY_DENIED");
    house.told(&["role", "rename", &held, &renamed, "--guard", "customer"]);
    on_all_nodes(house, &path, &token, "403 POLICY_DENIED");
    let removed = house.told(&["role", "remove", &renamed, "--guard", "customer", "--yes"]);
    assert_eq!(removed["error"]["code"], "CONFLICT", "{removed}");
    let said = removed["error"]["message"].as_str().unwrap();
    assert!(said.contains(&denied(&renamed)), "{said}");
    // A role of the old name is another role: it has no line.
    house.told(&["role", "add", &held, "--guard", "customer"]);
    house.told(&["revoke", &person.key(), "--role", &renamed]);
    house.told(&["grant", &person.key(), "--role", &held]);
    on_all_nodes(house, &path, &token, "200");
    house.told(&["policy", "remove", &allowed, &denied(&renamed)]);
    house.told(&["role", "remove", &renamed, "--guard", "customer", "--yes"]);
}

fn a_slash_at_the_end_and_a_raw_bracket_get_past_no_line(house: &House) {
    let person = house.customer();
    let token = person.sign_in(house.address()).access;
    let base = format!("/api/{}", unique("slug"));
    let allowed = format!("p, principal:{}, *, {base}/**, GET, allow", person.key());
    let denied = format!("p, principal:{}, *, {base}/%5Bslug%5D, GET, deny", person.key());
    house.told(&["policy", "add", &allowed, &denied]);
    for (path, verdict) in [
        ("/[slug]", "403 POLICY_DENIED"),
        ("/%5bslug%5D", "403 POLICY_DENIED"),
        ("/[slug]/", "403 POLICY_DENIED"),
        ("/[slug]/page.js", "200"),
        ("/a|b^c", "200"),
        ("/", "200"),
        ("", "200"),
    ] {
        on_all_nodes(house, &format!("{base}{path}"), &token, verdict);
    }
    house.told(&["policy", "remove", &allowed, &denied]);
}

fn sessions_ended_by_command_are_let_in_by_no_node(house: &House) {
    let person = house.customer();
    let [first, second, third]: [Tokens; 3] = std::array::from_fn(|_| person.sign_in(house.address()));
    let listed = house.told(&["session", "list", &person.key()]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 3, "{listed}");
    let ended = house.told(&["session", "revoke", &person.key(), "--session", &first.session]);
    assert_eq!(ended["endedSessions"], json!([first.session]));
    on_all_nodes(house, "/me/x", &first.access, "401 TOKEN_INVALID");
    on_all_nodes(house, "/me/x", &second.access, "200");
    let ended = house.told(&["session", "revoke", &person.key(), "--all"]);
    assert_eq!(ended["endedSessions"].as_array().unwrap().len(), 2);
    on_all_nodes(house, "/me/x", &second.access, "401 TOKEN_INVALID");
    on_all_nodes(house, "/me/x", &third.access, "401 TOKEN_INVALID");
    let (code, told) = inspect(house, &third.access, &[]);
    assert_eq!(
        (code, &told["accepted"], &told["refusedNow"]["code"]),
        (Some(1), &json!(false), &json!("TOKEN_INVALID"))
    );
    let other = house.customer();
    let refused = house.told(&["session", "revoke", &other.key(), "--session", &first.session]);
    assert_eq!(refused["error"]["code"], "NOT_FOUND", "a session of somebody else");
}

fn an_issued_token_is_let_in_and_inspected_as_what_it_is(house: &House) {
    let person = house.customer();
    let issued = house.command(&["token", "issue", &person.key()], "").success();
    let token = issued.out.trim();
    on_all_nodes(house, "/me/x", token, "200");
    on_all_nodes(house, "/office/x", token, "401 GUARD_MISMATCH");
    let (code, told) = inspect(house, &format!("{token}\n"), &[]);
    assert_eq!(
        (code, &told["accepted"], &told["claims"]["sub"]),
        (Some(0), &json!(true), &json!(person.key()))
    );
    assert!(!issued.err.contains(token), "the audit event holds no token");

    let folder = TempDir::new("keys");
    let jwks = folder.path().join("jwks.json");
    std::fs::write(&jwks, get("/.well-known/jwks.json").to(house.address()).body).unwrap();
    let by_keys = ["--jwks", jwks.to_str().unwrap()];
    assert_eq!(inspect(house, token, &by_keys).0, Some(0));
    let (code, told) = inspect(house, &format!("{}AAAA", &token[..token.len() - 4]), &by_keys);
    assert_eq!((code, &told["accepted"]), (Some(1), &json!(false)));

    house.told(&["principal", "ban", &person.key()]);
    assert_eq!(
        house.told(&["token", "issue", &person.key()])["error"]["code"],
        "ACCOUNT_BANNED"
    );
    let (_, told) = inspect(house, token, &[]);
    assert_eq!(told["refusedNow"]["code"], "ACCOUNT_BANNED");
}

fn a_cached_identity_is_told_beside_the_databases(house: &House) {
    let person = house.customer();
    let tokens = person.sign_in(house.address());
    on_all_nodes(house, "/direct/x", &tokens.access, "200");
    // The account was made behind the nodes' backs: its version moves once more when one of them has seen all of that.
    let unseen = format!(
        "SELECT count(*) FROM identity_outbox WHERE position IS NULL AND \"key\" = '{}'",
        person.key()
    );
    let seen = (0..3_000).any(|_| {
        let seen = house.sql(&unseen) == "0";
        if !seen {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        seen
    });
    assert!(seen, "no node numbers what was written from outside");
    let expected = if house.redis.is_some() { "agrees" } else { "none" };
    let refresh = || house.told(&["cache", "refresh", &person.key()]);
    let mut refreshed = refresh();
    // What is loaded beside a commit has 50 ms for it, which is not enough on a machine that is busy.
    for _ in 0..20 {
        if refreshed["state"] == expected {
            break;
        }
        refreshed = refresh();
    }
    assert_eq!(refreshed["state"], expected, "{refreshed}");
    assert_eq!(refreshed["database"]["attributes"]["email"], json!(person.email));
    let stats = house.told(&["cache", "stats", &person.key()]);
    if house.redis.is_some() {
        assert_eq!(stats["entryVersion"], stats["databaseVersion"], "{stats}");
        assert!(stats["entryTtlSeconds"].as_i64().unwrap() > 0 && stats["entryBytes"].as_i64().unwrap() > 100);
        // Past the triggers nobody learns of a change: the command does.
        house.sql(&format!(
            "UPDATE identity_versions SET version = version + 1 WHERE key = '{}'",
            person.key()
        ));
        assert_eq!(house.told(&["cache", "show", &person.key()])["state"], "outdated");
    }
    on_all_nodes(house, "/me/x", &tokens.access, "200");
}

#[test]
fn expected_decisions_are_tested_against_the_database_or_a_file() {
    let house = House::shared(Kind::Sqlite);
    let folder = TempDir::new("decisions");
    let file = folder.path().join("decisions.toml");
    let case = |method: &str, expect: &str| {
        format!(
            "[[case]]\nsubject = \"customer:1\"\nguard = \"customer\"\nroles = [\"buyer\"]\nmethod = \"{method}\"\npath = \"/api/orders/1\"\nexpect = \"{expect}\"\n"
        )
    };
    let decisions = file.to_str().unwrap();
    std::fs::write(&file, [case("GET", "allow"), case("DELETE", "deny")].concat()).unwrap();
    let told = house.told(&["policy", "test", decisions]);
    assert_eq!((&told["decisions"], &told["mismatches"]), (&json!(2), &json!([])));

    std::fs::write(&file, [case("GET", "allow"), case("DELETE", "allow")].concat()).unwrap();
    let ran = house.command(&["policy", "test", decisions], "");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.out.contains(":8: customer:1") && ran.out.contains("1 of 2 decisions"),
        "{ran:?}"
    );

    let lines = folder.path().join("policy.csv");
    std::fs::write(&lines, "p, role:customer:buyer, *, /api/**, *, allow\n").unwrap();
    let told = house.told(&["policy", "test", decisions, "--file", lines.to_str().unwrap()]);
    assert_eq!(told["mismatches"], json!([]));
}

#[test]
fn what_is_no_line_no_session_and_no_token_is_refused() {
    let house = House::shared(Kind::Sqlite);
    let nobody = "0123456789abcdef0123456789abcdef";
    for (arguments, code, said) in [
        (
            &["policy", "add", "p, role:customer:buyer, *, /x, (, allow"][..],
            1,
            "VALIDATION_FAILED",
        ),
        (&["policy", "add", "q"], 1, "VALIDATION_FAILED"),
        (&["policy", "add"], 2, "LINES"),
        (&["policy", "test", "nowhere.toml"], 1, "nowhere.toml"),
        (&["policy", "check", "--file", "nowhere.csv"], 1, "nowhere.csv"),
        (&["session", "revoke", "customer:1"], 2, "--all"),
        (
            &["session", "revoke", "customer:1", "--session", "x"],
            2,
            "32 lower-case hex",
        ),
        (
            &["session", "revoke", "customer:1", "--session", nobody],
            1,
            "NOT_FOUND",
        ),
        (&["session", "list", "customer:999999999"], 1, "NOT_FOUND"),
        (&["token", "issue", "customer:999999999"], 1, "NOT_FOUND"),
        (&["token", "inspect", "--jwks", "nowhere.json"], 1, "nowhere.json"),
        (&["cache", "show", "customer:01"], 1, "VALIDATION_FAILED"),
        (&["cache", "show"], 2, "<KEY>"),
    ] {
        let ran = house.command(arguments, "");
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
    }
    let (code, told) = inspect(house, "no token", &[]);
    assert_eq!((code, &told["accepted"]), (Some(1), &json!(false)));
}

#[test]
fn drift_fails_the_command_that_looks_for_it_and_names_the_account() {
    let house = House::new(Kind::SqliteRedis, 1);
    let person = house.customer();
    let tokens = person.sign_in(house.address());
    on_all_nodes(&house, "/direct/x", &tokens.access, "200");
    house.told(&["cache", "refresh", &person.key()]);
    on_all_nodes(&house, "/direct/x", &tokens.access, "200");
    let sound = house.command(&["cache", "drift", "--output", "json"], "");
    let told: Value = serde_json::from_str(&sound.out).unwrap_or_else(|_| panic!("{sound:?}"));
    assert_eq!((sound.code, &told["drifting"]), (Some(0), &json!([])), "{told}");
    assert!(told["compared"].as_u64().unwrap() > 0, "{told}");

    // What the trigger wrote goes with the change: nobody hears of it.
    house.sql(&format!(
        "BEGIN IMMEDIATE; INSERT INTO bekci_principal_permissions (model, id, guard, tenant, permission, denied) \
         VALUES ('customer', '{}', 'customer', '', 'orders.drift', false); DELETE FROM identity_outbox WHERE position IS NULL; COMMIT",
        person.id
    ));
    let found = house.command(&["cache", "drift", "--output", "json"], "");
    let told: Value = serde_json::from_str(&found.out).unwrap_or_else(|_| panic!("{found:?}"));
    assert_eq!(
        (found.code, &told["drifting"]),
        (Some(1), &json!([person.key()])),
        "{told}"
    );
    let text = house.command(&["cache", "drift"], "");
    assert_eq!(text.code, Some(1));
    assert!(
        format!("{}{}", text.out, text.err).contains(&format!("DRIFT {}", person.key())),
        "{text:?}"
    );
    let metrics = get("/metrics").to(house.nodes[0].ops);
    assert!(
        String::from_utf8(metrics.body)
            .unwrap()
            .contains("\nbekci_cache_drift_total ")
    );
}
