use bekci_test_support::{SqliteFile, sqlite_url, sqlite3_cli, try_sqlite3_cli};

#[test]
fn a_sqlite_file_is_written_from_outside_and_gone_after_drop() {
    let file = SqliteFile::new();
    file.cli("CREATE TABLE orders (id INTEGER, state TEXT); INSERT INTO orders VALUES (7, 'sold'), (8, NULL)");
    assert_eq!(sqlite3_cli(&file.path(), "SELECT * FROM orders"), "7|sold\n8|");

    let path = file.path();
    assert_eq!(file.url(), format!("sqlite://{}?mode=rwc", path.display()));
    drop(file);
    assert!(!path.exists());
}

#[test]
fn each_sqlite_url_is_a_new_file() {
    assert_ne!(sqlite_url(), sqlite_url());
}

#[test]
fn sql_that_sqlite_refuses_is_a_failure_with_its_message() {
    let file = SqliteFile::new();
    let failure = try_sqlite3_cli(&file.path(), "SELECT * FROM nowhere").unwrap_err();
    assert!(failure.to_string().contains("no such table: nowhere"), "{failure}");
}
