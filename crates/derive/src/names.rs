//! The grammar of names, as `bekci-core` has it, so that a wrong one does not compile. Core checks again when the program runs.

use proc_macro2::Ident;
use quote::format_ident;
use syn::{Error, LitStr, Result};

/// `[a-z](_?[a-z0-9])*`, at most 32: guards and models.
pub(crate) fn check_word(literal: &LitStr, what: &str) -> Result<()> {
    let text = literal.value();
    let starts = text.starts_with(|first: char| first.is_ascii_lowercase());
    let inner = text
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if starts && inner && text.len() <= 32 && !text.contains("__") && !text.ends_with('_') {
        return Ok(());
    }
    let rule = "lower-case letters and digits, single `_` between them, at most 32";
    Err(Error::new(
        literal.span(),
        format!("{what} {text:?} is not valid: {rule}"),
    ))
}

/// `[a-z][a-z0-9_-]{0,63}`: roles, and the segments of permissions.
pub(crate) fn is_segment(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.len() <= 64 && text.bytes().all(plain)
}

/// Segments joined by `.`, where the last may be `*`; at most 255.
pub(crate) fn is_permission(text: &str) -> bool {
    let (head, last) = text
        .rsplit_once('.')
        .map_or((None, text), |(head, last)| (Some(head), last));
    text.len() <= 255 && head.is_none_or(|head| head.split('.').all(is_segment)) && (last == "*" || is_segment(last))
}

/// `back_office` -> `BackOffice`.
pub(crate) fn upper_camel(text: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    text.split('_').map(word).collect()
}

/// The marker type of a guard.
pub(crate) fn marker(guard: &LitStr) -> Ident {
    format_ident!("{}", upper_camel(&guard.value()), span = guard.span())
}

/// `; did you mean x?` for the known word nearest to an unknown one, or nothing. At most one edit in three characters counts as a slip, and two at least.
pub(crate) fn did_you_mean(word: &str, known: &[impl AsRef<str>]) -> String {
    let allowed = (word.chars().count() / 3).max(2);
    let near = known
        .iter()
        .map(|known| (strsim::osa_distance(word, known.as_ref()), known.as_ref()))
        .filter(|(distance, known)| *distance <= allowed && *distance < known.chars().count())
        .min_by_key(|(distance, _)| *distance);
    near.map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_turned_into_types() {
        let word = |text: &str| LitStr::new(text, proc_macro2::Span::call_site());
        for bad in ["", "A", "a__b", "a_", "1a", "a-b", &"a".repeat(33)] {
            assert!(check_word(&word(bad), "guard").is_err(), "{bad:?}");
        }
        assert!(check_word(&word("back_office2"), "guard").is_ok());
        assert_eq!(marker(&word("back_office2")).to_string(), "BackOffice2");
    }

    #[test]
    fn permissions_are_segments_with_a_wildcard_only_as_the_last() {
        for good in ["*", "a", "a.b", "orders.*", "a-b.c_d"] {
            assert!(is_permission(good), "{good:?}");
        }
        for bad in ["", "*.view", "a..b", ".a", "a.", "A.b", "a.%", " ", "a.*.b"] {
            assert!(!is_permission(bad), "{bad:?}");
        }
    }
}
