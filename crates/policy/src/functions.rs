//! The functions that a matcher may call.
//!
//! They answer as casbin's functions of these names do, but for two things: a pattern that does not compile makes the evaluation fail, which denies, where
//! casbin's end the thread; and a compiled pattern is kept for the next question.

use std::{cell::RefCell, collections::HashMap};

use casbin::{
    CoreApi, Enforcer,
    function_map::OperatorFunction,
    rhai::{Dynamic, ImmutableString},
};
use regex::{Regex, RegexBuilder};

/// How a function compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matching {
    /// `keyMatch`: equal, or equal up to the first `*`.
    Key,
    /// `keyMatch2`: `/*` is any rest, `:name` one segment.
    Key2,
    /// `keyMatch3`: as `keyMatch2`, with `{name}` for `:name`.
    Key3,
    /// `regexMatch`: a regular expression, found anywhere unless it has anchors.
    Regex,
}

impl Matching {
    pub(crate) const ALL: [(&'static str, Self); 4] = [
        ("keyMatch", Self::Key),
        ("keyMatch2", Self::Key2),
        ("keyMatch3", Self::Key3),
        ("regexMatch", Self::Regex),
    ];

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, matching)| *matching)
    }
}

/// Compiled size of one pattern, in bytes. Matching takes time linear in the text (crate regex, "Untrusted input"), so that size is all there is to bound.
const PATTERN_SIZE: usize = 256 * 1024;
/// Compiled patterns that a thread keeps for each function.
const KEPT: usize = 1_024;

pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_SIZE)
        .dfa_size_limit(PATTERN_SIZE)
        .nest_limit(32)
        .build()
        .map_err(|error| error.to_string())
}

type Kept = HashMap<Box<str>, Option<Regex>, foldhash::fast::RandomState>;

thread_local! {
    static KEY2: RefCell<Kept> = RefCell::default();
    static KEY3: RefCell<Kept> = RefCell::default();
    static REGEX: RefCell<Kept> = RefCell::default();
}

/// Whether the text matches; `None` where the pattern does not compile.
pub(crate) fn matches(matching: Matching, text: &str, pattern: &str) -> Option<bool> {
    match matching {
        Matching::Key => Some(key_match(text, pattern)),
        Matching::Key2 => {
            KEY2.with_borrow_mut(|kept| matches_kept(kept, text, pattern, |pattern| path_regex(pattern, ':', None)))
        }
        Matching::Key3 => KEY3
            .with_borrow_mut(|kept| matches_kept(kept, text, pattern, |pattern| path_regex(pattern, '{', Some('}')))),
        Matching::Regex => REGEX.with_borrow_mut(|kept| matches_kept(kept, text, pattern, str::to_owned)),
    }
}

fn matches_kept(kept: &mut Kept, text: &str, pattern: &str, translate: impl Fn(&str) -> String) -> Option<bool> {
    if !kept.contains_key(pattern) {
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(pattern.into(), compile(&translate(pattern)).ok());
    }
    kept.get(pattern)?.as_ref().map(|regex| regex.is_match(text))
}

/// The regular expression that a path pattern stands for, where `open` begins a part that matches one segment and `close` ends it (else it goes to the next `/`).
fn path_regex(pattern: &str, open: char, close: Option<char>) -> String {
    let pattern = pattern.replace("/*", "/.*");
    let mut regex = String::from("^");
    let mut rest = pattern.as_str();
    while let Some((before, after)) = rest.split_once(open) {
        let segment = after.find('/').unwrap_or(after.len());
        let end = match close {
            Some(close) => after
                .get(..segment)
                .and_then(|text| text.rfind(close))
                .map(|at| at + close.len_utf8()),
            None => Some(segment),
        };
        regex.push_str(before);
        match end {
            Some(end) => {
                regex.push_str("[^/]+");
                rest = after.get(end..).unwrap_or_default();
            }
            None => {
                regex.push(open);
                rest = after;
            }
        }
    }
    regex.push_str(rest);
    regex.push('$');
    regex
}

fn key_match(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        Some((prefix, _)) => text.as_bytes().starts_with(prefix.as_bytes()),
        None => text == pattern,
    }
}

/// Runs a comparison of two texts. Anything else among the arguments gives the unit value, which no matcher can take for an answer: the evaluation fails.
fn answer(matching: Matching, text: Dynamic, pattern: Dynamic) -> Dynamic {
    let texts = (text.into_immutable_string(), pattern.into_immutable_string());
    let (Ok(text), Ok(pattern)): (Result<ImmutableString, _>, Result<ImmutableString, _>) = texts else {
        return Dynamic::UNIT;
    };
    matches(matching, &text, &pattern).map_or(Dynamic::UNIT, Dynamic::from)
}

/// Puts the functions in the place of casbin's.
pub(crate) fn register(enforcer: &mut Enforcer) {
    for (name, matching) in Matching::ALL {
        let function: fn(Dynamic, Dynamic) -> Dynamic = match matching {
            Matching::Key => |text, pattern| answer(Matching::Key, text, pattern),
            Matching::Key2 => |text, pattern| answer(Matching::Key2, text, pattern),
            Matching::Key3 => |text, pattern| answer(Matching::Key3, text, pattern),
            Matching::Regex => |text, pattern| answer(Matching::Regex, text, pattern),
        };
        enforcer.add_function(name, OperatorFunction::Arg2(function));
    }
}

#[cfg(test)]
mod tests {
    use casbin::function_map;

    use super::*;

    #[test]
    fn the_functions_answer_as_those_of_casbin() {
        let paths = [
            "/",
            "/a",
            "/a/",
            "/a/b",
            "/a/b/c",
            "/ab",
            "/a.b",
            "/a:b",
            "",
            "a",
            "/a/b.json",
            "/x/a",
            "/a/{b}",
            "/a/b}c",
        ];
        let patterns = [
            "/",
            "/a",
            "/*",
            "/**",
            "/a/*",
            "/a/**",
            "/a*",
            "/a/:id",
            "/:x/b",
            "/a/:x/c",
            "/a:b",
            "/a.b",
            "/a/{id}",
            "/{x}/{y}",
            "/a/{x}.json",
            "/a/{x}{y}",
            "/a/:id.json",
            "*",
            "/a/*/c",
            "",
            "/a/{",
            "/a/{x",
            "/a/{}",
            "/a/:",
        ];
        for path in paths {
            for pattern in patterns {
                assert_eq!(
                    key_match(path, pattern),
                    function_map::key_match(path, pattern),
                    "1 {path} {pattern}"
                );
                if let Ok(regex) = compile(&path_regex(pattern, ':', None)) {
                    let expected = function_map::key_match2(path, pattern);
                    assert_eq!(regex.is_match(path), expected, "2 {path} {pattern}");
                }
                if let Ok(regex) = compile(&path_regex(pattern, '{', Some('}'))) {
                    let expected = function_map::key_match3(path, pattern);
                    assert_eq!(regex.is_match(path), expected, "3 {path} {pattern}");
                }
            }
        }
    }

    #[test]
    fn a_pattern_that_grows_too_large_does_not_compile() {
        assert!(compile("(?:a{1000}){1000}").is_err());
        assert!(compile(&"(".repeat(5_000)).is_err());
        assert!(compile("^(?:GET|POST)$").is_ok());
    }
}
