//! The files of the repository that belong to the configuration.

use std::path::{Path, PathBuf};

use super::load_with;
use crate::config::schema::{Fallback, Key, Kind};
use crate::config::sections::Config;
use crate::config::types::{DatabaseKind, RouteKind};
use crate::config::{json_schema, load, load_text, reference, tree};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_default()
}

#[test]
fn the_shipped_file_loads_and_has_the_routes_of_the_demo() {
    let loaded = load(Some(&repository("config/bekci.toml")), std::iter::empty()).unwrap();
    let config = &loaded.config;
    assert_eq!(config.database.kind(), DatabaseKind::Sqlite);
    let route = |path: &str, method: &str| {
        let fits = |methods: &[crate::config::types::Method]| {
            methods
                .iter()
                .any(|m| matches!(m.as_str(), "*") || m.as_str() == method)
        };
        config
            .routes
            .iter()
            .find(|route| route.paths.iter().any(|p| p.as_str() == path) && fits(&route.methods))
            .unwrap()
    };
    assert!(route("/public/**", "GET").public);
    assert_eq!(route("/me/**", "GET").guards.len(), 1);
    assert!(route("/api/**", "DELETE").policy);
    assert_eq!(
        route("/back-office/**", "DELETE").permissions[0].as_str(),
        "orders.manage"
    );
    assert_eq!(route("/fresh/**", "GET").kind, RouteKind::Fresh(300));
    assert_eq!(route("/ws/**", "GET").guards[0].as_str(), "customer");
}

#[test]
fn every_default_is_taken_by_its_own_key() {
    fn walk(keys: &'static [Key]) {
        for key in keys {
            assert!(!key.doc.trim().is_empty(), "{} says what it means", key.name);
            if let Fallback::Toml(text) = key.fallback {
                assert!(
                    tree::parse_value(text, &crate::config::Place::BuiltIn).is_ok(),
                    "{}: {text}",
                    key.name
                );
            }
            match &key.kind {
                Kind::Table(keys) | Kind::Array(keys) | Kind::Either { table: keys, .. } => walk(keys),
                Kind::Map {
                    of: Kind::Table(keys), ..
                } => walk(keys),
                _ => {}
            }
        }
    }
    walk(Config::KEYS);
    let shown = load_text(None, "", std::iter::empty()).unwrap().show();
    for key in [
        "listen = ",
        "consistency = \"l1\"",
        "[guards.admin]",
        "otp_tries = 5",
        "table = \"customers\"",
        "sample_percent",
    ] {
        assert!(shown.contains(key), "{key} in {shown}");
    }
}

#[test]
fn what_is_shown_loads_to_the_same_again() {
    let text = read("config/bekci.toml");
    let first = load_with(&text, &[("BEKCI__SERVER__WORKERS", "3")]).unwrap();
    assert!(first.show().contains("workers = 3  # BEKCI__SERVER__WORKERS"));
    // What is not built may stand there as a default, and is refused when it is written out.
    let shown = first.show();
    let mut kept = String::new();
    let mut is_kept = true;
    for line in shown.lines() {
        if line.starts_with('[') {
            is_kept = !["[mail]", "[otel]", "[cors]"].contains(&line);
        }
        let is_refused = line.starts_with("rate_limit");
        if is_kept && !is_refused {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    let second = load_with(&kept, &[]).unwrap();
    assert_eq!(first.changes_in(&second), []);
}

#[test]
fn secrets_are_not_shown() {
    let text = "\
[database]
url = 'postgres://app:hunter2@db/shop?sslpassword=hunter2&sslmode=require'
password = 'hunter2'
[redis]
password = { env = 'REDIS_PASSWORD' }
[secrets]
jwt = 'hunter2-5b8e7f1b933200daa564887ab1189fd20ff788c6bcc0c3f5cd6fb89e935f42dd3a369aa449f02df9'
";
    let loaded = load_with(
        text,
        &[
            ("REDIS_PASSWORD", "hunter2"),
            ("BEKCI__REDIS__URL", "redis://:hunter2@cache"),
        ],
    )
    .unwrap();
    let shown = loaded.show();
    for text in [&shown, &loaded.show_json().to_string(), &format!("{loaded:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(
        shown.contains("url = \"postgres://app:********@db/shop?sslpassword=********&sslmode=require\""),
        "{shown}"
    );
    assert!(shown.contains("password = { env = \"REDIS_PASSWORD\" }"), "{shown}");
    assert!(shown.contains("root = { file = \"data/keys/root\" }"), "{shown}");
}

#[test]
fn a_change_is_told_with_whether_a_running_gateway_takes_it_over() {
    let old = load_with(
        "[guards.customer]\n[secrets]\njwt = '5b8e7f1b933200daa564887ab1189fd20ff788c6bcc0c3f5cd6fb89e935f42dd3a369aa449f02df9'\n",
        &[],
    )
    .unwrap();
    let text = "[server]\nworkers = 2\n[guards.customer]\nmax_sessions = 3\n[secrets]\njwt = '5b8e7f1b933200daa564887ab1189fd20ff788c6bcc0c3f5cd6fb89e935f42dd3a369aa449f02df9!'\n";
    let changes = old.changes_in(&load_with(text, &[]).unwrap());
    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.key.as_str(), change.is_live))
        .collect();
    assert_eq!(
        told,
        [
            ("server.workers", false),
            ("guards.customer.max_sessions", true),
            ("secrets.jwt", true)
        ]
    );
}

/// Compares a file that is made from the code with what the code says now; under `BEKCI_WRITE_GENERATED=1` it is written anew instead.
pub(crate) fn is_generated(file: &str, text: &str) {
    let asked = crate::config::environment().any(|(name, value)| name == "BEKCI_WRITE_GENERATED" && value == "1");
    if asked {
        std::fs::write(repository(file), text).unwrap();
    }
    assert!(
        read(file) == text,
        "write {file} anew: BEKCI_WRITE_GENERATED=1 cargo test -p bekci-gateway generated"
    );
}

#[test]
fn the_generated_json_schema_is_that_of_the_table_of_settings() {
    let schema = serde_json::to_string_pretty(&json_schema::generate()).unwrap();
    is_generated("config/bekci.schema.json", &(schema + "\n"));
}

#[test]
fn the_generated_reference_is_that_of_the_table_of_settings() {
    is_generated("docs/configuration.md", &reference::generate());
}
