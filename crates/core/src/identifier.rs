//! Identifiers in one normal form, the same for every way in and every store.
//!
//! The form follows PRECIS (RFC 8265): `UsernameCaseMapped` where case does not count, `UsernameCasePreserved` where it does.
//!
//! 1. Compatibility forms become plain ones and the text is composed (NFKC): full-width letters are the usual ones, and NFC and NFD are one spelling.
//! 2. Where case does not count, letters become small ones, by Unicode and not by a language.
//! 3. The part behind the last `@` is a domain name: `bücher.example` and `xn--bcher-kva.example` are one (UTS 46).
//!
//! Characters that PRECIS forbids are not refused here: an existing table may hold them. Databases compare by rules of their own, so that a store
//! looks for [`spellings`] and keeps the rows of which [`is_same`] says that they are meant.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfkc_quick};

/// The normal form of an identifier. Two texts name one account exactly if their normal forms are equal.
#[must_use]
pub fn normal_form(text: &str, ignores_case: bool) -> String {
    let text = text.trim();
    if text.is_ascii() && !has_encoded_label(text) {
        return if ignores_case {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        };
    }
    let composed = cased(&nfkc(text), ignores_case);
    with_domain(composed.trim(), |domain| {
        idna::domain_to_ascii(domain)
            .ok()
            .filter(|ascii| ignores_case || changes_more_than_case(ascii, domain))
    })
}

/// Whether two texts name one account.
#[must_use]
pub fn is_same(one: &str, other: &str, ignores_case: bool) -> bool {
    normal_form(one, ignores_case) == normal_form(other, ignores_case)
}

/// An identifier as Bekci writes it into a table: trimmed and composed, its letters as they were typed.
#[must_use]
pub fn stored_form(text: &str) -> String {
    nfkc(text.trim()).trim().to_owned()
}

/// How an identifier may be spelled in a table, each once, the one that was typed first: composed and decomposed, its domain in both forms, and where case does not
/// count, in small letters, in capitals, and with capitals at the beginning of words. What is left is the case of ASCII letters, which every database folds.
#[must_use]
pub fn spellings(text: &str, ignores_case: bool) -> Vec<String> {
    let typed = text.trim();
    let mut all = vec![typed.to_owned()];
    let mut add = |spelling: String| {
        if !all.contains(&spelling) {
            all.push(spelling);
        }
    };
    if typed.is_ascii() && !has_encoded_label(typed) {
        return all;
    }
    let composed = stored_form(typed);
    let unicode = with_domain(&composed, |domain| {
        let (unicode, valid) = idna::domain_to_unicode(domain);
        valid
            .ok()
            .map(|()| unicode)
            .filter(|unicode| changes_more_than_case(unicode, domain))
    });
    for form in [composed, unicode] {
        let cases = if ignores_case {
            vec![form.to_lowercase(), form.to_uppercase(), capitalised(&form), form]
        } else {
            vec![form]
        };
        for form in cases {
            let by_ascii = normal_domain(&form);
            add(by_ascii.nfd().collect());
            add(by_ascii);
            add(form.nfd().collect());
            add(form);
        }
    }
    all
}

/// The spelling whose domain is in ASCII.
fn normal_domain(text: &str) -> String {
    with_domain(text, |domain| {
        idna::domain_to_ascii(domain)
            .ok()
            .filter(|ascii| changes_more_than_case(ascii, domain))
    })
}

fn nfkc(text: &str) -> Cow<'_, str> {
    match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfkc().collect()),
    }
}

/// Small letters, composed again: a small letter may have a composed form that its capital has not.
fn cased(text: &str, ignores_case: bool) -> String {
    if ignores_case {
        // By letter, so that no letter depends on its neighbours, as the final sigma would.
        text.chars().flat_map(char::to_lowercase).nfkc().collect()
    } else {
        text.to_owned()
    }
}

fn capitalised(text: &str) -> String {
    let mut begins = true;
    let mut capitalised = String::with_capacity(text.len());
    for letter in text.chars() {
        if begins {
            capitalised.extend(letter.to_uppercase());
        } else {
            capitalised.extend(letter.to_lowercase());
        }
        begins = !letter.is_alphanumeric();
    }
    capitalised
}

