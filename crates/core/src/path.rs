//! One spelling for each path: what was judged is what is forwarded, byte for byte.
//!
//! The rules (contract section 3 and RFC 3986 section 6.2):
//!
//! 1. The path begins with `/` and has only the bytes that RFC 3986 allows in one; anything else is refused, raw non-ASCII included. The exception are `[`, `]`, `|`,
//!    `^` and the backquote, which browsers send as they are (URL Standard, path percent-encode set): they are encoded, and so have one spelling like the rest.
//! 2. `%XX` must be two hex digits. An unreserved character (`A-Z a-z 0-9 - . _ ~`) is decoded; every other one stays, its hex in upper case.
//! 3. Refused: an encoded slash, backslash, control byte or NUL; a raw backslash; `;` unless the route allows it, raw or encoded; what is not UTF-8 when decoded.
//! 4. Refused after that: a `.` or `..` segment, and an empty segment other than the last one.

use std::borrow::Cow;

/// Why a path is not canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path is not canonical: {0}")]
pub struct BadPath(pub &'static str);

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' | b';'
        )
}

/// What browsers leave as it is, and RFC 3986 does not allow in a path.
fn is_left_raw(byte: u8) -> bool {
    matches!(byte, b'[' | b']' | b'|' | b'^' | b'`')
}

/// The other spelling of a canonical path that means the same: with a slash at its end, or without. `/` has none. Routes and policies match both spellings alike.
#[must_use]
pub fn other_spelling(canonical: &str) -> Option<Cow<'_, str>> {
    match canonical.strip_suffix('/') {
        Some("") => None,
        Some(without) => Some(without.into()),
        None => Some(format!("{canonical}/").into()),
    }
}

/// Gives the canonical form of a request's path (without its query), or says why there is none.
///
/// # Errors
/// [`BadPath`], by the rules in the module's documentation.
pub fn canonical_path(raw: &str, semicolon_allowed: bool) -> Result<Cow<'_, str>, BadPath> {
    if !raw.starts_with('/') {
        return Err(BadPath("it does not begin with a slash"));
    }
    let canonical = if raw.bytes().any(|byte| byte == b'%' || is_left_raw(byte)) {
        Cow::Owned(decode(raw.as_bytes(), semicolon_allowed)?)
    } else {
        Cow::Borrowed(raw)
    };
    if !canonical.bytes().all(|byte| is_plain(byte) || byte == b'%') {
        return Err(BadPath("it has a byte that may not stand in a path"));
    }
    if !semicolon_allowed && canonical.contains(';') {
        return Err(BadPath("it has a semicolon"));
    }
    let mut segments = canonical.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err(BadPath("it has a dot segment")),
            "" if segments.peek().is_some() => return Err(BadPath("it has an empty segment")),
            _ => {}
        }
    }
    Ok(canonical)
}

/// Whether a path is in canonical form already, with semicolons allowed.
#[must_use]
pub fn is_canonical_path(path: &str) -> bool {
    let mut before = 0;
    let plain = path.bytes().all(|byte| {
        let fits = PLAIN.get(usize::from(byte)).is_some_and(|plain| *plain);
        // An empty segment other than the last one, or one that begins with a dot and may be a dot segment.
        let looks_plain = fits && !(before == b'/' && matches!(byte, b'/' | b'.'));
        before = byte;
        looks_plain
    });
    // The usual path needs no second look; every other one is compared with its canonical form.
    (plain && path.starts_with('/')) || canonical_path(path, true).is_ok_and(|canonical| canonical == path)
}

/// The bytes of [`is_plain`], by value.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::indexing_slicing,
            reason = "a byte, below 256"
        )]
        {
            table[byte] = is_plain(byte as u8);
        }
        byte += 1;
    }
    table
};

fn decode(raw: &[u8], semicolon_allowed: bool) -> Result<String, BadPath> {
    let mut canonical = String::with_capacity(raw.len());
    let mut plain = Vec::with_capacity(raw.len());
    let mut rest = raw.iter().copied();
    while let Some(byte) = rest.next() {
        if is_left_raw(byte) {
            canonical.push_str(&format!("%{byte:02X}"));
            plain.push(byte);
            continue;
        }
        if byte != b'%' {
            canonical.push(char::from(byte));
            plain.push(byte);
            continue;
        }
        let value = match (rest.next().and_then(hex), rest.next().and_then(hex)) {
            (Some(high), Some(low)) => (high << 4) | low,
            _ => return Err(BadPath("a percent sign is not followed by two hex digits")),
        };
        match value {
            b'/' | b'\\' => return Err(BadPath("it has an encoded slash or backslash")),
            b';' if !semicolon_allowed => return Err(BadPath("it has a semicolon")),
            0..=0x1f | 0x7f => return Err(BadPath("it has a control byte")),
            _ => {}
        }
        plain.push(value);
        if is_unreserved(value) {
            canonical.push(char::from(value));
        } else {
            canonical.push_str(&format!("%{value:02X}"));
        }
    }
    std::str::from_utf8(&plain).map_err(|_| BadPath("it is not UTF-8 when decoded"))?;
    Ok(canonical)
}

