//! Folders for one test process, removed with it.
//!
//! Each process has one folder `bekci-test-…` in the system's temporary folder and beside it a lock file, which it holds for as
//! long as it lives. A lock that can be taken belongs to a dead process: its folder is removed. A process id would not do, since
//! ids are reused and containers that share a temporary folder do not see one another's.

use std::fs::{self, File, Permissions};
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::failure::{Failure, or_fail};
use crate::unique;

const PREFIX: &str = "bekci-test-";

/// A new folder, removed with all that is in it on drop.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes a folder whose name begins with `label`.
    #[track_caller]
    pub fn new(label: &str) -> Self {
        or_fail(Self::try_new(label))
    }

    /// As [`TempDir::new`].
    ///
    /// # Errors
    /// [`Failure::Io`]
    pub fn try_new(label: &str) -> Result<Self, Failure> {
        let path = run_folder()?.join(unique(label));
        make_folder(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder there until the process is dead and another one tidies up.
    pub(crate) fn keep(self) -> PathBuf {
        let mut this = self;
        std::mem::take(&mut this.path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be removed now is removed with the folder of the whole process.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

struct Run {
    folder: PathBuf,
    lock: File,
}

impl Drop for Run {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec has the same open file, and with it the lock.
        let _ = self.lock.unlock();
    }
}

/// The folder of this process; the first call makes it, and removes those of dead processes.
fn run_folder() -> Result<PathBuf, Failure> {
    static RUN: Mutex<Option<Run>> = Mutex::new(None);
    let mut run = RUN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(run) = &*run {
        return Ok(run.folder.clone());
    }
    let parent = std::env::temp_dir();
    remove_dead_runs(&parent);
    let new = make_run(&parent)?;
    Ok(run.insert(new).folder.clone())
}

fn make_run(parent: &Path) -> Result<Run, Failure> {
    loop {
        let name = format!("{PREFIX}{:016x}", RandomState::new().hash_one(std::process::id()));
        let lock_path = parent.join(format!("{name}.lock"));
        let failed = || Failure::io(format!("making {}", lock_path.display()));
        let lock = File::create_new(&lock_path).map_err(failed())?;
        lock.lock().map_err(failed())?;
        // Between these two steps another process may have taken the new file for a dead one's and removed it.
        if lock_path.exists() {
            let folder = parent.join(name);
            make_folder(&folder)?;
            return Ok(Run { folder, lock });
        }
    }
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    // 0711: a server that runs as another user must get through to its own folder.
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o711)))
        .map_err(Failure::io(format!("making {}", path.display())))
}

/// Removes the folders of processes that live no more. What belongs to another user stays.
fn remove_dead_runs(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(run) = name.to_str().and_then(|name| name.strip_suffix(".lock")) else {
            continue;
        };
        if !run.starts_with(PREFIX) {
            continue;
        }
        // Held until the lock file is gone, so that no process can take it for its own in between.
        let Some(_lock) = lock_of_the_dead(&entry.path()) else {
            continue;
        };
        let folder = parent.join(run);
        if !folder.exists() || fs::remove_dir_all(folder).is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn lock_of_the_dead(lock_path: &Path) -> Option<File> {
    let lock = File::open(lock_path).ok()?;
    lock.try_lock().is_ok().then_some(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_gone_after_drop() {
        let folder = TempDir::new("gone");
        let path = folder.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn the_folder_of_a_dead_process_is_removed_and_that_of_a_living_one_stays() {
        let parent = TempDir::new("runs");
        let living = make_run(parent.path()).unwrap();
        let dead = make_run(parent.path()).unwrap();
        let dead_folder = dead.folder.clone();
        fs::write(dead_folder.join("file"), "x").unwrap();
        drop(dead);

        remove_dead_runs(parent.path());

        assert!(!dead_folder.exists());
        assert!(living.folder.exists());
        assert_eq!(
            fs::read_dir(parent.path()).unwrap().count(),
            2,
            "the living folder and its lock"
        );
    }

    #[test]
    fn files_of_others_in_the_temporary_folder_are_left_alone() {
        let parent = TempDir::new("runs");
        fs::write(parent.path().join("other.lock"), "").unwrap();
        remove_dead_runs(parent.path());
        assert!(parent.path().join("other.lock").exists());
    }
}
