//! Rules for files of any kind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::tree::finding;

/// Folders in which people keep what is theirs; in parts, so that this line is not found itself.
const HOMES: [&str; 3] = [concat!("/", "home/"), concat!("/", "root/"), concat!("/", "Users/")];

/// Finds absolute paths into a home folder or into this very checkout.
pub(crate) fn check_machine_paths(path: &str, text: &str, checkout: &Path) -> Vec<String> {
    // A checkout right below `/` has a name like `/app`, which containers and documents rightly use.
    let checkout = (checkout.components().count() > 2).then(|| checkout.to_str()).flatten();
    text.lines()
        .enumerate()
        .flat_map(|(line, words)| {
            let places = HOMES
                .iter()
                .copied()
                .chain(checkout)
                .filter(move |place| has_path(words, place));
            places.map(move |place| finding(path, line, &format!("`{place}` is on one machine alone")))
        })
        .collect()
}

/// Whether an absolute path begins with `place`: a URL or a longer path that has it within does not count.
fn has_path(words: &str, place: &str) -> bool {
    words.match_indices(place).any(|(at, _)| {
        let after = words[at + place.len()..].chars().next();
        let begins = !words[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.*~}/".contains(c));
        let whole = place.ends_with('/') || !after.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
        begins && whole
    })
}

/// Finds private keys, as a test or a command leaves them behind that ran in the wrong folder.
pub(crate) fn check_private_keys(path: &str, text: &str) -> Vec<String> {
    // A key of its own begins a file; what speaks of keys has its words before.
    let key = text.starts_with("-----BEGIN ") && text.lines().next().is_some_and(|line| line.contains("PRIVATE KEY"));
    let found = key.then(|| finding(path, 0, "a private key is nothing to share"));
    found.into_iter().collect()
}

/// The script of the continuous integration runs `scripts/test`, not a way of its own.
pub(crate) fn check_ci(script: Option<&str>) -> Vec<String> {
    let Some(script) = script else {
        return vec![".ci/run:1: is not there".to_owned()];
    };
    let runs =
        |line: &str| !line.trim_start().starts_with('#') && line.split_whitespace().any(|word| word == "scripts/test");
    if script.lines().any(runs) {
        Vec::new()
    } else {
        vec![".ci/run:1: does not run scripts/test".to_owned()]
    }
}

/// Scripts can be run.
pub(crate) fn check_executable(root: &Path, scripts: &[&str]) -> Vec<String> {
    let can_run = |script: &&&str| {
        std::fs::metadata(root.join(script))
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 == 0o111)
    };
    scripts
        .iter()
        .filter(|script| !can_run(script))
        .map(|script| format!("{script}:1: cannot be run: chmod +x"))
        .collect()
}

/// Both licences of `MIT OR Apache-2.0`, from their first words to their last.
pub(crate) fn check_licences(text_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let expected = [
        (
            "LICENSE-MIT",
            [
                "Permission is hereby granted, free of charge",
                "OTHER DEALINGS IN THE SOFTWARE",
            ],
        ),
        (
            "LICENSE-APACHE",
            [
                "Apache License Version 2.0, January 2004",
                "END OF TERMS AND CONDITIONS",
            ],
        ),
    ];
    let mut findings = Vec::new();
    for (path, phrases) in expected {
        let words = text_of(path).unwrap_or_default();
        let one_line = words.split_whitespace().collect::<Vec<_>>().join(" ");
        for phrase in phrases.iter().filter(|phrase| !one_line.contains(**phrase)) {
            findings.push(format!("{path}:1: lacks \"{phrase}\""));
        }
    }
    findings
}

#[test]
fn paths_of_one_machine_are_found_with_their_line() {
    // Put together here, else this very file would be found.
    let text = [
        "/",
        "home/ayse/x\ncd \"/",
        "Users/ayse\"\n# /",
        "root/.cargo\nsee /",
        "srv/code/bekci/docs\n",
    ]
    .concat();
    let found = check_machine_paths("a.sh", &text, Path::new("/srv/code/bekci"));
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[1].starts_with("a.sh:2: ") && found[3].starts_with("a.sh:4: "));
}

#[test]
fn urls_and_longer_paths_are_not_taken_for_paths_of_one_machine() {
    let text = "https://example.com/home/x\n/api/home/x\ntarget/root/x\n/srv/code/bekci-fork\n/app/x\n";
    assert_eq!(
        check_machine_paths("a.md", text, Path::new("/srv/code/bekci")),
        Vec::<String>::new()
    );
    assert_eq!(
        check_machine_paths("a.md", text, Path::new("/app")),
        Vec::<String>::new()
    );
}

#[test]
fn a_script_that_only_speaks_of_the_tests_is_found() {
    assert_eq!(check_ci(Some("#!/bin/sh\n# scripts/test\ncargo test\n")).len(), 1);
    assert_eq!(check_ci(None).len(), 1);
    assert_eq!(check_ci(Some("step 60m scripts/test\n")), Vec::<String>::new());
}

#[test]
fn a_script_that_is_missing_or_cannot_be_run_is_found() {
    let root = crate::tree::Tree::of_the_workspace();
    assert_eq!(
        check_executable(root.root(), &["Cargo.toml", "no/such/script", "scripts/test"]).len(),
        2
    );
}

#[test]
fn a_licence_that_is_missing_or_cut_is_found() {
    let found = check_licences(|path| {
        (path == "LICENSE-MIT").then(|| "Permission is hereby granted, free of charge".to_owned())
    });
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn a_private_key_is_found_and_what_speaks_of_one_is_not() {
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(check_private_keys("a.pem", key).len(), 1);
    assert_eq!(
        check_private_keys("a.pem", "-----BEGIN PUBLIC KEY-----\n"),
        [] as [String; 0]
    );
    assert_eq!(
        check_private_keys("a.md", &format!("Such as:\n{key}")),
        [] as [String; 0]
    );
}
