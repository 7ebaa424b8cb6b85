//! Finding the programs that tests run, and running them once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// The table that `scripts/test` installs from: one place says which package brings which program.
const NEEDED: &str = include_str!("../../../scripts/needed-programs");

/// Folders that Debian's PATH for ordinary users leaves out.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Where Debian puts the servers of PostgreSQL: one folder a major version.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// Finds a program: in the newest PostgreSQL of `/usr/lib/postgresql`, on `PATH`, then in the `sbin` folders.
///
/// # Errors
/// [`Failure::Missing`], with the package to install.
pub fn find_program(name: &str) -> Result<PathBuf, Failure> {
    let mut folders = postgres_folders();
    folders.extend(variable("PATH").iter().flat_map(std::env::split_paths));
    folders.extend(SYSTEM_FOLDERS.map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
        .ok_or_else(|| Failure::Missing {
            program: name.to_owned(),
            advice: advice(name, NEEDED),
        })
}

/// The value of an environment variable, if it is set.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration: PATH and BEKCI_TEST_LONG are read here"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Runs a program to its end and gives what it wrote on standard output, without the last line break.
pub(crate) fn run(command: &mut Command) -> Result<String, Failure> {
    let program = name_of(Path::new(command.get_program()));
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Failure::io(format!("running `{program}`")))?;
    let written = String::from_utf8_lossy(&output.stdout)
        .trim_end_matches('\n')
        .to_owned();
    if output.status.success() {
        return Ok(written);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Refused {
        program,
        status: output.status,
        output: format!("{errors}{written}"),
    })
}

/// The last part of a program's path.
pub(crate) fn name_of(program: &Path) -> String {
    program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn postgres_folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir(POSTGRES_VERSIONS).into_iter().flatten().flatten();
    let mut numbered: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    numbered.sort_unstable_by(|a, b| b.cmp(a));
    numbered.into_iter().map(|(_, folder)| folder).collect()
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn advice(program: &str, table: &str) -> String {
    let package = table.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        line.split_whitespace()
            .collect::<Vec<_>>()
            .split_first()
            .and_then(|(first, rest)| {
                (*first == program)
                    .then(|| rest.first().map(|package| (*package).to_owned()))
                    .flatten()
            })
    });
    match package {
        Some(package) => format!("run scripts/test, or install it yourself (Debian: apt-get install {package})"),
        None => "install it, and give it a line in scripts/needed-programs".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_fails_and_names_the_table() {
        let failure = find_program("bekci-no-such-program").unwrap_err();
        assert!(matches!(failure, Failure::Missing { .. }));
        assert!(failure.to_string().contains("scripts/needed-programs"), "{failure}");
    }

    #[test]
    fn a_missing_program_of_the_table_names_its_package() {
        let table = "# program package\nredis-server  redis-server  x\ninitdb  postgresql  y\n";
        assert!(advice("initdb", table).contains("apt-get install postgresql"));
    }

    #[test]
    fn every_program_that_this_crate_runs_is_in_the_table() {
        for program in [
            "setpriv",
            "initdb",
            "postgres",
            "psql",
            "mariadb-install-db",
            "mariadbd",
            "mariadb",
            "redis-server",
            "redis-cli",
            "sqlite3",
        ] {
            assert!(advice(program, NEEDED).contains("apt-get install"), "{program}");
        }
    }

    #[test]
    fn a_program_that_says_no_is_a_failure_with_its_words() {
        let failure = run(Command::new("sh").args(["-c", "echo so much; echo no way >&2; exit 3"])).unwrap_err();
        let message = failure.to_string();
        assert!(
            message.contains("`sh`") && message.contains("no way") && message.contains("so much"),
            "{message}"
        );
    }
}
