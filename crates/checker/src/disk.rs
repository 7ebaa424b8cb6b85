//! The disk of a run: a file system of its own, in memory, so that it can be full.
//!
//! 1. The run is a process of a mount namespace of its own (`unshare --mount`), so that no other process sees the file system. The last process takes it along.
//! 2. "Full" is a file system that is made as small as what is in it: each further page is refused with `ENOSPC`, as by any disk that has no room.
//! 3. It needs the right to mount. A run without that right leaves the fault out and says so.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use bekci_test_support::{TempDir, find_program};

use crate::clock::pause;

/// How much a run may write. Memory is used only for what is there.
const SIZE: &str = "size=8g,mode=0711";

/// Mounts at `$1`, and runs the rest there.
const MOUNT_AND_RUN: &str =
    "mount -t tmpfs -o \"$0\" bekci-checker \"$1\" && export TMPDIR=\"$1\" && shift && exec \"$@\"";

/// The file system of this run.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Leaves room for nothing more. Whether that was possible.
    pub(crate) fn fill(&self) -> bool {
        // What is written meanwhile makes the size too small, which is refused.
        (0..50).any(|_| {
            let done = self.used().is_some_and(|used| self.resize(&format!("size={used}")));
            if !done {
                pause(20);
            }
            done
        })
    }

    /// Leaves room again. Whether that was possible.
    pub(crate) fn free(&self) -> bool {
        (0..50).any(|_| self.resize(SIZE))
    }

    /// Bytes that are in use.
    fn used(&self) -> Option<u64> {
        let output = Command::new(find_program("df").ok()?)
            .args(["--block-size=1", "--output=used"])
            .arg(&self.0)
            .output()
            .ok()?;
        String::from_utf8(output.stdout)
            .ok()?
            .lines()
            .last()?
            .trim()
            .parse()
            .ok()
    }

    fn resize(&self, size: &str) -> bool {
        let Ok(mount) = find_program("mount") else {
            return false;
        };
        Command::new(mount)
            .args(["-o", &format!("remount,{size}")])
            .arg(&self.0)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// Runs this program again with a file system of its own, and gives its exit status; `None` where it may not mount one.
pub(crate) fn run_on_own_disk() -> Option<ExitCode> {
    let folder = TempDir::try_new("disk").ok()?;
    let none: [&OsStr; 0] = [];
    if !mounted(folder.path(), Path::new("true"), none)?
        .status()
        .ok()?
        .success()
    {
        return None;
    }
    let program = std::env::current_exe().ok()?;
    let mut run = mounted(folder.path(), &program, std::env::args_os().skip(1))?;
    let status = run.arg("--disk").arg(folder.path()).status().ok()?;
    Some(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::from(2), ExitCode::from),
    )
}

fn mounted<A: AsRef<OsStr>>(folder: &Path, program: &Path, arguments: impl IntoIterator<Item = A>) -> Option<Command> {
    let mut command = Command::new(find_program("unshare").ok()?);
    // It ends with this process, which may be killed.
    command
        .args(["--mount", "--"])
        .arg(find_program("setpriv").ok()?)
        .args(["--pdeathsig", "KILL", "--", "sh", "-c", MOUNT_AND_RUN, SIZE])
        .arg(folder)
        .arg(program)
        .args(arguments);
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_refuses_and_one_with_room_does_not() {
        let folder = TempDir::new("disk-test");
        // The steps of a run, by a shell in a namespace of its own, since this process is in none.
        let steps = "cd \"$1\" && echo a > a && mount -o remount,size=$(df --block-size=1 --output=used . | tail -1 | tr -d ' ') . \
                     && { echo b > b && exit 3 || true; } 2>/dev/null && mount -o remount,size=8g . && echo c > c && cat c";
        let arguments = ["-c", steps, "sh", folder.path().to_str().unwrap()];
        let output = mounted(folder.path(), Path::new("sh"), arguments)
            .unwrap()
            .output()
            .unwrap();
        let may_mount = mounted(folder.path(), Path::new("true"), [""; 0])
            .unwrap()
            .status()
            .unwrap()
            .success();
        assert!(!may_mount || output.status.success(), "{output:?}");
        assert!(!folder.path().join("a").exists(), "the file system is seen outside");
    }
}
