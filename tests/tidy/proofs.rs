//! Tests that documents name as proof.

use std::collections::HashSet;

use crate::tree::finding;

/// Finds names of tests, words in backticks with four underscores and more, that no file of Rust has as a function.
pub(crate) fn check(path: &str, text: &str, functions: &HashSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, words) in text.lines().enumerate() {
        let quoted = words.split('`').skip(1).step_by(2);
        for name in quoted.filter(|name| is_a_sentence(name) && !functions.contains(*name)) {
            findings.push(finding(path, line, &format!("there is no test `{name}`")));
        }
    }
    findings
}

/// Every name that stands after `fn`.
pub(crate) fn functions(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split("fn ").skip(1).map(|after| {
        after
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    })
}

fn is_a_sentence(name: &str) -> bool {
    name.matches('_').count() >= 4
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn a_test_that_is_gone_is_found_with_its_line() {
    let known = functions("#[test]\nfn a_door_that_is_shut() {}\nasync fn other() {}").collect();
    let text = "by `a_door_that_is_shut`, `max_staleness_ms`\nand `a_door_that_is_gone`";
    assert_eq!(
        check("docs/a.md", text, &known),
        ["docs/a.md:2: there is no test `a_door_that_is_gone`"]
    );
}
