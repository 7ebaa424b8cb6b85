//! The packages of the workspace, as cargo and their manifests tell.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::tree::{Tree, finding};

/// What cargo says of a package.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: String,
    pub(crate) license: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    /// Not of cargo: the manifest, its path from the root, for the place of a finding and for what cargo does not tell.
    #[serde(skip)]
    pub(crate) manifest: (String, String),
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for an ordinary one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

impl Dependency {
    pub(crate) fn is_for_tests(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

impl Package {
    pub(crate) fn finding(&self, word: &str, what: &str) -> String {
        let (path, text) = &self.manifest;
        let begins = |line: &str| {
            line.strip_prefix(word)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
        };
        let line = text.lines().position(begins).unwrap_or(0);
        finding(path, line, what)
    }

    /// Examples and measurements are applications of their own kind, however many come.
    pub(crate) fn is_application(&self) -> bool {
        let (path, _) = &self.manifest;
        path.starts_with("examples/") || path.starts_with("bench/")
    }
}

/// The packages of this workspace.
pub(crate) fn workspace() -> Vec<Package> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let tree = Tree::of_the_workspace();
    let said = cargo(tree.root(), &["metadata", "--no-deps", "--format-version", "1"]);
    let mut packages = serde_json::from_str::<Metadata>(&said).unwrap().packages;
    for package in &mut packages {
        let path = Path::new(&package.manifest_path)
            .strip_prefix(tree.root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let text = tree.text(&path).unwrap();
        package.manifest = (path, text);
    }
    assert!(packages.len() > 8, "cargo tells of {} packages alone", packages.len());
    packages
}

/// The names of all that a package depends on, not counting what its tests need.
pub(crate) fn tree_of(package: &str) -> Vec<String> {
    let said = cargo(
        Tree::of_the_workspace().root(),
        &[
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{lib}",
        ],
    );
    said.lines().map(|name| name.replace('_', "-")).collect()
}

fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
