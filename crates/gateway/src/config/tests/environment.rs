use std::time::Duration;

use super::{load_with, loaded};
use crate::config::{Config, load_text};

#[track_caller]
fn with(text: &str, variables: &[(&str, &str)]) -> Config {
    load_with(text, variables).unwrap().config
}

#[track_caller]
fn mistake(variable: (&str, &str)) -> String {
    let problems = load_with(
        "[[routes]]\nid = 'the-shop'\npaths = ['/**']\npublic = true\n",
        &[variable],
    )
    .unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.concat()
}

#[test]
fn a_variable_wins_over_the_file_and_is_read_by_the_type_of_its_key() {
    let text = "[server]\nworkers = 2\n[redis]\nenabled = false\n";
    let variables = [
        ("BEKCI__SERVER__WORKERS", "4"),
        ("BEKCI__SERVER__TRUSTED_PROXIES", "['10.0.0.0/8', \"127.0.0.1/32\"]"),
        ("BEKCI__REDIS__ENABLED", "true"),
        ("BEKCI__REDIS__PREFIX", "123"),
        ("BEKCI__LOG__FORMAT", "json"),
        ("PATH", "/bin"),
    ];
    let config = with(text, &variables);
    assert_eq!(config.server.workers, 4);
    assert!(config.server.trusts("10.1.2.3".parse().unwrap()));
    assert!(config.redis.enabled);
    assert_eq!(config.redis.prefix.as_str(), "123");
}

#[test]
fn overriding_one_built_in_guard_leaves_the_other() {
    let config = with("", &[("BEKCI__GUARDS__CUSTOMER__ACCESS_TTL_SECONDS", "60")]);
    let ttl = |name| config.guards[name].access_ttl_seconds.duration();
    assert_eq!(ttl("customer"), Duration::from_secs(60));
    assert_eq!(ttl("admin"), Duration::from_secs(900));
}

#[test]
fn a_guard_can_be_made_by_variables_alone() {
    let variables = [
        ("BEKCI__GUARDS__SHOP_CLERK__MODEL", "customer"),
        ("BEKCI__GUARDS__SHOP_CLERK__AUDIENCE", "till"),
    ];
    let config = with("", &variables);
    assert_eq!(config.guards.len(), 3);
    assert_eq!(config.guards["shop_clerk"].audience.as_str(), "till");
    assert_eq!(config.guards["shop_clerk"].auth_path.as_str(), "/auth/shop_clerk");
}

#[test]
fn a_route_is_named_by_its_id_with_underscores() {
    let text = "[[routes]]\nid = 'the-shop'\npaths = ['/**']\npublic = true\nupstream = 'http://a'\n";
    let config = with(text, &[("BEKCI__ROUTES__THE_SHOP__UPSTREAM", "http://b:9000")]);
    assert_eq!(
        config.routes[0].upstream.as_ref().unwrap().urls[0].as_str(),
        "http://b:9000"
    );
    let config = with(
        text,
        &[(
            "BEKCI__ROUTES__THE_SHOP__UPSTREAM",
            "{ urls = ['http://c'], timeout_ms = 5 }",
        )],
    );
    assert_eq!(
        config.routes[0].upstream.as_ref().unwrap().timeout,
        Duration::from_millis(5)
    );
    let config = with(text, &[("BEKCI__ROUTES__THE_SHOP__UPSTREAM__URLS", "['http://d']")]);
    assert_eq!(config.routes[0].upstream.as_ref().unwrap().urls[0].as_str(), "http://d");
}

#[test]
fn a_secret_can_be_a_text_a_file_or_another_variable() {
    let long = "5b8e7f1b933200daa564887ab1189fd20ff788c6bcc0c3f5cd6fb89e935f42dd3a369aa449f02df9";
    for variables in [
        vec![("BEKCI__SECRETS__JWT", long)],
        vec![("BEKCI__SECRETS__JWT__ENV", "JWT"), ("JWT", long)],
        vec![(
            "BEKCI__SECRETS__JWT__FILE",
            concat!(env!("CARGO_MANIFEST_DIR"), "/src/main.rs"),
        )],
    ] {
        // The third is a file of two lines, which is no secret: that it was opened shows in the message.
        match load_with("", &variables) {
            Ok(loaded) => assert!(loaded.config.secrets.jwt.is_some()),
            Err(problems) => {
                assert_eq!(problems.len(), 1);
                assert!(
                    problems[0].starts_with("BEKCI__SECRETS__JWT__FILE: secrets.jwt: has a line break"),
                    "{problems:?}"
                );
            }
        }
    }
}

