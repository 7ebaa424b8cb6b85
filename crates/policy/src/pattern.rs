//! The patterns that a line may have.
//!
//! A pattern is refused where it would match more than it seems to, or nothing at all: a denial that can never match denies nobody.
//!
//! * Paths (`keyMatch`, `keyMatch2`, `keyMatch3`): begin with `/`; what is literal is a part of a canonical path. `*` stands after a `/`, alone or as `**`, and
//!   both match any rest, further segments included; for `keyMatch` at the end only. `:name` (`keyMatch2`) and `{name}` (`keyMatch3`) are one whole segment.
//!   Those two are regular expressions underneath: `.`, `+`, `$`, `(` and `)` are written with a backslash.
//! * Regular expressions: valid by themselves, and anchored at both ends with what the matcher puts round them.

use bekci_core::canonical_path;
use regex_syntax::hir::Look;

use crate::{
    functions::{self, Matching},
    shape::PatternColumn,
};

/// Whether the column may hold this value; else why not.
pub(crate) fn check(column: &PatternColumn, value: &str) -> Result<(), String> {
    match column.matching {
        Matching::Regex => check_regex(&column.prefix, value, &column.suffix),
        matching => check_path(matching, value),
    }
}

fn check_regex(prefix: &str, value: &str, suffix: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("an empty pattern matches nothing".to_owned());
    }
    let bad =
        |error: &dyn std::fmt::Display| format!("{value:?} is not a regular expression that can be used: {error}");
    // By itself too, so that no bracket in it can close one of the matcher's.
    regex_syntax::parse(value).map_err(|error| bad(&error))?;
    let whole = format!("{prefix}{value}{suffix}");
    let parsed = regex_syntax::parse(&whole).map_err(|error| bad(&error))?;
    functions::compile(&whole).map_err(|error| bad(&error))?;
    let properties = parsed.properties();
    let anchored =
        properties.look_set_prefix().contains(Look::Start) && properties.look_set_suffix().contains(Look::End);
    if anchored {
        Ok(())
    } else {
        Err(format!("{value:?} is not anchored: write ^(?:{value})$"))
    }
}

pub(crate) fn check_path(matching: Matching, pattern: &str) -> Result<(), String> {
    let literal = literal(matching, pattern)?;
    match canonical_path(&literal, true) {
        Ok(path) if path == literal => Ok(()),
        Ok(path) => Err(format!("no path is spelt like this; the canonical spelling is {path}")),
        Err(error) => Err(format!("no path can match: {error}")),
    }
}

/// A path that the pattern matches.
fn literal(matching: Matching, pattern: &str) -> Result<String, String> {
    let mut literal = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut before = None;
    while let Some(byte) = rest.chars().next() {
        let mut len = byte.len_utf8();
        match (byte, matching) {
            ('*', _) => {
                len = if rest.starts_with("**") { 2 } else { 1 };
                star(matching, before, rest.get(len..).unwrap_or_default())?;
                literal.push('x');
            }
            (':', Matching::Key2) | ('{', Matching::Key3) => {
                len = segment(byte, before, rest)?;
                literal.push('x');
            }
            ('\\', Matching::Key2 | Matching::Key3) => {
                let escaped = rest.chars().nth(1).filter(|next| ".+$()".contains(*next));
                literal.push(escaped.ok_or("a backslash stands before one of . + $ ( ) alone")?);
                len = 2;
            }
            (
                '.' | '+' | '$' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '|' | '?',
                Matching::Key2 | Matching::Key3,
            ) => {
                return Err(format!("{byte} is not taken literally here: write \\{byte}"));
            }
            _ => literal.push(byte),
        }
        rest = rest.get(len..).unwrap_or_default();
        before = Some(byte);
    }
    Ok(literal)
}

fn star(matching: Matching, before: Option<char>, after: &str) -> Result<(), String> {
    if before != Some('/') {
        return Err("a * stands after a / alone".to_owned());
    }
    if after.starts_with('*') || (matching == Matching::Key && !after.is_empty()) {
        return Err("nothing that stands after the * is looked at".to_owned());
    }
    Ok(())
}

/// The length of `:name` or `{name}` at the start of `rest`.
fn segment(open: char, before: Option<char>, rest: &str) -> Result<usize, String> {
    let len = rest.find('/').unwrap_or(rest.len());
    let whole = rest.get(1..len).unwrap_or_default();
    let name = if open == '{' {
        whole.strip_suffix('}').unwrap_or_default()
    } else {
        whole
    };
    let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if before == Some('/') && fits {
        Ok(len)
    } else {
        Err("a named part is one whole segment, with a name of letters, digits and _".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_patterns_that_mean_what_they_say_are_taken() {
        for pattern in [
            "/",
            "/*",
            "/**",
            "/api/orders",
            "/api/orders/**",
            "/a/*/b",
            "/a/:id",
            "/a/:id/b",
            r"/v1\.0/*",
            "/%C3%BC/*",
            "/a*b".get(..2).unwrap(),
        ] {
            assert_eq!(check_path(Matching::Key2, pattern), Ok(()), "{pattern}");
        }
        for pattern in ["/v1.0/*", "/", "/*", "/a/**", "/a/{x}"] {
            let fits = !pattern.contains('{');
            assert_eq!(check_path(Matching::Key, pattern).is_ok(), fits, "{pattern}");
        }
        assert_eq!(check_path(Matching::Key3, "/a/{id}/b:c"), Ok(()));
    }

    #[test]
    fn path_patterns_that_match_more_or_nothing_are_refused() {
        for pattern in [
            "",
            "*",
            "[",
            "(?",
            "api",
            "/a*",
            "/a/***",
            "/a/:",
            "/a:id",
            "/a/:id.json",
            "/v1.0",
            "/a|/b",
            "/(a)",
            "/a/../b",
            "//a",
            "/%2e%2e",
            "/%c3%bc",
            "/a b",
            "/ü",
            "/a?x=1",
            "/a\\d",
            "/a\\",
            "/a$",
            "^/a$",
            "/a/:i-d",
            "/[a-z]",
            "/a{1,2}",
        ] {
            assert!(check_path(Matching::Key2, pattern).is_err(), "{pattern}");
        }
        for pattern in ["/a/*/b", "/a*", "*", "/a/***", "/..", "a"] {
            assert!(check_path(Matching::Key, pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn regular_expressions_are_anchored_or_refused() {
        for value in ["GET", "GET|POST", "(GET)|(POST)", "GET|", ".*", "(?i)get"] {
            assert_eq!(check_regex("^(?:", value, ")$"), Ok(()), "{value}");
            assert!(check_regex("", value, "").is_err(), "{value}");
        }
        for value in ["^GET$", "^(GET|POST)$", "^/public/[0-9]+$"] {
            assert_eq!(check_regex("", value, ""), Ok(()), "{value}");
        }
        for value in [
            "^a|b$",
            "(?m)^GET$",
            "/public/[0-9]+",
            "^/a",
            "*",
            "[",
            "(?",
            "^((a+)+)$)",
            "^(?:a{1000}){1000}$",
            r"^GET\z|POST$",
            "",
        ] {
            assert!(check_regex("", value, "").is_err(), "{value}");
        }
        for value in ["GET)|(?:POST", "GET)|(.*", "*", "(?x)GET#", ""] {
            assert!(check_regex("^(?:", value, ")$").is_err(), "{value}");
        }
    }
}
