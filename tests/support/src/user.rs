//! Running servers without root: PostgreSQL refuses to run as root, and the others have no need to.

use std::ffi::OsString;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use crate::failure::Failure;

/// Users that a test server may run as, the best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A user without privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Whom to run as. `None`: this process is not root, so as itself.
    pub(crate) fn instead_of_root() -> Result<Option<Self>, Failure> {
        // The owner of /proc/self is the effective user. Where there is no /proc, there is no setpriv either.
        if !std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd").map_err(Failure::io("reading /etc/passwd"))?;
        UNPRIVILEGED
            .iter()
            .find_map(|name| find_user(&users, name))
            .map(Some)
            .ok_or_else(|| Failure::Missing {
                program: "an unprivileged user".to_owned(),
                advice: format!("root cannot run PostgreSQL; add one of the users {UNPRIVILEGED:?}"),
            })
    }

    /// The arguments that make `setpriv` run a program as this user.
    pub(crate) fn setpriv_arguments(self) -> [OsString; 5] {
        [
            "--reuid".into(),
            self.uid.to_string().into(),
            "--regid".into(),
            self.gid.to_string().into(),
            "--clear-groups".into(),
        ]
    }

    /// Gives this user a file or folder.
    pub(crate) fn take_over(self, path: &Path) -> Result<(), Failure> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(Failure::io(format!("handing over {}", path.display())))
    }
}

/// A line of `/etc/passwd` is `name:password:uid:gid:…` (passwd(5)).
fn find_user(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        Some(User {
            uid: fields.nth(1)?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\npostgresql:x:1:2::/:/bin/sh\npostgres:x:101:104:,,,:/var/lib:/bin/sh\n";
        assert_eq!(find_user(passwd, "postgres"), Some(User { uid: 101, gid: 104 }));
        assert_eq!(find_user(passwd, "nobody"), None);
    }
}
