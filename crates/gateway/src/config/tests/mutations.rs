//! Nothing that can stand in a file makes the loader panic.

use super::load_with;

/// A generator of numbers (xorshift64, Marsaglia 2003), the same on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

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

fn is_told_or_taken(text: &str) {
    if let Err(problems) = load_with(text, &[("X", "y")]) {
        assert!(!problems.is_empty());
        assert!(problems.iter().all(|problem| !problem.contains('\n')), "{problems:?}");
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
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    for _ in 0..500 {
        let mut text: Vec<char> = SHIPPED.chars().collect();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(text.len());
            let length = numbers.below(6).min(text.len() - at);
            let piece = PIECES[numbers.below(PIECES.len())];
            text.splice(at..at + length, piece.chars());
        }
        is_told_or_taken(&text.into_iter().collect::<String>());
    }
}

#[test]
fn a_file_with_its_lines_moved_is_told_or_taken() {
    let mut numbers = Numbers(7);
    for _ in 0..200 {
        let mut lines: Vec<&str> = SHIPPED.lines().filter(|line| !line.starts_with('#')).collect();
        for _ in 0..numbers.below(12) {
            let (from, to) = (numbers.below(lines.len()), numbers.below(lines.len()));
            lines.swap(from, to);
        }
        is_told_or_taken(&lines.join("\n"));
    }
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
    let mut numbers = Numbers(99);
    for _ in 0..600 {
        let mut name = "BEKCI".to_owned();
        for _ in 0..=numbers.below(5) {
            name.push_str("__");
            name.push_str(words[numbers.below(words.len())]);
        }
        let value = PIECES[numbers.below(PIECES.len())];
        if let Err(problems) = load_with(SHIPPED, &[(&name, value)]) {
            assert!(!problems.is_empty(), "{name}={value}");
        }
    }
}
