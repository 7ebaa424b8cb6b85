//! The files that a running gateway is made from, and whether they have changed.
//!
//! 1. They are compared by what they hold, not by their times: a file that is replaced by a link to another one, as Kubernetes does with mounted
//!    configuration, may bear an old time, and one that is written twice in a moment the same.
//! 2. A change counts once it was seen twice the same, so that a file that is being written is not taken half.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Longer files are not configuration.
const LONGEST: u64 = 4 * 1024 * 1024;

/// What the files hold; `None` for one that cannot be read.
type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Files that are looked at again and again.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    taken: Contents,
    seen: Option<Contents>,
}

impl Watched {
    /// From now on these files, as they are now.
    pub(crate) fn take(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        self.taken = with(files, read);
        self.seen = None;
    }

    /// These files instead; of those that were looked at before, as they were when they were taken.
    pub(crate) fn follow(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let mut before = std::mem::take(&mut self.taken);
        let held = |path: &Path| before.remove(path).unwrap_or_else(|| read(path));
        self.taken = with(files, held);
        self.seen = None;
    }

    /// They are not what was taken: as they are now they count as a change, once they were seen twice the same.
    pub(crate) fn doubt(&mut self) {
        self.taken.values_mut().for_each(|held| *held = None);
    }

    /// Looks at the files; whether they have changed, and have stopped to.
    pub(crate) fn has_changed(&mut self) -> bool {
        let now = with(self.taken.keys().cloned(), read);
        if now == self.taken {
            self.seen = None;
            return false;
        }
        let is_settled = self.seen.as_ref() == Some(&now);
        self.seen = Some(now);
        is_settled
    }
}

fn with(files: impl IntoIterator<Item = PathBuf>, mut held: impl FnMut(&Path) -> Option<Vec<u8>>) -> Contents {
    let pairs = files.into_iter().map(|path| {
        let held = held(&path);
        (path, held)
    });
    pairs.collect()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;

    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .ok()?
        .take(LONGEST)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use bekci_test_support::TempDir;

    use super::*;

    fn watched(path: &Path) -> Watched {
        let mut watched = Watched::default();
        watched.take([path.to_owned()]);
        watched
    }

    #[test]
    fn a_change_counts_once_it_was_seen_twice_the_same() {
        let folder = TempDir::new("watched");
        let file = folder.path().join("a.toml");
        std::fs::write(&file, "one").unwrap();
        let mut watched = watched(&file);
        assert!(!watched.has_changed());
        std::fs::write(&file, "half").unwrap();
        assert!(!watched.has_changed());
        std::fs::write(&file, "half and half").unwrap();
        assert!(!watched.has_changed(), "it is still being written");
        assert!(watched.has_changed());
        watched.take([file.clone()]);
        assert!(!watched.has_changed());
        assert!(!watched.has_changed());
    }

    #[test]
    fn what_was_taken_too_late_is_a_change_once_it_was_seen_twice() {
        let folder = TempDir::new("watched");
        let file = folder.path().join("a.toml");
        std::fs::write(&file, "one").unwrap();
        let mut watched = watched(&file);
        watched.doubt();
        assert!(!watched.has_changed());
        assert!(watched.has_changed());
    }

    #[test]
    fn a_change_that_was_taken_back_is_none() {
        let folder = TempDir::new("watched");
        let file = folder.path().join("a.toml");
        std::fs::write(&file, "one").unwrap();
        let mut watched = watched(&file);
        std::fs::write(&file, "two").unwrap();
        assert!(!watched.has_changed());
        std::fs::write(&file, "one").unwrap();
        assert!(!watched.has_changed());
        std::fs::write(&file, "two").unwrap();
        assert!(!watched.has_changed());
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change_and_so_is_a_file_that_went() {
        let folder = TempDir::new("watched");
        let path = |name: &str| folder.path().join(name);
        for name in ["v1", "v2"] {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(name).join("a.toml"), name).unwrap();
        }
        std::os::unix::fs::symlink("v1", path("data")).unwrap();
        let mut watched = watched(&path("data").join("a.toml"));
        assert!(!watched.has_changed());
        std::os::unix::fs::symlink("v2", path("next")).unwrap();
        std::fs::rename(path("next"), path("data")).unwrap();
        assert!(!watched.has_changed());
        assert!(watched.has_changed());
        std::fs::remove_file(path("v2").join("a.toml")).unwrap();
        watched.take([path("v1").join("a.toml"), path("v2").join("a.toml")]);
        assert!(!watched.has_changed());
    }
}
