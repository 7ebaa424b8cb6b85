use super::{load_with, loaded, refused};
use crate::config::Loaded;

use crate::config::not_built;
use crate::config::schema::{Key, Kind};
use crate::config::sections::Config;

fn is_key(keys: &[Key], segments: &[&str]) -> bool {
    let Some((name, rest)) = segments.split_first() else {
        return true;
    };
    keys.iter().any(|key| key.name == *name && is_below(&key.kind, rest))
}

fn is_below(kind: &Kind, segments: &[&str]) -> bool {
    match (kind, segments) {
        (_, []) => true,
        (Kind::Map { of, .. }, [_, rest @ ..]) | (Kind::List { of, .. }, ["*", rest @ ..]) => is_below(of, rest),
        (Kind::Array(keys), ["*", rest @ ..]) => is_key(keys, rest),
        (Kind::Table(keys) | Kind::Either { table: keys, .. }, segments) => is_key(keys, segments),
        _ => false,
    }
}

#[track_caller]
fn loaded_whole(text: &str, variables: &[(&str, &str)]) -> Loaded {
    load_with(text, variables).unwrap()
}

#[test]
fn every_row_names_a_key() {
    for (key, _) in not_built::rows() {
        let segments: Vec<&str> = key.split('.').collect();
        assert!(is_key(Config::KEYS, &segments), "{key}");
    }
}

#[test]
fn what_is_not_built_is_refused_where_it_is_asked_for() {
    for (text, place) in [
        (
            "[guards.customer]
carry_session_data = true
",
            "guards.customer.carry_session_data: needs data that goes from session to session",
        ),
        ("[otel]\nenabled = true\n", "bekci.toml:1:2: otel: needs OpenTelemetry"),
        (
            "[idp.google]\nclient_ids = ['c']\nclient_secret = '0123456789abcdef'\n",
            "bekci.toml:3:17: idp.google.client_secret: needs sign-in by redirect",
        ),
        (
            "[guards.customer]\nregister = 'invite'\n[models.customer]\nidentifiers = ['username']\n",
            "guards.customer.register: needs an e-mail address among the identifiers",
        ),
        (
            "[guards.customer]\nverification = 'custom'\n",
            "bekci.toml:2:16: guards.customer.verification: needs an application that checks its own code and confirms the sign-in (`confirm_verified`), which the gateway alone does not have",
        ),
        (
            "[[routes]]\nid = 'a'\npaths = ['/']\nguards = ['customer']\nkind = 'unverified'\n",
            "bekci.toml:5:8: routes.a.kind: needs a guard with verification = \"email\"",
        ),
        (
            "[[routes]]\nid = 'a'\npaths = ['/']\nguards = ['customer']\nkind = 'unverified'\nroles = ['buyer']\n[guards.customer]\nverification = 'email'\n",
            "bekci.toml:6:9: routes.a.roles: requires rights, which a temporary identity does not have",
        ),
        (
            "[guards.customer]\nverification = 'email'\n[models.customer]\nidentifiers = ['username']\n",
            "guards.customer.verification: needs an e-mail address among the identifiers",
        ),
    ] {
        let problems = refused(text);
        assert!(problems.iter().any(|problem| problem.contains(place)), "{problems:#?}");
    }
}

#[test]
fn a_way_to_sign_in_that_is_not_built_is_refused_in_its_list() {
    let text = "[guards.customer]\nsign_in = ['password', 'apple']\n[secrets]\njwt = '5b8e7f1b933200daa564887ab1189fd20ff788c6bcc0c3f5cd6fb89e935f42dd3a369aa449f02df9'\n";
    let problems = refused(text);
    let place = "bekci.toml:2:24: guards.customer.sign_in[1]: needs that way to sign in";
    assert!(
        problems.iter().any(|problem| problem.starts_with(place)),
        "{problems:#?}"
    );
}

#[test]
fn an_identity_provider_is_reached_by_tls_and_has_a_name_of_its_own() {
    let provider = |name: &str, issuer: &str| {
        format!(
            "[guards.customer]\nsign_in = ['password', '{name}']\n[idp.{name}]\nissuer = '{issuer}'\nclient_ids = ['c']\n"
        )
    };
    loaded("[guards.customer]\nsign_in = ['google']\n[idp.google]\nclient_ids = ['web', 'android']\n");
    loaded(&provider("acme", "https://id.acme.test"));
    loaded(&provider("acme", "http://127.0.0.1:8080"));
    for (text, place) in [
        (
            provider("acme", "http://id.acme.test"),
            "idp.acme.issuer: is reached without TLS",
        ),
        (
            provider("token", "https://id.acme.test"),
            "idp.token: has the name of one of the guards' own calls",
        ),
        (
            "[guards.customer]\nsign_in = ['google']\n".to_owned(),
            "names google, and there is no section [idp.google]",
        ),
        ("[idp.acme]\nclient_ids = ['c']\n".to_owned(), "idp.acme.issuer"),
        ("[idp.google]\nclient_ids = []\n".to_owned(), "idp.google.client_ids"),
    ] {
        let problems = refused(&text);
        assert!(problems.iter().any(|problem| problem.contains(place)), "{problems:#?}");
    }
}

#[test]
fn a_guard_where_a_mail_is_all_that_it_takes_is_warned_of() {
    let warnings = |ways: &str| loaded_whole(&format!("[guards.customer]\nsign_in = [{ways}]\n"), &[]).warnings;
    for ways in ["'email_otp'", "'email_link'", "'email_otp', 'email_link'"] {
        let told = warnings(ways).concat();
        assert!(
            told.starts_with("guards.customer.sign_in: a mail is all that it takes"),
            "{told}"
        );
        assert!(told.contains("NIST SP 800-63B-4"), "{told}");
    }
    assert_eq!(warnings("'password', 'email_otp'"), [""; 0]);
}

