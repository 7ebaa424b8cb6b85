//! Documents that say what the code says.

use bekci_core::ErrorCode;

#[test]
fn the_document_of_error_codes_has_each_code_with_its_status_and_no_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/error-codes.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').take(3).collect::<Vec<_>>().join("|"))
        .collect();
    let wanted: Vec<String> = ErrorCode::ALL
        .iter()
        .map(|code| format!("| `{}` | {} ", code.as_str(), code.status()))
        .collect();
    assert_eq!(rows, wanted);
}
