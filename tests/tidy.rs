//! The rules of the house that neither the compiler nor clippy keeps.
//!
//! Each rule is one test and a checker in `tidy/`. A checker takes text and gives findings, `file:line: what is wrong`, so that
//! beside its rule stands a test which shows that it finds what it should: one that cannot fail is none.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a checker that goes wrong must stop the tests"
)]

#[path = "tidy/blocks.rs"]
mod blocks;
#[path = "tidy/crates.rs"]
mod crates;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/packages.rs"]
mod packages;
#[path = "tidy/packaging.rs"]
mod packaging;
#[path = "tidy/proofs.rs"]
mod proofs;
#[path = "tidy/prose.rs"]
mod prose;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tree.rs"]
mod tree;

use tree::Tree;

/// Fails with all findings, not just the first.
#[track_caller]
fn assert_tidy(findings: &[String]) {
    assert!(
        findings.is_empty(),
        "{} found:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

/// Runs a checker over each file with this ending.
fn check(ending: &str, checker: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let files: Vec<_> = Tree::of_the_workspace()
        .files()
        .filter(|file| file.path.ends_with(ending))
        .collect();
    assert!(
        !files.is_empty(),
        "no file ends with `{ending}`: the rule looks at nothing"
    );
    files.iter().flat_map(|file| checker(&file.path, &file.text)).collect()
}

#[test]
fn each_crate_depends_on_those_alone_that_it_may_know() {
    let findings: Vec<_> = packages::workspace()
        .iter()
        .flat_map(crates::check_neighbours)
        .collect();
    assert_tidy(&findings);
}

#[test]
fn each_foreign_vocabulary_is_known_to_one_crate() {
    let findings: Vec<_> = packages::workspace().iter().flat_map(crates::check_foreign).collect();
    assert_tidy(&findings);
}

#[test]
fn nothing_that_core_depends_on_does_input_or_output() {
    assert_tidy(&crates::check_core_does_no_io(&packages::tree_of("bekci-core")));
}

#[test]
fn every_crate_takes_the_lints_and_the_licence_of_the_workspace() {
    let findings: Vec<_> = packages::workspace().iter().flat_map(crates::check_manifest).collect();
    assert_tidy(&findings);
}

#[test]
fn a_lint_is_expected_with_a_reason_and_never_allowed() {
    assert_tidy(&check(".rs", source::check_allow));
}

#[test]
fn nothing_is_left_to_do_and_no_test_is_ignored() {
    assert_tidy(&check(".rs", source::check_unfinished));
}

#[test]
fn no_source_file_is_longer_than_600_lines() {
    assert_tidy(&check(".rs", source::check_length));
}

#[test]
fn every_file_and_heading_that_a_document_links_to_is_there() {
    let tree = Tree::of_the_workspace();
    assert_tidy(&check(".md", |path, text| {
        links::check(path, text, |target| tree.has(target), |target| tree.text(target))
    }));
}

/// Documents that do not keep the rules of prose yet, or that are generated. The list gets shorter, never longer.
const NOT_PLAIN_YET: [&str; 5] = [
    "docs/coherence.md",
    "docs/commands.md",
    "docs/configuration.md",
    "docs/getting-started-library.md",
    "docs/performance.md",
];

#[test]
fn documents_use_plain_words_and_short_sentences() {
    let is_document =
        |path: &str| path == "README.md" || (path.starts_with("docs/") && !path.starts_with("docs/decisions/"));
    let tree = Tree::of_the_workspace();
    assert!(NOT_PLAIN_YET.iter().all(|path| tree.has(path)));
    let findings = check(".md", |path, text| {
        if !is_document(path) || NOT_PLAIN_YET.contains(&path) {
            return Vec::new();
        }
        prose::check(path, text)
    });
    assert_tidy(&findings);
}

#[test]
fn code_that_a_document_shows_of_a_file_is_in_that_file() {
    let tree = Tree::of_the_workspace();
    assert_tidy(&check(".md", |path, text| {
        blocks::check(path, text, |file| tree.text(file))
    }));
}

#[test]
fn no_file_names_a_folder_of_one_persons_machine() {
    assert_tidy(&check("", |path, text| {
        files::check_machine_paths(path, text, Tree::of_the_workspace().root())
    }));
}

#[test]
fn no_private_key_is_kept_beside_the_code() {
    assert_tidy(&check("", files::check_private_keys));
}

#[test]
fn the_continuous_integration_runs_the_tests_as_everyone_does() {
    let tree = Tree::of_the_workspace();
    assert_tidy(&files::check_ci(tree.text(".ci/run").as_deref()));
    assert_tidy(&files::check_executable(tree.root(), &[".ci/run", "scripts/test"]));
}

#[test]
fn both_licences_are_there_in_full() {
    let tree = Tree::of_the_workspace();
    assert_tidy(&files::check_licences(|path| tree.text(path)));
}

#[test]
fn what_the_dockerfile_and_compose_name_is_there() {
    let tree = Tree::of_the_workspace();
    let manifest: toml::Table = tree.text("Cargo.toml").unwrap().parse().unwrap();
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    let has = |path: &str| tree.has(path);
    assert_tidy(&packaging::check_dockerfile(
        &tree.text("Dockerfile").unwrap(),
        rust,
        has,
    ));
    assert_tidy(&packaging::check_compose(&tree.text("compose.yaml").unwrap(), has));
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let tree = Tree::of_the_workspace();
    let sources: Vec<_> = tree.files().filter(|file| file.path.ends_with(".rs")).collect();
    let functions = sources.iter().flat_map(|file| proofs::functions(&file.text)).collect();
    let path = "docs/threat-model.md";
    let text = tree.text(path).unwrap();
    assert!(text.matches("_is_").count() > 10, "it names tests");
    assert_tidy(&proofs::check(path, &text, &functions));
}