#[test]
fn a_link_alone_needs_cookies_or_a_page() {
    let text = "[guards.customer]\nsign_in = ['email_link']\nsources = ['header']\n";
    let problems = refused(text).concat();
    assert!(
        problems.contains("guards.customer.sign_in: names email_link alone"),
        "{problems}"
    );
    loaded(&format!("{text}redirect_uris = ['https://app.example.com/in']\n"));
}

#[test]
fn a_variable_that_asks_for_it_is_refused_by_its_name() {
    let problems = load_with("", &[("BEKCI__GUARDS__CUSTOMER__VERIFICATION", "custom")]).unwrap_err();
    assert!(
        problems[0]
            .starts_with("BEKCI__GUARDS__CUSTOMER__VERIFICATION: guards.customer.verification: needs an application"),
        "{problems:#?}"
    );
}

#[test]
fn a_default_asks_for_nothing_and_switching_off_neither() {
    loaded("");
    loaded(
        "[guards.customer]\nsecurity_cookie_rotate_seconds = 0\nregister = 'closed'\nunique_session = true\nverification = 'off'\n",
    );
}

#[test]
fn what_config_show_prints_is_accepted() {
    for text in ["", include_str!("../../../../../config/bekci.toml")] {
        let shown = loaded_whole(text, &[]).show();
        let again = loaded_whole(&shown, &[]);
        assert!(again.changes_in(&loaded_whole(text, &[])).is_empty(), "{shown}");
    }
}

#[test]
fn a_masked_secret_is_refused_as_such() {
    let shown = loaded_whole(
        "[secrets]\njwt = '5b8e7f1b933200daa564887ab1189fd20ff788c6bcc0c3f5cd6fb89e935f42dd3a369aa449f02df9'\n",
        &[],
    )
    .show();
    let problems = load_with(&shown, &[]).unwrap_err();
    assert!(
        problems
            .concat()
            .contains("secrets.jwt: is masked, as `bekci config show` prints it"),
        "{problems:?}"
    );
}

#[test]
fn numbers_and_flags_may_come_from_a_variable() {
    let text = "[server]\nworkers = { env = 'W' }\n[redis]\nenabled = { env = 'R' }\n";
    let config = loaded_whole(text, &[("W", "3"), ("R", "true")]).config;
    assert_eq!((config.server.workers, config.redis.enabled), (3, true));
    let problems = load_with(text, &[("W", "three"), ("R", "true")]).unwrap_err().concat();
    assert_eq!(
        problems,
        "bekci.toml:2:11: server.workers: must be a whole number, not a text"
    );
    let problems = load_with(text, &[("W", "3")]).unwrap_err().concat();
    assert!(
        problems.contains("redis.enabled: the environment variable R is not set"),
        "{problems}"
    );
}

#[test]
fn a_variable_with_one_underscore_is_named_as_a_probable_mistake() {
    let warnings = |name: &str| loaded_whole("", &[(name, "x")]).warnings;
    let told = warnings("BEKCI_SERVER_LISTEN");
    assert_eq!(
        told,
        ["BEKCI_SERVER_LISTEN is not read; BEKCI__SERVER__LISTEN is probably meant"]
    );
    assert_eq!(warnings("BEKCI_DATABASE__URL").len(), 1);
    for other in ["BEKCI_TEST_LONG", "BEKCI", "BEKCI_CONFIG", "BEKCIX_SERVER_LISTEN"] {
        assert_eq!(warnings(other), [""; 0], "{other}");
    }
}

/// Code of the gateway that acts on the configuration: all but the configuration itself and tests.
fn acting_code(folder: &std::path::Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !["config", "tests"].contains(&name.as_str()) {
            acting_code(&path, text);
        } else if path.is_file() && name != "tests.rs" {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

fn keys_below<'a>(keys: &'a [Key], path: &str, found: &mut Vec<(String, &'a str)>) {
    for key in keys {
        let path = if path.is_empty() {
            key.name.to_owned()
        } else {
            format!("{path}.{}", key.name)
        };
        found.push((path.clone(), key.name));
        keys_of_kind(&key.kind, &path, found);
    }
}

fn keys_of_kind<'a>(kind: &'a Kind, path: &str, found: &mut Vec<(String, &'a str)>) {
    match kind {
        Kind::Table(keys) | Kind::Either { table: keys, .. } => keys_below(keys, path, found),
        Kind::Array(keys) => keys_below(keys, &format!("{path}.*"), found),
        Kind::Map { of, .. } | Kind::List { of, .. } => keys_of_kind(of, &format!("{path}.*"), found),
        _ => {}
    }
}

/// A key whose name no code knows does nothing, so that it has to be refused.
#[test]
fn a_key_that_nothing_acts_on_is_refused() {
    let mut code = String::new();
    acting_code(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
    let words: std::collections::BTreeSet<&str> = code
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .collect();
    let mut keys = Vec::new();
    keys_below(Config::KEYS, "", &mut keys);
    assert!(keys.len() > 100);
    let idle: Vec<&String> = keys
        .iter()
        .filter(|(path, name)| {
            let is_refused = not_built::rows().any(|(row, _)| {
                let row = row.trim_end_matches(".*");
                path == row || path.starts_with(&format!("{row}."))
            });
            // Read within the configuration, which gives it to the upstream and to hashing.
            let is_read_there = ["routes.*.upstream.timeout_ms"].contains(&path.as_str());
            !is_refused && !is_read_there && !words.contains(name)
        })
        .map(|(path, _)| path)
        .collect();
    assert!(idle.is_empty(), "{idle:?}");
}
