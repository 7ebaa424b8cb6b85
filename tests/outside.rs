//! A project outside the workspace, made of the blocks of docs/getting-started-library.md: built without the network, started, signed in to.
//!
//! The build is of all dependencies, with other features than the workspace has, and takes minutes: `scripts/test --long`. Without it the versions are resolved alone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on shows where")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bekci_test_support::{Server, Service, TempDir, find_program};

const DOCUMENT: &str = "docs/getting-started-library.md";
const SECTION: &str = "## In a project of your own";

/// The port of the document.
const PORT: &str = "8088";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The one block of this language in the section.
fn block(section: &str, language: &str) -> String {
    let fence = format!("```{language}\n");
    let mut blocks = section.split(&fence).skip(1);
    let block = blocks.next().unwrap_or_else(|| panic!("no block of {language}"));
    assert_eq!(blocks.next(), None, "one block of {language}");
    block.split("```").next().unwrap().to_owned()
}

/// Makes the project: the dependencies and the program of the document, with the versions of the workspace's lock.
fn make(folder: &Path, section: &str) {
    let root = root();
    let dependency = r#"git = "https://github.com/bekci/bekci""#;
    let dependencies = block(section, "toml");
    assert!(dependencies.contains(dependency), "{dependencies}");
    let here = format!("path = {:?}", root.join("crates/web"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let profiles = manifest.find("[profile.dev]").unwrap();
    // With the profiles of the workspace its build of each crate can be used again.
    let text = format!(
        "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n{}\n{}",
        dependencies.replace(dependency, &here),
        manifest.split_at(profiles).1
    );
    fs::write(folder.join("Cargo.toml"), text).unwrap();
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    fs::create_dir(folder.join("src")).unwrap();
}

fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null());
    command
}

/// Builds the program as it is for this port, and gives its path.
fn build(folder: &Path, target: &Path, section: &str, port: u16) -> PathBuf {
    let program = block(section, "rust").replace(PORT, &port.to_string());
    fs::write(folder.join("src/main.rs"), program).unwrap();
    let built = cargo(folder, &["build", "--offline", "--quiet"])
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");
    target.join("debug/shop")
}

fn section() -> String {
    let document = fs::read_to_string(root().join(DOCUMENT)).unwrap();
    document.split_once(SECTION).unwrap().1.to_owned()
}

#[test]
fn the_dependencies_of_the_document_are_found_without_the_network() {
    let folder = TempDir::new("outside");
    make(folder.path(), &section());
    fs::write(folder.path().join("src/main.rs"), "").unwrap();
    let resolved = cargo(folder.path(), &["tree", "--offline", "--prefix", "none"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&resolved.stderr);
    assert!(resolved.status.success(), "{said}");
    let tree = String::from_utf8_lossy(&resolved.stdout);
    assert!(tree.lines().any(|line| line.starts_with("bekci v")), "{tree}");
    // The versions are those of the workspace: nothing that it does not have.
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let names = tree.lines().filter_map(|line| line.split(' ').next()).skip(1);
    for name in names.filter(|name| !name.is_empty()) {
        assert!(lock.contains(&format!("\nname = \"{name}\"\n")), "{name}");
        // What the features leave out is not built for it.
        assert!(!["casbin", "redis", "rsa", "sqlx-postgres"].contains(&name), "{name}");
    }
}

#[test]
fn a_project_outside_the_workspace_is_built_from_the_document_and_signs_in() {
    // Long runs alone.
    if bekci_test_support::rounds(0, 1) == 0 {
        return;
    }
    let section = section();
    let section = section.as_str();
    let folder = TempDir::new("outside");
    make(folder.path(), section);
    // Beside this test, so that a second run builds the program alone.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    let server = Server::on_free_port(|port| {
        let program = build(folder.path(), &target, section, port);
        Service::new(program.to_str().unwrap(), port, &folder)
    });
    let port = server.address().port().to_string();
    let lines = block(section, "sh").replace(PORT, &port);
    let ran = Command::new(find_program("bash").unwrap())
        .args(["-euo", "pipefail", "-c", &lines])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&ran.stdout);
    let second = out
        .rfind("HTTP/1.1 ")
        .unwrap_or_else(|| panic!("no answer: {out} {}", server.log()));
    let (first, second) = out.split_at(second);
    assert!(
        first.starts_with("HTTP/1.1 401 ") && first.contains("TOKEN_MISSING"),
        "{out}"
    );
    assert!(
        second.starts_with("HTTP/1.1 200 ") && second.ends_with("hello member:1\n"),
        "{out}"
    );
}
