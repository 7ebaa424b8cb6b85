//! Dockerfile and compose.yaml: what they name is there. No engine runs in the tests, so that this is what can be seen from the files.

use crate::tree::finding;

/// Finds sources of COPY that are not there, and a Rust that is not the one of Cargo.toml.
pub(crate) fn check_dockerfile(text: &str, rust_version: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, words) in text.lines().enumerate() {
        if let Some(version) = words.strip_prefix("ARG RUST_VERSION=")
            && version != rust_version
        {
            findings.push(finding(
                "Dockerfile",
                line,
                &format!("Cargo.toml wants Rust {rust_version}"),
            ));
        }
        let Some(copied) = words.strip_prefix("COPY ") else {
            continue;
        };
        let words: Vec<&str> = copied
            .split_whitespace()
            .filter(|word| !word.starts_with("--"))
            .collect();
        let from_a_stage = copied.contains("--from=");
        for source in words.iter().take(words.len().saturating_sub(1)) {
            let fixed = source.split('*').next().unwrap_or_default();
            if !from_a_stage && !fixed.is_empty() && !exists(fixed) {
                findings.push(finding("Dockerfile", line, &format!("`{source}` is not there")));
            }
        }
    }
    let last_stage = text.rsplit("\nFROM ").next().unwrap_or_default();
    if !last_stage
        .lines()
        .any(|line| line.starts_with("USER ") && !line.starts_with("USER 0"))
    {
        findings.push(finding("Dockerfile", 0, "the image runs as root"));
    }
    findings
}

/// Finds folders and files of the tree that are mounted and are not there, and secrets in the text. What the steps before the start make (`.env`, `secrets/`) is not asked
/// for.
pub(crate) fn check_compose(text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, words) in text.lines().enumerate() {
        let words = words.trim();
        if let Some(mounted) = words.strip_prefix("- ./") {
            let source = mounted.split(':').next().unwrap_or_default();
            if !exists(source) {
                findings.push(finding("compose.yaml", line, &format!("`{source}` is not there")));
            }
        }
        let said = words.split_once(": ");
        if said.is_some_and(|(key, value)| key.to_uppercase().ends_with("PASSWORD") && !value.starts_with(['$', '{'])) {
            findings.push(finding("compose.yaml", line, "a password stands in the file"));
        }
    }
    findings
}

#[test]
fn a_copied_path_that_is_gone_an_old_rust_and_root_are_found() {
    let text =
        "ARG RUST_VERSION=1.80\nFROM a AS b\nUSER 7\nCOPY Cargo.toml **/x gone there\nFROM c\nCOPY --from=b /image /\n";
    let found = check_dockerfile(text, "1.94", |path| path == "Cargo.toml");
    assert_eq!(
        found,
        [
            "Dockerfile:1: Cargo.toml wants Rust 1.94",
            "Dockerfile:4: `gone` is not there",
            "Dockerfile:1: the image runs as root",
        ]
    );
}

#[test]
fn a_mount_of_nothing_and_a_password_in_the_file_are_found() {
    let text = "volumes:\n  - ./config:/x:ro\n  - ./gone:/y\nenvironment:\n  POSTGRES_PASSWORD: hunter2\n  POSTGRES_PASSWORD_FILE: /run/secrets/p\n  db_password: { file: ./secrets/p }\n";
    let found = check_compose(text, |path| path == "config");
    assert_eq!(
        found,
        [
            "compose.yaml:3: `gone` is not there",
            "compose.yaml:5: a password stands in the file",
        ]
    );
}