#[test]
fn a_text_or_a_secret_can_be_a_table_as_in_the_file() {
    let long = "5b8e7f1b933200daa564887ab1189fd20ff788c6bcc0c3f5cd6fb89e935f42dd3a369aa449f02df9";
    let file = bekci_test_support::TempDir::new("environment");
    let path = file.path().join("root");
    std::fs::write(&path, "0123456789abcdef".repeat(4)).unwrap();
    let table = format!("{{ file = \"{}\" }}", path.display());
    let variables = [
        ("BEKCI__SECRETS__ROOT", table.as_str()),
        ("BEKCI__SECRETS__JWT", " { env = 'JWT' } "),
        ("BEKCI__REDIS__PREFIX", "{ env = 'PREFIX' }"),
        ("JWT", long),
        ("PREFIX", "shop:"),
    ];
    let config = with("", &variables);
    assert!(matches!(config.secrets.root(), crate::config::types::Root::Ready(_)) && config.secrets.jwt.is_some());
    assert_eq!(config.redis.prefix.as_str(), "shop:");
    // What is no table is the secret itself.
    let braced = "{5b8e7f1b933200daa564887ab1189fd20ff788c6bcc0c3f5cd6fb89e935f42dd3a369aa449f02df9}";
    assert!(with("", &[("BEKCI__SECRETS__JWT", braced)]).secrets.jwt.is_some());
    let problem = mistake(("BEKCI__SECRETS__JWT", "{ fil = '/x' }"));
    assert!(problem.starts_with("BEKCI__SECRETS__JWT: "), "{problem}");
}

#[test]
fn a_variable_that_names_no_key_is_told() {
    for (name, hint) in [
        ("BEKCI__SERVER__LISTN", "unknown key listn; did you mean listen?"),
        ("BEKCI__SEVER__LISTEN", "unknown key sever; did you mean server?"),
        ("BEKCI__SERVER__LISTEN__PORT", "a text has ENV only"),
        ("BEKCI__SERVER__WORKERS__X", "no key \"x\" there"),
        ("BEKCI__server__listen", "unknown key server"),
        ("BEKCI__", "unknown key"),
        (
            "BEKCI__ROUTES__NO_SHOP__UPSTREAM",
            "nothing in the file has the id \"no_shop\"",
        ),
        ("BEKCI__GUARDS__Customer__MODEL", "\"Customer\" is no name in capitals"),
    ] {
        let problem = mistake((name, "['x']"));
        assert!(
            problem.starts_with(&format!("{name}: ")) && problem.contains(hint),
            "{problem}"
        );
    }
}

#[test]
fn a_variable_with_a_bad_value_is_told_by_its_name_and_key() {
    for (name, value, message) in [
        (
            "BEKCI__SERVER__WORKERS",
            "many",
            "server.workers: must be a whole number, not a text",
        ),
        (
            "BEKCI__REDIS__ENABLED",
            "1",
            "redis.enabled: must be true or false, not a text",
        ),
        (
            "BEKCI__GUARDS__CUSTOMER__ACCESS_TTL_SECONDS",
            "7200",
            "guards.customer.access_ttl_seconds: 7200 is out of range",
        ),
        ("BEKCI__SERVER__TRUSTED_PROXIES", "10.0.0.0/8", "must be a TOML value"),
        ("BEKCI__SERVER__LISTEN", "\u{fffd}", "is not valid UTF-8"),
    ] {
        let problem = mistake((name, value));
        assert!(
            problem.starts_with(&format!("{name}: ")) && problem.contains(message),
            "{problem}"
        );
    }
}

#[test]
fn a_variable_for_a_guard_that_is_no_table_in_the_file_is_told() {
    let problems = load_with("guards = 5\n", &[("BEKCI__GUARDS__CUSTOMER__MODEL", "customer")]).unwrap_err();
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("the file has no table there")),
        "{problems:?}"
    );
}

#[test]
fn without_file_and_variables_the_defaults_hold() {
    let config = load_text(None, "", std::iter::empty()).unwrap().config;
    let names: Vec<&str> = config.guards.keys().map(bekci_core::GuardName::as_str).collect();
    assert_eq!(names, ["admin", "customer"]);
    assert_eq!(config.models["admin"].table.as_str(), "admins");
    assert_eq!(config.models["customer"].table.as_str(), "customers");
    assert_eq!(config.database.sqlite_path(), Some("data/bekci.db".into()));
    assert!(config.database.auto_migrate);
    assert_eq!(config.identity_cache.max_staleness_ms.get(), 1_000);
    assert_eq!(config.token.issuer.as_str(), "http://127.0.0.1:8080");
    assert!(config.routes.is_empty() && config.redis.effective_url().is_none());
}

#[test]
fn a_server_database_has_its_own_defaults() {
    let config = loaded("[database]\nurl = 'postgres://db/x'\n");
    assert!(!config.database.auto_migrate);
    assert_eq!(config.identity_cache.max_staleness_ms.get(), 5_000);
    let given =
        loaded("[database]\nurl = 'postgres://db/x'\nauto_migrate = true\n[identity_cache]\nmax_staleness_ms = 700\n");
    assert!(given.database.auto_migrate);
    assert_eq!(given.identity_cache.max_staleness_ms.get(), 700);
}

#[test]
fn the_guards_of_a_file_are_all_there_are() {
    let config = loaded("[guards.customer]\naccess_ttl_seconds = 60\n");
    assert_eq!(config.guards.len(), 1);
    assert_eq!(config.models.len(), 1, "no table is made for a model without a guard");
}