/// The text with another form of what stands behind its last `@`; the text itself if there is none.
fn with_domain(text: &str, other: impl FnOnce(&str) -> Option<String>) -> String {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    match other(domain) {
        Some(domain) => format!("{local}@{domain}"),
        None => text.to_owned(),
    }
}

/// Whether a form of a domain differs by more than the case of its letters, which may count.
fn changes_more_than_case(form: &str, domain: &str) -> bool {
    !form.eq_ignore_ascii_case(domain)
}

fn has_encoded_label(text: &str) -> bool {
    let Some((_, domain)) = text.rsplit_once('@') else {
        return false;
    };
    domain
        .split('.')
        .any(|label| label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spellings that are one account where case does not count.
    const ALIKE: [(&str, &str); 10] = [
        ("Ada@Example.com", "ada@example.COM"),
        ("çağla@example.com", "ÇAĞLA@example.com"),
        ("çağla@example.com", "c\u{327}ag\u{306}la@example.com"),
        ("jos\u{e9}", "JOSE\u{301}"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ADA@XN--BCHER-KVA.EXAMPLE"),
        ("ａｄａ@example.com", "ada@example.com"),
        ("\u{212a}elvin", "kelvin"),
        ("ΟΔΟΣ", "οδοσ"),
        (" ada ", "ada"),
    ];

    #[test]
    fn one_account_has_one_normal_form_and_it_is_its_own() {
        for (one, other) in ALIKE {
            assert!(is_same(one, other, true), "{one} {other}");
            let form = normal_form(one, true);
            assert_eq!(normal_form(&form, true), form);
        }
        for (one, other) in [
            ("ada@example.com", "ada@example.org"),
            ("ada", "adа"),
            ("ada@a.example", "ada@á.example"),
            ("ısı", "isi"),
            ("strasse@example.com", "straße@example.com"),
            ("a@b@example.com", "a@example.com"),
            ("", "a"),
        ] {
            assert!(!is_same(one, other, true), "{one} {other}");
        }
    }

    #[test]
    fn case_counts_where_it_is_to_count_and_nothing_else_does() {
        assert!(!is_same("Ada@example.com", "ada@example.com", false));
        assert!(!is_same("ada@Example.com", "ada@example.com", false));
        assert!(!is_same("Çağla", "çağla", false));
        for (one, other) in [
            ("Jos\u{e9}", "Jose\u{301}"),
            ("Ada@bücher.example", "Ada@xn--bcher-kva.example"),
            ("Ａda", "Ada"),
        ] {
            assert!(is_same(one, other, false), "{one} {other}");
        }
    }

    #[test]
    fn the_spellings_hold_what_was_typed_and_what_a_table_may_hold_and_are_all_the_same_account() {
        assert_eq!(spellings(" Ada@example.com ", true), ["Ada@example.com"]);
        for ignores_case in [true, false] {
            for typed in ["Çağla@bücher.example", "C\u{327}ag\u{306}la@xn--bcher-kva.example"] {
                let all = spellings(typed, ignores_case);
                assert_eq!(all[0], typed);
                assert!(all.len() <= 33, "{all:?}");
                for one in &all {
                    assert!(is_same(one, typed, ignores_case), "{one}");
                }
                for held in ["Çağla@bücher.example", "C\u{327}ag\u{306}la@bu\u{308}cher.example"] {
                    assert!(all.iter().any(|one| one == held), "{held} {all:?}");
                }
                let capitals = all.iter().any(|one| one == "ÇAĞLA@BÜCHER.EXAMPLE");
                assert_eq!(capitals, ignores_case);
            }
        }
    }

    #[test]
    fn odd_texts_have_a_normal_form_too() {
        for odd in [
            "@",
            "a@",
            "@xn--",
            "a@xn--\u{fc}",
            "a@..",
            "\u{200d}",
            "a@\u{200d}",
            "a@xn--a-ecp.ru",
        ] {
            let form = normal_form(odd, true);
            assert_eq!(normal_form(&form, true), form, "{odd:?}");
            assert!(spellings(odd, true).contains(&odd.to_owned()));
        }
    }

    #[test]
    fn what_is_written_is_composed_and_keeps_its_letters() {
        assert_eq!(stored_form(" Jose\u{301}@Example.com "), "Jos\u{e9}@Example.com");
    }
}
