//! `.env.example` and what the image and compose say by variables, against the table of settings.

use std::collections::BTreeMap;
use std::path::Path;

use bekci_test_support::TempDir;

use super::load_with;
use crate::config::types::DatabaseKind;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

/// `NAME=value` of each line, and whether it is commented out. Quotes around a value are the shell's.
fn variables(text: &str) -> Vec<(String, String, bool)> {
    let assignment = |line: &str| {
        let is_off = line.starts_with('#');
        let (name, value) = line.trim_start_matches('#').split_once('=')?;
        name.starts_with("BEKCI__").then(|| {
            let value = value.trim_matches('\'');
            (name.to_owned(), value.to_owned(), is_off)
        })
    };
    text.lines().filter_map(assignment).collect()
}

/// The shipped file with these variables. Secrets that containers find under /run/secrets are here in a file of the test.
fn load(variables: impl IntoIterator<Item = (String, String)>) -> Result<crate::config::Loaded, Vec<String>> {
    let folder = TempDir::new("deployment");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret of the deployment\n").unwrap();
    let with_secrets: Vec<(String, String)> = variables
        .into_iter()
        .map(|(name, value)| match value.starts_with("/run/secrets/") {
            true => (name, secret.display().to_string()),
            false => (name, value),
        })
        .collect();
    let borrowed: Vec<(&str, &str)> = with_secrets
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    load_with(&read("config/bekci.toml"), &borrowed)
}

#[test]
fn the_example_of_an_environment_is_a_deployment_on_postgresql_and_redis() {
    let on = variables(&read(".env.example"))
        .into_iter()
        .filter(|(.., is_off)| !is_off);
    let loaded = load(on.map(|(name, value, _)| (name, value))).unwrap();
    let config = &loaded.config;
    assert_eq!(config.database.kind(), DatabaseKind::Postgres);
    assert!(!config.database.auto_migrate);
    assert!(config.redis.effective_url().is_some());
    for route in &config.routes {
        let upstream = route.upstream.as_ref().unwrap();
        assert_eq!(
            upstream.urls[0].as_str(),
            "http://application:9000",
            "{}",
            route.id.as_str()
        );
    }
}

#[test]
fn what_the_example_of_an_environment_has_commented_out_can_be_switched_on() {
    let all = variables(&read(".env.example"));
    assert!(all.iter().any(|(.., is_off)| *is_off));
    load(all.into_iter().map(|(name, value, _)| (name, value))).unwrap();
}

#[test]
fn no_variable_is_said_twice_in_the_example_of_an_environment() {
    let mut said = BTreeMap::new();
    for (name, ..) in variables(&read(".env.example")) {
        *said.entry(name).or_insert(0) += 1;
    }
    said.retain(|_, times| *times > 1);
    assert_eq!(said, BTreeMap::new());
}

#[test]
fn the_variables_of_the_image_listen_for_others_than_the_container_itself() {
    let text = read("Dockerfile");
    let told = text.split_whitespace().filter_map(|word| word.split_once('='));
    let of_bekci: Vec<(String, String)> = told
        .filter(|(name, _)| name.starts_with("BEKCI__"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let config = load(of_bekci).unwrap().config;
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.server.ops_listen.to_string(), "0.0.0.0:8081");
}

#[test]
fn a_variable_that_names_no_key_would_be_found() {
    let wrong = [("BEKCI__REDIS__ENABLD".to_owned(), "true".to_owned())];
    assert!(load(wrong).unwrap_err()[0].contains("enabled"));
}
