//! Rules for Rust source.

use crate::tree::finding;

const LONGEST: usize = 600;

/// `#[allow(..)]` in any form: inner, conditional, spread over blanks.
pub(crate) fn check_allow(path: &str, text: &str) -> Vec<String> {
    findings(path, text, |code| {
        let tight: String = code.split_whitespace().collect();
        let allows = tight.contains("[allow(") || (tight.contains("cfg_attr(") && tight.contains(",allow("));
        allows.then_some("`allow` hides a lint for good: use `#[expect(.., reason = \"..\")]`")
    })
}

/// Code that panics because it is not written, and tests that are never run.
pub(crate) fn check_unfinished(path: &str, text: &str) -> Vec<String> {
    findings(path, text, |code| {
        if has_word(code, "todo!") || has_word(code, "unimplemented!") {
            return Some("not written yet");
        }
        let tight: String = code.split_whitespace().collect();
        (tight.contains("[ignore]") || tight.contains("[ignore="))
            .then_some("a test that is ignored tests nothing: let it read BEKCI_TEST_LONG for its rounds")
    })
}

/// A file is one idea.
pub(crate) fn check_length(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let is_source = path.starts_with("src/") || path.contains("/src/");
    if is_source && lines > LONGEST {
        return vec![finding(
            path,
            LONGEST,
            &format!("{lines} lines, {LONGEST} at most: which two ideas are these?"),
        )];
    }
    Vec::new()
}

fn findings(path: &str, text: &str, check: impl Fn(&str) -> Option<&'static str>) -> Vec<String> {
    let code = code_only(text);
    code.lines()
        .enumerate()
        .filter_map(|(line, code)| Some(finding(path, line, check(code)?)))
        .collect()
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Rust source with comments and the insides of literals blanked, line by line as it was, so that a rule does not find what is
/// only spoken of.
fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let length = token_without_code(&chars[at..], code.chars().next_back()).max(1);
        let token = &chars[at..(at + length).min(chars.len())];
        if length == 1 {
            code.extend(token);
        } else {
            code.extend(token.iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        }
        at += length;
    }
    code
}

/// The length of the comment or literal that begins here; 0 where none does.
fn token_without_code(rest: &[char], before: Option<char>) -> usize {
    match rest {
        ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['r', '"' | '#', ..] if !before.is_some_and(|c| c.is_alphanumeric() && c != 'b' && c != 'c' || c == '_') => {
            raw_string(rest)
        }
        ['"', ..] => quoted(rest),
        ['\'', '\\', ..] => quoted(rest),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

/// Block comments nest.
fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// `r#".."#` with any number of `#`. `r#type` is a name and no string.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let inside = 2 + hashes;
    let closes =
        |at: &usize| rest[*at] == '"' && rest[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    (inside..rest.len())
        .find(closes)
        .map_or(rest.len(), |end| end + 1 + hashes)
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != rest[0] {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

#[test]
fn every_form_of_allow_is_found_with_its_line() {
    let bad =
        "fn f() {}\n#[allow(dead_code)]\nfn g() {}\n#![ allow ( clippy::all )]\n#[cfg_attr(test, allow(unused))]\n";
    let found = check_allow("src/a.rs", bad);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("src/a.rs:2: "));
    assert!(found[1].starts_with("src/a.rs:4: "));
    assert!(found[2].starts_with("src/a.rs:5: "));
}

#[test]
fn unfinished_code_and_ignored_tests_are_found() {
    let bad = "fn f() { todo!() }\nfn g() { unimplemented!(\"later\") }\n#[test]\n#[ignore]\nfn t() {}\n#[ignore = \"slow\"]\n";
    let found = check_unfinished("src/a.rs", bad);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[3].starts_with("src/a.rs:6: "));
}

#[test]
fn what_is_only_spoken_of_is_not_found() {
    let good = r##"
        // never #[allow(x)] and no todo!()
        /* #[ignore] /* todo!() */ todo!() */
        const A: &str = "#[allow(x)] \" todo!()";
        const B: &str = r#"todo!() " #[ignore]"#;
        const C: char = '"'; const D: char = '\''; fn f<'a>(x: &'a str) -> &'a str { x }
        #[expect(dead_code, reason = "kept")] fn mastodo() { my_todo!(); }
        #[allowance] fn g() { allow("x") }
    "##;
    assert_eq!(check_allow("src/a.rs", good), Vec::<String>::new());
    assert_eq!(check_unfinished("src/a.rs", good), Vec::<String>::new());
}

#[test]
fn what_stands_behind_a_literal_is_found_all_the_same() {
    let bad =
        "const C: char = '\"'; fn f() { todo!() } const D: char = '\"';\nconst E: &[u8] = br\"\\\"; fn g() { todo!() }";
    assert_eq!(check_unfinished("src/a.rs", bad).len(), 2);
}

#[test]
fn a_source_file_of_601_lines_is_found_and_one_of_600_is_not() {
    assert_eq!(check_length("crates/core/src/a.rs", &"\n".repeat(601)).len(), 1);
    assert_eq!(check_length("crates/core/src/a.rs", &"\n".repeat(600)).len(), 0);
    assert_eq!(check_length("crates/core/tests/it/a.rs", &"\n".repeat(601)).len(), 0);
}
