//! Nothing that can stand in a file makes the loader panic.

use bekci_test_support::by_chance;

use super::load_with;

const SHIPPED: &str = include_str!("../../../../../config/bekci.toml");

/// Pieces that break TOML, types, bounds and references.
const PIECES: [&str; 28] = [
    "[",
    "]",
    "{",
    "}",
    "=",
    "\"",
    "'",
    "\n",
    "#",
    ".",
    ",",
    "-1",
    "99999999999999999999",
    "1.5",
    "true",
    "inf",
    "1979-05-27",
    "{ env = 'X' }",
    "{ file = '/dev/null' }",
    "{ env = 1 }",
    "\u{0}",
    "ç",
    "\u{1F512}",
    "[[routes]]\n",
    "[guards.x]\n",
    "'''",
    "\\u0000",
    "guards = 1\n",
];

/// Each mistake is one line that says where it is: a line and column of the text, or a variable.
fn is_told_or_taken(text: &str) {
    let Err(problems) = load_with(text, &[("X", "y")]) else {
        return;
    };
    assert!(!problems.is_empty());
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in problems {
        assert!(!problem.contains('\n'), "{problem:?}");
        // What is missing as a whole stands nowhere.
        if problem.starts_with("built-in defaults: ") {
            continue;
        }
        let place = problem
            .strip_prefix("bekci.toml:")
            .unwrap_or_else(|| panic!("{problem:?} has no place in {text:?}"));
        let mut numbers = place.split(':').map(|number| number.parse::<usize>().unwrap());
        let (line, column) = (numbers.next().unwrap(), numbers.next().unwrap());
        let found = line.checked_sub(1).and_then(|at| lines.get(at));
        let length = found
            .unwrap_or_else(|| panic!("{problem:?}: no such line"))
            .chars()
            .count();
        assert!(
            (1..=length + 1).contains(&column),
            "{problem:?}: line {line} has {length} characters"
        );
    }
}

#[test]
fn a_file_cut_off_anywhere_is_told_or_taken() {
    let ends: Vec<usize> = SHIPPED.char_indices().map(|(at, _)| at).collect();
    for end in ends.into_iter().step_by(13) {
        is_told_or_taken(&SHIPPED[..end]);
    }
}

#[test]
fn a_file_with_a_few_changes_of_chance_is_told_or_taken() {
    by_chance(500, |numbers| {
        let mut text: Vec<char> = SHIPPED.chars().collect();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(text.len());
            let length = numbers.below(6).min(text.len() - at);
            let piece = PIECES[numbers.below(PIECES.len())];
            text.splice(at..at + length, piece.chars());
        }
        is_told_or_taken(&text.into_iter().collect::<String>());
    });
}

#[test]
fn a_file_with_its_lines_moved_is_told_or_taken() {
    by_chance(200, |numbers| {
        let mut lines: Vec<&str> = SHIPPED.lines().filter(|line| !line.starts_with('#')).collect();
        for _ in 0..numbers.below(12) {
            let (from, to) = (numbers.below(lines.len()), numbers.below(lines.len()));
            lines.swap(from, to);
        }
        is_told_or_taken(&lines.join("\n"));
    });
}

#[test]
fn deep_and_long_files_are_told() {
    is_told_or_taken(&format!("x = {}", "[".repeat(10_000)));
    is_told_or_taken(&format!("x = {}", "{ a = ".repeat(10_000)));
    is_told_or_taken(&format!("[{}]", "a.".repeat(10_000)));
    is_told_or_taken(&format!("{} = 1", "k".repeat(100_000)));
    is_told_or_taken(&format!("[server]\nlisten = '{}'", "9".repeat(100_000)));
}

#[test]
fn variables_of_chance_are_told_or_taken() {
    let words = [
        "BEKCI", "SERVER", "GUARDS", "CUSTOMER", "ROUTES", "API", "UPSTREAM", "FILE", "ENV", "MODELS", "URLS", "",
        "A_", "_", "x", "SIGN_IN",
    ];
    by_chance(600, |numbers| {
        let mut name = "BEKCI".to_owned();
        for _ in 0..=numbers.below(5) {
            name.push_str("__");
            name.push_str(words[numbers.below(words.len())]);
        }
        let value = PIECES[numbers.below(PIECES.len())];
        if let Err(problems) = load_with(SHIPPED, &[(&name, value)]) {
            assert!(!problems.is_empty(), "{name}={value}");
        }
    });
}