/// Whether a path has an encoded dot, slash or backslash that is encoded once more (`%252e`, `%252f`, `%255c`, or deeper).
///
/// Such a path is canonical, but servers that decode twice read another path in it than the one that was judged.
#[must_use]
pub fn is_encoded_twice(path: &str) -> bool {
    path.match_indices("%25").any(|(at, percent)| {
        let mut rest = path.get(at + percent.len()..).unwrap_or_default();
        while let Some(deeper) = rest.strip_prefix("25") {
            rest = deeper;
        }
        let hidden = rest.get(..2).unwrap_or_default();
        ["2e", "2f", "5c"].iter().any(|byte| hidden.eq_ignore_ascii_case(byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_has_one_spelling() {
        assert_eq!(canonical_path("/a/b", false).unwrap(), "/a/b");
        assert_eq!(canonical_path("/%61/%7e%2D", false).unwrap(), "/a/~-");
        assert_eq!(canonical_path("/%c3%bc", false).unwrap(), "/%C3%BC");
        assert_eq!(canonical_path("/a/", false).unwrap(), "/a/");
        assert_eq!(canonical_path("/", false).unwrap(), "/");
        assert_eq!(canonical_path("/a%2541", false).unwrap(), "/a%2541");
        assert_eq!(canonical_path("/a;b", true).unwrap(), "/a;b");
        assert_eq!(
            canonical_path("/[slug]/a|b^c`", false).unwrap(),
            "/%5Bslug%5D/a%7Cb%5Ec%60"
        );
        assert_eq!(
            canonical_path("/%5bslug%5D/a%7cb%5ec%60", false).unwrap(),
            "/%5Bslug%5D/a%7Cb%5Ec%60"
        );
    }

    #[test]
    fn a_path_has_one_other_spelling_by_the_slash_at_its_end() {
        assert_eq!(other_spelling("/"), None);
        assert_eq!(other_spelling("/a").unwrap(), "/a/");
        assert_eq!(other_spelling("/a/").unwrap(), "/a");
        assert_eq!(other_spelling("/a/b").unwrap(), "/a/b/");
    }

    /// Every byte in every place, raw and encoded in both cases: what has a canonical form has one.
    #[test]
    fn each_byte_is_refused_or_has_one_canonical_form_however_it_is_written() {
        for byte in 0..=u8::MAX {
            let encoded = [format!("%{byte:02x}"), format!("%{byte:02X}")];
            let raw = byte.is_ascii().then(|| char::from(byte).to_string());
            for around in [("/", ""), ("/a", "b/c"), ("/a/", "/"), ("/[", "]|")] {
                let whole = |text: &String| format!("{}{text}{}", around.0, around.1);
                let forms: Vec<_> = encoded
                    .iter()
                    .chain(&raw)
                    .map(whole)
                    .filter_map(|path| canonical_path(&path, true).ok().map(Cow::into_owned))
                    .collect();
                for form in &forms {
                    assert_eq!(canonical_path(form, true).as_deref(), Ok(&**form), "{byte:#x}");
                    let is_canonical = |b: u8| is_plain(b) || b == b'%';
                    assert!(form.bytes().all(is_canonical), "{byte:#x}: {form}");
                }
                // A delimiter of RFC 3986 (section 2.2) means one thing raw and another encoded; any other byte means one thing.
                let delimits = b"!$&'()*+,;=:@/%".contains(&byte);
                assert!(
                    delimits || forms.windows(2).all(|two| two[0] == two[1]),
                    "{byte:#x}: {forms:?}"
                );
            }
        }
    }

    #[test]
    fn a_canonical_path_is_its_own_canonical_form() {
        for raw in ["/%61/%7e", "/%c3%bc/x", "/a%20b", "/a%2541", "/%41%2B+", "/..."] {
            let once = canonical_path(raw, false).unwrap().into_owned();
            assert_eq!(canonical_path(&once, false).unwrap(), once, "{raw}");
        }
    }

    #[test]
    fn odd_paths_are_refused() {
        let refused = [
            "",
            "a",
            "*",
            "http://x/",
            "/..",
            "/a/../b",
            "/a/%2e%2e/b",
            "/a/.%2E",
            "/./a",
            "//",
            "//a",
            "/a//b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%0d%0a",
            "/a\u{7f}",
            "/a b",
            "/a%",
            "/a%4",
            "/a%zz",
            "/%ff",
            "/%c3",
            "/%c0%ae",
            "/a;b",
            "/a%3bb",
            "/ü",
            "/a?b",
            "/a#b",
            "/%ed%a0%80",
            "/a\"",
            "/a<",
            "/a>",
            "/a{",
            "/a}",
            "/[..]/../a",
        ];
        for raw in refused {
            assert!(canonical_path(raw, false).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn is_canonical_path_agrees_with_canonical_path() {
        let pieces = [
            "/", ".", "..", "a", ".a", "a.", "%", "%2F", "%41", "%7C", "[", ";", "\u{fc}", "~", "*", "", " ",
        ];
        let mut canonical = 0;
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    for fourth in pieces {
                        let path = [first, second, third, fourth].concat();
                        let expected = canonical_path(&path, true).is_ok_and(|same| same == path);
                        assert_eq!(is_canonical_path(&path), expected, "{path:?}");
                        canonical += usize::from(expected);
                    }
                }
            }
        }
        assert!(canonical > 1_000, "{canonical}");
    }

    #[test]
    fn what_a_second_decoding_would_make_a_dot_or_a_slash_is_found() {
        for twice in ["/a%252fb", "/%252E%252e/a", "/a%255Cb", "/a%25252fb", "/a%2525255cb"] {
            assert!(is_encoded_twice(twice), "{twice}");
        }
        for once in ["/a%25b", "/100%25", "/a%2541", "/a%252", "/a%25", "/a%20b", "/a.2e"] {
            assert!(!is_encoded_twice(once), "{once}");
        }
    }
}
