//! The files of the tree.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders at the root that hold nothing of ours: what is built, what git keeps, what a run leaves behind.
const NOT_OURS: [&str; 3] = ["target", ".git", "data"];

/// A text file: its path from the root, parts divided by `/`, and what is in it.
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The workspace on disk.
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(crate) fn of_the_workspace() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// All text files. What is not UTF-8 is no text.
    pub(crate) fn files(&self) -> impl Iterator<Item = TextFile> {
        let mut paths = Vec::new();
        collect(&self.root, &NOT_OURS, &mut paths);
        paths.sort_unstable();
        paths.into_iter().filter_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            let path = path.strip_prefix(&self.root).unwrap().to_str()?.to_owned();
            Some(TextFile { path, text })
        })
    }

    /// Whether a file or folder is there.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// A file's text, if it is there.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }
}

fn collect(folder: &Path, without: &[&str], paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !without.iter().any(|name| entry.file_name() == *name) {
            collect(&entry.path(), &[], paths);
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
}

/// The text of a finding. `line` counts from 0, as `enumerate` does.
pub(crate) fn finding(path: &str, line: usize, what: &str) -> String {
    format!("{path}:{}: {what}", line + 1)
}

#[test]
fn the_tree_holds_this_file_and_nothing_that_was_built() {
    let paths: Vec<_> = Tree::of_the_workspace().files().map(|file| file.path).collect();
    assert!(paths.iter().any(|path| path == "tests/tidy/tree.rs"));
    assert!(paths.iter().any(|path| path == ".ci/run"));
    assert!(
        !paths
            .iter()
            .any(|path| path.starts_with("target/") || path.starts_with(".git/"))
    );
}
