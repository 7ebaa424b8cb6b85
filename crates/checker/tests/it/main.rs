//! The checker on real servers: it finds nothing where the protocol is whole, and what is weak with its history.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use bekci_test_support::{TempDir, find_program};

/// Runs the checker to its end, which is bounded, and shows what it wrote where a test fails.
fn run(arguments: &[&str]) -> (Output, PathBuf, TempDir) {
    let folder = TempDir::new("report");
    let out = folder.path().join("out");
    let output = Command::new(find_program("timeout").unwrap())
        .args(["240", env!("CARGO_BIN_EXE_bekci-checker"), "--out"])
        .arg(&out)
        .args(arguments)
        .output()
        .unwrap();
    print(&output);
    (output, out, folder)
}

/// Shown by the test harness where the test fails.
#[expect(clippy::print_stdout, reason = "the report of a run that fails is what explains it")]
fn print(output: &Output) {
    println!("{}", String::from_utf8_lossy(&output.stdout));
    println!("{}", String::from_utf8_lossy(&output.stderr));
}

/// A whole protocol under faults: no stale decision, and a table and a picture.
fn finds_nothing(arguments: &[&str]) -> String {
    let (output, out, _folder) = run(arguments);
    assert_eq!(output.status.code(), Some(0));
    let table = std::fs::read_to_string(out.join("coherence.md")).unwrap();
    assert!(table.contains("**0**"), "{table}");
    let picture = std::fs::read_to_string(out.join("coherence.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
    table
}

/// A weak protocol: the exit status 1, and the history of what was stale.
fn finds(arguments: &[&str]) {
    let (output, out, _folder) = run(arguments);
    assert_eq!(output.status.code(), Some(1));
    let picture = std::fs::read_to_string(out.join("coherence.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n") && picture.contains("#c1121f"));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("stale for") && table.contains("(may be seen)"));
}

#[test]
fn nothing_is_stale_on_postgres_with_redis_under_every_fault() {
    finds_nothing(&["--seconds", "15", "--seed", "11"]);
}

#[test]
fn nothing_is_stale_on_postgres_without_redis_under_every_fault() {
    finds_nothing(&["--seconds", "15", "--redis", "off", "--seed", "12"]);
}

#[test]
fn nothing_is_stale_on_mariadb_with_redis_under_every_fault() {
    finds_nothing(&["--database", "mariadb", "--seconds", "15", "--seed", "15"]);
}

#[test]
fn nothing_is_stale_on_mariadb_without_redis_under_every_fault() {
    finds_nothing(&[
        "--database",
        "mariadb",
        "--seconds",
        "15",
        "--redis",
        "off",
        "--seed",
        "16",
    ]);
}

#[test]
fn nothing_is_stale_on_sqlite_with_redis_under_every_fault() {
    finds_nothing(&["--database", "sqlite", "--seconds", "15", "--seed", "13"]);
}

#[test]
fn nothing_is_stale_on_sqlite_without_redis_under_every_fault() {
    finds_nothing(&[
        "--database",
        "sqlite",
        "--seconds",
        "15",
        "--redis",
        "off",
        "--seed",
        "14",
    ]);
}

#[test]
fn a_full_disk_is_filled_and_makes_nothing_stale() {
    // MariaDB keeps room in its own files, and waits for more where it can: whether a statement meets the full disk is chance there.
    for database in ["postgres", "sqlite"] {
        let table = finds_nothing(&[
            "--database",
            database,
            "--seconds",
            "12",
            "--faults",
            "disk-full",
            "--redis",
            "off",
        ]);
        let done = table.contains("disk-full") && !table.contains("disk-full (left out)");
        assert!(done || table.contains("this user may not mount"), "{table}");
    }
}

#[test]
fn writes_that_no_trigger_sees_are_found() {
    let weak = ["--weak", "no-triggers", "--faults", "none", "--redis", "off"];
    finds(&[&weak[..], &["--seconds", "6"]].concat());
    finds(&[&weak[..], &["--seconds", "6", "--database", "mariadb"]].concat());
    finds(&[&weak[..], &["--seconds", "6", "--database", "sqlite"]].concat());
}

#[test]
fn a_fault_that_is_none_is_refused() {
    let (output, ..) = run(&["--faults", "earthquake"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("database-restart"));
}
